//! A program that runs the agent inside itself, `agent/examples/echo.rs`, as a person runs it.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use bore_tests::bore::{Relay, example};
use bore_tests::lab::{Lab, VISITOR};
use bore_tests::process::Process;
use bore_tests::visitor;
use bore_tests::wait::{SOON, until};
use rustix::process::Signal;

#[test]
fn an_example_serves_visitors_without_a_local_port_and_ends_cleanly() {
    let lab = Lab::new();
    let relay = Relay::start(&lab);
    let mut program = start(&lab, &relay);
    let public = address(&mut program);
    let view = relay.wait_for_state("echo", "live");
    assert_eq!(view["target"], "in-process");

    let port = public.rsplit_once(':').unwrap().1.parse().unwrap();
    let mut stream = visitor::connect(&lab.visitor, port).unwrap();
    visitor::echo(&mut stream, b"in the same process").unwrap();
    let comes = format!("visitor {VISITOR}:");
    program.line("the visitor's address", |line| line.text.starts_with(&comes).then_some(()));

    let sent = vec![7; 1 << 20];
    let mut back = Vec::new();
    std::thread::scope(|scope| {
        let mut writer = stream.try_clone().unwrap();
        let sent = &sent;
        scope.spawn(move || {
            writer.write_all(sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        stream.read_to_end(&mut back).unwrap();
    });
    assert!(back == sent, "{} bytes came back of {}", back.len(), sent.len());

    let mut last = visitor::connect(&lab.visitor, port).unwrap();
    visitor::echo(&mut last, b"still here").unwrap();
    program.signal(Signal::INT);
    relay.wait_for_state("echo", "down");
    visitor::echo(&mut last, b"has its time").unwrap();
    drop(last);
    let status = program.wait(SOON);
    assert!(status.success(), "{status}: {}", program.text());
    until("the publication to be taken back", SOON, || {
        (relay.state_of("echo") == "absent").then_some(())
    });
}

#[test]
fn a_program_that_starts_again_is_the_same_node_with_the_same_publication() {
    let lab = Lab::new();
    let relay = Relay::start(&lab);
    let mut program = start(&lab, &relay);
    address(&mut program);
    program.kill();

    let mut program = start(&lab, &relay);
    address(&mut program);
    assert_eq!(relay.list("nodes").len(), 1, "another node");
    assert_eq!(relay.list("publications").len(), 1, "another publication");
}

fn start(lab: &Lab, relay: &Relay) -> Process {
    let mut command = lab.agent.command(example("echo"));
    command.arg(lab.folder("echo").join("state")).env("BORE_JOIN_KEY", relay.join_key());
    Process::start("echo", command)
}

/// Where it says that it is live.
fn address(program: &mut Process) -> String {
    program.line("its address", |line| line.text.strip_prefix("live at ").map(str::to_owned))
}
