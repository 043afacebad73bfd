//! A stock WireGuard client, configured from the file that `bore node add` prints, is a node like any other.
#![expect(clippy::unwrap_used, reason = "what a test looks for and does not find fails it")]

use std::fs;
use std::path::Path;

use bore_tests::bore::Relay;
use bore_tests::curl::curl;
use bore_tests::lab::{Lab, RELAY};
use bore_tests::namespace::Namespace;
use bore_tests::origins::Nginx;
use bore_tests::process::Process;
use bore_tests::wait::{SOON, until};
use serde_json::json;

#[test]
fn a_service_behind_a_stock_wireguard_client_is_published() {
    let lab = Lab::new();
    let relay = Relay::start(&lab);
    let file = lab.path().join("phone.conf");
    let out = file.display().to_string();
    relay.bore(&["node", "add", "phone", "--wireguard", "--out", &out]).success();
    let phone = Phone::start(&lab.agent, &file);

    let health = until("the relay inside the tunnel", SOON, || {
        let answer = curl(&lab.agent, &["--max-time", "1", "http://100.64.0.1/v1/health"]);
        (answer.status == 200).then(|| answer.json())
    });
    assert_eq!(health["status"], "ok");

    let _nginx = Nginx::start(&lab, 8080, lab.path());
    let request = json!({ "node": "phone", "name": "site", "protocol": "tcp", "port": 8080, "target": "8080", "lifetime": "persistent" });
    let made = relay.api("POST", &format!("{}/publications", relay.network()), Some(&request));
    assert_eq!(made.status, 201, "{made:?}");
    relay.wait_for_state("site", "reachable");
    let answer = until("the service to be served", SOON, || {
        let answer = curl(&lab.visitor, &[&format!("http://{RELAY}:8080/visitor")]);
        (answer.status == 200).then_some(answer)
    });
    assert!(
        answer.body.contains("address=100.64.0.1"),
        "a stock client answers only to overlay addresses: {answer:?}"
    );
    drop(phone);
}

#[test]
fn a_removed_client_reaches_nothing_within_a_second() {
    let lab = Lab::new();
    let relay = Relay::start(&lab);
    let file = lab.path().join("phone.conf");
    relay
        .bore(&["node", "add", "phone", "--wireguard", "--out", &file.display().to_string()])
        .success();
    let _phone = Phone::start(&lab.agent, &file);
    let ask = || curl(&lab.agent, &["--max-time", "1", "http://100.64.0.1/v1/health"]).status;
    until("the relay inside the tunnel", SOON, || (ask() == 200).then_some(()));
    relay.bore(&["node", "rm", "phone"]).success();
    until("nothing", std::time::Duration::from_secs(1), || (ask() != 200).then_some(()));
    assert_ne!(ask(), 200);
}

/// wireguard-go with a device in a namespace.
struct Phone {
    _process: Process,
}

impl Phone {
    /// What `wg-quick up` does, without touching the machine's routes and resolver.
    fn start(namespace: &Namespace, file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap();
        let device = format!("wb{}", std::process::id());
        let mut command = namespace.command("wireguard-go");
        command.args(["--foreground", &device]).env("LOG_LEVEL", "error");
        let process = Process::start("wireguard-go", command);
        until("the device", SOON, || {
            namespace
                .command("wg")
                .args(["show", &device])
                .output()
                .unwrap()
                .status
                .success()
                .then_some(())
        });
        let of_wg_quick =
            |line: &&str| ["Address", "MTU", "DNS"].iter().any(|key| line.starts_with(key));
        let stripped: String = text
            .lines()
            .filter(|line| !of_wg_quick(line))
            .map(|line| format!("{line}\n"))
            .collect();
        let configuration = file.with_extension("wg");
        fs::write(&configuration, stripped).unwrap();
        namespace.run("wg", &["setconf", &device, &configuration.display().to_string()]);
        for address in values(&text, "Address") {
            namespace.add_address(&device, &address);
        }
        let mtu = values(&text, "MTU").pop().unwrap();
        namespace.ip(&["link", "set", &device, "mtu", &mtu, "up"]);
        for network in values(&text, "AllowedIPs") {
            let family = if network.contains(':') { "-6" } else { "-4" };
            namespace.ip(&[family, "route", "add", &network, "dev", &device]);
        }
        Self { _process: process }
    }
}

/// Values of a key, separated by commas in the file.
fn values(text: &str, key: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let line = lines.filter(|(name, _)| name.trim() == key).map(|(_, values)| values);
    line.flat_map(|values| values.split(',')).map(|value| value.trim().to_owned()).collect()
}
