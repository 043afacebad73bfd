//! A stock WireGuard client, configured from the file that `bore node add` prints, is a node like any other.
#![expect(clippy::unwrap_used, reason = "what a test looks for and does not find fails it")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bore_tests::bore::Relay;
use bore_tests::curl::{Answer, curl};
use bore_tests::lab::{Lab, RELAY};
use bore_tests::length::Length;
use bore_tests::namespace::Namespace;
use bore_tests::origins::Nginx;
use bore_tests::process::Process;
use bore_tests::wait::{SOON, until};
use serde_json::json;

#[test]
fn a_service_behind_a_stock_wireguard_client_is_published() {
    let site = Site::published();
    let health = curl(&site.lab.agent, &["http://100.64.0.1/v1/health"]).json();
    assert_eq!(health["status"], "ok");
    let answer = site.visit();
    assert!(
        answer.body.contains("address=100.64.0.1"),
        "a stock client answers only to overlay addresses: {answer:?}"
    );
}

#[test]
fn a_stock_wireguard_client_is_served_across_rekeys() {
    let site = Site::published();
    let span = Length::pick(REKEY_AFTER / 30, REKEY_AFTER / 10, REKEY_AFTER * 2 + SOON);
    let (began, mut visits) = (Instant::now(), 0);
    let mut handshakes = BTreeSet::new();
    while began.elapsed() < span {
        let answer = site.visit();
        assert_eq!(
            answer.status,
            200,
            "after {:?} and {visits} visits: {answer:?}",
            began.elapsed()
        );
        visits += 1;
        handshakes.insert(site.phone.latest_handshake());
        std::thread::sleep(VISIT_PAUSE);
    }
    println!("{visits} visits in {:.0?}, {} handshakes", began.elapsed(), handshakes.len());
    let rekeys = span.as_secs() / REKEY_AFTER.as_secs();
    assert!(handshakes.len() as u64 > rekeys, "{handshakes:?}");
}

#[test]
fn a_service_behind_a_stock_client_is_down_and_back_sooner_than_the_next_check() {
    let mut site = Site::published();
    site.nginx.take().unwrap().stop();
    assert_ne!(site.visit().status, 200);
    site.relay.wait_for_state_within(CHECK_INTERVAL / 2, "site", "down");
    site.nginx = Some(Nginx::start(&site.lab, 8080, site.lab.path()));
    site.relay.wait_for_state_within(CHECK_INTERVAL / 2, "site", "reachable");
    assert_eq!(site.visit().status, 200);
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
    until("nothing", Duration::from_secs(1), || (ask() != 200).then_some(()));
    assert_ne!(ask(), 200);
}

/// A web server behind a stock client, published and reached once.
struct Site {
    phone: Phone,
    nginx: Option<Nginx>,
    relay: Relay,
    lab: Lab,
}

impl Site {
    fn published() -> Self {
        let lab = Lab::new();
        let relay = Relay::start(&lab);
        let file = lab.path().join("phone.conf");
        let out = file.display().to_string();
        relay.bore(&["node", "add", "phone", "--wireguard", "--out", &out]).success();
        let phone = Phone::start(&lab.agent, &file);
        let health = || curl(&lab.agent, &["--max-time", "1", "http://100.64.0.1/v1/health"]);
        until("the relay inside the tunnel", SOON, || (health().status == 200).then_some(()));

        let nginx = Nginx::start(&lab, 8080, lab.path());
        let request = json!({ "node": "phone", "name": "site", "protocol": "tcp", "port": 8080, "target": "8080", "lifetime": "persistent" });
        let made = relay.api("POST", &format!("{}/publications", relay.network()), Some(&request));
        assert_eq!(made.status, 201, "{made:?}");
        relay.wait_for_state("site", "reachable");
        let site = Self { phone, nginx: Some(nginx), relay, lab };
        until("the service to be served", SOON, || (site.visit().status == 200).then_some(()));
        site
    }

    fn visit(&self) -> Answer {
        let url = format!("http://{RELAY}:8080/visitor");
        curl(&self.lab.visitor, &["--max-time", "5", &url])
    }
}

/// wireguard-go with a device in a namespace.
struct Phone {
    namespace: Namespace,
    device: String,
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
        Self { namespace: namespace.clone(), device, _process: process }
    }

    /// When the session that is in use was agreed on, in seconds since 1970.
    fn latest_handshake(&self) -> u64 {
        let shown = self.namespace.run("wg", &["show", &self.device, "latest-handshakes"]);
        shown.split_whitespace().last().unwrap().parse().unwrap()
    }
}

/// `REKEY_AFTER_TIME` of the WireGuard paper, section 6.1.
const REKEY_AFTER: Duration = Duration::from_secs(120);
/// How often the relay looks at what is up.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);
const VISIT_PAUSE: Duration = Duration::from_millis(500);

/// Values of a key, separated by commas in the file.
fn values(text: &str, key: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let line = lines.filter(|(name, _)| name.trim() == key).map(|(_, values)| values);
    line.flat_map(|values| values.split(',')).map(|value| value.trim().to_owned()).collect()
}
