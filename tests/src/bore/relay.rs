//! A relay as a process, and its administrator.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::{Finished, bore};
use crate::curl::{Answer, curl};
use crate::lab::{Lab, RELAY};
use crate::metrics::Metrics;
use crate::namespace::Namespace;
use crate::process::Process;
use crate::visitor::connect_to;
use crate::wait::{SOON, until};

/// A relay that was set up, and runs unless it was stopped.
#[derive(Debug)]
pub struct Relay {
    namespace: Namespace,
    home: PathBuf,
    join_key: String,
    environment: Vec<(String, String)>,
    process: Option<Process>,
}

impl Relay {
    /// Sets a relay up with the domain [`DOMAIN`] and runs it.
    pub fn start(lab: &Lab) -> Self {
        let mut relay = Self::init(lab, &[]);
        relay.run();
        relay
    }

    /// Only sets it up; more arguments of `relay init` follow.
    pub fn init(lab: &Lab, arguments: &[&str]) -> Self {
        Self::init_at(lab, &RELAY.to_string(), arguments)
    }

    /// The same for a relay that agents know as `host`.
    pub fn init_at(lab: &Lab, host: &str, arguments: &[&str]) -> Self {
        let home = lab.folder("relay");
        let (config, state) = (config(&home), state(&home));
        let standard = [
            "relay",
            "init",
            "--host",
            host,
            "--domain",
            DOMAIN,
            "--config",
            &config,
            "--relay-state",
            &state,
        ];
        let made =
            Finished::of(bore(&lab.relay, &home, &[&standard, arguments].concat())).success();
        let join_key = text(&made.event("relay_initialised"), "join_key");
        let namespace = lab.relay.clone();
        Self { namespace, home, join_key, environment: Vec::new(), process: None }
    }

    /// Adds to the environment of the relay itself.
    pub fn with_environment(mut self, environment: Vec<(String, String)>) -> Self {
        self.environment = environment;
        self
    }

    /// Runs it until its doors are open.
    pub fn run(&mut self) {
        let mut command = self.command(&["relay", "run", "--config", &config(&self.home)]);
        command.envs(self.environment.clone());
        let mut process = Process::start("relay", command);
        process.event("relay_running");
        self.process = Some(process);
    }

    /// Runs it by a shell that first does `before`, as `ulimit -n 64`.
    pub fn run_after(&mut self, before: &str) {
        let binary = super::binary();
        let script = format!(
            "{before} && exec {} --json relay run --config {}",
            binary.display(),
            config(&self.home)
        );
        let mut command = self.namespace.command("bash");
        command.args(["-c", &script]).env("HOME", &self.home).current_dir(&self.home);
        let mut process = Process::start("relay", command);
        process.event("relay_running");
        self.process = Some(process);
    }

    /// Starts a command of its administrator and leaves it to the caller to see what becomes of it.
    pub fn launch(&self, arguments: &[&str]) -> Process {
        Process::start("relay", self.command(arguments))
    }

    /// The key that `relay init` printed.
    pub fn join_key(&self) -> &str {
        &self.join_key
    }

    /// Its process.
    ///
    /// # Panics
    /// When it does not run.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the relay runs")
    }

    /// As a crash would end it.
    pub fn kill(&mut self) {
        self.process().kill();
        self.process = None;
    }

    /// As an operator ends it.
    pub fn stop(&mut self) {
        self.process().signal(Signal::INT);
        let status = self.process().wait(SOON);
        assert!(status.success(), "the relay ended with {status}");
        self.process = None;
    }

    /// The folder with its keys and database.
    pub fn state(&self) -> PathBuf {
        state(&self.home).into()
    }

    /// Its configuration.
    pub fn config(&self) -> PathBuf {
        config(&self.home).into()
    }

    /// A command of its administrator, on its machine.
    pub fn bore(&self, arguments: &[&str]) -> Finished {
        Finished::of(self.command(arguments))
    }

    /// A fresh join key.
    pub fn create_key(&self, arguments: &[&str]) -> Value {
        self.bore(&[&["key", "create"], arguments].concat()).success().event("join_key_created")
    }

    /// A request to the REST API with the administrator's key.
    pub fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let key = fs::read_to_string(self.state().join("admin.key"))
            .expect("the key that relay init wrote");
        let authorization = format!("Authorization: Bearer {}", key.trim());
        let url = format!("http://127.0.0.1:7400{path}");
        let body = body.map(Value::to_string);
        // Longer than the relay takes to say that its database does not answer.
        let mut arguments = vec!["--max-time", "40"];
        arguments.extend(["--request", method, "--header", &authorization, &url]);
        if let Some(body) = &body {
            arguments.extend(["--header", "Content-Type: application/json", "--data-binary", body]);
        }
        curl(&self.namespace, &arguments)
    }

    /// What a GET with the administrator's key brings, without a program for it: for a test that looks a thousand times. Null when there is no answer.
    pub fn look(&self, path: &str) -> Value {
        let key = fs::read_to_string(self.state().join("admin.key"));
        let key = key.expect("the key that relay init wrote");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:7400\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
            key.trim()
        );
        let mut answer = String::new();
        let asked = connect_to(&self.namespace, API).and_then(|mut stream| {
            stream.write_all(request.as_bytes())?;
            stream.read_to_string(&mut answer)
        });
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        asked.ok().and_then(|_| serde_json::from_str(body).ok()).unwrap_or_default()
    }

    /// Rows of a list of the only network: `publications`, `flows`, `nodes`, …
    pub fn list(&self, resource: &str) -> Vec<Value> {
        let answer = self.api("GET", &format!("{}/{resource}", self.network()), None);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["items"].as_array().cloned().unwrap_or_default()
    }

    /// `/v1/networks/ID` of the only network.
    pub fn network(&self) -> String {
        let networks = self.api("GET", "/v1/networks", None).json();
        format!("/v1/networks/{}", text(&networks["items"][0], "id"))
    }

    /// A publication by name, while there is one.
    pub fn publication(&self, name: &str) -> Option<Value> {
        self.list("publications").into_iter().find(|view| view["name"] == name)
    }

    /// The state word of a publication, `absent` while there is none.
    pub fn state_of(&self, name: &str) -> String {
        self.publication(name)
            .map_or_else(|| "absent".to_owned(), |view| text(&view["state"], "state"))
    }

    /// Waits until a publication is in this state, and returns it.
    pub fn wait_for_state(&self, name: &str, state: &str) -> Value {
        self.wait_for_state_within(SOON, name, state)
    }

    /// The same with a limit of the caller's.
    pub fn wait_for_state_within(&self, limit: Duration, name: &str, state: &str) -> Value {
        let mut last = None;
        until(&format!("{name} to be {state}"), limit, || {
            let view = self.publication(name);
            if last != view {
                last.clone_from(&view);
            }
            view.filter(|view| view["state"]["state"] == state)
        })
    }

    /// What it counts.
    pub fn metrics(&self) -> Metrics {
        let answer = curl(&self.namespace, &["http://127.0.0.1:7401/metrics"]);
        assert_eq!(answer.status, 200, "{answer:?}");
        Metrics::parse(&answer.body)
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = bore(&self.namespace, &self.home, arguments);
        command
            .env("BORE_API", "http://127.0.0.1:7400")
            .env("BORE_API_KEY_FILE", self.state().join("admin.key"));
        command
    }
}

fn config(home: &Path) -> String {
    home.join("relay.toml").display().to_string()
}

fn state(home: &Path) -> String {
    home.join("state").display().to_string()
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

/// Where the REST API is.
const API: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7400));
/// Hostnames of `http` publications live below it.
pub const DOMAIN: &str = "t.test";
