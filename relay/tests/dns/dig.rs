//! `dig`, and what it said.

use std::net::SocketAddr;
use std::process::Command;

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Dug {
    pub(crate) text: String,
}

/// Asks `server` once.
pub(crate) async fn dig(server: SocketAddr, arguments: &str) -> Dug {
    let mut command = Command::new("dig");
    command.arg(format!("@{}", server.ip())).args(["-p", &server.port().to_string()]);
    command.args(["+norec", "+tries=1", "+time=5", "+nocookie"]).args(arguments.split_whitespace());
    let run =
        move || command.output().expect("dig: install bind9-dnsutils (cargo xtask test does)");
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    Dug { text: String::from_utf8(output.stdout).unwrap() }
}

impl Dug {
    /// `NOERROR`, `NXDOMAIN`, ….
    pub(crate) fn status(&self) -> &str {
        self.after("status: ").split(',').next().unwrap()
    }

    /// `qr aa tc`.
    pub(crate) fn flags(&self) -> &str {
        self.after("flags: ").split(';').next().unwrap()
    }

    /// The lines of a section, with single spaces.
    pub(crate) fn section(&self, name: &str) -> Vec<String> {
        let head = format!(";; {name} SECTION:");
        let lines = self.text.lines().skip_while(|line| *line != head).skip(1);
        let lines = lines.take_while(|line| !line.is_empty());
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    pub(crate) fn answers(&self) -> Vec<String> {
        self.section("ANSWER")
    }

    /// Size of the message, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.after("rcvd: ").split_whitespace().next().unwrap().parse().unwrap()
    }

    fn after(&self, mark: &str) -> &str {
        let rest = self.text.split_once(mark);
        rest.unwrap_or_else(|| panic!("no `{mark}` in:\n{}", self.text)).1
    }
}
