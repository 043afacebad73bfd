//! How much may be sent and received: RFC 9293 §3.7.1 and §3.8.6, RFC 7323 §2.

use crate::script::{Peer, Script};
use crate::segment::{ack, data};

#[test]
fn segments_are_as_long_as_the_peer_allows() {
    // RFC 9293 §3.7.1.
    let mut script = Script::accepted(Peer { mss: 500, ..Peer::default() });
    script.write(1_200).by(20).expect(&["1..501 ack 1", "501..1001 ack 1", "1001..1201 ack 1"]);
}

#[test]
fn the_window_of_a_syn_is_never_scaled_and_every_later_one_is() {
    // RFC 7323 §2.2 and §2.3, in both directions.
    let mut script = Script::connected(Peer { window: 504, ..Peer::default() });
    assert!(script.finish_connect());
    script.write(2_000).expect(&["1..505 ack 1"]);
    script.at(100).inject(ack(505).window(1_600)).expect(&["505..1505 ack 1"]);
    script.inject(data(1, 1_000)).take().clear();
    script.at(200).inject(data(1_001, 1_000));
    let window = script.take()[0].window.unwrap() << OUR_SHIFT;
    assert!((63_000..=65_535).contains(&window), "{window} bytes are left");
}

#[test]
fn a_peer_without_scaling_hears_plain_windows() {
    // RFC 7323 §2.2.
    let mut script = Script::accepted(Peer { window_scale: None, ..Peer::default() });
    script.inject(data(1, 1_000));
    assert_eq!(script.take()[0].window, Some(64_535));
}

#[test]
fn nothing_is_sent_beyond_the_window_and_its_update_lets_go_on() {
    // RFC 9293 §3.8.6.
    let mut script = Script::accepted(Peer::default());
    script.inject(ack(1).window(2_000)).write(5_000).by(30);
    script.expect(&["1..1001 ack 1", "1001..2001 ack 1"]);
    script.at(100).inject(ack(1).window(4_000)).by(130);
    script.expect(&["2001..3001 ack 1", "3001..4001 ack 1"]);
}

#[test]
fn a_window_that_shrinks_stops_new_data_and_not_repairs() {
    // RFC 9293 §3.8.6: SHLD-15, and MUST-34: a shrinking window must be survived.
    let mut script = Script::accepted(Peer::default());
    script.stream(2);
    script.at(100).inject(ack(1).window(0)).write(1_000);
    script.at(212).expect(&["1001..2001 ack 1"]);
    script.at(400).inject(ack(2001)).expect(&["2001..3001 ack 1"]);
}

#[test]
fn an_old_segment_does_not_turn_the_window_back() {
    // RFC 9293 §3.10.7.4: SND.WL1 and SND.WL2.
    let mut script = Script::accepted(Peer::default());
    script.inject(data(1, 1_000)).expect(&["1 ack 1001"]);
    script.inject(ack(1).at(1_001).window(8_000));
    // Sent before the data, come after it.
    script.inject(ack(1).at(1).window(0)).take();
    script.write(1_000).expect(&["1..1001 ack 1001"]);
}

#[test]
fn a_sliver_of_window_is_not_filled_until_the_persist_timer_says_so() {
    // RFC 9293 §3.8.6.2.1: neither a full segment nor half the largest window; the override is the persist timer's.
    let mut script = Script::accepted(Peer::default());
    script.inject(ack(1).window(200)).write(5_000);
    script.at(300).expect(&["1..201 ack 1"]);
    script.at(400).inject(ack(201).window(3_000)).by(420);
    script.expect(&["201..1201 ack 1", "1201..2201 ack 1", "2201..3201 ack 1"]);
}

#[test]
fn half_of_a_small_peers_window_is_worth_filling() {
    // RFC 9293 §3.8.6.2.1 (3): Fs = 1/2 of the largest window.
    let mut script = Script::accepted(Peer { window: 600, ..Peer::default() });
    script.write(900).expect(&["1..601 ack 1"]);
    script.at(100).inject(ack(601).window(304)).expect(&["601..901 ack 1"]);
}

#[test]
fn the_receive_window_opens_in_steps_worth_telling() {
    // RFC 9293 §3.8.6.2.2: receiver's silly window avoidance.
    let mut script = Script::accepted(Peer { window_scale: None, ..Peer::default() });
    let mut start = 1;
    while start < 65_001 {
        script.inject(data(start, 1_000));
        start += 1_000;
    }
    script.by(100).take();
    script.inject(data(start, 535)).by(140);
    assert_eq!(script.take().last().unwrap().window, Some(0), "everything is used");
    let mut buffer = [0; 500];
    assert!(script.flow().poll_read(&mut crate::script::context(), &mut buffer).is_ready());
    script.at(200).read_on(1_000).at(210).read_on(60_000).by(220);
    let updates = script.take();
    assert_eq!(updates.len(), 1, "{updates:?}");
    assert!(updates[0].window > Some(30_000), "{updates:?}");
}

#[test]
fn what_lies_beyond_the_window_is_not_taken() {
    // RFC 9293 §3.10.7.4, table 6.
    let mut script = Script::accepted(Peer { window_scale: None, ..Peer::default() });
    script.inject(data(65_536, 100)).expect(&["1 ack 1"]);
    script.inject(data(65_486, 100)).expect(&["1 ack 1 sack 65486..65536"]);
}

#[test]
fn an_acknowledgment_beside_data_that_has_no_room_counts() {
    // RFC 9293 §3.10.7.4: with a closed receive window, valid ACKs are still to be accepted.
    let mut script = Script::accepted(Peer { window_scale: None, ..Peer::default() });
    for index in 0..65 {
        script.inject(data(1 + index * 1_000, 1_000));
    }
    script.inject(data(65_001, 535)).by(30).take();
    script.at(40).write(1_000).expect(&["1..1001 ack 65536"]);
    script.at(140).inject(data(65_536, 1).acks(1_001)).expect(&["1001 ack 65536"]);
    assert_eq!(script.flow().info().send_queue_bytes, 0);
}

/// What our SYN offers.
const OUR_SHIFT: u32 = 9;
