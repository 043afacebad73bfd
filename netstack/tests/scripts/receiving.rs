//! What the peer is told of what it has sent: RFC 9293 §3.10.7.4, RFC 2018, RFC 2883, RFC 5681 §4.2, RFC 1122 §4.2.3.2.

use crate::script::{Peer, Script};
use crate::segment::{Segment, ack, data, fin};

#[test]
fn a_small_segment_is_acknowledged_after_a_short_wait() {
    // RFC 1122 §4.2.3.2: less than half a second, here 20 ms.
    let mut script = Script::accepted(Peer::default());
    script.inject(data(1, 100)).at(20).expect(&["1 ack 101"]);
    script.read(1, 100);
}

#[test]
fn the_answer_carries_the_acknowledgment() {
    // RFC 9293 §3.8.6.3.
    let mut script = Script::accepted(Peer::default());
    script.inject(data(1, 100)).at(10).write(50).expect(&["1..51 ack 101"]);
    script.at(100).inject(ack(51)).at(1_000);
}

#[test]
fn at_least_every_second_full_segment_is_acknowledged_at_once() {
    // RFC 5681 §4.2. The first eight of a connection all are: a sender in slow start counts them.
    let mut script = Script::accepted(Peer::default());
    for index in 0..8 {
        let start = 1 + index * 1_000;
        let text = format!("1 ack {}", start + 1_000);
        script.inject(data(start, 1_000)).expect(&[&text]);
    }
    script.inject(data(8_001, 1_000)).expect(&[]);
    script.inject(data(9_001, 1_000)).expect(&["1 ack 10001"]);
    script.inject(data(10_001, 1_000)).at(20).expect(&["1 ack 11001"]);
}

#[test]
fn a_gap_and_its_end_are_acknowledged_at_once() {
    // RFC 5681 §4.2: out of order, and what fills all or part of a gap.
    let mut script = Script::accepted(Peer::default());
    script.inject(data(101, 100)).expect(&["1 ack 1 sack 101..201"]);
    script.inject(data(301, 100)).expect(&["1 ack 1 sack 301..401 101..201"]);
    script.inject(data(1, 100)).expect(&["1 ack 201 sack 301..401"]);
    script.inject(data(201, 100)).expect(&["1 ack 401"]);
    script.read(1, 400);
}

#[test]
fn the_block_that_grew_last_comes_first_and_older_ones_follow() {
    // RFC 2018 §4.
    let mut script = Script::accepted(Peer::default());
    script.inject(data(101, 50)).expect(&["1 ack 1 sack 101..151"]);
    script.inject(data(201, 50)).expect(&["1 ack 1 sack 201..251 101..151"]);
    script.inject(data(301, 50)).expect(&["1 ack 1 sack 301..351 201..251 101..151"]);
    let four = "1 ack 1 sack 401..451 301..351 201..251 101..151";
    script.inject(data(401, 50)).expect(&[four]);
    let five = "1 ack 1 sack 501..551 401..451 301..351 201..251";
    script.inject(data(501, 50)).expect(&[five]);
    // What fills the space between two makes them one.
    script.inject(data(351, 50)).expect(&["1 ack 1 sack 301..451 501..551 201..251"]);
}

#[test]
fn beside_timestamps_three_blocks_have_room() {
    // RFC 2018 §3.
    let mut script = Script::accepted(Peer { has_timestamps: true, ..Peer::default() });
    for index in 0..4 {
        script.inject(data(101 + index * 100, 50).timestamps(1, 0));
    }
    let last = script.take().pop().unwrap();
    assert_eq!(last.to_string(), "1 ack 1 sack 401..451 301..351 201..251");
}

#[test]
fn what_came_twice_is_the_first_block() {
    // RFC 2883 §4.1: a duplicate of what was acknowledged.
    let mut script = Script::accepted(Peer::default());
    script.inject(data(1, 100)).inject(data(101, 100)).at(20).expect(&["1 ack 201"]);
    script.inject(data(1, 100)).expect(&["1 ack 201 sack 1..101"]);
    // §4: it is told once.
    script.inject(data(301, 100)).expect(&["1 ack 201 sack 301..401"]);
}

#[test]
fn what_came_twice_out_of_order_is_told_with_the_block_that_holds_it() {
    // RFC 2883 §4.1.2 and §4.2.
    let mut script = Script::accepted(Peer::default());
    script.inject(data(201, 200)).expect(&["1 ack 1 sack 201..401"]);
    script.inject(data(201, 100)).expect(&["1 ack 1 sack 201..301 201..401"]);
}

#[test]
fn the_part_that_came_twice_is_told_and_the_rest_taken() {
    // RFC 2883 §4.2.1.
    let mut script = Script::accepted(Peer::default());
    script.inject(data(1, 100)).at(20).expect(&["1 ack 101"]);
    script.inject(data(51, 100)).by(60);
    let answers = script.take();
    assert_eq!(answers[0].to_string(), "1 ack 151 sack 51..101");
    script.read(1, 150);
}

#[test]
fn urgent_data_is_data() {
    // RFC 9293 §3.8.5, RFC 6093: new applications do not use the mechanism; the bytes stay in the stream.
    let mut script = Script::accepted(Peer::default());
    script.inject(Segment { urgent: true, ..data(1, 100) }).at(20).expect(&["1 ack 101"]);
    script.read(1, 100);
}

#[test]
fn a_fin_behind_a_gap_waits_for_the_gap() {
    // RFC 9293 §3.10.7.4, eighth.
    let mut script = Script::accepted(Peer::default());
    script.inject(fin(101)).expect(&["1 ack 1"]);
    assert_eq!(script.state(), "ESTABLISHED");
    script.inject(data(1, 100)).expect(&["1 ack 102"]);
    assert_eq!(script.state(), "CLOSE-WAIT");
}

#[test]
fn after_their_fin_we_still_send_and_after_ours_still_receive() {
    // RFC 9293 §3.6: half-close.
    let mut script = Script::accepted(Peer::default());
    script.inject(fin(1)).expect(&["1 ack 2"]);
    script.write(100).expect(&["1..101 ack 2"]).at(100).inject(ack(101));
    let mut script = Script::accepted(Peer::default());
    script.shutdown().expect(&["fin 1..2 ack 1"]).at(100).inject(ack(2));
    assert_eq!(script.state(), "FIN-WAIT-2");
    script.inject(data(1, 1_000)).expect(&["2 ack 1001"]).read(1, 1_000);
}

#[test]
fn a_fin_received_again_is_acknowledged_again() {
    // RFC 9293 §3.10.7.4, eighth, in every state after it.
    let mut script = Script::accepted(Peer::default());
    script.inject(fin(1)).expect(&["1 ack 2"]).inject(fin(1)).expect(&["1 ack 2"]);
    script.shutdown().expect(&["fin 1..2 ack 2"]).inject(fin(1)).expect(&["2 ack 2"]);
}
