//! Replays: an initiation or a datagram seen before, from here or elsewhere, before or after a restart.

use std::time::Duration;

use bore_overlay::{DropReason, UnknownKeys};

use crate::lab::{AGENT, Datagram, ELSEWHERE, Lab, NODE_V6, RELAY, address, kind, udp_packet};

#[test]
fn attack_30_a_replayed_initiation_from_another_address_moves_nothing() {
    let (mut lab, agent, relay) = Lab::connected();
    let before = lab.end(RELAY).overlay.status(agent);
    let mut replay = first_initiation(&lab);
    replay.from = address(ELSEWHERE);
    lab.deliver(&replay);

    assert_eq!(lab.end(RELAY).overlay.status(agent), before);
    assert_eq!(lab.dropped(RELAY, DropReason::RepeatedInitiation), 1);
    assert!(lab.intercept().is_empty(), "nobody is answered");
    assert_talks(&mut lab, relay);
}

#[test]
fn attack_30_a_replayed_initiation_moves_nothing_after_a_restart_either() {
    let (mut lab, _, relay) = Lab::connected();
    let mut replay = first_initiation(&lab);
    replay.from = address(ELSEWHERE);
    lab.restart(RELAY, UnknownKeys::Garden);
    let agent = lab.add_agent_to_relay();

    lab.deliver(&replay);
    let answers = lab.intercept();
    assert_eq!(answers.len(), 1, "to a fresh responder it looks like any other");
    assert!(answers[0].bytes.len() < replay.bytes.len());
    assert_eq!(lab.endpoint(RELAY, agent), None);
    assert!(!lab.is_up(RELAY, agent));

    assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
    lab.settle();
    assert!(lab.is_up(RELAY, agent), "and the real one is not locked out");
    assert_eq!(lab.endpoint(RELAY, agent), Some(address(AGENT)));
}

#[test]
fn attack_30_old_initiations_in_a_row_do_not_disturb_the_standing_session() {
    let (mut lab, agent, relay) = Lab::connected();
    for _ in 0..30 {
        lab.now += Duration::from_secs(1);
        let now = lab.now;
        lab.end(AGENT).overlay.start_handshake(relay, now);
        lab.settle();
    }
    let old: Vec<Datagram> = lab.log.iter().filter(|sent| kind(sent) == 1).cloned().collect();
    let before = lab.end(RELAY).overlay.status(agent);
    for mut replay in old {
        replay.from = address(ELSEWHERE);
        lab.deliver(&replay);
    }
    lab.collect();
    lab.wire.clear();
    assert_eq!(lab.end(RELAY).overlay.status(agent), before);

    lab.now += Duration::from_secs(1);
    let now = lab.now;
    lab.end(AGENT).overlay.start_handshake(relay, now);
    lab.settle();
    assert_ne!(lab.end(RELAY).overlay.status(agent), before, "a real handshake still gets through");
    assert_talks(&mut lab, relay);
}

#[test]
fn attack_30_replayed_transport_data_is_dropped_and_moves_nothing() {
    let (mut lab, agent, relay) = Lab::connected();
    assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
    let mut replay = lab.wire[0].clone();
    lab.settle();
    replay.from = address(ELSEWHERE);
    lab.deliver(&replay);

    assert_eq!(lab.dropped(RELAY, DropReason::Replayed), 1);
    assert_eq!(lab.endpoint(RELAY, agent), Some(address(AGENT)));
    assert_eq!(lab.end(RELAY).packets.len(), 1);
}

#[test]
fn attack_30_a_replayed_response_or_cookie_changes_nothing() {
    let (mut lab, relay) = Lab::relay_and_agent();
    lab.settle();
    let before = lab.end(AGENT).overlay.status(relay);
    let replies: Vec<Datagram> =
        lab.log.iter().filter(|sent| matches!(kind(sent), 2 | 3)).cloned().collect();
    assert_eq!(replies.len(), 2);
    for mut reply in replies {
        lab.deliver(&reply);
        reply.from = address(ELSEWHERE);
        lab.deliver(&reply);
    }
    assert_eq!(lab.end(AGENT).overlay.status(relay), before);
    assert_eq!(lab.dropped(AGENT, DropReason::UnexpectedResponse), 2);
    assert_eq!(lab.dropped(AGENT, DropReason::InvalidCookie), 2);
    assert!(lab.intercept().is_empty());
}

#[test]
fn an_initiator_whose_clock_jumped_back_is_not_locked_out() {
    // The stamp in an initiation is the system's time, which a test cannot turn back; an older initiation that was held up is the
    // same thing to the responder.
    let (mut lab, _, relay) = Lab::connected();
    lab.now += Duration::from_secs(1);
    let now = lab.now;
    lab.end(AGENT).overlay.start_handshake(relay, now);
    let older = lab.intercept().remove(0);
    lab.now += Duration::from_secs(1);
    let now = lab.now;
    lab.end(AGENT).overlay.start_handshake(relay, now);
    let newer = lab.intercept().remove(0);

    lab.deliver(&newer);
    lab.deliver(&older);
    assert_eq!(lab.dropped(RELAY, DropReason::InvalidInitiation), 0);
    assert_eq!(lab.end(RELAY).overlay.counters().initiations_answered, 3);
    lab.settle();
    assert_talks(&mut lab, relay);
}

fn first_initiation(lab: &Lab) -> Datagram {
    lab.log.iter().find(|sent| kind(sent) == 1).unwrap().clone()
}

fn assert_talks(lab: &mut Lab, relay: bore_overlay::PeerId) {
    let before = lab.end(RELAY).packets.len();
    assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
    lab.settle();
    assert_eq!(lab.end(RELAY).packets.len(), before + 1);
}
