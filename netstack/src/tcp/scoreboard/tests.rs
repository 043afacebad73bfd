//! The scoreboard beside a naive model.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn board(count: u64) -> Scoreboard {
    let mut board = Scoreboard::default();
    for index in 0..count {
        board.push(segment(index, index));
    }
    board
}

fn segment(index: u64, at: u64) -> Sent {
    Sent {
        start: 1 + index * 100,
        end: 101 + index * 100,
        segment_bytes: 100,
        sent_at: moment(at),
        state: SentState::Outstanding,
        is_retransmission: false,
        snapshot: Snapshot::default().behind(index * 100),
    }
}

/// `count` segments in trains of ten.
fn trains(count: u64) -> Scoreboard {
    let mut board = Scoreboard::default();
    for index in 0..count {
        board.push(segment(index, index / 10));
    }
    board
}

fn moment(ms: u64) -> Moment {
    Moment::default().after(Duration::from_millis(ms))
}

fn totals(board: &Scoreboard) -> (u64, u64, u64) {
    (board.in_flight_bytes(), board.lost_bytes(), board.sacked_bytes())
}

#[test]
fn every_byte_is_in_flight_or_lost_or_sacked() {
    let mut board = board(10);
    assert_eq!(totals(&board), (1000, 0, 0));
    let mut new = 0;
    board.sack(401, 601, |sent| new += sent.bytes());
    board.sack(301, 601, |sent| new += sent.bytes());
    assert_eq!((new, totals(&board)), (300, (700, 0, 300)));
    board.judge(|sent| sent.sent_at < moment(2), |_| {});
    assert_eq!(totals(&board), (500, 200, 300));
    let mut new = 0;
    board.acknowledge(351, |sent| new += sent.bytes());
    assert_eq!((new, totals(&board)), (300, (400, 0, 250)));
    board.acknowledge(1001, |_| {});
    assert_eq!((totals(&board), board.is_empty()), ((0, 0, 0), true));
}

#[test]
fn a_retransmission_is_judged_by_its_own_time() {
    let mut board = board(4);
    board.judge(|sent| sent.start == 1, |_| {});
    assert_eq!(board.first_lost().map(|sent| sent.start), Some(1));
    board.note_retransmission(1, 101, moment(50), Snapshot::default());
    assert_eq!((totals(&board), board.first_lost().is_none()), ((400, 0, 0), true));
    let mut judged = Vec::new();
    board.judge(|_| true, |sent| judged.push(sent.start));
    assert_eq!(judged, [101, 201, 301, 1], "in the order of sending");
}

#[test]
fn a_shorter_mss_splits_a_lost_segment() {
    let mut board = board(2);
    board.judge(|_| true, |_| {});
    board.note_retransmission(1, 61, moment(9), Snapshot::default());
    assert_eq!(totals(&board), (60, 140, 0));
    assert_eq!(board.first_lost().map(|sent| (sent.start, sent.end)), Some((61, 101)));
}

#[test]
fn losses_that_were_none_are_taken_back() {
    let mut board = board(3);
    board.lose_all(|_| {});
    assert_eq!(totals(&board), (0, 300, 0));
    board.unlose_all();
    assert_eq!(totals(&board), (300, 0, 0));
    let mut judged = Vec::new();
    board.judge(|_| true, |sent| judged.push(sent.start));
    assert_eq!(judged, [1, 101, 201]);
}

#[test]
fn data_thrown_away_by_the_other_side_is_lost() {
    let mut board = board(3);
    board.sack(201, 301, |_| {});
    board.forget_sacked();
    assert_eq!(totals(&board), (200, 100, 0));
    assert_eq!(board.first_lost().map(|sent| sent.start), Some(201));
}

#[test]
fn a_train_is_one_record_until_the_other_side_tells_it_apart() {
    let mut board = trains(20);
    assert_eq!((board.records.len(), board.segments()), (2, 20));
    let mut new = Vec::new();
    board.sack(401, 601, |sent| new.push((sent.start, sent.end, sent.in_flight_bytes())));
    assert_eq!(new, [(401, 601, 600)], "what was in flight when its last segment left");
    assert_eq!((board.records.len(), board.segments()), (4, 20));
    board.acknowledge(201, |_| {});
    assert_eq!((board.records.len(), board.segments()), (4, 18));
}

#[test]
fn only_whole_segments_are_told_apart() {
    let mut board = trains(10);
    let mut new = 0;
    board.sack(250, 450, |sent| new += sent.bytes());
    assert_eq!((new, board.records.len()), (100, 3), "301..401");
    board.sack(601, 650, |_| unreachable!("a part of a segment"));
    board.acknowledge(150, |_| {});
    let mut new = Vec::new();
    board.sack(201, 301, |sent| new.push((sent.start, sent.end)));
    assert_eq!(new, [(201, 301)], "a part of one that is acknowledged moves no edge");
}

#[test]
fn the_last_segment_of_a_train_is_the_tail() {
    let mut board = trains(10);
    let last = board.last().unwrap();
    assert_eq!((last.start, last.end), (901, 1001));
    board.note_retransmission(901, 1001, moment(50), Snapshot::default());
    assert_eq!(board.segments(), 10);
    let mut judged = Vec::new();
    board.judge(|_| true, |sent| judged.push((sent.start, sent.end)));
    assert_eq!(judged, [(1, 901), (901, 1001)]);
}

/// What may happen to a scoreboard, in segments.
#[derive(Debug, Clone, Copy)]
enum Event {
    Acknowledge(u64),
    Sack(u64, u64),
    Judge(u64),
    Repeat,
    Timeout,
    Unlose,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0u64..40).prop_map(Event::Acknowledge),
        (0u64..40, 1u64..9).prop_map(|(first, count)| Event::Sack(first, count)),
        (0u64..5).prop_map(Event::Judge),
        Just(Event::Repeat),
        Just(Event::Timeout),
        Just(Event::Unlose),
    ]
}

/// What an event brought, and how things stand then.
fn apply(board: &mut Scoreboard, event: Event, now: u64) -> (u64, u64, (u64, u64, u64), u64) {
    let (mut delivered, mut lost) = (0, 0);
    match event {
        Event::Acknowledge(count) => {
            board.acknowledge(1 + count * 100, |sent| delivered += sent.bytes());
        }
        Event::Sack(first, count) => {
            let (start, end) = (1 + first * 100, 1 + (first + count) * 100);
            board.sack(start, end, |sent| delivered += sent.bytes());
        }
        Event::Judge(before) => {
            board.judge(|sent| sent.sent_at < moment(before), |sent| lost += sent.bytes());
        }
        Event::Repeat => {
            if let Some(sent) = board.first_lost() {
                let end = sent.end.min(sent.start + 100);
                board.note_retransmission(sent.start, end, moment(now), Snapshot::default());
            }
        }
        Event::Timeout => board.lose_all(|sent| lost += sent.bytes()),
        Event::Unlose => board.unlose_all(),
    }
    (delivered, lost, totals(board), board.segments())
}

proptest! {
    #[test]
    fn trains_say_the_same_as_single_segments(events in prop::collection::vec(event(), 0..60)) {
        let (mut joined, mut single) = (trains(40), Scoreboard::default());
        for index in 0..40 {
            // Beside what would follow, so that it stays by itself.
            single.push(Sent { snapshot: Snapshot::default(), ..segment(index, index / 10) });
        }
        prop_assert_eq!((joined.records.len(), single.records.len()), (4, 40));
        for (now, event) in (100..).zip(events) {
            prop_assert_eq!(apply(&mut joined, event, now), apply(&mut single, event, now));
        }
    }
}
