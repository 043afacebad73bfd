//! An agent as a process, and the commands that speak with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use super::{Finished, Publication, Relay, bore};
use crate::lab::{Lab, RELAY};
use crate::namespace::Namespace;
use crate::process::Process;
use crate::wait::SOON;

/// A node that joined, and runs unless it was stopped.
#[derive(Debug)]
pub struct Agent {
    namespace: Namespace,
    home: PathBuf,
    name: String,
    roots: Option<PathBuf>,
    environment: Vec<(String, String)>,
    process: Option<Process>,
}

impl Agent {
    /// Joins `relay` from the agent's namespace with the key of `relay init`; names below the relay's domain resolve there as DNS would have them.
    pub fn join(lab: &Lab, relay: &Relay) -> Self {
        Self::join_from(lab, &lab.agent, "nas", relay.join_key())
    }

    /// Joins from anywhere, under any name.
    pub fn join_from(lab: &Lab, namespace: &Namespace, name: &str, key: &str) -> Self {
        let mut agent = Self::new(lab, namespace, name);
        lab.file(&format!("{name}.key"), key);
        agent.start_with(&[
            "--key-file",
            &lab.path().join(format!("{name}.key")).display().to_string(),
            "--name",
            name,
        ]);
        agent
    }

    /// A machine with `bore` that has not joined yet.
    pub fn new(lab: &Lab, namespace: &Namespace, name: &str) -> Self {
        let home = lab.folder(name);
        let (namespace, name) = (namespace.clone(), name.to_owned());
        Self { namespace, home, name, roots: None, environment: Vec::new(), process: None }
    }

    /// Makes the machine trust the certificate authorities in this file, and no others.
    pub fn trusting(mut self, roots: &Path) -> Self {
        self.roots = Some(roots.to_owned());
        self
    }

    /// Adds to the environment of its agent and of every command.
    pub fn with_environment(mut self, environment: Vec<(String, String)>) -> Self {
        self.environment = environment;
        self
    }

    /// Makes hostnames below the relay's domain resolve to the relay on this machine.
    pub fn knows_hosts(self, labels: &[&str]) -> Self {
        let names: Vec<_> =
            labels.iter().map(|label| format!("{label}.{}", super::relay::DOMAIN)).collect();
        let hosts: Vec<_> = names.iter().map(|name| (name.as_str(), RELAY.into())).collect();
        self.namespace.set_hosts(&hosts);
        self
    }

    /// Runs the agent of a machine that has joined.
    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// Runs `bore join` with these arguments until it has joined.
    pub fn start_with(&mut self, arguments: &[&str]) -> Value {
        let mut process = self.launch(arguments);
        let joined = process.event("joined");
        self.process = Some(process);
        joined
    }

    /// Runs `bore join` and leaves it to the caller to see what becomes of it.
    pub fn launch(&self, arguments: &[&str]) -> Process {
        Process::start(&self.name, self.command(&[&["join"], arguments].concat()))
    }

    /// Runs the agent of a machine that has joined by a shell that first does `before`, as `ulimit -n 64`.
    pub fn start_after(&mut self, before: &str) {
        let script = format!("{before} && exec {} --json join", super::binary().display());
        let mut command = self.namespace.command("bash");
        command.args(["-c", &script]).env("HOME", &self.home).env("BORE_STATE", self.state());
        let mut process = Process::start(&self.name, command);
        process.event("joined");
        self.process = Some(process);
    }

    /// Its process.
    ///
    /// # Panics
    /// When it does not run.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the agent runs")
    }

    /// As a crash would end it.
    pub fn kill(&mut self) {
        self.process().kill();
        self.process = None;
    }

    /// As a person ends it.
    pub fn stop(&mut self) {
        self.process().signal(Signal::INT);
        let status = self.process().wait(SOON);
        assert!(status.success(), "the agent ended with {status}");
        self.process = None;
    }

    /// Its state folder.
    pub fn state(&self) -> PathBuf {
        self.home.join("state")
    }

    /// Its user's folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Where it runs.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Publishes in the foreground and returns as soon as the address is printed.
    pub fn publish(&self, arguments: &[&str]) -> Publication {
        self.open(&[&["publish"], arguments].concat())
    }

    /// The same for any command line that publishes, as `bore 3000`.
    pub fn open(&self, arguments: &[&str]) -> Publication {
        Publication::open(Process::start("publish", self.command(arguments)))
    }

    /// Leaves a publication to the running agent and returns what was printed of it.
    pub fn publish_in_background(&self, arguments: &[&str]) -> Value {
        self.bore(&[&["publish"], arguments, &["--bg"]].concat()).success().event("published")
    }

    /// A command on its machine.
    pub fn bore(&self, arguments: &[&str]) -> Finished {
        Finished::of(self.command(arguments))
    }

    /// The same, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bore(&self.namespace, &self.home, arguments);
        command.env("BORE_STATE", self.state()).envs(self.environment.clone());
        if let Some(roots) = &self.roots {
            command.env("SSL_CERT_FILE", roots);
        }
        command
    }
}
