//! Truncated, flipped and made-up datagrams of every kind.

use std::time::Duration;

use bore_overlay::{PeerId, PeerStatus};
use proptest::prelude::*;

use crate::lab::{AGENT, Datagram, ELSEWHERE, Lab, NODE_V6, RELAY, address, kind, udp_packet};

#[test]
fn attack_30_every_truncation_of_all_four_types_changes_nothing() {
    let mut scene = Scene::new();
    let before = scene.states();
    for datagram in scene.seen.clone() {
        for length in 0..datagram.bytes.len() {
            let bytes = datagram.bytes[..length].to_vec();
            scene.lab.deliver(&Datagram { bytes, ..datagram.clone() });
        }
    }
    assert_eq!(scene.states(), before);
    scene.assert_talks();
}

#[test]
fn attack_30_every_flipped_bit_of_all_four_types_changes_nothing() {
    let mut scene = Scene::new();
    let before = scene.states();
    for datagram in scene.seen.clone() {
        for bit in 0..datagram.bytes.len() * 8 {
            let mut flipped = datagram.clone();
            flipped.from = address(ELSEWHERE);
            flipped.bytes[bit / 8] ^= 1 << (bit % 8);
            scene.lab.deliver(&flipped);
        }
    }
    assert_eq!(scene.states(), before);
    scene.assert_talks();
}

#[test]
fn attack_30_damaged_answers_in_the_middle_of_a_handshake_do_not_end_it() {
    let mut scene = Scene::new();
    scene.lab.now += Duration::from_secs(1);
    let now = scene.lab.now;
    scene.lab.end(AGENT).overlay.start_handshake(scene.relay, now);
    let initiation = scene.lab.intercept().remove(0);
    scene.lab.deliver(&initiation);
    let response = scene.lab.intercept().remove(0);
    assert_eq!(kind(&response), 2);
    // The last 16 bytes are mac2, which is nothing to an initiator.
    for byte in 0..response.bytes.len() - 16 {
        let mut flipped = response.clone();
        flipped.bytes[byte] ^= 0x80;
        scene.lab.deliver(&flipped);
    }
    let established = scene.lab.end(AGENT).overlay.status(scene.relay).unwrap().session_established;
    scene.lab.deliver(&response);
    let after = scene.lab.end(AGENT).overlay.status(scene.relay).unwrap().session_established;
    assert!(after > established, "the real response still counts");
    scene.lab.settle();
    scene.assert_talks();
}

#[test]
fn attack_30_the_largest_counter_is_refused_before_anything_overflows() {
    let mut scene = Scene::new();
    let before = scene.states();
    let mut datagram = scene.seen.iter().rfind(|seen| kind(seen) == 4).unwrap().clone();
    datagram.bytes[8..16].fill(0xFF);
    scene.lab.deliver(&datagram);
    assert_eq!(scene.states(), before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn attack_30_nothing_made_up_panics_or_changes_a_session(
        first in prop::sample::select(vec![0, 1, 2, 3, 4, 5, 0x40, 0xB0, 0xB1, 0xB2]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
        zeros in any::<bool>(),
        known_index in any::<bool>(),
    ) {
        let mut scene = Scene::new();
        let before = scene.states();
        let mut bytes = [&[first][..], &rest].concat();
        if zeros {
            bytes.iter_mut().skip(1).take(3).for_each(|byte| *byte = 0);
        }
        if known_index && bytes.len() >= 8 {
            let data = scene.seen.iter().rfind(|seen| kind(seen) == 4).unwrap();
            bytes[4..8].copy_from_slice(&data.bytes[4..8]);
        }
        for to in [RELAY, AGENT] {
            let bytes = bytes.clone();
            scene.lab.deliver(&Datagram { from: address(ELSEWHERE), to: address(to), bytes });
        }
        prop_assert_eq!(scene.states(), before);
    }

    #[test]
    fn attack_30_any_inner_packet_of_a_peer_is_filtered_without_a_panic(
        packet in prop::collection::vec(any::<u8>(), 1..200),
        version in prop::sample::select(vec![0x40_u8, 0x45, 0x60, 0xFF]),
    ) {
        let mut scene = Scene::new();
        let mut packet = packet;
        packet[0] = version;
        prop_assert!(scene.lab.send(AGENT, scene.relay, &packet));
        scene.lab.settle();
        scene.assert_talks();
    }
}

/// A relay and an agent with a session, and one datagram of each type that they exchanged.
struct Scene {
    lab: Lab,
    agent: PeerId,
    relay: PeerId,
    seen: Vec<Datagram>,
}

impl Scene {
    fn new() -> Self {
        let (mut lab, relay) = Lab::relay_and_agent();
        lab.settle();
        let agent = lab.add_agent_to_relay();
        assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
        lab.settle();
        lab.end(RELAY).packets.clear();
        let seen: Vec<Datagram> = lab.log.clone();
        assert!((1..=4).all(|wanted| seen.iter().any(|datagram| kind(datagram) == wanted)));
        Self { lab, agent, relay, seen }
    }

    fn states(&mut self) -> [Option<PeerStatus>; 2] {
        let Self { lab, agent, relay, .. } = self;
        [lab.end(RELAY).overlay.status(*agent), lab.end(AGENT).overlay.status(*relay)]
    }

    fn assert_talks(&mut self) {
        self.lab.collect();
        self.lab.wire.clear();
        self.lab.end(RELAY).packets.clear();
        assert!(self.lab.send(AGENT, self.relay, &udp_packet(NODE_V6)));
        self.lab.settle();
        assert_eq!(self.lab.end(RELAY).packets, [(self.agent, udp_packet(NODE_V6))]);
    }
}
