//! Free text that callers send: refused where they can correct it, cleaned where they cannot.
//!
//! Invariant: what passed here is one line, holds no control character and nothing that turns the direction of writing, and is
//! bounded; a log line, a terminal and a page show it as it is.

use bore_api::Code;

use crate::refusal::Refusal;

/// Accepts `text` for `field`.
///
/// # Errors
/// B2112, naming the field, when it is longer than `chars_max` or holds characters that a reader cannot see.
pub(crate) fn check_text(field: &str, text: &str, chars_max: usize) -> Result<(), Refusal> {
    let refused = |why: String| Err(Refusal::new(Code::BAD_REQUEST, format!("`{field}` {why}")));
    if text.chars().count() > chars_max {
        return refused(format!("is longer than {chars_max} characters"));
    }
    if text.chars().any(is_invisible) {
        return refused("holds control or direction characters".to_owned());
    }
    Ok(())
}

/// One visible line of at most `chars_max` characters.
pub fn clean_text(text: &str, chars_max: usize) -> String {
    let visible =
        |character| if is_invisible(character) { char::REPLACEMENT_CHARACTER } else { character };
    text.chars().take(chars_max).map(visible).collect()
}

/// Control characters, and the marks that Unicode (UAX 9 §2, UAX 31 §2.3) has for direction, joining and line ends.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_45_invisible_characters_are_refused_or_replaced() {
        for hostile in
            ["a\r\nb", "a\u{1b}[31mb", "a\u{202e}b", "a\u{2066}b", "a\0b", "a\u{2028}b", "a\u{9b}b"]
        {
            assert_eq!(
                check_text("description", hostile, 50).unwrap_err().code,
                Code::BAD_REQUEST,
                "{hostile:?}"
            );
            let cleaned = clean_text(hostile, 50);
            assert!(
                cleaned.starts_with('a')
                    && cleaned.ends_with('b')
                    && !cleaned.chars().any(is_invisible)
            );
        }
    }

    #[test]
    fn visible_text_of_any_script_passes_up_to_the_bound() {
        check_text("description", "Büro 東京 — שלום 🦀", 50).unwrap();
        assert!(check_text("description", &"x".repeat(51), 50).is_err());
        assert_eq!(clean_text(&"é".repeat(70_000), 50).chars().count(), 50);
    }
}
