//! What orders count. One field, one `register` line, one row in `docs/metrics.md`.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters of orders, and how the certificates are. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct AcmeMetrics {
    pub(super) orders: Family<OrderLabels, Counter>,
    pub(super) subjects_refused: Counter,
    pub(super) retries_forgotten: Counter,
    pub(super) subjects_failing: Gauge,
    pub(super) soonest_expiry: Gauge<u64, AtomicU64>,
}

/// Labels of `bore_acme_orders_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OrderLabels {
    pub(super) result: OrderResult,
}

/// What came of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum OrderResult {
    Issued,
    Failed,
}

impl AcmeMetrics {
    /// Registers under `bore_acme_`.
    pub fn register(registry: &mut Registry) -> Self {
        let this = Self::default();
        for result in [OrderResult::Issued, OrderResult::Failed] {
            // What did not happen yet is shown as 0.
            drop(this.orders.get_or_create(&OrderLabels { result }));
        }
        let acme = registry.sub_registry_with_prefix("bore_acme");
        acme.register("orders", "Tries to get a certificate", this.orders.clone());
        acme.register(
            "subjects_refused",
            "Names for which no certificate is kept, because there are too many",
            this.subjects_refused.clone(),
        );
        acme.register(
            "retries_forgotten",
            "Names nobody wants any more whose next try was forgotten early, because there are too many",
            this.retries_forgotten.clone(),
        );
        acme.register(
            "subjects_failing",
            "Certificates that are wanted and whose last try failed",
            this.subjects_failing.clone(),
        );
        acme.register(
            "soonest_expiry_timestamp_seconds",
            "When the first certificate that is wanted expires, since 1970; 0 when there is none",
            this.soonest_expiry.clone(),
        );
        this
    }

    pub(super) fn count(&self, result: OrderResult) {
        self.orders.get_or_create(&OrderLabels { result }).inc();
    }
}
