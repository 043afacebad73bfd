//! The simulated link of the netstack's tests, in release mode.

use crate::shell::{cargo, run};

/// Runs every cell and writes what came of it into `netstack/tests/link/grid.md`.
pub(crate) fn rewrite() -> Result<(), String> {
    start("commands::rewrite_the_snapshot", "BORE_LINK_REWRITE", "1")
}

/// Runs one cell and prints it as a time series.
pub(crate) fn show(cell: &str) -> Result<(), String> {
    start("commands::print_a_cell", "BORE_LINK_CELL", cell)
}

/// Runs the test `name`, which does something only when `variable` is set.
fn start(name: &str, variable: &str, value: &str) -> Result<(), String> {
    let build = ["test", "--quiet", "--release", "--package", "bore-netstack", "--test", "link"];
    let mut command = cargo(&build);
    command.args(["--", "--exact", "--nocapture", name]);
    run(command.env(variable, value))
}
