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
    /// Connections of the TLS port, by where they went.
    pub doors: Family<DoorLabels, Counter>,
    /// TLS handshakes that ended here.
    pub handshakes: Family<HandshakeLabels, Counter>,
    /// Connections of load balancers without a PROXY header.
    pub unproxied: Counter,
    /// Requests refused because of their framing.
    pub malformed: Family<FaultLabels, Counter>,
    /// Requests sent again because a kept origin connection had closed.
    pub retried: Counter,
    /// Connections to origins.
    pub origins_opened: Counter,
    /// Header lines of origins that were changed or left out.
    pub origin_lines_changed: Counter,
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
        edge.register("tls_connections", "Connections of the TLS port", this.doors.clone());
        edge.register("tls_handshakes", "TLS handshakes", this.handshakes.clone());
        edge.register("proxy_headers_absent", "No PROXY header", this.unproxied.clone());
        edge.register("requests_malformed", "Requests of bad framing", this.malformed.clone());
        edge.register("requests_retried", "Requests sent again", this.retried.clone());
        edge.register("origins_opened", "Connections to origins", this.origins_opened.clone());
        let lines = this.origin_lines_changed.clone();
        edge.register("origin_lines_changed", "Odd header lines of origins", lines);
        edge.register("upgrades", "Connections that left HTTP", this.upgraded.clone());
        edge.register_with_unit("received", "From visitors", Unit::Bytes, this.received.clone());
        edge.register_with_unit("sent", "To visitors", Unit::Bytes, this.sent.clone());
        this.show_zeros();
        this
    }

    /// Counts what met a limit.
    pub(super) fn limited(&self, limit: Limit) {
        self.limited.get_or_create(&LimitLabels { limit }).inc();
    }

    /// A series that begins with its first event hides that event from every rate.
    fn show_zeros(&self) {
        for limit in Limit::ALL {
            drop(self.limited.get_or_create(&LimitLabels { limit }));
        }
        for deadline in Deadline::ALL {
            drop(self.expired.get_or_create(&DeadlineLabels { deadline }));
        }
        for door in Door::ALL {
            drop(self.doors.get_or_create(&DoorLabels { door }));
        }
        for handshake in Handshake::ALL {
            drop(self.handshakes.get_or_create(&HandshakeLabels { handshake }));
        }
        for fault in super::framing::Fault::ALL {
            drop(self.malformed.get_or_create(&FaultLabels { fault }));
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
    /// HTTP/2 frames or resets without end: the connection was dropped.
    Flood,
}

impl Limit {
    pub(super) const ALL: [Self; 4] = [Self::Source, Self::Total, Self::Descriptors, Self::Flood];
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

/// Labels of `bore_edge_tls_connections_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DoorLabels {
    /// Where the connection went.
    pub door: Door,
}

/// The values that `door` can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Door {
    /// TLS ended here.
    Https,
    /// To the origin that ends TLS itself.
    Passthrough,
    /// A certificate authority checked a name.
    Challenge,
    /// The agent of a name that is passed through visited it; its service was not troubled.
    Visit,
    /// An agent or relay whose datagrams travel in a stream; closed.
    Carrier,
    /// A name that nobody here answers for.
    UnknownName,
    /// No name, and no certificate for the address.
    NoName,
    /// Not TLS, or a ClientHello that is broken or too long.
    Malformed,
    /// Passed through, and not for this visitor.
    Denied,
    /// Passed through, and not reachable.
    Away,
}

impl Door {
    pub(super) const ALL: [Self; 10] = [
        Self::Https,
        Self::Passthrough,
        Self::Challenge,
        Self::Visit,
        Self::Carrier,
        Self::UnknownName,
        Self::NoName,
        Self::Malformed,
        Self::Denied,
        Self::Away,
    ];
}

/// Labels of `bore_edge_tls_handshakes_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HandshakeLabels {
    /// How it ended.
    pub handshake: Handshake,
}

/// The values that `handshake` can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Handshake {
    /// With a signature.
    Full,
    /// By a ticket of an earlier one.
    Resumed,
    /// Without a session.
    Failed,
}

impl Handshake {
    pub(super) const ALL: [Self; 3] = [Self::Full, Self::Resumed, Self::Failed];
}

/// Labels of `bore_edge_requests_malformed_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FaultLabels {
    /// What was wrong.
    pub fault: super::framing::Fault,
}
