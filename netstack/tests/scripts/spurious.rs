//! Losses that were none: RFC 3522, RFC 4015, RFC 8985 §7.4.

use bore_netstack::Congestion;

use crate::script::{Peer, Script};
use crate::segment::ack;

#[test]
fn an_answer_to_the_original_after_a_timeout_stops_the_repetitions() {
    // RFC 3522 §3.2 (Eifel): the echo is older than the first retransmission.
    let (mut script, original) = timed_out(Congestion::Cubic);
    let at = script.now_ms();
    script.at(at + 1).inject(ack(989).timestamps(50, original));
    script.at(at + 100).inject(ack(3_953).timestamps(60, original)).at(at + 5_000);
}

#[test]
fn an_answer_to_the_original_gives_the_window_back() {
    // RFC 4015 §3.2.
    for congestion in [Congestion::Cubic, Congestion::Model] {
        let before = window(&with_timestamps(congestion));
        let (mut script, original) = timed_out(congestion);
        assert!(window(&script) < before, "{} after {before}", window(&script));
        let at = script.now_ms();
        script.at(at + 1).inject(ack(989).timestamps(50, original));
        assert!(window(&script) >= before, "{congestion:?}");
    }
}

#[test]
fn an_answer_to_the_repetition_goes_on_repairing() {
    // RFC 3522 §3.2: the echo is the retransmission's, so the loss was real.
    let (mut script, _) = timed_out(Congestion::Cubic);
    let (at, echo) = (script.now_ms(), script.echo());
    script.at(at + 100).inject(ack(989).timestamps(50, echo)).by(at + 140);
    script.expect(&["989..1977 ack 1", "1977..2965 ack 1"]);
}

#[test]
fn a_second_timeout_does_not_make_the_first_repetition_an_original() {
    // RFC 3522 §3.2 (2): RetransmitTS is not overwritten by a second timeout.
    let mut script = with_timestamps(Congestion::Cubic);
    script.stream(1).at(242).expect(&["1..989 ack 1"]).at(542).expect(&["1..989 ack 1"]);
    let (first, reduced) = (script.echo(), window(&script));
    script.at(1_142).expect(&["1..989 ack 1"]);
    script.at(1_150).inject(ack(989).timestamps(50, first));
    assert!(window(&script) <= 2 * reduced, "{} after {reduced}", window(&script));
}

#[test]
fn a_fast_repetition_that_was_none_is_taken_back_too() {
    // RFC 3522 §3.2 holds for fast retransmissions alike.
    let mut script = with_timestamps(Congestion::Cubic);
    let before = window(&script);
    script.stream(4);
    let original = script.echo();
    script.at(130).inject(ack(1).sack(&[(989, 3_953)]).timestamps(20, original));
    script.expect(&["1..989 ack 1"]);
    assert!(window(&script) < before);
    script.at(135).inject(ack(3_953).timestamps(30, original));
    assert!(window(&script) >= before);
}

#[test]
fn a_probe_that_repaired_a_loss_counts_as_one() {
    // RFC 8985 §7.4: its only sign is that nothing was received twice.
    let mut script = Script::accepted(cubic());
    let before = window(&script);
    script.stream(2).at(212).expect(&["1001..2001 ack 1"]);
    script.at(250).inject(ack(1_001)).at(312).inject(ack(2_001));
    assert!(window(&script) < before);
}

#[test]
fn a_probe_that_came_twice_repaired_nothing() {
    // RFC 8985 §7.4.2: D-SACK tells.
    let mut script = Script::accepted(cubic());
    let before = window(&script);
    script.stream(2).at(212).expect(&["1001..2001 ack 1"]);
    script.at(312).inject(ack(2_001).sack(&[(1_001, 2_001)]));
    assert!(window(&script) >= before);
}

/// Four segments, a probe and a timeout; gives the timestamp of the originals.
fn timed_out(congestion: Congestion) -> (Script, u32) {
    let mut script = with_timestamps(congestion);
    script.stream(4);
    let original = script.echo();
    script.at(232).expect(&["2965..3953 ack 1"]);
    script.by(532);
    assert_eq!(script.take()[0].to_string(), "1..989 ack 1");
    (script, original)
}

fn with_timestamps(congestion: Congestion) -> Script {
    Script::accepted(Peer { congestion, has_timestamps: true, ..Peer::default() })
}

fn cubic() -> Peer {
    Peer { congestion: Congestion::Cubic, ..Peer::default() }
}

fn window(script: &Script) -> u64 {
    script.flow().info().congestion_window_bytes
}
