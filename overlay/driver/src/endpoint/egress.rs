//! What leaves: the overlay's own datagrams, then what the flows may send.
//!
//! A train leaves with one send where its path was shown to carry that. When that is refused, the datagrams are sent one by one; when they
//! leave so, the path is sent no segments for some time.

use std::net::SocketAddr;
use std::time::Instant;

use bore_netstack::Stack;
use bore_overlay::{Encapsulated, Overlay, Packets, PeerId, SealedTrain};

use super::unsent::{Batch, Sending, Unsent};
use super::{Buffers, Endpoint, SendError, Surroundings, follow_paths, key};
use crate::counters::DriverCounters;
use crate::limits::{TRAIN_BYTES_MAX, TRANSMITS_PER_TURN_MAX};

impl Endpoint {
    /// Returns true if more may be waiting.
    pub(super) fn transmit(&mut self, surroundings: &mut impl Surroundings, now: Instant) -> bool {
        if !self.retry_unsent(surroundings, now) {
            return false;
        }
        let mut sent = 0;
        while sent < TRANSMITS_PER_TURN_MAX {
            let step = match self.transmit_overlay(surroundings, now) {
                true => 1,
                false => self.transmit_inner(surroundings, now),
            };
            if step == 0 || self.is_blocked() {
                return false;
            }
            sent += step;
        }
        true
    }

    /// Builds, seals and sends one inner packet, in fragments if it is longer than the tunnel's MTU; what cannot go at once is dropped and
    /// counted, as UDP is.
    pub fn send_built(
        &mut self,
        peer: PeerId,
        build: impl FnOnce(&mut [u8]) -> Option<usize>,
        surroundings: &mut impl Surroundings,
        now: Instant,
    ) {
        let (mut sender, Buffers { inner, fragment, sealed }, _) = self.parts(surroundings, now);
        let Some(packet) = build(inner).and_then(|length| inner.get(..length)) else {
            sender.counters.not_built += 1;
            return;
        };
        let Some(mut fragments) = sender.stack.fragments(key(peer), packet) else {
            return sender.seal_and_send(peer, packet, sealed);
        };
        while let Some(length) = fragments.write_next(fragment) {
            sender.seal_and_send(peer, fragment.get(..length).unwrap_or_default(), sealed);
        }
    }

    /// Returns true if nothing waits any more.
    fn retry_unsent(&mut self, surroundings: &mut impl Surroundings, now: Instant) -> bool {
        let (mut sender, _, unsent) = self.parts(surroundings, now);
        while let Some((batch, datagrams)) = unsent.front() {
            let (bytes, done) = (datagrams.len(), sender.send_batch(batch, datagrams));
            unsent.advance(done);
            if done < bytes {
                return false;
            }
        }
        true
    }

    fn transmit_overlay(&mut self, surroundings: &mut impl Surroundings, now: Instant) -> bool {
        let (mut sender, _, unsent) = self.parts(surroundings, now);
        let Some(transmit) = sender.overlay.poll_transmit() else { return false };
        let (datagram_bytes, sending) = match transmit.segment_bytes {
            Some(segment_bytes) => (segment_bytes, Sending::OnlySegmented),
            None => (transmit.payload.len(), Sending::Singly),
        };
        let batch = Batch { peer: None, to: transmit.to, datagram_bytes, sending };
        sender.send_or_keep(unsent, batch, &transmit.payload);
        true
    }

    /// Sends what one flow may send at once; gives how many datagrams that were.
    fn transmit_inner(&mut self, surroundings: &mut impl Surroundings, now: Instant) -> usize {
        let (mut sender, Buffers { inner, sealed, .. }, unsent) = self.parts(surroundings, now);
        let room = inner.get_mut(..TRAIN_BYTES_MAX).unwrap_or_default();
        let Some(train) = sender.stack.poll_transmit_train(room, now) else { return 0 };
        let peer = PeerId::from_index(train.peer.0);
        let packets = Packets {
            bytes: inner.get(..train.bytes()).unwrap_or_default(),
            packet_bytes: train.packet_bytes(),
            has_repeats: train.has_repeats(),
        };
        match sender.overlay.encapsulate_train(peer, packets, sealed, now) {
            Some(SealedTrain { to, datagrams, datagram_bytes, is_segmented }) => {
                let sending = if is_segmented { Sending::Segmented } else { Sending::Singly };
                let batch = Batch { peer: Some(peer), to, datagram_bytes, sending };
                sender.send_or_keep(unsent, batch, datagrams);
            }
            None => sender.counters.without_session += train.packets() as u64,
        }
        train.packets()
    }

    fn parts<'e, S: Surroundings>(
        &'e mut self,
        surroundings: &'e mut S,
        now: Instant,
    ) -> (Sender<'e, S>, &'e mut Buffers, &'e mut Unsent) {
        let Self { overlay, stack, counters, buffers, unsent, .. } = self;
        (Sender { overlay, stack, counters, surroundings, now }, buffers, unsent)
    }
}

/// An endpoint while it sends: what has to hear how that went, apart from what is sent.
struct Sender<'e, S> {
    overlay: &'e mut Overlay,
    stack: &'e Stack,
    counters: &'e mut DriverCounters,
    surroundings: &'e mut S,
    now: Instant,
}

impl<S: Surroundings> Sender<'_, S> {
    fn seal_and_send(&mut self, peer: PeerId, packet: &[u8], sealed: &mut [u8]) {
        match self.overlay.encapsulate(peer, packet, sealed, self.now) {
            Encapsulated::Datagram { to, payload } => {
                if let Err(error) = self.send(to, payload, None) {
                    self.note_send_error(Some(peer), payload.len(), error);
                }
            }
            Encapsulated::NoSession | Encapsulated::Unknown => self.counters.without_session += 1,
        }
    }

    /// Sends, or keeps what there is no room for.
    fn send_or_keep(&mut self, unsent: &mut Unsent, mut batch: Batch, datagrams: &[u8]) {
        let done = match unsent.is_empty() {
            true => self.send_batch(&mut batch, datagrams),
            false => 0,
        };
        match datagrams.get(done..) {
            None | Some([]) => {}
            Some(rest) => unsent.push(batch, rest),
        }
    }

    /// Gives how many bytes are dealt with: sent, or refused and counted. For the rest there is no room.
    fn send_batch(&mut self, batch: &mut Batch, datagrams: &[u8]) -> usize {
        let Batch { to, datagram_bytes, sending, .. } = *batch;
        if sending == Sending::Singly {
            return self.send_singly(batch, datagrams, false);
        }
        match self.send(to, datagrams, Some(datagram_bytes)) {
            Ok(()) => datagrams.len(),
            Err(SendError::Full) => 0,
            Err(error) if sending == Sending::OnlySegmented => {
                self.count_send_error(error);
                datagrams.len()
            }
            Err(_) => {
                batch.sending = Sending::Singly;
                self.send_singly(batch, datagrams, true)
            }
        }
    }

    /// As [`Self::send_batch`], one datagram after the other; as segments they may have been refused before.
    fn send_singly(&mut self, batch: &Batch, datagrams: &[u8], mut was_refused: bool) -> usize {
        let mut done = 0;
        for datagram in datagrams.chunks(batch.datagram_bytes.max(1)) {
            match self.send(batch.to, datagram, None) {
                Ok(()) => {
                    // Where single datagrams fail as well, it was not for the segments.
                    if std::mem::take(&mut was_refused) {
                        self.note_segments_refused(batch.peer);
                    }
                }
                Err(SendError::Full) => return done,
                Err(error) => {
                    was_refused = false;
                    self.note_send_error(batch.peer, datagram.len(), error);
                }
            }
            done += datagram.len();
        }
        done
    }

    fn note_segments_refused(&mut self, peer: Option<PeerId>) {
        if let Some(peer) = peer {
            self.overlay.note_segments_refused(peer, self.now);
        }
    }

    /// Counts a datagram that was refused. When it was too long for the path, the next ones are shorter.
    fn note_send_error(&mut self, peer: Option<PeerId>, bytes: usize, error: SendError) {
        self.count_send_error(error);
        if let Some(peer) = peer.filter(|_| error == SendError::TooLong) {
            self.overlay.note_datagram_too_long(peer, bytes, self.now);
            follow_paths(self.overlay, self.stack);
        }
    }

    /// Sends one datagram, or several of `segment_bytes` each.
    fn send(
        &mut self,
        to: SocketAddr,
        datagrams: &[u8],
        segment_bytes: Option<usize>,
    ) -> Result<(), SendError> {
        self.surroundings.send(to, datagrams, segment_bytes)?;
        let count = segment_bytes.map_or(1, |bytes| datagrams.len().div_ceil(bytes.max(1)));
        self.counters.segmented_sends += u64::from(segment_bytes.is_some());
        self.counters.datagrams_sent += count as u64;
        self.counters.bytes_sent += datagrams.len() as u64;
        Ok(())
    }

    fn count_send_error(&mut self, error: SendError) {
        match error {
            SendError::Full => self.counters.send_buffer_full += 1,
            SendError::TooLong | SendError::Refused => self.counters.send_failed += 1,
        }
    }
}
