//! The sockets of the authoritative server: datagrams and connections in, answers out.
//!
//! The loops are our own rather than hickory-server's, because those have no bound on connections, none on what a forged source
//! is sent, and a log line per question. One task answers a socket's datagrams one after the other: nothing queues but in the kernel.
//!
//! Invariant: a source prefix is sent no more bytes in datagrams than came from it, and [`AMPLIFIED_BYTES_PER_SECOND`] on top.
//!
//! Source: RFC 7766 (TCP), RFC 8482, RFC 9715 (no fragments).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bore_edge::{PerCallerLimit, TcpAccept, source};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::counters::{DnsCounters, Truncation};
use super::limits::{
    AMPLIFIED_BYTES_PER_SECOND, REQUEST_BYTES_MAX, TCP_CONNECTIONS_MAX,
    TCP_CONNECTIONS_PER_SOURCE_MAX, TCP_IDLE, TCP_REQUESTS_MAX,
};
use super::respond::{Response, Transport, respond};
use super::zone::Zone;
use crate::ingress::AnswerBudget;

/// The two sockets of one address.
#[derive(Debug)]
pub struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Sockets {
    /// Binds both. With port 0 both have the same one.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        let udp = UdpSocket::bind(tcp.local_addr()?).await?;
        Ok(Self { udp, tcp })
    }

    /// Where they are.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// Answers on both until `closing`.
pub async fn serve(
    sockets: Sockets,
    zone: Arc<Zone>,
    counters: DnsCounters,
    closing: watch::Receiver<bool>,
) {
    let Sockets { udp, tcp } = sockets;
    let (mut ending, shared) = (closing.clone(), (Arc::clone(&zone), counters.clone()));
    tokio::select! {
        () = serve_datagrams(&udp, &zone, &counters) => {}
        () = serve_connections(tcp, shared.0, shared.1) => {}
        // A relay that is gone is closed.
        _ = ending.wait_for(|closing| *closing) => {}
    }
}

async fn serve_datagrams(socket: &UdpSocket, zone: &Zone, counters: &DnsCounters) {
    let mut buffer = vec![0; REQUEST_BYTES_MAX + 1];
    let mut budget = AnswerBudget::new(AMPLIFIED_BYTES_PER_SECOND, rand::random(), Instant::now());
    loop {
        let (count, source) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                // An earlier answer that met a closed port is told here; anything else passes or comes again at once.
                tracing::trace!(%error, "dns datagram not received");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let request = buffer.get(..count).unwrap_or_default();
        match datagram(zone, request, source, &mut budget, counters) {
            None => drop(counters.ignored.inc()),
            Some(answer) => {
                if socket.send_to(&answer, source).await.is_err() {
                    counters.sends_failed.inc();
                }
            }
        }
    }
}

/// The answer to a datagram, cut down to its question where the source's prefix has used up its budget.
fn datagram(
    zone: &Zone,
    request: &[u8],
    source: SocketAddr,
    budget: &mut AnswerBudget,
    counters: &DnsCounters,
) -> Option<Vec<u8>> {
    // Nobody is at port 0: an answer would be an error of ours.
    let source = Some(source).filter(|source| source.port() != 0)?;
    let Response { bytes, brief, code, truncated } =
        respond(zone, request, source, Transport::Udp)?;
    counters.answered(Transport::Udp, code);
    if truncated {
        counters.truncated(Truncation::Size);
    }
    let larger = bytes.len().saturating_sub(request.len());
    if budget.take(source.ip().to_canonical(), larger, Instant::now()) {
        return Some(bytes);
    }
    counters.truncated(Truncation::Budget);
    Some(brief)
}

async fn serve_connections(listener: TcpListener, zone: Arc<Zone>, counters: DnsCounters) {
    let (mut connections, places) = (JoinSet::new(), PerCallerLimit::default());
    let mut accept = TcpAccept::new(listener);
    let refuse = || {
        counters.connections_refused.inc();
    };
    loop {
        let (stream, client) = tokio::select! {
            accepted = accept.next(refuse) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let place = places.take(source(client.ip()), TCP_CONNECTIONS_PER_SOURCE_MAX);
        let Some(place) = place.filter(|_| connections.len() < TCP_CONNECTIONS_MAX) else {
            refuse();
            continue;
        };
        let (zone, counters) = (Arc::clone(&zone), counters.clone());
        connections.spawn(async move {
            let _place = place;
            if converse(stream, client, &zone, &counters).await.is_err() {
                counters.connections_dropped.inc();
            }
        });
    }
}

/// Answers the requests of one connection, in order, until the client has no more.
async fn converse(
    mut stream: TcpStream,
    source: SocketAddr,
    zone: &Zone,
    counters: &DnsCounters,
) -> io::Result<()> {
    for _ in 0..TCP_REQUESTS_MAX {
        let Some(request) = timeout(TCP_IDLE, receive(&mut stream)).await?? else { return Ok(()) };
        let Some(response) = respond(zone, &request, source, Transport::Tcp) else {
            counters.ignored.inc();
            continue;
        };
        counters.answered(Transport::Tcp, response.code);
        timeout(TCP_IDLE, send(&mut stream, &response.bytes)).await??;
    }
    Ok(())
}

/// The next message (RFC 1035 §4.2.2); `None` when the client has ended between two.
async fn receive(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 2];
    if stream.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[1..]).await?;
    let length = usize::from(u16::from_be_bytes(length));
    if length > REQUEST_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "request too large"));
    }
    let mut request = vec![0; length];
    stream.read_exact(&mut request).await?;
    Ok(Some(request))
}

/// In one write, so that length and message share a segment (RFC 7766 §8).
async fn send(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await
}
