//! What ingress counts. One field, one `register` line, one row in `docs/metrics.md`.

use std::sync::atomic::Ordering;

use bore_driver::Meter;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::{Registry, Unit};

/// Counters of the public TCP and UDP ports. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct IngressMetrics {
    pub(crate) tcp_flows_opened: Counter,
    pub(crate) udp_flows_opened: Counter,
    pub(crate) denied: Counter,
    pub(crate) flows_refused: Counter,
    pub(crate) flows_cut: Counter,
    pub(crate) dial_failed: Counter,
    pub(crate) accept_failed: Counter,
    pub(crate) udp_unserved: Counter,
    pub(crate) udp_answers_without_visitor: Counter,
    pub(crate) udp_unreachable: Counter,
    pub(crate) udp_send_failed: Counter,
    pub(crate) one_sided_refused: Counter,
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
}

impl IngressMetrics {
    /// Registers under `bore_ingress_`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let this = Self::default();
        let ingress = registry.sub_registry_with_prefix("bore_ingress");
        let counters = [
            ("tcp_flows_opened", "TCP flows opened", &this.tcp_flows_opened),
            ("udp_flows_opened", "UDP flows opened", &this.udp_flows_opened),
            ("visitors_denied", "Visitors refused by policy", &this.denied),
            ("flows_refused", "Flows refused because a table was full", &this.flows_refused),
            ("flows_cut", "Flows cut by a change of policy or publication", &this.flows_cut),
            ("dials_failed", "Flows that the agent did not take", &this.dial_failed),
            (
                "accepts_failed",
                "Visitors not accepted for want of descriptors",
                &this.accept_failed,
            ),
            ("udp_unserved", "Datagrams to a publication that is down", &this.udp_unserved),
            (
                "udp_answers_without_visitor",
                "Answers to nobody who visited lately",
                &this.udp_answers_without_visitor,
            ),
            ("udp_unreachable", "Datagrams that the target refused", &this.udp_unreachable),
            ("udp_sends_failed", "Answers that the kernel did not send", &this.udp_send_failed),
            (
                "udp_one_sided_refused",
                "Answers over the budget of one-sided flows",
                &this.one_sided_refused,
            ),
        ];
        for (name, help, counter) in counters {
            ingress.register(name, help, counter.clone());
        }
        ingress.register_with_unit(
            "received",
            "From visitors of ended flows",
            Unit::Bytes,
            this.received.clone(),
        );
        ingress.register_with_unit(
            "sent",
            "To visitors of ended flows",
            Unit::Bytes,
            this.sent.clone(),
        );
        this
    }

    /// Adds what an ended flow carried.
    pub(crate) fn count_bytes(&self, meter: &Meter) {
        self.received.inc_by(meter.inward_bytes.load(Ordering::Relaxed));
        self.sent.inc_by(meter.outward_bytes.load(Ordering::Relaxed));
    }
}
