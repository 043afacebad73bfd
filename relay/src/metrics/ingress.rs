//! What ingress and doors count. Each has a field, a line that registers it, and a row in `docs/metrics.md`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::flows::Full;

/// Counters of the public TCP and UDP ports, and of the HTTP doors. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct IngressMetrics {
    pub(crate) tcp_flows_opened: Counter,
    pub(crate) udp_flows_opened: Counter,
    pub(crate) http_flows_opened: Counter,
    pub(crate) tls_flows_opened: Counter,
    pub(crate) denied: Counter,
    pub(crate) flows_refused: Family<RefusedLabels, Counter>,
    pub(crate) flows_cut: Counter,
    pub(crate) dials_delayed: Counter,
    pub(crate) dials_failed: Counter,
    pub(crate) accepts_failed: Counter,
    pub(crate) listens_failed: Counter,
    pub(crate) probes_taken: Counter,
    pub(crate) udp_unserved: Counter,
    pub(crate) udp_evicted: Counter,
    pub(crate) udp_answers_without_visitor: Counter,
    pub(crate) udp_unreachable: Counter,
    pub(crate) udp_sends_failed: Counter,
    pub(crate) udp_answers_refused: Counter,
    pub(crate) udp_refusals_lost: Counter,
    pub(crate) one_sided_refused: Counter,
    pub(crate) doors_refused: Counter,
}

/// Labels of `bore_ingress_flows_refused_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RefusedLabels {
    pub(crate) limit: Full,
}

impl IngressMetrics {
    /// Registers under `bore_ingress_` and `bore_doors_`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let this = Self::default();
        this.register_ingress(registry.sub_registry_with_prefix("bore_ingress"));
        registry.sub_registry_with_prefix("bore_doors").register(
            "connections_refused",
            "Connections to API, metrics, control or garden over a bound",
            this.doors_refused.clone(),
        );
        this
    }

    fn register_ingress(&self, ingress: &mut Registry) {
        for limit in Full::ALL {
            // A bound that was not met yet is shown as 0.
            drop(self.flows_refused.get_or_create(&RefusedLabels { limit }));
        }
        ingress.register(
            "flows_refused",
            "Flows refused because a bound was met",
            self.flows_refused.clone(),
        );
        for (name, help, counter) in self.plain() {
            ingress.register(name, help, counter.clone());
        }
    }

    fn plain(&self) -> [(&'static str, &'static str, &Counter); 19] {
        [
            ("tcp_flows_opened", "TCP flows that the agent took", &self.tcp_flows_opened),
            ("udp_flows_opened", "UDP flows opened", &self.udp_flows_opened),
            ("http_flows_opened", "HTTP edge flows opened", &self.http_flows_opened),
            ("tls_flows_opened", "TLS connections passed through", &self.tls_flows_opened),
            ("visitors_denied", "Visitors refused by policy", &self.denied),
            ("flows_cut", "Flows cut by a change or at the end of draining", &self.flows_cut),
            ("dials_delayed", "Visitors that waited for other dials", &self.dials_delayed),
            ("dials_failed", "Flows that the agent did not take", &self.dials_failed),
            ("accepts_failed", "Accepts that the kernel refused", &self.accepts_failed),
            ("listens_failed", "Ports that could not be served", &self.listens_failed),
            ("probes_taken", "Announced visits that were recognised", &self.probes_taken),
            ("udp_unserved", "Datagrams to a publication that is down", &self.udp_unserved),
            ("udp_evicted", "One-sided UDP flows that made room", &self.udp_evicted),
            (
                "udp_answers_without_visitor",
                "Answers to nobody who visited lately",
                &self.udp_answers_without_visitor,
            ),
            ("udp_unreachable", "Datagrams that the target refused", &self.udp_unreachable),
            ("udp_sends_failed", "Answers that the kernel did not send", &self.udp_sends_failed),
            (
                "udp_answers_refused",
                "Answers refused by the visitor's host",
                &self.udp_answers_refused,
            ),
            (
                "udp_refusals_lost",
                "Refusals of answers by somebody whom a full queue hides",
                &self.udp_refusals_lost,
            ),
            (
                "udp_one_sided_refused",
                "Answers over a budget of visitors that are not known",
                &self.one_sided_refused,
            ),
        ]
    }

    /// Counts a flow that met a bound.
    pub(crate) fn refuse(&self, limit: Full) {
        self.flows_refused.get_or_create(&RefusedLabels { limit }).inc();
    }
}
