//! What a link does to datagrams.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

/// The state of one direction of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weather {
    /// Everything is lost.
    pub(super) is_cut: bool,
    pub(super) loss_per_mille: u32,
    pub(super) duplicate_per_mille: u32,
    pub(super) corrupt_per_mille: u32,
    pub(super) delay: Duration,
    /// Up to this much more for each datagram: what is sent later may arrive earlier.
    pub(super) jitter: Duration,
}

impl Weather {
    /// Every datagram arrives once, in order.
    pub(super) fn calm() -> Self {
        Self {
            is_cut: false,
            loss_per_mille: 0,
            duplicate_per_mille: 0,
            corrupt_per_mille: 0,
            delay: Duration::from_millis(20),
            jitter: Duration::ZERO,
        }
    }

    /// What TCP must live with: flows that begin here must also end.
    pub(super) fn ordinary(random: &mut StdRng) -> Self {
        Self {
            loss_per_mille: random.random_range(0..20),
            duplicate_per_mille: random.random_range(0..20),
            corrupt_per_mille: random.random_range(0..5),
            delay: millis(random, 5, 80),
            jitter: millis(random, 0, 20),
            ..Self::calm()
        }
    }

    /// Flows may break here; nothing else may.
    pub(super) fn rough(random: &mut StdRng) -> Self {
        Self {
            loss_per_mille: random.random_range(50..400),
            duplicate_per_mille: random.random_range(0..200),
            corrupt_per_mille: random.random_range(0..100),
            delay: millis(random, 5, 400),
            jitter: millis(random, 0, 400),
            ..Self::calm()
        }
    }

    pub(super) fn cut() -> Self {
        Self { is_cut: true, ..Self::calm() }
    }

    /// The delay of each copy that arrives, and whether it arrives corrupted.
    pub(super) fn fate(&self, random: &mut StdRng) -> Vec<(Duration, bool)> {
        let happens = |random: &mut StdRng, per_mille| random.random_ratio(per_mille, 1_000);
        if self.is_cut || happens(random, self.loss_per_mille) {
            return Vec::new();
        }
        let copies = 1 + u8::from(happens(random, self.duplicate_per_mille));
        let mut copy = || {
            let jitter = self.jitter.mul_f64(random.random::<f64>());
            let late = Duration::from_micros(jitter.as_micros().try_into().unwrap_or(0));
            (self.delay + late, happens(random, self.corrupt_per_mille))
        };
        (0..copies).map(|_| copy()).collect()
    }
}

fn millis(random: &mut StdRng, from: u64, to: u64) -> Duration {
    Duration::from_millis(random.random_range(from..=to))
}
