//! Bulk over one flow, and the processor time of either end.

use std::time::{Duration, Instant};

use bore_rig::Result;
use rustix::time::{ClockId, clock_gettime};

use crate::pipe::{Pipe, Train};

/// One end of the flow, with the application on it: one that writes whatever there is room for, or one that reads whatever there is.
pub(crate) trait End {
    fn handle_packet(&mut self, packet: &[u8], now: Instant);

    /// Applies deadlines and lets the application work.
    fn work(&mut self, now: Instant);

    /// Writes what may leave at once into `train`; gives whether there was anything.
    fn poll_transmit(&mut self, train: &mut Train, now: Instant) -> bool;

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
    /// What one look at the clock adds to what is measured.
    look_cost: Duration,
}

impl<E: End> Transfer<E> {
    /// Of trains that have so much room each.
    pub(crate) fn new(ends: Ends<E>, room_bytes: usize) -> Self {
        let now = ends.now;
        let pipe = || Pipe::new(room_bytes, now);
        Self { ends, data: pipe(), acknowledgments: pipe(), look_cost: cost_of_a_look() }
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
        let Self { ends, data, acknowledgments, look_cost } = self;
        let began = processor_time();
        tally.segments += turn(&mut ends.sender, acknowledgments, data, ends.now);
        let middle = processor_time();
        tally.acknowledgments += turn(&mut ends.receiver, data, acknowledgments, ends.now);
        let ended = processor_time();
        tally.sending += middle.saturating_sub(began + *look_cost);
        tally.receiving += ended.saturating_sub(middle + *look_cost);
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
    while let Some(train) = incoming.pop_arrived(now) {
        for packet in train.packets() {
            end.handle_packet(packet, now);
        }
        incoming.put_spare(train);
    }
    end.work(now);
    let mut count = 0;
    loop {
        let mut train = outgoing.take_spare();
        if !end.poll_transmit(&mut train, now) {
            outgoing.put_spare(train);
            return count;
        }
        count += train.packets().len() as u64;
        outgoing.push(train, now);
    }
}

fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// The clock of a thread is read by a system call, and the fifty segments of a turn would share its cost.
fn cost_of_a_look() -> Duration {
    let began = processor_time();
    for _ in 1..LOOKS {
        processor_time();
    }
    processor_time().saturating_sub(began) / LOOKS
}

const LOOKS: u32 = 10_000;
/// Time between two looks: some fifty packets.
const TURN: Duration = Duration::from_micros(500);
