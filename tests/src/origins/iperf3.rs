//! iperf3, both ends.

use std::time::Duration;

use serde_json::Value;

use crate::namespace::Namespace;
use crate::process::Process;

/// The server.
#[derive(Debug)]
pub struct Iperf3 {
    _process: Process,
}

impl Iperf3 {
    /// Starts it.
    pub fn start(namespace: &Namespace, port: u16) -> Self {
        let mut command = namespace.command("iperf3");
        command.args(["--server", "--forceflush", "--port", &port.to_string()]);
        let mut process = Process::start("iperf3", command);
        process.line("the server listens", |line| {
            line.text.contains("Server listening").then_some(())
        });
        Self { _process: process }
    }
}

/// What a client measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throughput {
    /// Received by the receiver.
    pub gbit_per_second: f64,
    /// Bytes that arrived.
    pub bytes: f64,
}

/// Runs a client with `flows` parallel flows; `reverse` downloads.
///
/// # Panics
/// When it does not complete.
pub fn iperf3(
    namespace: &Namespace,
    host: &str,
    port: u16,
    flows: u32,
    time: Duration,
    reverse: bool,
) -> Throughput {
    let mut command = namespace.command("timeout");
    command.args(["60", "iperf3", "--json", "--client", host, "--port", &port.to_string()]);
    command.args(["--parallel", &flows.to_string(), "--time", &time.as_secs().to_string()]);
    command.args(reverse.then_some("--reverse"));
    let text = crate::namespace::must_run(&mut command);
    let report: Value = serde_json::from_str(&text).expect("iperf3 --json prints JSON");
    let figure = |name: &str| {
        let found = report.pointer(&format!("/end/sum_received/{name}")).and_then(Value::as_f64);
        found.unwrap_or_else(|| panic!("iperf3: {report}"))
    };
    Throughput { gbit_per_second: figure("bits_per_second") / 1e9, bytes: figure("bytes") }
}
