//! DNS of a test: a recursive resolver, and the zone `test` that it starts from. Both are BIND.
//!
//! On one machine for itself the zone's server is at 127.0.0.2, the resolver at 127.0.0.1, which is where a namespace's programs look.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::lab::Lab;
use crate::name_server::{Bind, start};
use crate::namespace::Namespace;
use crate::process::Process;

/// The two servers.
#[derive(Debug)]
pub struct Names {
    zone: PathBuf,
    serial: u32,
    parent: Process,
    _resolver: Process,
    namespace: Namespace,
    at: At,
}

/// Where they are, both on one machine.
#[derive(Debug, Clone, Copy)]
pub struct At {
    /// The server of the zone.
    pub zone: Ipv4Addr,
    /// Who answers everybody's questions.
    pub resolver: Ipv4Addr,
}

impl Names {
    /// Starts them on one machine, for its own programs; `records` are lines of the zone `test`.
    pub fn start(lab: &Lab, namespace: &Namespace, records: &str) -> Self {
        // BIND listens on addresses that an interface has.
        namespace.add_address("lo", "127.0.0.2/8");
        Self::start_at(lab, namespace, LOOPBACK, records)
    }

    /// Starts them on one machine, for everybody who reaches these addresses of it.
    pub fn start_at(lab: &Lab, namespace: &Namespace, at: At, records: &str) -> Self {
        let folder = lab.folder(&format!("names-{}", namespace.label()));
        let zone = folder.join("zone");
        write_zone(&zone, at, 1, records);
        let parent = format!("zone \"test\" {{ type primary; file \"{}\"; }};\n", zone.display());
        let resolver = format!(
            "zone \"test\" {{ type static-stub; server-addresses {{ {}; }}; }};\n",
            at.zone
        );
        Self {
            parent: start(&Bind {
                namespace,
                folder: &folder.join("parent"),
                name: "parent",
                address: &at.zone.to_string(),
                options: "recursion no;",
                zones: &parent,
            }),
            _resolver: start(&Bind {
                namespace,
                folder: &folder.join("resolver"),
                name: "resolver",
                address: &at.resolver.to_string(),
                options: RECURSION,
                zones: &resolver,
            }),
            zone,
            serial: 1,
            namespace: namespace.clone(),
            at,
        }
    }

    /// Replaces the records of the zone. What the resolver remembers, it remembers.
    pub fn set_zone(&mut self, records: &str) {
        self.serial += 1;
        write_zone(&self.zone, self.at, self.serial, records);
        self.parent.signal(Signal::HUP);
        let loaded = format!("loaded serial {}", self.serial);
        self.parent.line("the zone", |line| line.text.contains(&loaded).then_some(()));
    }

    /// What the resolver says, in `dig`'s short form.
    pub fn dig(&self, name: &str, kind: &str) -> String {
        let answer = self.namespace.run("dig", &["+short", &self.server(), name, kind]);
        answer.trim().to_owned()
    }

    /// All of what it says.
    pub fn dig_whole(&self, name: &str, kind: &str) -> String {
        self.namespace.run("dig", &[&self.server(), name, kind])
    }

    fn server(&self) -> String {
        format!("@{}", self.at.resolver)
    }
}

fn write_zone(path: &Path, at: At, serial: u32, records: &str) {
    let text = format!(
        "$TTL 5\n@ IN SOA ns.test. admin.test. {serial} 3600 600 86400 1\n@ IN NS ns.test.\nns IN A {}\n{records}\n",
        at.zone
    );
    fs::write(path, text).expect("a zone");
}

const LOOPBACK: At =
    At { zone: Ipv4Addr::new(127, 0, 0, 2), resolver: Ipv4Addr::new(127, 0, 0, 1) };
const RECURSION: &str = "recursion yes; allow-recursion { any; }; allow-query { any; };";
