//! What leaves: the overlay's own datagrams, then what the flows may send.
//!
//! A train leaves with one system call where its path was shown to carry that. A kernel that refuses it is given the datagrams one by one;
//! when it takes them so, the path is sent no segments for some time.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bore_overlay::{Packets, PeerId, SealedTrain};

use super::{Buffers, Engine};
use crate::counters::add;
use crate::limits::{TRAIN_BYTES_MAX, TRANSMITS_PER_TURN_MAX};
use crate::unsent::{Batch, Sending};

impl Engine {
    pub(super) fn transmit(&self, now: Instant) {
        if !self.retry_unsent(now) {
            return;
        }
        let mut sent = 0;
        while sent < TRANSMITS_PER_TURN_MAX {
            let step = if self.transmit_overlay(now) { 1 } else { self.transmit_inner(now) };
            if step == 0 || !self.unsent.borrow().is_empty() {
                return;
            }
            sent += step;
        }
        // More may be waiting: come back after the socket and the flows had their turn.
        self.wake();
    }

    /// Returns true if nothing waits any more.
    fn retry_unsent(&self, now: Instant) -> bool {
        let mut unsent = self.unsent.borrow_mut();
        while let Some((batch, datagrams)) = unsent.front() {
            let (bytes, done) = (datagrams.len(), self.send_batch(batch, datagrams, now));
            unsent.advance(done);
            if done < bytes {
                return false;
            }
        }
        true
    }

    fn transmit_overlay(&self, now: Instant) -> bool {
        let Some(transmit) = self.overlay.borrow_mut().poll_transmit() else { return false };
        let (datagram_bytes, sending) = match transmit.segment_bytes {
            Some(segment_bytes) => (segment_bytes, Sending::OnlySegmented),
            None => (transmit.payload.len(), Sending::Singly),
        };
        let batch = Batch { peer: None, to: transmit.to, datagram_bytes, sending };
        self.send_or_keep(batch, &transmit.payload, now);
        true
    }

    /// Sends what one flow may send at once; gives how many datagrams that were.
    fn transmit_inner(&self, now: Instant) -> usize {
        let mut buffers = self.buffers.borrow_mut();
        let Buffers { inner, sealed, .. } = &mut *buffers;
        let room = inner.get_mut(..TRAIN_BYTES_MAX).unwrap_or_default();
        let Some(train) = self.stack.poll_transmit_train(room, now) else { return 0 };
        let peer = PeerId::from_index(train.peer.0);
        let packets = Packets {
            bytes: inner.get(..train.bytes()).unwrap_or_default(),
            packet_bytes: train.packet_bytes(),
            has_repeats: train.has_repeats(),
        };
        let sealing = self.overlay.borrow_mut().encapsulate_train(peer, packets, sealed, now);
        match sealing {
            Some(SealedTrain { to, datagrams, datagram_bytes, is_segmented }) => {
                let sending = if is_segmented { Sending::Segmented } else { Sending::Singly };
                let batch = Batch { peer: Some(peer), to, datagram_bytes, sending };
                self.send_or_keep(batch, datagrams, now);
            }
            None => add(&self.cells.without_session, train.packets() as u64),
        }
        train.packets()
    }

    /// Sends, or keeps what the kernel has no room for.
    fn send_or_keep(&self, mut batch: Batch, datagrams: &[u8], now: Instant) {
        let mut unsent = self.unsent.borrow_mut();
        let done = match unsent.is_empty() {
            true => self.send_batch(&mut batch, datagrams, now),
            false => 0,
        };
        match datagrams.get(done..) {
            None | Some([]) => {}
            Some(rest) => unsent.push(batch, rest),
        }
    }

    /// Gives how many bytes are dealt with: sent, or refused and counted. For the rest the kernel has no room.
    fn send_batch(&self, batch: &mut Batch, datagrams: &[u8], now: Instant) -> usize {
        let Batch { to, datagram_bytes, sending, .. } = *batch;
        if sending == Sending::Singly {
            return self.send_singly(batch, datagrams, false, now);
        }
        match self.send(to, datagrams, Some(datagram_bytes)) {
            Ok(()) => datagrams.len(),
            Err(error) if is_full(&error) => 0,
            Err(error) if sending == Sending::OnlySegmented => {
                self.count_send_error(&error);
                datagrams.len()
            }
            Err(_) => {
                batch.sending = Sending::Singly;
                self.send_singly(batch, datagrams, true, now)
            }
        }
    }

    /// As [`Self::send_batch`], one datagram after the other; as segments they may have been refused before.
    fn send_singly(
        &self,
        batch: &Batch,
        datagrams: &[u8],
        mut was_refused: bool,
        now: Instant,
    ) -> usize {
        let mut done = 0;
        for datagram in datagrams.chunks(batch.datagram_bytes.max(1)) {
            match self.send(batch.to, datagram, None) {
                Ok(()) => {
                    // Where single datagrams fail as well, it was not for the segments.
                    if std::mem::take(&mut was_refused) {
                        self.note_segments_refused(batch.peer, now);
                    }
                }
                Err(error) if is_full(&error) => return done,
                Err(error) => {
                    was_refused = false;
                    self.note_send_error(batch.peer, datagram.len(), &error, now);
                }
            }
            done += datagram.len();
        }
        done
    }

    fn note_segments_refused(&self, peer: Option<PeerId>, now: Instant) {
        if let Some(peer) = peer {
            self.overlay.borrow_mut().note_segments_refused(peer, now);
        }
    }

    /// Counts a datagram that the kernel refused. When it was too long for the path, the next ones are shorter.
    pub(super) fn note_send_error(
        &self,
        peer: Option<PeerId>,
        bytes: usize,
        error: &io::Error,
        now: Instant,
    ) {
        self.count_send_error(error);
        if let Some(peer) = peer.filter(|_| error.raw_os_error() == Some(libc::EMSGSIZE)) {
            self.overlay.borrow_mut().note_datagram_too_long(peer, bytes, now);
            self.follow_paths();
        }
    }

    /// Sends one datagram, or several of `segment_bytes` each.
    pub(super) fn send(
        &self,
        to: SocketAddr,
        datagrams: &[u8],
        segment_bytes: Option<usize>,
    ) -> io::Result<()> {
        let from = self.answering.borrow().source_for(to);
        self.send_from(to, from, datagrams, segment_bytes)?;
        let count = segment_bytes.map_or(1, |bytes| datagrams.len().div_ceil(bytes.max(1)));
        add(&self.cells.segmented_sends, u64::from(segment_bytes.is_some()));
        add(&self.cells.datagrams_sent, count as u64);
        add(&self.cells.bytes_sent, datagrams.len() as u64);
        Ok(())
    }

    /// An address of ours that is gone is no reason to be silent.
    fn send_from(
        &self,
        to: SocketAddr,
        from: Option<IpAddr>,
        datagrams: &[u8],
        segment_bytes: Option<usize>,
    ) -> io::Result<()> {
        let socket = self.socket.borrow();
        match socket.send_segments(to, from, datagrams, segment_bytes) {
            Err(error) if from.is_some() && !is_full(&error) && !is_about_length(&error) => {
                // Where that fails as well, our address is not to blame.
                socket
                    .send_segments(to, None, datagrams, segment_bytes)
                    .inspect(|()| self.answering.borrow_mut().forget())
            }
            result => result,
        }
    }

    fn count_send_error(&self, error: &io::Error) {
        if is_full(error) {
            add(&self.cells.send_buffer_full, 1);
        } else {
            add(&self.cells.send_failed, 1);
            tracing::trace!(%error, "datagram refused by the kernel");
        }
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

    use bore_netstack::{Config as StackConfig, Stack};
    use bore_overlay::{Config, Overlay, PrivateKey, UnknownKeys};
    use tokio::sync::mpsc;

    use super::*;
    use crate::socket::UdpPort;

    #[tokio::test]
    async fn one_that_cannot_be_reached_changes_the_source_of_no_answer() {
        let engine = engine();
        let agent = "127.0.0.1:5".parse().unwrap();
        let asked = "127.0.0.2".parse().unwrap();
        engine.answering.borrow_mut().note(agent, asked, true);
        // A socket that did not ask for it may not broadcast.
        assert!(sent(&engine, "255.255.255.255:9".parse().unwrap()).await.is_err());
        assert_eq!(engine.answering.borrow().source_for(agent), Some(asked));
    }

    #[tokio::test]
    async fn an_address_that_is_gone_is_forgotten() {
        let engine = engine();
        let target = UdpSocket::bind("127.0.0.1:0").unwrap();
        let agent = target.local_addr().unwrap();
        engine.answering.borrow_mut().note(agent, "203.0.113.77".parse().unwrap(), true);
        sent(&engine, agent).await.unwrap();
        assert_eq!(target.recv(&mut [0; 8]).unwrap(), 1);
        assert_eq!(engine.answering.borrow().source_for(agent), None);
    }

    async fn sent(engine: &Engine, to: SocketAddr) -> io::Result<()> {
        let socket = std::rc::Rc::clone(&engine.socket.borrow());
        socket.writable().await.unwrap();
        engine.send(to, &[7], None)
    }

    fn engine() -> Engine {
        let overlay = Overlay::new(
            Config {
                private_key: PrivateKey::from_bytes([1; 32]),
                shard: 0,
                unknown_keys: UnknownKeys::Refuse,
                identity: None,
                handshakes_per_second_max: 100,
                seed: 1,
            },
            Instant::now(),
        );
        let socket = UdpPort::bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let (events, _) = mpsc::channel(1);
        Engine::new(overlay, Stack::new(StackConfig { seed: 1 }), socket, 1_280, events, true)
    }
}
