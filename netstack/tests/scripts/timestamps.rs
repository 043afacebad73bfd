//! The timestamps option: RFC 7323 §3 to §5.

use crate::script::{Peer, Script};
use crate::segment::{Segment, ack, data, reset};

#[test]
fn every_segment_carries_them_once_they_are_agreed_on() {
    // RFC 7323 §3.2.
    let mut script = with_timestamps();
    script.write(1_000).inject(data(1, 1_000).timestamps(5, 0)).shutdown().by(20);
    let sent = script.take();
    assert!(sent.len() >= 3 && sent.iter().all(|segment| segment.timestamps.is_some()), "{sent:?}");
}

#[test]
fn a_peer_that_does_not_offer_them_hears_none() {
    // RFC 7323 §3.2.
    let mut script = Script::accepted(Peer::default());
    script.write(1_000).inject(data(1, 1_000).timestamps(5, 0)).by(20);
    assert!(script.take().iter().all(|segment| segment.timestamps.is_none()));
}

#[test]
fn an_acknowledgment_held_back_echoes_the_first_segment_that_it_answers() {
    // RFC 7323 §4.3 (A): TS.Recent only follows a segment that begins at or before Last.ACK.sent.
    let mut script = with_timestamps();
    script.inject(data(1, 100).timestamps(10, 0)).inject(data(101, 100).timestamps(11, 0));
    assert_eq!(echo_at(&mut script, 20), 10);
}

#[test]
fn a_segment_behind_a_gap_is_not_echoed_and_the_one_that_fills_it_is() {
    // RFC 7323 §4.3 (B) and (C).
    let mut script = with_timestamps();
    script.inject(data(101, 100).timestamps(20, 0));
    assert_eq!(echo_at(&mut script, 0), 1);
    script.inject(data(1, 100).timestamps(15, 0));
    assert_eq!(echo_at(&mut script, 0), 15);
}

#[test]
fn an_older_segment_is_dropped_and_acknowledged() {
    // RFC 7323 §5.3 R1: PAWS.
    let mut script = with_timestamps();
    script.inject(data(1, 100).timestamps(100, 0)).at(20).expect(&["1 ack 101"]);
    script.inject(data(101, 100).timestamps(99, 0)).expect(&["1 ack 101"]);
    script.inject(data(101, 100).timestamps(100, 0)).at(40).expect(&["1 ack 201"]);
    script.read(1, 200);
}

#[test]
fn the_clock_of_the_peer_may_wrap() {
    // RFC 7323 §5.2: earlier and later are modulo 2^32.
    let mut script = with_timestamps();
    for (index, value) in [0x7fff_fff0, 0xffff_ff00, 3].into_iter().enumerate() {
        let start = 1 + 100 * i32::try_from(index).unwrap();
        script.inject(data(start, 100).timestamps(value, 0));
        script.by(20 * u64::try_from(index + 1).unwrap());
        script.expect(&[&format!("1 ack {}", start + 100)]);
    }
}

#[test]
fn after_half_the_range_of_the_clock_nothing_is_older() {
    // RFC 7323 §5.5: between our own nodes a tick is a microsecond, so that is 36 minutes.
    let mut script = with_timestamps();
    script.inject(data(1, 100).timestamps(100, 0)).at(20).expect(&["1 ack 101"]);
    script.at(2_100_000).inject(data(101, 100).timestamps(99, 0)).expect(&["1 ack 101"]);
    script.at(2_200_000).inject(data(101, 100).timestamps(99, 0));
    script.at(2_200_020).expect(&["1 ack 201"]);
}

#[test]
fn a_reset_is_taken_whatever_its_timestamp() {
    // RFC 7323 §3.2 and §5.2: RST is not subject to PAWS.
    let mut script = with_timestamps();
    script.inject(data(1, 100).timestamps(100, 0)).at(20).expect(&["1 ack 101"]);
    script.inject(Segment { acknowledgment: ack(1).acknowledgment, ..reset(101) }.timestamps(3, 0));
    assert_eq!(script.state(), "CLOSED");
}

#[test]
fn a_repetition_is_measured_by_its_echo() {
    // RFC 7323 §4.1, RFC 6298 §3: timestamps lift Karn's ban.
    let mut script = with_timestamps();
    script.write(900).expect(&["1..901 ack 1"]).at(242).expect(&["1..901 ack 1"]);
    let echo = script.echo();
    script.at(282).inject(ack(901).timestamps(300, echo));
    // 7/8 of 100 ms and 1/8 of 40 ms.
    let measured = script.flow().info().round_trip.unwrap();
    assert_eq!(measured.as_micros(), 92_500);
}

#[test]
fn without_them_a_repetition_is_not_measured() {
    // RFC 6298 §3: Karn's algorithm.
    let mut script = Script::accepted(Peer::default());
    script.stream(1).at(242).expect(&["1..1001 ack 1"]).at(282).inject(ack(1_001));
    assert_eq!(script.flow().info().round_trip.unwrap().as_micros(), 100_000);
}

fn with_timestamps() -> Script {
    Script::accepted(Peer { has_timestamps: true, ..Peer::default() })
}

/// What the only segment that leaves on the way to `ms` echoes.
fn echo_at(script: &mut Script, ms: u64) -> u32 {
    let sent = script.by(ms).take();
    assert_eq!(sent.len(), 1, "{sent:?}");
    sent[0].timestamps.unwrap().1
}
