//! One direction of the link: tail-drop queue, bottleneck, random loss, delay, reordering.
//!
//! Nothing is stored for the queue: it is the time until the bottleneck is free. A packet's fate and
//! its time of arrival are known when it enters.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::conditions::Conditions;
use crate::lateness::Lateness;

pub(crate) struct Direction {
    conditions: Conditions,
    random: SmallRng,
    busy_until: Instant,
    flying: VecDeque<Flying>,
    held: Vec<Held>,
    lateness: Lateness,
}

struct Flying {
    due: Instant,
    packet: Vec<u8>,
}

/// A packet that others overtake.
struct Held {
    overtaken_by: u32,
    packet: Vec<u8>,
    /// Arrives then even when nobody overtakes it.
    due: Instant,
}

impl Direction {
    pub(crate) fn new(conditions: Conditions, seed: u64, now: Instant) -> Self {
        Self {
            conditions,
            random: SmallRng::seed_from_u64(seed),
            busy_until: now,
            flying: VecDeque::new(),
            held: Vec::new(),
            lateness: Lateness::default(),
        }
    }

    /// A packet enters.
    pub(crate) fn offer(&mut self, packet: &[u8], now: Instant) {
        let starts = self.busy_until.max(now);
        let serialisation = self.conditions.serialisation(packet.len());
        if starts > now + self.conditions.queue {
            return;
        }
        self.busy_until = starts + serialisation;
        if self.happens(self.conditions.loss_percent) {
            return;
        }
        let due = self.busy_until + self.conditions.round_trip / 2;
        let packet = packet.to_vec();
        if self.happens(self.conditions.reorder_percent) {
            self.held.push(Held { overtaken_by: 0, packet, due: due + HELD_MAX });
        } else {
            self.launch(packet, due);
        }
    }

    /// When the next packet arrives.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let flying = self.flying.front().map(|flying| flying.due);
        self.held.iter().map(|held| held.due).chain(flying).min()
    }

    /// A packet that has arrived.
    pub(crate) fn poll_arrival(&mut self, now: Instant) -> Option<Vec<u8>> {
        if let Some(index) = self.held.iter().position(|held| held.due <= now) {
            return Some(self.held.remove(index).packet);
        }
        let flying = self.flying.pop_front_if(|flying| flying.due <= now)?;
        self.lateness.add(now - flying.due);
        Some(flying.packet)
    }

    pub(crate) fn lateness(&self) -> Lateness {
        self.lateness
    }

    fn launch(&mut self, packet: Vec<u8>, due: Instant) {
        self.flying.push_back(Flying { due, packet });
        for held in &mut self.held {
            held.overtaken_by += 1;
        }
        let overtaken = self.held.extract_if(.., |held| held.overtaken_by >= OVERTAKING);
        self.flying.extend(overtaken.map(|held| Flying { due, packet: held.packet }));
    }

    fn happens(&mut self, percent: f64) -> bool {
        percent > 0.0 && self.random.random_bool(percent / 100.0)
    }
}

/// How many later packets overtake a reordered one.
const OVERTAKING: u32 = 3;
/// How long a reordered packet waits for them: long enough for a paced sender, no timeout for anybody.
const HELD_MAX: Duration = Duration::from_millis(10);
