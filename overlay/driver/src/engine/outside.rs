//! What an endpoint sends, given to the kernel, and what it tells, given to the shard's reader.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};

use bore_overlay::Event;
use tokio::sync::mpsc;

use crate::answering::Answering;
use crate::endpoint::{SendError, Surroundings};
use crate::socket::UdpPort;

/// The surroundings of a shard's endpoint.
pub(super) struct Outside<'e> {
    pub(super) socket: &'e UdpPort,
    pub(super) answering: &'e RefCell<Answering>,
    pub(super) events: &'e mpsc::Sender<Event>,
}

impl Surroundings for Outside<'_> {
    fn send(
        &mut self,
        to: SocketAddr,
        datagrams: &[u8],
        segment_bytes: Option<usize>,
    ) -> Result<(), SendError> {
        let from = self.answering.borrow().source_for(to);
        self.send_from(to, from, datagrams, segment_bytes).map_err(|error| reason(&error))
    }

    fn has_room_for_event(&self) -> bool {
        !self.events.is_closed() && self.events.capacity() > 0
    }

    fn tell(&mut self, event: Event) {
        // Nobody else sends, so there is room still; a reader that has gone meanwhile misses nothing.
        let _ = self.events.try_send(event);
    }
}

impl Outside<'_> {
    /// An address of ours that is gone is no reason to be silent.
    fn send_from(
        &self,
        to: SocketAddr,
        from: Option<IpAddr>,
        datagrams: &[u8],
        segment_bytes: Option<usize>,
    ) -> io::Result<()> {
        match self.socket.send_segments(to, from, datagrams, segment_bytes) {
            Err(error) if from.is_some() && !is_full(&error) && !is_about_length(&error) => {
                // Where that fails as well, our address is not to blame.
                self.socket
                    .send_segments(to, None, datagrams, segment_bytes)
                    .inspect(|()| self.answering.borrow_mut().forget())
            }
            result => result,
        }
    }
}

fn reason(error: &io::Error) -> SendError {
    if is_full(error) {
        return SendError::Full;
    }
    tracing::trace!(%error, "datagram refused by the kernel");
    match error.raw_os_error() {
        Some(libc::EMSGSIZE) => SendError::TooLong,
        _ => SendError::Refused,
    }
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Refused for what it is, not for where it comes from.
fn is_about_length(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMSGSIZE | libc::EIO))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[tokio::test]
    async fn one_that_cannot_be_reached_changes_the_source_of_no_answer() {
        let answering = RefCell::new(Answering::default());
        let agent = "127.0.0.1:5".parse().unwrap();
        let asked = "127.0.0.2".parse().unwrap();
        answering.borrow_mut().note(agent, asked, true);
        // A socket that did not ask for it may not broadcast.
        let broadcast = "255.255.255.255:9".parse().unwrap();
        assert_eq!(sent(&answering, broadcast).await, Err(SendError::Refused));
        assert_eq!(answering.borrow().source_for(agent), Some(asked));
    }

    #[tokio::test]
    async fn an_address_that_is_gone_is_forgotten() {
        let answering = RefCell::new(Answering::default());
        let target = UdpSocket::bind("127.0.0.1:0").unwrap();
        let agent = target.local_addr().unwrap();
        answering.borrow_mut().note(agent, "203.0.113.77".parse().unwrap(), true);
        sent(&answering, agent).await.unwrap();
        assert_eq!(target.recv(&mut [0; 8]).unwrap(), 1);
        assert_eq!(answering.borrow().source_for(agent), None);
    }

    async fn sent(answering: &RefCell<Answering>, to: SocketAddr) -> Result<(), SendError> {
        let socket = UdpPort::bind("0.0.0.0:0".parse().unwrap()).unwrap();
        socket.writable().await.unwrap();
        let (events, _) = mpsc::channel(1);
        Outside { socket: &socket, answering, events: &events }.send(to, &[7], None)
    }
}
