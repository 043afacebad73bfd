//! Which packets are lost on the way.

use crate::random::Random;

/// How packets are lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Loss {
    /// Each packet for itself.
    Each { percent: f64 },
    /// In bursts of five on average, this share over all.
    Bursts { percent: f64 },
}

/// Decides packet by packet.
#[derive(Debug)]
pub(crate) struct Losses {
    loss: Loss,
    is_bad: bool,
}

/// The chance that a burst ends with a packet.
const BURST_ENDS_PERCENT: f64 = 20.0;

impl Losses {
    pub(crate) fn new(loss: Loss) -> Self {
        Self { loss, is_bad: false }
    }

    /// Whether the next packet is lost.
    pub(crate) fn takes(&mut self, random: &mut Random) -> bool {
        let percent = match self.loss {
            Loss::Each { percent } => return random.happens(percent),
            Loss::Bursts { percent } => percent,
        };
        let turns = if self.is_bad {
            random.happens(BURST_ENDS_PERCENT)
        } else {
            // Of the chain's two states the bad one then holds `percent` of the time.
            random.happens(BURST_ENDS_PERCENT * percent / (100.0 - percent))
        };
        self.is_bad ^= turns;
        self.is_bad
    }
}

#[test]
fn bursts_lose_one_percent_in_runs_of_five() {
    let mut losses = Losses::new(Loss::Bursts { percent: 1.0 });
    let mut random = Random::new(1);
    let fates: Vec<bool> = (0..1_000_000).map(|_| losses.takes(&mut random)).collect();
    let lost = fates.iter().filter(|is_lost| **is_lost).count();
    let bursts = fates.windows(2).filter(|pair| !pair[0] && pair[1]).count();
    assert!((9_000..11_000).contains(&lost), "{lost}");
    assert!((45..55).contains(&(10 * lost / bursts)), "{lost} in {bursts}");
}
