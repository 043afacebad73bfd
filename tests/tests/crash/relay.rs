//! The relay under test: set up once, started and killed many times.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use bore_tests::bore::binary;
use bore_tests::machine::isolate;
use bore_tests::process::Process;
use serde_json::Value;

use crate::api::Api;

/// A relay with a folder of its own.
pub(crate) struct Relay {
    folder: tempfile::TempDir,
    network: String,
    api: Option<SocketAddr>,
    process: Option<Process>,
}

impl Relay {
    /// Sets it up; every door on loopback, on a port that is free.
    pub(crate) fn init(database_url: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut relay = Self { folder, network: String::new(), api: None, process: None };
        let mut init = relay.command(&["relay", "init", "--host", "127.0.0.1"]);
        init.args(["--config", &relay.path("relay.toml"), "--relay-state", &relay.path("state")]);
        for door in ["--overlay-listen", "--http-listen", "--api-listen", "--metrics-listen"] {
            init.args([door, "127.0.0.1:0"]);
        }
        if let Some(url) = database_url {
            std::fs::write(relay.path("database.url"), url).unwrap();
            init.args(["--database-url-file", &relay.path("database.url")]);
        }
        let made = init.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        relay.start();
        let networks = relay.administrator().list("/v1/networks");
        relay.network = format!("/v1/networks/{}", networks[0]["id"].as_str().unwrap());
        relay.kill();
        relay
    }

    /// Runs it until its doors are open.
    pub(crate) fn start(&mut self) {
        let mut process = self.launch();
        let running = process.event("relay_running");
        self.api = Some(running["api"].as_str().unwrap().parse().unwrap());
        self.process = Some(process);
    }

    /// Runs it, and kills it after `moment`, however far it is.
    pub(crate) fn kill_while_starting(&self, moment: Duration) {
        let process = self.launch();
        std::thread::sleep(moment);
        drop(process);
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("the relay runs").kill();
        self.api = None;
    }

    /// Where its API listens.
    pub(crate) fn api(&self) -> SocketAddr {
        self.api.expect("the relay runs")
    }

    /// The path of its only network in the API.
    pub(crate) fn network(&self) -> &str {
        &self.network
    }

    /// A connection with the key of `relay init`.
    pub(crate) fn administrator(&self) -> Api {
        let key = std::fs::read_to_string(self.path("state/admin.key")).unwrap();
        Api::connect(self.api(), key.trim()).expect("the API listens")
    }

    /// How many rows the audit trail has, all of which follow from the one before.
    pub(crate) fn verified_rows(&self) -> u64 {
        let report = self.administrator().ask("GET", "/v1/audit/verify", &Value::Null);
        assert_eq!(report["intact"], true, "{report}");
        report["rows"].as_u64().expect("rows")
    }

    /// The same as a person asks.
    pub(crate) fn verify_by_command(&self) {
        let mut verify = self.command(&["audit", "verify"]);
        verify.env("BORE_API", format!("http://{}", self.api()));
        verify.env("BORE_API_KEY_FILE", self.path("state/admin.key"));
        let verified = verify.output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    }

    fn launch(&self) -> Process {
        Process::start(
            "relay",
            self.command(&["relay", "run", "--config", &self.path("relay.toml")]),
        )
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        isolate(&mut command, self.folder.path());
        command.env("BORE_LOG", "warn").stdin(Stdio::null());
        command.args(["--json", "--no-input"]).args(arguments);
        command
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}
