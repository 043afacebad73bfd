//! How much memory is held by what a piece of code has made.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Stats, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes asked of the allocator and not given back.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Held {
    bytes: i64,
}

impl Held {
    /// Counts what `act` allocates and frees.
    pub(crate) fn count<R>(&mut self, act: impl FnOnce() -> R) -> R {
        let before = live_bytes(&ALLOCATOR.stats());
        let result = act();
        self.bytes += live_bytes(&ALLOCATOR.stats()) - before;
        result
    }

    pub(crate) fn bytes(&self) -> i64 {
        self.bytes
    }
}

/// Growth and shrinkage of a block are in the first two already.
fn live_bytes(stats: &Stats) -> i64 {
    let bytes = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    bytes(stats.bytes_allocated) - bytes(stats.bytes_deallocated)
}
