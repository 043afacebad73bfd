//! Who calls, as the relay's listener knows it. The relay inserts it as an extension into each request before serving it.

use std::net::{IpAddr, SocketAddr};

use axum::extract::FromRequestParts;
use bore_api::Code;
use bore_api::model::{Actor, Node};
use http::request::Parts;
use uuid::Uuid;

use crate::control::Control;
use crate::refusal::Refusal;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Somebody over TCP, who has yet to show an API key.
    Tcp {
        /// Where from.
        peer: SocketAddr,
    },
    /// A node, by the tunnel that the request came in by.
    Node {
        /// Its id.
        node: Uuid,
        /// Its network.
        network: Uuid,
    },
    /// A stranger in the walled garden.
    Pending {
        /// The X25519 key that its handshake proved, base64.
        public_key: String,
        /// Where its datagrams come from.
        source: IpAddr,
    },
}

/// The node that calls; it is in memory.
#[derive(Debug)]
pub(crate) struct SelfNode(pub(crate) Node);

impl SelfNode {
    pub(crate) fn actor(&self) -> Actor {
        Actor::Node(self.0.id)
    }
}

impl FromRequestParts<Control> for SelfNode {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refusal> {
        let Some(Caller::Node { node, network }) = parts.extensions.get::<Caller>() else {
            return Err(Refusal::new(
                Code::API_KEY_MISSING,
                "only a node can ask this, through its tunnel",
            ));
        };
        control.callers().admit(*node)?;
        let found = control.directory().node(*node).filter(|found| found.network == *network);
        found.map(Self).ok_or_else(|| Refusal::not_here("node", &node.to_string()))
    }
}

/// The stranger that calls.
#[derive(Debug)]
pub(crate) struct Stranger {
    pub(crate) public_key: String,
    pub(crate) source: IpAddr,
}

impl FromRequestParts<Control> for Stranger {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Control) -> Result<Self, Refusal> {
        match parts.extensions.get::<Caller>() {
            Some(Caller::Pending { public_key, source }) => {
                Ok(Self { public_key: public_key.clone(), source: *source })
            }
            Some(Caller::Tcp { .. } | Caller::Node { .. }) | None => {
                Err(Refusal::new(Code::JOIN_KEY_INVALID, "the join key is not valid"))
            }
        }
    }
}
