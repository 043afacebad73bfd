//! What a packet costs in the loop of a shard: nothing is allocated for it, on its way out or in.
//!
//! To see the figures: `cargo nextest run -p bore-driver --no-capture -E 'binary(endpoint_cost)'`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the lab's helpers lie outside the functions that clippy knows as tests"
)]
#![expect(dead_code, reason = "the lab has parts that only other tests need")]

#[path = "endpoint/lab.rs"]
mod lab;

use std::alloc::System;

use lab::Lab;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn a_packet_is_carried_without_an_allocation() {
    let mut lab = Lab::new();
    let (from, to) = lab.flow();
    lab.transfer(&from, &to, 10_000_000);
    let sent = |lab: &Lab| lab.relay.datagrams_sent() + lab.agent.datagrams_sent();
    let before = sent(&lab);

    let region = Region::new(ALLOCATOR);
    lab.transfer(&from, &to, 20_000_000);
    let allocations = region.change().allocations;
    let datagrams = sent(&lab) - before;
    println!("{allocations} allocations for {datagrams} datagrams");
    assert!(datagrams > 15_000, "{datagrams}");
    assert!(allocations as u64 <= datagrams / DATAGRAMS_PER_ALLOCATION_MIN, "{allocations}");
}

/// Buffers of flows come and go in blocks, and probes are built now and then.
const DATAGRAMS_PER_ALLOCATION_MIN: u64 = 100;
