//! RESET: a node that does not know a session says so, and the other end knows which datagram it means.
//!
//! | bytes | are |
//! |---|---|
//! | 0..4 | 0xB2, 0x01, 0, 0 |
//! | 4..12 | the last 8 bytes of the datagram whose receiver index was unknown |
//!
//! Those 8 bytes belong to an AEAD tag, so only who saw the datagram can name it. The most that a RESET does is a handshake, which
//! leaves the standing session as it is. A RESET is shorter than what it answers, and rare.

use std::net::SocketAddr;
use std::time::Instant;

use crate::api::PeerId;
use crate::limits::RECENT_TAGS;
use bore_rate::{Bucket, Rate};

use crate::prefix::PrefixLimiter;
use crate::tunnel::TRANSPORT_BYTES_MIN;

/// The tags of datagrams sent recently, over all peers.
///
/// A tag is its own hash: its low bits say where it is kept, and a later datagram takes the place.
pub(crate) struct RecentTags(Vec<Option<(u64, PeerId)>>);

impl RecentTags {
    pub(crate) fn new() -> Self {
        Self(vec![None; RECENT_TAGS])
    }

    pub(crate) fn remember(&mut self, sealed: &[u8], peer: PeerId) {
        if let Some(tag) = last_tag(sealed)
            && let Some(place) = self.place(tag)
        {
            *place = Some((tag, peer));
        }
    }

    /// Whose datagram ended in `tag`. Answers once, so that a repeated RESET means nothing.
    pub(crate) fn take(&mut self, tag: u64) -> Option<PeerId> {
        let (_, peer) = self.place(tag)?.take_if(|(kept, _)| *kept == tag)?;
        Some(peer)
    }

    fn place(&mut self, tag: u64) -> Option<&mut Option<(u64, PeerId)>> {
        self.0.get_mut(usize::try_from(tag & TAG_MASK).ok()?)
    }
}

/// Says how often a RESET may be sent.
pub(crate) struct ResetLimiter {
    all: Bucket,
    by_prefix: PrefixLimiter,
}

impl ResetLimiter {
    pub(crate) fn new(seed: u64) -> Self {
        Self { all: Bucket::default(), by_prefix: PrefixLimiter::new(PREFIX_RATE, V6_BITS, seed) }
    }

    pub(crate) fn take(&mut self, from: SocketAddr, now: Instant) -> bool {
        self.by_prefix.take(from.ip(), now) && self.all.take(1, RATE, now)
    }
}

/// The RESET for a datagram; `None` for one that is too short to be owed any.
pub(crate) fn encode(datagram: &[u8]) -> Option<Vec<u8>> {
    if datagram.len() < TRANSPORT_BYTES_MIN {
        return None;
    }
    let tag = datagram.last_chunk::<8>()?;
    Some([&HEADER[..], tag].concat())
}

/// The tag that a RESET names.
pub(crate) fn parse(datagram: &[u8]) -> Option<u64> {
    let datagram = <&[u8; RESET_BYTES]>::try_from(datagram).ok()?;
    datagram.starts_with(&HEADER).then(|| last_tag(datagram))?
}

fn last_tag(datagram: &[u8]) -> Option<u64> {
    datagram.last_chunk().copied().map(u64::from_le_bytes)
}

const HEADER: [u8; 4] = [0xB2, 0x01, 0, 0];
const RESET_BYTES: usize = 12;
const TAG_MASK: u64 = RECENT_TAGS as u64 - 1;
const RATE: Rate = Rate::per_second(5_000).with_burst(2_000);
/// A site of a thousand agents behind one address comes back with its relay.
const PREFIX_RATE: Rate = Rate::per_second(500).with_burst(1_000);
const V6_BITS: u8 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_names_the_datagram_that_it_answers_once() {
        let mut tags = RecentTags::new();
        let datagram: Vec<u8> = (0..40).collect();
        tags.remember(&datagram, PeerId(3));

        let tag = parse(&encode(&datagram).unwrap()).unwrap();
        assert_eq!(tags.take(tag ^ (1 << 63)), None, "another tag in the same place");
        assert_eq!(tags.take(tag), Some(PeerId(3)));
        assert_eq!(tags.take(tag), None);
    }

    #[test]
    fn a_short_datagram_gets_no_reset() {
        assert_eq!(encode(&[4; TRANSPORT_BYTES_MIN - 1]), None);
        assert_eq!(encode(&[4; TRANSPORT_BYTES_MIN]).unwrap().len(), RESET_BYTES);
    }

    #[test]
    fn what_is_no_reset_is_not_read_as_one() {
        let reset = encode(&[4; 32]).unwrap();
        assert_eq!(parse(&reset[..11]), None);
        assert_eq!(parse(&[&reset[..], &[0]].concat()), None);
        assert_eq!(parse(&[&[0xB2, 1, 0, 1], &reset[4..]].concat()), None);
    }
}
