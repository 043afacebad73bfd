//! `bore publish udp` with real services.

use std::net::SocketAddr;

use bore_tests::bore::{Agent, Publication, Relay};
use bore_tests::lab::{Lab, RELAY, RELAY_V6, VISITOR};
use bore_tests::origins::Bind9;
use bore_tests::service::Service;
use bore_tests::visitor::{exchange, udp, udp_to};
use bore_tests::wait::{SOON, until};

#[test]
fn a_name_server_answers_through_its_public_port() {
    let scene = Scene::new();
    let _named = Bind9::start(&scene.lab, 53);
    let published = scene.publish(&["53", "--port", "5353"]);
    scene.relay.wait_for_state(published.name(), "live");

    let server = format!("@{RELAY}");
    let arguments = ["-p", "5353", &server, "+short", "+tries=3", "+time=2", "lobby.game.test"];
    assert_eq!(scene.lab.visitor.run("dig", &arguments).trim(), "192.0.2.77");
}

#[test]
fn datagrams_of_every_size_come_back_unchanged() {
    let scene = Scene::new();
    let _echo = Service::udp_echo(&scene.lab.agent, 7777, 1);
    let _published = scene.publish(&["7777"]);
    let v4 = udp(&scene.lab.visitor, 7777);
    let v6 = udp_to(&scene.lab.visitor, SocketAddr::new(RELAY_V6.into(), 7777));
    for size in 1..=1200_usize {
        let payload: Vec<u8> = (1..=u8::MAX).cycle().skip(size).take(size).collect();
        let socket = if size % 2 == 0 { &v4 } else { &v6 };
        assert_eq!(exchange(socket, &payload), Some(payload), "{size} bytes");
    }
}

#[test]
fn every_port_of_a_range_leads_to_its_own() {
    let scene = Scene::new();
    let _echo = Service::udp_echo(&scene.lab.agent, 27000, 51);
    let published = scene.publish(&["27000-27050"]);
    assert_eq!(published.url(), format!("udp://{RELAY}:27000-27050"));
    for port in 27000..=27050_u16 {
        let payload = port.to_be_bytes();
        assert_eq!(exchange(&udp(&scene.lab.visitor, port), &payload), Some(payload.to_vec()));
    }
}

#[test]
fn many_visitors_get_their_own_answers() {
    let scene = Scene::new();
    let _echo = Service::udp_echo(&scene.lab.agent, 7777, 1);
    let _published = scene.publish(&["7777"]);
    let visitors: Vec<_> = (0..100).map(|_| udp(&scene.lab.visitor, 7777)).collect();
    for _ in 0..3 {
        for (number, socket) in visitors.iter().enumerate() {
            let payload = number.to_be_bytes();
            assert_eq!(exchange(socket, &payload), Some(payload.to_vec()));
        }
    }
    let flows = scene.relay.list("flows");
    let of_visitor = |flow: &&serde_json::Value| {
        flow["visitor"].as_str().unwrap().starts_with(&format!("{VISITOR}:"))
    };
    assert_eq!(flows.iter().filter(of_visitor).count(), visitors.len());
}

#[test]
fn an_allowed_network_gets_through_and_everybody_else_is_refused_and_counted() {
    let scene = Scene::new();
    let _echo = Service::udp_echo(&scene.lab.agent, 7777, 1);
    let mut published = scene.publish(&["7777", "--allow", "10.0.0.0/8"]);

    let notes = published.published()["access_notes"].to_string();
    assert!(notes.contains("10.0.0.0/8") && notes.contains("nobody else"), "{notes}");
    assert!(notes.contains("overlay"), "a private range is explained: {notes}");
    scene.relay.wait_for_state(published.name(), "live");

    assert_eq!(exchange(&udp(&scene.lab.colleague, 7777), b"hi"), Some(b"hi".to_vec()));
    let denied_before = scene.relay.metrics().total("bore_ingress_visitors_denied_total");
    assert_eq!(exchange(&udp(&scene.lab.visitor, 7777), b"hi"), None);
    let denied = scene.relay.metrics().total("bore_ingress_visitors_denied_total");
    assert!(denied > denied_before, "{denied_before} then {denied}");
    assert!(published.process().is_running());
}

#[test]
fn a_silent_service_is_live_and_called_silent() {
    let scene = Scene::new();
    let _silent = Service::udp_silent(&scene.lab.agent, 7778);
    let published = scene.publish(&["7778"]);
    let view = scene.relay.wait_for_state(published.name(), "live");
    assert_eq!(view["state"]["cause"], "service silent");
}

#[test]
fn a_service_that_starts_later_is_found() {
    let scene = Scene::new();
    let published = scene.publish(&["7779"]);
    let socket = udp(&scene.lab.visitor, 7779);
    assert_eq!(exchange(&socket, b"anybody?"), None);
    let _echo = Service::udp_echo(&scene.lab.agent, 7779, 1);
    until("an answer", SOON * 3, || exchange(&socket, b"now?"));
    assert_eq!(
        scene.relay.wait_for_state_within(SOON * 3, published.name(), "live")["name"],
        published.name()
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
        self.agent.publish(&[&["udp"], arguments].concat())
    }
}
