//! What happens to the machine of an agent.

use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bore_tests::fault::MemoryGroup;
use bore_tests::service::Service;
use bore_tests::visitor;
use bore_tests::wait::{SOON, until};
use rustix::io::Errno;
use rustix::process::Signal;
use serde_json::Value;

use crate::scene::{BACK, Scene};

pub(crate) fn full_disk(scene: &mut Scene) {
    scene.agent_disk.fill();
    scene.restart_relay();
    refuse_what_cannot_be_kept(scene, "B6101");
    scene.agent_disk.empty();
    demand_saved(scene);
}

pub(crate) fn failing_disk(scene: &mut Scene) {
    for errno in [Errno::IO, Errno::ROFS, Errno::DQUOT] {
        scene.agent_faults.fail_with(errno);
        scene.restart_relay();
        let code = if errno == Errno::DQUOT { "B6101" } else { "B1002" };
        refuse_what_cannot_be_kept(scene, code);
        scene.agent_faults.mend();
        demand_saved(scene);
    }
}

/// A folder that takes no file takes no socket either: commands find the agent as soon as it does.
pub(crate) fn read_only_at_start(scene: &mut Scene) {
    scene.agent.stop();
    scene.agent_disk.make_read_only();
    scene.agent.start();
    scene.demand_back();
    assert_ne!(scene.agent.bore(&["status"]).code, Some(0), "no socket");
    scene.agent_disk.make_writable();
    until("commands to find the agent", BACK, || {
        (scene.agent.bore(&["status"]).code == Some(0)).then_some(())
    });
    let second = scene.agent.bore(&["join"]).events("error").pop().unwrap();
    assert_eq!(second["code"], "B6104", "{second}");
    demand_saved(scene);
}

/// A publication that could not be written is an error, is not served, and is not left on the relay.
fn refuse_what_cannot_be_kept(scene: &Scene, code: &str) {
    let _echo = Service::tcp_echo(&scene.lab.agent, 7001);
    let refused = scene
        .agent
        .bore(&["publish", "tcp", "7001", "--name", "keepme", "--port", "20023", "--bg"]);
    let error = refused.events("error").pop().unwrap();
    assert_eq!(error["code"], code, "{refused:?}");
    assert!(scene.relay.publication("keepme").is_none(), "taken back");
    assert!(visitor::connect(&scene.lab.visitor, 20023).is_err(), "not served");
    let status = status(scene);
    assert!(status["unsaved"].is_string(), "{status}");
}

fn demand_saved(scene: &Scene) {
    until("the state to be saved", BACK, || status(scene)["unsaved"].is_null().then_some(()));
    let file = fs::read_to_string(scene.agent.state().join("publications.json")).unwrap();
    assert!(file.contains("shell") && !file.contains("keepme"), "{file}");
}

fn status(scene: &Scene) -> Value {
    scene.agent.bore(&["status"]).success().event("status")
}

pub(crate) fn no_descriptors(scene: &mut Scene) {
    scene.agent.stop();
    scene.agent.start_after("ulimit -n 64");
    scene.demand_back();
    let held: Vec<TcpStream> = (0..60).filter_map(|_| scene.greet().ok()).collect();
    assert!(held.len() >= 16 && held.len() < 60, "{} visitors", held.len());
    let refused = status(scene)["counters"]["flows_refused_by_descriptors"].as_u64();
    assert!(refused > Some(0), "{refused:?}");
    scene.relay.kill();
    scene.relay.run();
    until("the agent to be back", SOON, || {
        status(scene)["connected"].as_bool().unwrap().then_some(())
    });
    drop(held);
    scene.demand_back();
    scene.agent.stop();
    scene.agent.start();
}

pub(crate) fn short_memory(scene: &mut Scene) {
    let group = MemoryGroup::new(48 << 20);
    group.take_in(scene.agent.process().id());
    let _streams: Vec<TcpStream> = (0..100).map(|_| scene.greet().unwrap()).collect();
    scene.demand_served();
    scene.agent.stop();
    scene.agent.start();
}

pub(crate) fn frozen(scene: &mut Scene) {
    scene.agent.process().signal(Signal::STOP);
    let (began, span) = (Instant::now(), Duration::from_secs(5));
    until("the end of the frost", SOON, || (began.elapsed() > span).then_some(()));
    scene.agent.process().signal(Signal::CONT);
    scene.demand_back();
}

pub(crate) fn clock_jumps(scene: &mut Scene) {
    for days in [-400, 400] {
        scene.agent_faults.shift_clock(days * 86_400);
        scene.demand_served();
        scene.restart_relay();
    }
    scene.agent_faults.mend();
    scene.demand_served();
}

/// The agent dies without a word; the machine comes back with another boot id while the relay still believes the dead one.
pub(crate) fn power_loss(scene: &mut Scene) {
    scene.agent.kill();
    let file = scene.agent.state().join("boot.json");
    let mut boot: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    boot["place"] = "another run of the kernel".into();
    fs::write(&file, boot.to_string()).unwrap();
    let began = Instant::now();
    scene.agent.start();
    println!("  the relay took the agent in after {:.1?}", began.elapsed());
    scene.demand_back();
}

pub(crate) fn late_network(scene: &mut Scene) {
    scene.agent.stop();
    let cable = |state| scene.lab.agent.ip(&["link", "set", "relay", state]);
    cable("down");
    let mut process = scene.agent.launch(&[]);
    // It says so after the time that it once gave up at.
    process.line_within(SOON * 2, "a warning", |line| {
        line.json().filter(|value| value["event"] == "warning")
    });
    cable("up");
    scene.lab.agent.set_gateway(bore_tests::lab::RELAY_TOWARDS_AGENTS.into());
    process.line_within(SOON * 2, "the session", |line| {
        line.json().filter(|value| value["event"] == "joined")
    });
    process.signal(Signal::TERM);
    assert!(process.wait(SOON).success());
    scene.agent.start();
}
