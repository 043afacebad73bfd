//! A few cells must equal their rows in the snapshot.

use std::fs;

use crate::cells::Cell;
use crate::table::{row, row_start};

/// The committed snapshot.
pub(crate) const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/link/grid.md");

#[test]
fn rows_at_10_megabits_equal_the_snapshot() {
    assert_rows(&[
        "10M/1ms/q20ms/l0%/r0.1%",
        "10M/20ms/q20ms/l0.1%/r0%",
        "10M/20ms/q200ms/l1%/r1%",
        "10M/50ms/q20ms/l5%/r0%",
        "10M/200ms/q200ms/b1%/r0%",
    ]);
}

#[test]
fn rows_at_100_megabits_equal_the_snapshot() {
    assert_rows(&[
        "100M/1ms/q20ms/l0%/r0%",
        "100M/20ms/q20ms/l0%/r0%",
        "100M/20ms/q20ms/l1%/r0%",
        "100M/20ms/q20ms/l5%/r0%",
        "100M/20ms/q20ms/b1%/r0%",
        "100M/20ms/q20ms/l0%/r1%",
        "100M/100ms/q20ms/l1%/r0.1%",
        "100M/200ms/q200ms/l0%/r0%",
    ]);
}

#[test]
fn rows_at_1_gigabit_equal_the_snapshot() {
    assert_rows(&["1G/50ms/q20ms/l0%/r0%", "1G/20ms/q20ms/l1%/r0%"]);
}

#[test]
fn rows_of_four_flows_equal_the_snapshot() {
    assert_rows(&["100M/20ms/q20ms/l0%/r0%/x4", "100M/20ms/q200ms/l0%/r0%/x4"]);
}

fn assert_rows(names: &[&str]) {
    let snapshot = fs::read_to_string(PATH).unwrap();
    let differences: Vec<String> =
        names.iter().filter_map(|name| difference(&snapshot, name)).collect();
    assert!(differences.is_empty(), "{}\n{HELP}", differences.join("\n"));
}

const HELP: &str = "\nWhat happens on the link has changed. When it is meant to, `cargo xtask link` \
                    rewrites netstack/tests/link/grid.md; review what it changes.";

/// The row that was expected and the row that came, if they differ.
fn difference(snapshot: &str, name: &str) -> Option<String> {
    let cell: Cell = name.parse().unwrap();
    let measured = row(&cell);
    let committed = snapshot.lines().find(|line| line.starts_with(&row_start(&cell)));
    if committed == Some(&measured) {
        return None;
    }
    Some(format!("\nsnapshot {}\nmeasured {measured}", committed.unwrap_or("has no such row")))
}
