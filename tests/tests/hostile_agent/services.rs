//! Behind its own publications: datagrams that were not asked for, reports that are not true, sessions without end.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use bore_tests::attempts::Attempt;
use bore_tests::lab::VISITOR;
use bore_tests::overlay_end::packet::udp;
use bore_tests::visitor::{self, exchange};
use serde_json::json;

use super::api::BOOT;
use super::scene::Scene;

pub(crate) const ATTEMPTS: [Attempt<Scene>; 6] = [
    // Datagrams.
    Attempt {
        name: "datagrams to somebody who never asked",
        make: |scene| unasked(scene, SocketAddr::new(VISITOR.into(), 5_000)),
        expected: "nothing",
    },
    Attempt {
        name: "datagrams to somebody on the relay's own network",
        make: |scene| unasked(scene, SocketAddr::new(bore_tests::lab::COLLEAGUE.into(), 5_000)),
        expected: "nothing",
    },
    Attempt {
        name: "answers to a visitor of the honest agent's",
        make: answers_for_others,
        expected: "only the honest answer",
    },
    // Its own session.
    Attempt {
        name: "its own watch, for what others publish",
        make: watch,
        expected: "only its own",
    },
    Attempt { name: "60 reports about a target that is none", make: reports, expected: "done" },
    Attempt { name: "a session that is taken over and over", make: sessions, expected: "done" },
];

/// Inner datagrams from its UDP publication to an address that sent it nothing.
fn unasked(scene: &mut Scene, to: SocketAddr) -> String {
    let publication = json!({"name": "mine", "protocol": "udp", "port": 9_001, "target": "1"});
    let view = scene.node.ask("POST", "/v1/nodes/self/publications", Some(&publication)).json();
    let port = u16::try_from(view["overlay_port"].as_u64().unwrap()).unwrap();
    let machine =
        if to.ip() == IpAddr::V4(VISITOR) { &scene.lab.visitor } else { &scene.lab.colleague };
    let victim = machine.enter(|| UdpSocket::bind(to).unwrap());
    victim.set_read_timeout(Some(super::SILENCE)).unwrap();
    for from in [port, 1_024, 1_025, 1_026, 9_001, 7_001] {
        scene.node.end.send(&udp(scene.node.source(from), to, b"unasked"));
    }
    scene.node.end.turn();
    match victim.recv_from(&mut [0; 64]) {
        Err(_) => "nothing".to_owned(),
        Ok((count, from)) => format!("{count} bytes from {from}"),
    }
}

/// Inner datagrams to a visitor that has a flow with the honest agent, in the name of every port that one may have.
fn answers_for_others(scene: &mut Scene) -> String {
    let socket = visitor::udp(&scene.lab.visitor, 7001);
    exchange(&socket, b"before").unwrap();
    let visitor = socket.local_addr().unwrap();
    let visitor = SocketAddr::new(VISITOR.into(), visitor.port());
    let honest: IpAddr = scene.nas()["overlay_v4"].as_str().unwrap().parse().unwrap();
    for port in 1_020..1_100 {
        let sources = [scene.node.source(port), SocketAddr::new(honest, port)];
        for from in sources {
            scene.node.end.send(&udp(from, visitor, b"forged"));
        }
    }
    scene.node.end.turn();
    match exchange(&socket, b"honest") {
        Some(answer) if answer == b"honest" => "only the honest answer".to_owned(),
        answer => format!("{answer:?}"),
    }
}

fn watch(scene: &mut Scene) -> String {
    assert_eq!(session(scene, BOOT, true), "200");
    let node = &mut scene.node;
    let flow = node.end.connect(node.v4.into(), super::scene::api_v4()).unwrap();
    let path = format!("GET /v1/nodes/self/watch?boot={BOOT} HTTP/1.1\r\nHost: 100.64.0.1\r\n\r\n");
    node.end.write(&flow, path.as_bytes(), Duration::from_secs(1));
    let (heard, _) = node.end.read(&flow, Duration::from_millis(500), |_| false);
    flow.abort();
    let heard = String::from_utf8_lossy(&heard).into_owned();
    let others = ["shell", "game", "app.t.test", "nas"].iter().find(|name| heard.contains(**name));
    match (heard.contains("\"hello\""), others) {
        (true, None) => "only its own".to_owned(),
        _ => heard,
    }
}

fn session(scene: &mut Scene, boot: &str, takeover: bool) -> String {
    let body = json!({"boot": boot, "takeover": takeover, "version": "0.1.0"});
    scene.node.ask("PUT", "/v1/nodes/self/session", Some(&body)).outcome()
}

fn reports(scene: &mut Scene) -> String {
    let publication = json!({"name": "mine", "protocol": "udp", "port": 9_001, "target": "1"});
    assert_eq!(scene.node.publish(&publication), "200");
    let note = "\u{1b}[2J".repeat(1_000);
    let report = json!({"ok": true, "detail": note, "note": note});
    for _ in 0..60 {
        let path = "/v1/nodes/self/publications/mine/target";
        let outcome = scene.node.ask("PUT", path, Some(&report)).outcome();
        if outcome != "204" {
            return outcome;
        }
    }
    "done".to_owned()
}

fn sessions(scene: &mut Scene) -> String {
    let mut last_refusal = None;
    for number in 0..100 {
        let boot = format!("00000000-0000-4000-8000-{number:012}");
        let outcome = session(scene, &boot, true);
        last_refusal = Some(outcome).filter(|outcome| outcome != "200").or(last_refusal);
    }
    last_refusal.unwrap_or_else(|| "done".to_owned())
}
