//! The reference model: what ought to be, kept apart from what is, and told of transitions only.
//!
//! | standing | the relay takes from it | its flows |
//! |---|---|---|
//! | `Stranger` | knocks at the garden's door | joining completes |
//! | `Member` | packets from its own addresses, and knocks | complete, unless disturbed |
//! | `Removed` | knocks at the garden's door | none is answered |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bore_overlay::{GARDEN_JOINER, GARDEN_RELAY};

use super::flows::Expectation;
use super::host::Inner;

/// What a node ought to be to the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Standing {
    Stranger,
    Member,
    Removed,
}

/// What is known of one node.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeModel {
    pub(super) standing: Standing,
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Ipv6Addr,
    /// It was seen to work, and nothing has happened since that may break a flow.
    is_settled: bool,
}

impl NodeModel {
    pub(super) fn new(v4: Ipv4Addr, v6: Ipv6Addr) -> Self {
        Self { standing: Standing::Stranger, v4, v6, is_settled: false }
    }

    /// The join key is good for everybody who was not put out.
    pub(super) fn may_join(&self) -> bool {
        self.standing != Standing::Removed
    }

    pub(super) fn is_member(&self) -> bool {
        self.standing == Standing::Member
    }

    pub(super) fn admit(&mut self) {
        self.standing = Standing::Member;
    }

    pub(super) fn remove(&mut self) {
        self.standing = Standing::Removed;
        self.is_settled = false;
    }

    pub(super) fn disturb(&mut self) {
        self.is_settled = false;
    }

    pub(super) fn settle(&mut self) {
        self.is_settled = true;
    }

    /// What must become of a flow that is opened now between the relay and the node.
    pub(super) fn expectation(&self) -> Expectation {
        match (self.standing, self.is_settled) {
            (Standing::Member, true) => Expectation::MustComplete,
            (Standing::Removed, _) => Expectation::MustFail,
            (Standing::Member | Standing::Stranger, _) => Expectation::MayFail,
        }
    }

    /// Whether the relay may take an inner packet from the node's tunnel.
    pub(super) fn may_send(&self, inner: &Inner) -> bool {
        let is_own = inner.source == IpAddr::V4(self.v4) || inner.source == IpAddr::V6(self.v6);
        inner.is_knock() || is_own && self.is_member()
    }
}

impl Inner {
    /// Whether this is for the garden's door.
    pub(super) fn is_knock(&self) -> bool {
        self.source == IpAddr::V6(GARDEN_JOINER) && self.destination == IpAddr::V6(GARDEN_RELAY)
    }
}
