//! Signs of life of a visitor's host, asked for by the kernel: without them a connection whose visitor vanished, and whose service waits,
//! stays for ever.

use std::io;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use crate::limits::{KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_RETRIES_MAX};

/// Has the kernel end `socket` when its other side gives no sign of life.
///
/// # Errors
/// The kernel's.
pub fn keep_alive(socket: &TcpStream) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES_MAX);
    SockRef::from(socket).set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;

    /// Fails unless the kernel ends `socket` within two minutes of its visitor's vanishing.
    pub(crate) fn assert_kept_alive(socket: &TcpStream) {
        let socket = SockRef::from(socket);
        assert!(socket.keepalive().unwrap(), "nobody asks");
        let interval = socket.tcp_keepalive_interval().unwrap();
        let patience = interval * socket.tcp_keepalive_retries().unwrap();
        let longest = socket.tcp_keepalive_time().unwrap() + patience;
        assert!(longest < Duration::from_secs(120), "{longest:?}");
    }
}
