//! What unit tests of several files share.

use bore_api::model::{Lifetime, Protocol, Publication, PublicationOptions};
use bore_api::state::{PublicationState, State};
use bore_api::wire::PublicationView;
use bore_policy::Access;
use uuid::Uuid;

/// A reachable publication of `localhost:3000` on public port 7777.
pub(crate) fn view(name: &str, protocol: Protocol) -> PublicationView {
    let publication = Publication {
        id: Uuid::from_u128(7),
        network: Uuid::from_u128(1),
        node: Uuid::from_u128(2),
        name: name.to_owned(),
        protocol,
        public_port: Some(7777),
        port_count: 1,
        hostnames: Vec::new(),
        overlay_port: 1024,
        target: "localhost:3000".to_owned(),
        access: Access::default(),
        options: PublicationOptions::default(),
        lifetime: Lifetime::Session,
        created_at: 0,
    };
    let state = PublicationState {
        state: State::Reachable,
        cause: None,
        steps: Vec::new(),
        at: 0,
        awaits_certificate: false,
    };
    PublicationView {
        publication,
        state,
        public: "tcp://203.0.113.5:7777".to_owned(),
        access_notes: Vec::new(),
    }
}
