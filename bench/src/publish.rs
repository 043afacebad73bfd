//! From `publish` to reachable, over a link with delay between agent and relay.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::swarm::{Plan, Swarm};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::process::{Relay, Setup, free_udp_port};
use crate::report::{head, ms, quantile, row};
use crate::{Result, origin};

pub(crate) async fn run(bore: &Path, round_trip_ms: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (_relay, swarm) = far_agent(bore, folder.path(), round_trip_ms).await?;
    let target = origin::echo().await?.to_string();
    let mut times = Vec::new();
    for number in 0..PUBLICATIONS {
        times.push(swarm.time_to_reachable(&format!("timed-{number}"), &target).await?);
    }
    head(&format!("publish over a link of {round_trip_ms} ms"));
    row("publish to reachable, median", &ms(quantile(&mut times, 0.5)));
    row("publish to reachable, worst", &ms(quantile(&mut times, 1.0)));
    swarm.stop().await;
    Ok(())
}

/// A question and its answer over a connection of its own, many times.
pub(crate) async fn exchanges(bore: &Path, round_trip_ms: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (_relay, mut swarm) = far_agent(bore, folder.path(), round_trip_ms).await?;
    swarm.publish(&origin::echo().await?.to_string(), 1).await?;
    let port = swarm.ports().first().copied().unwrap_or_default();
    until_visited(port).await?;
    let mut times = Vec::new();
    for _ in 0..EXCHANGES {
        let began = Instant::now();
        drop(origin::visit(port).await?);
        times.push(began.elapsed());
    }
    head(&format!("connect, ask, be answered, over a link of {round_trip_ms} ms"));
    row("median", &ms(quantile(&mut times, 0.5)));
    row("p99", &ms(quantile(&mut times, 0.99)));
    swarm.stop().await;
    Ok(())
}

/// The port answers once the relay has gone through the tunnel to the target.
async fn until_visited(port: u16) -> Result<()> {
    for _ in 0..TRIES_MAX {
        if origin::visit(port).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("the publication was never reached".into())
}

/// A relay, and one agent behind a link with delay.
async fn far_agent(bore: &Path, folder: &Path, round_trip_ms: u64) -> Result<(Relay, Swarm)> {
    let announced = free_udp_port()?;
    let setup = Setup { announced_port: Some(announced), ..Setup::default() };
    let relay = Relay::start(bore, folder, setup)?;
    let delay = Duration::from_millis(round_trip_ms) / 2;
    let listening = SocketAddr::from(([127, 0, 0, 1], relay.overlay_port));
    tokio::spawn(delay_link(announced, listening, delay));
    let plan = Plan { join_key: &relay.join_key, folder, agents: 1, at_once: 1 };
    let swarm = Swarm::join(&plan).await?;
    Ok((relay, swarm))
}

/// Carries datagrams both ways, each `delay` later, in order.
async fn delay_link(port: u16, relay: SocketAddr, delay: Duration) -> std::io::Result<()> {
    let outside = Arc::new(UdpSocket::bind(("127.0.0.1", port)).await?);
    let mut inside: HashMap<SocketAddr, Late> = HashMap::new();
    let mut buffer = vec![0; 65_535];
    loop {
        let (count, agent) = outside.recv_from(&mut buffer).await?;
        let bytes = buffer.get(..count).unwrap_or_default().to_vec();
        let late = match inside.get(&agent) {
            Some(late) => late,
            None => {
                let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
                let back = late(Arc::clone(&outside), agent, delay);
                tokio::spawn(carry_back(Arc::clone(&socket), back));
                inside.entry(agent).or_insert_with(|| late(socket, relay, delay))
            }
        };
        late.carry(bytes);
    }
}

async fn carry_back(socket: Arc<UdpSocket>, back: Late) {
    let mut buffer = vec![0; 65_535];
    while let Ok((count, _)) = socket.recv_from(&mut buffer).await {
        back.carry(buffer.get(..count).unwrap_or_default().to_vec());
    }
}

/// One direction of the link.
struct Late(mpsc::UnboundedSender<(Instant, Vec<u8>)>);

impl Late {
    fn carry(&self, bytes: Vec<u8>) {
        // A direction that has ended loses what it is given.
        let _ = self.0.send((Instant::now(), bytes));
    }
}

fn late(socket: Arc<UdpSocket>, to: SocketAddr, delay: Duration) -> Late {
    let (sender, mut queue) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((came, bytes)) = queue.recv().await {
            tokio::time::sleep_until((came + delay).into()).await;
            // A link may lose a datagram.
            let _ = socket.send_to(&bytes, to).await;
        }
    });
    Late(sender)
}

const PUBLICATIONS: usize = 20;
const EXCHANGES: usize = 100;
const TRIES_MAX: usize = 200;
