//! A run: packets of one flow that come one after the other and differ only in how far the stream has got.
//!
//! The first is taken apart as every packet is. Those behind it are compared with its headers, and when nothing but the sequence number has
//! moved on, only their bytes are news: the acknowledgment, window and timestamps that they repeat were heard. So a run costs little more than
//! one segment, as merged ones do in a kernel (GRO). Only of a peer whose checksums need no look: ours.

use std::time::Instant;

use super::Core;
use super::slab::FlowId;
use crate::packet::{Packet, Segment};
use crate::types::PeerKey;

/// The flow that the last packets were of, and that is still to be settled.
pub(super) struct Run {
    pub(super) id: FlowId,
    peer: PeerKey,
    /// Of the last packet, when another may go on from it.
    head: Option<Head>,
}

/// The headers of a segment with data, but for what may differ in the next.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    /// As they lie in memory, the last filled up with zeros.
    words: [u64; WORDS_MAX],
    masks: [u64; WORDS_MAX],
    bytes: usize,
    is_ipv4: bool,
    /// The sequence number of the next.
    next: u32,
}

impl Run {
    pub(super) fn new(id: FlowId, peer: PeerKey, head: Option<(&Packet<'_>, &Segment)>) -> Self {
        let head = head.and_then(|(packet, segment)| Head::of(packet, segment));
        Self { id, peer, head }
    }
}

impl Core {
    /// Takes `packet` if it goes on where the last one ended. Nobody is to be woken before [`Self::settled`].
    pub(crate) fn take_next_of_run(&mut self, peer: PeerKey, packet: &[u8], now: Instant) -> bool {
        let now = self.observe(now);
        let Some(run) = self.running.as_mut().filter(|run| run.peer == peer) else { return false };
        let Some(head) = &mut run.head else { return false };
        let Some(payload) = head.payload_of_next(packet) else { return false };
        let Some(flow) = self.flows.get_mut(run.id).filter(|flow| flow.end.is_none()) else {
            return false;
        };
        let is_taken = flow.connection.continue_run(payload, now);
        if is_taken {
            head.advance(payload.len());
            self.counters.packets_in += 1;
        }
        is_taken
    }
}

impl Head {
    /// Of a segment of data alone.
    fn of(packet: &Packet<'_>, segment: &Segment) -> Option<Self> {
        let is_plain = !segment.syn && !segment.fin && !segment.reset && segment.payload_bytes > 0;
        let is_ipv4 = packet.source.is_ipv4();
        let bytes = packet.bytes.len().checked_sub(segment.payload_bytes as usize)?;
        let segment_at = bytes.checked_sub(usize::from(segment.header_bytes))?;
        let ip_bytes = if is_ipv4 { IPV4_HEADER_BYTES } else { IPV6_HEADER_BYTES };
        if !is_plain || segment_at != ip_bytes {
            return None;
        }
        let mut kept = [0; HEAD_BYTES_MAX];
        kept.get_mut(..bytes)?.copy_from_slice(packet.bytes.get(..bytes)?);
        let mut masks = if is_ipv4 { MASKS_V4 } else { MASKS_V6 };
        masks.get_mut(bytes..)?.fill(0);
        let next = segment.sequence_end();
        Some(Self { words: words(&kept), masks: words(&masks), bytes, is_ipv4, next })
    }

    /// The bytes of `packet`, if it is the next. One so short that the last word is not full is told by itself.
    fn payload_of_next<'p>(&self, packet: &'p [u8]) -> Option<&'p [u8]> {
        let (words, _) = packet.get(..self.bytes.next_multiple_of(8))?.as_chunks();
        let kept = self.words.iter().zip(&self.masks);
        let difference = words
            .iter()
            .zip(kept)
            .fold(0, |all, (word, (kept, mask))| all | ((u64::from_ne_bytes(*word) ^ kept) & mask));
        let (head, payload) = packet.split_at_checked(self.bytes)?;
        let is_next = difference == 0 && self.sequence(head) == Some(self.next);
        (is_next && !payload.is_empty() && self.is_whole(head, packet.len())).then_some(payload)
    }

    fn sequence(&self, head: &[u8]) -> Option<u32> {
        let at = if self.is_ipv4 { IPV4_HEADER_BYTES } else { IPV6_HEADER_BYTES } + SEQUENCE_AT;
        head.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// Whether the IP header says that the packet ends where it does.
    fn is_whole(&self, head: &[u8], bytes: usize) -> bool {
        let length = match head {
            [_, _, high, low, ..] if self.is_ipv4 => u16::from_be_bytes([*high, *low]).into(),
            [_, _, _, _, high, low, ..] => {
                IPV6_HEADER_BYTES + usize::from(u16::from_be_bytes([*high, *low]))
            }
            _ => 0,
        };
        length == bytes
    }

    fn advance(&mut self, bytes: usize) {
        self.next = self.next.wrapping_add(u32::try_from(bytes).unwrap_or(0));
    }
}

fn words(bytes: &[u8; HEAD_BYTES_MAX]) -> [u64; WORDS_MAX] {
    let (words, _) = bytes.as_chunks();
    let mut words = words.iter().map(|word| u64::from_ne_bytes(*word));
    std::array::from_fn(|_| words.next().unwrap_or(0))
}

const IPV4_HEADER_BYTES: usize = 20;
const IPV6_HEADER_BYTES: usize = 40;
/// Of the longest headers: IPv6, and TCP with all options; in whole words.
const HEAD_BYTES_MAX: usize = (IPV6_HEADER_BYTES + 60).next_multiple_of(8);
const WORDS_MAX: usize = HEAD_BYTES_MAX / 8;
/// Where TCP has the sequence number.
const SEQUENCE_AT: usize = 4;
/// What must be the same: of IPv4 all but length, identification and checksum.
const MASKS_V4: [u8; HEAD_BYTES_MAX] = masks(&[2, 3, 4, 5, 10, 11], IPV4_HEADER_BYTES);
/// Of IPv6 all but the length.
const MASKS_V6: [u8; HEAD_BYTES_MAX] = masks(&[4, 5], IPV6_HEADER_BYTES);

/// Of TCP all but the sequence number, PSH and the checksum.
#[expect(clippy::indexing_slicing, reason = "worked out when it is compiled")]
const fn masks(of_ip: &[usize], ip_bytes: usize) -> [u8; HEAD_BYTES_MAX] {
    let mut masks = [0xff; HEAD_BYTES_MAX];
    let mut index = 0;
    while index < of_ip.len() {
        masks[of_ip[index]] = 0;
        index += 1;
    }
    let of_tcp = [SEQUENCE_AT, SEQUENCE_AT + 1, SEQUENCE_AT + 2, SEQUENCE_AT + 3, 16, 17];
    let mut index = 0;
    while index < of_tcp.len() {
        masks[ip_bytes + of_tcp[index]] = 0;
        index += 1;
    }
    masks[ip_bytes + 13] = !0x08;
    masks
}
