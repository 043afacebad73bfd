//! Asks policy, counts the answer.

use std::net::IpAddr;
use std::sync::Arc;

use bore_control::Control;
use bore_policy::{DecidedBy, Visitor};
use uuid::Uuid;

use crate::flows::Flows;
use crate::metrics::IngressMetrics;

/// Decides who comes in, and lists who did.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) control: Control,
    pub(crate) flows: Arc<Flows>,
}

impl Gate {
    /// Whether `address` may visit `publication` at this moment.
    pub(crate) fn admits(
        &self,
        publication: Uuid,
        address: IpAddr,
        metrics: &IngressMetrics,
    ) -> bool {
        let allowed = self.allows(publication, address);
        if !allowed {
            metrics.denied.inc();
            tracing::debug!(%publication, visitor = %address, "visitor refused by policy");
        }
        allowed
    }

    /// Whether the publication's own allow list names `address`.
    pub(crate) fn names(&self, publication: Uuid, address: IpAddr) -> bool {
        let decision = self.control.visitor_decision(publication, &Visitor::public(address));
        decision.allowed && decision.by == DecidedBy::PublicationAllow
    }

    /// The decision alone.
    pub(crate) fn allows(&self, publication: Uuid, address: IpAddr) -> bool {
        let visitor = Visitor::public(address);
        self.control.visitor_decision(publication, &visitor).allowed
    }
}
