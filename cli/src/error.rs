//! What a command failed with, as a person reads it: what was tried, why it failed, what to do.
//!
//! ```text
//! error[B2104] port 7777/udp is held by "valheim" (agent nas)
//!   cause: …
//!   try: --port 0, or bore rm valheim
//!   more: bore explain B2104
//! ```
//!
//! The exit code follows from the code through the registry ([`bore_api::code`]), never from the place that failed.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write as _;

use crate::hostname::with_both_forms;
use bore_agent::{AgentError, StateError};
use bore_api::{Code, Exit, Problem};

/// A failure with its code. Built by [`CliError::new`], completed by [`CliError::cause`] and [`CliError::next`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CliError {
    /// As it is written: a newer relay may have others than [`Code`].
    code: Cow<'static, str>,
    message: String,
    cause: Option<String>,
    next: Option<String>,
    status: Option<u16>,
}

/// Result of everything that a command does.
pub(crate) type CliResult<T = ()> = Result<T, CliError>;

impl CliError {
    /// `message` says what was tried.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self::of_text(code.as_str(), message)
    }

    /// The same with a code as it was read, which a newer version may have and this one not.
    pub(crate) fn of_text(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { code, message, cause: None, next: None, status: None }
    }

    /// Wrong use of the command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::USAGE, message)
    }

    /// Something of this machine failed.
    pub(crate) fn io(message: impl Into<String>, cause: &std::io::Error) -> Self {
        Self::new(Code::FILE, message).cause(cause.to_string())
    }

    /// Ctrl-C before the work was done.
    pub(crate) fn interrupted() -> Self {
        Self::new(Code::INTERRUPTED, "interrupted before it was done")
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
    pub(crate) fn wrap(code: Code, error: &dyn Error) -> Self {
        Self::new(code, error.to_string()).caused_by(error)
    }

    fn caused_by(self, error: &dyn Error) -> Self {
        match chain(error) {
            Some(cause) => self.cause(cause),
            None => self,
        }
    }

    /// What the API answered with `status`.
    pub(crate) fn from_problem(status: u16, problem: Problem) -> Self {
        let texts = [problem.detail, problem.title, format!("the relay answered {status}")];
        let message = texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
        let known = !problem.code.is_empty();
        let code: Cow<'static, str> =
            if known { problem.code.into() } else { code_of_status(status).as_str().into() };
        let message = with_both_forms(&message);
        Self { status: Some(status), ..Self::of_text(code, message) }.next(problem.next)
    }

    /// The code, `B2104`.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// The code of the registry; `None` for one of a newer relay.
    pub(crate) fn known_code(&self) -> Option<Code> {
        Code::find(&self.code)
    }

    /// What was tried.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Why it failed.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// What to do: from the place that failed, else from the registry.
    pub(crate) fn next_step(&self) -> Option<&str> {
        self.next.as_deref().or_else(|| self.known_code().map(Code::next_step))
    }

    /// The exit code: of the registry, or, for a code of a newer relay, of the HTTP status.
    pub(crate) fn exit(&self) -> Exit {
        let known = self.known_code().map(Code::exit);
        known.unwrap_or_else(|| self.status.map_or(Exit::Internal, exit_of_status))
    }

    /// The lines for a person, without a line end at the end.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("error[{}] {}", self.code, self.message);
        let lines = [("cause", self.reason()), ("try", self.next_step())];
        for (label, line) in lines.into_iter().filter_map(|(label, line)| Some((label, line?))) {
            let _ = write!(text, "\n  {label}: {line}");
        }
        if self.known_code().is_some() {
            let _ = write!(text, "\n  more: bore explain {}", self.code);
        }
        text
    }
}

impl From<AgentError> for CliError {
    fn from(error: AgentError) -> Self {
        Self::of_text(error.code().to_owned(), error.to_string())
            .caused_by(&error)
            .next(error.next_step())
    }
}

impl From<StateError> for CliError {
    fn from(error: StateError) -> Self {
        Self::wrap(error.code(), &error).next(error.next_step())
    }
}

fn code_of_status(status: u16) -> Code {
    match status {
        401 => Code::API_KEY_INVALID,
        403 => Code::SCOPE_MISSING,
        404 => Code::OTHER_NETWORK,
        400 | 422 => Code::BAD_REQUEST,
        503 => Code::STORE_UNAVAILABLE,
        _ => Code::INTERNAL,
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
        let error =
            CliError::new(Code::PORT_TAKEN, "port 7777/udp is held by \"valheim\" (agent nas)")
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
        let error = CliError::new(Code::PORT_TAKEN, "taken");
        assert_eq!(error.next_step(), Some(Code::PORT_TAKEN.next_step()));
    }

    #[test]
    fn exit_codes_follow_from_the_code() {
        let expected = [
            (Code::INTERNAL, 1),
            (Code::USAGE, 2),
            (Code::INTERRUPTED, 130),
            (Code::NAME_TAKEN, 6),
            (Code::QUOTA, 4),
            (Code::JOIN_KEY_MISTYPED, 3),
            (Code::API_KEY_MISSING, 3),
            (Code::SCOPE_MISSING, 4),
            (Code::POLICY_DENIES, 4),
            (Code::RELAY_UNREACHABLE, 5),
            (Code::VERSION_MISMATCH, 9),
            (Code::TARGET_REFUSED, 7),
            (Code::NOT_VERIFIED, 8),
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

        let error = CliError::wrap(Code::FILE, &Outer(std::io::Error::other("locked")));
        assert_eq!((error.message(), error.reason()), ("cannot open the door", Some("locked")));
    }

    fn problem(code: &str) -> Problem {
        Problem { code: code.to_owned(), ..Problem::default() }
    }
}
