//! What a run comes to, in the numbers of a row.

use std::time::Duration;

use crate::cells::Cell;
use crate::end::{End, HEADER_BYTES, MTU_BYTES};
use crate::world::{Record, SLICE, run};

/// The numbers of one engine in one cell. All shares are percent.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Payload read, of what the link carries in full packets without TCP options.
    pub(crate) goodput: f64,
    /// The same for the second half of the run.
    pub(crate) steady: f64,
    /// Longest time without new bytes at a receiver, from its first byte on.
    pub(crate) stall: Duration,
    /// Payload put on the link more than once, of what was put on it once.
    pub(crate) resent: f64,
    /// The beginning of the first half second that carried 90 %.
    pub(crate) full_after: Option<Duration>,
    /// Jain's index of what the flows got in the second half of the run: 1 when all got the same,
    /// 1 / n when one got it all.
    pub(crate) fairness: f64,
}

/// Runs an engine in a cell.
pub(crate) fn measure<E: End>(cell: &Cell) -> Outcome {
    Outcome::new(cell, &run::<E>(cell))
}

impl Outcome {
    pub(crate) fn new(cell: &Cell, record: &Record) -> Self {
        let end = record.samples.len();
        let last = record.samples.last().copied().unwrap_or_default();
        let stalls = record.meters.iter().map(|meter| meter.longest_stall);
        Self {
            goodput: carried_percent(cell, record, 0, end),
            steady: carried_percent(cell, record, end / 2, end),
            stall: stalls.max().unwrap_or_default(),
            resent: 100.0 * last.resent_bytes() as f64 / last.unique_bytes.max(1) as f64,
            full_after: full_after(cell, record),
            fairness: jain_index(record, end / 2, end),
        }
    }
}

/// The share of the link that all flows together had from slice `from` up to slice `to`.
fn carried_percent(cell: &Cell, record: &Record, from: usize, to: usize) -> f64 {
    let bytes: u64 = record.meters.iter().map(|meter| meter.delivered_in(from, to)).sum();
    let payload_share = (MTU_BYTES - HEADER_BYTES) as f64 / MTU_BYTES as f64;
    let seconds = SLICE.as_secs_f64() * (to - from) as f64;
    let link_bytes = cell.rate_megabits as f64 * 1e6 / 8.0 * seconds * payload_share;
    100.0 * bytes as f64 / link_bytes
}

/// Half a second.
const WINDOW_SLICES: usize = 5;

fn full_after(cell: &Cell, record: &Record) -> Option<Duration> {
    let last = record.samples.len().checked_sub(WINDOW_SLICES)?;
    let is_full =
        |slice: &usize| carried_percent(cell, record, *slice, *slice + WINDOW_SLICES) >= 90.0;
    let slice = (0..=last).find(is_full)?;
    Some(SLICE * u32::try_from(slice).unwrap())
}

fn jain_index(record: &Record, from: usize, to: usize) -> f64 {
    let shares = record.meters.iter().map(|meter| meter.delivered_in(from, to) as f64);
    let squares: f64 = shares.clone().map(|share| share * share).sum();
    let sum: f64 = shares.sum();
    if squares == 0.0 { 0.0 } else { sum * sum / (squares * record.meters.len() as f64) }
}
