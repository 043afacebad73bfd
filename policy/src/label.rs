//! Names of nodes, publications, groups, policies and rules: one lower-case DNS label each.
//!
//! Names end up in hostnames, logs, configuration of other programs and terminals. The grammar is
//! therefore checked where a name enters, and a [`Label`] needs no quoting anywhere.
//! Source: RFC 1035 §2.3.1, RFC 1123 §2.1 (a digit may come first).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::LABEL_BYTES_MAX;
use crate::text::{quoted, serde_as_text};

/// A name: 1 to 63 of `a-z`, `0-9` and `-`, with no hyphen at either end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(Box<str>);

/// Why a text is no [`Label`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// Nothing was given.
    #[error("a name is empty")]
    Empty,
    /// Longer than a DNS label.
    #[error("a name has {bytes} bytes, at most {LABEL_BYTES_MAX} are possible")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Right but for its capital letters.
    #[error("names are lower-case: write {suggestion}")]
    Uppercase {
        /// The same name in lower case, quoted.
        suggestion: String,
    },
    /// A character outside of the grammar.
    #[error("{name} is no name: {character} is not one of a-z, 0-9 and -")]
    Character {
        /// The text, quoted.
        name: String,
        /// The first wrong character, quoted.
        character: String,
    },
    /// A hyphen at the start or the end.
    #[error("{name} is no name: a hyphen may not be its first or last character")]
    Hyphen {
        /// The text, quoted.
        name: String,
    },
}

impl Label {
    /// Checks the grammar of `text`.
    ///
    /// # Errors
    /// Says what is wrong; nothing is corrected, because a name is also an identity.
    pub fn parse(text: &str) -> Result<Self, LabelError> {
        check(text)?;
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Holds `text` to the grammar of a label.
pub(crate) fn check(text: &str) -> Result<(), LabelError> {
    match text.len() {
        0 => return Err(LabelError::Empty),
        bytes if bytes > LABEL_BYTES_MAX => return Err(LabelError::TooLong { bytes }),
        _ => {}
    }
    if let Some(wrong) = text.chars().find(|&character| !is_permitted(character)) {
        return Err(wrong_character(text, wrong));
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(LabelError::Hyphen { name: quoted(text) });
    }
    Ok(())
}

fn is_permitted(character: char) -> bool {
    matches!(character, 'a'..='z' | '0'..='9' | '-')
}

fn wrong_character(text: &str, wrong: char) -> LabelError {
    let lower = text.to_ascii_lowercase();
    if lower != text && check(&lower).is_ok() {
        return LabelError::Uppercase { suggestion: quoted(&lower) };
    }
    LabelError::Character { name: quoted(text), character: quoted(&wrong.to_string()) }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

serde_as_text!(Label, LabelError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_labels_are_names() {
        for text in ["a", "0", "game", "my-app-2", "2048", &"x".repeat(63)] {
            assert_eq!(Label::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn everything_else_is_refused_with_its_cause() {
        assert_eq!(Label::parse(""), Err(LabelError::Empty));
        assert_eq!(Label::parse(&"x".repeat(64)), Err(LabelError::TooLong { bytes: 64 }));
        assert_eq!(Label::parse("-a"), Err(LabelError::Hyphen { name: "`-a`".into() }));
        assert_eq!(Label::parse("a-"), Err(LabelError::Hyphen { name: "`a-`".into() }));
        for text in ["a b", "a.b", "a_b", "a\"b", "a\n", "ä", "a/b", "\u{202e}a", "*"] {
            let error = Label::parse(text).unwrap_err();
            assert!(matches!(error, LabelError::Character { .. }), "{text:?}: {error}");
            assert!(!error.to_string().contains(['\n', '\u{202e}']), "{error}");
        }
    }

    #[test]
    fn capitals_are_refused_with_the_lower_case_spelling() {
        let error = Label::parse("MyApp").unwrap_err();
        assert_eq!(error.to_string(), "names are lower-case: write `myapp`");
    }

    #[test]
    fn serde_checks_what_it_reads() {
        let label: Label = serde_json::from_str("\"game\"").unwrap();
        assert_eq!(serde_json::to_string(&label).unwrap(), "\"game\"");
        assert!(serde_json::from_str::<Label>("\"Game\"").is_err());
    }
}
