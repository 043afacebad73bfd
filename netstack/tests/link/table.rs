//! Rows and tables of `grid.md`.

use std::fmt::Write;

use crate::cells::{Cell, RATES_MEGABITS, fairness, grid};
use crate::ours::Ours;
use crate::outcome::{Outcome, measure};
use crate::reference::Reference;

/// Every cell, in the order of the tables.
pub(crate) fn all_cells() -> Vec<Cell> {
    fairness().into_iter().chain(RATES_MEGABITS.into_iter().flat_map(grid)).collect()
}

/// Runs both engines and writes the row.
pub(crate) fn row(cell: &Cell) -> String {
    let ours = numbers(cell, &measure::<Ours>(cell));
    let reference = numbers(cell, &measure::<Reference>(cell));
    format!("{} {ours} {reference}", row_start(cell))
}

/// What the row of a cell begins with.
pub(crate) fn row_start(cell: &Cell) -> String {
    format!("| {:28} |", cell.to_string())
}

/// The whole file, given a row for each of [`all_cells`].
pub(crate) fn document(rows: &[String]) -> String {
    let mut rows = rows.iter();
    let mut text = PREFACE.to_owned();
    add_table(&mut text, "Four flows", "Jain", rows.by_ref().take(fairness().len()));
    for rate in RATES_MEGABITS {
        let title = format!("{rate} Mbit/s");
        add_table(&mut text, &title, "to 90 %", rows.by_ref().take(grid(rate).len()));
    }
    text
}

const PREFACE: &str = "# The link in virtual time

Written by `cargo xtask link`; `netstack/tests/link/main.rs` says how the link works. The numbers of our
engine come first, those of smoltcp 0.14 (Cubic, 1 MB buffers) behind them. A cell is named rate / round
trip / queue / loss (`l` alone, `b` in bursts) / reordering.

- good %: payload delivered, of what the link carries in packets of 1,280 bytes without TCP options.
  Runs take 10 s of virtual time, 4 s at 1 Gbit/s, 20 s for four flows.
- late %: the same for the second half of the run.
- stall: the longest time without new bytes at a receiver, in ms, from its first byte on. A round trip
  is the least when a flow starts.
- resent %: payload put on the link more than once, of what was put on it once.
- to 90 %: when the first half second began that carried 90 %, in s. Bytes behind a hole count when it
  is filled.
- Jain: fairness in the second half of the run; flows start one second apart.
";

fn add_table<'a>(
    text: &mut String,
    title: &str,
    last_column: &str,
    rows: impl Iterator<Item = &'a String>,
) {
    let numbers = format!("good % | late % |  stall | resent % | {last_column:>7} |");
    let rule = "-----: | -----: | -----: | -------: | ------: |";
    // Writing to a string never fails.
    let _ = write!(text, "\n## {title}\n\n| {:28} | {numbers} {numbers}\n", "cell");
    let _ = writeln!(text, "| {:-<28} | {rule} {rule}", "");
    rows.for_each(|row| {
        let _ = writeln!(text, "{row}");
    });
}

fn numbers(cell: &Cell, outcome: &Outcome) -> String {
    let Outcome { goodput, steady, resent, .. } = outcome;
    let stall_ms = outcome.stall.as_millis();
    let last = match (cell.flows, outcome.full_after) {
        (2.., _) => format!("{:.3}", outcome.fairness),
        (_, Some(after)) => format!("{:.1}", after.as_secs_f64()),
        (_, None) => "never".to_owned(),
    };
    format!("{goodput:6.1} | {steady:6.1} | {stall_ms:6} | {resent:8.2} | {last:>7} |")
}
