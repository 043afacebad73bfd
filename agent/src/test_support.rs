//! What the agent's unit tests share.

use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use bore_api::model::{Lifetime, Protocol, Publication, PublicationOptions};
use bore_api::state::{PublicationState, State};
use bore_api::wire::PublicationView;
use bore_overlay::{
    ClusterPublicKey, JoinKey, JoinSecret, NetworkId, Overlay, Peer, PeerId, PrivateKey, Sources,
    UnknownKeys,
};
use bore_policy::Access;
use uuid::Uuid;

use super::declaration::Declaration;
use super::state::Membership;

pub(crate) fn declaration(name: &str, protocol: Protocol, target: &str) -> Declaration {
    Declaration { name: Some(name.to_owned()), ..Declaration::new(protocol, target) }
}

pub(crate) fn view(name: &str, protocol: Protocol) -> PublicationView {
    PublicationView {
        publication: Publication {
            id: Uuid::from_u128(7),
            network: Uuid::from_u128(1),
            node: Uuid::from_u128(2),
            name: name.to_owned(),
            protocol,
            public_port: Some(7777),
            port_count: 1,
            hostnames: Vec::new(),
            overlay_port: 1024,
            target: "127.0.0.1:3000".to_owned(),
            access: Access::default(),
            options: PublicationOptions::default(),
            lifetime: Lifetime::Session,
            created_at: 0,
        },
        state: PublicationState {
            state: State::Reachable,
            cause: None,
            steps: Vec::new(),
            at: 0,
            awaits_certificate: false,
        },
        public: "tcp://203.0.113.5:7777".to_owned(),
        access_notes: Vec::new(),
    }
}

pub(crate) fn membership() -> Membership {
    Membership {
        node: Uuid::from_u128(2),
        name: "laptop".to_owned(),
        network: Uuid::from_u128(1),
        network_name: "default".to_owned(),
        overlay_v4: [100, 64, 0, 2].into(),
        overlay_v6: "fd00::2".parse().unwrap(),
        relay_v4: [100, 64, 0, 1].into(),
        relay_v6: "fd00::1".parse().unwrap(),
        control_port: 80,
        relay_host: "relay.example.org".to_owned(),
    }
}

/// A peer's id, from an overlay of its own.
pub(crate) fn peer() -> PeerId {
    let now = Instant::now();
    let config = bore_overlay::Config {
        private_key: PrivateKey::from_bytes([1; 32]),
        shard: 0,
        unknown_keys: UnknownKeys::Refuse,
        identity: None,
        handshakes_per_second_max: 1,
        seed: 1,
    };
    let peer = Peer {
        public_key: PrivateKey::from_bytes([2; 32]).public(),
        preshared_key: None,
        endpoint: None,
        persistent_keepalive: None,
        sources: Sources::Relay,
    };
    Overlay::new(config, now).add_peer(peer, now).unwrap()
}

/// A join key of a relay that is not there.
pub(crate) fn join_key() -> JoinKey {
    JoinKey {
        cluster: ClusterPublicKey([3; 32]),
        network: NetworkId(*Uuid::from_u128(1).as_bytes()),
        key_id: [4; 16],
        secret: JoinSecret::from_bytes([5; 20]),
        relays: vec!["127.0.0.1:9".parse().unwrap()],
    }
}

/// A folder that only its owner may enter.
pub(crate) fn closed_folder() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    std::fs::set_permissions(root.path(), PermissionsExt::from_mode(0o700)).unwrap();
    root
}
