//! A run as a series in time, for looking at what a controller does.

use crate::cells::Cell;
use crate::end::End;
use crate::outcome::Outcome;
use crate::world::{Record, SLICE, Sample, run};

/// Runs an engine in a cell and prints a line for each slice of time.
pub(crate) fn print<E: End>(title: &str, cell: &Cell) {
    let record = run::<E>(cell);
    println!("\n{title}, {cell}\n{HEADER}");
    let mut before = None;
    for (slice, sample) in record.samples.iter().enumerate() {
        println!("{}", line(&record, slice, sample, before));
        before = Some(*sample);
    }
    println!("{:?}", Outcome::new(cell, &record));
}

/// `on link` counts what waits in the queue as well.
const HEADER: &str = "   end s  delivered Mbit/s  sent Mbit/s  resent kB  on link kB  queue ms  \
                      tail drops    lost";

fn line(record: &Record, slice: usize, sample: &Sample, before: Option<Sample>) -> String {
    let before = before.unwrap_or_default();
    let each: Vec<f64> = record
        .meters
        .iter()
        .map(|meter| megabits_per_second(meter.delivered_in(slice, slice + 1)))
        .collect();
    let by_flow = if each.len() > 1 { format!("{each:8.1?}") } else { String::new() };
    let sent = sample.sent_bytes - before.sent_bytes;
    format!(
        "{:8.1}  {:16.1}  {:11.1}  {:9.1}  {:10.1}  {:8.1}  {:10}  {:6}  {by_flow}",
        SLICE.as_secs_f64() * (slice + 1) as f64,
        each.iter().sum::<f64>(),
        megabits_per_second(sent),
        (sample.resent_bytes() - before.resent_bytes()) as f64 / 1e3,
        sample.counts.flying_bytes as f64 / 1e3,
        sample.queue.as_secs_f64() * 1e3,
        sample.counts.tail_dropped - before.counts.tail_dropped,
        sample.counts.lost - before.counts.lost,
    )
}

fn megabits_per_second(bytes: u64) -> f64 {
    bytes as f64 * 8.0 / 1e6 / SLICE.as_secs_f64()
}
