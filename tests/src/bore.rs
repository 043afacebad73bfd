//! The `bore` binary, as a person runs it.
#![expect(
    clippy::indexing_slicing,
    reason = "of JSON: what is not there is null, and fails the test"
)]

mod agent;
mod publication;
pub mod relay;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::namespace::Namespace;

pub use agent::Agent;
pub use publication::Publication;
pub use relay::Relay;

/// The binary under test: `BORE_BINARY`, else what `cargo build -p bore` makes.
pub fn binary() -> PathBuf {
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug/bore");
    let path = std::env::var_os("BORE_BINARY").map_or_else(built, PathBuf::from);
    assert!(path.exists(), "no {}: cargo build -p bore", path.display());
    path
}

/// A program of `agent/examples`, as `cargo build --workspace --all-targets` makes it beside [`binary`].
///
/// # Panics
/// When it was not built.
pub fn example(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug/examples");
    let path = folder.join(name);
    assert!(path.exists(), "no {}: cargo build -p bore-agent --examples", path.display());
    path
}

/// `bore` inside a namespace, as a user whose home is `home`; JSON lines, and nobody to ask.
pub fn bore(namespace: &Namespace, home: &Path, arguments: &[&str]) -> Command {
    let mut command = namespace.command(binary());
    command.env("HOME", home).current_dir(home);
    command.env("BORE_LOG", LOG).args(["--json", "--no-input"]).args(arguments);
    command
}

/// A command of `bore` that ran to its end.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// Runs a command to its end.
    pub fn of(mut command: Command) -> Self {
        let output = command.stdin(Stdio::null()).output().expect("bore starts");
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The same, if it went well.
    ///
    /// # Panics
    /// When it did not.
    pub fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self
    }

    /// JSON lines of both streams with this event.
    pub fn events(&self, event: &str) -> Vec<Value> {
        let lines = self.stdout.lines().chain(self.stderr.lines());
        let values = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        values.filter(|value| value["event"] == event).collect()
    }

    /// The only result of this event.
    ///
    /// # Panics
    /// When there is none.
    pub fn event(&self, event: &str) -> Value {
        self.events(event).into_iter().next().unwrap_or_else(|| panic!("no {event} in {self:?}"))
    }

    /// Checks that it failed as it should: code of the catalogue, exit status, and a next step that is not empty.
    ///
    /// # Panics
    /// When it did not.
    pub fn refused(&self, code: &str, exit: i32) -> Refusal {
        let error = self
            .events("error")
            .into_iter()
            .next_back()
            .unwrap_or_else(|| panic!("no error in {self:?}"));
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        let refusal = Refusal {
            code: text("code"),
            message: text("message"),
            cause: text("cause"),
            next: text("next"),
        };
        assert_eq!((refusal.code.as_str(), self.code), (code, Some(exit)), "{refusal:?}");
        assert!(!refusal.next.is_empty(), "no next step: {refusal:?}");
        refusal
    }
}

/// What an error line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `B2104`.
    pub code: String,
    /// What was tried.
    pub message: String,
    /// Why it failed.
    pub cause: String,
    /// What to do.
    pub next: String,
}

impl Refusal {
    /// Everything that a person reads.
    pub fn text(&self) -> String {
        format!("{} {} {}", self.message, self.cause, self.next)
    }
}

const LOG: &str =
    "info,bore=debug,bore_relay=debug,bore_control=debug,bore_driver=debug,bore_overlay=debug";
