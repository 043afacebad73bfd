//! A relay that has an address and nothing else: the first HTTPS URL needs no domain (RFC 8738).
//!
//! ```text
//! exchange 44.128.0.53   Pebble
//! relay .1   agent .2   visitor .7
//! ```
#![expect(clippy::unwrap_used, reason = "what a test looks for and does not find fails it")]

use std::process::Command;
use std::time::Duration;

use bore_tests::bore::{Finished, bore};
use bore_tests::curl::curl;
use bore_tests::lab::{EXCHANGE, Lab, PUBLIC};
use bore_tests::origins::Nginx;
use bore_tests::pebble::Pebble;
use bore_tests::process::Process;

#[test]
fn a_relay_without_a_domain_has_one_web_service_at_https_and_its_address() {
    let scene = Scene::new();
    let _nginx = Nginx::start(&scene.lab, 3000, scene.lab.path());
    let mut relay = Process::start("relay", scene.init());
    let key = relay.event("relay_initialised")["join_key"].as_str().unwrap().to_owned();
    relay.event("relay_running");
    let mut agent = Process::start("join", scene.agent(&["join", "--key", &key]));
    agent.event("joined");

    let mut published = Process::start("publish", scene.agent(&["3000", "--name", "app"]));
    let [address, ..] = PUBLIC;
    let url = format!("https://{address}/");
    published.line_within(PATIENCE, "that it is published by HTTPS", |line| {
        let told = line.json()?;
        (told["event"] == "published" && told["url"] == url.as_str()).then_some(())
    });
    let root = scene.pebble.root().display().to_string();
    let answer = curl(&scene.lab.visitor, &["--cacert", &root, &url]);
    assert_eq!((answer.status, answer.body.as_str()), (200, "nginx behind bore\n"), "{answer:?}");
    let led =
        curl(&scene.lab.visitor, &["--cacert", &root, "--location", &format!("http://{address}/")]);
    assert_eq!(led.status, 308, "{led:?}");
    assert!(led.body.contains("200") && led.body.ends_with("nginx behind bore\n"), "{led:?}");

    let second = Finished::of(scene.agent(&["publish", "http", "3001"])).refused("B2113", 6);
    assert!(second.text().contains(&address.to_string()), "{second:?}");
}

/// An Internet with a CA, and three machines that have `bore` and nothing else.
struct Scene {
    pebble: Pebble,
    lab: Lab,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::on_one_network();
        let exchange = lab.exchange.clone().unwrap();
        // Nobody asks for a name: there is no resolver.
        let pebble = Pebble::start(&lab, &exchange, EXCHANGE, EXCHANGE);
        Self { pebble, lab }
    }

    fn init(&self) -> Command {
        let home = self.lab.folder("relay");
        let at = |name: &str| home.join(name).display().to_string();
        let (directory, roots) = (self.pebble.directory(), self.pebble.api_roots().display());
        let (roots, host) = (roots.to_string(), PUBLIC[0].to_string());
        let (config, state) = (at("relay.toml"), at("state"));
        let mut arguments = vec!["relay", "init", "--host", &host, "--run"];
        arguments.extend(["--acme-directory", &directory, "--acme-ca-file", &roots]);
        arguments.extend(["--config", &config, "--relay-state", &state]);
        bore(&self.lab.relay, &home, &arguments)
    }

    /// On the machine with the service, which trusts the CA as the whole Internet does.
    fn agent(&self, arguments: &[&str]) -> Command {
        let home = self.lab.folder("agent");
        let mut command = bore(&self.lab.agent, &home, arguments);
        command.env("BORE_STATE", home.join("state")).env("SSL_CERT_FILE", self.pebble.root());
        command
    }
}

/// What a person would wait for at most.
const PATIENCE: Duration = Duration::from_secs(120);
