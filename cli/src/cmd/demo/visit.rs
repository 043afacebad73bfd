//! A visitor of the demo: plain sockets to the public side, nothing of bore in between.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bore_api::model::Protocol;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::origin::PAGE;

const GREETING: &[u8] = b"hello through bore";
/// A datagram may be lost: it is sent again after this.
const RESEND: Duration = Duration::from_millis(500);
const DATAGRAMS_MAX: usize = 5;

/// What the visitor saw, in words.
pub(super) async fn visit(
    protocol: Protocol,
    to: SocketAddr,
    hostname: &str,
) -> io::Result<String> {
    match protocol {
        Protocol::Http => page(to, hostname).await,
        Protocol::Tcp | Protocol::Tls => echo(to).await,
        Protocol::Udp => datagram(to).await,
    }
}

async fn page(to: SocketAddr, hostname: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(to).await?;
    let request =
        format!("GET / HTTP/1.1\r\nHost: {hostname}:{}\r\nConnection: close\r\n\r\n", to.port());
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    if answer.starts_with("HTTP/1.1 200") && answer.ends_with(PAGE) {
        return Ok("the page, 200".to_owned());
    }
    Err(unexpected(answer.lines().next().unwrap_or_default().as_bytes()))
}

async fn echo(to: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(GREETING).await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    expect(&answer).map(|()| "what was sent came back".to_owned())
}

async fn datagram(to: SocketAddr) -> io::Result<String> {
    let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).await?;
    socket.connect(to).await?;
    let mut buffer = [0; 128];
    for _ in 0..DATAGRAMS_MAX {
        socket.send(GREETING).await?;
        if let Ok(length) = timeout(RESEND, socket.recv(&mut buffer)).await {
            expect(buffer.get(..length?).unwrap_or_default())?;
            return Ok("the datagram came back".to_owned());
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "no datagram came back"))
}

fn expect(answer: &[u8]) -> io::Result<()> {
    if answer == GREETING { Ok(()) } else { Err(unexpected(answer)) }
}

fn unexpected(answer: &[u8]) -> io::Error {
    io::Error::other(format!("unexpected answer: {}", String::from_utf8_lossy(answer)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::demo::origin::Origin;

    #[tokio::test]
    async fn the_visitor_understands_the_origin_over_all_three_protocols() {
        let origin = Origin::start().await.unwrap();
        for protocol in [Protocol::Http, Protocol::Tcp, Protocol::Udp] {
            visit(protocol, origin.address(protocol), "demo.localhost").await.unwrap();
        }
    }
}
