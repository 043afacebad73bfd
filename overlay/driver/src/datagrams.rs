//! UDP inside the overlay: who gets which datagrams.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::rc::{Rc, Weak};

use bore_netstack::BindingId;
use bore_overlay::PeerId;

use crate::engine::Engine;

/// Takes datagrams as they are decrypted, on the shard's thread. Must not wait.
pub trait DatagramSink {
    /// A datagram from `source` to `destination`, inner addresses both.
    fn receive(&self, source: SocketAddr, destination: SocketAddr, payload: &[u8]);
    /// A datagram that went from `source` to `destination` was refused there (ICMP port unreachable).
    fn unreachable(&self, source: SocketAddr, destination: SocketAddr);
}

/// Which inner datagrams a sink gets.
#[derive(Debug, Clone)]
pub enum UdpBinding {
    /// Those to one of our own addresses: an agent's side.
    Local {
        /// Our address.
        address: IpAddr,
        /// Our ports.
        ports: RangeInclusive<u16>,
    },
    /// Those from a peer's address, to whatever address: a relay's side, where the destination is the visitor.
    Remote {
        /// The tunnel they must come through.
        peer: PeerId,
        /// The peer's address.
        address: IpAddr,
        /// The peer's ports.
        ports: RangeInclusive<u16>,
    },
}

/// A sink that is bound. Dropping it unbinds.
pub struct BoundUdp {
    engine: Weak<Engine>,
    id: BindingId,
}

impl BoundUdp {
    pub(crate) fn new(engine: &Rc<Engine>, id: BindingId) -> Self {
        Self { engine: Rc::downgrade(engine), id }
    }
}

impl Drop for BoundUdp {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.upgrade() {
            engine.unbind(self.id);
        }
    }
}

impl fmt::Debug for BoundUdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundUdp").field("id", &self.id).finish_non_exhaustive()
    }
}
