//! Text that came from outside, made fit for one line of output.

use std::fmt::Display;

use crate::limits::{LISTED_ENTRIES_MAX, QUOTED_CHARS_MAX};

/// `text` in backticks: control and bidirectional characters escaped, cut after a bounded length.
pub(crate) fn quoted(text: &str) -> String {
    let mut characters = text.chars();
    let shown: String = characters.by_ref().take(QUOTED_CHARS_MAX).collect();
    let rest = if characters.next().is_some() { "…" } else { "" };
    format!("`{}{rest}`", shown.escape_debug())
}

/// `items` separated by commas, with a count for those beyond a bounded number.
pub(crate) fn listed<T: Display>(items: &[T]) -> String {
    let shown: Vec<String> = items.iter().take(LISTED_ENTRIES_MAX).map(T::to_string).collect();
    match items.len().saturating_sub(LISTED_ENTRIES_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// True for a text of one or more ASCII digits: no sign, no space.
pub(crate) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Lets serde write a type by its `Display` and read it by its `FromStr`.
macro_rules! serde_as_text {
    ($type:ty, $error:ty) => {
        impl TryFrom<String> for $type {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}
pub(crate) use serde_as_text;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_is_one_short_line_without_control_characters() {
        assert_eq!(quoted("a\r\n\u{1b}[31m\u{202e}"), "`a\\r\\n\\u{1b}[31m\\u{202e}`");
        let long = quoted(&"x".repeat(65_536));
        assert_eq!(long, format!("`{}…`", "x".repeat(QUOTED_CHARS_MAX)));
    }

    #[test]
    fn long_lists_end_in_a_count() {
        let items: Vec<u32> = (0..10).collect();
        assert_eq!(listed(&items), "0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
        assert_eq!(listed(&items[..2]), "0, 1");
    }

    #[test]
    fn digits_are_ascii_digits_only() {
        assert!(is_digits("08"));
        for text in ["", "+8", "-1", " 8", "8 ", "٣"] {
            assert!(!is_digits(text), "{text:?}");
        }
    }
}
