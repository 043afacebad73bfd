//! Ends: RFC 9293 §3.6 and §3.10.

use std::time::Duration;

use crate::script::{Peer, Script};
use crate::segment::{ack, data, fin, syn};

#[test]
fn the_side_that_closes_first_waits_for_late_segments() {
    // RFC 9293 §3.6.1, figure 12.
    let mut script = Script::accepted(Peer::default());
    script.shutdown().expect(&["fin 1..2 ack 1"]);
    assert_eq!(script.state(), "FIN-WAIT-1");
    script.at(100).inject(ack(2));
    assert_eq!(script.state(), "FIN-WAIT-2");
    script.at(200).inject(fin(1)).expect(&["2 ack 2"]);
    assert_eq!(script.state(), "TIME-WAIT");
    // §3.10.7.4 eighth: the FIN again shows that our acknowledgment was lost.
    script.at(300).inject(fin(1)).expect(&["2 ack 2"]);
}

#[test]
fn the_side_that_closes_second_is_done_by_the_last_acknowledgment() {
    // RFC 9293 §3.6, figure 12.
    let mut script = Script::accepted(Peer::default());
    script.inject(fin(1)).expect(&["1 ack 2"]);
    assert_eq!(script.state(), "CLOSE-WAIT");
    script.shutdown().expect(&["fin 1..2 ack 2"]);
    assert_eq!(script.state(), "LAST-ACK");
    script.at(100).inject(ack(2)).expect(&[]);
    assert_eq!(script.state(), "CLOSED");
}

#[test]
fn two_that_close_at_once_both_wait() {
    // RFC 9293 §3.6, figure 13.
    let mut script = Script::accepted(Peer::default());
    script.shutdown().expect(&["fin 1..2 ack 1"]);
    script.at(50).inject(fin(1).acks(1)).expect(&["2 ack 2"]);
    assert_eq!(script.state(), "CLOSING");
    script.at(100).inject(ack(2)).expect(&[]);
    assert_eq!(script.state(), "TIME-WAIT");
}

#[test]
fn a_fin_rides_on_the_last_data_and_is_repeated_with_it() {
    // RFC 9293 §3.10.4: CLOSE queues FIN behind everything written.
    let mut script = Script::accepted(Peer::default());
    script.write(500).take();
    script.at(50).write(500).shutdown().by(60);
    script.expect(&["501..1001 ack 1", "fin 1001..1002 ack 1"]);
    script.at(150).inject(ack(501)).by(410).expect(&["fin 1001..1002 ack 1"]);
    script.by(800);
    assert_eq!(script.take()[0].to_string(), "501..1001 ack 1");
}

#[test]
fn an_abort_is_a_reset_at_the_next_number() {
    // RFC 9293 §3.10.5.
    let mut script = Script::accepted(Peer::default());
    script.stream(2).abort().expect(&["rst 2001 ack 1"]);
    script.at(100).inject(ack(2_001)).expect(&["rst 2001"]);
    assert_eq!(script.state(), "CLOSED");
}

#[test]
fn what_is_sent_to_nobody_is_reset() {
    // RFC 9293 §3.10.7.1: CLOSED.
    let mut script = Script::accepted(Peer { is_foreign: true, ..Peer::default() });
    script.abort().take();
    script.inject(data(1, 100).acks(77)).expect(&["rst 77"]);
    script.inject(data(1, 100).acks_nothing());
    assert!(script.take()[0].to_string().ends_with("ack 101"), "numbered by what it answers");
}

#[test]
fn a_new_call_from_the_same_port_ends_the_wait() {
    // RFC 9293 §3.6.1, RFC 6191: TIME-WAIT gives way to a SYN.
    let mut script = Script::accepted(Peer::default());
    script.shutdown().take();
    script.at(100).inject(ack(2)).inject(fin(1)).take();
    assert_eq!(script.state(), "TIME-WAIT");
    script.at(200).inject(syn(9_000)).expect(&[]);
    assert_eq!(script.stack.counters().flows_opened, 1);
    assert!(script.incoming().is_some());
}

#[test]
fn the_wait_lasts_ten_seconds() {
    // RFC 9293 §3.6.1 asks for two segment lifetimes; a tunnel's are short.
    let mut script = Script::accepted(Peer::default());
    script.shutdown().take();
    script.at(100).inject(ack(2)).inject(fin(1)).take();
    script.at(10_099).inject(fin(1)).expect(&["2 ack 2"]);
    script.at(10_101).inject(fin(1)).expect(&["rst 2"]);
    assert_eq!(bore_netstack::limits::TIME_WAIT_LIFETIME, Duration::from_secs(10));
}
