//! What a developer repeats, as commands: `cargo xtask help`.
#![forbid(unsafe_code)]

mod coverage;
mod dist;
mod fuzz;
mod link;
mod packages;
mod shell;
mod suites;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["setup"] => packages::install(),
        ["test"] => suites::test(suites::Length::Quick),
        ["test", "quick"] => suites::test(suites::Length::Quick),
        ["test", "ci"] => suites::test(suites::Length::Ci),
        ["test", "long"] => suites::test(suites::Length::Long),
        ["lint"] => suites::lint(),
        ["dist"] => dist::build(),
        ["coverage"] => coverage::measure(),
        ["fuzz"] => fuzz::run_all("60"),
        ["fuzz", seconds] => fuzz::run_all(seconds),
        ["link"] => link::rewrite(),
        ["link", cell] => link::show(cell),
        _ => Err(HELP.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            shell::say(&message);
            ExitCode::FAILURE
        }
    }
}

const HELP: &str = "cargo xtask COMMAND

  setup             install what the tests use (Debian packages, cargo-nextest)
  test [LENGTH]     run the tests: quick (the default), ci, long
  lint              formatting and clippy, warnings are errors
  coverage          line coverage of overlay, netstack and policy, at least 90 %
  fuzz [SECONDS]    run each fuzz target, a minute unless said otherwise
  link [CELL]       run the simulated link and rewrite netstack/tests/link/grid.md; or show
                    one cell, such as 100M/20ms/q20ms/l1%/r0%, as a time series
  dist              build the static tarball and its checksum into target/dist";
