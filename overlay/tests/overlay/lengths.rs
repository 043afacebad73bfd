//! How long a packet may be: as long as the path was shown to carry.

use std::time::Duration;

use bore_overlay::limits::{INNER_MTU, INNER_MTU_BASE, PROBE_ANSWERS_PER_SECOND_MAX};
use bore_overlay::{DropReason, Packets, PeerId};

use crate::lab::{AGENT, ELSEWHERE, Lab, NODE_V6, RELAY, udp_packet};

#[test]
fn a_path_is_shown_to_carry_the_greatest_length_before_that_is_used() {
    let (mut lab, agent) = probed();
    assert_eq!(length(&lab, agent), INNER_MTU_BASE);
    lab.advance(MOMENT, true);
    assert_eq!(length(&lab, agent), INNER_MTU);
    assert_eq!(changes(&mut lab), [agent], "told once");
    assert_eq!(shown(&lab, agent), Some(1_340), "with all headers, by IPv4");
}

#[test]
fn a_path_that_swallows_long_datagrams_carries_the_base_and_is_asked_again_while_data_flows() {
    let (mut lab, agent) = probed();
    lab.longest_bytes = INNER_MTU_BASE + 32;
    lab.advance(MOMENT, true);
    assert_eq!((length(&lab, agent), shown(&lab, agent)), (INNER_MTU_BASE, Some(1_260)));

    let asked = rounds(&lab);
    lab.advance(Duration::from_secs(60), true);
    assert_eq!(rounds(&lab), asked, "an idle tunnel is not probed");

    lab.longest_bytes = usize::MAX;
    send(&mut lab, agent, INNER_MTU_BASE, false);
    lab.advance(MOMENT, true);
    assert_eq!(length(&lab, agent), INNER_MTU, "the path has widened");
}

#[test]
fn a_path_that_begins_to_swallow_long_datagrams_is_found_out_by_what_is_sent_again() {
    let (mut lab, agent) = proven();
    lab.advance(Duration::from_secs(1), true);
    lab.longest_bytes = INNER_MTU;
    send(&mut lab, agent, INNER_MTU, true);
    lab.advance(MOMENT, true);
    assert_eq!(length(&lab, agent), INNER_MTU_BASE);
}

#[test]
fn a_path_that_begins_to_swallow_long_datagrams_is_found_out_by_datagrams_alone() {
    let (mut lab, agent) = proven();
    lab.longest_bytes = INNER_MTU;
    lab.advance(Duration::from_secs(10), true);
    send(&mut lab, agent, INNER_MTU, false);
    lab.advance(MOMENT, true);
    assert_eq!(length(&lab, agent), INNER_MTU_BASE);
}

#[test]
fn packets_that_are_shorter_than_may_be_need_the_length_too() {
    let (mut lab, agent) = proven();
    lab.longest_bytes = INNER_MTU;
    lab.advance(Duration::from_secs(10), true);
    // A fragment of a long datagram by IPv4: units of 8 bytes behind a header of 20.
    let fragment_bytes = 20 + (INNER_MTU - 20) / 8 * 8;
    assert!(fragment_bytes < INNER_MTU);
    send(&mut lab, agent, fragment_bytes, false);
    lab.advance(MOMENT, true);
    assert_eq!(length(&lab, agent), INNER_MTU_BASE);

    lab.longest_bytes = usize::MAX;
    lab.advance(Duration::from_secs(10), true);
    send(&mut lab, agent, 20 + (INNER_MTU_BASE - 20) / 8 * 8, false);
    lab.advance(MOMENT, true);
    assert_eq!(length(&lab, agent), INNER_MTU);
}

#[test]
fn an_outage_says_nothing_about_length() {
    let (mut lab, agent) = proven();
    send(&mut lab, agent, INNER_MTU, true);
    lab.advance(Duration::from_secs(14), false);
    assert_eq!(length(&lab, agent), INNER_MTU);
}

#[test]
fn a_kernel_that_refuses_a_long_datagram_is_believed_at_once() {
    let (mut lab, agent) = proven();
    let now = lab.now;
    let overlay = &mut lab.end(RELAY).overlay;
    overlay.note_datagram_too_long(agent, INNER_MTU_BASE + 32, now);
    assert_eq!(overlay.packet_bytes_max(agent), INNER_MTU, "that is the least of all paths");
    overlay.note_datagram_too_long(agent, INNER_MTU + 32, now);
    assert_eq!(overlay.packet_bytes_max(agent), INNER_MTU_BASE);
    assert_eq!(changes(&mut lab), [agent]);
}

#[test]
fn a_kernel_that_answers_echo_requests_gets_what_they_show() {
    for (longest_bytes, expected) in [(usize::MAX, INNER_MTU), (INNER_MTU, INNER_MTU_BASE)] {
        let (mut lab, node) = kernel();
        lab.longest_bytes = longest_bytes;
        for _ in 0..10 {
            lab.settle();
            answer_echoes(&mut lab);
            lab.advance(Duration::from_millis(20), true);
        }
        assert_eq!(length(&lab, node), expected);
        assert_eq!(shown(&lab, node), Some(expected + 60));
    }
}

#[test]
fn a_kernel_that_answers_nothing_gets_the_length_that_every_path_carries_and_is_left_alone() {
    let (mut lab, node) = kernel();
    lab.advance(Duration::from_secs(30), true);
    assert_eq!((length(&lab, node), shown(&lab, node)), (INNER_MTU_BASE, None));
    assert_eq!(rounds(&lab), 3);
    lab.advance(Duration::from_secs(1_170), true);
    let sessions = 10;
    assert!(rounds(&lab) <= 3 + sessions, "one with each session: {}", rounds(&lab));

    let asked = rounds(&lab);
    send(&mut lab, node, INNER_MTU_BASE, false);
    lab.advance(Duration::from_secs(64), true);
    assert!(rounds(&lab) > asked, "long packets ask again");
}

#[test]
fn a_peer_that_moves_and_moves_is_not_probed_at_every_address() {
    let (mut lab, _) = proven();
    let relay = lab.relay_at_agent.unwrap();
    let asked = rounds(&lab);
    let mut at = AGENT.to_owned();
    for port in 1..=200 {
        let next = format!("192.0.2.99:{port}");
        lab.move_end(&at, &next);
        at = next;
        lab.send(&at, relay, &udp_packet(NODE_V6));
        lab.advance(Duration::from_millis(5), true);
    }
    let asked = rounds(&lab) - asked;
    assert!((1..=3).contains(&asked), "{asked} rounds in a second");
}

#[test]
fn probes_are_answered_but_not_without_end() {
    let (mut lab, agent) = probed();
    let relay = lab.relay_at_agent.unwrap();
    let allowed = u64::from(PROBE_ANSWERS_PER_SECOND_MAX);
    lab.settle();
    let sent = lab.relay().status(agent).unwrap().sent_bytes;
    for _ in 0..10 * allowed {
        lab.send(AGENT, relay, &probe());
    }
    lab.settle();
    let answers = (lab.relay().status(agent).unwrap().sent_bytes - sent) / (48 + 32);
    assert_eq!(answers, allowed);
    assert_eq!(lab.dropped(RELAY, DropReason::ProbeRateLimited), 9 * allowed);
    lab.advance(Duration::from_secs(1), true);
    lab.send(AGENT, relay, &probe());
    lab.settle();
    assert_eq!(lab.dropped(RELAY, DropReason::ProbeRateLimited), 9 * allowed, "it may ask again");
}

#[test]
fn another_endpoint_keeps_the_length_until_its_path_has_answered() {
    let (mut lab, agent) = proven();
    lab.move_end(AGENT, ELSEWHERE);
    lab.longest_bytes = INNER_MTU;
    let relay = lab.relay_at_agent.unwrap();
    lab.send(ELSEWHERE, relay, &udp_packet(NODE_V6));
    lab.settle();
    assert_eq!(length(&lab, agent), INNER_MTU);
    lab.advance(Duration::from_secs(1), true);
    assert_eq!(length(&lab, agent), INNER_MTU_BASE);
}

/// A relay whose agent is one of our own nodes; no probe has moved.
fn probed() -> (Lab, PeerId) {
    let (mut lab, agent, relay) = Lab::connected();
    let now = lab.now;
    lab.end(RELAY).overlay.allow_probes(agent, false, now);
    lab.relay_at_agent = Some(relay);
    (lab, agent)
}

/// A relay and a node that is no node of ours.
fn kernel() -> (Lab, PeerId) {
    let (mut lab, node, relay) = Lab::connected();
    let now = lab.now;
    lab.end(RELAY).overlay.allow_probes(node, true, now);
    lab.relay_at_agent = Some(relay);
    (lab, node)
}

/// As a host does: the ends are swapped, and the type is another.
fn answer_echoes(lab: &mut Lab) {
    let relay = lab.relay_at_agent.unwrap();
    for (_, request) in std::mem::take(&mut lab.end(AGENT).packets) {
        assert_eq!((request[9], request[20]), (1, 8), "an echo request");
        let mut answer = request.clone();
        answer[12..16].copy_from_slice(&request[16..20]);
        answer[16..20].copy_from_slice(&request[12..16]);
        answer[20] = 0;
        lab.send(AGENT, relay, &answer);
    }
}

fn proven() -> (Lab, PeerId) {
    let (mut lab, agent) = probed();
    lab.advance(MOMENT, true);
    assert_eq!(length(&lab, agent), INNER_MTU);
    changes(&mut lab);
    (lab, agent)
}

fn send(lab: &mut Lab, peer: PeerId, packet_bytes: usize, has_repeats: bool) {
    let (bytes, now) = (vec![0; packet_bytes], lab.now);
    let packets = Packets { bytes: &bytes, packet_bytes, has_repeats };
    let mut buffer = [0; 2_048];
    let overlay = &mut lab.end(RELAY).overlay;
    assert!(overlay.encapsulate_train(peer, packets, &mut buffer, now).is_some());
}

fn changes(lab: &mut Lab) -> Vec<PeerId> {
    let overlay = &mut lab.end(RELAY).overlay;
    std::iter::from_fn(|| overlay.poll_path()).collect()
}

fn length(lab: &Lab, peer: PeerId) -> usize {
    lab.relay().packet_bytes_max(peer)
}

fn shown(lab: &Lab, peer: PeerId) -> Option<usize> {
    lab.relay().status(peer)?.path_mtu_bytes()
}

fn rounds(lab: &Lab) -> u64 {
    lab.relay().counters().path_rounds
}

/// Longer than a few rounds take where datagrams need no time.
const MOMENT: Duration = Duration::from_millis(100);

/// The shortest probe, of `overlay/src/probe.rs`.
fn probe() -> Vec<u8> {
    let node = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xb0, 0x7e];
    let mut packet = vec![0x60, 0, 0, 0, 0, 8, 253, 1];
    packet.extend([node, node].concat());
    packet.extend([0; 8]);
    packet
}
