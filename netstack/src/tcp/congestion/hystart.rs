//! HyStart++: leaves slow start before the queue overflows.
//!
//! When the round-trip times of a round rise above those of the round before, growth slows to a quarter for a few rounds; if they fall again
//! it was a false alarm. Source: RFC 9406 §4.2.

use std::time::Duration;

/// Slow start, watched.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlowStart {
    /// The round ends when this much is delivered.
    round_ends_at: u64,
    current: Option<Duration>,
    previous: Option<Duration>,
    samples: u32,
    careful: Option<Careful>,
}

/// Conservative slow start.
#[derive(Debug, Clone, Copy)]
struct Careful {
    baseline: Duration,
    rounds: u32,
}

/// What slow start makes of a round-trip time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Growth {
    /// As much as was acknowledged.
    Full,
    /// A quarter of it.
    Quarter,
    /// Slow start is over.
    Over,
}

impl SlowStart {
    pub(super) fn new() -> Self {
        Self { round_ends_at: 0, current: None, previous: None, samples: 0, careful: None }
    }

    /// Takes an acknowledgment; `delivered_total` and `in_flight` tell rounds apart.
    pub(super) fn handle_acked(
        &mut self,
        round_trip: Option<Duration>,
        delivered_total: u64,
        in_flight: u64,
    ) -> Growth {
        if delivered_total >= self.round_ends_at {
            self.round_ends_at = delivered_total + in_flight;
            if self.begin_round() {
                return Growth::Over;
            }
        }
        if let Some(measured) = round_trip {
            self.samples += 1;
            self.current = Some(self.current.map_or(measured, |lowest| lowest.min(measured)));
            self.watch();
        }
        if self.careful.is_some() { Growth::Quarter } else { Growth::Full }
    }

    /// Gives whether careful growth has lasted long enough.
    fn begin_round(&mut self) -> bool {
        self.previous = self.current.take().or(self.previous);
        self.samples = 0;
        self.careful.as_mut().is_some_and(|careful| {
            careful.rounds += 1;
            careful.rounds > CAREFUL_ROUNDS
        })
    }

    fn watch(&mut self) {
        let (Some(current), Some(previous)) = (self.current, self.previous) else { return };
        if self.samples < SAMPLES_MIN {
            return;
        }
        match self.careful {
            None => {
                let rise = (previous / 8).clamp(RISE_MIN, RISE_MAX);
                if current >= previous + rise {
                    self.careful = Some(Careful { baseline: current, rounds: 0 });
                }
            }
            Some(careful) if current < careful.baseline => self.careful = None,
            Some(_) => {}
        }
    }
}

const SAMPLES_MIN: u32 = 8;
const RISE_MIN: Duration = Duration::from_millis(4);
const RISE_MAX: Duration = Duration::from_millis(16);
const CAREFUL_ROUNDS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs rounds of ten acknowledgments with these round-trip times.
    fn run(rounds: &[u64]) -> Vec<Growth> {
        let (mut slow_start, mut delivered) = (SlowStart::new(), 0);
        let mut last = Vec::new();
        for ms in rounds {
            let mut growth = Growth::Full;
            for _ in 0..10 {
                delivered += 1;
                let sample = Some(Duration::from_millis(*ms));
                growth = slow_start.handle_acked(sample, delivered, 10);
            }
            last.push(growth);
        }
        last
    }

    #[test]
    fn a_rise_slows_growth_and_rounds_of_it_end_slow_start() {
        let growth = run(&[20, 20, 30, 30, 30, 30, 30, 30, 30]);
        assert_eq!(growth[..2], [Growth::Full; 2]);
        assert_eq!(growth[2], Growth::Quarter);
        assert!(growth.contains(&Growth::Quarter));
    }

    #[test]
    fn a_fall_was_a_false_alarm() {
        assert_eq!(run(&[20, 20, 30, 20])[3], Growth::Full);
    }
}
