//! From (peer, 5-tuple) to what is known about it, in one lookup.
//!
//! Remote ports and addresses are chosen by strangers, so the hash is keyed: SipHash of the standard
//! library with a secret prefix, because the standard library offers no seed.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use super::half_open::HalfOpenId;
use super::slab::FlowId;
use super::time_wait::TimeWaitId;
use crate::types::PeerKey;

/// One TCP 5-tuple of one peer. IPv4 is kept as IPv4-mapped IPv6, which never travels itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FlowKey {
    pub(super) peer: PeerKey,
    local: u128,
    remote: u128,
    ports: u32,
}

impl FlowKey {
    pub(super) fn new(peer: PeerKey, local: SocketAddr, remote: SocketAddr) -> Self {
        let ports = u32::from(local.port()) << 16 | u32::from(remote.port());
        Self { peer, local: number(local.ip()), remote: number(remote.ip()), ports }
    }
}

/// A packet costs one of these: as few and as whole words as the addresses need.
impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ends = u128::from(self.peer.0) << 96 | u128::from(self.ports) << 64;
        match (ipv4_number(self.local), ipv4_number(self.remote)) {
            (Some(local), Some(remote)) => {
                let addresses = u64::from(local) << 32 | u64::from(remote);
                state.write_u128(ends | u128::from(addresses));
            }
            _ => {
                state.write_u128(self.local);
                state.write_u128(self.remote);
                state.write_u128(ends);
            }
        }
    }
}

fn ipv4_number(number: u128) -> Option<u32> {
    // What is left of a mapped address without its prefix.
    u32::try_from(number ^ IPV4_MAPPED).ok()
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// `::ffff:0.0.0.0`
const IPV4_MAPPED: u128 = 0xffff << 32;

/// What a 5-tuple is at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Flow(FlowId),
    HalfOpen(HalfOpenId),
    TimeWait(TimeWaitId),
}

/// The demultiplexer.
pub(super) type FlowTable = HashMap<FlowKey, Slot, KeyedState>;

/// A keyed hash: every hasher goes on from the same secret beginning.
#[derive(Debug, Clone)]
pub(super) struct KeyedState {
    begun: DefaultHasher,
}

impl KeyedState {
    pub(super) fn new(key: u128) -> Self {
        let mut begun = DefaultHasher::new();
        begun.write_u128(key);
        Self { begun }
    }
}

impl BuildHasher for KeyedState {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        self.begun.clone()
    }
}

/// A hash of peers. The driver gives their numbers, so it needs no secret, only to spread them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PeerState;

impl BuildHasher for PeerState {
    type Hasher = PeerHasher;

    fn build_hasher(&self) -> PeerHasher {
        PeerHasher::default()
    }
}

/// See [`PeerState`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PeerHasher(u64);

impl Hasher for PeerHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(GOLDEN_RATIO);
    }

    fn finish(&self) -> u64 {
        // A product is mixed best at its top; a table looks at both ends.
        self.0 ^ self.0 >> 32
    }
}

/// 2^64 over the golden ratio: neighbours land far apart (Knuth, volume 3, 6.4).
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(peer: u32, local: &str, remote: &str) -> FlowKey {
        FlowKey::new(PeerKey(peer), local.parse().unwrap(), remote.parse().unwrap())
    }

    #[test]
    fn whatever_differs_in_a_key_differs_in_its_hash() {
        let state = KeyedState::new(7);
        let keys = [
            key(1, "10.0.0.1:1", "10.0.0.2:2"),
            key(2, "10.0.0.1:1", "10.0.0.2:2"),
            key(1, "10.0.0.2:1", "10.0.0.1:2"),
            key(1, "10.0.0.1:2", "10.0.0.2:1"),
            key(1, "[fd00::1]:1", "[fd00::2]:2"),
            key(1, "[fd00::2]:1", "[fd00::1]:2"),
            key(2, "[fd00::1]:1", "[fd00::2]:2"),
            key(1, "[fd00::1]:2", "[fd00::2]:1"),
        ];
        let hashes: std::collections::BTreeSet<_> =
            keys.iter().map(|key| state.hash_one(key)).collect();
        assert_eq!(hashes.len(), keys.len());
        assert!(!hashes.contains(&KeyedState::new(8).hash_one(keys[0])), "the secret counts");
    }
}
