//! The tests, in three lengths. Each suite is one run of nextest and ends with its time.

use std::time::Instant;

use crate::packages;
use crate::shell::{cargo, run, say};

/// How much is run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Length {
    /// For every change: at most 12 minutes on two cores.
    Quick,
    /// What CI runs: at most 45 minutes from a cold clone.
    Ci,
    /// By hand.
    Long,
}

impl Length {
    fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Ci => "ci",
            Self::Long => "long",
        }
    }
}

/// A suite: its name, and the nextest filter that selects it. How much a test does follows `BORE_TEST_LENGTH`.
const SUITES: [(&str, &str); 2] =
    [("rooms", "not package(bore-tests)"), ("product", "package(bore-tests)")];

/// Installs what is needed, then runs every suite of `length`.
pub(crate) fn test(length: Length) -> Result<(), String> {
    packages::install()?;
    if length >= Length::Ci {
        lint()?;
        check_fuzz_targets()?;
    }
    // The tests start the product's own binary; built together with them, dependencies are compiled once.
    run(&mut cargo(&["build", "--workspace", "--all-targets"]))?;
    let mut failed = Vec::new();
    for (name, filter) in SUITES {
        say(&format!("suite {name}"));
        failed.extend(run_suite(filter, length).err().map(|_| name));
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn run_suite(filter: &str, length: Length) -> Result<(), String> {
    let mut nextest = cargo(&["nextest", "run", "--workspace", "--filterset", filter]);
    run(nextest.env("BORE_TEST_LENGTH", length.name()))
}

/// Formatting and lints.
pub(crate) fn lint() -> Result<(), String> {
    let began = Instant::now();
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    run(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))?;
    say(&format!("suite lint: {} s", began.elapsed().as_secs()));
    Ok(())
}

/// The fuzz targets compile: they stand outside the workspace, and `cargo xtask fuzz` runs them by hand. Their dependencies are the workspace's.
fn check_fuzz_targets() -> Result<(), String> {
    let began = Instant::now();
    run(&mut cargo(&[
        "check",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--target-dir",
        "target",
        "--locked",
        "--lib",
        "--bins",
        "--quiet",
    ]))?;
    say(&format!("suite fuzz targets: {} s", began.elapsed().as_secs()));
    Ok(())
}
