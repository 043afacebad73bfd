//! Two ends, one path, one clock.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::schedule::Schedule;

/// One side of the flow.
pub(crate) trait End: Sized {
    fn open(schedule: &Schedule, now: Instant) -> Self;
    fn accept(schedule: &Schedule, now: Instant) -> Self;
    fn handle_packet(&mut self, packet: &[u8], now: Instant);
    fn poll_transmit(&mut self, buffer: &mut [u8], now: Instant) -> Option<usize>;
    fn handle_timeout(&mut self, now: Instant);
    fn poll_timeout(&mut self, now: Instant) -> Option<Instant>;
    /// Writes what there is room for.
    fn write(&mut self, bytes: &[u8]) -> usize;
    /// Reads what there is.
    fn read(&mut self, into: &mut Vec<u8>);
    /// The other side has closed its half, and everything before that was read.
    fn has_ended(&mut self) -> bool;
    /// Closes this half.
    fn close(&mut self);
    /// Both halves are closed, and nothing is unacknowledged.
    fn is_over(&mut self) -> bool;
    /// The flow ended otherwise, and the application was told.
    fn has_failed(&mut self) -> bool;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Delivered,
    /// One end was told that the flow is dead.
    Failed,
}

pub(crate) struct Run<O, A> {
    pub(crate) opener: O,
    pub(crate) acceptor: A,
    up: Direction,
    down: Direction,
    schedule: Schedule,
    random: StdRng,
    flying: Vec<Flying>,
    began: Instant,
    now: Instant,
    sent: u64,
}

struct Flying {
    arrives: Instant,
    order: u64,
    to_acceptor: bool,
    packet: Vec<u8>,
}

/// What one side sends the other.
struct Direction {
    data: Vec<u8>,
    written: usize,
    is_closed: bool,
    received: Vec<u8>,
}

impl<O: End, A: End> Run<O, A> {
    pub(crate) fn new(schedule: &Schedule) -> Self {
        let mut random = StdRng::seed_from_u64(schedule.seed);
        let now = Instant::now();
        Self {
            opener: O::open(schedule, now),
            acceptor: A::accept(schedule, now),
            up: Direction::new(schedule.bytes, &mut random),
            down: Direction::new(schedule.bytes, &mut random),
            schedule: *schedule,
            random,
            flying: Vec::new(),
            began: now,
            now,
            sent: 0,
        }
    }

    /// Runs to the end of the flow.
    pub(crate) fn finish(mut self) -> Outcome {
        self.until_over()
    }

    pub(crate) fn until_over(&mut self) -> Outcome {
        for _ in 0..STEPS_MAX {
            self.work();
            if self.opener.has_failed() || self.acceptor.has_failed() {
                return Outcome::Failed;
            }
            if self.is_delivered() && self.opener.is_over() && self.acceptor.is_over() {
                return Outcome::Delivered;
            }
            self.advance();
            let elapsed = self.now - self.began;
            assert!(elapsed < BOUND, "neither delivered nor failed: {:?}", self.schedule);
        }
        panic!("not within {STEPS_MAX} steps: {:?}", self.schedule);
    }

    fn is_delivered(&mut self) -> bool {
        let is_whole = |direction: &Direction| direction.received == direction.data;
        is_whole(&self.up)
            && is_whole(&self.down)
            && self.opener.has_ended()
            && self.acceptor.has_ended()
    }

    /// Lets both applications do what they can, a piece at a time, and puts what leaves on the path.
    fn work(&mut self) {
        loop {
            let may_answer = !self.schedule.takes_turns || self.acceptor.has_ended();
            let piece = self.schedule.piece_bytes;
            let wrote_up = self.up.write(&mut self.opener, piece);
            let wrote_down = may_answer && self.down.write(&mut self.acceptor, piece);
            self.up.read(&mut self.acceptor);
            self.down.read(&mut self.opener);
            self.exchange();
            if !wrote_up && !wrote_down {
                return;
            }
        }
    }

    fn exchange(&mut self) {
        let mut buffer = [0; 9_216];
        for _ in 0..PACKETS_AT_ONCE_MAX {
            let up = self.opener.poll_transmit(&mut buffer, self.now);
            if let Some(bytes) = up {
                self.launch(&buffer[..bytes], true);
            }
            let down = self.acceptor.poll_transmit(&mut buffer, self.now);
            if let Some(bytes) = down {
                self.launch(&buffer[..bytes], false);
            }
            if up.is_none() && down.is_none() {
                return;
            }
        }
        panic!("sending never ends: {:?}", self.schedule);
    }

    fn launch(&mut self, packet: &[u8], to_acceptor: bool) {
        let faults = self.schedule.faults;
        assert!(packet.len() <= self.schedule.mtu, "{} bytes", packet.len());
        if self.happens(faults.loss_percent) {
            return;
        }
        let copies = 1 + usize::from(self.happens(faults.duplicate_percent));
        for _ in 0..copies {
            let mut packet = packet.to_vec();
            if self.happens(faults.corrupt_percent) {
                let at = self.random.random_range(0..packet.len());
                packet[at] ^= 1 << self.random.random_range(0..8);
            }
            let jitter =
                Duration::from_micros(self.random.random_range(0..=faults.jitter_ms * 1_000));
            let arrives = self.now + Duration::from_millis(self.schedule.delay_ms) + jitter;
            self.sent += 1;
            self.flying.push(Flying { arrives, order: self.sent, to_acceptor, packet });
        }
    }

    fn happens(&mut self, percent: u32) -> bool {
        self.random.random_ratio(percent, 100)
    }

    /// Jumps to the next event.
    fn advance(&mut self) {
        let arrival = self.flying.iter().map(|flying| flying.arrives).min();
        let timeouts = [self.opener.poll_timeout(self.now), self.acceptor.poll_timeout(self.now)];
        let event = timeouts.into_iter().flatten().chain(arrival).min();
        let event = event.unwrap_or_else(|| panic!("nothing will happen: {:?}", self.schedule));
        self.now = self.now.max(event);
        let now = self.now;
        self.opener.handle_timeout(now);
        self.acceptor.handle_timeout(now);
        let mut arrived: Vec<_> =
            self.flying.extract_if(.., |flying| flying.arrives <= now).collect();
        arrived.sort_by_key(|flying| (flying.arrives, flying.order));
        for flying in arrived {
            if flying.to_acceptor {
                self.acceptor.handle_packet(&flying.packet, now);
            } else {
                self.opener.handle_packet(&flying.packet, now);
            }
        }
    }
}

impl Direction {
    fn new(bytes: usize, random: &mut StdRng) -> Self {
        let mut data = vec![0; bytes];
        random.fill(&mut data[..]);
        Self { data, written: 0, is_closed: false, received: Vec::new() }
    }

    /// Writes a piece; gives whether anything happened.
    fn write(&mut self, from: &mut impl End, piece_bytes: usize) -> bool {
        let rest = &self.data[self.written..];
        if rest.is_empty() {
            if !self.is_closed {
                from.close();
            }
            return !std::mem::replace(&mut self.is_closed, true);
        }
        let count = from.write(&rest[..rest.len().min(piece_bytes)]);
        self.written += count;
        count > 0
    }

    fn read(&mut self, at: &mut impl End) {
        at.read(&mut self.received);
        let expected = self.data.get(..self.received.len());
        assert!(expected == Some(&self.received[..]), "a prefix at any time");
        assert!(!at.has_ended() || self.received.len() == self.data.len(), "no early end");
    }
}

const STEPS_MAX: usize = 2_000_000;
const PACKETS_AT_ONCE_MAX: usize = 100_000;
/// Of virtual time.
const BOUND: Duration = Duration::from_secs(600);
