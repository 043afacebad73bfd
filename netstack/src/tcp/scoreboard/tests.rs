//! The scoreboard beside a naive model.

use std::time::Duration;

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
        sent_at: moment(at),
        state: SentState::Outstanding,
        is_retransmission: false,
        snapshot: Snapshot::default(),
    }
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
