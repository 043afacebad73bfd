//! How long a packet may be: as long as the path was shown to carry.

use std::time::Duration;

use bore_overlay::limits::{INNER_MTU, INNER_MTU_BASE};
use bore_overlay::{Packets, PeerId};

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
fn a_node_that_answers_no_probes_gets_the_greatest_length_until_the_kernel_refuses_it() {
    let (mut lab, node, _) = Lab::connected();
    assert_eq!((length(&lab, node), shown(&lab, node)), (INNER_MTU, None));
    let now = lab.now;
    lab.end(RELAY).overlay.note_datagram_too_long(node, INNER_MTU + 32, now);
    assert_eq!(length(&lab, node), INNER_MTU_BASE);

    lab.advance(Duration::from_secs(10), true);
    send(&mut lab, node, INNER_MTU_BASE, false);
    assert_eq!(length(&lab, node), INNER_MTU, "it is asked again");
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
    lab.advance(MOMENT, true);
    assert_eq!(length(&lab, agent), INNER_MTU_BASE);
}

/// A relay whose agent is one of our own nodes; no probe has moved.
fn probed() -> (Lab, PeerId) {
    let (mut lab, agent, relay) = Lab::connected();
    let now = lab.now;
    lab.end(RELAY).overlay.allow_probes(agent, now);
    lab.relay_at_agent = Some(relay);
    (lab, agent)
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
