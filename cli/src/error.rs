//! What a command failed with, as a person reads it: what was tried, why it failed, what to do.
//!
//! ```text
//! error[B2104] port 7777/udp is held by "valheim" (agent nas)
//!   cause: …
//!   try: --port 0, or bore rm valheim
//!   more: bore explain B2104
//! ```
//!
//! The exit code follows from the code through the catalogue ([`crate::explain`]), never from the place that failed.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write as _;

use crate::agent::{AgentError, Problem, StateError};
use crate::explain;
use crate::hostname::with_both_forms;

/// How the process ends. Scripts rely on these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// A fault of bore, or of the machine.
    Internal = 1,
    /// The command line or a file of the caller is wrong.
    Usage = 2,
    /// A key is missing, mistyped, spent or revoked.
    Authentication = 3,
    /// A policy or a quota says no.
    Denied = 4,
    /// No relay answers.
    Unreachable = 5,
    /// Somebody else has the name, the port or the hostname.
    Taken = 6,
    /// The local service does not answer.
    TargetDead = 7,
    /// Published, but not proved from outside in time.
    Unverified = 8,
    /// The two ends are of versions that do not speak to one another.
    Version = 9,
    /// Ctrl-C before the work was done.
    Interrupted = 130,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }
}

/// A failure with its code. Built by [`CliError::new`], completed by [`CliError::cause`] and [`CliError::next`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CliError {
    code: Cow<'static, str>,
    message: String,
    cause: Option<String>,
    next: Option<String>,
    status: Option<u16>,
}

/// Result of everything that a command does.
pub(crate) type CliResult<T = ()> = Result<T, CliError>;

impl CliError {
    /// `code` is one of the catalogue; `message` says what was tried.
    pub(crate) fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { code, message, cause: None, next: None, status: None }
    }

    /// Wrong use of the command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new("B1001", message)
    }

    /// Something of this machine failed.
    pub(crate) fn io(message: impl Into<String>, cause: &std::io::Error) -> Self {
        Self::new("B1002", message).cause(cause.to_string())
    }

    /// Ctrl-C before the work was done.
    pub(crate) fn interrupted() -> Self {
        Self::new("B1006", "interrupted before it was done")
    }

    /// Why it failed, without repeating the message.
    pub(crate) fn cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// What to do about it, without the word `try`.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        let next = next.into();
        let next = next.strip_prefix("try:").unwrap_or(&next).trim();
        self.next = (!next.is_empty()).then(|| next.to_owned());
        self
    }

    /// An error of another room: its text is the message, its sources the cause.
    pub(crate) fn wrap(code: impl Into<Cow<'static, str>>, error: &dyn Error) -> Self {
        let wrapped = Self::new(code, error.to_string());
        match chain(error) {
            Some(cause) => wrapped.cause(cause),
            None => wrapped,
        }
    }

    /// What the API answered with `status`.
    pub(crate) fn from_problem(status: u16, problem: Problem) -> Self {
        let texts = [problem.detail, problem.title, format!("the relay answered {status}")];
        let message = texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
        let known = !problem.code.is_empty();
        let code = if known { Cow::Owned(problem.code) } else { code_of_status(status).into() };
        let message = with_both_forms(&message);
        Self { status: Some(status), ..Self::new(code, message) }.next(problem.next)
    }

    /// The code, `B2104`.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// What was tried.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Why it failed.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// What to do: from the place that failed, else from the catalogue.
    pub(crate) fn next_step(&self) -> Option<&str> {
        let known = || explain::find(&self.code).and_then(|entry| entry.next.first().copied());
        self.next.as_deref().or_else(known)
    }

    /// The exit code: of the catalogue, or, for a code of a newer relay, of the HTTP status.
    pub(crate) fn exit(&self) -> Exit {
        let known = explain::find(&self.code).map(|entry| entry.exit);
        known.unwrap_or_else(|| self.status.map_or(Exit::Internal, exit_of_status))
    }

    /// The lines for a person, without a line end at the end.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("error[{}] {}", self.code, self.message);
        let lines = [("cause", self.reason()), ("try", self.next_step())];
        for (label, line) in lines.into_iter().filter_map(|(label, line)| Some((label, line?))) {
            let _ = write!(text, "\n  {label}: {line}");
        }
        if explain::find(&self.code).is_some() {
            let _ = write!(text, "\n  more: bore explain {}", self.code);
        }
        text
    }
}

impl From<AgentError> for CliError {
    fn from(error: AgentError) -> Self {
        Self::wrap(error.code().to_owned(), &error).next(error.next_step())
    }
}

impl From<StateError> for CliError {
    fn from(error: StateError) -> Self {
        Self::wrap(error.code(), &error).next(error.next_step())
    }
}

fn code_of_status(status: u16) -> &'static str {
    match status {
        401 => "B3202",
        403 => "B3204",
        404 => "B2111",
        400 | 422 => "B2112",
        503 => "B6106",
        _ => "B1000",
    }
}

fn exit_of_status(status: u16) -> Exit {
    match status {
        400 | 404 | 422 => Exit::Usage,
        401 => Exit::Authentication,
        403 | 429 => Exit::Denied,
        409 => Exit::Taken,
        502..=504 => Exit::Unreachable,
        _ => Exit::Internal,
    }
}

/// The sources of `error`, joined; `None` without any.
fn chain(error: &dyn Error) -> Option<String> {
    let sources = std::iter::successors(error.source(), |&error| error.source());
    let texts: Vec<String> = sources.map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_says_what_why_and_what_to_do() {
        let error = CliError::new("B2104", "port 7777/udp is held by \"valheim\" (agent nas)")
            .cause("one port has one publication")
            .next("try: --port 0, or bore rm valheim");

        assert_eq!(
            error.text(),
            "error[B2104] port 7777/udp is held by \"valheim\" (agent nas)\n  \
             cause: one port has one publication\n  \
             try: --port 0, or bore rm valheim\n  \
             more: bore explain B2104"
        );
        assert_eq!(error.exit().number(), 6);
    }

    #[test]
    fn without_a_next_step_of_its_own_an_error_takes_that_of_the_catalogue() {
        let error = CliError::new("B2104", "taken");
        assert_eq!(error.next_step(), explain::find("B2104").map(|entry| entry.next[0]));
    }

    #[test]
    fn exit_codes_follow_from_the_code() {
        let expected = [
            ("B1000", 1),
            ("B1001", 2),
            ("B1006", 130),
            ("B2102", 6),
            ("B2109", 4),
            ("B3102", 3),
            ("B3201", 3),
            ("B3204", 4),
            ("B4101", 4),
            ("B5101", 5),
            ("B5103", 9),
            ("B7101", 7),
            ("B8101", 8),
        ];
        for (code, number) in expected {
            assert_eq!(CliError::new(code, "x").exit().number(), number, "{code}");
        }
    }

    #[test]
    fn a_code_of_a_newer_relay_exits_by_its_http_status() {
        let error = CliError::from_problem(409, problem("B9999"));
        assert_eq!((error.code(), error.exit()), ("B9999", Exit::Taken));
        assert!(!error.text().contains("bore explain"), "there is nothing to explain offline");
    }

    #[test]
    fn an_answer_without_a_code_is_named_by_its_status() {
        assert_eq!(CliError::from_problem(401, problem("")).code(), "B3202");
        assert_eq!(CliError::from_problem(500, problem("")).exit(), Exit::Internal);
    }

    #[test]
    fn a_wrapped_error_keeps_its_sources_as_cause() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open the door")]
        struct Outer(#[source] std::io::Error);

        let error = CliError::wrap("B1002", &Outer(std::io::Error::other("locked")));
        assert_eq!((error.message(), error.reason()), ("cannot open the door", Some("locked")));
    }

    fn problem(code: &str) -> Problem {
        let empty = String::new;
        Problem { title: empty(), status: 0, detail: empty(), code: code.to_owned(), next: empty() }
    }
}
