//! One direction of the link: a transmitter with a queue, then a delay on which packets get lost or
//! overtaken.
//!
//! A packet's fate is decided when it is sent, so that a packet is one event: its arrival. Arrivals
//! are in order but for the few packets that are held back, so the packets on the way are a plain
//! queue.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::loss::{Loss, Losses};
use crate::random::Random;

/// What a direction is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) rate_megabits: u64,
    /// A packet that would wait longer is dropped.
    pub(crate) queue: Duration,
    pub(crate) delay: Duration,
    pub(crate) loss: Loss,
    pub(crate) reordered_percent: f64,
}

/// One direction.
#[derive(Debug)]
pub(crate) struct Pipe {
    shape: Shape,
    losses: Losses,
    random: Random,
    /// When the transmitter will have sent everything it was given.
    free_at: Instant,
    flying: VecDeque<Flying>,
    held: Vec<Held>,
    buffers: Vec<Vec<u8>>,
    counts: Counts,
}

/// A packet on its way.
#[derive(Debug)]
pub(crate) struct Flying {
    pub(crate) flow: usize,
    pub(crate) packet: Vec<u8>,
    arrives: Instant,
}

/// What became of the packets, and where they are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) tail_dropped: u64,
    pub(crate) lost: u64,
    /// In the queue and behind it.
    pub(crate) flying_bytes: usize,
}

/// A packet that is to be overtaken.
#[derive(Debug)]
struct Held {
    flying: Flying,
    overtakers_left: u32,
}

/// How many packets overtake a packet that is reordered.
const OVERTAKERS: u32 = 3;

/// A packet that too few follow is held back for the time in which this many could have been sent.
const HELD_PACKETS_MAX: u32 = 16;

impl Pipe {
    pub(crate) fn new(shape: Shape, seed: u64, now: Instant) -> Self {
        Self {
            shape,
            losses: Losses::new(shape.loss),
            random: Random::new(seed),
            free_at: now,
            flying: VecDeque::new(),
            held: Vec::new(),
            buffers: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Puts a packet on the link.
    pub(crate) fn send(&mut self, flow: usize, packet: &[u8], now: Instant) {
        if self.queue(now) > self.shape.queue {
            self.counts.tail_dropped += 1;
            return;
        }
        let transmission = self.transmission(packet.len());
        self.free_at = self.free_at.max(now) + transmission;
        if self.losses.takes(&mut self.random) {
            self.counts.lost += 1;
            return;
        }
        let flying =
            Flying { flow, packet: self.copy(packet), arrives: self.free_at + self.shape.delay };
        self.counts.flying_bytes += packet.len();
        if self.random.happens(self.shape.reordered_percent) {
            self.hold(flying, transmission);
        } else {
            let arrives = flying.arrives;
            self.flying.push_back(flying);
            self.overtake(arrives);
        }
    }

    /// The next packet that has arrived by `now`, to be given back by [`Self::recycle`].
    pub(crate) fn pop_arrived(&mut self, now: Instant) -> Option<Flying> {
        let next = self.next_arrival().filter(|next| *next <= now)?;
        let flying = match self.held.iter().position(|held| held.flying.arrives == next) {
            Some(index) => self.held.remove(index).flying,
            None => self.flying.pop_front()?,
        };
        self.counts.flying_bytes -= flying.packet.len();
        Some(flying)
    }

    pub(crate) fn recycle(&mut self, flying: Flying) {
        self.buffers.push(flying.packet);
    }

    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        let held = self.held.iter().map(|held| held.flying.arrives).min();
        let first = self.flying.front().map(|flying| flying.arrives);
        held.into_iter().chain(first).min()
    }

    /// How long a packet sent at `now` would wait.
    pub(crate) fn queue(&self, now: Instant) -> Duration {
        self.free_at.saturating_duration_since(now)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    fn hold(&mut self, mut flying: Flying, transmission: Duration) {
        flying.arrives += HELD_PACKETS_MAX * transmission;
        self.held.push(Held { flying, overtakers_left: OVERTAKERS });
    }

    /// Counts a packet that `arrives`; those who were overtaken often enough come right behind it.
    fn overtake(&mut self, arrives: Instant) {
        for held in &mut self.held {
            // Otherwise it arrives before by itself.
            if arrives <= held.flying.arrives {
                held.overtakers_left -= 1;
            }
        }
        for held in self.held.extract_if(.., |held| held.overtakers_left == 0) {
            self.flying.push_back(Flying { arrives, ..held.flying });
        }
    }

    fn transmission(&self, bytes: usize) -> Duration {
        let bits = 8 * u64::try_from(bytes).unwrap();
        Duration::from_nanos(bits * 1_000 / self.shape.rate_megabits)
    }

    fn copy(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut buffer = self.buffers.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(packet);
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: Shape = Shape {
        rate_megabits: 8,
        queue: Duration::from_millis(20),
        delay: Duration::from_millis(5),
        loss: Loss::Each { percent: 0.0 },
        reordered_percent: 0.0,
    };

    #[test]
    fn packets_leave_at_the_rate_and_arrive_after_the_delay() {
        assert_eq!(arrivals(CLEAN, 3), [(0, 6_000), (1, 7_000), (2, 8_000)]);
    }

    #[test]
    fn a_packet_that_would_wait_too_long_is_dropped() {
        // The 21st waits for exactly as long as the queue holds.
        assert_eq!(arrivals(CLEAN, 100).len(), 21);
    }

    #[test]
    fn three_packets_overtake_a_reordered_one() {
        let now = Instant::now();
        let mut pipe = Pipe::new(CLEAN, 1, now);
        pipe.shape.reordered_percent = 100.0;
        pipe.send(0, &[0; 1_000], now);
        pipe.shape.reordered_percent = 0.0;
        (1..6).for_each(|number| pipe.send(number, &[0; 1_000], now));
        let order: Vec<_> = drain(&mut pipe, now).into_iter().map(|(number, _)| number).collect();
        assert_eq!(order, [1, 2, 3, 0, 4, 5]);
    }

    #[test]
    fn a_reordered_packet_that_nothing_follows_arrives_in_the_end() {
        let shape = Shape { reordered_percent: 100.0, ..CLEAN };
        assert_eq!(arrivals(shape, 1), [(0, 6_000 + 16_000)]);
    }

    /// Sends packets of 1 ms at once; gives which arrive, and after how many microseconds.
    fn arrivals(shape: Shape, packets: usize) -> Vec<(usize, u128)> {
        let now = Instant::now();
        let mut pipe = Pipe::new(shape, 1, now);
        (0..packets).for_each(|number| pipe.send(number, &[0; 1_000], now));
        drain(&mut pipe, now)
    }

    fn drain(pipe: &mut Pipe, start: Instant) -> Vec<(usize, u128)> {
        let mut arrived = Vec::new();
        while let Some(now) = pipe.next_arrival() {
            let flying = pipe.pop_arrived(now).unwrap();
            arrived.push((flying.flow, (now - start).as_micros()));
        }
        assert_eq!(pipe.counts.flying_bytes, 0);
        arrived
    }
}
