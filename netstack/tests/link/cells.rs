//! The cells: links, by name.
//!
//! ```text
//! 100M/20ms/q20ms/l1%/r0.1%        rate / round trip / queue / loss / reordering
//! 1G/50ms/q200ms/b1%/r0%           losses in bursts
//! 100M/20ms/q20ms/l0%/r0%/x4       four flows, started one after the other
//! ```
//!
//! Any other link has a name as well, so that one can be looked at without being in the grid.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::loss::Loss;
use crate::pipe::Shape;

/// A link, and how many flows share it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cell {
    pub(crate) rate_megabits: u64,
    pub(crate) round_trip_ms: u64,
    pub(crate) queue_ms: u64,
    pub(crate) loss: Loss,
    pub(crate) reordered_percent: f64,
    pub(crate) flows: usize,
}

pub(crate) const RATES_MEGABITS: [u64; 3] = [10, 100, 1_000];
const ROUND_TRIPS_MS: [u64; 5] = [1, 20, 50, 100, 200];
const QUEUES_MS: [u64; 2] = [20, 200];
const REORDERED_PERCENT: [f64; 3] = [0.0, 0.1, 1.0];
const LOSSES: [Loss; 6] = [
    Loss::Each { percent: 0.0 },
    Loss::Each { percent: 0.1 },
    Loss::Each { percent: 1.0 },
    Loss::Each { percent: 2.0 },
    Loss::Each { percent: 5.0 },
    Loss::Bursts { percent: 1.0 },
];

/// Every link of one rate, with one flow.
pub(crate) fn grid(rate_megabits: u64) -> Vec<Cell> {
    let mut cells = Vec::new();
    for round_trip_ms in ROUND_TRIPS_MS {
        for queue_ms in QUEUES_MS {
            for reordered_percent in REORDERED_PERCENT {
                cells.extend(LOSSES.map(|loss| Cell {
                    rate_megabits,
                    round_trip_ms,
                    queue_ms,
                    loss,
                    reordered_percent,
                    flows: 1,
                }));
            }
        }
    }
    cells
}

/// Four flows that share a bottleneck.
pub(crate) fn fairness() -> Vec<Cell> {
    let shared = |queue_ms| Cell {
        rate_megabits: 100,
        round_trip_ms: 20,
        queue_ms,
        loss: Loss::Each { percent: 0.0 },
        reordered_percent: 0.0,
        flows: 4,
    };
    QUEUES_MS.map(shared).into()
}

impl Cell {
    /// How much virtual time is measured: less where there are more packets, more where flows have to
    /// find their shares.
    pub(crate) fn duration(&self) -> Duration {
        match (self.flows, self.rate_megabits) {
            (2.., _) => Duration::from_secs(20),
            (_, 1_000..) => Duration::from_secs(4),
            _ => Duration::from_secs(10),
        }
    }

    pub(crate) fn data_shape(&self) -> Shape {
        Shape {
            rate_megabits: self.rate_megabits,
            queue: Duration::from_millis(self.queue_ms),
            delay: Duration::from_millis(self.round_trip_ms) / 2,
            loss: self.loss,
            reordered_percent: self.reordered_percent,
        }
    }

    pub(crate) fn acknowledgment_shape(&self) -> Shape {
        Shape { reordered_percent: 0.0, ..self.data_shape() }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rate_megabits {
            rate if rate % 1_000 == 0 => write!(formatter, "{}G", rate / 1_000)?,
            rate => write!(formatter, "{rate}M")?,
        }
        write!(formatter, "/{}ms/q{}ms/", self.round_trip_ms, self.queue_ms)?;
        match self.loss {
            Loss::Each { percent } => write!(formatter, "l{percent}%")?,
            Loss::Bursts { percent } => write!(formatter, "b{percent}%")?,
        }
        write!(formatter, "/r{}%", self.reordered_percent)?;
        if self.flows > 1 { write!(formatter, "/x{}", self.flows) } else { Ok(()) }
    }
}

impl FromStr for Cell {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let wrong = || format!("`{name}` is no cell; one is 100M/20ms/q20ms/l1%/r0%");
        let mut parts: Vec<_> = name.split('/').collect();
        let flows = parts.get(5).map_or(Some(1), |part| part.strip_prefix('x')?.parse().ok());
        parts.truncate(5);
        let [rate, round_trip, queue, loss, reordered] = parts[..] else { return Err(wrong()) };
        let cell = || {
            Some(Self {
                rate_megabits: parse_rate(rate)?,
                round_trip_ms: round_trip.strip_suffix("ms")?.parse().ok()?,
                queue_ms: queue.strip_prefix('q')?.strip_suffix("ms")?.parse().ok()?,
                loss: parse_loss(loss)?,
                reordered_percent: parse_percent(reordered, 'r')?,
                flows: flows?,
            })
        };
        cell().ok_or_else(wrong)
    }
}

fn parse_rate(text: &str) -> Option<u64> {
    match text.strip_suffix('G') {
        Some(gigabits) => gigabits.parse::<u64>().ok()?.checked_mul(1_000),
        None => text.strip_suffix('M')?.parse().ok(),
    }
}

fn parse_loss(text: &str) -> Option<Loss> {
    let each = parse_percent(text, 'l').map(|percent| Loss::Each { percent });
    each.or_else(|| parse_percent(text, 'b').map(|percent| Loss::Bursts { percent }))
}

fn parse_percent(text: &str, letter: char) -> Option<f64> {
    text.strip_prefix(letter)?.strip_suffix('%')?.parse().ok()
}

#[test]
fn names_of_cells_are_read_back() {
    let cells = RATES_MEGABITS.into_iter().flat_map(grid).chain(fairness());
    for cell in cells {
        assert_eq!(cell.to_string().parse(), Ok(cell));
    }
}
