//! Explicit congestion notification: RFC 3168 §6.1.

use bore_netstack::Congestion;

use crate::script::{Peer, Script};
use crate::segment::{Segment, ack, data};

#[test]
fn it_is_asked_for_by_both_flags_and_granted_by_one() {
    // RFC 3168 §6.1.1.
    let mut script = Script::calling(ecn());
    script.expect(&["syn ece cwr 0..1"]);
    let greeting = script.greeting();
    let mut other = Script::called_unseen(Peer::default(), greeting);
    other.expect(&["syn ece 0..1 ack 1"]);
}

#[test]
fn a_peer_that_does_not_ask_is_not_granted_it() {
    // RFC 3168 §6.1.1.
    let mut script = Script::calling(Peer::default());
    let greeting = script.greeting();
    let mut other = Script::called_unseen(Peer::default(), greeting);
    other.expect(&["syn 0..1 ack 1"]);
    script.take();
}

#[test]
fn only_new_data_may_be_marked() {
    // RFC 3168 §6.1.4 pure acknowledgments, §6.1.5 retransmissions, §6.1.6 window probes are not ECT.
    let mut script = Script::accepted(ecn());
    script.write(1_000);
    assert_eq!(script.take()[0].ecn, ECT_0);
    script.by(242);
    assert_eq!(script.take()[0].ecn, 0, "repeated");
    script.inject(ack(1_001).window(0)).write(10).inject(data(1, 1_000).window(0)).by(1_000);
    let others = script.take();
    assert!(others.len() >= 2 && others.iter().all(|segment| segment.ecn == 0), "{others:?}");
}

#[test]
fn without_agreement_nothing_may_be_marked() {
    // RFC 3168 §6.1.1.
    let mut script = Script::accepted(Peer::default());
    script.write(1_000);
    assert_eq!(script.take()[0].ecn, 0);
    script.inject(data(1, 1_000).marked()).expect(&["1001 ack 1001"]);
}

#[test]
fn a_mark_is_echoed_until_the_sender_says_that_it_has_reduced() {
    // RFC 3168 §6.1.3.
    let mut script = Script::accepted(ecn());
    script.inject(data(1, 1_000).marked()).expect(&["ece 1 ack 1001"]);
    script.inject(data(1_001, 1_000)).expect(&["ece 1 ack 2001"]);
    script.write(100).expect(&["ece 1..101 ack 2001"]);
    let reduced = Segment { window_reduced: true, ..data(2_001, 1_000) };
    script.inject(reduced).expect(&["101 ack 3001"]);
    let again = Segment { window_reduced: true, ..data(3_001, 1_000) };
    script.inject(again.marked()).expect(&["ece 101 ack 4001"]);
}

#[test]
fn an_echo_reduces_once_a_window_and_is_answered_on_new_data() {
    // RFC 3168 §6.1.2.
    let mut script = Script::accepted(Peer { congestion: Congestion::Cubic, ..ecn() });
    let before = window(&script);
    script.stream(3);
    let echo = |position| Segment { echo_congestion: true, ..ack(position) };
    script.at(100).inject(echo(1_001));
    let reduced = window(&script);
    assert!(reduced < before, "{reduced} of {before}");
    script.at(110).inject(echo(2_001)).at(120).inject(echo(3_001));
    assert_eq!(window(&script), reduced, "of one window, one echo counts");
    script.at(130).write(1_000).expect(&["cwr 3001..4001 ack 1"]);
    script.at(170).write(1_000).expect(&["4001..5001 ack 1"]);
    script.at(240).inject(echo(5_001));
    assert!(window(&script) < reduced, "the next window counts again");
}

fn ecn() -> Peer {
    Peer { has_ecn: true, ..Peer::default() }
}

fn window(script: &Script) -> u64 {
    script.flow().info().congestion_window_bytes
}

const ECT_0: u8 = 0b10;
