//! Text of others, made fit for a terminal.

/// The text with control and direction characters escaped: it steers no terminal.
pub fn printable(text: &str) -> String {
    escaped(text, steers)
}

/// Like [`printable`] for a text of several lines, which stay.
pub fn printable_lines(text: &str) -> String {
    escaped(text, |c| steers(c) && !matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let escape =
        |c: char| if is_escaped(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
