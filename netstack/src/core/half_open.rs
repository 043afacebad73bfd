//! SYNs that wait for a decision, and the listeners that they wait at.
//!
//! A half-open record is the SYN and some dozen bytes: no socket, no buffers, and no SYN-ACK until
//! [`accept`](crate::Incoming::accept). All records live equally long, so the order of their numbers
//! is the order of their expiry.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::task::Waker;
use std::time::Instant;

use super::ports::{Place, PortMap};
use super::table::FlowKey;
use crate::error::ListenError;
use crate::limits::{
    HALF_OPEN_LIFETIME, HALF_OPEN_MAX, HALF_OPEN_PACKET_BYTES_MAX, LISTENER_BACKLOG_MAX,
    LISTENERS_MAX,
};
use crate::types::PeerKey;

/// Names a half-open record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HalfOpenId(u64);

/// Names a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListenerId(u64);

/// A SYN that nobody has decided yet.
#[derive(Debug)]
pub(super) struct HalfOpen {
    pub(super) key: FlowKey,
    pub(super) listener: ListenerId,
    /// Theirs.
    pub(super) source: SocketAddr,
    /// Ours.
    pub(super) destination: SocketAddr,
    pub(super) sequence: u32,
    pub(super) syn: Box<[u8]>,
    /// Packets with more of the stream that came before the decision, from our own nodes alone.
    pub(super) early: Vec<Box<[u8]>>,
}

impl HalfOpen {
    /// Bytes that count against the peer's bound for early bytes.
    pub(super) fn early_bytes(&self) -> usize {
        let syn = self.syn.len().saturating_sub(HALF_OPEN_PACKET_BYTES_MAX);
        syn + self.early.iter().map(|packet| packet.len()).sum::<usize>()
    }
}

/// All half-open records.
#[derive(Default)]
pub(super) struct HalfOpens {
    records: BTreeMap<HalfOpenId, (Instant, HalfOpen)>,
    next: u64,
}

impl HalfOpens {
    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= HALF_OPEN_MAX
    }

    pub(super) fn insert(&mut self, record: HalfOpen, now: Instant) -> HalfOpenId {
        let id = HalfOpenId(self.next);
        self.next += 1;
        self.records.insert(id, (now + HALF_OPEN_LIFETIME, record));
        id
    }

    pub(super) fn get(&self, id: HalfOpenId) -> Option<&HalfOpen> {
        self.records.get(&id).map(|(_, record)| record)
    }

    pub(super) fn get_mut(&mut self, id: HalfOpenId) -> Option<&mut HalfOpen> {
        self.records.get_mut(&id).map(|(_, record)| record)
    }

    pub(super) fn remove(&mut self, id: HalfOpenId) -> Option<HalfOpen> {
        self.records.remove(&id).map(|(_, record)| record)
    }

    pub(super) fn ids_of(&self, peer: PeerKey) -> Vec<HalfOpenId> {
        let of_peer = self.records.iter().filter(|(_, (_, record))| record.key.peer == peer);
        of_peer.map(|(id, _)| *id).collect()
    }

    pub(super) fn first_expiry(&self) -> Option<Instant> {
        self.records.first_key_value().map(|(_, (expires, _))| *expires)
    }

    /// The oldest record, if its time is up.
    pub(super) fn first_expired(&self, now: Instant) -> Option<HalfOpenId> {
        let (id, (expires, _)) = self.records.first_key_value()?;
        (*expires <= now).then_some(*id)
    }
}

struct Listener {
    place: Place,
    ports: RangeInclusive<u16>,
    backlog: VecDeque<HalfOpenId>,
    waker: Option<Waker>,
}

/// All listeners.
#[derive(Default)]
pub(super) struct Listeners {
    ports: PortMap<ListenerId>,
    listeners: BTreeMap<ListenerId, Listener>,
    next: u64,
}

impl Listeners {
    pub(super) fn insert(
        &mut self,
        place: Place,
        ports: RangeInclusive<u16>,
    ) -> Result<ListenerId, ListenError> {
        if self.listeners.len() >= LISTENERS_MAX {
            return Err(ListenError::Full);
        }
        let id = ListenerId(self.next);
        self.ports.insert(place, &ports, id)?;
        self.next += 1;
        self.listeners.insert(id, Listener { place, ports, backlog: VecDeque::new(), waker: None });
        Ok(id)
    }

    /// Removes a listener; gives the SYNs that waited at it.
    pub(super) fn remove(&mut self, id: ListenerId) -> VecDeque<HalfOpenId> {
        let Some(listener) = self.listeners.remove(&id) else { return VecDeque::new() };
        self.ports.remove(listener.place, &listener.ports);
        listener.backlog
    }

    /// Who listens there: first for this peer alone, then for all.
    pub(super) fn find(&self, address: IpAddr, port: u16, peer: PeerKey) -> Option<ListenerId> {
        let only = self.ports.owner((address, Some(peer)), port);
        only.or_else(|| self.ports.owner((address, None), port))
    }

    pub(super) fn has_room(&self, id: ListenerId) -> bool {
        self.listeners
            .get(&id)
            .is_some_and(|listener| listener.backlog.len() < LISTENER_BACKLOG_MAX)
    }

    /// Lets a SYN wait at a listener; gives who waits for one.
    pub(super) fn push(&mut self, id: ListenerId, half_open: HalfOpenId) -> Option<Waker> {
        let listener = self.listeners.get_mut(&id)?;
        listener.backlog.push_back(half_open);
        listener.waker.take()
    }

    pub(super) fn pop(&mut self, id: ListenerId) -> Option<HalfOpenId> {
        self.listeners.get_mut(&id)?.backlog.pop_front()
    }

    /// Forgets a SYN that waited at a listener.
    pub(super) fn forget(&mut self, id: ListenerId, half_open: HalfOpenId) {
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.backlog.retain(|waiting| *waiting != half_open);
        }
    }

    pub(super) fn set_waker(&mut self, id: ListenerId, waker: &Waker) {
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.waker = Some(waker.clone());
        }
    }
}
