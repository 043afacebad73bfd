//! BIND as the resolver of a namespace: authoritative for the zones of a test, and nothing else.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::lab::Lab;
use crate::namespace::Namespace;
use crate::process::Process;

/// A name server on port 53 of loopback, where a [`Namespace`] asks.
#[derive(Debug)]
pub struct NameServer {
    process: Process,
    folder: PathBuf,
}

impl NameServer {
    /// Starts it with `zones`, which hold nothing yet, and with `broken` ones, for which it answers SERVFAIL.
    pub fn start(lab: &Lab, namespace: &Namespace, zones: &[&str], broken: &[&str]) -> Self {
        let folder = lab.folder(&format!("named-{}", namespace.label()));
        let path = folder.display();
        let mut text = String::new();
        for zone in zones {
            fs::write(folder.join(zone), zone_text(&[])).expect("a zone");
        }
        for zone in zones.iter().chain(broken) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "zone \"{zone}\" {{ type primary; file \"{path}/{zone}\"; }};");
        }
        let process = start(&Bind {
            namespace,
            folder: &folder,
            name: "named",
            address: "127.0.0.1",
            options: "recursion no;",
            zones: &text,
        });
        Self { process, folder }
    }

    /// Makes these the records of a zone, as `app A 192.0.2.1`. When this returns, or soon after, they are answered.
    pub fn set(&self, zone: &str, records: &[&str]) {
        fs::write(self.folder.join(zone), zone_text(records)).expect("a zone");
        self.process.signal(Signal::HUP);
    }

    /// Answers nothing until [`Self::resume`].
    pub fn pause(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Answers again.
    pub fn resume(&self) {
        self.process.signal(Signal::CONT);
    }
}

/// One BIND.
pub(crate) struct Bind<'a> {
    pub(crate) namespace: &'a Namespace,
    /// Its own.
    pub(crate) folder: &'a Path,
    pub(crate) name: &'a str,
    pub(crate) address: &'a str,
    pub(crate) options: &'a str,
    pub(crate) zones: &'a str,
}

/// Starts one and waits until it answers.
pub(crate) fn start(bind: &Bind<'_>) -> Process {
    let Bind { namespace, folder, name, address, options, zones } = bind;
    fs::create_dir_all(folder).expect("a folder");
    let path = folder.display();
    let configuration = format!(
        "options {{ directory \"{path}\"; pid-file none; session-keyfile \"{path}/session.key\"; dnssec-validation no;
  empty-zones-enable no; listen-on {{ {address}; }}; listen-on-v6 {{ none; }}; {options} }};
controls {{ }};
{zones}"
    );
    let file = folder.join("named.conf");
    fs::write(&file, configuration).expect("a configuration");
    let mut command = namespace.command("named");
    command.args(["-g", "-n", "1", "-c"]).arg(file);
    let mut process = Process::start(name, command);
    process.line("named runs", |line| line.text.ends_with("running").then_some(()));
    process
}

/// Nothing is cached longer than a second.
fn zone_text(records: &[&str]) -> String {
    format!(
        "$TTL 1\n@ SOA ns admin 1 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\n{}\n",
        records.join("\n")
    )
}
