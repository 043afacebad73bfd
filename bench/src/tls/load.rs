//! Requests by h2load (nghttp2).

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use crate::Result;
use crate::certificate::HOST;
use crate::report::quantile;

/// How much is asked for at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) protocol: Protocol,
    pub(super) connections: u32,
    /// Requests at once on each connection.
    pub(super) streams: u32,
}

/// Of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Requests that were answered with 200, and how quickly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    pub(super) count: u32,
    pub(super) p99: Duration,
}

impl Load {
    /// Asks for `span`. A request that fails fails the measurement.
    pub(super) async fn run(
        self,
        address: SocketAddr,
        folder: &Path,
        span: Duration,
    ) -> Result<Done> {
        let log = folder.join("h2load.log");
        // It appends.
        let _ = std::fs::remove_file(&log);
        let mut command = Command::new("h2load");
        command.args(["--clients", &self.connections.to_string()]);
        command.args(["--max-concurrent-streams", &self.streams.to_string()]);
        command.args(["--duration", &span.as_secs().to_string(), "--groups", "X25519"]);
        command.args(["--tls13-ciphers", "TLS_AES_128_GCM_SHA256"]);
        command.args((self.protocol == Protocol::Http1).then_some("--h1"));
        command.args(["--connect-to", &address.to_string()]).arg("--log-file").arg(&log);
        let output = command.arg(format!("https://{HOST}:{}/", address.port())).output().await?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || !all_well(&text) {
            let error = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{}: {text}{error}", self.name()).into());
        }
        read(&std::fs::read_to_string(&log)?)
    }

    pub(super) fn name(self) -> String {
        let Self { protocol, connections, streams } = self;
        match protocol {
            Protocol::Http1 => format!("HTTP/1.1, {connections} connections"),
            Protocol::Http2 => format!("HTTP/2, {connections} connections × {streams}"),
        }
    }
}

/// `requests: … 0 failed, 0 errored, 0 timeout`, and only 2xx.
fn all_well(text: &str) -> bool {
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line("requests:").ends_with(", 0 failed, 0 errored, 0 timeout")
        && line("status codes:").ends_with(", 0 3xx, 0 4xx, 0 5xx")
}

/// Each line: when it began, the status, how many microseconds it took.
fn read(log: &str) -> Result<Done> {
    let times = log.lines().map(|line| line.rsplit('\t').next().unwrap_or_default().parse());
    let mut times =
        times.map(|time| Ok(Duration::from_micros(time?))).collect::<Result<Vec<_>>>()?;
    Ok(Done { count: u32::try_from(times.len())?, p99: quantile(&mut times, 0.99) })
}
