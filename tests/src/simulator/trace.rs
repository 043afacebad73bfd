//! What happened, as one number: two runs of one seed give the same.
//!
//! Taken in are times, places, lengths, kinds, verdicts and counters, never sealed bytes: the tunnel engine makes its ephemeral keys
//! from the system's randomness.

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// A hash that grows.
#[derive(Debug)]
pub(super) struct Trace {
    hasher: DefaultHasher,
    entries: u64,
    /// Whether entries are printed as well, to see where two runs part.
    is_loud: bool,
}

impl Trace {
    pub(super) fn new() -> Self {
        let is_loud = std::env::var_os("BORE_SIM_TRACE").is_some();
        Self { hasher: DefaultHasher::new(), entries: 0, is_loud }
    }

    /// Notes something that happened at `at` after the beginning.
    #[expect(clippy::print_stdout, reason = "asked for by an environment variable, in a test")]
    pub(super) fn note(&mut self, at: Duration, what: &str, facts: &(impl Hash + Debug)) {
        if self.is_loud {
            println!("{:>14.6} {what} {facts:?}", at.as_secs_f64());
        }
        (at, what).hash(&mut self.hasher);
        facts.hash(&mut self.hasher);
        self.entries += 1;
    }

    pub(super) fn finish(&self) -> u64 {
        self.hasher.finish()
    }

    pub(super) fn entries(&self) -> u64 {
        self.entries
    }
}
