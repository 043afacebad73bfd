//! A relay with a certificate from files, an agent that trusts who issued it, and visitors who do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::authority::{Authority, Certified};
use crate::bore::{Agent, Relay};
use crate::curl::{Answer, curl};
use crate::lab::{Lab, RELAY};

/// See the module.
#[derive(Debug)]
pub struct Secured {
    /// The agent, by the name of `nas`.
    pub agent: Agent,
    /// The relay.
    pub relay: Relay,
    /// Who issued the relay's certificate.
    pub authority: Authority,
    /// The relay's certificate.
    pub certified: Certified,
    /// Where they are.
    pub lab: Lab,
}

impl Secured {
    /// Starts both; the certificate is for `names`.
    ///
    /// # Panics
    /// When the relay does not say what its agent needs.
    pub fn new(names: &[&str]) -> Self {
        Self::with(names, "")
    }

    /// The same, with more lines in the `[tls]` table of the relay.
    ///
    /// # Panics
    /// When the relay does not say what its agent needs.
    pub fn with(names: &[&str], tls: &str) -> Self {
        Self::with_settings(names, "", tls)
    }

    /// The same, with more lines at the top of `relay.toml` too.
    ///
    /// # Panics
    /// When the relay does not say what its agent needs.
    pub fn with_settings(names: &[&str], settings: &str, tls: &str) -> Self {
        let lab = Lab::new();
        let authority = Authority::new(lab.path());
        // As public authorities do: what the relay shows is a chain.
        let certified = authority.below().issue("relay", names);
        let mut relay = Relay::init(&lab, &[]);
        let text = fs::read_to_string(relay.config()).expect("what relay init wrote");
        fs::write(relay.config(), format!("{settings}\n{text}")).expect("the same file");
        serve_from(&relay, &certified, tls);
        relay.run();
        let agent = Agent::new(&lab, &lab.agent, "nas").trusting(authority.roots());
        let mut agent = agent.knows_hosts(&HOSTS);
        let key = lab.file("nas.key", relay.join_key()).display().to_string();
        agent.start_with(&["--key-file", &key, "--name", "nas"]);
        let hosts = HOSTS.map(|host| format!("{host}.t.test"));
        let hosts: Vec<_> = hosts.iter().map(|host| (host.as_str(), RELAY.into())).collect();
        [&lab.visitor, &lab.colleague].iter().for_each(|visitor| visitor.set_hosts(&hosts));
        Self { agent, relay, authority, certified, lab }
    }

    /// Another agent on the same machine, with other roots.
    ///
    /// # Panics
    /// When the relay gives out no key.
    pub fn second(&self, roots: &Path) -> Agent {
        let key = self.relay.create_key(&[]);
        let key = key.get("key").and_then(|key| key.as_str()).expect("the text of the key");
        let key = self.lab.file("second.key", key).display().to_string();
        let agent = Agent::new(&self.lab, &self.lab.agent, "second").trusting(roots);
        let mut agent = agent.knows_hosts(&["app"]);
        agent.start_with(&["--key-file", &key, "--name", "second"]);
        agent
    }

    /// Asks as a visitor who trusts the authority.
    pub fn get(&self, arguments: &[&str]) -> Answer {
        let stranger = format!("other.example:443:{RELAY}");
        let roots = self.authority.roots().display().to_string();
        let all = [&["--cacert", &roots, "--resolve", &stranger], arguments].concat();
        curl(&self.lab.visitor, &all)
    }

    /// A program of `tests/programs`, run by Debian's Python inside `namespace`.
    pub fn python(&self, namespace: &crate::namespace::Namespace, program: &str) -> Command {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
        // Debian's packages are for its own Python, not for another one that stands earlier in PATH.
        let mut command = namespace.command("/usr/bin/python3");
        command.arg(folder.join(program));
        command
    }

    /// The roots that visitors trust.
    pub fn roots(&self) -> PathBuf {
        self.authority.roots().to_owned()
    }
}

/// Makes a relay that does not run yet serve a certificate; `more` are lines of the same table.
///
/// # Panics
/// When its configuration cannot be changed.
pub fn serve_from(relay: &Relay, Certified { chain, key }: &Certified, more: &str) {
    let text = fs::read_to_string(relay.config()).expect("what relay init wrote");
    let tls = format!(
        "[tls]\ncertificate_files = [{{ chain = \"{}\", key = \"{}\" }}]\n{more}\n",
        chain.display(),
        key.display()
    );
    fs::write(relay.config(), text + &tls).expect("the same file");
}

/// First labels of the names that resolve to the relay, at visitors' and agents' machines.
const HOSTS: [&str; 6] = ["app", "good", "bad", "any", "other", "plain"];
