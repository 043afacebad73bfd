//! What smoltcp must not see, or must see otherwise.
//!
//! What smoltcp 0.14 does that must not reach a user or be reached by a peer, and what is done here:
//!
//! | smoltcp | here |
//! |---|---|
//! | `close` in SYN-RECEIVED takes the ACK of the SYN for one of a FIN never sent | FIN waits for the handshake |
//! | simultaneous open, or an answer before the SYN left, underflows the window | such segments are dropped |
//! | three duplicate ACKs when only FIN is in flight stop its retransmission | repeated ACKs are dropped then |
//! | RST in SYN-RECEIVED goes back to LISTEN | counts as reset |
//! | after a timeout its ACKs carry old sequence numbers, which its other end drops; two ends that lost segments at once never recover | the ACK of an old segment is taken out and given to smoltcp alone |
//! | after a timeout its RST carries an old sequence number too, and is dropped | the RST is made anew with the highest number sent |
//! | the user timeout also fires on an idle connection | never set; the flow keeps its own |
//! | the end of TIME-WAIT throws unread data away | the flow stops polling in TIME-WAIT |

use std::time::Instant;

use smoltcp::socket::tcp::State;

use super::SmoltcpEngine;
use crate::engine::Engine;
use crate::packet::{Segment, build};

impl SmoltcpEngine {
    /// Writes the RST `segment` anew, with a sequence number that is within the other side's window.
    pub(super) fn redate_reset(&self, segment: &Segment, buffer: &mut [u8]) -> Option<usize> {
        let sequence = self.last_sent.map_or(segment.sequence, |sent| sent.sequence);
        let fields = (sequence, segment.acknowledgment);
        build::abort(self.setup.local, self.setup.remote, fields, buffer)
    }

    /// Whether smoltcp would mishandle `segment`; the module's table says how.
    pub(super) fn must_not_see(&self, segment: &Segment) -> bool {
        match self.socket().state() {
            State::SynSent => self.last_sent.is_none() || segment.opens(),
            State::FinWait1 | State::Closing | State::LastAck => {
                let repeated = bare_acknowledgment(segment);
                let only_fin_in_flight = self.socket().send_queue() == 0;
                only_fin_in_flight && repeated.is_some() && repeated == self.last_heard
            }
            State::Closed
            | State::Listen
            | State::SynReceived
            | State::Established
            | State::FinWait2
            | State::CloseWait
            | State::TimeWait => false,
        }
    }

    /// The next byte expected from the other side, in a connection that was open.
    pub(super) fn expected_sequence(&self) -> Option<u32> {
        let fin_is_in = match self.socket().state() {
            State::Established | State::FinWait1 | State::FinWait2 => false,
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait => true,
            State::Closed | State::Listen | State::SynSent | State::SynReceived => return None,
        };
        let unread_bytes = u32::try_from(self.unread_bytes()).ok()?;
        let received = self.read_bytes.wrapping_add(unread_bytes);
        Some(self.stream_start?.wrapping_add(received).wrapping_add(u32::from(fin_is_in)))
    }

    /// Whether everything in `segment` was received before.
    pub(super) fn is_old(&self, segment: &Segment) -> bool {
        let is_plain = !segment.syn && !segment.reset;
        let expected = self.expected_sequence().filter(|_| is_plain);
        expected.is_some_and(|expected| {
            is_before(segment.sequence, expected) && !is_before(expected, segment.sequence_end())
        })
    }

    pub(super) fn is_new_acknowledgment(&self, number: u32) -> bool {
        self.acknowledged.is_none_or(|known| is_before(known, number))
    }

    /// Takes the ACK out of an old segment, as if it had come with the sequence number expected.
    pub(super) fn salvage_acknowledgment(
        &mut self,
        segment: &Segment,
        now: Instant,
        reply: &mut Vec<u8>,
    ) {
        let (Some(number), Some(sequence)) = (segment.acknowledgment, self.expected_sequence())
        else {
            return;
        };
        if !self.is_new_acknowledgment(number) {
            return;
        }
        let bare = Segment { sequence, fin: false, payload_bytes: 0, ..*segment };
        let mut packet = [0; build::BARE_SEGMENT_BYTES_MAX];
        let fields = (sequence, number, segment.window);
        let (local, remote) = (self.setup.local, self.setup.remote);
        let bytes = build::acknowledgment(remote, local, fields, &mut packet);
        if let Some(packet) = bytes.and_then(|bytes| packet.get(..bytes)) {
            self.feed(packet, &bare, now, reply);
        }
    }
}

/// Whether `earlier` comes before `later` in the circle of sequence numbers (RFC 9293 §3.4).
pub(super) fn is_before(earlier: u32, later: u32) -> bool {
    earlier.wrapping_sub(later).cast_signed() < 0
}

/// Number and window of a segment that only acknowledges.
pub(super) fn bare_acknowledgment(segment: &Segment) -> Option<(u32, u16)> {
    let is_bare = !segment.elicits_answer() && !segment.reset;
    segment.acknowledgment.filter(|_| is_bare).map(|number| (number, segment.window))
}
