//! What an attacker who guesses may not do: RFC 5961, RFC 9293 §3.10.7.

use crate::script::{Peer, Script};
use crate::segment::{Segment, ack, data, reset, syn};

#[test]
fn only_the_exact_number_resets() {
    // RFC 5961 §3.2, RFC 9293 §3.10.7.4 second.
    let mut script = Script::accepted(Peer::default());
    script.inject(reset(2)).expect(&["1 ack 1"]);
    script.inject(reset(60_000)).expect(&["1 ack 1"]);
    assert_eq!(script.state(), "ESTABLISHED");
    script.inject(reset(1)).expect(&[]);
    assert_eq!(script.state(), "CLOSED");
}

#[test]
fn a_reset_outside_the_window_is_dropped_without_a_word() {
    // RFC 5961 §3.2 (1), RFC 9293 §3.10.7.4 first.
    let mut script = Script::accepted(Peer::default());
    script.inject(reset(0)).inject(reset(-70_000)).inject(reset(70_000_000)).expect(&[]);
    assert_eq!(script.state(), "ESTABLISHED");
}

#[test]
fn a_syn_anywhere_is_only_challenged() {
    // RFC 5961 §4.2.
    let mut script = Script::accepted(Peer::default());
    for position in [1, 500, 60_000, -9_000, 0] {
        script.inject(syn(position)).expect(&["1 ack 1"]);
    }
    assert_eq!(script.state(), "ESTABLISHED");
}

#[test]
fn an_acknowledgment_of_what_was_never_sent_is_answered_and_its_data_dropped() {
    // RFC 9293 §3.10.7.4 fifth, RFC 5961 §5.2.
    let mut script = Script::accepted(Peer::default());
    script.inject(data(1, 100).acks(2)).expect(&["1 ack 1"]);
    script.inject(ack(1_000_000)).expect(&["1 ack 1"]);
}

#[test]
fn an_acknowledgment_older_than_any_window_is_answered_and_its_data_dropped() {
    // RFC 5961 §5.2: SND.UNA - MAX.SND.WND <= SEG.ACK.
    let mut script = Script::accepted(Peer::default());
    script.inject(data(1, 100).acks(-100_000)).expect(&["1 ack 1"]);
    script.inject(data(1, 100).acks(0)).at(20).expect(&["1 ack 101"]);
}

#[test]
fn a_segment_without_ack_is_dropped() {
    // RFC 9293 §3.10.7.4 fifth.
    let mut script = Script::accepted(Peer::default());
    script.inject(data(1, 100).acks_nothing()).at(100).expect(&[]);
}

#[test]
fn an_answer_to_another_syn_is_reset_and_ours_goes_on() {
    // RFC 9293 §3.10.7.3 first: <SEQ=SEG.ACK><CTL=RST>.
    let mut script = Script::calling(Peer::default());
    script.expect(&["syn ece cwr 0..1"]);
    script.inject(syn(0).acks(77)).expect(&["rst 77"]);
    script.inject(ack(0).at(5)).expect(&["rst 0"]);
    script.inject(reset(0).acks(77)).inject(reset(0).acks_nothing()).expect(&[]);
    assert!(!script.finish_connect());
    script.at(0).inject(syn(0).acks(1)).expect(&["1 ack 1"]);
    assert!(script.finish_connect());
}

#[test]
fn a_reset_that_acknowledges_the_syn_refuses() {
    // RFC 9293 §3.10.7.3 second.
    let mut script = Script::calling(Peer::default());
    script.expect(&["syn ece cwr 0..1"]).inject(reset(0).acks(1)).at(5_000);
    assert_eq!(script.stack.counters().flows_reset, 1);
}

#[test]
fn an_unacceptable_acknowledgment_of_a_syn_ack_is_reset() {
    // RFC 9293 §3.10.7.4 fifth, SYN-RECEIVED.
    let mut script = Script::called(Peer::default());
    script.inject(ack(2).at(1)).expect(&["rst 2"]);
    script.inject(ack(0).at(1)).expect(&["rst 0"]);
    assert_eq!(script.state(), "SYN-RECEIVED");
    script.inject(ack(1).at(1)).expect(&[]);
    assert_eq!(script.state(), "ESTABLISHED");
}

#[test]
fn blocks_of_what_was_never_sent_mean_nothing() {
    // RFC 2018 §5; RFC 6675 needs only blocks between SND.UNA and SND.NXT.
    let mut script = Script::accepted(Peer::default());
    script.stream(2);
    script.inject(ack(1).sack(&[(2_001, 9_001), (5_000, 4_000), (-900, -800)]));
    script.at(212).expect(&["1001..2001 ack 1"]);
}

#[test]
fn challenges_are_joined() {
    // RFC 5961 §7: a storm is not answered one by one; what the pull takes out is one acknowledgment.
    let mut script = Script::accepted(Peer::default());
    let storm = Segment { window: Some(0), ..reset(2) };
    for _ in 0..100 {
        script.inject_unheard(storm.clone());
    }
    script.by(0).expect(&["1 ack 1"]);
}
