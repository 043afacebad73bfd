//! A relay that speaks HTTPS with a certificate from files, an agent that trusts it, and nginx behind it.

use std::fs;
use std::path::{Path, PathBuf};

use bore_tests::authority::{Authority, Certified};
use bore_tests::bore::{Agent, Publication, Relay};
use bore_tests::lab::{Lab, RELAY};
use bore_tests::origins::Nginx;

/// Everything that a visitor by HTTPS needs.
#[derive(Debug)]
pub(crate) struct Secured {
    /// Runs.
    pub(crate) relay: Relay,
    /// Has joined.
    pub(crate) agent: Agent,
    /// Who visitors and agent trust.
    pub(crate) authority: Authority,
    /// What is published: serves the files of [`Secured::files`] below `/files/`, and takes files below `/uploads/`.
    pub(crate) nginx: Nginx,
    /// Where it all is.
    pub(crate) lab: Lab,
}

impl Secured {
    /// With a certificate for `app.t.test` and the relay's own address.
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// The same with more lines in the `[tls]` table of the relay.
    pub(crate) fn with(tls: &str) -> Self {
        let lab = Lab::new();
        let authority = Authority::new(lab.path());
        let names = [HOST, &RELAY.to_string()];
        let certified = authority.below().issue("relay", &names);
        let mut relay = Relay::init(&lab, &[]);
        serve_from(&relay, &certified, tls);
        relay.run();
        let agent = Agent::new(&lab, &lab.agent, "nas").trusting(authority.roots());
        let mut agent = agent.knows_hosts(&["app", "plain"]);
        let key = lab.file("nas.key", relay.join_key()).display().to_string();
        agent.start_with(&["--key-file", &key, "--name", "nas"]);
        let nginx = Nginx::start(&lab, 3000, &lab.folder("files"));
        for visitor in [&lab.visitor, &lab.colleague] {
            let hosts = [(HOST, RELAY.into()), (PLAIN_HOST, RELAY.into())];
            visitor.set_hosts(&hosts);
        }
        Self { relay, agent, authority, nginx, lab }
    }

    /// Publishes nginx under [`HOST`], live.
    pub(crate) fn publish(&self) -> Publication {
        let published = self.agent.publish(&["http", "3000", "--name", "app"]);
        self.relay.wait_for_state("app", "live");
        published
    }

    /// The folder that nginx serves.
    pub(crate) fn files(&self) -> PathBuf {
        self.lab.folder("files")
    }

    /// The file with the root, as text for a command line.
    pub(crate) fn roots(&self) -> String {
        shown(self.authority.roots())
    }
}

fn serve_from(relay: &Relay, Certified { chain, key }: &Certified, more: &str) {
    let text = fs::read_to_string(relay.config()).unwrap();
    let (chain, key) = (shown(chain), shown(key));
    let tls = format!(
        "[tls]\ncertificate_files = [{{ chain = \"{chain}\", key = \"{key}\" }}]\n{more}\n"
    );
    fs::write(relay.config(), text + &tls).unwrap();
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Has a certificate.
pub(crate) const HOST: &str = "app.t.test";
/// Has none.
pub(crate) const PLAIN_HOST: &str = "plain.t.test";
