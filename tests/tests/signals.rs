//! Signals always end a program in time, and where its words go is never in the way of its work.
#![expect(clippy::unwrap_used, reason = "what a test looks for and does not find fails it")]

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use bore_tests::bore::{Agent, Relay};
use bore_tests::lab::{Lab, VISITOR};
use bore_tests::service::Service;
use bore_tests::visitor;
use bore_tests::wait::{SOON, until};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn an_agent_whose_stderr_is_closed_serves_and_ends() {
    serve_and_end(Reader::Gone);
}

#[test]
fn an_agent_whose_stderr_nobody_reads_serves_and_ends() {
    serve_and_end(Reader::Asleep);
}

#[derive(PartialEq)]
enum Reader {
    Gone,
    Asleep,
}

fn serve_and_end(reader: Reader) {
    let mut scene = Scene::live();
    scene.agent.stop();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut command = scene.agent.command(&["join"]);
        command.env("BORE_LOG", "trace").stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let streams = (child.stdout.take(), child.stderr.take());
        let held = (reader == Reader::Asleep).then_some(streams);
        until("visitors to be served", SOON, || scene.greet().ok());
        // Enough lines for the buffers of any pipe.
        (0..100).for_each(|_| scene.greet().unwrap());
        send(&child, signal);
        assert!(ended(&mut child).success(), "{signal:?}");
        drop(held);
    }
}

#[test]
fn a_hangup_ends_an_agent_in_order_and_has_a_relay_go_on() {
    let mut scene = Scene::live();
    scene.relay.process().signal(Signal::HUP);
    scene.greet().unwrap();
    assert!(scene.relay.process().is_running());

    let mut published = scene.agent.publish(&["tcp", "7000", "--name", "brief", "--port", "20023"]);
    published.process().signal(Signal::HUP);
    assert!(published.process().wait(SOON).success());
    assert!(scene.relay.publication("brief").is_none(), "it was taken back");
    scene.agent.process().signal(Signal::HUP);
    assert!(scene.agent.process().wait(SOON).success());
}

#[test]
fn under_nohup_a_hangup_does_nothing() {
    let mut scene = Scene::live();
    scene.agent.stop();
    scene.agent.start_after("trap '' HUP");
    until("visitors to be served", SOON, || scene.greet().ok());
    scene.agent.process().signal(Signal::HUP);
    scene.agent.process().signal(Signal::HUP);
    scene.greet().unwrap();
    assert!(scene.agent.process().is_running());
    scene.agent.stop();
}

#[test]
fn a_second_interrupt_ends_a_relay_that_waits_for_its_visitors() {
    let mut scene = Scene::live();
    scene.relay.stop();
    let config = scene.relay.config().display().to_string();
    let mut relay = scene.relay.launch(&["relay", "run", "--config", &config, "--grace", "10m"]);
    relay.event("relay_running");
    until("visitors to be served", SOON * 2, || scene.greet().ok());
    let _held = visitor::connect(&scene.lab.visitor, 20022).unwrap();
    relay.signal(Signal::INT);
    relay.line("its last words", |line| line.text.contains("stopping").then_some(()));
    relay.signal(Signal::INT);
    assert_eq!(relay.wait(Duration::from_secs(5)).code(), Some(130));
}

#[test]
fn settings_of_another_user_are_passed_over_with_a_warning() {
    let lab = Lab::new();
    let agent = Agent::new(&lab, &lab.agent, "laptop");
    let mut command: Command = agent.command(&["explain", "B5101"]);
    // Behind a file there is no folder: as little to be read as behind a closed one, for root too.
    command.env("HOME", lab.file("home", ""));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("may not be read"), "{output:?}");
}

#[test]
fn an_interrupt_at_the_prompt_leaves_the_terminal_as_it_was() {
    let lab = Lab::new();
    let mut command = lab.agent.command("script");
    let bore = bore_tests::bore::binary();
    let line = format!("{} join; echo ended $?; stty -a", bore.display());
    command.args(["-qec", &line, "/dev/null"]).env("BORE_STATE", lab.path().join("state"));
    command.env("TERM", "xterm-256color").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut terminal = command.spawn().unwrap();
    let (mut keyboard, mut screen) =
        (terminal.stdin.take().unwrap(), terminal.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("join key:") {
        let mut byte = [0];
        screen.read_exact(&mut byte).unwrap();
        shown.push(char::from(byte[0]));
    }
    keyboard.write_all(b"bore_join_half\x03").unwrap();
    screen.read_to_string(&mut shown).unwrap();
    assert!(shown.contains("ended 130") && !shown.contains("half"), "{shown}");
    let is_on = |mode: &str| shown.split_whitespace().any(|word| word == mode);
    assert!(is_on("echo") && is_on("isig"), "{shown}");
    terminal.wait().unwrap();
}

/// A relay, an agent, and an echo service that is live at port 20022.
struct Scene {
    agent: Agent,
    relay: Relay,
    _echo: Service,
    lab: Lab,
}

impl Scene {
    fn live() -> Self {
        let lab = Lab::new();
        let relay = Relay::start(&lab);
        let agent = Agent::join(&lab, &relay);
        let echo = Service::tcp_echo(&lab.agent, 7000);
        agent.publish_in_background(&["tcp", "7000", "--name", "shell", "--port", "20022"]);
        relay.wait_for_state_within(SOON * 2, "shell", "live");
        Self { agent, relay, _echo: echo, lab }
    }

    fn greet(&self) -> std::io::Result<()> {
        let mut stream = visitor::connect(&self.lab.visitor, 20022)?;
        visitor::echo(&mut stream, VISITOR.to_string().as_bytes())
    }
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn ended(child: &mut Child) -> ExitStatus {
    until("its end", SOON, || child.try_wait().unwrap())
}
