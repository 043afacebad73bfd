//! What there is, from memory: networks with their rules, nodes, publications, domains, who is connected; and what happens to them.
//!
//! The data path asks here, never a database. It follows the store: what is committed is here before the caller of the change has its answer.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use bore_api::Code;
use bore_api::model::{Domain, Network, Node, Publication, PublishedHost};
use bore_policy::{Decision, PublicHost, Visitor, VisitorNode};
use tokio::sync::{Mutex, OwnedMutexGuard, broadcast};
use uuid::Uuid;

use crate::event::{Change, Event, NodeChange, Subject};
use crate::limits::{EVENTS_BEHIND_MAX, REQUEST_TIME_MAX};
use crate::memory::{CompiledNetwork, Member, Memory, Served, Tenant};
use crate::refusal::Refusal;
use crate::session::Sessions;

/// What there is. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Directory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    memory: RwLock<Memory>,
    events: broadcast::Sender<Arc<Event>>,
    sessions: Sessions,
}

impl Default for Directory {
    fn default() -> Self {
        let (events, _) = broadcast::channel(EVENTS_BEHIND_MAX);
        Self(Arc::new(Inner { memory: RwLock::default(), events, sessions: Sessions::default() }))
    }
}

/// A directory that does not keep it alive.
#[derive(Debug)]
pub(crate) struct WeakDirectory(Weak<Inner>);

impl WeakDirectory {
    pub(crate) fn upgrade(&self) -> Option<Directory> {
        self.0.upgrade().map(Directory)
    }
}

impl Directory {
    /// What happens from this moment on; what an event tells of is in the directory already. A receiver that lags looks at everything.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.0.events.subscribe()
    }

    /// The compiled rules of a network.
    pub fn policy(&self, network: Uuid) -> Option<Arc<CompiledNetwork>> {
        self.rules(network).ok()
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
    pub fn networks(&self) -> Vec<Network> {
        self.read().tenants().map(|tenant| tenant.network.clone()).collect()
    }

    /// All nodes of all networks.
    pub fn nodes(&self) -> Vec<Node> {
        self.read().members().map(|member| member.node.clone()).collect()
    }

    /// One node.
    pub fn node(&self, id: Uuid) -> Option<Node> {
        self.read().member(id).map(|member| member.node.clone())
    }

    /// All publications of all networks.
    pub fn publications(&self) -> Vec<Publication> {
        self.read().all_served().map(|served| served.publication.clone()).collect()
    }

    /// One publication.
    pub fn publication(&self, id: Uuid) -> Option<Publication> {
        self.read().served(id).map(|served| served.publication.clone())
    }

    /// Every verified domain of all networks.
    pub fn domains(&self) -> Vec<Domain> {
        let memory = self.read();
        let domains = memory.tenants().flat_map(|tenant| tenant.domains.values());
        domains.filter(|domain| domain.verified_at.is_some()).cloned().collect()
    }

    /// The names that are published because of a domain, each with its publication.
    pub fn hostnames_under(&self, domain: &Domain) -> Vec<(PublicHost, Uuid)> {
        let memory = self.read();
        let publications = memory.all_served().map(|served| &served.publication);
        let own = publications.filter(|publication| publication.network == domain.network);
        let names = own.flat_map(|publication| {
            let names = publication.hostnames.iter().filter_map(PublishedHost::name);
            names.map(|name| (name.clone(), publication.id))
        });
        names.filter(|(name, _)| memory.lives_under(name, domain)).collect()
    }

    /// The verified domain that a published hostname is there because of.
    pub fn domain_of(&self, hostname: &PublicHost) -> Option<Uuid> {
        let memory = self.read();
        let (name, network) = memory.domain_above(hostname.base().as_str())?;
        Some(memory.tenant(network)?.domains.get(&name)?.id)
    }

    /// Sends a node its publications again, because a state changed.
    pub fn notify_node(&self, node: Uuid) {
        self.sessions().signal_node(node);
    }

    /// Version of the agent that speaks for a node.
    pub fn agent_version(&self, node: Uuid) -> Option<String> {
        self.sessions().version(node)
    }

    pub(crate) fn downgrade(&self) -> WeakDirectory {
        WeakDirectory(Arc::downgrade(&self.0))
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

    /// Takes in what the store has committed, and tells the streams and the relay that are concerned.
    pub(crate) fn follow(&self, event: &Arc<Event>) {
        if Memory::is_about_memory(event) {
            let rules = self.read().rules_after(event);
            self.write().follow(event, rules);
        }
        self.signal_agents(event);
        // Nobody listening is no error: the relay may be starting.
        let _ = self.0.events.send(Arc::clone(event));
    }

    fn signal_agents(&self, event: &Event) {
        match (&event.subject, event.network) {
            (Subject::Policy(_) | Subject::Group(_), Some(network)) => {
                self.sessions().signal_policy(network);
            }
            (Subject::Publication(change), _) => self.sessions().signal_node(change.newest().node),
            (Subject::Node(NodeChange { change: Change::Went(node), .. }), _) => {
                self.sessions().remove(node.id);
            }
            _ => {}
        }
    }

    /// The turn to change a network.
    ///
    /// # Errors
    /// B3205, or B6106 when the changes before this one take as long as a caller waits: the database does not answer them, and no more may pile up.
    pub(crate) async fn turn(&self, network: Uuid) -> Result<OwnedMutexGuard<()>, Refusal> {
        in_turn(self.of_network(network, |tenant| Arc::clone(&tenant.changing))?).await
    }

    /// The turn to change a network, if nobody has it.
    pub(crate) fn free_turn(&self, network: Uuid) -> Option<OwnedMutexGuard<()>> {
        let changing = self.read().tenant(network).map(|tenant| Arc::clone(&tenant.changing))?;
        changing.try_lock_owned().ok()
    }

    /// What `look` sees of a network.
    ///
    /// # Errors
    /// B3205 when there is no such network.
    pub(crate) fn of_network<T>(
        &self,
        id: Uuid,
        look: impl FnOnce(&Tenant) -> T,
    ) -> Result<T, Refusal> {
        self.read().wanted_tenant(id).map(look)
    }

    /// The compiled rules of a network.
    pub(crate) fn rules(&self, network: Uuid) -> Result<Arc<CompiledNetwork>, Refusal> {
        self.of_network(network, |tenant| Arc::clone(&tenant.compiled))
    }

    /// The network of this id.
    pub(crate) fn network(&self, id: Uuid) -> Result<Network, Refusal> {
        self.of_network(id, |tenant| tenant.network.clone())
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

/// Waits for the turn as long as a caller does.
///
/// # Errors
/// B6106 when it takes longer.
pub(crate) async fn in_turn(changing: Arc<Mutex<()>>) -> Result<OwnedMutexGuard<()>, Refusal> {
    tokio::time::timeout(REQUEST_TIME_MAX, changing.lock_owned()).await.map_err(|_| {
        let detail =
            "the relay's database does not answer the changes before this one; nothing was changed";
        Refusal::new(Code::STORE_UNAVAILABLE, detail)
    })
}
