//! Pebble, a CA as Let's Encrypt is one, on one machine of a test's network.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::authority::Authority;
use crate::curl::curl;
use crate::lab::Lab;
use crate::namespace::Namespace;
use crate::process::Process;
use crate::wait::{SOON, until};

/// A CA that runs. It looks at names by the resolver that it was given, and connects to ports 80 and 443.
#[derive(Debug)]
pub struct Pebble {
    process: Process,
    address: Ipv4Addr,
    api_roots: PathBuf,
    root: PathBuf,
}

impl Pebble {
    /// Starts it at `address` of `namespace`, and waits until it answers.
    pub fn start(lab: &Lab, namespace: &Namespace, address: Ipv4Addr, resolver: Ipv4Addr) -> Self {
        let folder = lab.folder("pebble");
        // Who asks the CA trusts this one; who visits what the CA certified trusts another, which the CA makes itself.
        let authority = Authority::new(&folder);
        let own = authority.issue("pebble", &[&address.to_string()]);
        let config = json!({ "pebble": {
            "listenAddress": format!("{address}:{API}"),
            "managementListenAddress": format!("{address}:{MANAGEMENT}"),
            "certificate": own.chain,
            "privateKey": own.key,
            "httpPort": 80,
            "tlsPort": 443,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        let file = folder.join("config.json");
        fs::write(&file, config.to_string()).expect("a configuration");
        let mut command = namespace.command("pebble");
        command.arg("-config").arg(&file).args(["-dnsserver", &format!("{resolver}:53")]);
        let process = Process::start("pebble", command);
        let api_roots = authority.roots().to_owned();
        let root = folder.join("root.pem");
        fs::write(&root, fetch_root(namespace, address, &api_roots)).expect("a file with the root");
        Self { process, address, api_roots, root }
    }

    /// What a relay is told to ask.
    pub fn directory(&self) -> String {
        format!("https://{}:{API}/dir", self.address)
    }

    /// The file with the root that the CA's own API is trusted by.
    pub fn api_roots(&self) -> &Path {
        &self.api_roots
    }

    /// The file with the root of what it certifies.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What it logged.
    pub fn log(&self) -> String {
        self.process.text()
    }
}

/// It is a new one at each start.
fn fetch_root(namespace: &Namespace, address: Ipv4Addr, api_roots: &Path) -> String {
    let roots = api_roots.display().to_string();
    let url = format!("https://{address}:{MANAGEMENT}/roots/0");
    until("the root of the CA", SOON, || {
        let answer = curl(namespace, &["--cacert", &roots, &url]);
        (answer.status == 200).then_some(answer.body)
    })
}

/// Ports of a machine that a test made for itself.
const API: u16 = 14_000;
const MANAGEMENT: u16 = 15_000;
