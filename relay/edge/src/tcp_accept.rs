//! Taking connections from a TCP listener, with one rule for accepts that fail.
//!
//! Without descriptors or memory every accept fails at once: the loop pauses, each time longer, and those who come wait in the kernel's queue.
//! A failure of one connection alone delays no other.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

use crate::limits::{ACCEPT_PAUSE_MAX, ACCEPT_PAUSE_MIN};

/// The connections of one listener.
#[derive(Debug)]
pub struct TcpAccept {
    listener: TcpListener,
    pause: Duration,
    paused_until: Option<Instant>,
}

impl TcpAccept {
    /// Takes connections from `listener`.
    pub fn new(listener: TcpListener) -> Self {
        Self { listener, pause: ACCEPT_PAUSE_MIN, paused_until: None }
    }

    /// The next connection, and where it comes from: a listener on `[::]` gives IPv4 addresses in their mapped form, from here on there is
    /// one form. `failed` is called for each accept that the kernel refuses for want of something. May be dropped while it waits.
    pub async fn next(&mut self, failed: impl Fn()) -> (TcpStream, SocketAddr) {
        loop {
            if let Some(until) = self.paused_until {
                sleep_until(until).await;
                self.paused_until = None;
            }
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    self.pause = ACCEPT_PAUSE_MIN;
                    return (stream, SocketAddr::new(from.ip().to_canonical(), from.port()));
                }
                Err(error) if concerns_one_connection(&error) => {
                    tracing::debug!(%error, "a connection failed before it was accepted");
                }
                Err(error) => {
                    failed();
                    tracing::warn!(%error, "accepting pauses");
                    self.pause_longer();
                }
            }
        }
    }

    fn pause_longer(&mut self) {
        self.paused_until = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(ACCEPT_PAUSE_MAX);
    }
}

/// Linux reports errors of the network that a connection met as errors of its accept (accept(2)). Everything else is met by the next accept too.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_ipv4_visitor_of_an_ipv6_listener_has_its_ipv4_address() {
        let listener = TcpListener::bind("[::]:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut accept = TcpAccept::new(listener);
        let connecting = TcpStream::connect(("127.0.0.1", port));
        let (connected, (_stream, from)) = tokio::join!(connecting, accept.next(|| {}));
        assert_eq!(from, connected.unwrap().local_addr().unwrap());
    }

    #[test]
    fn only_what_the_next_accept_meets_too_makes_a_pause() {
        let concerns_one = |code| concerns_one_connection(&io::Error::from_raw_os_error(code));
        for code in [libc::ECONNABORTED, libc::ECONNRESET, libc::EHOSTUNREACH, libc::ENETDOWN] {
            assert!(concerns_one(code), "{code}");
        }
        // The last: the listener was shut down, and an accept loop must not spin.
        for code in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EINVAL] {
            assert!(!concerns_one(code), "{code}");
        }
    }

    #[tokio::test]
    async fn pauses_double_up_to_a_bound_and_begin_anew_with_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut accept = TcpAccept::new(listener);
        accept.pause_longer();
        assert_eq!(accept.pause, ACCEPT_PAUSE_MIN * 2);
        (0..10).for_each(|_| accept.pause_longer());
        assert_eq!(accept.pause, ACCEPT_PAUSE_MAX);
        // As if it were over.
        accept.paused_until = Some(Instant::now());
        let _visitor = TcpStream::connect(address).await.unwrap();
        accept.next(|| {}).await;
        assert_eq!((accept.pause, accept.paused_until), (ACCEPT_PAUSE_MIN, None));
    }
}
