//! The demo's service: a page over HTTP, and what comes in back out over TCP and UDP. Loopback only.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use bore_api::model::Protocol;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

/// What the page says; the visitor looks for it.
pub(super) const PAGE: &str = "this page came through bore\n";
/// Largest datagram that is echoed, and the most that is read of a request.
const BUFFER_BYTES: usize = 2048;

/// Three listeners.
#[derive(Debug)]
pub(super) struct Origin {
    http: SocketAddr,
    tcp: SocketAddr,
    udp: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
}

impl Origin {
    /// Listens on ports that the kernel chooses.
    pub(super) async fn start() -> io::Result<Self> {
        let here = (Ipv4Addr::LOCALHOST, 0);
        let (http, tcp) = (TcpListener::bind(here).await?, TcpListener::bind(here).await?);
        let udp = UdpSocket::bind(here).await?;
        let addresses = (http.local_addr()?, tcp.local_addr()?, udp.local_addr()?);
        let tasks = vec![
            tokio::spawn(accept(http, page)),
            tokio::spawn(accept(tcp, echo)),
            tokio::spawn(echo_datagrams(udp)),
        ];
        Ok(Self { http: addresses.0, tcp: addresses.1, udp: addresses.2, tasks })
    }

    /// Where `protocol` is served.
    pub(super) const fn address(&self, protocol: Protocol) -> SocketAddr {
        match protocol {
            Protocol::Http => self.http,
            Protocol::Tcp | Protocol::Tls => self.tcp,
            Protocol::Udp => self.udp,
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn accept<F: Future<Output = io::Result<()>> + Send + 'static>(
    listener: TcpListener,
    serve: fn(TcpStream) -> F,
) {
    while let Ok((stream, _)) = listener.accept().await {
        // A visitor that goes away early is no news.
        tokio::spawn(serve(stream));
    }
}

async fn page(mut stream: TcpStream) -> io::Result<()> {
    let mut request = [0; BUFFER_BYTES];
    let _ = stream.read(&mut request).await?;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        PAGE.len()
    );
    stream.write_all(format!("{head}{PAGE}").as_bytes()).await?;
    stream.shutdown().await
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let (mut read, mut write) = stream.split();
    tokio::io::copy(&mut read, &mut write).await?;
    write.shutdown().await
}

async fn echo_datagrams(socket: UdpSocket) {
    let mut buffer = [0; BUFFER_BYTES];
    loop {
        // An ICMP error about an earlier answer is told on the next receive; the socket goes on.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        if let Some(datagram) = buffer.get(..length) {
            let _ = socket.send_to(datagram, from).await;
        }
    }
}
