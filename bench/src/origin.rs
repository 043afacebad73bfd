//! The service behind the agents: echoes whatever comes, and can pour.

use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::Result;
use crate::process::Measured;

/// Starts the echo; it runs as long as the program.
pub(crate) async fn echo() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(echo_one(socket));
        }
    });
    Ok(address)
}

/// A service in a process of its own, so that its open files are not ours: `origin` or `web-socket-origin`.
pub(crate) fn start(which: &str) -> Result<(Measured, String)> {
    Measured::start_and_read(Command::new(std::env::current_exe()?).arg(which))
}

/// What that process does.
pub(crate) async fn run() -> Result<()> {
    writeln!(std::io::stdout(), "{}", echo().await?)?;
    std::future::pending().await
}

/// What it does when it is to speak WebSocket: echoes every message.
pub(crate) async fn run_web_sockets() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(async move {
            let Ok(mut socket) = tokio_tungstenite::accept_async(socket).await else { return };
            while let Some(Ok(message)) = socket.next().await {
                if !message.is_text() || socket.send(message).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn echo_one(mut socket: TcpStream) {
    let mut buffer = vec![0; 4096];
    loop {
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                let Some(bytes) = buffer.get(..count) else { return };
                if socket.write_all(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// One exchange with the echo through `port` of this machine.
pub(crate) async fn visit(port: u16) -> std::io::Result<TcpStream> {
    visit_from(1, port).await
}

/// The same as the visitor 127.0.0.`host`: a relay bounds what one address may open.
pub(crate) async fn visit_from(host: u8, port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, host], 0)))?;
    let mut stream = socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    stream.set_nodelay(true)?;
    stream.write_all(b"?").await?;
    stream.read_u8().await?;
    Ok(stream)
}
