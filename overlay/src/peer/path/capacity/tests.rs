//! What a path is taken to carry, by what its probes were answered.

use std::time::Duration;

use super::length::LASTS;
use super::rounds::REST;
use super::*;
use crate::limits::{INNER_MTU, INNER_MTU_BASE};

#[test]
fn a_path_that_has_become_much_slower_is_still_asked_with_success() {
    let (mut path, mut now) = (Capacity::new(), Instant::now());
    path.allow_probes(now);
    now = ask(&mut path, now, ms(10), &[LONGEST_PART, SINGLE_PART, SHORT_PART]);
    assert_eq!(path.packet_bytes(), INNER_MTU);

    // Buffers have filled up, and then the path narrows.
    for _ in 0..8 {
        now += REST;
        path.note_repeat(now);
        now = ask(&mut path, now, ms(700), &[SHORT_PART]);
    }
    assert_eq!(path.packet_bytes(), INNER_MTU_BASE);
}

#[test]
fn a_burst_that_arrives_proves_no_length() {
    let (mut path, mut now) = (Capacity::new(), Instant::now());
    path.allow_probes(now);
    now = ask(&mut path, now, ms(10), &[LONGEST_PART, SINGLE_PART, SHORT_PART]);
    for _ in 0..FAILURES_MAX {
        now += REST;
        path.may_segment(now);
        path.note_repeat(now);
        now = ask(&mut path, now, ms(10), &[0, 1, 2, 3, SHORT_PART]);
    }
    assert_eq!(path.packet_bytes(), INNER_MTU_BASE);
    assert!(path.may_segment(now), "of segments it does");
}

#[test]
fn rounds_without_answers_become_more_patient_and_end() {
    let (mut path, mut now) = (Capacity::new(), Instant::now());
    path.allow_probes(now);
    let mut waited = Vec::new();
    for _ in 0..FAILURES_MAX {
        now = now.max(path.deadline().unwrap());
        path.begin_round(true, now).unwrap();
        waited.push(path.deadline().unwrap() - now);
        now = path.deadline().unwrap();
        path.end_round(now);
    }
    assert_eq!(waited, [1_000, 1_000, 2_000].map(ms));
    assert_eq!(path.deadline(), None);
}

#[test]
fn a_length_that_does_not_last_is_tried_ever_more_seldom() {
    let (mut path, mut now) = (Capacity::new(), Instant::now());
    path.allow_probes(now);
    now = ask(&mut path, now, ms(10), &[LONGEST_PART, SINGLE_PART, SHORT_PART]);
    let mut waited = Vec::new();
    for _ in 0..4 {
        assert!(path.shrink(now));
        waited.push(until_longer(&mut path, &mut now).as_secs() / 10);
    }
    now += LASTS;
    assert!(path.shrink(now));
    waited.push(until_longer(&mut path, &mut now).as_secs() / 10);
    assert_eq!(waited, [1, 2, 4, 8, 1], "tens of seconds");
}

/// Sends packets that would be longer if they might, until they may; gives how long that took.
fn until_longer(path: &mut Capacity, now: &mut Instant) -> Duration {
    let since = *now;
    while path.packet_bytes() == INNER_MTU_BASE {
        *now += ms(1_000);
        path.note_packet(INNER_MTU_BASE, *now);
        *now = ask(path, *now, ms(10), &[LONGEST_PART, SINGLE_PART, SHORT_PART]);
    }
    *now - since
}

/// Begins the next round at its time, and answers some of its parts after `round_trip`; gives when it has ended.
fn ask(path: &mut Capacity, now: Instant, round_trip: Duration, parts: &[u8]) -> Instant {
    let Some(due) = path.deadline() else { return now };
    let mut now = now.max(due);
    let order = path.begin_round(true, now).unwrap();
    let arrival = now + round_trip;
    if path.deadline().unwrap() >= arrival {
        for part in parts {
            path.handle_answer(order.round, *part, arrival);
        }
    }
    now = path.deadline().unwrap();
    path.end_round(now);
    now
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
