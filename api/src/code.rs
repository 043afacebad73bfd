//! The registry of error codes: for each its text, HTTP status, exit code, title, meaning, causes, and what to do.
//!
//! A code is one entry in one file of this folder; server, agent, command line, `bore explain` and `docs/errors.md` read it from here.

mod certificates;
mod machine;
mod members;
mod policy;
mod publish;
mod relay;
mod store;
mod target;
mod verification;

use std::fmt;

/// An error code, with all that is known of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(&'static Entry);

#[derive(PartialEq, Eq, Hash)]
struct Entry {
    text: &'static str,
    exit: Exit,
    status: u16,
    title: &'static str,
    meaning: &'static str,
    causes: &'static [&'static str],
    next: &'static [&'static str],
    first_step: &'static str,
}

/// How a process ends that failed. Scripts rely on these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// A fault of bore, or of the machine.
    Internal = 1,
    /// The command line or a file of the caller is wrong.
    Usage = 2,
    /// A key is missing, mistyped, spent or revoked.
    Authentication = 3,
    /// A policy or a quota forbids it.
    Denied = 4,
    /// No relay answers.
    Unreachable = 5,
    /// The name, the port or the hostname belongs to another.
    Taken = 6,
    /// The local service does not answer.
    TargetDead = 7,
    /// Published, but not proved from outside in time.
    Unverified = 8,
    /// The two ends are of versions that do not understand one another.
    Version = 9,
    /// Ctrl-C before the work was done.
    Interrupted = 130,
}

impl Exit {
    /// The number that the shell sees.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl Code {
    /// `B2104`.
    pub const fn as_str(self) -> &'static str {
        self.0.text
    }

    /// How a command ends that failed with it.
    pub const fn exit(self) -> Exit {
        self.0.exit
    }

    /// The usual HTTP status.
    pub const fn status(self) -> u16 {
        self.0.status
    }

    /// One line, the same for every case.
    pub const fn title(self) -> &'static str {
        self.0.title
    }

    /// What it means, in sentences.
    pub const fn meaning(self) -> &'static str {
        self.0.meaning
    }

    /// Usual causes, likeliest first.
    pub const fn causes(self) -> &'static [&'static str] {
        self.0.causes
    }

    /// What to do, best first.
    pub const fn next_steps(self) -> &'static [&'static str] {
        self.0.next
    }

    /// The best of [`Self::next_steps`]: what an error says when its case needs nothing more exact.
    pub const fn next_step(self) -> &'static str {
        self.0.first_step
    }

    /// Every code, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        FAMILIES.into_iter().flatten().copied()
    }

    /// The code that is written as `text`, whatever its case; `None` for one of a newer bore.
    pub fn find(text: &str) -> Option<Self> {
        Self::all().find(|code| code.as_str().eq_ignore_ascii_case(text.trim()))
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// In the order of their texts.
const FAMILIES: [&[Code]; 9] = [
    machine::CODES,
    publish::CODES,
    members::CODES,
    policy::CODES,
    relay::CODES,
    certificates::CODES,
    store::CODES,
    target::CODES,
    verification::CODES,
];

/// Makes a constant of [`Code`] for each entry, and `CODES` of all of them.
macro_rules! codes {
    ($($name:ident = $text:literal {
        exit: $exit:ident, status: $status:literal,
        title: $title:literal,
        meaning: $meaning:literal,
        causes: [$($cause:literal),* $(,)?],
        next: [$first:literal $(, $next:literal)* $(,)?] $(,)?
    })+) => {
        impl Code {
            $(
                #[doc = concat!($text, ": ", $title, ".")]
                pub const $name: Self = Self(&Entry {
                    text: $text,
                    exit: Exit::$exit,
                    status: $status,
                    title: $title,
                    meaning: $meaning,
                    causes: &[$($cause),*],
                    next: &[$first $(, $next)*],
                    first_step: $first,
                });
            )+
        }

        pub(super) const CODES: &[Code] = &[$(Code::$name),+];
    };
}

use codes;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_once_and_in_order() {
        let texts: Vec<_> = Code::all().map(Code::as_str).collect();
        assert!(texts.len() > 90 && texts.is_sorted_by(|a, b| a < b), "{texts:?}");
        let is_code = |text: &str| {
            text.len() == 5
                && text.starts_with('B')
                && text.bytes().skip(1).all(|byte| byte.is_ascii_digit())
        };
        assert!(texts.into_iter().all(is_code));
    }

    #[test]
    fn every_code_has_a_sentence_and_a_status_of_a_failure() {
        for code in Code::all() {
            assert!(code.meaning().ends_with('.'), "{code}: {}", code.meaning());
            assert!((400..600).contains(&code.status()), "{code}: {}", code.status());
            assert_eq!(code.next_steps().first(), Some(&code.next_step()), "{code}");
        }
    }

    #[test]
    fn a_code_is_found_in_any_case() {
        assert_eq!(Code::find(" b2104 "), Some(Code::PORT_TAKEN));
        assert_eq!(Code::find("B9999"), None);
    }
}
