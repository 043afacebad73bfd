//! The control room as one handle: store, live facts, memory, sessions, and the news of changes.
//!
//! Every change goes the same way: hold the network's turn, check, store, enter in memory, tell. A change that the store acknowledged is in
//! memory before its caller hears of it; [`crate::api`] runs changes on tasks of their own, so that a caller who hangs up stops none half-way. While a
//! database that went away has not said what became of a change, its turn is held: nothing is decided by a memory that may be behind.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use bore_api::Code;
use bore_api::model::{Network, Node, Publication};
use bore_policy::{Decision, Visitor, VisitorNode};
use tokio::sync::{Mutex, OwnedMutexGuard, broadcast};
use uuid::Uuid;

use crate::authentications::Authentications;
use crate::counters::Counters;
use crate::health::StoreHealth;
use crate::limits::{CHANGES_BEHIND_MAX, Quotas, RATE_CALLERS_MAX, REQUEST_TIME_MAX};
use crate::memory::{CompiledNetwork, Member, Memory, Served};
use crate::rate::{Rate, Rates};
use crate::refusal::Refusal;
use crate::runtime::Runtime;
use crate::service::{JoinRates, RefusalBook};
use crate::session::Sessions;
use crate::store::{Store, StoreError};

/// The control room. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Control(Arc<Inner>);

/// What an administrator sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// What a network may hold.
    pub quotas: Quotas,
    /// How long audit rows are kept; for ever for `None`.
    pub audit_retention: Option<Duration>,
}

/// Something changed, and the store has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Where; `None` for the cluster.
    pub network: Option<Uuid>,
    /// What.
    pub kind: ChangeKind,
    /// Which, where it is one thing.
    pub subject: Option<Uuid>,
}

/// The kinds of a [`Change`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// Nodes came, went or were renamed.
    Nodes,
    /// Publications came, went or were changed.
    Publications,
    /// Rules or groups: open flows have to be asked about again.
    Policies,
    /// Custom domains were asked for, proved or given back.
    Domains,
    /// Join keys or API keys.
    Keys,
    /// Networks came or went.
    Networks,
}

#[derive(Debug)]
struct Inner {
    store: Arc<Store>,
    runtime: Arc<dyn Runtime>,
    settings: Settings,
    memory: RwLock<Memory>,
    changes: broadcast::Sender<Change>,
    sessions: Sessions,
    rates: Rates<Uuid>,
    join_rates: JoinRates,
    join_refusals: RefusalBook,
    authentications: Authentications,
    store_health: StoreHealth,
    counters: Counters,
    /// Held by whoever changes networks and the cluster's keys.
    cluster: Arc<Mutex<()>>,
}

impl Control {
    /// A control room that knows nothing yet: [`Self::refresh`] loads the store.
    pub fn new(store: Arc<Store>, runtime: Arc<dyn Runtime>, settings: Settings) -> Self {
        let (changes, _) = broadcast::channel(CHANGES_BEHIND_MAX);
        Self(Arc::new(Inner {
            store,
            runtime,
            settings,
            memory: RwLock::default(),
            changes,
            sessions: Sessions::default(),
            rates: Rates::new(request_rate(&settings.quotas), RATE_CALLERS_MAX),
            join_rates: JoinRates::new(&settings.quotas),
            join_refusals: RefusalBook::default(),
            authentications: Authentications::default(),
            store_health: StoreHealth::default(),
            counters: Counters::default(),
            cluster: Arc::default(),
        }))
    }

    /// Loads everything from the store and compiles the rules. Rules that do not compile close their network and are logged.
    ///
    /// # Errors
    /// When the store does; memory stays as it was.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let keys = self.store().api_keys().usable(crate::clock::now()).await?;
        let mut loaded = crate::service::load(self.store()).await?;
        loaded.relay_domain = self.relay_domain().map(|domain| domain.to_string());
        *self.write() = loaded;
        self.authentications().know(keys);
        self.announce(None, ChangeKind::Networks, None);
        Ok(())
    }

    /// News of changes, from this moment on. A receiver that lags looks at the snapshots.
    pub fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }

    /// The compiled rules of a network.
    pub fn policy(&self, network: Uuid) -> Option<Arc<CompiledNetwork>> {
        self.read().tenant(network).map(|tenant| Arc::clone(&tenant.compiled))
    }

    /// Whether `visitor` may visit `publication`. What is not known admits nobody.
    pub fn visitor_decision(&self, publication: Uuid, visitor: &Visitor) -> Decision {
        self.read().decide_visit(publication, visitor)
    }

    /// A node as a visitor.
    pub fn visitor_node(&self, node: Uuid) -> Option<VisitorNode> {
        self.read().member(node).map(|member| member.visitor())
    }

    /// All networks.
    pub fn snapshot_networks(&self) -> Vec<Network> {
        self.read().tenants().map(|tenant| tenant.network.clone()).collect()
    }

    /// All nodes of all networks.
    pub fn snapshot_nodes(&self) -> Vec<Node> {
        self.read().members().map(|member| member.node.clone()).collect()
    }

    /// One node.
    pub fn node(&self, id: Uuid) -> Option<Node> {
        self.read().member(id).map(|member| member.node.clone())
    }

    /// All publications of all networks.
    pub fn snapshot_publications(&self) -> Vec<Publication> {
        self.read().all_served().map(|served| served.publication.clone()).collect()
    }

    /// One publication.
    pub fn publication(&self, id: Uuid) -> Option<Publication> {
        self.read().served(id).map(|served| served.publication.clone())
    }

    /// Sends a node its publications again, because a state changed.
    pub fn notify_node(&self, node: Uuid) {
        self.sessions().signal_node(node);
    }

    /// Version of the agent that speaks for a node.
    pub fn agent_version(&self, node: Uuid) -> Option<String> {
        self.sessions().version(node)
    }

    /// Waits until every change made so far is on disk. Whoever acknowledges a change waits for this first; the API's routers do.
    ///
    /// # Errors
    /// When the disk does: then nothing may be acknowledged.
    pub async fn settle(&self) -> Result<(), StoreError> {
        self.store().settle().await
    }

    /// What was counted since the start: name, meaning and value of each counter.
    pub fn counted(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + use<> {
        self.counters().named().into_iter()
    }

    /// Tells agents that the relay drains, and has it take no new flows.
    pub async fn drain(&self) {
        self.sessions().signal_draining(true);
        self.runtime().drain().await;
    }

    /// Takes a drain back.
    pub async fn undrain(&self) {
        self.sessions().signal_draining(false);
        self.runtime().undrain().await;
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.0.store
    }

    pub(crate) fn runtime(&self) -> &dyn Runtime {
        &*self.0.runtime
    }

    pub(crate) fn quotas(&self) -> &Quotas {
        &self.0.settings.quotas
    }

    pub(crate) fn audit_retention(&self) -> Option<Duration> {
        self.0.settings.audit_retention
    }

    pub(crate) fn join_rates(&self) -> &JoinRates {
        &self.0.join_rates
    }

    pub(crate) fn join_refusals(&self) -> &RefusalBook {
        &self.0.join_refusals
    }

    pub(crate) fn authentications(&self) -> &Authentications {
        &self.0.authentications
    }

    pub(crate) fn store_health(&self) -> &StoreHealth {
        &self.0.store_health
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Memory> {
        self.0.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Memory> {
        self.0.memory.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the relay around, and the streams that are concerned.
    pub(crate) fn announce(&self, network: Option<Uuid>, kind: ChangeKind, subject: Option<Uuid>) {
        if let (ChangeKind::Policies, Some(network)) = (kind, network) {
            self.sessions().signal_policy(network);
        }
        // Nobody listening is no error: the relay may be starting.
        let _ = self.0.changes.send(Change { network, kind, subject });
    }

    /// The turn to change a network.
    ///
    /// # Errors
    /// B3205, or B6106 when the changes before this one take as long as a caller waits: the database does not answer them, and no more may pile up.
    pub(crate) async fn turn(&self, network: Uuid) -> Result<OwnedMutexGuard<()>, Refusal> {
        let changing = self.read().tenant(network).map(|tenant| Arc::clone(&tenant.changing));
        let changing =
            changing.ok_or_else(|| Refusal::not_here("network", &network.to_string()))?;
        in_turn(changing).await
    }

    /// The turn to change a network, if nobody has it.
    pub(crate) fn free_turn(&self, network: Uuid) -> Option<OwnedMutexGuard<()>> {
        let changing = self.read().tenant(network).map(|tenant| Arc::clone(&tenant.changing))?;
        changing.try_lock_owned().ok()
    }

    /// The turn to change networks and the cluster's keys.
    ///
    /// # Errors
    /// B6106, as with [`Self::turn`].
    pub(crate) async fn cluster_turn(&self) -> Result<OwnedMutexGuard<()>, Refusal> {
        in_turn(Arc::clone(&self.0.cluster)).await
    }

    /// Counts a request of an API key or node.
    pub(crate) fn admit(&self, caller: Uuid) -> Result<(), Refusal> {
        if self.0.rates.admit(&caller, Instant::now()) {
            return Ok(());
        }
        self.counters().requests_limited.increment();
        let quotas = self.quotas();
        let detail =
            format!("the quota is reached: {} requests a second", quotas.requests_per_second);
        Err(Refusal::new(Code::QUOTA, detail).next("try again in a second"))
    }

    /// The network of this id.
    pub(crate) fn network(&self, id: Uuid) -> Result<Network, Refusal> {
        let found = self.read().tenant(id).map(|tenant| tenant.network.clone());
        found.ok_or_else(|| Refusal::not_here("network", &id.to_string()))
    }

    /// A node of a network, by id or name.
    pub(crate) fn member(&self, network: Uuid, wanted: &str) -> Result<Arc<Member>, Refusal> {
        let found = self.read().find_member(network, wanted).cloned();
        found.ok_or_else(|| Refusal::not_here("node", wanted))
    }

    /// A publication of a network, by id or name.
    pub(crate) fn served(&self, network: Uuid, wanted: &str) -> Result<Arc<Served>, Refusal> {
        let found = self.read().find_served(network, wanted).cloned();
        found.ok_or_else(|| Refusal::not_here("publication", wanted))
    }
}

async fn in_turn(changing: Arc<Mutex<()>>) -> Result<OwnedMutexGuard<()>, Refusal> {
    tokio::time::timeout(REQUEST_TIME_MAX, changing.lock_owned()).await.map_err(|_| {
        let detail =
            "the relay's database does not answer the changes before this one; nothing was changed";
        Refusal::new(Code::STORE_UNAVAILABLE, detail)
    })
}

fn request_rate(quotas: &Quotas) -> Rate {
    let (per_second, burst) = (quotas.requests_per_second, quotas.requests_burst);
    Rate { per_second: per_second.into(), burst: burst.into() }
}
