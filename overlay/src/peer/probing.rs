//! Sends the probes that [`super::path`] wants, and answers the peer's.

use std::time::Instant;

use super::path::{LONGEST_PART, Order, SHORT_PART, SINGLE_PART};
use super::{PeerState, Shared};
use crate::limits::{INNER_MTU, SEGMENTS_PROBED};
use crate::probe::{PROBE_BYTES_MIN, Probe};
use crate::tunnel::{INITIATION_BYTES, TRANSPORT_BYTES_MIN};

impl PeerState {
    pub(crate) fn allow_probes(&mut self, now: Instant) {
        self.path.allow_probes(now);
    }

    /// Length of the longest packet that the path carries.
    pub(crate) fn packet_bytes_max(&self) -> usize {
        self.path.packet_bytes()
    }

    pub(crate) fn note_segments_refused(&mut self, shared: &mut Shared, now: Instant) {
        shared.out.counters.segments_refused += 1;
        self.path.refuse_segments(now);
    }

    pub(crate) fn note_datagram_too_long(&mut self, shared: &mut Shared, now: Instant) {
        let is_news = self.path.shrink(now);
        self.tell_length(shared, is_news);
    }

    /// Packets leave, the longest of `bytes`; of what is repeated something was lost.
    pub(super) fn note_packets(
        &mut self,
        shared: &mut Shared,
        bytes: usize,
        has_repeats: bool,
        now: Instant,
    ) {
        let is_news = self.path.note_packet(bytes, now);
        if has_repeats {
            self.path.note_repeat(now);
        }
        self.tell_length(shared, is_news);
    }

    /// Takes a probe or an answer that came out of this tunnel.
    pub(crate) fn handle_probe(&mut self, shared: &mut Shared, probe: Probe, now: Instant) {
        if probe.is_answer {
            shared.out.counters.path_probes_answered += 1;
            self.path.handle_answer(probe.round, probe.part, now);
        } else {
            let answer = Probe { is_answer: true, ..probe };
            self.send_probes(shared, &[answer], PROBE_BYTES_MIN, now);
        }
    }

    /// Ends a round whose time is over, and begins the next one that is due.
    pub(super) fn probe_path(&mut self, shared: &mut Shared, now: Instant) {
        let change = self.path.end_round(now);
        shared.out.counters.segments_lost += u64::from(change.has_lost_segments);
        self.tell_length(shared, change.is_of_length);
        if let Some(order) = self.path.begin_round(self.current.is_some(), now) {
            self.send_round(shared, order, now);
        }
    }

    fn send_round(&mut self, shared: &mut Shared, order: Order, now: Instant) {
        let Order { round, packet_bytes, has_burst, has_longest } = order;
        let probe = |part| Probe { is_answer: false, round, part };
        if has_burst {
            let burst: [Probe; SEGMENTS_PROBED as usize] =
                std::array::from_fn(|part| probe(u8::try_from(part).unwrap_or(SINGLE_PART)));
            self.send_probes(shared, &burst, packet_bytes, now);
        }
        self.send_probes(shared, &[probe(SINGLE_PART)], packet_bytes, now);
        if has_longest {
            self.send_probes(shared, &[probe(LONGEST_PART)], INNER_MTU, now);
        }
        self.send_probes(shared, &[probe(SHORT_PART)], PROBE_BYTES_MIN, now);
        shared.out.counters.path_rounds += 1;
    }

    /// Seals probes of `packet_bytes` each, and sends them with one send.
    fn send_probes(
        &mut self,
        shared: &mut Shared,
        probes: &[Probe],
        packet_bytes: usize,
        now: Instant,
    ) {
        let segment_bytes = packet_bytes + TRANSPORT_BYTES_MIN;
        let mut datagrams = vec![0; probes.len() * segment_bytes + INITIATION_BYTES];
        let mut to = None;
        for (number, probe) in probes.iter().enumerate() {
            let room = datagrams.get_mut(number * segment_bytes..).unwrap_or_default();
            to = self.seal(shared, &probe.encode(packet_bytes), room, now).ok().map(|(to, _)| to);
        }
        let Some(to) = to else { return };
        datagrams.truncate(probes.len() * segment_bytes);
        match probes {
            [_] => shared.out.send(to, datagrams),
            _ => shared.out.send_segments(to, datagrams, segment_bytes),
        }
    }

    fn tell_length(&self, shared: &mut Shared, is_news: bool) {
        if is_news {
            shared.out.counters.path_lengths_changed += 1;
            shared.out.tell_path(self.id);
        }
    }
}
