//! What agents say of their publications, and their visits from outside.

use std::sync::Arc;
use std::time::Instant;

use bore_api::state::{ProbeOrder, ProbeReport, TargetReport};
use bore_control::doors;
use uuid::Uuid;

use super::reconciler::Reconciler;
use super::table::Entry;
use crate::public_address::PublicAddresses;

/// Takes what agents report.
#[derive(Debug)]
pub(crate) struct Visits {
    pub(crate) reconciler: Arc<Reconciler>,
    pub(crate) addresses: Arc<PublicAddresses>,
}

impl doors::Visits for Visits {
    fn report_target(&self, node: Uuid, publication: Uuid, report: TargetReport) {
        tracing::debug!(%publication, ok = report.ok, "target reported");
        self.reconciler.handle_report(node, publication);
    }

    fn expect_probe(&self, node: Uuid, publication: Uuid) -> Option<ProbeOrder> {
        let entry = self.entry_of(node, publication)?;
        let expected = &self.reconciler.shared.expected;
        let (token, wait) = expected.expect(publication, Instant::now())?;
        entry.evidence.expect_visit();
        Some(ProbeOrder {
            token,
            expires_in_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            addresses: self.addresses.all_of(&entry.publication),
        })
    }

    fn report_probe(&self, node: Uuid, publication: Uuid, report: ProbeReport) {
        let Some(entry) = self.entry_of(node, publication) else { return };
        entry.evidence.set_visit(report, Instant::now());
        self.reconciler.directory().notify_node(node);
    }

    fn agent_left(&self, node: Uuid) {
        self.reconciler.doubt(node);
    }
}

impl Visits {
    fn entry_of(&self, node: Uuid, publication: Uuid) -> Option<Arc<Entry>> {
        let entry = self.reconciler.publications().get(publication);
        entry.filter(|entry| entry.publication.node == node)
    }
}
