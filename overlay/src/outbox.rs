//! What waits for `poll_transmit` and `poll_event`, bounded and counted.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::api::{Event, PeerId, Transmit};
use crate::counters::{Counters, DropReason};
use crate::limits::{EVENTS_MAX, EVENTS_MINOR_MAX, TRANSMITS_MAX, TRANSMITS_UNPROVEN_MAX};

/// Datagrams and events on their way out, and the counters.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) counters: Counters,
    transmits: VecDeque<Transmit>,
    /// Answers to senders that have proved nothing. Sent after everything else.
    unproven: VecDeque<Transmit>,
    events: VecDeque<Event>,
    /// Peers whose path carries another length than before.
    paths: VecDeque<PeerId>,
}

impl Outbox {
    /// A datagram for a peer.
    pub(crate) fn send(&mut self, to: SocketAddr, payload: Vec<u8>) {
        self.push(Transmit { to, payload, segment_bytes: None });
    }

    /// Datagrams for a peer, as segments of one send.
    pub(crate) fn send_segments(&mut self, to: SocketAddr, payload: Vec<u8>, segment_bytes: usize) {
        self.push(Transmit { to, payload, segment_bytes: Some(segment_bytes) });
    }

    fn push(&mut self, transmit: Transmit) {
        if self.transmits.len() < TRANSMITS_MAX {
            self.transmits.push_back(transmit);
        } else {
            self.counters.count_drop(DropReason::TransmitsFull);
        }
    }

    /// A datagram for somebody who has proved nothing.
    pub(crate) fn send_unproven(&mut self, to: SocketAddr, payload: Vec<u8>) {
        if self.unproven.len() < TRANSMITS_UNPROVEN_MAX {
            self.unproven.push_back(Transmit { to, payload, segment_bytes: None });
        } else {
            self.counters.count_drop(DropReason::TransmitsFull);
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front().or_else(|| self.unproven.pop_front())
    }

    /// Whether there is room for an event that a flood can cause.
    pub(crate) fn has_room_for_minor(&self) -> bool {
        self.events.len() < EVENTS_MINOR_MAX
    }

    pub(crate) fn emit(&mut self, event: Event) {
        self.count(&event);
        let room = match event {
            Event::EndpointMoved { .. }
            | Event::RelayIdentity { .. }
            | Event::ResetReceived { .. } => self.has_room_for_minor(),
            Event::Pending { .. }
            | Event::PendingExpired { .. }
            | Event::TunnelUp { .. }
            | Event::TunnelDown { .. } => self.events.len() < EVENTS_MAX,
        };
        if room {
            self.events.push_back(event);
        } else {
            self.counters.count_drop(DropReason::EventsFull);
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Tells of a path once, however often it changes before that is heard: so no more wait than there are peers.
    pub(crate) fn tell_path(&mut self, peer: PeerId) {
        if !self.paths.contains(&peer) {
            self.paths.push_back(peer);
        }
    }

    pub(crate) fn poll_path(&mut self) -> Option<PeerId> {
        self.paths.pop_front()
    }

    fn count(&mut self, event: &Event) {
        let counters = &mut self.counters;
        *match event {
            Event::Pending { .. } => &mut counters.pending_added,
            Event::PendingExpired { .. } => &mut counters.pending_expired,
            Event::TunnelUp { .. } => &mut counters.tunnels_up,
            Event::TunnelDown { .. } => &mut counters.tunnels_down,
            Event::EndpointMoved { .. } => &mut counters.endpoints_moved,
            Event::RelayIdentity { .. } => &mut counters.identities_received,
            Event::ResetReceived { .. } => &mut counters.resets_received,
        } += 1;
    }
}
