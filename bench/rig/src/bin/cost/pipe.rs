//! One direction of the link: a rate and a delay in virtual time; nothing is ever lost.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A packet.
#[derive(Debug)]
pub(crate) struct Packet {
    buffer: Box<[u8; MTU_BYTES]>,
    length: usize,
}

/// Packets on their way, and room for more.
#[derive(Debug)]
pub(crate) struct Pipe {
    flying: VecDeque<(Instant, Packet)>,
    spare: Vec<Packet>,
    /// When the link has sent everything.
    free_at: Instant,
}

impl Packet {
    /// The packet that `write` writes, if it does.
    pub(crate) fn fill<R>(
        &mut self,
        write: impl FnOnce(&mut [u8]) -> Option<(usize, R)>,
    ) -> Option<R> {
        let (length, result) = write(self.buffer.as_mut_slice())?;
        self.length = length;
        Some(result)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }
}

impl Pipe {
    pub(crate) fn new(now: Instant) -> Self {
        Self { flying: VecDeque::new(), spare: Vec::new(), free_at: now }
    }

    /// Room for a packet.
    pub(crate) fn take_spare(&mut self) -> Packet {
        let new = || Packet { buffer: Box::new([0; MTU_BYTES]), length: 0 };
        self.spare.pop().unwrap_or_else(new)
    }

    /// Gives a packet's room back.
    pub(crate) fn put_spare(&mut self, packet: Packet) {
        self.spare.push(packet);
    }

    /// Sends a packet.
    pub(crate) fn push(&mut self, packet: Packet, now: Instant) {
        let bits = u32::try_from(packet.length * 8).unwrap_or(u32::MAX);
        self.free_at = self.free_at.max(now) + BIT_TIME * bits;
        self.flying.push_back((self.free_at + DELAY, packet));
    }

    /// The next packet that has arrived by `now`.
    pub(crate) fn pop_arrived(&mut self, now: Instant) -> Option<Packet> {
        self.flying.pop_front_if(|(at, _)| *at <= now).map(|(_, packet)| packet)
    }

    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        self.flying.front().map(|(at, _)| *at)
    }
}

/// Largest packet.
pub(crate) const MTU_BYTES: usize = 1_280;
/// 1 Gbit/s.
const BIT_TIME: Duration = Duration::from_nanos(1);
/// How long a packet takes beside that: so little that no more is in flight than smoltcp's buffers hold.
pub(crate) const DELAY: Duration = Duration::from_micros(100);
