//! Everything comes back by itself: killed agents and relays, absences, moves; and two agents never fight over one identity.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what a test looks for and does not find fails it"
)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::Command;
use std::time::{Duration, Instant};

use bore_netstack::limits::START_GRACE;
use bore_tests::bore::{Agent, Relay};
use bore_tests::lab::{AGENT_MOVED, Lab, RELAY_TOWARDS_AGENTS, VISITOR};
use bore_tests::length::Length;
use bore_tests::namespace::must_run;
use bore_tests::service::Service;
use bore_tests::visitor;
use bore_tests::wait::{SOON, until};
use rustix::process::Signal;
use serde_json::Value;

#[test]
fn a_killed_agent_comes_back_with_the_same_names_and_ports() {
    let mut scene = Scene::live();
    let before = scene.publications();
    scene.agent.kill();
    scene.agent.start();
    let took = scene.wait_until_served();
    println!("agent killed and started: served again after {took:.2?}");
    scene.relay.wait_for_state("shell", "live");
    assert_eq!(scene.publications(), before);
}

#[test]
fn a_killed_relay_comes_back_with_everything_acknowledged_and_agents_find_it() {
    let mut scene = Scene::live();
    let before = scene.publications();
    scene.relay.kill();
    scene.relay.run();
    let took = scene.wait_until_served();
    println!("relay killed and started: served again after {took:.2?}");
    scene.relay.wait_for_state_within(SOON * 2, "shell", "live");
    assert_eq!(scene.publications(), before);
    assert_eq!(scene.relay.bore(&["audit", "verify"]).code, Some(0));
}

#[test]
fn visitors_of_an_agent_that_was_killed_learn_of_it_when_it_comes_back() {
    let mut scene = Scene::live();
    let mut waiting = visitor::connect(&scene.lab.visitor, 20022).unwrap();
    visitor::echo(&mut waiting, b"open").unwrap();
    scene.agent.kill();
    scene.agent.start();
    scene.wait_until_served();
    waiting.set_read_timeout(Some(SOON)).unwrap();
    let told = waiting.read(&mut [0]).unwrap_err();
    assert_eq!(told.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn services_of_a_relay_that_was_killed_learn_of_it_when_it_comes_back() {
    let mut scene = Scene::live();
    let (ended, ends) = std::sync::mpsc::channel();
    let _service = Service::tcp(&scene.lab.agent, 7001, move |mut stream| {
        // A check of the target sends nothing.
        if stream.read_exact(&mut [0; 4]).is_ok() {
            let _ = stream.write_all(b"open");
            let _ = ended.send(stream.read(&mut [0]).map_err(|error| error.kind()));
        }
    });
    scene.agent.publish_in_background(&["tcp", "7001", "--name", "waiting"]);
    scene.relay.wait_for_state("waiting", "live");
    let mut visitor = visitor::connect(&scene.lab.visitor, 7001).unwrap();
    visitor::echo(&mut visitor, b"open").unwrap();
    scene.relay.kill();
    scene.relay.run();
    scene.wait_until_served();
    let told = ends.recv_timeout(SOON).unwrap();
    assert_eq!(told, Err(std::io::ErrorKind::ConnectionReset));
}

#[test]
fn a_relay_that_was_frozen_serves_again_by_itself() {
    let mut scene = Scene::live();
    let before = scene.publications();
    scene.relay.process().signal(Signal::STOP);
    let (frozen, span) = (Instant::now(), Duration::from_secs(Length::pick(5, 20, 60)));
    until("the end of the frost", span * 2, || (frozen.elapsed() > span).then_some(()));
    scene.relay.process().signal(Signal::CONT);
    let took = scene.wait_until_served();
    println!("relay frozen for {span:?}: served again after {took:.2?}");
    scene.relay.wait_for_state_within(SOON * 4, "shell", "live");
    assert_eq!(scene.publications(), before);
}

#[test]
fn a_relay_that_was_away_for_twenty_seconds_is_found_again() {
    let mut scene = Scene::live();
    let before = scene.publications();
    scene.relay.stop();
    let away = Instant::now();
    until("twenty seconds", SOON * 2, || (away.elapsed() > Duration::from_secs(20)).then_some(()));
    scene.relay.run();
    let took = scene.wait_until_served();
    println!("relay away for 20 s: served again after {took:.2?}");
    assert_eq!(scene.publications(), before);
}

#[test]
fn an_agent_that_moves_to_another_address_stays_reachable() {
    let mut scene = Scene::live();
    let before = scene.publications();
    let agent = &scene.lab.agent;
    agent.ip(&["address", "flush", "dev", "relay"]);
    agent.add_address("relay", &format!("{AGENT_MOVED}/24"));
    agent.set_gateway(RELAY_TOWARDS_AGENTS.into());
    let took = scene.wait_until_served();
    println!("agent moved: served again after {took:.2?}");
    scene.relay.wait_for_state_within(SOON * 4, "shell", "live");
    assert_eq!(scene.publications(), before);
    assert!(scene.agent.process().is_running());
}

#[test]
fn a_nat_that_forgets_its_table_is_survived() {
    let scene = Scene::live_in(Lab::with_nat());
    let nat = scene.lab.nat.clone().unwrap();
    // A restarted NAT knows no mapping; taking its rules away and back empties its table.
    nat.ip(&["address", "flush", "dev", "relay"]);
    nat.add_address("relay", &format!("{AGENT_MOVED}/24"));
    nat.set_gateway(RELAY_TOWARDS_AGENTS.into());
    let took = scene.wait_until_served();
    println!("NAT moved to another address: served again after {took:.2?}");
}

#[test]
fn a_second_agent_with_the_same_identity_is_refused_while_the_first_lives() {
    let mut scene = Scene::live();
    let mut waiting = visitor::connect(&scene.lab.visitor, 20022).unwrap();
    visitor::echo(&mut waiting, b"open").unwrap();
    let clone = scene.clone_agent();
    let mut second = clone.launch(&[]);
    let status = second.wait(SOON * 2);
    assert_eq!(status.code(), Some(6), "{}", second.text());
    assert_eq!(second.events("error").pop().unwrap()["code"], "B5105");
    assert!(scene.agent.process().is_running());
    // Longer than flows of an earlier start have.
    waiting.set_read_timeout(Some(START_GRACE + Duration::from_secs(2))).unwrap();
    let silence = waiting.read(&mut [0]).unwrap_err();
    assert_eq!(silence.kind(), std::io::ErrorKind::WouldBlock, "no visitor of the first is reset");
    visitor::echo(&mut waiting, b"still here").unwrap();
    let took = scene.wait_until_served();
    println!("the clone was refused: the first agent served again after {took:.2?}");
}

#[test]
fn with_takeover_the_first_agent_is_told_and_stops() {
    let mut scene = Scene::live();
    let mut clone = scene.clone_agent();
    let began = Instant::now();
    clone.start_with(&["--takeover"]);
    let status = scene.agent.process().wait(SOON * 4);
    println!("the first agent stopped {:.2?} after the second started", began.elapsed());
    let said = scene.agent.process().text();
    assert_eq!(status.code(), Some(6), "{said}");
    assert_eq!(scene.agent.process().events("error").pop().unwrap()["code"], "B5104", "{said}");
    assert!(clone.process().is_running());
    // The clone has the same declarations, and a service of its own behind them.
    let _echo = Service::tcp_echo(clone.namespace(), 7000);
    until("the clone to serve", SOON * 4, || scene.greet().ok());
}

#[test]
fn a_killed_publish_command_takes_its_publication_with_it() {
    let scene = Scene::live();
    let _echo = Service::tcp_echo(&scene.lab.agent, 7001);
    let mut published = scene.agent.publish(&["tcp", "7001", "--name", "brief"]);
    published.process().kill();
    until("brief to be gone", SOON * 2, || {
        scene.relay.publication("brief").is_none().then_some(())
    });
    scene.demand_served();
}

#[test]
fn a_drain_is_told_and_can_be_taken_back() {
    let scene = Scene::live();
    scene.relay.bore(&["relay", "drain"]).success();
    let state = scene.relay.wait_for_state("shell", "down");
    assert!(state["state"]["cause"].as_str().unwrap().contains("draining"), "{state}");
    assert!(scene.greet().is_err(), "the port is closed");
    scene.relay.bore(&["relay", "undrain"]).success();
    scene.wait_until_served();
    scene.relay.wait_for_state("shell", "live");
}

#[test]
fn an_agent_that_lost_its_power_is_taken_in_again_within_seconds() {
    let mut scene = Scene::live();
    scene.agent.kill();
    let file = scene.agent.state().join("boot.json");
    let mut boot: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    boot["place"] = "another run of the kernel".into();
    fs::write(&file, boot.to_string()).unwrap();
    let began = Instant::now();
    scene.agent.start();
    println!("the relay took the agent in after {:.2?}", began.elapsed());
    scene.wait_until_served();
}

/// A relay, an agent, and a persistent publication of an echo service that is live.
struct Scene {
    agent: Agent,
    relay: Relay,
    _echo: Service,
    lab: Lab,
}

impl Scene {
    fn live() -> Self {
        Self::live_in(Lab::new())
    }

    fn live_in(lab: Lab) -> Self {
        let relay = Relay::start(&lab);
        let agent = Agent::join(&lab, &relay);
        let echo = Service::tcp_echo(&lab.agent, 7000);
        agent.publish_in_background(&["tcp", "7000", "--name", "shell", "--port", "20022"]);
        relay.wait_for_state_within(SOON * 2, "shell", "live");
        let scene = Self { agent, relay, _echo: echo, lab };
        scene.demand_served();
        scene
    }

    /// What a visitor knows of every publication: it must not change.
    fn publications(&self) -> Vec<(Value, Value, Value)> {
        let rows = self.relay.list("publications");
        rows.into_iter()
            .map(|row| (row["id"].clone(), row["name"].clone(), row["public"].clone()))
            .collect()
    }

    fn greet(&self) -> std::io::Result<()> {
        let mut stream = visitor::connect(&self.lab.visitor, 20022)?;
        visitor::echo(&mut stream, VISITOR.to_string().as_bytes())
    }

    fn demand_served(&self) {
        self.greet().unwrap();
    }

    fn wait_until_served(&self) -> Duration {
        let began = Instant::now();
        until("visitors to be served again", SOON * 4, || self.greet().ok());
        began.elapsed()
    }

    /// The same identity on another machine, as a cloned disk would have it.
    fn clone_agent(&self) -> Agent {
        let clone = Agent::new(&self.lab, &self.lab.second_agent(), "clone");
        must_run(Command::new("cp").arg("-a").arg(self.agent.state()).arg(clone.state()));
        for leftover in ["agent.sock", "lock"] {
            // What only a running agent has is not on a copy.
            let _ = fs::remove_file(clone.state().join(leftover));
        }
        clone
    }
}
