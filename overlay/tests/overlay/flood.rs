//! Floods of initiations: whoever knows our public key can make valid ones.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bore_overlay::limits::TRANSMITS_UNPROVEN_MAX;
use bore_overlay::{DropReason, UnknownKeys};

use crate::lab::{AGENT, Datagram, Lab, NODE_V6, RELAY, address, udp_packet};

#[test]
fn attack_29_known_peers_still_rekey_during_a_flood_from_spoofed_sources() {
    let (mut lab, agent, relay) = Lab::connected();
    let established = lab.end(RELAY).overlay.status(agent).unwrap().session_established;
    let flood = valid_initiations(&mut lab, 400);
    lab.now += Duration::from_secs(2);

    for (initiation, from) in flood.iter().zip(spoofed_sources()) {
        flood_with(&mut lab, initiation, from);
    }
    assert!(lab.end(RELAY).overlay.counters().cookies_sent > 0, "cookies are demanded");
    let now = lab.now;
    lab.end(AGENT).overlay.start_handshake(relay, now);
    lab.settle();

    let status = lab.end(RELAY).overlay.status(agent).unwrap();
    assert!(status.session_established > established, "the peer has a new session");
    assert_eq!(status.endpoint, Some(address(AGENT)));
}

#[test]
fn attack_29_a_flood_in_a_peers_own_name_costs_it_one_round_trip() {
    let (mut lab, agent, relay) = Lab::connected();
    let established = lab.end(RELAY).overlay.status(agent).unwrap().session_established;
    let flood = valid_initiations(&mut lab, 400);
    lab.now += Duration::from_secs(2);
    for initiation in &flood {
        flood_with(&mut lab, initiation, address(AGENT));
    }
    let now = lab.now;
    lab.end(AGENT).overlay.start_handshake(relay, now);
    lab.settle();
    assert!(lab.end(AGENT).overlay.counters().cookies_received > 0);
    let status = lab.end(RELAY).overlay.status(agent).unwrap();
    assert!(status.session_established > established);
}

#[test]
fn attack_29_a_flood_makes_no_strangers_and_no_endless_queue() {
    let (mut lab, ..) = Lab::connected();
    let flood = valid_initiations(&mut lab, 20);
    for (initiation, from) in flood.iter().cycle().zip(spoofed_sources().take(4_000)) {
        flood_with(&mut lab, initiation, from);
    }
    assert_eq!(lab.end(RELAY).overlay.counters().pending_added, 0);
    assert!(lab.intercept().len() <= TRANSMITS_UNPROVEN_MAX);
    assert!(lab.dropped(RELAY, DropReason::TransmitsFull) > 0);
}

#[test]
fn attack_29_without_our_key_not_even_a_cookie_is_given() {
    let (mut lab, ..) = Lab::connected();
    let mut forged = valid_initiations(&mut lab, 1).remove(0);
    forged.bytes[120] ^= 1;
    lab.deliver(&forged);
    assert_eq!(lab.dropped(RELAY, DropReason::InvalidMac), 1);
    assert!(lab.intercept().is_empty());
}

#[test]
fn data_of_standing_sessions_passes_during_a_flood() {
    let (mut lab, agent, relay) = Lab::connected();
    for initiation in valid_initiations(&mut lab, 300) {
        lab.deliver(&initiation);
    }
    assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
    lab.settle();
    assert_eq!(lab.end(RELAY).packets, [(agent, udp_packet(NODE_V6))]);
}

/// Initiations with a valid mac1, each by a key that nobody knows.
fn valid_initiations(lab: &mut Lab, count: usize) -> Vec<Datagram> {
    const STRANGER: &str = "192.0.2.1:9";
    let mut initiations = Vec::new();
    lab.add(STRANGER, 200, UnknownKeys::Refuse);
    let peer = bore_overlay::Peer {
        public_key: lab.key(RELAY),
        preshared_key: None,
        endpoint: Some(address(RELAY)),
        persistent_keepalive: None,
        sources: crate::lab::NODE,
    };
    let relay = lab.add_peer(STRANGER, peer);
    let mut now = lab.now;
    for _ in 0..count {
        now += Duration::from_secs(1);
        let end = lab.end(STRANGER);
        end.overlay.start_handshake(relay, now);
        while let Some(transmit) = end.overlay.poll_transmit() {
            initiations.push(Datagram {
                from: address(STRANGER),
                to: transmit.to,
                bytes: transmit.payload,
            });
        }
    }
    lab.ends.remove(&address(STRANGER));
    initiations
}

fn spoofed_sources() -> impl Iterator<Item = SocketAddr> {
    (0..).map(|count| SocketAddr::new(Ipv4Addr::from(0x0A00_0000 + count * 7_919).into(), 1_000))
}

fn flood_with(lab: &mut Lab, initiation: &Datagram, from: SocketAddr) {
    let datagram = Datagram { from, ..initiation.clone() };
    lab.deliver(&datagram);
}
