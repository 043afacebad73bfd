//! RESET: one end has lost its sessions, and the other finds out at once.

use std::time::Duration;

use bore_overlay::{DropReason, Event, UnknownKeys};

use crate::lab::{AGENT, Datagram, ELSEWHERE, Lab, NODE_V6, RELAY, address, kind, udp_packet};

#[test]
fn a_restarted_relay_is_found_in_one_round_trip() {
    let (mut lab, _, relay) = Lab::connected();
    lab.restart(RELAY, UnknownKeys::Garden);
    let agent = lab.add_agent_to_relay();
    lab.log.clear();

    assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
    lab.settle();

    let kinds: Vec<u8> = lab.log.iter().map(kind).collect();
    assert_eq!(kinds, [4, 0xB2, 1, 2, 4], "data, RESET, initiation, response, keepalive");
    assert!(lab.is_up(RELAY, agent));
    assert!(lab.end(AGENT).events.contains(&Event::ResetReceived { peer: relay }));
    assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
    lab.settle();
    assert_eq!(lab.end(RELAY).packets, [(agent, udp_packet(NODE_V6))]);
}

#[test]
fn the_old_session_is_kept_until_the_new_one_is_confirmed() {
    let (mut lab, _, relay) = Lab::connected();
    let established = lab.end(AGENT).overlay.status(relay).unwrap().session_established;
    let reset = reset_for_one_datagram(&mut lab, relay);
    lab.now += Duration::from_secs(1);
    lab.deliver(&reset);
    assert_eq!(lab.intercept().iter().map(kind).collect::<Vec<_>>(), [1]);

    let status = lab.end(AGENT).overlay.status(relay).unwrap();
    assert_eq!(status.session_established, established);
    assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
    lab.settle();
    assert_eq!(lab.end(RELAY).packets.len(), 1, "the session that nobody lost still works");
}

#[test]
fn attack_30_a_reset_that_names_no_datagram_is_ignored() {
    let (mut lab, ..) = Lab::connected();
    let spoofed = Datagram {
        from: address(RELAY),
        to: address(AGENT),
        bytes: vec![0xB2, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
    };
    lab.deliver(&spoofed);
    assert_eq!(lab.dropped(AGENT, DropReason::UnknownReset), 1);
    assert!(lab.intercept().is_empty());
}

#[test]
fn attack_30_resets_cause_a_handshake_in_five_seconds_at_most_and_each_only_once() {
    let (mut lab, _, relay) = Lab::connected();
    let first = reset_for_one_datagram(&mut lab, relay);
    let second = reset_for_one_datagram(&mut lab, relay);
    let third = reset_for_one_datagram(&mut lab, relay);

    lab.deliver(&first);
    assert_eq!(lab.intercept().len(), 1);
    lab.deliver(&first);
    assert_eq!(lab.dropped(AGENT, DropReason::UnknownReset), 1, "its tag is spent");
    lab.now += Duration::from_millis(4_999);
    lab.deliver(&second);
    assert_eq!(lab.dropped(AGENT, DropReason::ResetTooSoon), 1);
    lab.now += Duration::from_millis(1);
    lab.deliver(&third);
    assert_eq!(lab.end(AGENT).overlay.counters().resets_received, 2);
}

#[test]
fn a_reset_counts_from_whatever_address_it_comes() {
    let (mut lab, _, relay) = Lab::connected();
    let mut reset = reset_for_one_datagram(&mut lab, relay);
    reset.from = address(ELSEWHERE);
    lab.deliver(&reset);
    let sent = lab.intercept();
    assert_eq!((sent.len(), sent[0].to), (1, address(RELAY)), "the handshake goes to the peer");
}

#[test]
fn attack_33_resets_are_rare_and_shorter_than_what_they_answer() {
    let (mut lab, ..) = Lab::connected();
    let mut unknown = Datagram { from: address(ELSEWHERE), to: address(RELAY), bytes: vec![4; 32] };
    unknown.bytes[1..4].fill(0);
    for _ in 0..5_000 {
        lab.deliver(&unknown);
    }
    let answers = lab.intercept();
    assert!((1..=1_100).contains(&answers.len()), "{}", answers.len());
    assert!(answers.iter().all(|answer| answer.bytes.len() == 12));
    assert!(lab.dropped(RELAY, DropReason::ResetRateLimited) > 3_800);
}

/// The agent sends a datagram that is lost; this is what a relay that does not know its session would say.
fn reset_for_one_datagram(lab: &mut Lab, relay: bore_overlay::PeerId) -> Datagram {
    assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
    let lost = lab.intercept().remove(0);
    let tag = &lost.bytes[lost.bytes.len() - 8..];
    let bytes = [&[0xB2, 1, 0, 0][..], tag].concat();
    Datagram { from: lost.to, to: lost.from, bytes }
}
