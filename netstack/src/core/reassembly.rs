//! Fragments of UDP datagrams wait here for the rest.
//!
//! A datagram is one buffer, with room for its IP header in front, and the ranges of it that came. Each peer has a queue of them, oldest
//! first. What goes over a bound, does not fit together or takes longer than [`REASSEMBLY_TIMEOUT`] is dropped and counted: at a peer's
//! bound its oldest datagram, at the bound of all the oldest of the peer that holds the most. A fragment of a few bytes can take the room of the
//! longest datagram, so a peer pushes out no more than [`EVICTIONS_PER_PEER_PER_SECOND_MAX`]; beyond that its new fragments are dropped.
//!
//! Fragments that overlap end their datagram, and what comes of it later is dropped too (RFC 5722 §4, and so for IPv4). No ICMP error is
//! sent: a datagram of UDP may be lost, and its sender has nothing to send again (RFC 1122 §3.3.2 lets the host choose).
//!
//! Source: RFC 791 §3.2, RFC 8200 §4.5, RFC 6946 (atomic fragments), RFC 4963 (why the checksum is verified for every peer).

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use bore_rate::{Bucket, Rate};
use smoltcp::wire::{IPV4_HEADER_LEN, IPV6_HEADER_LEN, IpProtocol, UDP_HEADER_LEN};

use super::Core;
use crate::counters::Counters;
use crate::limits::{
    DATAGRAM_RANGES_MAX, EVICTIONS_PER_PEER_PER_SECOND_MAX, PACKET_BYTES_MAX, REASSEMBLIES_MAX,
    REASSEMBLIES_PER_PEER_MAX, REASSEMBLY_BYTES_MAX, REASSEMBLY_PER_PEER_BYTES_MAX,
    REASSEMBLY_TIMEOUT,
};
use crate::packet::fragment::{FragmentHeader, UNIT};
use crate::packet::{Packet, build};
use crate::types::{PeerKey, Verdict};

/// Datagrams of all peers of which something is missing.
#[derive(Default)]
pub(super) struct Reassembly {
    peers: BTreeMap<PeerKey, Queue>,
    bytes: usize,
    datagrams: usize,
    /// Deadlines are looked at then, and not before.
    sweep_at: Option<Instant>,
    /// The last one that became whole, until the driver takes it.
    whole: Option<Vec<u8>>,
}

/// Datagrams of one peer, oldest first.
#[derive(Default)]
struct Queue {
    partials: VecDeque<Partial>,
    bytes: usize,
    evictions: Bucket,
}

/// A datagram of which something is missing.
struct Partial {
    name: Name,
    expires_at: Instant,
    /// Room for the IP header, then the datagram as far as it came. Empty once the fragments contradicted each other.
    buffer: Vec<u8>,
    /// What came: apart from each other, in order.
    ranges: Vec<Range<usize>>,
    /// Length of the datagram, once its last fragment came.
    length: Option<usize>,
}

/// What the fragments of one datagram have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Name {
    source: IpAddr,
    destination: IpAddr,
    identification: u32,
}

/// What a fragment made of its datagram.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Waits,
    IsWhole,
    Contradicts,
}

impl Core {
    pub(super) fn handle_fragment<'p>(
        &mut self,
        peer: PeerKey,
        packet: &Packet<'p>,
        header: FragmentHeader,
        payload: &'p [u8],
        now: Instant,
    ) -> Verdict<'p> {
        self.counters.fragments_in += 1;
        let name = Name {
            source: packet.source,
            destination: packet.destination,
            identification: header.identification,
        };
        let Some(range) = range_of(header, payload, packet.source) else {
            self.counters.fragments_refused += 1;
            return Verdict::Malformed;
        };
        let taken = self.reassembly.take(
            (peer, name),
            (range, header.is_last),
            payload,
            now,
            &mut self.counters,
        );
        match taken.map(|datagram| self.reassembly.finish(name, datagram)) {
            None => Verdict::Consumed,
            Some(true) => {
                self.counters.datagrams_reassembled += 1;
                Verdict::Reassembled
            }
            Some(false) => {
                self.counters.malformed += 1;
                Verdict::Malformed
            }
        }
    }

    /// The packet that the last verdict said was whole again.
    pub(crate) fn take_reassembled(&mut self) -> Option<Vec<u8>> {
        self.reassembly.whole.take()
    }

    /// Bytes of datagrams of which something is missing.
    pub(crate) fn reassembly_bytes(&self) -> usize {
        self.reassembly.bytes
    }
}

impl Reassembly {
    /// When [`Self::drop_expired`] has something to do.
    pub(super) fn sweep_at(&self) -> Option<Instant> {
        self.sweep_at
    }

    pub(super) fn drop_expired(&mut self, now: Instant, counters: &mut Counters) {
        if self.sweep_at.is_none_or(|at| now < at) {
            return;
        }
        for queue in self.peers.values_mut() {
            while queue.partials.front().is_some_and(|oldest| oldest.expires_at <= now) {
                let bytes = queue.drop_oldest();
                self.bytes -= bytes;
                self.datagrams -= 1;
                counters.reassemblies_expired += 1;
            }
        }
        self.peers.retain(|_, queue| !queue.partials.is_empty());
        let oldest = self.peers.values().filter_map(|queue| queue.partials.front());
        let next = oldest.map(|partial| partial.expires_at).min();
        self.sweep_at = next.map(|at| at.max(now + SWEEP_INTERVAL_MIN));
    }

    pub(super) fn forget(&mut self, peer: PeerKey) {
        if let Some(queue) = self.peers.remove(&peer) {
            self.bytes -= queue.bytes;
            self.datagrams -= queue.partials.len();
        }
    }

    /// Puts a fragment to its datagram, and gives that when it is whole.
    fn take(
        &mut self,
        (peer, name): (PeerKey, Name),
        (range, is_last): (Range<usize>, bool),
        payload: &[u8],
        now: Instant,
        counters: &mut Counters,
    ) -> Option<Partial> {
        let bytes = weight(header_bytes(name.source) + range.end);
        if !self.make_room(peer, bytes, now, counters) {
            counters.fragments_refused += 1;
            return None;
        }
        let is_atomic = range.start == 0 && is_last;
        let queue = self.peers.entry(peer).or_default();
        // A datagram's fragments come one behind the other: it is the last one, nearly always.
        let known = queue.partials.iter().rposition(|partial| partial.name == name);
        let index = match known.filter(|_| !is_atomic) {
            Some(index) => index,
            None => {
                queue.partials.push_back(Partial::new(name, now));
                self.sweep_at.get_or_insert(now + REASSEMBLY_TIMEOUT);
                self.datagrams += 1;
                queue.bytes += PARTIAL_BYTES;
                self.bytes += PARTIAL_BYTES;
                queue.partials.len() - 1
            }
        };
        let partial = queue.partials.get_mut(index)?;
        let weight_before = partial.weight();
        let step = partial.take(range, is_last, payload);
        let weight_after = partial.weight();
        queue.bytes = queue.bytes + weight_after - weight_before;
        self.bytes = self.bytes + weight_after - weight_before;
        counters.fragments_refused += u64::from(step == Step::Contradicts);
        if step != Step::IsWhole {
            return None;
        }
        queue.bytes -= weight_after;
        self.bytes -= weight_after;
        self.datagrams -= 1;
        queue.partials.remove(index)
    }

    /// Drops the oldest until `bytes` more are within every bound. Returns false if `peer` has had too many dropped.
    fn make_room(
        &mut self,
        peer: PeerKey,
        bytes: usize,
        now: Instant,
        counters: &mut Counters,
    ) -> bool {
        while let Some(loser) = self.over_a_bound(peer, bytes) {
            if !self.peers.entry(peer).or_default().evictions.take(1, EVICTIONS, now) {
                return false;
            }
            self.evict(loser, counters);
        }
        true
    }

    /// Whose oldest datagram is to go before `peer` may have `bytes` more.
    fn over_a_bound(&self, peer: PeerKey, bytes: usize) -> Option<PeerKey> {
        if self.peers.get(&peer).is_some_and(|queue| queue.has_no_room(bytes)) {
            return Some(peer);
        }
        let is_full =
            self.datagrams >= REASSEMBLIES_MAX || self.bytes + bytes > REASSEMBLY_BYTES_MAX;
        if !is_full {
            return None;
        }
        let worst = self.peers.iter().max_by_key(|(_, queue)| queue.bytes);
        worst.filter(|(_, queue)| !queue.partials.is_empty()).map(|(peer, _)| *peer)
    }

    fn evict(&mut self, peer: PeerKey, counters: &mut Counters) {
        let Some(queue) = self.peers.get_mut(&peer) else { return };
        self.bytes -= queue.drop_oldest();
        self.datagrams -= 1;
        counters.reassemblies_evicted += 1;
    }

    /// Writes the IP header in front of a whole datagram and keeps it for the driver; returns false if its checksum is wrong.
    fn finish(&mut self, name: Name, datagram: Partial) -> bool {
        let mut packet = datagram.buffer;
        let bytes = packet.len() - header_bytes(name.source);
        let (source, destination) = (name.source, name.destination);
        let is_built = build::ip(source, destination, IpProtocol::Udp, bytes, &mut packet);
        let is_sound = is_built.is_some() && Packet::parse(&packet, true).is_ok();
        self.whole = is_sound.then_some(packet);
        is_sound
    }
}

impl Queue {
    fn has_no_room(&self, bytes: usize) -> bool {
        let is_full = self.partials.len() >= REASSEMBLIES_PER_PEER_MAX;
        let is_heavy = self.bytes + bytes > REASSEMBLY_PER_PEER_BYTES_MAX;
        !self.partials.is_empty() && (is_full || is_heavy)
    }

    /// Returns how many bytes that gave back.
    fn drop_oldest(&mut self) -> usize {
        let bytes = self.partials.pop_front().map_or(0, |oldest| oldest.weight());
        self.bytes -= bytes;
        bytes
    }
}

impl Partial {
    fn new(name: Name, now: Instant) -> Self {
        let expires_at = now + REASSEMBLY_TIMEOUT;
        Self { name, expires_at, buffer: Vec::new(), ranges: Vec::new(), length: None }
    }

    fn weight(&self) -> usize {
        PARTIAL_BYTES + self.buffer.capacity()
    }

    fn is_poisoned(&self) -> bool {
        self.buffer.is_empty() && !self.ranges.is_empty()
    }

    fn take(&mut self, range: Range<usize>, is_last: bool, payload: &[u8]) -> Step {
        if self.is_poisoned() {
            return Step::Contradicts;
        }
        if self.repeats(&range, payload) {
            return Step::Waits;
        }
        if !self.agrees(&range, is_last) {
            self.poison();
            return Step::Contradicts;
        }
        if is_last {
            self.length = Some(range.end);
        }
        self.write(&range, payload);
        self.insert(range);
        match self.ranges.as_slice() {
            [only] if only.start == 0 && self.length == Some(only.end) => Step::IsWhole,
            _ => Step::Waits,
        }
    }

    /// Returns true if `range` came before, byte for byte: a network may duplicate (RFC 8200 §4.5).
    fn repeats(&self, range: &Range<usize>, payload: &[u8]) -> bool {
        let is_covered =
            self.ranges.iter().any(|have| have.start <= range.start && range.end <= have.end);
        let header = header_bytes(self.name.source);
        is_covered && self.buffer.get(header + range.start..header + range.end) == Some(payload)
    }

    fn agrees(&self, range: &Range<usize>, is_last: bool) -> bool {
        let overlaps = |have: &Range<usize>| have.start < range.end && range.start < have.end;
        let end = self.ranges.last().map_or(0, |last| last.end);
        let ends_right = match self.length {
            Some(length) => range.end <= length && (!is_last || range.end == length),
            None => !is_last || end <= range.end,
        };
        ends_right && !self.ranges.iter().any(overlaps) && self.ranges.len() < DATAGRAM_RANGES_MAX
    }

    /// Keeps the name alone, so that what follows is known and dropped.
    fn poison(&mut self) {
        self.buffer = Vec::new();
        self.ranges.push(0..0);
    }

    fn write(&mut self, range: &Range<usize>, payload: &[u8]) {
        let header = header_bytes(self.name.source);
        let end = header + range.end;
        if self.buffer.len() < end {
            self.buffer.reserve_exact(room(end).saturating_sub(self.buffer.len()));
            self.buffer.resize(end, 0);
        }
        if let Some(room) = self.buffer.get_mut(header + range.start..end) {
            room.copy_from_slice(payload);
        }
    }

    /// Joins `range` to its neighbours.
    fn insert(&mut self, range: Range<usize>) {
        let index = self.ranges.partition_point(|have| have.end < range.start);
        let mut joined = range;
        while let Some(next) = self.ranges.get(index).filter(|next| next.start <= joined.end) {
            joined = joined.start.min(next.start)..joined.end.max(next.end);
            self.ranges.remove(index);
        }
        self.ranges.insert(index, joined);
    }
}

/// The bytes of a datagram that a fragment brings; `None` where no datagram has such a fragment.
fn range_of(header: FragmentHeader, payload: &[u8], source: IpAddr) -> Option<Range<usize>> {
    let start = usize::from(header.offset);
    let end = start + payload.len();
    let counted = if source.is_ipv4() { IPV4_HEADER_LEN + end } else { end };
    let is_uneven = !header.is_last && !payload.len().is_multiple_of(UNIT);
    let hides_ports = start == 0 && payload.len() < UDP_HEADER_LEN;
    let is_wrong =
        payload.is_empty() || is_uneven || hides_ports || counted > usize::from(u16::MAX);
    (!is_wrong).then_some(start..end)
}

fn header_bytes(address: IpAddr) -> usize {
    if address.is_ipv4() { IPV4_HEADER_LEN } else { IPV6_HEADER_LEN }
}

/// What a datagram weighs of which `bytes` are there.
fn weight(bytes: usize) -> usize {
    PARTIAL_BYTES + room(bytes)
}

/// Room that is made for `bytes`: in steps, so that a datagram grows a few times and not with every fragment.
fn room(bytes: usize) -> usize {
    bytes.next_power_of_two().min(PACKET_BYTES_MAX)
}

/// What a datagram weighs besides its bytes: its name, and its ranges.
const PARTIAL_BYTES: usize = 256 + DATAGRAM_RANGES_MAX * size_of::<Range<usize>>();
/// Bounds what expiry costs, whatever is sent.
const SWEEP_INTERVAL_MIN: Duration = Duration::from_millis(100);

const EVICTIONS: Rate = Rate::per_second(EVICTIONS_PER_PEER_PER_SECOND_MAX);
