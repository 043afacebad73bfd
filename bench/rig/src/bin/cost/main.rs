//! What our TCP costs: processor time for a segment beside smoltcp's, and memory for a flow.
//!
//! `cargo run --release -p bore-rig --bin cost -- --help`. Everything is in one process and in virtual time, so neither a socket nor pacing
//! is part of a figure; processor time is the thread's own, so that a busy machine does not count either.
#![forbid(unsafe_code)]

mod held;
mod memory;
mod ours;
mod pipe;
mod reference;
mod report;
mod subjects;
mod transfer;
mod tunnels;

use std::io;

use bore_rig::Result;
use clap::Parser;

use subjects::Subjects;

/// Measures what our TCP costs in processor time and memory.
#[derive(Debug, Parser)]
#[command(name = "cost")]
struct Arguments {
    /// How often each transfer is measured, in turns
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Segments of one measurement
    #[arg(long, default_value_t = 50_000)]
    segments: u64,
    /// Idle flows beside the one that is measured
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// Idle flows whose memory is measured; may be repeated
    #[arg(long, default_values_t = [10_000, 100_000])]
    flows: Vec<usize>,
    /// Bytes that go each way on every flow in the burst
    #[arg(long, default_value_t = 20_000)]
    burst: usize,
    /// Only processor time
    #[arg(long)]
    no_memory: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut out = io::stdout().lock();
    if arguments.rounds > 0 {
        let measured = Subjects::new(arguments.idle)?.run(arguments.rounds, arguments.segments)?;
        report::write_time(&mut out, arguments.idle, &measured)?;
    }
    if !arguments.no_memory {
        report::write_memory_head(&mut out)?;
        for flows in &arguments.flows {
            let measured = memory::measure(*flows, arguments.burst)?;
            report::write_memory(&mut out, *flows, &measured)?;
        }
    }
    Ok(())
}
