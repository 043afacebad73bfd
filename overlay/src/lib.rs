//! The overlay as pure protocol: keys, addresses, join keys, tunnels, admission of handshakes, the walled garden, RESET.
//!
//! Bytes and `now` go in; bytes, deadlines and events come out. Nothing here opens a socket or a file, runs a task or reads a clock
//! (the tunnel engine stamps its handshakes with the system's time; nothing here decides by it).

#![forbid(unsafe_code)]

mod address;
mod admission;
mod api;
mod cluster;
mod counters;
mod demux;
mod garden;
mod identity;
mod inner;
mod join_key;
mod key;
pub mod limits;
mod outbox;
mod overlay;
mod peer;
mod peers;
mod prefix;
mod probe;
mod relay_address;
mod reset;
mod schedule;
mod session;
mod slots;
mod tunnel;

pub use address::{
    CONTROL_PORT, GARDEN_JOINER, GARDEN_PORT, GARDEN_RELAY, NetworkId, PROBE_PORT, RELAY_V4,
    is_in_network, is_overlay, network_prefix, overlay_v6,
};
pub use api::{
    AddPeerError, Config, Encapsulated, Event, Packets, Peer, PeerId, PeerStatus, Received,
    SealedTrain, Sources, Transmit, UnknownKeys,
};
pub use cluster::{ClusterKey, ClusterPublicKey, RelayIdentity};
pub use counters::{Counters, DropReason};
pub use demux::{Kind, classify};
pub use join_key::{JoinKey, JoinKeyError, JoinSecret};
pub use key::{KeyError, PrivateKey, PublicKey, RoutingId};
pub use overlay::Overlay;
pub use relay_address::{RelayAddress, RelayAddressError};
