//! A relay that its operator has turned against its agents. Whatever it says, an agent reaches nothing that was not declared on it, and its
//! reports tell nothing about its machine.
#![expect(clippy::unwrap_used, reason = "what a test looks for and does not find fails it")]
#![expect(clippy::indexing_slicing, reason = "of JSON: what is not there is null")]

#[path = "hostile_relay/relay.rs"]
mod relay;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use bore_tests::bore::Agent;
use bore_tests::lab::{AGENT, Lab};
use bore_tests::namespace::{Namespace, must_run};
use bore_tests::process::Process;
use bore_tests::service::Service;
use bore_tests::wait::{SOON, until};
use relay::{HostileRelay, order};
use serde_json::{Value, json};

#[test]
fn no_order_of_a_visit_makes_an_agent_dial_or_say_anything() {
    let scene = Scene::new(json!({}));
    scene.publishes(&["tcp", "7000", "--name", "shell"]);
    let commands = "CONFIG SET dir /root/.ssh\r\nSLAVEOF 203.0.113.66 6379\r\nQUIT";
    scene.demand_refused(json!({"token": commands, "expires_in_ms": 1_000, "addresses": []}));
    scene.demand_refused(
        json!({"token": commands, "expires_in_ms": 1_000, "addresses": ["tcp://127.0.0.1:6379"]}),
    );
    for address in HOSTILE_ADDRESSES {
        scene.demand_refused(order(&[address]));
    }
    // The right place first does not open the way to another.
    scene.demand_refused(order(&["tcp://203.0.113.1:7000", "tcp://127.0.0.1:6379"]));
}

#[test]
fn no_name_of_a_publication_leads_an_agent_into_its_own_machine() {
    let scene = Scene::new(json!({}));
    scene.publishes(&["http", "3000", "--name", "app"]);
    let near: [IpAddr; 6] = [
        Ipv4Addr::LOCALHOST.into(),
        Ipv6Addr::LOCALHOST.into(),
        Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(),
        Ipv4Addr::UNSPECIFIED.into(),
        AGENT.into(),
        Ipv4Addr::new(169, 254, 169, 254).into(),
    ];
    for address in near {
        scene.lab.agent.set_hosts(&[("app.t.test", address)]);
        scene.demand_refused(order(&["http://app.t.test/"]));
        scene.demand_refused(order(&["https://app.t.test/"]));
        scene.demand_refused(order(&[]));
    }
    for address in ["http://app.t.test:6379/", "http://127.0.0.1/", "http://intranet.test/"] {
        scene.demand_refused(order(&[address]));
    }
}

#[test]
fn a_relay_that_calls_another_port_its_own_is_followed_to_its_own_address_only() {
    let scene = Scene::new(json!({"http_port": 6379, "host": "127.0.0.1"}));
    scene.publishes(&["http", "3000", "--name", "app"]);
    scene.lab.agent.set_hosts(&[("app.t.test", Ipv4Addr::LOCALHOST.into())]);
    scene.demand_refused(order(&["http://app.t.test:6379/"]));
    scene.demand_refused(order(&["http://127.0.0.1:6379/"]));
}

#[test]
fn no_list_moves_what_was_acknowledged() {
    let scene = Scene::new(json!({}));
    scene.publishes(&["tcp", "7000", "--name", "shell"]);
    for list in [
        json!({"public_port": 6379, "public": "tcp://203.0.113.1:6379"}),
        json!({"public": "tcp://127.0.0.1:6379"}),
        json!({"protocol": "http", "hostnames": ["127.0.0.1"], "public": "http://127.0.0.1:80/"}),
        json!({"protocol": "http", "hostnames": ["localhost"], "public": "http://localhost/"}),
        json!({"target": "127.0.0.1:6379", "public": "udp://127.0.0.1:6379"}),
    ] {
        let report = scene.relay.tell(list.clone());
        scene.demand_nothing_told(&list, &report);
    }
    let status = scene.agent.bore(&["status"]).event("status");
    assert!(status["counters"]["orders_refused"].as_u64().unwrap() > 0, "{status}");
}

#[test]
fn an_acknowledgement_of_something_else_is_refused() {
    let scene = Scene::new(json!({}));
    scene.publishes(&["tcp", "7000", "--name", "shell"]);
    for answer in [
        json!({"name": "shell"}),
        json!({"public_port": 6379}),
        json!({"overlay_port": 1}),
        json!({"protocol": "udp"}),
    ] {
        scene.relay.acknowledges(answer.clone());
        let published = scene.agent.bore(&["publish", "tcp", "7001", "--name", "other", "--bg"]);
        assert!(published.stderr.contains("B7106"), "{answer}: {published:?}");
    }
    let listed = scene.agent.bore(&["status"]).event("status");
    let names: Vec<_> = listed["publications"].as_array().unwrap().iter().collect();
    assert_eq!(names.len(), 1, "{listed}");
    assert_eq!(names[0]["target"], "localhost:7000", "{listed}");
    scene.victims.demand_untouched();
}

#[test]
fn no_answer_steers_a_terminal_or_keeps_the_agent_from_starting_again() {
    let mut scene = Scene::new(json!({}));
    // Together more than the agent once could read back: then it ended for good.
    let hostile = "\u{1b}]0;owned\u{7}\r\n✓ shell is live ";
    let long = hostile.repeat(60_000);
    let public = format!("tcp://203.0.113.1:7000{hostile}");
    scene.relay.acknowledges(json!({"target": long, "public": public, "access_notes": [hostile]}));
    for port in ["7000", "7001"] {
        scene.publishes(&["tcp", port, "--name", &format!("shell{port}")]);
    }
    let mut command = scene.agent.namespace().command(bore_tests::bore::binary());
    command.args(["--no-color", "status"]).env("BORE_STATE", scene.agent.state());
    let printed = must_run(&mut command);
    assert!(printed.contains("shell7000"), "{printed}");
    assert!(!printed.chars().any(|c| c.is_control() && c != '\n'), "{printed:?}");
    assert!(!printed.lines().any(|line| line.starts_with('✓')), "{printed:?}");

    scene.agent.stop();
    let kept = scene.agent.state().join("publications.json").metadata().unwrap().len();
    assert!(kept < 1 << 16, "{kept} bytes");
    scene.agent.start();
}

#[test]
fn what_a_relay_acknowledges_too_late_for_the_command_is_known_to_the_agent() {
    let scene = Scene::new(json!({}));
    scene.relay.holds_acknowledgements(true);
    let arguments = ["publish", "tcp", "7001", "--name", "late", "--bg"];
    let mut command = Process::start("publish", scene.agent.command(&arguments));
    scene.relay.wait_for_request();
    command.kill();
    scene.relay.holds_acknowledgements(false);
    until("the agent to know what the relay has", SOON, || {
        let status = scene.agent.bore(&["status"]).event("status");
        status["publications"].to_string().contains("\"late\"").then_some(())
    });
}

#[test]
fn a_publication_that_is_not_understood_costs_no_other_one_and_is_shown() {
    let scene = Scene::new(json!({}));
    scene.publishes(&["tcp", "7000", "--name", "shell"]);
    scene.publishes(&["http", "3000", "--name", "app"]);
    scene.relay.tell_of("app", json!({"hostnames": ["no hostname"]}));
    until("the cause to be shown", SOON, || {
        let app = scene.shown("app");
        app["state"]["cause"].as_str().unwrap_or_default().contains("not understood").then_some(())
    });
    scene.relay.tell_of(
        "shell",
        json!({"state": {"state": "down", "cause": "told", "steps": [], "at": 0}}),
    );
    until("the list to be heard", SOON, || {
        (scene.shown("shell")["state"]["cause"] == "told").then_some(())
    });
    scene.demand_one_session();
}

#[test]
fn a_request_that_is_not_answered_ends_no_session() {
    let scene = Scene::new(json!({}));
    scene.publishes(&["tcp", "7000", "--name", "shell"]);
    scene.publishes(&["http", "3000", "--name", "app"]);
    scene.relay.displaces("app");
    scene.relay.wait_for_dropped_request();
    scene.relay.tell_of(
        "shell",
        json!({"state": {"state": "down", "cause": "told", "steps": [], "at": 0}}),
    );
    until("the list to be heard", SOON, || {
        (scene.shown("shell")["state"]["cause"] == "told").then_some(())
    });
    assert_eq!(scene.shown("app")["state"]["state"], "refused");
    scene.demand_one_session();
}

/// A hostile relay, an agent that has joined it, and what runs beside the agent.
struct Scene {
    victims: Victims,
    agent: Agent,
    relay: HostileRelay,
    lab: Lab,
    _services: [Service; 2],
}

impl Scene {
    fn new(relay: Value) -> Self {
        let lab = Lab::new();
        let victims = Victims::start(&lab.agent);
        let services = [3000, 7000].map(|port| Service::tcp_echo(&lab.agent, port));
        let relay = HostileRelay::start(&lab.relay, relay);
        let agent = Agent::join_from(&lab, &lab.agent, "nas", relay.join_key());
        Self { victims, agent, relay, lab, _services: services }
    }

    /// It never becomes live: that is not waited for.
    fn publishes(&self, arguments: &[&str]) {
        let arguments = [&["--timeout", "1s", "publish"], arguments, &["--bg"]].concat();
        self.agent.bore(&arguments).event("published");
    }

    /// What the agent shows of a publication.
    fn shown(&self, name: &str) -> Value {
        let status = self.agent.bore(&["status"]).event("status");
        let publications = status["publications"].as_array().unwrap();
        publications.iter().find(|view| view["name"] == name).unwrap().clone()
    }

    fn demand_one_session(&self) {
        let status = self.agent.bore(&["status"]).event("status");
        let (connected, again) = (&status["connected"], &status["counters"]["reconnections"]);
        assert_eq!((connected, again), (&json!(true), &json!(0)), "{status}");
    }

    fn demand_refused(&self, order: Value) {
        let report = self.relay.order(order.clone());
        self.demand_nothing_told(&order, &report);
    }

    /// A report of what was not done has one failed step, and nothing that was seen.
    fn demand_nothing_told(&self, attempt: &Value, report: &Value) {
        let steps = report["steps"].as_array().unwrap();
        assert!(steps.len() == 1 && steps[0]["ok"] == false, "{attempt}: {report}");
        for told in ["127.0.0.1", "::1", "6379", "accepted", "refused (os", "answered", "ms"] {
            assert!(!report.to_string().contains(told), "{attempt}: {report}");
        }
        self.victims.demand_untouched();
    }
}

/// Services that nobody declared.
struct Victims {
    tcp: Vec<TcpListener>,
    udp: UdpSocket,
}

impl Victims {
    fn start(machine: &Namespace) -> Self {
        machine.enter(|| {
            let places = [(Ipv4Addr::LOCALHOST, 6379), (Ipv4Addr::LOCALHOST, 80), (AGENT, 443)];
            let v4 = places.map(|(ip, port)| TcpListener::bind((ip, port)).unwrap());
            let v6 = [6379, 80].map(|port| TcpListener::bind((Ipv6Addr::LOCALHOST, port)).unwrap());
            let own = TcpListener::bind((AGENT, 80)).unwrap();
            let tcp: Vec<_> = v4.into_iter().chain(v6).chain([own]).collect();
            let udp = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 6379))).unwrap();
            tcp.iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
            udp.set_nonblocking(true).unwrap();
            Self { tcp, udp }
        })
    }

    /// What the kernel has accepted for a listener is there before the report of it is.
    fn demand_untouched(&self) {
        for listener in &self.tcp {
            let accepted = listener.accept().map_err(|error| error.kind());
            assert_eq!(accepted.map(|(_, from)| from), Err(ErrorKind::WouldBlock), "{listener:?}");
        }
        let received = self.udp.recv_from(&mut [0; 64]).map_err(|error| error.kind());
        assert_eq!(received, Err(ErrorKind::WouldBlock), "a datagram came");
    }
}

/// Ways to write a place on the agent's machine, and schemes to go there by.
const HOSTILE_ADDRESSES: [&str; 18] = [
    "tcp://127.0.0.1:6379",
    "udp://127.0.0.1:6379",
    "tls://127.0.0.1:6379",
    "http://127.0.0.1:6379/",
    "https://127.0.0.1:6379/",
    "tcp://localhost:6379",
    "tcp://redis.localhost:6379",
    "tcp://[::1]:6379",
    "tcp://[::ffff:127.0.0.1]:6379",
    "tcp://0.0.0.0:6379",
    "tcp://2130706433:6379",
    "tcp://0x7f.1:6379",
    "tcp://127.0.0.1:7000",
    "tcp://198.51.100.2:7000",
    "tcp://169.254.169.254:7000",
    "http://203.0.113.1/",
    "tcp://203.0.113.1:22",
    "gopher://127.0.0.1:6379/_FLUSHALL",
];
