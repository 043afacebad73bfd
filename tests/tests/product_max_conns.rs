//! `--max-conns`: as many connections as the publisher allows, by every protocol.
#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::indexing_slicing,
    reason = "what a test looks for and does not find fails it"
)]

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};

use bore_tests::bore::{Agent, Relay};
use bore_tests::lab::Lab;
use bore_tests::service::Service;
use bore_tests::visitor::{connect, echo, exchange, udp};
use bore_tests::wait::{SOON, until};
use serde_json::json;

#[test]
fn a_third_visitor_of_two_is_refused_until_one_has_left() {
    let scene = Scene::new();
    for protocol in ["tcp", "http", "tls"] {
        scene.publish(protocol, &["--max-conns", "2"]);
        let mut held = vec![scene.come(protocol).unwrap(), scene.come(protocol).unwrap()];
        assert!(scene.come(protocol).is_none(), "{protocol}");
        held.truncate(1);
        held.push(until("a place", SOON, || scene.come(protocol)));
        assert!(scene.come(protocol).is_none(), "{protocol}");
        assert_eq!(held.iter_mut().filter_map(Visitor::still_served).count(), 2, "{protocol}");
        scene.assert_shown(protocol);
    }
    let refused = "bore_ingress_flows_refused_total{limit=\"MaxConns\"}";
    assert!(scene.relay.metrics().series(refused) >= 6.0);
}

#[test]
fn another_bound_is_for_new_visitors_at_once_and_cuts_nobody() {
    let scene = Scene::new();
    for protocol in ["tcp", "udp", "http", "tls"] {
        scene.publish(protocol, &["--max-conns", "2"]);
        let mut held = vec![scene.come(protocol).unwrap(), scene.come(protocol).unwrap()];
        assert!(scene.come(protocol).is_none(), "{protocol}");
        scene.publish(protocol, &["--max-conns", "3"]);
        held.push(until("a place", SOON, || scene.come(protocol)));
        assert!(scene.come(protocol).is_none(), "{protocol}");
        scene.publish(protocol, &["--max-conns", "1"]);
        assert_eq!(held.iter_mut().filter_map(Visitor::still_served).count(), 3, "{protocol}");
        assert!(scene.come(protocol).is_none(), "{protocol}");
        scene.assert_shown(protocol);
        scene.publish(protocol, &[]);
        held.push(until("a place", SOON, || scene.come(protocol)));
    }
}

#[test]
fn the_bound_outlives_a_restart_of_the_relay() {
    let mut scene = Scene::new();
    for protocol in ["tcp", "udp"] {
        scene.publish(protocol, &["--max-conns", "2"]);
    }
    scene.agent.stop();
    scene.relay.stop();
    scene.relay.run();
    for protocol in ["tcp", "udp"] {
        let stored = scene.relay.publication(protocol).unwrap();
        assert_eq!(stored["limits"], json!({"connections_max": 2}), "{protocol}");
    }
    scene.agent.start();
    for protocol in ["tcp", "udp"] {
        scene.relay.wait_for_state(protocol, "live");
        let _held = [scene.come(protocol).unwrap(), scene.come(protocol).unwrap()];
        assert!(scene.come(protocol).is_none(), "{protocol}");
    }
}

#[test]
fn a_visit_of_the_agent_itself_needs_no_place() {
    let scene = Scene::new();
    scene.publish("tcp", &["--max-conns", "1"]);
    let mut held = scene.come("tcp").unwrap();
    let visits = || scene.relay.metrics().series("bore_ingress_probes_taken_total");
    let before = visits();
    // Another check of the target is another thing to prove, from outside too.
    scene.publish("tcp", &["--max-conns", "1", "--health", "none"]);
    until("a visit of the agent", SOON, || (visits() > before).then_some(()));
    scene.relay.wait_for_state("tcp", "live");
    held.still_served().unwrap();
    assert!(scene.come("tcp").is_none());
}

/// An agent with a service of each protocol.
struct Scene {
    relay: Relay,
    agent: Agent,
    _services: [Service; 4],
    lab: Lab,
}

enum Visitor {
    Stream(TcpStream),
    Socket(UdpSocket),
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let relay = Relay::start(&lab);
        let agent = Agent::join(&lab, &relay).knows_hosts(&["http", "tls"]);
        let services = [
            Service::tcp_echo(&lab.agent, 7000),
            Service::udp_echo(&lab.agent, 7000, 1),
            Service::tcp(&lab.agent, 7001, upgrade_and_echo),
            // What comes after the ClientHello is the service's own.
            Service::tcp_echo(&lab.agent, 7002),
        ];
        Self { relay, agent, _services: services, lab }
    }

    /// Publishes the service of `protocol` under that name.
    fn publish(&self, protocol: &str, options: &[&str]) {
        let port = match protocol {
            "http" => "7001",
            "tls" => "7002",
            _ => "7000",
        };
        let fixed = [protocol, port, "--name", protocol, "--no-wait"];
        self.agent.publish_in_background(&[&fixed, options].concat());
        until("the service to be reached", SOON, || {
            let state = self.relay.state_of(protocol);
            (state == "reachable" || state == "live").then_some(())
        });
    }

    /// A visitor that is served, and stays until it is dropped.
    fn come(&self, protocol: &str) -> Option<Visitor> {
        let visitor = &self.lab.visitor;
        match protocol {
            "udp" => {
                let socket = udp(visitor, 7000);
                // The second answers the first answer: who does that is not made room of.
                exchange(&socket, b"first")?;
                exchange(&socket, b"second")?;
                Some(Visitor::Socket(socket))
            }
            "http" => {
                let mut stream = connect(visitor, 80).unwrap();
                stream.write_all(REQUEST).unwrap();
                let mut answer = [0; 4096];
                let count = stream.read(&mut answer).unwrap();
                let answer = String::from_utf8_lossy(answer.get(..count).unwrap()).to_lowercase();
                if answer.starts_with("http/1.1 503") {
                    assert!(answer.contains("retry-after:"), "{answer}");
                    assert!(answer.contains("bore-error: full"), "{answer}");
                    return None;
                }
                assert!(answer.starts_with("http/1.1 101"), "{answer}");
                Some(Visitor::Stream(stream))
            }
            "tls" => {
                let mut stream = connect(visitor, 443).unwrap();
                echo(&mut stream, HELLO).ok()?;
                Some(Visitor::Stream(stream))
            }
            _ => {
                // The reset may come before the call has returned.
                let mut stream = connect(visitor, 7000).ok()?;
                echo(&mut stream, b"hello").ok()?;
                Some(Visitor::Stream(stream))
            }
        }
    }

    /// Fails unless the state of the publication says that its bound was met.
    fn assert_shown(&self, name: &str) {
        let view = self.relay.publication(name).unwrap();
        let steps = view["state"]["steps"].as_array().unwrap();
        let told = |step: &&serde_json::Value| {
            step["detail"].as_str().is_some_and(|text| text.contains("--max-conns"))
        };
        assert!(steps.iter().any(|step| told(&step)), "{view}");
    }
}

impl Visitor {
    fn still_served(&mut self) -> Option<()> {
        match self {
            Self::Stream(stream) => echo(stream, b"still").ok(),
            Self::Socket(socket) => exchange(socket, b"still").map(drop),
        }
    }
}

/// Takes a request for another protocol and repeats what comes, until the visitor leaves.
fn upgrade_and_echo(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let Ok(count @ 1..) = stream.read(&mut buffer) else { return };
        request.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
    let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    if stream.write_all(head).is_err() {
        return;
    }
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(buffer.get(..count).unwrap_or_default()).is_err() {
            break;
        }
    }
}

const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: http.t.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";

/// A ClientHello for `tls.t.test`, as short as one can be.
const HELLO: &[u8] = &[
    0x16, 3, 1, 0, 74, 1, 0, 0, 70, 3, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 0, 0, 2, 0x13, 1, 1, 0, 0, 27,
    0, 0, 0, 15, 0, 13, 0, 0, 10, b't', b'l', b's', b'.', b't', b'.', b't', b'e', b's', b't', 0,
    13, 0, 4, 0, 2, 4, 3,
];
