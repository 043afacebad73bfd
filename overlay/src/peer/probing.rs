//! Sends the probes that [`super::path`] wants, and answers the peer's.

use std::time::Instant;

use super::path::{SHORT_PART, SINGLE_PART, Verdict};
use super::{PeerState, Shared};
use crate::limits::{PACKET_BYTES_MAX, SEGMENTS_PROBED};
use crate::probe::{PROBE_BYTES_MIN, Probe};
use crate::tunnel::{INITIATION_BYTES, TRANSPORT_BYTES_MIN};

impl PeerState {
    pub(crate) fn allow_probes(&mut self) {
        self.path.allow_probes();
    }

    pub(crate) fn note_segments_refused(&mut self, shared: &mut Shared, now: Instant) {
        shared.out.counters.segments_refused += 1;
        self.path.refuse_segments(now);
    }

    /// Takes a probe or an answer that came out of this tunnel. A peer of the walled garden reaches nothing else, so it gets no answer.
    pub(crate) fn handle_probe(&mut self, shared: &mut Shared, probe: Probe, now: Instant) {
        if probe.is_answer {
            shared.out.counters.path_probes_answered += 1;
            self.path.handle_answer(probe.round, probe.part, now);
        } else if !self.is_pending() {
            let answer = Probe { is_answer: true, ..probe };
            self.send_probes(shared, &[answer], PROBE_BYTES_MIN, now);
        }
    }

    /// Ends a round whose time is over, and begins the next one that is due.
    pub(super) fn probe_path(&mut self, shared: &mut Shared, now: Instant) {
        if self.path.end_round(now) == Some(Verdict::Lost) {
            shared.out.counters.segments_lost += 1;
        }
        let Some(round) = self.path.begin_round(now) else { return };
        let probe = |part| Probe { is_answer: false, round, part };
        let burst: [Probe; SEGMENTS_PROBED as usize] =
            std::array::from_fn(|part| probe(u8::try_from(part).unwrap_or(SINGLE_PART)));
        self.send_probes(shared, &burst, PACKET_BYTES_MAX, now);
        self.send_probes(shared, &[probe(SINGLE_PART)], PACKET_BYTES_MAX, now);
        self.send_probes(shared, &[probe(SHORT_PART)], PROBE_BYTES_MIN, now);
        shared.out.counters.path_probes_sent += u64::from(SHORT_PART) + 1;
    }

    /// Seals probes of `packet_bytes` each, and sends them with one send. Without a session there is no path to be asked.
    fn send_probes(
        &mut self,
        shared: &mut Shared,
        probes: &[Probe],
        packet_bytes: usize,
        now: Instant,
    ) {
        let segment_bytes = packet_bytes + TRANSPORT_BYTES_MIN;
        let mut datagrams = vec![0; probes.len() * segment_bytes + INITIATION_BYTES];
        let mut to = self.endpoint;
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
}
