//! What happens to the machine of a relay.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use bore_tests::fault::MemoryGroup;
use bore_tests::visitor;
use bore_tests::wait::{SOON, until};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::scene::Scene;

pub(crate) fn full_disk(scene: &mut Scene) {
    scene.relay_disk.fill();
    // The log of the database may have room of its own for some changes.
    let refused = until("a change to be refused", SOON, || scene.write().err());
    assert!(refused.contains("B6101"), "{refused}");
    scene.demand_served();
    scene.relay_disk.empty();
    scene.demand_writes_back();
}

pub(crate) fn failing_disk(scene: &mut Scene) {
    for errno in [Errno::IO, Errno::ROFS] {
        scene.relay_faults.fail_with(errno);
        let refused = until("a change to be refused", SOON, || scene.write().err());
        println!("  {errno}: {refused}");
        scene.demand_served();
        scene.relay_faults.mend();
        scene.demand_writes_back();
    }
}

/// The database is elsewhere: changes are taken all the same.
pub(crate) fn failing_folder(scene: &mut Scene) {
    scene.relay_disk.fill();
    scene.demand_served();
    scene.write().unwrap();
    scene.relay_disk.empty();
    for errno in [Errno::IO, Errno::ROFS] {
        scene.relay_faults.fail_with(errno);
        scene.demand_served();
        scene.write().unwrap();
        scene.relay_faults.mend();
    }
}

/// The relay is killed in the second in which its agent has come.
pub(crate) fn killed_behind_a_join(scene: &mut Scene) {
    scene.agent.stop();
    // Where it was before is no help.
    let _ = std::fs::remove_file(scene.relay.state().join("endpoints.json"));
    scene.relay.kill();
    scene.relay.run();
    scene.agent.start();
    scene.demand_back();
    scene.restart_relay();
}

pub(crate) fn no_descriptors(scene: &mut Scene) {
    scene.relay.stop();
    scene.relay.run_after("ulimit -n 256");
    scene.demand_back();
    let held: Vec<TcpStream> =
        (0..300).filter_map(|_| visitor::connect(&scene.lab.visitor, 20022).ok()).collect();
    println!("  {} visitors held", held.len());
    scene.write().unwrap();
    drop(held);
    scene.demand_back();
    scene.relay.stop();
    scene.relay.run();
    scene.demand_back();
}

pub(crate) fn short_memory(scene: &mut Scene) {
    let group = MemoryGroup::new(96 << 20);
    group.take_in(scene.relay.process().id());
    let _streams: Vec<TcpStream> = (0..100).map(|_| scene.greet().unwrap()).collect();
    scene.demand_served();
    scene.write().unwrap();
    scene.relay.stop();
    scene.relay.run();
}

pub(crate) fn frozen(scene: &mut Scene) {
    scene.relay.process().signal(Signal::STOP);
    let (began, span) = (Instant::now(), Duration::from_secs(5));
    until("the end of the frost", SOON, || (began.elapsed() > span).then_some(()));
    scene.relay.process().signal(Signal::CONT);
    scene.demand_back();
    scene.demand_writes_back();
}

pub(crate) fn clock_jumps(scene: &mut Scene) {
    for days in [-400, 400] {
        scene.relay_faults.shift_clock(days * 86_400);
        scene.demand_served();
        scene.write().unwrap();
    }
    scene.relay_faults.mend();
    scene.demand_served();
    scene.write().unwrap();
}

pub(crate) fn power_loss(scene: &mut Scene) {
    scene.write().unwrap();
    scene.relay.kill();
    scene.relay.run();
    scene.demand_back();
    scene.demand_writes_back();
}

/// As a failover does it: every connection of the relay ends.
pub(crate) fn database_cut(scene: &mut Scene, mut cut: impl FnMut()) {
    for _ in 0..3 {
        cut();
        scene.demand_served();
        scene.demand_writes_back();
    }
}
