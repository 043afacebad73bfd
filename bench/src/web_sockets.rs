//! Many idle WebSockets by HTTPS through one relay and one agent.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::SinkExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rustls::NamedGroup;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::certificate::{Certified, HOST};
use crate::process::{Measured, Node, Relay, Setup, patiently};
use crate::report::{head, ms, row};
use crate::{Result, origin};

type Socket = WebSocketStream<TlsStream<TcpStream>>;

pub(crate) async fn run(bore: &Path, count: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let certified = Certified::new(folder.path())?;
    let setup = Setup { certified: Some(&certified), ..Setup::default() };
    let relay = Relay::start(bore, folder.path(), setup)?;
    let (_origin, target) = origin::start("web-socket-origin")?;
    let node = Node::join(bore, folder.path(), &relay.join_key)?;
    node.publish(&["http", &target, "--name", "app", "--no-wait"])?;
    let visitors = Visitors {
        port: relay.https_port,
        connector: TlsConnector::from(Arc::new(certified.client(NamedGroup::X25519MLKEM768, 0)?)),
    };
    drop(visitors.until_welcome().await?);

    let parts = [relay.process(), node.process()];
    let before = resident(parts)?;
    let began = Instant::now();
    let mut open = visitors.open(count).await?;
    let opened = began.elapsed();
    let after = resident(parts)?;
    let used = parts[0].cpu()? + parts[1].cpu()?;
    tokio::time::sleep(IDLE_WATCH).await;
    let idle = (parts[0].cpu()? + parts[1].cpu()?).saturating_sub(used);
    let rested = resident(parts)?;
    for socket in &mut open {
        echo(socket).await?;
    }

    head(&format!("{count} idle WebSockets by HTTPS"));
    row("all opened, each after one message and its echo", &ms(opened));
    for (who, index) in [("relay", 0), ("agent", 1)] {
        let each = |after: [u64; 2]| {
            let (after, before) = (after.get(index), before.get(index));
            after.zip(before).map_or(0, |(after, before)| after.saturating_sub(*before))
                / count.max(1) as u64
        };
        let (open, rested) = (each(after), each(rested));
        row(
            &format!("{who} memory a connection, just opened / idle"),
            &format!("{open} / {rested} KiB"),
        );
    }
    let share = idle.as_secs_f64() / IDLE_WATCH.as_secs_f64() * 100.0;
    row("processor of relay and agent when idle", &format!("{share:.1} % of one core"));
    row("a message and its echo on each of them afterwards", "all came back");
    Ok(())
}

fn resident(parts: [&Measured; 2]) -> Result<[u64; 2]> {
    Ok([parts[0].resident_kib()?, parts[1].resident_kib()?])
}

struct Visitors {
    port: u16,
    connector: TlsConnector,
}

impl Visitors {
    async fn until_welcome(&self) -> Result<Socket> {
        patiently(async || self.visit(1).await).await
    }

    async fn open(&self, count: usize) -> Result<Vec<Socket>> {
        let mut open = Vec::with_capacity(count);
        let mut opening = FuturesUnordered::new();
        for number in 0..count {
            let host = u8::try_from(number / CONNECTIONS_A_VISITOR + 2)?;
            opening.push(self.visit(host));
            if opening.len() >= AT_ONCE {
                open.extend(opening.next().await.transpose()?);
            }
        }
        while let Some(socket) = opening.next().await {
            open.push(socket?);
        }
        Ok(open)
    }

    /// As the visitor 127.0.0.`host`: a relay bounds what one address may open.
    async fn visit(&self, host: u8) -> Result<Socket> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, host], 0)))?;
        let stream = socket.connect(SocketAddr::from(([127, 0, 0, 1], self.port))).await?;
        let stream = self.connector.connect(ServerName::try_from(HOST)?, stream).await?;
        let url = format!("wss://{HOST}:{}/", self.port);
        let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await?;
        echo(&mut socket).await?;
        Ok(socket)
    }
}

async fn echo(socket: &mut Socket) -> Result<()> {
    let message = Message::text("?");
    socket.send(message.clone()).await?;
    match socket.next().await {
        Some(Ok(answer)) if answer == message => Ok(()),
        other => Err(format!("no echo: {other:?}").into()),
    }
}

const CONNECTIONS_A_VISITOR: usize = 400;
const AT_ONCE: usize = 64;
const IDLE_WATCH: Duration = Duration::from_secs(10);
