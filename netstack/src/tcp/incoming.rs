//! A segment comes: RFC 9293 §3.10.7, with the answers of RFC 5961 to what may be forged.

use std::time::Duration;

use super::options::Options;
use super::receiver::Arrived;
use super::sender::Acknowledgment;
use super::{Connection, Ending};
use crate::packet::{Packet, Segment, build};

impl Connection {
    /// Takes a segment of this connection; an answer that no state remembers goes to `reply`.
    pub(super) fn take_segment(
        &mut self,
        packet: &Packet<'_>,
        segment: &Segment,
        reply: &mut Vec<u8>,
    ) {
        if self.ending.is_some() {
            return;
        }
        self.keep_alive.hear(self.now);
        if self.receiver.is_none() {
            self.take_answer_to_syn(packet, segment, reply);
        } else {
            let options = Options::parse(segment.options(packet));
            self.take_synchronized(packet, segment, &options, reply);
        }
    }

    /// In SYN-SENT (RFC 9293 §3.10.7.3).
    fn take_answer_to_syn(&mut self, packet: &Packet<'_>, segment: &Segment, reply: &mut Vec<u8>) {
        let next = self.sender.next();
        let una =
            segment.acknowledgment.and_then(|number| self.sender.origin().position(number, next));
        let is_answer = una.is_some_and(|una| 0 < una && una <= next);
        if segment.acknowledgment.is_some() && !is_answer {
            if !segment.reset {
                self.reply_reset(packet, segment, reply);
            }
            return;
        }
        if segment.reset {
            if is_answer && !self.try_again_without_early() {
                self.end(Ending::Reset);
            }
            return;
        }
        if !segment.syn || next == 0 {
            return;
        }
        self.hear_syn(packet, segment);
        match una {
            Some(una) => {
                let options = Options::parse(segment.options(packet));
                self.take_acknowledgment(segment, &options, 0, una);
            }
            // Both have called each other: the SYN goes again, with an acknowledgment.
            None => self.sender.repeat_syn(),
        }
    }

    /// A refused SYN may have been meant for an earlier start of the other node. With no data sent, nothing was delivered, and it can go
    /// again, for whoever is there.
    fn try_again_without_early(&mut self) -> bool {
        let may_be_stale = self.early.remote_boot_id.take().is_some();
        self.early.is_doubted |= may_be_stale;
        let is_harmless = self.sender.next() == 1;
        self.sender.forbid_early();
        if may_be_stale && is_harmless {
            self.sender.repeat_syn();
        }
        may_be_stale && is_harmless
    }

    /// In every other state (RFC 9293 §3.10.7.4).
    fn take_synchronized(
        &mut self,
        packet: &Packet<'_>,
        segment: &Segment,
        options: &Options,
        reply: &mut Vec<u8>,
    ) {
        if self.is_crossing(segment) {
            self.take_crossing(segment, options);
            return;
        }
        let Some(start) = self.acceptable_start(segment, options) else { return };
        if segment.reset {
            self.take_reset(start);
            return;
        }
        if segment.syn {
            self.demand_acknowledgment();
            return;
        }
        let Some(number) = segment.acknowledgment else {
            // More of what came with the SYN, from one of our own nodes.
            let is_early = self.early.remote_boot_id.is_some() && !segment.fin;
            if is_early && !self.sender.is_synchronized() {
                self.take_payload(packet, segment, options, start);
            }
            return;
        };
        let una = self.sender.origin().position(number, self.sender.una());
        let Some(una) = una.filter(|una| self.is_plausible(*una)) else {
            self.refuse_acknowledgment(packet, segment, reply);
            return;
        };
        if start <= self.acknowledged {
            self.timestamps.note_recent(options.timestamps, self.now);
        }
        if una >= self.sender.una() {
            self.take_acknowledgment(segment, options, start, una);
        }
        if self.sender.is_synchronized() {
            self.take_payload(packet, segment, options, start);
        }
    }

    /// Whether both have called each other, and this is their SYN again with an answer to ours (RFC 9293 §3.5, figure 8).
    fn is_crossing(&self, segment: &Segment) -> bool {
        let origin = self.receiver.as_ref().map(|receiver| receiver.origin().number(0));
        let ours = self.sender.origin().number(1);
        let is_answer = segment.acknowledgment == Some(ours) && self.sender.next() > 0;
        let is_theirs = segment.syn && origin == Some(segment.sequence);
        !self.sender.is_synchronized() && is_theirs && is_answer && !segment.reset
    }

    /// Of a SYN that is known only the acknowledgment is new.
    fn take_crossing(&mut self, segment: &Segment, options: &Options) {
        self.take_acknowledgment(segment, options, 0, 1);
        self.demand_acknowledgment();
    }

    /// Where the segment begins, if it touches the window and is not older than what was seen. Else the other side is told where we are.
    fn acceptable_start(&mut self, segment: &Segment, options: &Options) -> Option<u64> {
        let receiver = self.receiver.as_mut()?;
        let next = receiver.next();
        let start = receiver.origin().position(segment.sequence, next);
        let length = u64::from(segment.sequence_end().wrapping_sub(segment.sequence));
        let acceptable = start.filter(|start| receiver.is_acceptable(*start, start + length));
        let is_old = !segment.reset && self.timestamps.is_old(options.timestamps, self.now);
        if let Some(start) = acceptable.filter(|_| !is_old) {
            return Some(start);
        }
        if let Some(start) =
            start.filter(|start| segment.payload_bytes > 0 && start + length <= next)
        {
            receiver.note_duplicate(start, start + u64::from(segment.payload_bytes));
        }
        if segment.syn && start == Some(0) {
            self.sender.repeat_syn();
        }
        if !segment.reset {
            self.demand_acknowledgment();
        }
        None
    }

    /// RFC 5961 §3.2: only the exact next number resets.
    fn take_reset(&mut self, start: u64) {
        let is_exact = self.receiver.as_ref().is_some_and(|receiver| receiver.next() == start);
        if is_exact {
            self.end(Ending::Reset);
        } else {
            self.demand_acknowledgment();
        }
    }

    /// RFC 5961 §5.2: not of what was never sent, nor older than any window.
    fn is_plausible(&self, una: u64) -> bool {
        let oldest = self.sender.una().saturating_sub(self.sender.window_largest());
        let is_answer = self.sender.is_synchronized() || una > 0;
        is_answer && oldest <= una && una <= self.sender.next()
    }

    fn refuse_acknowledgment(
        &mut self,
        packet: &Packet<'_>,
        segment: &Segment,
        reply: &mut Vec<u8>,
    ) {
        if self.sender.is_synchronized() {
            self.demand_acknowledgment();
        } else {
            self.reply_reset(packet, segment, reply);
        }
    }

    fn take_acknowledgment(&mut self, segment: &Segment, options: &Options, start: u64, una: u64) {
        let origin = self.sender.origin();
        let mut blocks = [None; super::options::SACK_BLOCKS_MAX];
        let numbers = options.sack.as_slice().iter();
        for (slot, (from, to)) in blocks.iter_mut().zip(numbers) {
            *slot = origin.position(*from, una).zip(origin.position(*to, una));
        }
        let blocks = blocks.get(..options.sack.as_slice().len()).unwrap_or_default();
        // The window of a SYN is not scaled (RFC 7323 §2.2).
        let shift = if segment.syn { 0 } else { self.shifts.0 };
        let echo = options.timestamps.map(|(_, echo)| echo).filter(|_| self.timestamps.is_agreed());
        let age = self.timestamps.age(echo.filter(|_| una > self.sender.una()), self.now);
        let ack = Acknowledgment {
            una,
            blocks,
            window: u64::from(segment.window) << shift,
            position: start,
            echo,
            echo_age: age,
            is_marked: self.ecn.handle_echo(segment, una, self.sender.next()),
        };
        self.sender.handle_acknowledgment(&ack, self.now);
    }

    fn take_payload(
        &mut self,
        packet: &Packet<'_>,
        segment: &Segment,
        options: &Options,
        start: u64,
    ) {
        let whole_bytes = usize::try_from(self.sender.mss()).unwrap_or(usize::MAX);
        let (age, now) = (self.receive_round_trip(options), self.now);
        let Some(receiver) = &mut self.receiver else { return };
        if segment.payload_bytes == 0 && !segment.fin {
            return;
        }
        if let Some(age) = age {
            receiver.note_round_trip(age);
        }
        let payload = segment.payload(packet);
        match receiver.take(start, payload, segment.fin) {
            Arrived::InOrder if segment.fin => receiver.acknowledging.demand(),
            Arrived::InOrder => {
                receiver.acknowledging.note_in_order(payload.len(), whole_bytes, now)
            }
            Arrived::OutOfOrder => receiver.acknowledging.demand(),
            Arrived::Nothing => {}
        }
        let is_marked = packet.is_congestion_marked();
        if is_marked != self.ecn.is_echoing() {
            receiver.acknowledging.demand();
        }
        self.they_closed_first |= receiver.has_ended() && !self.sender.has_sent_fin();
        self.ecn.handle_data(segment, is_marked);
    }

    /// How long the other side takes to answer, for the growth of the receive window: what the handshake took, or, where the path has got
    /// slower since, what the segment's echo tells.
    fn receive_round_trip(&self, options: &Options) -> Option<Duration> {
        let echo = options.timestamps.map(|(_, echo)| echo).filter(|_| self.timestamps.is_agreed());
        let told = self.timestamps.age(echo, self.now).map(|age| age.min(ROUND_TRIP_MAX));
        self.sender.round_trip().smoothed().max(told)
    }

    fn demand_acknowledgment(&mut self) {
        if let Some(receiver) = &mut self.receiver {
            receiver.acknowledging.demand();
        }
    }

    fn reply_reset(&self, packet: &Packet<'_>, segment: &Segment, reply: &mut Vec<u8>) {
        let source = packet.source_at(segment.source_port);
        let destination = packet.destination_at(segment.destination_port);
        reply.resize(build::CONTROL_BYTES_MAX, 0);
        let bytes = build::reset(source, destination, segment, reply).unwrap_or(0);
        reply.truncate(bytes);
    }
}

/// An echo older than this is of an application that had nothing to send.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(1);
