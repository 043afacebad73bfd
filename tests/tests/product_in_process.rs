//! Programs that run the agent inside themselves, those of `agent/examples`, as a person runs them.
#![expect(
    clippy::unwrap_used,
    reason = "what a test looks for and does not find fails it, also in helpers"
)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use bore_tests::bore::{Finished, Relay, bore, example};
use bore_tests::curl::visit;
use bore_tests::lab::{Lab, RELAY, VISITOR};
use bore_tests::process::Process;
use bore_tests::service::Service;
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

/// What the relay holds for a visitor that reads later is not cut with the publication.
#[test]
fn a_slow_visitor_reads_its_answer_after_the_program_has_ended() {
    let lab = Lab::new();
    let relay = Relay::start(&lab);
    let (mut program, mut visitor) = answer_to_a_slow_visitor(&lab, &relay);
    program.signal(Signal::INT);
    let status = program.wait(SOON);
    assert!(status.success(), "{status}: {}", program.text());
    until("the publication to be taken back", SOON, || {
        (relay.state_of("echo") == "absent").then_some(())
    });
    assert_eq!(relay.metrics().series("bore_flows_open"), 1.0, "nothing was left to deliver");

    let mut heard = Vec::new();
    visitor.read_to_end(&mut heard).unwrap();
    assert_eq!(heard.len(), ANSWER_BYTES);
    until_no_flow_is_open(&relay);
}

#[test]
fn an_administrator_who_removes_a_publication_ends_its_connections_at_once() {
    let lab = Lab::new();
    let relay = Relay::start(&lab);
    let (_program, mut visitor) = answer_to_a_slow_visitor(&lab, &relay);
    let path = format!("{}/publications/echo", relay.network());
    let removed = relay.api("DELETE", &path, None);
    assert_eq!(removed.status, 204, "{removed:?}");
    until_no_flow_is_open(&relay);
    let mut heard = Vec::new();
    assert_eq!(visitor.read_to_end(&mut heard).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(heard.len() < ANSWER_BYTES);
}

#[test]
fn a_command_takes_the_name_of_a_listener_only_when_it_says_so() {
    let lab = Lab::new();
    let relay = Relay::start(&lab);
    let _service = Service::tcp_echo(&lab.agent, 7000);
    let mut program = start(&lab, &relay);
    address(&mut program);
    let state = lab.folder("echo").join("state");
    let publish = |more: &[&str]| {
        let wanted = ["publish", "tcp", "7000", "--name", "echo", "--bg", "--no-wait"];
        let mut command = bore(&lab.agent, &lab.folder("echo"), &[&wanted, more].concat());
        command.env("BORE_STATE", &state);
        Finished::of(command)
    };
    let refusal = publish(&[]).refused("B2102", 6);
    assert!(refusal.text().contains("--replace"), "{refusal:?}");
    assert_eq!(relay.publication("echo").unwrap()["target"], "in-process");
    publish(&["--replace"]).success();
    assert_eq!(relay.publication("echo").unwrap()["target"], "localhost:7000");
    let status = program.wait(SOON);
    assert!(!status.success() && program.text().contains("taken back"), "{}", program.text());
}

#[test]
fn a_router_is_served_on_the_streams_of_a_listener() {
    let lab = Lab::new();
    let relay = Relay::start(&lab);
    lab.agent.set_hosts(&[("web.t.test", RELAY.into())]);
    let mut program = start_example(&lab, &relay, "web");
    assert_eq!(address(&mut program), "http://web.t.test/");
    let answer = visit(&lab.visitor, "web.t.test", "/");
    assert_eq!((answer.status, answer.body), (200, format!("hello, {VISITOR}\n")));
    program.signal(Signal::INT);
    let status = program.wait(SOON);
    assert!(status.success(), "{status}: {}", program.text());
    assert_eq!(relay.state_of("web"), "absent");
}

/// The program has answered a visitor that has said its end, and that reads later. The kernels hold less than the answer: the rest is the relay's.
fn answer_to_a_slow_visitor(lab: &Lab, relay: &Relay) -> (Process, TcpStream) {
    lab.relay.run("sysctl", &["-qw", "net.ipv4.tcp_wmem=4096 8192 8192"]);
    lab.visitor.run("sysctl", &["-qw", "net.ipv4.tcp_rmem=4096 8192 8192"]);
    let mut program = start(lab, relay);
    let port = address(&mut program).rsplit_once(':').unwrap().1.parse().unwrap();
    let mut visitor = visitor::connect(&lab.visitor, port).unwrap();
    visitor.write_all(&vec![7; ANSWER_BYTES]).unwrap();
    visitor.shutdown(Shutdown::Write).unwrap();
    until("the answer to begin", SOON, || {
        (visitor.peek(&mut [0; 4096]).unwrap() > 1000).then_some(())
    });
    (program, visitor)
}

fn until_no_flow_is_open(relay: &Relay) {
    until("the flow to end", SOON, || {
        (relay.metrics().series("bore_flows_open") == 0.0).then_some(())
    });
}

fn start(lab: &Lab, relay: &Relay) -> Process {
    start_example(lab, relay, "echo")
}

fn start_example(lab: &Lab, relay: &Relay, name: &str) -> Process {
    let mut command = lab.agent.command(example(name));
    command.arg(lab.folder(name).join("state")).env("BORE_JOIN_KEY", relay.join_key());
    Process::start(name, command)
}

/// Where it says that it is live.
fn address(program: &mut Process) -> String {
    program.line("its address", |line| line.text.strip_prefix("live at ").map(str::to_owned))
}

/// No more than a window of the netstack has at first.
const ANSWER_BYTES: usize = 60_000;
