//! HTTP as a visitor does it: curl, inside a namespace.

use std::time::Duration;

use serde_json::Value;

use crate::namespace::Namespace;
use crate::process::Process;

/// What curl got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status, 0 when there was no answer.
    pub status: u16,
    /// The last head, as it came.
    pub head: String,
    /// The body.
    pub body: String,
    /// What curl said when it failed.
    pub error: String,
}

impl Answer {
    /// A header's value; names in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .next()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Asks once.
pub fn curl(namespace: &Namespace, arguments: &[&str]) -> Answer {
    let mut command = namespace.command("curl");
    command.args(["--silent", "--show-error", "--include", "--max-time", "10"]).args(arguments);
    let output = command.output().expect("curl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (head, body) = last_head(&text);
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Answer { status, head: head.to_owned(), body: body.to_owned(), error }
}

/// Asks for a published hostname by the relay's address.
pub fn visit(namespace: &Namespace, host: &str, path: &str) -> Answer {
    let pinned = format!("{host}:80:{}", crate::lab::RELAY);
    curl(namespace, &["--resolve", &pinned, &format!("http://{host}{path}")])
}

/// Keeps reading a stream; its lines are the process's.
pub fn follow(namespace: &Namespace, host: &str, path: &str) -> Process {
    let mut command = namespace.command("curl");
    let pinned = format!("{host}:80:{}", crate::lab::RELAY);
    command.args([
        "--silent",
        "--no-buffer",
        "--resolve",
        &pinned,
        &format!("http://{host}{path}"),
    ]);
    Process::start("curl", command)
}

/// Downloads and hashes at once, without a file.
///
/// # Panics
/// When curl fails.
pub fn sha256_of_url(namespace: &Namespace, url: &str, limit: Duration) -> String {
    let seconds = limit.as_secs().to_string();
    let pipeline = format!("set -o pipefail; curl -sSf --max-time {seconds} {url} | sha256sum");
    let printed = namespace.run("bash", &["-c", &pipeline]);
    printed.split_whitespace().next().unwrap_or_default().to_owned()
}

/// Heads of 1xx answers come first and are of no interest.
fn last_head(text: &str) -> (&str, &str) {
    let mut rest = text;
    loop {
        let Some((head, body)) = rest.split_once("\r\n\r\n") else { return ("", rest) };
        if !is_interim(head) {
            return (head, body);
        }
        rest = body;
    }
}

fn is_interim(head: &str) -> bool {
    let status = head.split(' ').nth(1).unwrap_or_default();
    head.starts_with("HTTP/") && status.starts_with('1') && status != "101"
}
