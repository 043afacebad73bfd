//! What was answered inside the tunnel, in one word that a table can expect.

use super::ReadEnd;

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    bytes: Vec<u8>,
    end: ReadEnd,
    was_refused: bool,
}

impl Reply {
    pub(super) fn of(bytes: Vec<u8>, end: ReadEnd) -> Self {
        Self { bytes, end, was_refused: false }
    }

    pub(super) fn refused() -> Self {
        Self { bytes: Vec::new(), end: ReadEnd::Reset, was_refused: true }
    }

    /// Everything that came, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The body of the only answer, as JSON; null when it is none.
    pub fn json(&self) -> serde_json::Value {
        let text = self.text();
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
        body.and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default()
    }

    /// Status and code of each answer, as `403 B3106`; `refused`, `closed`, `reset` or `silence` when there is none.
    pub fn outcome(&self) -> String {
        let text = self.text();
        let answers: Vec<String> = text.split("HTTP/1.1 ").skip(1).map(outcome_of).collect();
        match self.end {
            _ if self.was_refused => "refused".to_owned(),
            _ if !answers.is_empty() => answers.join(", "),
            ReadEnd::Closed => "closed".to_owned(),
            ReadEnd::Reset => "reset".to_owned(),
            ReadEnd::Enough | ReadEnd::Silence => "silence".to_owned(),
        }
    }
}

/// Whether a whole answer has come.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let length = lines
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .find_map(|(_, value)| value.trim().parse().ok());
    length.is_some_and(|length: usize| body.len() >= length)
}

fn outcome_of(answer: &str) -> String {
    let status = answer.split_whitespace().next().unwrap_or_default();
    let code = answer.split_once("\"code\":\"").and_then(|(_, rest)| rest.split('"').next());
    code.map_or_else(|| status.to_owned(), |code| format!("{status} {code}"))
}
