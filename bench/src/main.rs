//! Scale and cost of one relay, measured on this machine: `cargo run --release -p bore-bench -- --help`.
//!
//! The relay (and for `flows` the agent) is the real binary in a process of its own, and so is the origin of `flows`; visitors are in
//! this one. Everything stays on loopback. Results are printed as a table for `bench/RESULTS.md`.

mod agents;
mod flows;
mod origin;
mod process;
mod publish;
mod report;

use std::path::PathBuf;

use clap::Parser;

/// What is measured.
#[derive(Debug, Parser)]
#[command(name = "bore-bench")]
struct Arguments {
    /// The binary that is measured
    #[arg(long, default_value = "target/release/bore")]
    bore: PathBuf,
    #[command(subcommand)]
    measurement: Measurement,
}

#[derive(Debug, clap::Subcommand)]
enum Measurement {
    /// Many agents join one relay, publish, are visited; then the relay is killed and they come back
    Agents {
        /// How many
        #[arg(default_value_t = 1_000)]
        count: usize,
    },
    /// Many open flows through one relay and one agent: memory, cost a packet, latency
    Flows {
        /// How many
        #[arg(default_value_t = 10_000)]
        count: usize,
    },
    /// A question and its answer over a new connection, over a link with delay
    Exchanges {
        /// Round trip of the link between agent and relay, in milliseconds
        #[arg(default_value_t = 20)]
        round_trip_ms: u64,
    },
    /// From `publish` to reachable over a link with delay
    Publish {
        /// Round trip of the link between agent and relay, in milliseconds
        #[arg(default_value_t = 20)]
        round_trip_ms: u64,
    },
    /// The service behind the agents, for the other measurements: says where it is and runs until it is killed
    #[command(hide = true)]
    Origin,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.measurement {
        Measurement::Agents { count } => agents::run(&arguments.bore, count).await,
        Measurement::Flows { count } => flows::run(&arguments.bore, count).await,
        Measurement::Exchanges { round_trip_ms } => {
            publish::exchanges(&arguments.bore, round_trip_ms).await
        }
        Measurement::Publish { round_trip_ms } => {
            publish::run(&arguments.bore, round_trip_ms).await
        }
        Measurement::Origin => origin::run().await,
    }
}
