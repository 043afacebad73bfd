//! UDP without sockets: who has bound what.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Core;
use super::ports::PortMap;
use crate::error::ListenError;
use crate::limits::BINDINGS_MAX;
use crate::packet::Packet;
use crate::types::{Binding, BindingId, PeerKey, Verdict};

/// All bindings.
#[derive(Default)]
pub(super) struct UdpBindings {
    local: PortMap<BindingId>,
    remote: PortMap<BindingId>,
    bindings: BTreeMap<BindingId, Binding>,
    next: u64,
}

impl UdpBindings {
    pub(super) fn insert(&mut self, binding: Binding) -> Result<BindingId, ListenError> {
        if self.bindings.len() >= BINDINGS_MAX {
            return Err(ListenError::Full);
        }
        let id = BindingId(self.next);
        match &binding {
            Binding::Local { address, ports } => self.local.insert((*address, None), ports, id)?,
            Binding::Remote { peer, address, ports } => {
                self.remote.insert((*address, Some(*peer)), ports, id)?;
            }
        }
        self.next += 1;
        self.bindings.insert(id, binding);
        Ok(id)
    }

    pub(super) fn remove(&mut self, id: BindingId) {
        match self.bindings.remove(&id) {
            Some(Binding::Local { address, ports }) => self.local.remove((address, None), &ports),
            Some(Binding::Remote { peer, address, ports }) => {
                self.remote.remove((address, Some(peer)), &ports);
            }
            None => {}
        }
    }

    /// Whose packets between these two addresses are: first by the other side, then by ours.
    pub(super) fn find(
        &self,
        peer: PeerKey,
        ours: SocketAddr,
        theirs: SocketAddr,
    ) -> Option<BindingId> {
        let remote = self.remote.owner((theirs.ip(), Some(peer)), theirs.port());
        remote.or_else(|| self.local.owner((ours.ip(), None), ours.port()))
    }
}

impl Core {
    pub(crate) fn bind_udp(&mut self, binding: Binding) -> Result<BindingId, ListenError> {
        self.udp.insert(binding)
    }

    pub(crate) fn unbind_udp(&mut self, id: BindingId) {
        self.udp.remove(id);
    }

    pub(super) fn handle_udp<'p>(
        &mut self,
        peer: PeerKey,
        packet: &Packet<'p>,
        (source_port, destination_port): (u16, u16),
        payload: &'p [u8],
    ) -> Verdict<'p> {
        let source = packet.source_at(source_port);
        let destination = packet.destination_at(destination_port);
        match self.udp.find(peer, destination, source) {
            Some(binding) => Verdict::Udp { binding, source, destination, payload },
            None => self.unmatched(peer, packet),
        }
    }
}
