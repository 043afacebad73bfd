//! Bytes arrive, all of them, in order, whatever the link does.

use std::time::Duration;

use bore_netstack::TcpFlow;
use proptest::prelude::*;

use crate::lab::{After, Faults, Lab, read, write};

#[test]
fn bulk_both_ways_is_bit_exact_on_a_clean_link() {
    transfer(Lab::new(), 2_000_000);
}

#[test]
fn a_clean_link_is_used_up_to_the_window() {
    let mut lab = Lab::new();
    let (visitor, service) = lab.established();
    let start = lab.now;
    let mut direction = Direction::new(&visitor, &service, pattern(2_000_000, 1));
    lab.until(|_| direction.advance().then_some(()));
    // 64 KiB each 20 ms, after slow start and with delayed ACKs.
    let elapsed = lab.now - start;
    assert!(elapsed < Duration::from_millis(1_500), "{elapsed:?} of virtual time");
}

#[test]
fn two_ends_that_lose_segments_at_once_recover() {
    // Found by the property below: each end's ACK came with a sequence number from before its
    // timeout, and was dropped by the other.
    let jitter = Duration::from_millis(1);
    let faults = Faults { loss_percent: 4, duplicate_percent: 0, jitter };
    transfer(Lab::with_faults(5_395_047_815_309_872_992 >> 1, faults), 34_699);
}

#[test]
fn bulk_both_ways_is_bit_exact_at_one_percent_loss() {
    transfer(lossy(11, 1), 300_000);
}

#[test]
fn bulk_both_ways_is_bit_exact_at_five_percent_loss() {
    transfer(lossy(12, 5), 100_000);
}

#[test]
fn bulk_both_ways_is_bit_exact_under_reordering_and_duplication() {
    let faults =
        Faults { loss_percent: 0, duplicate_percent: 10, jitter: Duration::from_millis(8) };
    transfer(Lab::with_faults(13, faults), 300_000);
}

#[test]
fn a_reader_that_stops_stops_the_writer_and_loses_nothing() {
    let mut lab = Lab::new();
    let (visitor, service) = lab.established();
    let data = pattern(1_000_000, 3);
    let mut written = 0;
    for _ in 0..50 {
        written += write(&visitor, &data[written..]);
        lab.run_for(Duration::from_millis(100));
    }
    assert!(written < 200_000, "a window and what waits for it, not {written}");
    // Longer than the user timeout: a closed window is no dead peer.
    lab.run_for(Duration::from_secs(200));
    let mut direction = Direction { written, ..Direction::new(&visitor, &service, data) };
    lab.until(|_| direction.advance().then_some(()));
}

#[test]
fn would_block_of_the_sink_consumes_nothing() {
    let mut lab = Lab::new();
    let (visitor, service) = lab.established();
    write(&visitor, b"hello");
    lab.until_idle();
    let mut context = crate::lab::context();
    let refused =
        service.poll_read_with(&mut context, |_| Err(std::io::ErrorKind::WouldBlock.into()));
    assert!(matches!(refused, std::task::Poll::Ready(Err(_))));
    let partly = service.poll_read_with(&mut context, |bytes| Ok(bytes.len().min(2)));
    assert!(matches!(partly, std::task::Poll::Ready(Ok(Some(2)))));
    assert_eq!(read(&service).0, b"llo");
    assert_eq!(service.info().received_bytes, 5);
    assert_eq!(visitor.info().sent_bytes, 5);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_schedule_of_faults_delivers_bit_exact_or_says_that_it_failed(
        seed in any::<u64>(),
        loss_percent in 0u32..8,
        duplicate_percent in 0u32..15,
        jitter_ms in 0u64..30,
        bytes in 1usize..60_000,
    ) {
        let jitter = Duration::from_millis(jitter_ms);
        let faults = Faults { loss_percent, duplicate_percent, jitter };
        let outcome = run(Lab::with_faults(seed >> 1, faults), bytes);
        prop_assert!(outcome == Outcome::Delivered || loss_percent > 0);
    }
}

fn lossy(seed: u64, loss_percent: u32) -> Lab {
    Lab::with_faults(seed, Faults { loss_percent, ..Faults::default() })
}

/// Sends `bytes` each way at once, and expects them to arrive.
fn transfer(lab: Lab, bytes: usize) {
    assert_eq!(run(lab, bytes), Outcome::Delivered);
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Delivered,
    /// One end was told that the flow is dead.
    Failed,
}

/// Sends `bytes` each way at once, closes both sides, and waits until both are flushed.
fn run(mut lab: Lab, bytes: usize) -> Outcome {
    let (visitor, service) = lab.established();
    let mut up = Direction::new(&visitor, &service, pattern(bytes, 1));
    let mut down = Direction::new(&service, &visitor, pattern(bytes, 2));
    let outcome = lab.until(|_| {
        let is_over = [up.advance(), down.advance()] == [true, true];
        let mut context = crate::lab::context();
        let flushed = [&visitor, &service].map(|flow| flow.poll_flushed(&mut context));
        let is_flushed = flushed.iter().all(std::task::Poll::is_ready);
        let has_failed =
            [&visitor, &service].iter().any(|flow| flow.poll_reset(&mut context).is_ready());
        match (has_failed, is_over && is_flushed) {
            (true, _) => Some(Outcome::Failed),
            (false, true) => Some(Outcome::Delivered),
            (false, false) => None,
        }
    });
    drop((visitor, service));
    lab.run_for(Duration::from_secs(90));
    assert_eq!((lab.relay.flow_count(), lab.agent.flow_count()), (0, 0));
    assert_eq!(lab.next_event(), None, "no timer outlives its flow");
    outcome
}

struct Direction<'f> {
    from: &'f TcpFlow,
    to: &'f TcpFlow,
    data: Vec<u8>,
    written: usize,
    received: Vec<u8>,
    is_over: bool,
}

impl<'f> Direction<'f> {
    fn new(from: &'f TcpFlow, to: &'f TcpFlow, data: Vec<u8>) -> Self {
        Self { from, to, data, written: 0, received: Vec::new(), is_over: false }
    }

    /// Gives whether the end of the stream has come, with every byte before it.
    fn advance(&mut self) -> bool {
        if self.written < self.data.len() && self.from.info().state != "CLOSED" {
            self.written += write(self.from, &self.data[self.written..]);
            if self.written == self.data.len() {
                self.from.shutdown();
            }
        }
        let (bytes, after) = read(self.to);
        self.received.extend(bytes);
        let expected = self.data.get(..self.received.len());
        assert!(expected == Some(&self.received[..]), "a prefix at any time");
        self.is_over |= after == After::End;
        assert!(!self.is_over || self.received.len() == self.data.len(), "no early end");
        self.is_over
    }
}

fn pattern(bytes: usize, salt: u32) -> Vec<u8> {
    let mut state = salt;
    (0..bytes)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect()
}
