//! The control room as one handle: its services over one core, and the doors to the relay around it.
//!
//! Every change goes the same way: hold the network's turn, check, store. The directory follows the store: what is committed is there before the caller
//! of the change has its answer; [`crate::api`] runs changes on tasks of their own, so that a caller who hangs up stops none half-way.
//! While a database that went away has not said what became of a change, its turn is held: nothing is decided by a directory that may be behind.

use std::sync::Arc;
use std::time::Instant;

use bore_api::Code;
use bore_api::model::Actor;
use bore_rate::Rate;
use uuid::Uuid;

use crate::core::Core;
use crate::directory::Directory;
use crate::doors::Doors;
use crate::health::StoreHealth;
use crate::limits::{Quotas, RATE_CALLERS_MAX};
use crate::rate::Rates;
use crate::refusal::Refusal;
use crate::service::{
    ApiKeys, Audit, Certificates, Domains, Groups, JoinKeys, Networks, Nodes, Policies,
    Publications,
};
use crate::store::StoreError;

/// The control room. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Control(Arc<Services>);

#[derive(Debug)]
struct Services {
    core: Core,
    doors: Doors,
    networks: Networks,
    nodes: Nodes,
    join_keys: JoinKeys,
    api_keys: ApiKeys,
    publications: Publications,
    policies: Policies,
    groups: Groups,
    domains: Domains,
    certificates: Certificates,
    audit: Audit,
    callers: Callers,
    store_health: StoreHealth,
}

impl Control {
    /// The services over `core` of the relay behind `doors`; `api_keys` is one of them, which has read the store.
    pub fn new(core: Core, api_keys: ApiKeys, doors: Doors) -> Self {
        Self(Arc::new(Services {
            networks: Networks::new(core.clone()),
            nodes: Nodes::new(core.clone(), doors.clone()),
            join_keys: JoinKeys::new(core.clone()),
            api_keys,
            publications: Publications::new(core.clone(), doors.clone()),
            policies: Policies::new(core.clone()),
            groups: Groups::new(core.clone()),
            domains: Domains::new(core.clone(), doors.clone()),
            certificates: Certificates::new(core.clone(), doors.clone()),
            audit: Audit::new(core.clone()),
            callers: Callers::new(core.clone()),
            store_health: StoreHealth::default(),
            core,
            doors,
        }))
    }

    /// What there is.
    pub fn directory(&self) -> &Directory {
        self.core().directory()
    }

    /// Networks.
    pub fn networks(&self) -> &Networks {
        &self.0.networks
    }

    /// Nodes.
    pub fn nodes(&self) -> &Nodes {
        &self.0.nodes
    }

    /// Join keys.
    pub fn join_keys(&self) -> &JoinKeys {
        &self.0.join_keys
    }

    /// API keys.
    pub fn api_keys(&self) -> &ApiKeys {
        &self.0.api_keys
    }

    /// Publications.
    pub fn publications(&self) -> &Publications {
        &self.0.publications
    }

    /// Policies.
    pub fn policies(&self) -> &Policies {
        &self.0.policies
    }

    /// Groups.
    pub fn groups(&self) -> &Groups {
        &self.0.groups
    }

    /// Custom domains.
    pub fn domains(&self) -> &Domains {
        &self.0.domains
    }

    /// Certificates.
    pub fn certificates(&self) -> &Certificates {
        &self.0.certificates
    }

    /// The audit trail.
    pub fn audit(&self) -> &Audit {
        &self.0.audit
    }

    /// Tells agents that the relay drains, and has it take no new flows.
    pub async fn drain(&self) {
        self.core().set_draining(true);
        self.doors().ports.drain().await;
    }

    /// Takes a drain back.
    pub async fn undrain(&self) {
        self.core().set_draining(false);
        self.doors().ports.undrain().await;
    }

    /// Drains the relay, as an administrator wants it.
    pub(crate) async fn drain_by(&self, by: &Actor) {
        let host = self.core().identity.host.clone();
        tokio::join!(self.drain(), self.audit().note("relay.drain", host, by));
    }

    /// Takes a drain back, as an administrator wants it.
    pub(crate) async fn undrain_by(&self, by: &Actor) {
        let host = self.core().identity.host.clone();
        tokio::join!(self.undrain(), self.audit().note("relay.undrain", host, by));
    }

    /// Looks whether the store takes changes.
    ///
    /// # Errors
    /// What the next change would meet.
    pub(crate) async fn check_store(&self) -> Result<(), StoreError> {
        self.0.store_health.check(&self.core().store, self.core().now()).await
    }

    /// What the services stand on.
    pub fn core(&self) -> &Core {
        &self.0.core
    }

    pub(crate) fn doors(&self) -> &Doors {
        &self.0.doors
    }

    pub(crate) fn callers(&self) -> &Callers {
        &self.0.callers
    }
}

/// How often each caller asks.
#[derive(Debug)]
pub(crate) struct Callers {
    core: Core,
    rates: Rates<Uuid>,
}

impl Callers {
    fn new(core: Core) -> Self {
        let rates = Rates::new(request_rate(core.quotas()), RATE_CALLERS_MAX);
        Self { core, rates }
    }

    /// Counts a request of an API key or node.
    pub(crate) fn admit(&self, caller: Uuid) -> Result<(), Refusal> {
        if self.rates.admit(&caller, Instant::now()) {
            return Ok(());
        }
        self.core.counters.requests_limited.increment();
        let per_second = self.core.quotas().requests_per_second;
        let detail = format!("the quota is reached: {per_second} requests a second");
        Err(Refusal::new(Code::QUOTA, detail).next("try again in a second"))
    }
}

fn request_rate(quotas: &Quotas) -> Rate {
    Rate::per_second(quotas.requests_per_second).with_burst(quotas.requests_burst)
}
