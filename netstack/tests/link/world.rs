//! One run: flows, a link, and a clock that jumps from event to event.

use std::thread;
use std::time::{Duration, Instant};

use crate::cells::Cell;
use crate::end::{End, MTU_BYTES};
use crate::meter::Meter;
use crate::pipe::{Counts, Pipe};
use crate::random::Random;

/// What a run has shown.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) meters: Vec<Meter>,
    /// The data direction at the end of each slice.
    pub(crate) samples: Vec<Sample>,
}

/// A look at the data direction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    pub(crate) counts: Counts,
    pub(crate) queue: Duration,
    /// Payload put on the link by all flows so far, and what of it was new.
    pub(crate) sent_bytes: u64,
    pub(crate) unique_bytes: u64,
}

impl Sample {
    pub(crate) fn resent_bytes(&self) -> u64 {
        self.sent_bytes - self.unique_bytes
    }
}

/// The grain of time in a record.
pub(crate) const SLICE: Duration = Duration::from_millis(100);

/// Flows start one after the other.
const START_INTERVAL: Duration = Duration::from_secs(1);

/// Events at one instant, with a link that takes time for each packet: an engine that goes on longer
/// asks to be called at once for ever.
const EVENTS_AT_ONCE_MAX: u32 = 10_000;

/// Packets from one end at one instant: more than any window holds.
const PACKETS_AT_ONCE_MAX: usize = 100_000;

/// Runs a cell to its end.
pub(crate) fn run<E: End>(cell: &Cell) -> Record {
    let _named = NamedInPanics(cell);
    let mut world = World::<E>::new(cell);
    while world.step() {}
    world.finish()
}

/// Says in which cell an engine panicked.
struct NamedInPanics<'c>(&'c Cell);

impl Drop for NamedInPanics<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("this was in {}", self.0);
        }
    }
}

struct World<'c, E> {
    cell: &'c Cell,
    random: Random,
    now: Instant,
    events_at_once: u32,
    end: Instant,
    next_start: Option<Instant>,
    next_slice: Instant,
    flows: Vec<Flow<E>>,
    data: Pipe,
    acknowledgments: Pipe,
    buffer: [u8; MTU_BYTES],
    samples: Vec<Sample>,
}

struct Flow<E> {
    index: usize,
    sender: E,
    receiver: E,
    sender_deadline: Option<Instant>,
    receiver_deadline: Option<Instant>,
    meter: Meter,
}

impl<'c, E: End> World<'c, E> {
    fn new(cell: &'c Cell) -> Self {
        let now = Instant::now();
        let mut random = Random::named(&cell.to_string());
        Self {
            cell,
            data: Pipe::new(cell.data_shape(), random.next(), now),
            acknowledgments: Pipe::new(cell.acknowledgment_shape(), random.next(), now),
            random,
            now,
            events_at_once: 0,
            end: now + cell.duration(),
            next_start: Some(now),
            next_slice: now + SLICE,
            flows: Vec::new(),
            buffer: [0; MTU_BYTES],
            samples: Vec::new(),
        }
    }

    /// Jumps to the next event and lets it happen; gives whether the run goes on.
    fn step(&mut self) -> bool {
        self.advance_to(self.next_event());
        self.start_flow();
        self.deliver_data();
        self.deliver_acknowledgments();
        self.expire();
        if self.now == self.next_slice {
            self.end_slice();
        }
        self.now < self.end
    }

    fn next_event(&self) -> Instant {
        let deadlines =
            self.flows.iter().flat_map(|flow| [flow.sender_deadline, flow.receiver_deadline]);
        let arrivals = [self.data.next_arrival(), self.acknowledgments.next_arrival()];
        let events = deadlines.chain(arrivals).chain([self.next_start]).flatten();
        events.min().map_or(self.next_slice, |event| event.min(self.next_slice))
    }

    fn advance_to(&mut self, event: Instant) {
        self.events_at_once = if event > self.now { 0 } else { self.events_at_once + 1 };
        assert!(self.events_at_once < EVENTS_AT_ONCE_MAX, "time stands still");
        self.now = self.now.max(event);
    }

    fn start_flow(&mut self) {
        if self.next_start.is_none_or(|start| start > self.now) {
            return;
        }
        let seed = self.random.next() >> 1;
        let mut flow = Flow::<E>::new(self.flows.len(), seed, self.now);
        flow.meter = Meter::new(self.samples.len());
        flow.run_sender(&mut self.data, &mut self.buffer, self.now);
        self.flows.push(flow);
        let is_last = self.flows.len() == self.cell.flows;
        self.next_start = (!is_last).then(|| self.now + START_INTERVAL);
    }

    fn deliver_data(&mut self) {
        while let Some(flying) = self.data.pop_arrived(self.now) {
            let flow = &mut self.flows[flying.flow];
            flow.receiver.handle_packet(&flying.packet, self.now);
            self.data.recycle(flying);
            flow.run_receiver(&mut self.acknowledgments, &mut self.buffer, self.now);
        }
    }

    fn deliver_acknowledgments(&mut self) {
        while let Some(flying) = self.acknowledgments.pop_arrived(self.now) {
            let flow = &mut self.flows[flying.flow];
            flow.sender.handle_packet(&flying.packet, self.now);
            self.acknowledgments.recycle(flying);
            flow.run_sender(&mut self.data, &mut self.buffer, self.now);
        }
    }

    fn expire(&mut self) {
        let now = self.now;
        let is_due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        for flow in &mut self.flows {
            if is_due(flow.sender_deadline) {
                flow.sender.handle_timeout(now);
                flow.run_sender(&mut self.data, &mut self.buffer, now);
            }
            if is_due(flow.receiver_deadline) {
                flow.receiver.handle_timeout(now);
                flow.run_receiver(&mut self.acknowledgments, &mut self.buffer, now);
            }
        }
    }

    fn end_slice(&mut self) {
        self.next_slice += SLICE;
        self.flows.iter_mut().for_each(|flow| flow.meter.end_slice());
        let meters = self.flows.iter().map(|flow| &flow.meter);
        self.samples.push(Sample {
            counts: self.data.counts(),
            queue: self.data.queue(self.now),
            sent_bytes: meters.clone().map(|meter| meter.sent_bytes).sum(),
            unique_bytes: meters.map(|meter| meter.unique_bytes).sum(),
        });
    }

    fn finish(self) -> Record {
        let close = |flow: Flow<E>| {
            let mut meter = flow.meter;
            meter.end_stall(self.now);
            meter
        };
        Record { meters: self.flows.into_iter().map(close).collect(), samples: self.samples }
    }
}

impl<E: End> Flow<E> {
    fn new(index: usize, seed: u64, now: Instant) -> Self {
        let (sender, receiver) = E::pair(seed, now);
        Self {
            index,
            sender,
            receiver,
            sender_deadline: None,
            receiver_deadline: None,
            meter: Meter::default(),
        }
    }

    /// Lets the sender do what it can at `now`.
    fn run_sender(&mut self, data: &mut Pipe, buffer: &mut [u8], now: Instant) {
        self.sender.work();
        drain(&mut self.sender, buffer, now, |packet| {
            self.meter.sent(packet);
            data.send(self.index, packet, now);
        });
        self.sender_deadline = self.sender.poll_timeout(now);
    }

    /// Lets the receiver do what it can at `now`.
    fn run_receiver(&mut self, acknowledgments: &mut Pipe, buffer: &mut [u8], now: Instant) {
        let read = self.receiver.work();
        self.meter.delivered(read, now);
        drain(&mut self.receiver, buffer, now, |packet| {
            acknowledgments.send(self.index, packet, now);
        });
        self.receiver_deadline = self.receiver.poll_timeout(now);
    }
}

/// Takes everything that an end wants to send at `now`.
fn drain<E: End>(end: &mut E, buffer: &mut [u8], now: Instant, mut send: impl FnMut(&[u8])) {
    for _ in 0..PACKETS_AT_ONCE_MAX {
        let Some(bytes) = end.poll_transmit(buffer, now) else { return };
        send(&buffer[..bytes]);
    }
    panic!("egress never ends");
}
