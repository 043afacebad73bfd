//! BIND with a zone that takes updates signed with one key, on loopback.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A server for `t.example.org`; it ends with the test.
pub(crate) struct Bind {
    pub(crate) at: SocketAddr,
    folder: tempfile::TempDir,
    named: Child,
}

impl Bind {
    pub(crate) fn start() -> Self {
        Self::with_zone(ZONE)
    }

    /// With a second server that nobody is at, as an address that this machine has no way to.
    pub(crate) fn start_with_a_silent_sibling() -> Self {
        Self::with_zone(&format!("{ZONE}@ IN NS away.t.example.org.\naway IN A 127.0.0.2\n"))
    }

    fn with_zone(zone: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let path = folder.path().display();
        let configuration = format!(
            "options {{ directory \"{path}\"; pid-file none; session-keyfile \"{path}/session.key\";
  recursion no; dnssec-validation no; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; }};
controls {{ }};
key \"bore-key\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};
zone \"t.example.org\" {{ type primary; file \"{path}/zone\";
  update-policy {{ grant bore-key subdomain _acme-challenge.t.example.org. TXT; }}; }};
"
        );
        std::fs::write(folder.path().join("named.conf"), configuration).unwrap();
        std::fs::write(folder.path().join("zone"), zone).unwrap();
        let named = named(folder.path());
        Self { at: (Ipv4Addr::LOCALHOST, port).into(), folder, named }
    }

    /// A file of the test's own beside the zone.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Bind {
    fn drop(&mut self) {
        // It may have ended by itself, which its test has seen.
        let _ = self.named.kill();
        let _ = self.named.wait();
    }
}

fn named(folder: &Path) -> Child {
    let mut named = Command::new("named")
        .args(["-g", "-n", "1", "-c"])
        .arg(folder.join("named.conf"))
        .stderr(Stdio::piped())
        .spawn()
        .expect("named: install bind9 (cargo xtask test does)");
    let mut lines = BufReader::new(named.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    loop {
        let line = lines.next().unwrap_or_else(|| panic!("named ended: {said:#?}")).unwrap();
        if line.ends_with("running") {
            break;
        }
        said.push(line);
    }
    // It goes on to talk; nobody may leave the pipe full.
    std::thread::spawn(move || lines.for_each(drop));
    named
}

pub(crate) const SECRET: &str = "c2VjcmV0IG9mIHRoZSB0ZXN0LCAzMiBieXRlcyBsb25n";

const ZONE: &str = "$TTL 60
@ IN SOA ns.t.example.org. admin.t.example.org. 1 3600 600 86400 60
@ IN NS ns.t.example.org.
ns IN A 127.0.0.1
";
