//! Bulk over one flow, and the processor time of either end.

use std::time::{Duration, Instant};

use bore_rig::Result;
use rustix::time::{ClockId, clock_gettime};

use crate::pipe::{Packet, Pipe};

/// One end of the flow, with the application on it: one that writes whatever there is room for, or one that reads whatever there is.
pub(crate) trait End {
    fn handle_packet(&mut self, packet: &[u8], now: Instant);

    /// Applies deadlines and lets the application work.
    fn work(&mut self, now: Instant);

    /// Writes the next packet into `packet`; gives whether there was one.
    fn poll_transmit(&mut self, packet: &mut Packet, now: Instant) -> bool;

    fn poll_timeout(&mut self, now: Instant) -> Option<Instant>;
}

/// Both ends, the sender first, and the time it is.
pub(crate) struct Ends<E> {
    pub(crate) sender: E,
    pub(crate) receiver: E,
    pub(crate) now: Instant,
}

/// What a run has taken.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) sending: Duration,
    pub(crate) receiving: Duration,
    pub(crate) segments: u64,
    pub(crate) acknowledgments: u64,
    pub(crate) turns: u64,
}

/// A flow that never ends.
pub(crate) struct Transfer<E> {
    ends: Ends<E>,
    data: Pipe,
    acknowledgments: Pipe,
}

impl<E: End> Transfer<E> {
    pub(crate) fn new(ends: Ends<E>) -> Self {
        let now = ends.now;
        Self { ends, data: Pipe::new(now), acknowledgments: Pipe::new(now) }
    }

    /// Moves at least so many segments.
    pub(crate) fn run(&mut self, segments: u64) -> Result<Tally> {
        let mut tally = Tally::default();
        while tally.segments < segments {
            self.step(&mut tally);
            tally.turns += 1;
            if tally.turns > 100 * segments {
                return Err("the transfer stands still".into());
            }
        }
        Ok(tally)
    }

    fn step(&mut self, tally: &mut Tally) {
        self.advance();
        let Self { ends, data, acknowledgments } = self;
        let began = processor_time();
        tally.segments += turn(&mut ends.sender, acknowledgments, data, ends.now);
        let middle = processor_time();
        tally.acknowledgments += turn(&mut ends.receiver, data, acknowledgments, ends.now);
        tally.sending += middle.saturating_sub(began);
        tally.receiving += processor_time().saturating_sub(middle);
    }

    /// To the next event, but not in smaller steps than a driver takes under load.
    fn advance(&mut self) {
        let now = self.ends.now;
        let events = [
            self.data.next_arrival(),
            self.acknowledgments.next_arrival(),
            self.ends.sender.poll_timeout(now),
            self.ends.receiver.poll_timeout(now),
        ];
        let next = events.into_iter().flatten().min().unwrap_or(now);
        self.ends.now = next.max(now + TURN);
    }
}

/// What came, what is due, what leaves; gives how many packets left.
fn turn<E: End>(end: &mut E, incoming: &mut Pipe, outgoing: &mut Pipe, now: Instant) -> u64 {
    while let Some(packet) = incoming.pop_arrived(now) {
        end.handle_packet(packet.bytes(), now);
        incoming.put_spare(packet);
    }
    end.work(now);
    let mut count = 0;
    loop {
        let mut packet = outgoing.take_spare();
        if !end.poll_transmit(&mut packet, now) {
            outgoing.put_spare(packet);
            return count;
        }
        outgoing.push(packet, now);
        count += 1;
    }
}

fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Time between two looks: some fifty packets.
const TURN: Duration = Duration::from_micros(500);
