//! Scale and cost of one relay, measured on this machine: `cargo run --release -p bore-bench -- --help`.
//!
//! The relay (and the agent where there is one) is the real binary in a process of its own, and so are most origins; visitors are in
//! this one. Everything stays on loopback. Results are printed as a table for `bench/RESULTS.md`.
#![forbid(unsafe_code)]

mod agents;
mod certificate;
mod flows;
mod handshakes;
mod origin;
mod process;
mod publish;
mod report;
mod swarm;
mod tls;
mod web_sockets;

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
    /// HTTPS beside nginx and haproxy, which end TLS in front of the same origin: requests, full and resumed handshakes
    Tls {
        /// Seconds of each measure in each round
        #[arg(default_value_t = 3)]
        seconds: u64,
        /// How often each is taken; the median counts
        #[arg(default_value_t = 3)]
        rounds: usize,
    },
    /// Many idle WebSockets by HTTPS: memory of each
    WebSockets {
        /// How many
        #[arg(default_value_t = 10_000)]
        count: usize,
    },
    /// The service behind the agents, for the other measurements: says where it is and runs until it is killed
    #[command(hide = true)]
    Origin,
    /// The same for `web-sockets`
    #[command(hide = true)]
    WebSocketOrigin,
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
        Measurement::Tls { seconds, rounds } => {
            Box::pin(tls::run(&arguments.bore, seconds, rounds)).await
        }
        Measurement::WebSockets { count } => {
            Box::pin(web_sockets::run(&arguments.bore, count)).await
        }
        Measurement::Origin => origin::run().await,
        Measurement::WebSocketOrigin => origin::run_web_sockets().await,
    }
}
