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

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET_BYTES: usize = 1250;

    /// One packet takes 0.1 ms of this link.
    fn direction(conditions: Conditions, now: Instant) -> Direction {
        Direction::new(conditions, 1, now)
    }

    /// Numbered packets that enter at once.
    fn offer(direction: &mut Direction, count: u8, now: Instant) {
        for number in 0..count {
            direction.offer(&[number; PACKET_BYTES], now);
        }
    }

    fn arrivals(direction: &mut Direction, by: Instant) -> Vec<u8> {
        std::iter::from_fn(|| direction.poll_arrival(by)).map(|packet| packet[0]).collect()
    }

    #[test]
    fn packets_leave_at_the_rate_and_arrive_after_the_delay() {
        let now = Instant::now();
        let mut direction = direction(Conditions::new(100, 20), now);
        offer(&mut direction, 5, now);
        assert_eq!(direction.next_due(), Some(now + Duration::from_micros(10_100)));
        assert_eq!(arrivals(&mut direction, now + Duration::from_micros(10_399)), [0, 1, 2]);
        assert_eq!(arrivals(&mut direction, now + Duration::from_micros(10_500)), [3, 4]);
    }

    #[test]
    fn what_would_wait_longer_than_the_queue_is_dropped() {
        let now = Instant::now();
        let mut direction = direction(Conditions::new(100, 20).queue(1), now);
        offer(&mut direction, 100, now);
        assert_eq!(arrivals(&mut direction, now + Duration::from_secs(1)).len(), 11);
    }

    #[test]
    fn three_later_packets_overtake_a_reordered_one() {
        let now = Instant::now();
        let mut direction = direction(Conditions::new(100, 20).reorder(2.0), now);
        offer(&mut direction, 200, now);
        let order = arrivals(&mut direction, now + Duration::from_secs(1));
        let steps_back: Vec<u8> = order
            .windows(2)
            .filter(|pair| pair[1] < pair[0])
            .map(|pair| pair[0] - pair[1])
            .collect();
        assert_eq!(order.len(), 200);
        assert!(!steps_back.is_empty() && steps_back.iter().all(|step| *step == 3), "{order:?}");
    }

    #[test]
    fn the_wanted_share_is_lost() {
        let now = Instant::now();
        let mut direction = direction(Conditions::new(100, 20).loss(5.0).queue(10_000), now);
        (0..100).for_each(|_| offer(&mut direction, 100, now));
        let arrived = arrivals(&mut direction, now + Duration::from_secs(10)).len();
        assert!((9_400..9_600).contains(&arrived), "{arrived}");
    }
}
