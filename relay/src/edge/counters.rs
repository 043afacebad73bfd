//! Counters of the HTTP edge. Label sets are closed, so that no visitor can grow them.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use prometheus_client::registry::{Registry, Unit};

/// What one edge counts. Cloning shares the counters.
#[derive(Debug, Clone, Default)]
pub struct EdgeCounters {
    /// Connections taken from visitors.
    pub accepted: Counter,
    /// Connections open at this moment.
    pub open: Gauge,
    /// Connections, or waits for one, that met a limit.
    pub limited: Family<LimitLabels, Counter>,
    /// Connections dropped because the visitor was too slow.
    pub expired: Family<DeadlineLabels, Counter>,
    /// Requests refused because of their framing.
    pub malformed: Family<FaultLabels, Counter>,
    /// Requests, by what became of them.
    pub requests: Family<OutcomeLabels, Counter>,
    /// Requests sent again because a kept origin connection had closed.
    pub retried: Counter,
    /// Connections to origins.
    pub origins_opened: Counter,
    /// Connections that left HTTP for another protocol.
    pub upgraded: Counter,
    /// Bytes received from visitors, heads included.
    pub received: Counter,
    /// Bytes sent to visitors, heads included.
    pub sent: Counter,
}

impl EdgeCounters {
    /// Registers under `bore_edge_`.
    pub fn register(registry: &mut Registry) -> Self {
        let this = Self::default();
        let edge = registry.sub_registry_with_prefix("bore_edge");
        edge.register("connections", "Connections taken from visitors", this.accepted.clone());
        edge.register("connections_open", "Connections open now", this.open.clone());
        edge.register("connections_limited", "Connections that met a limit", this.limited.clone());
        edge.register("connections_expired", "Visitors too slow", this.expired.clone());
        edge.register("requests_malformed", "Requests of bad framing", this.malformed.clone());
        edge.register("requests", "Requests by outcome", this.requests.clone());
        edge.register("requests_retried", "Requests sent again", this.retried.clone());
        edge.register("origins_opened", "Connections to origins", this.origins_opened.clone());
        edge.register("upgrades", "Connections that left HTTP", this.upgraded.clone());
        edge.register_with_unit("received", "From visitors", Unit::Bytes, this.received.clone());
        edge.register_with_unit("sent", "To visitors", Unit::Bytes, this.sent.clone());
        this.show_zeros();
        this
    }

    /// A series that begins with its first event hides that event from every rate.
    fn show_zeros(&self) {
        for limit in Limit::ALL {
            drop(self.limited.get_or_create(&LimitLabels { limit }));
        }
        for deadline in Deadline::ALL {
            drop(self.expired.get_or_create(&DeadlineLabels { deadline }));
        }
        for fault in super::framing::Fault::ALL {
            drop(self.malformed.get_or_create(&FaultLabels { fault }));
        }
        for outcome in Outcome::ALL {
            drop(self.requests.get_or_create(&OutcomeLabels { outcome }));
        }
    }
}

/// Labels of `bore_edge_connections_limited_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LimitLabels {
    /// Which limit.
    pub limit: Limit,
}

/// The values that `limit` can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Limit {
    /// One source has too many connections: the new one was closed.
    Source,
    /// The edge has too many connections: accepting paused.
    Total,
    /// The process has no descriptor left: accepting paused.
    Descriptors,
}

impl Limit {
    pub(super) const ALL: [Self; 3] = [Self::Source, Self::Total, Self::Descriptors];
}

/// Labels of `bore_edge_connections_expired_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DeadlineLabels {
    /// Which deadline.
    pub deadline: Deadline,
}

/// The values that `deadline` can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Deadline {
    /// The request head was not complete in time.
    Head,
    /// A kept connection brought no further request.
    Idle,
    /// The request body came too slowly.
    Body,
    /// The response was taken too slowly.
    Drain,
    /// The sending side was closed and nothing was left to send.
    HalfClosed,
}

impl Deadline {
    pub(super) const ALL: [Self; 5] =
        [Self::Head, Self::Idle, Self::Body, Self::Drain, Self::HalfClosed];
}

/// Labels of `bore_edge_requests_malformed_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FaultLabels {
    /// What was wrong.
    pub fault: super::framing::Fault,
}

/// Labels of `bore_edge_requests_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// What became of the request.
    pub outcome: Outcome,
}

/// The values that `outcome` can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// The origin answered.
    Answered,
    /// A probe was answered.
    Probed,
    /// The request itself was at fault.
    Invalid,
    /// Nobody publishes the host.
    Unknown,
    /// The visitor may not see it.
    Denied,
    /// No agent.
    Offline,
    /// The agent or its service failed.
    Down,
}

impl Outcome {
    pub(super) const ALL: [Self; 7] = [
        Self::Answered,
        Self::Probed,
        Self::Invalid,
        Self::Unknown,
        Self::Denied,
        Self::Offline,
        Self::Down,
    ];
}
