//! Trains as segments of one send: only on a path that was shown to carry them, and no longer than it does.

use std::time::Duration;

use bore_overlay::{Packets, PeerId};

use crate::lab::{AGENT, ELSEWHERE, Lab, NODE_V6, RELAY, udp_packet};

#[test]
fn a_train_leaves_in_segments_once_the_path_has_carried_a_burst() {
    let (mut lab, agent) = connected();
    assert!(!send_train(&mut lab, agent, false), "nothing is known yet");
    lab.advance(MOMENT, true);
    assert!(send_train(&mut lab, agent, false));
    assert!(!send_train(&mut lab, agent, true), "what was lost once leaves alone");
}

#[test]
fn a_path_that_loses_segments_is_sent_none_and_is_asked_again_later() {
    let (mut lab, agent) = connected();
    lab.loses_segments = true;
    for _ in 0..5 {
        assert!(!send_train(&mut lab, agent, false));
        lab.advance(MOMENT, true);
    }
    assert_eq!(lab.end(RELAY).overlay.counters().segments_lost, 1);
    let asked = lab.end(RELAY).overlay.counters().path_rounds;

    lab.loses_segments = false;
    lab.advance(Duration::from_secs(5), true);
    assert!(!send_train(&mut lab, agent, false));
    lab.advance(MOMENT, true);
    assert_eq!(lab.end(RELAY).overlay.counters().path_rounds, asked, "it rests");

    lab.advance(Duration::from_secs(5), true);
    assert!(!send_train(&mut lab, agent, false));
    lab.advance(MOMENT, true);
    assert!(send_train(&mut lab, agent, false));
}

#[test]
fn a_proven_path_that_begins_to_lose_segments_is_found_out_by_what_is_sent_again() {
    let (mut lab, agent) = proven();
    lab.advance(Duration::from_secs(1), true);
    lab.loses_segments = true;
    assert!(send_train(&mut lab, agent, false), "nobody knows yet");
    assert!(!send_train(&mut lab, agent, true));
    lab.advance(MOMENT, true);
    assert!(!send_train(&mut lab, agent, false));
}

#[test]
fn losses_that_hit_all_alike_say_nothing_about_segments() {
    let (mut lab, agent) = proven();
    lab.advance(Duration::from_secs(1), true);
    assert!(!send_train(&mut lab, agent, true));
    lab.advance(Duration::from_secs(1), false);
    assert!(send_train(&mut lab, agent, false));
}

#[test]
fn a_kernel_that_refuses_segments_is_asked_again_after_ten_seconds() {
    let (mut lab, agent) = proven();
    let now = lab.now;
    lab.end(RELAY).overlay.note_segments_refused(agent, now);
    assert!(!send_train(&mut lab, agent, false));
    lab.advance(Duration::from_secs(10), true);
    assert!(!send_train(&mut lab, agent, false));
    lab.advance(MOMENT, true);
    assert!(send_train(&mut lab, agent, false));
}

#[test]
fn another_endpoint_is_another_path() {
    let (mut lab, agent) = proven();
    lab.move_end(AGENT, ELSEWHERE);
    let relay = lab.relay_at_agent;
    lab.send(ELSEWHERE, relay.unwrap(), &udp_packet(NODE_V6));
    lab.settle();
    assert!(!send_train(&mut lab, agent, false));
}

#[test]
fn nothing_is_probed_where_segments_may_not_be_sent_or_probes_are_not_answered() {
    let (mut lab, agent) = connected();
    lab.end(RELAY).overlay.allow_segments(false);
    let asked = lab.end(RELAY).overlay.counters().path_rounds;
    assert!(!send_train(&mut lab, agent, false));
    lab.advance(MOMENT, true);
    assert_eq!(lab.end(RELAY).overlay.counters().path_rounds, asked);

    let (mut foreign, node, _) = Lab::connected();
    foreign.end(RELAY).overlay.allow_segments(true);
    assert!(!send_train(&mut foreign, node, false));
    foreign.advance(MOMENT, true);
    assert_eq!(foreign.end(RELAY).overlay.counters().path_rounds, 0);
}

#[test]
fn an_answer_is_never_longer_than_its_probe() {
    let (mut lab, agent) = connected();
    send_train(&mut lab, agent, false);
    lab.advance(MOMENT, true);
    let lengths = |from| lab.log.iter().filter(move |datagram| datagram.from == from);
    let from = |at: &str| lengths(at.parse().unwrap()).map(|datagram| datagram.bytes.len());
    let (probes, answers): (Vec<_>, Vec<_>) = (from(RELAY).collect(), from(AGENT).collect());
    assert_eq!(probes.iter().rev().take(6).min(), answers.iter().rev().take(6).max());
}

/// A relay that may send segments to an agent of ours.
fn connected() -> (Lab, PeerId) {
    let (mut lab, agent, relay) = Lab::connected();
    lab.end(RELAY).overlay.allow_segments(true);
    let now = lab.now;
    lab.end(RELAY).overlay.allow_probes(agent, false, now);
    lab.relay_at_agent = Some(relay);
    lab.advance(MOMENT, true);
    (lab, agent)
}

fn proven() -> (Lab, PeerId) {
    let (mut lab, agent) = connected();
    send_train(&mut lab, agent, false);
    lab.advance(MOMENT, true);
    assert!(send_train(&mut lab, agent, false));
    (lab, agent)
}

/// Seals two packets; gives whether they may leave as segments.
fn send_train(lab: &mut Lab, agent: PeerId, has_repeats: bool) -> bool {
    let packet = udp_packet(NODE_V6);
    let packets = Packets { bytes: &packet.repeat(2), packet_bytes: packet.len(), has_repeats };
    let (now, mut buffer) = (lab.now, [0; 2_048]);
    let overlay = &mut lab.end(RELAY).overlay;
    let train = overlay.encapsulate_train(agent, packets, &mut buffer, now).unwrap();
    assert_eq!(train.datagrams.len(), 2 * train.datagram_bytes);
    train.is_segmented
}

/// Longer than a few rounds take where datagrams need no time.
const MOMENT: Duration = Duration::from_millis(100);
