//! How much is in flight: RFC 6928, RFC 6937, RFC 9438, RFC 5681.

use bore_netstack::Congestion;

use crate::script::{Peer, Script};
use crate::segment::{Acknowledges, Segment, ack};

#[test]
fn ten_segments_are_the_first_window() {
    // RFC 6928 §2, in segments as the peer takes them.
    for congestion in [Congestion::Model, Congestion::Cubic] {
        for mss in [536, 1_000] {
            let mut script = Script::accepted(Peer { congestion, mss, ..Peer::default() });
            script.write(30_000).by(150);
            assert_eq!(script.take().len(), 10, "{congestion:?} with {mss}");
        }
    }
}

#[test]
fn slow_start_sends_two_segments_for_each_that_arrives() {
    // RFC 5681 §3.1, RFC 9438 §4.10.
    let mut script = Script::accepted(cubic());
    script.write(40_000).by(100);
    assert_eq!(script.take().len(), 10);
    script.inject(ack(5_001)).by(180);
    assert_eq!(script.take().len(), 10);
}

#[test]
fn a_loss_takes_three_tenths_of_the_window() {
    // RFC 9438 §4.6: beta is 0.7.
    let mut script = Script::accepted(cubic());
    script.stream(10);
    script.at(140).inject(ack(1).sack(&[(1_001, 4_001)])).expect(&["1..1001 ack 1"]);
    script.at(190).inject(ack(1).sack(&[(1_001, 10_001)]));
    script.at(240).inject(ack(10_001));
    let reduced = window(&script);
    assert!((7_000..7_100).contains(&reduced), "{reduced} after the first growth");
}

#[test]
fn recovery_sends_in_proportion_to_what_arrives() {
    // RFC 6937 §3.1: seven segments for each ten that arrive, the repetition among them.
    let mut script = Script::accepted(cubic());
    script.write(40_000).by(50);
    assert_eq!(script.take().len(), 10);
    let mut sent = 0;
    for held in 2..=10 {
        script.by(98 + 4 * u64::try_from(held).unwrap());
        sent += script.take().len();
        script.inject(ack(1).sack(&[(1_001, held * 1_000 + 1)]));
    }
    script.by(199);
    sent += script.take().len();
    assert!((6..=8).contains(&sent), "{sent} for nine that arrived");
}

#[test]
fn many_losses_at_once_are_repaired_as_in_slow_start() {
    // RFC 6937 §3.1, the slow-start reduction bound: below the threshold, one more than arrived.
    let mut script = Script::accepted(cubic());
    script.stream(10);
    script.at(190).inject(ack(1).sack(&[(7_001, 10_001)])).by(260);
    let repaired = script.take().len();
    assert!((3..=5).contains(&repaired), "{repaired} for three that arrived");
}

#[test]
fn a_timeout_begins_again_with_one_segment() {
    // RFC 5681 §3.1 (the loss window), RFC 9438 §4.8.
    let mut script = Script::accepted(cubic());
    script.stream(4).at(232).expect(&["3001..4001 ack 1"]);
    script.at(532).expect(&["1..1001 ack 1"]);
    script.at(632).inject(ack(1_001)).by(690).expect(&["1001..2001 ack 1", "2001..3001 ack 1"]);
}

#[test]
fn a_lost_syn_leaves_one_segment_to_begin_with() {
    // RFC 5681 §3.1.
    let mut script = Script::calling(cubic());
    script.expect(&["syn ece cwr 0..1"]).at(900).expect(&["syn ece cwr 0..1"]);
    let answer = Segment { acknowledgment: Acknowledges::Position(1), ..script.greeting() };
    script.at(1_000).inject(answer).expect(&["1 ack 1"]);
    assert!(script.finish_connect());
    script.write(5_000).by(1_050).expect(&["1..1001 ack 1"]);
}

#[test]
fn a_long_rest_forgets_a_large_window() {
    // RFC 5681 §4.1, RFC 9438 §5.8.
    let mut script = Script::accepted(cubic());
    for round in 0..4 {
        script.write(10_000 << round).by(100 * (round + 1)).take();
        script.inject(ack(script.sent_end()));
    }
    script.by(600).take();
    script.inject(ack(script.sent_end()));
    let busy = window(&script);
    assert!(busy > 25_000, "{busy}");
    script.at(60_000).write(1_000).take();
    assert!(window(&script) <= busy / 2, "{} after {busy}", window(&script));
}

fn cubic() -> Peer {
    Peer { congestion: Congestion::Cubic, ..Peer::default() }
}

fn window(script: &Script) -> u64 {
    script.flow().info().congestion_window_bytes
}
