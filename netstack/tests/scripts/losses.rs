//! What is lost, and what is sent again: RFC 8985 §6 and §7, RFC 6675, RFC 2018.

use crate::script::{Peer, Script};
use crate::segment::{ack, data};

#[test]
fn a_segment_is_lost_a_quarter_round_trip_after_a_later_one_was_sacked() {
    // RFC 8985 §6.2 steps 4 and 5: fewer than three segments are held, so the reordering window is min_RTT / 4. The first segment was
    // sent 10 ms before the second, whose round trip was 100 ms: it is lost at 0 + 100 + 25 ms, or when that is known.
    let mut script = Script::accepted(Peer::default());
    script.stream(2);
    script.at(110).inject(ack(1).sack(&[(1001, 2001)]));
    script.at(125).expect(&["1..1001 ack 1"]);
}

#[test]
fn three_segments_held_by_the_peer_are_loss_enough() {
    // RFC 8985 §6.2 step 4: the window is zero once DupThresh segments are SACKed and no reordering was seen.
    let mut script = Script::accepted(Peer::default());
    script.stream(4);
    script.at(110).inject(ack(1).sack(&[(1001, 2001)]));
    script.at(115).inject(ack(1).sack(&[(1001, 4001)])).expect(&["1..1001 ack 1"]);
}

#[test]
fn blocks_named_newest_first_are_no_reordering() {
    // RFC 2018 §4 has the newest block first: the order in the option is not the order of arrival (RFC 8985 §6.2 step 3).
    let mut script = Script::accepted(Peer::default());
    script.stream(6);
    let blocks = [(5001, 6001), (3001, 4001), (1001, 2001)];
    script.at(150).inject(ack(1).sack(&blocks)).by(160);
    script.expect(&["1..1001 ack 1", "2001..3001 ack 1", "4001..5001 ack 1"]);
}

#[test]
fn reordering_that_was_seen_earns_a_quarter_round_trip_even_with_three_segments_held() {
    // RFC 8985 §6.2 steps 3 and 4: a segment sent once that arrives behind a later one is reordering.
    let mut script = Script::accepted(Peer::default());
    script.stream(2);
    script.at(110).inject(ack(1).sack(&[(1001, 2001)]));
    script.at(111).inject(ack(2001));
    script.at(200).write(1_000).expect(&["2001..3001 ack 1"]);
    script.at(204).write(1_000).expect(&["3001..4001 ack 1"]);
    script.at(208).write(1_000).expect(&["4001..5001 ack 1"]);
    script.at(212).write(1_000).expect(&["5001..6001 ack 1"]);
    script.at(312).inject(ack(2001).sack(&[(3001, 6001)]));
    script.at(325).expect(&["2001..3001 ack 1"]);
}

#[test]
fn each_round_with_a_duplicate_report_makes_the_reordering_window_longer() {
    // RFC 8985 §6.2 step 4: RACK.reo_wnd_mult grows by one with each D-SACK, at most once a round trip.
    let mut script = Script::accepted(Peer::default());
    script.stream(2);
    script.at(110).inject(ack(1).sack(&[(1001, 2001)]));
    script.at(125).expect(&["1..1001 ack 1"]);
    // The original comes late, then the repetition.
    script.at(130).inject(ack(2001));
    script.at(225).inject(ack(2001).sack(&[(1, 1001)]));
    script.at(1_000).stream(2);
    script.at(1_110).inject(ack(2001).sack(&[(3001, 4001)]));
    script.at(1_150).expect(&["2001..3001 ack 1"]);
}

#[test]
fn a_lost_repetition_is_found_lost_by_what_was_sent_after_it() {
    // RFC 8985 §3.2: the time of sending decides, not the sequence, so a retransmission can be judged lost like any segment.
    let mut script = Script::accepted(Peer::default());
    script.stream(4);
    script.at(115).inject(ack(1).sack(&[(1001, 4001)])).expect(&["1..1001 ack 1"]);
    script.at(120).stream(3);
    script.at(220).inject(ack(1).sack(&[(4001, 5001), (1001, 4001)])).expect(&["1..1001 ack 1"]);
}

#[test]
fn only_what_is_missing_is_sent_again() {
    // RFC 6675 §5 (C), NextSeg (1): the holes, each once, and nothing that was SACKed.
    let mut script = Script::accepted(Peer::default());
    script.stream(8);
    let blocks = [(7001, 8001), (4001, 6001), (1001, 2001)];
    script.at(170).inject(ack(1).sack(&blocks)).by(190);
    let holes = ["1..1001 ack 1", "2001..3001 ack 1", "3001..4001 ack 1", "6001..7001 ack 1"];
    script.expect(&holes);
    script.at(270).inject(ack(4001).sack(&[(4001, 6001), (7001, 8001)]));
    script.at(280).inject(ack(8001));
    script.at(5_000);
}

#[test]
fn new_data_flows_on_while_a_hole_is_repaired() {
    // RFC 6675 §5 (C.3), NextSeg (2).
    let mut script = Script::accepted(Peer::default());
    script.stream(5);
    script.at(140).inject(ack(1).sack(&[(1001, 5001)])).write(2_000).by(160);
    script.expect(&["1..1001 ack 1", "5001..6001 ack 1", "6001..7001 ack 1"]);
}

#[test]
fn without_sack_permission_no_blocks_are_sent_and_the_tail_probe_finds_the_loss() {
    // RFC 2018 §2.
    let mut script = Script::accepted(Peer { may_sack: false, ..Peer::default() });
    script.inject(data(1001, 500)).expect(&["1 ack 1"]);
    script.stream(3);
    for ms in [110, 115, 120] {
        script.at(ms).inject(ack(1));
    }
    script.at(222).expect(&["2001..3001 ack 1"]);
}

#[test]
fn the_tail_is_probed_after_two_round_trips_by_its_last_segment() {
    // RFC 8985 §7.2: PTO = 2 × SRTT + 2 ms after the last was sent; §7.3: without new data the last segment goes again.
    let mut script = Script::accepted(Peer::default());
    script.stream(2);
    script.at(212).expect(&["1001..2001 ack 1"]);
    // §7.3: the probe rearms the timer for a whole RTO: SRTT + max(4 × RTTVAR, 200 ms).
    script.at(512).expect(&["1..1001 ack 1"]);
}

#[test]
fn a_lone_segment_is_probed_later_because_its_acknowledgment_may_be_held_back() {
    // RFC 8985 §7.2: one segment in flight adds the longest delay of an acknowledgment, here 40 ms.
    let mut script = Script::accepted(Peer::default());
    script.stream(1).at(242).expect(&["1..1001 ack 1"]);
}

#[test]
fn new_data_is_the_better_probe() {
    // RFC 8985 §7.3: a segment of new data if there is one, even when the congestion window is full.
    let mut script = Script::accepted(Peer::default());
    script.write(11_000).by(60);
    assert_eq!(script.take().len(), 10, "the initial window");
    script.by(300).expect(&["10001..11001 ack 1"]);
}

#[test]
fn the_answer_to_a_probe_shows_the_loss_at_once() {
    // RFC 8985 §7.4: the probe's SACK lets RACK find what is missing before it.
    let mut script = Script::accepted(Peer::default());
    script.stream(4).at(232).expect(&["3001..4001 ack 1"]);
    script.at(332).inject(ack(1).sack(&[(3001, 4001)])).by(350);
    script.expect(&["1..1001 ack 1", "1001..2001 ack 1", "2001..3001 ack 1"]);
}

#[test]
fn one_probe_at_a_time() {
    // RFC 8985 §7.2: no other probe while one is unanswered; the timeout follows.
    let mut script = Script::accepted(Peer::default());
    script.stream(1);
    for ms in [242, 542, 1_142] {
        script.at(ms).expect(&["1..1001 ack 1"]);
    }
}
