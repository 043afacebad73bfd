//! One direction of the link: a rate and a delay in virtual time; nothing is ever lost.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets of one length, one behind the other, as they were written: nothing is copied on the way.
#[derive(Debug)]
pub(crate) struct Train {
    room: Box<[u8]>,
    bytes: usize,
    /// Of each packet; only the last may be shorter.
    packet_bytes: usize,
}

/// Trains on their way, and room for more.
#[derive(Debug)]
pub(crate) struct Pipe {
    flying: VecDeque<(Instant, Train)>,
    spare: Vec<Train>,
    /// How much room a train has.
    room_bytes: usize,
    /// When the link has sent everything.
    free_at: Instant,
}

impl Train {
    /// The train that `write` writes, if it does: it gives the length of all and of each packet.
    pub(crate) fn fill(
        &mut self,
        write: impl FnOnce(&mut [u8]) -> Option<(usize, usize)>,
    ) -> Option<()> {
        (self.bytes, self.packet_bytes) = write(&mut self.room)?;
        Some(())
    }

    pub(crate) fn packets(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let packets = self.room.get(..self.bytes).unwrap_or_default();
        packets.chunks(self.packet_bytes.max(1))
    }
}

impl Pipe {
    pub(crate) fn new(room_bytes: usize, now: Instant) -> Self {
        Self { flying: VecDeque::new(), spare: Vec::new(), room_bytes, free_at: now }
    }

    /// Room for a train.
    pub(crate) fn take_spare(&mut self) -> Train {
        let room_bytes = self.room_bytes;
        let new =
            || Train { room: vec![0; room_bytes].into_boxed_slice(), bytes: 0, packet_bytes: 0 };
        self.spare.pop().unwrap_or_else(new)
    }

    /// Gives a train's room back.
    pub(crate) fn put_spare(&mut self, train: Train) {
        self.spare.push(train);
    }

    /// Sends a train.
    pub(crate) fn push(&mut self, train: Train, now: Instant) {
        let bits = u32::try_from(train.bytes * 8).unwrap_or(u32::MAX);
        self.free_at = self.free_at.max(now) + BIT_TIME * bits;
        self.flying.push_back((self.free_at + DELAY, train));
    }

    /// The next train that has arrived by `now`.
    pub(crate) fn pop_arrived(&mut self, now: Instant) -> Option<Train> {
        self.flying.pop_front_if(|(at, _)| *at <= now).map(|(_, train)| train)
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
