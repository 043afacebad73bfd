//! DNS of a test: a recursive resolver on a machine's loopback, and the zone `test` that it starts from.
//!
//! Both are BIND. The zone's server is at 127.0.0.2, the resolver at 127.0.0.1, which is where a namespace's programs look.

use std::fs;
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
}

impl Names {
    /// Starts them on one machine; `records` are lines of the zone `test`.
    pub fn start(lab: &Lab, namespace: &Namespace, records: &str) -> Self {
        let folder = lab.folder(&format!("names-{}", namespace.label()));
        let zone = folder.join("zone");
        write_zone(&zone, 1, records);
        // BIND listens on addresses that an interface has.
        namespace.add_address("lo", "127.0.0.2/8");
        let parent = format!("zone \"test\" {{ type primary; file \"{}\"; }};\n", zone.display());
        let resolver = "zone \"test\" { type static-stub; server-addresses { 127.0.0.2; }; };\n";
        Self {
            parent: start(&Bind {
                namespace,
                folder: &folder.join("parent"),
                name: "parent",
                address: "127.0.0.2",
                options: "recursion no;",
                zones: &parent,
            }),
            _resolver: start(&Bind {
                namespace,
                folder: &folder.join("resolver"),
                name: "resolver",
                address: "127.0.0.1",
                options: RECURSION,
                zones: resolver,
            }),
            zone,
            serial: 1,
            namespace: namespace.clone(),
        }
    }

    /// Replaces the records of the zone. What the resolver remembers, it remembers.
    pub fn set_zone(&mut self, records: &str) {
        self.serial += 1;
        write_zone(&self.zone, self.serial, records);
        self.parent.signal(Signal::HUP);
        let loaded = format!("loaded serial {}", self.serial);
        self.parent.line("the zone", |line| line.text.contains(&loaded).then_some(()));
    }

    /// What the resolver says, in `dig`'s short form.
    pub fn dig(&self, name: &str, kind: &str) -> String {
        let answer = self.namespace.run("dig", &["+short", "@127.0.0.1", name, kind]);
        answer.trim().to_owned()
    }

    /// All of what it says.
    pub fn dig_whole(&self, name: &str, kind: &str) -> String {
        self.namespace.run("dig", &["@127.0.0.1", name, kind])
    }
}

fn write_zone(path: &Path, serial: u32, records: &str) {
    let text = format!(
        "$TTL 5\n@ IN SOA ns.test. admin.test. {serial} 3600 600 86400 1\n@ IN NS ns.test.\nns IN A 127.0.0.2\n{records}\n"
    );
    fs::write(path, text).expect("a zone");
}

const RECURSION: &str = "recursion yes; allow-recursion { any; }; allow-query { any; };";
