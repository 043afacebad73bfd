//! Sends the probes that the path's capacity wants, and answers the peer's.

use std::net::Ipv4Addr;
use std::time::Instant;

use super::path::{LONGEST_PART, Order, SHORT_PART, SINGLE_PART};
use super::{PeerState, Shared};
use crate::api::Sources;
use crate::counters::DropReason;
use crate::limits::{INNER_MTU, SEGMENTS_PROBED};
use crate::probe::{PROBE_BYTES_MIN, Probe};
use crate::tunnel::{INITIATION_BYTES, TRANSPORT_BYTES_MIN};

impl PeerState {
    /// A stranger in the walled garden is not probed.
    pub(crate) fn allow_probes(&mut self, is_kernel: bool, now: Instant) {
        if !self.is_pending() {
            self.path.allow_probes(is_kernel, now);
        }
    }

    /// A probe or an answer, if `packet`, which came out of this tunnel, is one.
    pub(crate) fn read_probe(&self, packet: &[u8]) -> Option<Probe> {
        match self.kernel_address() {
            Some(node) => Probe::parse_echo(packet, node),
            None => Probe::parse(packet),
        }
    }

    /// Where echo requests go, if they are what is answered.
    fn kernel_address(&self) -> Option<Ipv4Addr> {
        match self.sources {
            Sources::Node { v4, .. } if self.path.is_kernel() => Some(v4),
            Sources::Node { .. } | Sources::Relay | Sources::Garden => None,
        }
    }

    fn encode(&self, probe: Probe, packet_bytes: usize) -> Vec<u8> {
        match self.kernel_address() {
            Some(node) => probe.encode_echo(node, packet_bytes),
            None => probe.encode(packet_bytes),
        }
    }

    /// Length of the longest packet that the path carries.
    pub(crate) fn packet_bytes_max(&self) -> usize {
        self.path.capacity().packet_bytes()
    }

    pub(crate) fn note_segments_refused(&mut self, shared: &mut Shared, now: Instant) {
        shared.out.counters.segments_refused += 1;
        self.path.capacity_mut().refuse_segments(now);
    }

    pub(crate) fn note_datagram_too_long(&mut self, shared: &mut Shared, now: Instant) {
        let is_news = self.path.capacity_mut().shrink(now);
        self.tell_length(shared, is_news);
    }

    /// Packets leave, the longest of `bytes`; of what is repeated something was lost.
    pub(super) fn note_packets(&mut self, bytes: usize, has_repeats: bool, now: Instant) {
        self.path.capacity_mut().note_packet(bytes, now);
        if has_repeats {
            self.path.capacity_mut().note_repeat(now);
        }
    }

    /// Takes what [`Self::read_probe`] gave.
    pub(crate) fn handle_probe(&mut self, shared: &mut Shared, probe: Probe, now: Instant) {
        if probe.is_answer {
            shared.out.counters.path_probes_answered += 1;
            self.path.capacity_mut().handle_answer(probe.round, probe.part, now);
        } else if self.path.may_answer_probe(now) {
            let answer = Probe { is_answer: true, ..probe };
            self.send_probes(shared, &[answer], PROBE_BYTES_MIN, now);
        } else {
            shared.out.counters.count_drop(DropReason::ProbeRateLimited);
        }
    }

    /// Ends a round whose time is over, and begins the next one that is due.
    pub(super) fn probe_path(&mut self, shared: &mut Shared, now: Instant) {
        let change = self.path.capacity_mut().end_round(now);
        shared.out.counters.segments_lost += u64::from(change.has_lost_segments);
        self.tell_length(shared, change.is_of_length);
        let has_session = self.sessions.current().is_some();
        if let Some(order) = self.path.capacity_mut().begin_round(has_session, now) {
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
            let packet = self.encode(*probe, packet_bytes);
            to = self.seal(shared, &packet, room, now).ok().map(|(to, _)| to);
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
