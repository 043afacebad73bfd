//! From (peer, 5-tuple) to what is known about it, in one lookup.
//!
//! Remote ports and addresses are chosen by strangers, so the hash is keyed: SipHash of the standard
//! library with a secret prefix, because the standard library offers no seed.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, SocketAddr};

use super::half_open::HalfOpenId;
use super::slab::FlowId;
use super::time_wait::TimeWaitId;
use crate::types::PeerKey;

/// One TCP 5-tuple of one peer. IPv4 is kept as IPv4-mapped IPv6, which never travels itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// What a 5-tuple is at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Flow(FlowId),
    HalfOpen(HalfOpenId),
    TimeWait(TimeWaitId),
}

/// The demultiplexer.
pub(super) type FlowTable = HashMap<FlowKey, Slot, KeyedState>;

/// A keyed hash.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyedState {
    key: u128,
}

impl KeyedState {
    pub(super) fn new(key: u128) -> Self {
        Self { key }
    }
}

impl BuildHasher for KeyedState {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u128(self.key);
        hasher
    }
}
