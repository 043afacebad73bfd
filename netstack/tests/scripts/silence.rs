//! What happens when nothing is heard: RFC 6298, RFC 9293 §3.8.3 to §3.8.6, RFC 1122 §4.2.3.6, RFC 5482.

use std::time::Duration;

use crate::script::{Peer, Script};
use crate::segment::{ack, data};

#[test]
fn a_syn_is_repeated_after_one_second_and_then_after_twice_the_time() {
    // RFC 6298 §2.1 and §5.5.
    let mut script = Script::calling(Peer { round_trip: Duration::ZERO, ..Peer::default() });
    script.expect(&["syn ece cwr 0..1"]);
    for ms in [1_000, 3_000, 7_000] {
        script.at(ms).expect(&["syn ece cwr 0..1"]);
    }
}

#[test]
fn an_unanswered_syn_ack_is_repeated_alike() {
    // RFC 6298 §2.1 and §5.5.
    let mut script = Script::called(Peer { round_trip: Duration::ZERO, ..Peer::default() });
    for ms in [1_000, 3_000, 7_000] {
        script.at(ms).expect(&["syn 0..1 ack 1"]);
    }
}

#[test]
fn each_timeout_doubles_the_next_and_an_answer_ends_that() {
    // RFC 6298 §5.5; §5.7 as in practice: whatever is acknowledged ends the back-off.
    let mut script = Script::accepted(Peer::default());
    script.stream(1);
    for ms in [242, 542, 1_142, 2_342] {
        script.at(ms).expect(&["1..1001 ack 1"]);
    }
    script.at(2_400).inject(ack(1001)).write(1_000).expect(&["1001..2001 ack 1"]);
    // A probe and, a base timeout of 300 ms later, a timeout.
    script.at(2_642).expect(&["1001..2001 ack 1"]);
    script.at(2_942).expect(&["1001..2001 ack 1"]);
}

#[test]
fn an_acknowledgment_of_new_data_restarts_the_timer() {
    // RFC 6298 §5.3; the probe before the timeout counts from there as well (RFC 8985 §7.2).
    let mut script = Script::accepted(Peer::default());
    script.stream(3);
    script.at(100).inject(ack(1001));
    script.at(302).expect(&["2001..3001 ack 1"]);
    script.at(602).by(620).expect(&["1001..2001 ack 1", "2001..3001 ack 1"]);
}

#[test]
fn everything_acknowledged_stops_the_timer() {
    // RFC 6298 §5.2.
    let mut script = Script::accepted(Peer::default());
    script.stream(3);
    script.at(110).inject(ack(3001)).at(3_600_000);
}

#[test]
fn what_was_sacked_is_sent_again_only_after_a_second_timeout() {
    // RFC 2018 §8: the peer may have thrown it away.
    let mut script = Script::accepted(Peer::default());
    script.stream(2);
    script.at(110).inject(ack(1).sack(&[(1001, 2001)]));
    script.at(125).expect(&["1..1001 ack 1"]);
    script.at(410).expect(&["1..1001 ack 1"]);
    script.at(1_010).by(1_030).expect(&["1..1001 ack 1", "1001..2001 ack 1"]);
}

#[test]
fn data_that_nobody_acknowledges_ends_the_flow_after_two_minutes() {
    // RFC 9293 §3.8.3, RFC 5482: the user timeout. RFC 1122 §4.2.3.5: 100 seconds at least.
    let mut script = Script::accepted(Peer::default());
    script.stream(1).by(119_999).take();
    script.at(120_000).expect(&["rst 1001 ack 1"]);
    assert_eq!(script.state(), "CLOSED");
}

#[test]
fn an_idle_flow_says_nothing_unless_it_was_asked_to() {
    // RFC 9293 §3.8.4: keep-alive is off by default.
    let mut script = Script::accepted(Peer::default());
    script.at(86_400_000);
}

#[test]
fn keep_alive_asks_with_a_number_that_was_acknowledged_and_no_data() {
    // RFC 9293 §3.8.4, RFC 1122 §4.2.3.6: SEG.SEQ = SND.NXT - 1; what is heard puts it off.
    let mut script = Script::accepted(Peer::default());
    script.flow().set_keep_alive(Some(Duration::from_secs(10)));
    script.at(4_000).inject(data(1, 100)).at(4_020).expect(&["1 ack 101"]);
    script.at(14_000).expect(&["0 ack 101"]).inject(ack(1));
    for ms in (24_000..144_000).step_by(10_000) {
        script.at(ms).expect(&["0 ack 101"]);
    }
    // Two minutes without an answer to the second question.
    script.at(144_000).expect(&["rst 1 ack 101"]);
}

#[test]
fn a_question_without_an_answer_is_repeated_sooner_than_the_next_is_asked() {
    // RFC 1122 §4.2.3.6: one lost question says nothing.
    let mut script = Script::accepted(Peer::default());
    script.flow().set_keep_alive(Some(Duration::from_secs(60)));
    for ms in [60_000, 75_000, 90_000] {
        script.at(ms).expect(&["0 ack 1"]);
    }
    script.at(100_000).inject(ack(1));
    script.at(160_000).expect(&["0 ack 1"]);
}

#[test]
fn the_peers_question_is_answered() {
    // RFC 9293 §3.8.4 and §3.10.7.4 first: with or without a byte, it lies before the window.
    let mut script = Script::accepted(Peer::default());
    script.inject(ack(1).at(0)).expect(&["1 ack 1"]);
    script.inject(data(0, 1)).expect(&["1 ack 1 sack 0..1"]);
}

#[test]
fn a_closed_window_is_asked_about_at_growing_intervals_for_ever() {
    // RFC 9293 §3.8.6.1: first after a timeout, then after twice the time; a peer that answers stays connected.
    let mut script = Script::accepted(Peer::default());
    script.inject(ack(1).window(0)).write(500);
    for ms in [300, 900, 2_100, 4_500, 9_300, 18_900, 28_900, 38_900, 48_900] {
        script.at(ms).expect(&["0 ack 1"]).inject(ack(1).window(0));
    }
    script.at(50_000).inject(ack(1)).expect(&["1..501 ack 1"]);
}

#[test]
fn a_lost_window_update_is_found_out_by_the_question() {
    // RFC 9293 §3.8.6.1: the answer to a probe tells the window.
    let mut script = Script::accepted(Peer::default());
    script.inject(ack(1).window(0)).write(500);
    script.at(300).expect(&["0 ack 1"]).inject(ack(1)).expect(&["1..501 ack 1"]);
}

#[test]
fn a_fin_waits_for_a_window_too() {
    // RFC 9293 §3.8.6.1: FIN takes a sequence number.
    let mut script = Script::accepted(Peer::default());
    script.inject(ack(1).window(0)).shutdown();
    script.at(300).expect(&["0 ack 1"]).inject(ack(1).window(8)).expect(&["fin 1..2 ack 1"]);
}
