//! Many open flows through one relay and one agent.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::{Measured, Node, Relay, Setup, free_tcp_port, patiently};
use crate::report::{head, ms, quantile, row};
use crate::{Result, origin};

pub(crate) async fn run(bore: &Path, count: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let relay = Relay::start(bore, folder.path(), Setup::default())?;
    let port = free_tcp_port()?;
    let (_origin, target) = origin::start("origin")?;
    let node = Node::join(bore, folder.path(), &relay.join_key)?;
    node.publish(&["tcp", &target, "--port", &port.to_string()])?;
    let mut busy = until_published(port).await?;

    let parts = [relay.process(), node.process()];
    let before = [parts[0].resident_kib()?, parts[1].resident_kib()?];
    let mut alone = Vec::new();
    for _ in 0..ROUNDS {
        alone.push(Sample::take(&mut busy, parts).await?);
    }
    let mut idle = Vec::with_capacity(count);
    while idle.len() < count {
        let host = u8::try_from(idle.len() / FLOWS_A_VISITOR + 2)?;
        idle.push(origin::visit_from(host, port).await?);
    }
    let after = [parts[0].resident_kib()?, parts[1].resident_kib()?];
    let mut among = Vec::new();
    for _ in 0..ROUNDS {
        among.push(Sample::take(&mut busy, parts).await?);
    }

    head(&format!("{count} open flows"));
    for (who, before, after) in [("relay", before[0], after[0]), ("agent", before[1], after[1])] {
        let each = after.saturating_sub(before) / count.max(1) as u64;
        row(&format!("{who} memory a flow"), &format!("{each} KiB ({} MiB in all)", after / 1024));
    }
    let (alone, among) = (Sample::median(alone), Sample::median(among));
    row("processor a MiB echoed, one flow", &ms(alone.cpu_per_mib));
    row("processor a MiB echoed, among all", &ms(among.cpu_per_mib));
    row(
        "ratio",
        &format!("{:.2}", among.cpu_per_mib.as_secs_f64() / alone.cpu_per_mib.as_secs_f64()),
    );
    row(
        "round trip of 64 bytes, one flow, median and 99 of 100",
        &format!("{:?} {:?}", alone.median, alone.high),
    );
    row(
        "round trip of 64 bytes, among all, median and 99 of 100",
        &format!("{:?} {:?}", among.median, among.high),
    );
    drop(idle);
    Ok(())
}

async fn until_published(port: u16) -> Result<TcpStream> {
    patiently(async || Ok(origin::visit(port).await?)).await
}

/// What one flow costs and how quick it is.
#[derive(Clone, Copy)]
struct Sample {
    cpu_per_mib: Duration,
    median: Duration,
    high: Duration,
}

impl Sample {
    async fn take(stream: &mut TcpStream, parts: [&Measured; 2]) -> Result<Self> {
        let cpu = |parts: [&Measured; 2]| {
            Ok::<_, Box<dyn std::error::Error>>(parts[0].cpu()? + parts[1].cpu()?)
        };
        let before = cpu(parts)?;
        echo_bulk(stream).await?;
        let used = cpu(parts)?.saturating_sub(before);
        let mut trips = round_trips(stream).await?;
        Ok(Self {
            cpu_per_mib: used / BULK_MIB,
            median: quantile(&mut trips, 0.5),
            high: quantile(&mut trips, 0.99),
        })
    }

    fn median(mut samples: Vec<Self>) -> Self {
        samples.sort_by_key(|sample| sample.cpu_per_mib);
        let middle = samples.len() / 2;
        samples.swap_remove(middle)
    }
}

async fn echo_bulk(stream: &mut TcpStream) -> Result<()> {
    let (mut reader, mut writer) = stream.split();
    let sending = async {
        let block = vec![7; 65_536];
        for _ in 0..BULK_MIB * 16 {
            writer.write_all(&block).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let receiving = async {
        let mut left = u64::from(BULK_MIB) << 20;
        let mut block = vec![0; 65_536];
        while left > 0 {
            let count = reader.read(&mut block).await?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            left = left.saturating_sub(count as u64);
        }
        Ok(())
    };
    tokio::try_join!(sending, receiving)?;
    Ok(())
}

async fn round_trips(stream: &mut TcpStream) -> Result<Vec<Duration>> {
    let mut trips = Vec::with_capacity(TRIPS);
    let mut bytes = [7; 64];
    for _ in 0..TRIPS {
        let began = Instant::now();
        stream.write_all(&bytes).await?;
        stream.read_exact(&mut bytes).await?;
        trips.push(began.elapsed());
    }
    Ok(trips)
}

const FLOWS_A_VISITOR: usize = 2_000;
const ROUNDS: usize = 5;
const BULK_MIB: u32 = 64;
const TRIPS: usize = 2_000;
