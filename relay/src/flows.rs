//! Open flows: who visits what, how many bytes, and a way to cut them.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bore_control::model::Micros;
use bore_control::runtime::FlowState;
use bore_driver::Meter;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::limits::FLOWS_LISTED_MAX;

/// One visitor's connection, or UDP address pair, inside a publication.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) id: u64,
    pub(crate) publication: Uuid,
    pub(crate) visitor: SocketAddr,
    pub(crate) opened_at: Micros,
    pub(crate) meter: Meter,
    cut: AtomicBool,
    cut_notice: Notify,
}

impl Flow {
    /// Ends the flow; its task sees it.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.cut_notice.notify_one();
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Waits for [`Self::cut`].
    pub(crate) async fn until_cut(&self) {
        while !self.is_cut() {
            self.cut_notice.notified().await;
        }
    }

    fn state(&self) -> FlowState {
        FlowState {
            id: self.id,
            publication: self.publication,
            visitor: self.visitor,
            opened_at: self.opened_at,
            received_bytes: self.meter.inward_bytes.load(Ordering::Relaxed),
            sent_bytes: self.meter.outward_bytes.load(Ordering::Relaxed),
        }
    }
}

/// All open flows of this relay.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    next: AtomicU64,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    open: BTreeMap<u64, Arc<Flow>>,
    per_publication: HashMap<Uuid, usize>,
}

impl Table {
    fn insert(&mut self, flow: &Arc<Flow>) {
        self.open.insert(flow.id, Arc::clone(flow));
        *self.per_publication.entry(flow.publication).or_default() += 1;
    }

    fn remove(&mut self, flow: &Flow) {
        self.open.remove(&flow.id);
        if let Some(count) = self.per_publication.get_mut(&flow.publication) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_publication.remove(&flow.publication);
            }
        }
    }
}

/// A flow that is listed until this is dropped.
#[derive(Debug)]
pub(crate) struct OpenFlow {
    flow: Arc<Flow>,
    flows: Arc<Flows>,
}

impl std::ops::Deref for OpenFlow {
    type Target = Flow;

    fn deref(&self) -> &Flow {
        &self.flow
    }
}

impl Drop for OpenFlow {
    fn drop(&mut self) {
        self.flows.table().remove(&self.flow);
    }
}

impl Flows {
    /// Lists a new flow.
    pub(crate) fn open(
        self: &Arc<Self>,
        publication: Uuid,
        visitor: SocketAddr,
        opened_at: Micros,
    ) -> OpenFlow {
        let flow = Arc::new(Flow {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            publication,
            visitor,
            opened_at,
            meter: Meter::default(),
            cut: AtomicBool::new(false),
            cut_notice: Notify::new(),
        });
        self.table().insert(&flow);
        OpenFlow { flow, flows: Arc::clone(self) }
    }

    pub(crate) fn count(&self) -> usize {
        self.table().open.len()
    }

    pub(crate) fn count_of(&self, publication: Uuid) -> usize {
        self.table().per_publication.get(&publication).copied().unwrap_or_default()
    }

    /// Newest first, at most [`FLOWS_LISTED_MAX`].
    pub(crate) fn list(&self, publication: Option<Uuid>) -> Vec<FlowState> {
        self.table()
            .open
            .values()
            .rev()
            .filter(|flow| publication.is_none_or(|wanted| wanted == flow.publication))
            .take(FLOWS_LISTED_MAX)
            .map(|flow| flow.state())
            .collect()
    }

    /// Cuts every flow for which `may_stay` says no; returns how many.
    pub(crate) fn cut_unless(&self, may_stay: impl Fn(&Flow) -> bool) -> usize {
        let open: Vec<Arc<Flow>> = self.table().open.values().cloned().collect();
        let gone = open.iter().filter(|flow| !may_stay(flow));
        gone.inspect(|flow| flow.cut()).count()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_listed_while_it_is_held() {
        let flows = Arc::new(Flows::default());
        let publication = Uuid::from_u128(7);
        let flow = flows.open(publication, "192.0.2.1:5".parse().unwrap(), 1);
        assert_eq!(flows.list(Some(publication)).len(), 1);
        assert!(flows.list(Some(Uuid::nil())).is_empty());
        drop(flow);
        assert_eq!(flows.count(), 0);
    }

    #[test]
    fn only_flows_that_may_not_stay_are_cut() {
        let flows = Arc::new(Flows::default());
        let stays = flows.open(Uuid::nil(), "192.0.2.1:5".parse().unwrap(), 1);
        let goes = flows.open(Uuid::nil(), "192.0.2.2:5".parse().unwrap(), 1);
        assert_eq!(flows.cut_unless(|flow| flow.visitor == stays.visitor), 1);
        assert!(goes.is_cut() && !stays.is_cut());
    }
}
