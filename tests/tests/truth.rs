//! `bore` says live only of what is: each way to be dead is told apart, and none of them is called live for a moment.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what a test looks for and does not find fails it"
)]

use std::time::Duration;

use bore_tests::bore::{Agent, Publication, Relay};
use bore_tests::curl::visit;
use bore_tests::lab::{COLLEAGUE, Lab};
use bore_tests::length::Length;
use bore_tests::service::Service;
use bore_tests::visitor;
use bore_tests::wait::{SOON, never, until};

#[test]
fn a_firewall_in_front_of_the_public_port_is_found_and_named() {
    let scene = Scene::new();
    let _echo = Service::tcp_echo(&scene.lab.agent, 7000);
    scene.close_firewall("tcp dport 7000 drop");
    let mut published = scene.publish(&["tcp", "7000"]);
    scene.never_live(&mut published);
    let view = scene.cause(published.name(), "reachable", "port");
    let step = failed_step(&view);
    assert_eq!(step["name"], "port", "{view}");
    assert!(step["detail"].as_str().unwrap().contains("firewall"), "{step}");

    if Length::current() > Length::Quick {
        scene.lab.relay.clear_nft();
        scene.relay.wait_for_state_within(PROBED_AGAIN, published.name(), "live");
    }
}

#[test]
fn a_firewall_in_front_of_a_udp_port_is_found_and_named() {
    let scene = Scene::new();
    let _echo = Service::udp_echo(&scene.lab.agent, 7000, 1);
    scene.close_firewall("udp dport 7000 drop");
    let mut published = scene.publish(&["udp", "7000"]);
    scene.never_live(&mut published);
    let view = scene.cause(published.name(), "reachable", "port");
    assert_eq!(failed_step(&view)["name"], "port", "{view}");
}

#[test]
fn waiting_for_a_proof_that_does_not_come_fails_and_says_which_step() {
    let scene = Scene::new();
    let _echo = Service::tcp_echo(&scene.lab.agent, 7000);
    scene.close_firewall("tcp dport 7000 reject with tcp reset");
    let refusal = scene.agent.bore(&["publish", "tcp", "7000", "--wait"]).refused("B8101", 8);
    assert!(refusal.cause.contains("port"), "{refusal:?}");
    assert!(scene.relay.list("publications").is_empty(), "and it is taken back");
}

#[test]
fn a_dead_target_is_down_and_refuses_visitors_at_once() {
    let scene = Scene::new();
    let mut published = scene.publish(&["tcp", "7000"]);
    scene.never_live(&mut published);
    scene.cause(published.name(), "down", "refused");
    let refused = visitor::connect(&scene.lab.visitor, 7000).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    let _echo = Service::tcp_echo(&scene.lab.agent, 7000);
    scene.relay.wait_for_state_within(PROBED_AGAIN, published.name(), "live");
}

#[test]
fn a_target_that_dies_takes_live_away_with_the_first_visitor() {
    let scene = Scene::new();
    let echo = Service::tcp_echo(&scene.lab.agent, 7000);
    let published = scene.publish(&["tcp", "7000"]);
    scene.relay.wait_for_state(published.name(), "live");
    drop(echo);
    assert!(
        visitor::connect(&scene.lab.visitor, 7000)
            .and_then(|mut stream| visitor::echo(&mut stream, b"x"))
            .is_err()
    );
    scene.cause(published.name(), "down", "refused");
}

#[test]
fn what_was_proved_at_one_port_is_not_said_of_another() {
    let scene = Scene::new();
    let _echo = Service::tcp_echo(&scene.lab.agent, 7000);
    let arguments = |port| ["tcp", "7000", "--name", "shell", "--wait", "--port", port];
    for (port, number) in [("20022", 20_022), ("20023", 20_023)] {
        scene.agent.publish_in_background(&arguments(port));
        let view = scene.relay.publication("shell").unwrap();
        assert_eq!(
            (&view["state"]["state"], &view["public_port"]),
            (&"live".into(), &number.into())
        );
        let mut stream = visitor::connect(&scene.lab.visitor, number).unwrap();
        visitor::echo(&mut stream, b"there").unwrap();
    }
}

#[test]
fn a_hostname_without_dns_is_never_live() {
    let scene = Scene::new();
    let _web = Service::http(&scene.lab.agent, 3000, "ours");
    let mut published = scene.publish(&["http", "3000", "--name", "app"]);
    scene.never_live(&mut published);
    let view = scene.cause("app", "reachable", "dns");
    assert_eq!(failed_step(&view)["name"], "dns", "{view}");
    assert_eq!(visit(&scene.lab.visitor, "app.t.test", "/").body, "ours", "the path itself works");
}

#[test]
fn a_hostname_that_leads_elsewhere_is_never_live() {
    let scene = Scene::new();
    // Another web server answers there, kindly and with 200; on this very machine, where no name of a relay leads a visit.
    let _other = Service::tcp_speaks_first(
        &scene.lab.agent,
        80,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    );
    scene.lab.agent.set_hosts(&[("app.t.test", std::net::Ipv4Addr::LOCALHOST.into())]);
    let _web = Service::http(&scene.lab.agent, 3000, "ours");
    let mut published = scene.publish(&["http", "3000", "--name", "app"]);
    scene.never_live(&mut published);
    let view = scene.cause("app", "reachable", "dns");
    assert_eq!(failed_step(&view)["name"], "dns", "{view}");
}

#[test]
fn a_stopped_agent_leaves_its_publications_offline() {
    let mut scene = Scene::new();
    let _echo = Service::tcp_echo(&scene.lab.agent, 7000);
    scene.agent.publish_in_background(&["tcp", "7000", "--name", "shell"]);
    scene.relay.wait_for_state("shell", "live");
    scene.agent.stop();
    let view = scene.relay.wait_for_state("shell", "offline");
    assert!(view["state"]["cause"].as_str().is_some_and(|cause| !cause.is_empty()), "{view}");
    let refused = visitor::connect(&scene.lab.visitor, 7000).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_frozen_agent_is_not_called_live_for_long() {
    let mut scene = Scene::new();
    let _echo = Service::tcp_echo(&scene.lab.agent, 7000);
    scene.agent.publish_in_background(&["tcp", "7000", "--name", "shell"]);
    scene.relay.wait_for_state("shell", "live");
    scene.agent.process().signal(rustix::process::Signal::STOP);
    until("live to end", CHECKED_AGAIN, || (scene.relay.state_of("shell") != "live").then_some(()));
    scene.agent.process().signal(rustix::process::Signal::CONT);
    scene.relay.wait_for_state_within(PROBED_AGAIN, "shell", "live");
}

#[test]
fn a_visit_that_policy_forbids_to_the_agent_still_proves_what_is_true() {
    let scene = Scene::new();
    let _echo = Service::tcp_echo(&scene.lab.agent, 7000);
    let only = format!("{COLLEAGUE}/32");
    let published = scene.publish(&["tcp", "7000", "--allow", &only]);
    scene.relay.wait_for_state(published.name(), "live");
    assert!(
        visitor::connect(&scene.lab.colleague, 7000)
            .and_then(|mut stream| visitor::echo(&mut stream, b"x"))
            .is_ok()
    );
    assert!(
        visitor::connect(&scene.lab.visitor, 7000)
            .and_then(|mut stream| visitor::echo(&mut stream, b"x"))
            .is_err()
    );
}

/// A relay and an agent that runs.
struct Scene {
    agent: Agent,
    relay: Relay,
    lab: Lab,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let relay = Relay::start(&lab);
        let agent = Agent::join(&lab, &relay);
        Self { agent, relay, lab }
    }

    fn publish(&self, arguments: &[&str]) -> Publication {
        self.agent.publish(arguments)
    }

    /// Between the agent's network and the relay's public ports; the tunnel itself is let through.
    fn close_firewall(&self, rule: &str) {
        let interface = self.lab.relay_interface_towards_agent();
        self.lab.relay.nft(&format!(
            "table inet wall {{\n chain input {{\n type filter hook input priority 0\n iifname \"{interface}\" {rule}\n }}\n}}"
        ));
    }

    /// Neither the relay nor the command says live, during several looks and at least one visit.
    fn never_live(&self, published: &mut Publication) {
        let name = published.name().to_owned();
        never(&format!("{name} live"), Length::pick(WATCHED, WATCHED * 2, WATCHED * 10), || {
            let view = self.relay.publication(&name)?;
            (view["state"]["state"] == "live").then(|| view.to_string())
        });
        let said = published.process().text();
        assert!(!said.contains("\"verified\":true") && !said.contains("is live"), "{said}");
    }

    /// Waits until a publication is in a state for a reason that contains `word`.
    fn cause(&self, name: &str, state: &str, word: &str) -> serde_json::Value {
        until(&format!("{name} to be {state} for {word}"), SOON, || {
            let view = self.relay.publication(name)?;
            let cause = view["state"]["cause"].as_str().unwrap_or_default();
            (view["state"]["state"] == state && cause.contains(word)).then_some(view)
        })
    }
}

fn failed_step(view: &serde_json::Value) -> &serde_json::Value {
    let steps = view["state"]["steps"].as_array().unwrap();
    steps
        .iter()
        .find(|step| step["ok"] == false)
        .unwrap_or_else(|| panic!("no failed step: {view}"))
}

const WATCHED: Duration = Duration::from_secs(3);
/// The agent visits again within a minute and a half, jitter included.
const PROBED_AGAIN: Duration = Duration::from_secs(120);
/// The relay checks again every half minute and gives a check ten seconds.
const CHECKED_AGAIN: Duration = Duration::from_secs(60);
