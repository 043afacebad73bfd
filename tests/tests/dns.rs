//! One NS record, and a real resolver between: names of publications, and what `relay init` and `doctor` say of records.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bore_tests::bore::{Agent, Finished, Relay, bore};
use bore_tests::curl::curl;
use bore_tests::lab::Lab;
use bore_tests::names::Names;
use bore_tests::origins::Nginx;
use bore_tests::process::Process;
use bore_tests::wait::{SOON, until};
use serde_json::Value;

#[test]
fn a_delegated_domain_resolves_for_everybody_while_it_is_published() {
    let lab = Lab::new();
    let names = Names::start(&lab, &lab.agent, DELEGATION);
    let mut relay = Relay::init(&lab, &["--dns", "built-in", "--dns-listen", "203.0.113.1:53"]);
    relay.run();
    assert_eq!(names.dig("t.test", "SOA").split(' ').next(), Some("ns.t.test."));
    assert!(names.dig_whole("early.t.test", "A").contains("NXDOMAIN"));

    let agent = Agent::join(&lab, &relay);
    let _nginx = Nginx::start(&lab, 3000, lab.path());
    let published = agent.publish(&["http", "3000", "--name", "app"]);
    relay.wait_for_state("app", "live");
    assert_eq!(names.dig("app.t.test", "A"), "203.0.113.1");
    assert_eq!(names.dig("app.t.test", "AAAA"), "");
    let answer = curl(&lab.agent, &["http://app.t.test/"]);
    assert_eq!((answer.status, answer.body.as_str()), (200, "nginx behind bore\n"));

    published.take_back();
    let direct = lab.agent.run("dig", &["@203.0.113.1", "app.t.test", "A"]);
    assert!(direct.contains("NXDOMAIN"), "{direct}");
    assert!(names.dig_whole("never.t.test", "A").contains("NXDOMAIN"));
    let _again = agent.publish(&["http", "3000", "--name", "never"]);
    until("a name that was asked for too early", SOON, || {
        (names.dig("never.t.test", "A") == "203.0.113.1").then_some(())
    });
}

#[test]
fn relay_init_waits_for_the_records_and_doctor_agrees() {
    let lab = Lab::new();
    let mut names = Names::start(&lab, &lab.relay, "");
    let home = lab.folder("operator");
    let mut command = init(&lab, &home, &BUILT_IN);
    command.arg("--wait");
    let mut waiting = Process::start("init", command);
    waiting.event("relay_initialised");
    until("both to be told", SOON, || {
        let steps = waiting.events("step");
        let told = |name: &str, words: &str| steps.iter().any(|step| says(step, name, words));
        let host = told("relay.test", "does not exist: make relay.test A");
        (host && told("t.test NS", "make t.test NS relay.test in the zone test")).then_some(())
    });
    names.set_zone("relay A 203.0.113.1\nt NS relay");
    let status = waiting.wait(Duration::from_secs(60));
    assert!(status.success(), "{}", waiting.text());

    let doctor = || {
        let doctor = Finished::of(bore(&lab.relay, &home, &["doctor"]));
        let checks = doctor.events("check").into_iter();
        checks.filter(|check| check["name"] == "dns").collect::<Vec<_>>()
    };
    let checks = doctor();
    let answers = checks.iter().find(|check| check["ok"] == false).expect("nobody answers yet");
    assert!(answers["next"].to_string().contains("port 53"), "{checks:?}");
    let arguments = ["relay", "run", "--config", &config(&home)];
    let mut running = Process::start("relay", bore(&lab.relay, &home, &arguments));
    running.event("relay_running");
    // The resolver remembers for a second that nobody answered.
    let checks = until("the relay to answer", SOON, || {
        Some(doctor()).filter(|checks| checks.iter().all(|check| check["ok"] == true))
    });
    assert_eq!(checks.len(), 3, "{checks:?}");
}

#[test]
fn records_that_are_wrong_are_told_apart() {
    let lab = Lab::new();
    let mut names = Names::start(&lab, &lab.relay, "");
    let home = lab.folder("operator");
    for (zone, name, words) in [
        ("relay A 203.0.113.1\nt CNAME x.test.", "t.test NS", "a CNAME to x.test is in the way"),
        (
            "relay A 203.0.113.1\nt NS ns.other.test.",
            "t.test NS",
            "points elsewhere: ns.other.test",
        ),
        (
            "relay A 203.0.113.1\nt A 192.0.2.9",
            "t.test NS",
            "the zone test has A 192.0.2.9 there itself",
        ),
    ] {
        names.set_zone(zone);
        assert_told(&lab, &home, &BUILT_IN, name, words);
    }
    let home = lab.folder("by-address");
    let mut by_address = BUILT_IN;
    by_address[1] = "203.0.113.1";
    names.set_zone("t NS ns.t\nns.t A 192.0.2.9");
    let words = "made, but the zone test has 192.0.2.9 as address of ns.t.test";
    assert_told(&lab, &home, &by_address, "t.test NS", words);
    let home = lab.folder("other");
    let by_hand = ["--host", "203.0.113.1", "--domain", "t.test"];
    for (zone, name, words) in [
        ("t A 203.0.113.1", "*.t.test", "does not exist: make *.t.test A 203.0.113.1"),
        (
            "t A 203.0.113.1\n*.t A 192.0.2.9",
            "*.t.test",
            "points to 192.0.2.9, the relay is at 203.0.113.1",
        ),
        ("t A 203.0.113.1\n*.t CNAME x\nx A 192.0.2.9", "*.t.test", "by its CNAME to x.test"),
    ] {
        names.set_zone(zone);
        assert_told(&lab, &home, &by_hand, name, words);
    }
    names.set_zone("old 600 A 192.0.2.9\n*.old A 203.0.113.1");
    assert_eq!(names.dig("old.test", "A"), "192.0.2.9");
    names.set_zone("old A 203.0.113.1\n*.old A 203.0.113.1");
    let moved = ["--host", "203.0.113.1", "--domain", "old.test"];
    let words = "made; the system's resolver still has 192.0.2.9 for up to";
    assert_told(&lab, &lab.folder("moved"), &moved, "old.test", words);
}

/// Sets up, waits for a moment, and looks at what was said.
fn assert_told(lab: &Lab, home: &Path, settings: &[&str], name: &str, words: &str) {
    let mut command = init(lab, home, settings);
    command.args(["--wait", "--timeout", "4s"]);
    let ended = Finished::of(command);
    ended.refused("B8102", 8);
    let steps = ended.events("step");
    assert!(steps.iter().any(|step| says(step, name, words)), "{name}: {words}: {steps:#?}");
}

fn says(step: &Value, name: &str, words: &str) -> bool {
    step["name"] == name
        && step["ok"] == false
        && step["detail"].as_str().is_some_and(|detail| detail.contains(words))
}

fn init(lab: &Lab, home: &Path, settings: &[&str]) -> Command {
    let (config, state) = (config(home), home.join("relay").display().to_string());
    let standard = ["relay", "init", "--config", &config, "--relay-state", &state];
    bore(&lab.relay, home, &[&standard, settings].concat())
}

/// Where `doctor` looks for it.
fn config(home: &Path) -> String {
    home.join(".config/bore/relay.toml").display().to_string()
}

/// A relay that is known by its address has its name server in its own zone, which needs glue.
const DELEGATION: &str = "t NS ns.t\nns.t A 203.0.113.1";
const BUILT_IN: [&str; 8] = [
    "--host",
    "relay.test",
    "--domain",
    "t.test",
    "--dns",
    "built-in",
    "--dns-listen",
    "203.0.113.1:53",
];
