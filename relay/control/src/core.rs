//! What every service works with: store, directory, who the relay is, limits, counters, clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bore_api::model::Micros;
use bore_api::state::RelayInfo;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::clock::Clock;
use crate::counters::Counters;
use crate::directory::{Directory, in_turn};
use crate::identity::Identity;
use crate::limits::Quotas;
use crate::refusal::Refusal;
use crate::store::{Store, StoreError};

/// What an administrator sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// What a network may hold.
    pub quotas: Quotas,
    /// How long audit rows are kept; for ever for `None`.
    pub audit_retention: Option<Duration>,
}

/// The ground that services stand on. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Core {
    pub(crate) store: Arc<Store>,
    pub(crate) directory: Directory,
    pub(crate) identity: Arc<Identity>,
    pub(crate) settings: Settings,
    pub(crate) counters: Arc<Counters>,
    clock: Clock,
    draining: Arc<AtomicBool>,
    /// Held during a change of networks or of the cluster's keys.
    cluster: Arc<Mutex<()>>,
}

impl Core {
    /// Loads everything from the store and compiles the rules. Rules that do not compile close their network and are logged.
    ///
    /// # Errors
    /// When the store does.
    pub async fn load(
        store: Arc<Store>,
        identity: Identity,
        clock: Clock,
        settings: Settings,
    ) -> Result<Self, StoreError> {
        let core = Self {
            store,
            directory: Directory::default(),
            identity: Arc::new(identity),
            settings,
            counters: Arc::default(),
            clock,
            draining: Arc::default(),
            cluster: Arc::default(),
        };
        core.follow();
        core.read_store().await?;
        Ok(core)
    }

    /// Has the directory follow the store, as long as this core is there.
    fn follow(&self) {
        let (directory, counters) = (self.directory.downgrade(), Arc::clone(&self.counters));
        self.store.follow(move |event| {
            let Some(directory) = directory.upgrade() else { return false };
            counters.events.increment();
            directory.follow(event);
            true
        });
    }

    async fn read_store(&self) -> Result<(), StoreError> {
        let mut loaded = crate::service::load(&self.store).await?;
        loaded.relay_domain = self.identity.relay_domain().map(|domain| domain.to_string());
        *self.directory.write() = loaded;
        Ok(())
    }

    /// What there is.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What was counted since the start: name, meaning and value of each counter.
    pub fn counted(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + use<> {
        self.counters.named().into_iter()
    }

    /// Waits until every change made so far is on disk. A change is acknowledged after this; the API's routers wait for it.
    ///
    /// # Errors
    /// When the disk does: then nothing may be acknowledged.
    pub async fn settle(&self) -> Result<(), StoreError> {
        self.store.settle().await
    }

    pub(crate) fn quotas(&self) -> &Quotas {
        &self.settings.quotas
    }

    pub(crate) fn now(&self) -> Micros {
        self.clock.now()
    }

    /// Returns true while the relay takes nothing new.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Notes that the relay drains, or no more, and tells the agents.
    pub(crate) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Release);
        self.directory.sessions().signal_draining(draining);
    }

    /// Names the relay to agents.
    pub(crate) fn relay_info(&self) -> RelayInfo {
        self.identity.info(self.is_draining())
    }

    /// The turn to change networks and the cluster's keys.
    ///
    /// # Errors
    /// B6106, as with [`Directory::turn`].
    pub(crate) async fn cluster_turn(&self) -> Result<OwnedMutexGuard<()>, Refusal> {
        in_turn(Arc::clone(&self.cluster)).await
    }
}
