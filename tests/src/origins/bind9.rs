//! bind9 as an authoritative server of `game.test`.

use std::fs;

use crate::lab::Lab;
use crate::process::Process;

/// A name server on UDP and TCP.
#[derive(Debug)]
pub struct Bind9 {
    _process: Process,
}

impl Bind9 {
    /// Starts it in the agent's namespace.
    pub fn start(lab: &Lab, port: u16) -> Self {
        let folder = lab.folder("bind9");
        let path = folder.display();
        let configuration = format!(
            "options {{ directory \"{path}\"; pid-file none; session-keyfile \"{path}/session.key\"; recursion no;
  listen-on port {port} {{ any; }}; listen-on-v6 port {port} {{ any; }}; }};
controls {{ }};
zone \"game.test\" {{ type primary; file \"{path}/zone\"; }};
"
        );
        fs::write(folder.join("named.conf"), configuration).expect("a configuration");
        fs::write(folder.join("zone"), ZONE).expect("a zone");
        let mut command = lab.agent.command("named");
        command.arg("-g").arg("-c").arg(folder.join("named.conf"));
        let mut process = Process::start("named", command);
        process.line("named runs", |line| line.text.ends_with("running").then_some(()));
        Self { _process: process }
    }
}

const ZONE: &str = "$TTL 60
@ IN SOA ns.game.test. admin.game.test. 1 3600 600 86400 60
@ IN NS ns.game.test.
ns IN A 192.0.2.53
lobby IN A 192.0.2.77
long IN TXT \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"
";
