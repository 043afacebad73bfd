//! Handshakes: RFC 9293 §3.5 and §3.10.7, RFC 7323, RFC 2018.

use crate::script::{Peer, Script};
use crate::segment::{Segment, ack, data, syn};

#[test]
fn a_syn_offers_everything() {
    // RFC 9293 §3.7.1, RFC 7323 §2.2 and §3.2, RFC 2018 §2; no field of the header tells the clock.
    let mut script = Script::calling(Peer::default());
    let offer = script.take().pop().unwrap();
    assert_eq!((offer.mss, offer.window_scale, offer.may_sack), (Some(1_240), Some(9), true));
    assert_eq!(offer.timestamps.map(|(_, echo)| echo), Some(0));
    assert_eq!(offer.window, Some(65_535));
}

#[test]
fn a_syn_ack_agrees_only_to_what_was_offered() {
    // RFC 7323 §2.2 and §3.2, RFC 2018 §2.
    let mut script = Script::called_unseen(Peer::default(), syn(0));
    let answer = script.take().pop().unwrap();
    assert_eq!((answer.window_scale, answer.may_sack, answer.timestamps), (None, false, None));
    let everything = Segment {
        window_scale: Some(7),
        may_sack: true,
        timestamps: Some((5, 0)),
        mss: Some(1_460),
        ..syn(0)
    };
    let mut script = Script::called_unseen(Peer::default(), everything);
    let answer = script.take().pop().unwrap();
    assert_eq!((answer.mss, answer.window_scale, answer.may_sack), (Some(1_240), Some(9), true));
    assert_eq!(answer.timestamps.map(|(_, echo)| echo), Some(5));
}

#[test]
fn a_peer_without_the_option_is_sent_536_bytes_a_segment() {
    // RFC 9293 §3.7.1, MUST-15.
    let mut script = Script::called_unseen(Peer::default(), syn(0));
    script.take();
    script.at(0).inject(ack(1).at(1).window(60_000)).write(1_000).by(20);
    script.expect(&["1..537 ack 1", "537..1001 ack 1"]);
}

#[test]
fn data_beside_the_last_acknowledgment_of_the_handshake_is_taken() {
    // RFC 9293 §3.10.7.4: from SYN-RECEIVED the segment goes on to be processed in ESTABLISHED.
    let mut script = Script::called(Peer::default());
    script.at(0).inject(data(1, 100).acks(1)).read(1, 100).at(20).expect(&["1 ack 101"]);
}

#[test]
fn a_repeated_syn_is_answered_by_the_same_syn_ack() {
    // RFC 9293 §3.10.7.4: the SYN-ACK was lost.
    let mut script = Script::called(Peer::default());
    let greeting = script.greeting();
    script.at(300).inject(greeting).expect(&["syn 0..1 ack 1"]);
}

#[test]
fn a_repeated_syn_ack_is_answered_by_an_acknowledgment() {
    // RFC 9293 §3.10.7.4 first: our acknowledgment was lost.
    let mut script = Script::connected(Peer::default());
    script.at(300).inject(Segment { acknowledgment: ack(1).acknowledgment, ..syn(0) });
    script.expect(&["1 ack 1"]);
}

#[test]
fn two_that_call_each_other_at_once_meet() {
    // RFC 9293 §3.5, figure 8.
    let mut script = Script::calling(Peer::default());
    script.expect(&["syn ece cwr 0..1"]);
    let greeting = script.greeting();
    script.at(0).inject(greeting.clone()).expect(&["syn 0..1 ack 1"]);
    assert!(!script.finish_connect());
    script.at(50).inject(Segment { acknowledgment: ack(1).acknowledgment, ..greeting });
    script.expect(&["1 ack 1"]);
    assert!(script.finish_connect());
    assert_eq!(script.state(), "ESTABLISHED");
    script.at(60).write(100).expect(&["1..101 ack 1"]);
}

#[test]
fn a_plain_acknowledgment_also_ends_a_simultaneous_open() {
    // RFC 9293 §3.10.7.4 fifth, SYN-RECEIVED.
    let mut script = Script::calling(Peer::default());
    let greeting = script.greeting();
    script.expect(&["syn ece cwr 0..1"]).at(0).inject(greeting).expect(&["syn 0..1 ack 1"]);
    script.at(50).inject(ack(1)).expect(&[]);
    assert!(script.finish_connect());
}
