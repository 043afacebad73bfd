//! A running relay: everything made, joined together, and ended in order.

mod addresses;
mod closing;
mod data_path;
mod doors;
mod ground;
pub(crate) mod start_error;
mod visitors;

use std::sync::Arc;
use std::time::Duration;

use bore_control::Control;
use bore_control::service::{Absences, ApiKeys};
use bore_driver::Shard;
use bore_edge::{Edge, EdgeCounters};
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

pub use self::addresses::Addresses;
use self::closing::until;
use self::data_path::DataPath;
use self::doors::{Names, doors};
use self::ground::{Beginning, Ground, Listeners};
pub use self::start_error::StartError;
use self::visitors::{edge_settings, start_edge};
use crate::config::Config;
use crate::control_listeners;
use crate::dns::{Dns, TxtRecords};
use crate::flows::Flows;
use crate::ingress::Shared;
use crate::issuing::{self, CertificateDemand};
use crate::members::Members;
use crate::metrics::{AccessMetrics, Scrape};
use crate::origins::OverlayOrigins;
use crate::state_folder::StateFolder;

/// A relay that runs in this process.
#[derive(Debug)]
pub struct Relay {
    control: Control,
    shard: Shard,
    shared: Arc<Shared>,
    /// The first is the reconciler's.
    tasks: Vec<JoinHandle<()>>,
    edge: JoinHandle<()>,
    closing: watch::Sender<bool>,
    reload: Arc<Notify>,
    addresses: Addresses,
    txt_records: Option<Arc<dyn TxtRecords>>,
    _state: StateFolder,
}

impl Relay {
    /// Starts everything; when it returns, agents can join and the API answers.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let (ground, beginning) = Ground::lay(config).await?;
        let Beginning { listeners, certificate_files, events } = beginning;
        let Listeners { http, https, api, metrics, dns } = listeners;
        let core = ground.core().await?;
        let api_keys = ApiKeys::load(core.clone()).await.map_err(StartError::Store)?;
        let directory = core.directory().clone();
        let mut registry = Registry::default();
        let path = DataPath::start(&ground, &directory, &mut registry);
        let counters = EdgeCounters::register(&mut registry);
        let observer = Arc::new(AccessMetrics::register(&mut registry));

        // Names are known before anybody is told which exist.
        path.reconciler.reconcile().await;
        let (closing, closed) = watch::channel(false);
        let named = Arc::clone(path.publications());
        let published = Box::new(move |name: &str| named.standing(name));
        let Dns { txt_records, tasks: answering } = dns
            .start(&ground.config, published, &mut registry, &closed)
            .map_err(StartError::Dns)?;
        let names = Names::keep(&ground, &path, txt_records.as_ref(), &mut registry).await?;
        let control = Control::new(core.clone(), api_keys, doors(&ground, &path, &names));

        let reload = Arc::new(Notify::new());
        let Ground { config, state, keys, tls, shard, addresses, shares, .. } = ground;
        let DataPath { tunnels, shared, reconciler } = path;
        let Names { domains, issuer, wanted } = names;
        let (certificates, members) = (Arc::clone(tls.certificates()), &tunnels.members);
        let refused = &shared.metrics.doors_refused;
        let scrape = Scrape::register(registry, Arc::clone(&tunnels), Arc::clone(&shared), core);
        let scrape = scrape.router();
        let (router, overlay) = (bore_control::tcp_router(control.clone()), shard.clone());
        let relay_key = keys.relay.public();
        let demand = CertificateDemand {
            names: wanted,
            directory: directory.clone(),
            certificates: Arc::clone(&certificates),
        };
        let inside = control_listeners::keep_overlay(
            overlay,
            control.clone(),
            Arc::clone(members),
            relay_key,
            refused.clone(),
        );
        let outside = [(api, router), (metrics, scrape)].map(|(listener, router)| {
            control_listeners::serve_tcp(listener, router, refused.clone(), closed.clone())
        });
        let mut tasks = vec![
            tokio::spawn(reconciler.run(events)),
            tokio::spawn(inside),
            tokio::spawn(refresh_members(Arc::clone(members), shard.clone(), closed.clone())),
            tokio::spawn(issuing::keep(issuer, demand, closed.clone())),
            tokio::spawn(housekeeping(control.clone(), closed.clone())),
            tokio::spawn(certificate_files.watch(certificates, Arc::clone(&reload))),
            tokio::spawn(domains.keep(directory, closed.clone())),
        ];
        tasks.extend(outside.map(tokio::spawn));
        tasks.extend(answering);
        let origins = Arc::new(OverlayOrigins {
            publications: Arc::clone(&shared.publications),
            tunnels: Arc::clone(&tunnels),
            shared: Arc::clone(&shared),
        });
        let visitors = edge_settings(&config, addresses, shares);
        let edge = Edge { origins, observer, tls, counters };
        let edge = start_edge([http, https], visitors, edge, &closed);
        let _state = state;
        Ok(Self {
            control,
            shard,
            shared,
            tasks,
            edge,
            closing,
            reload,
            addresses,
            txt_records,
            _state,
        })
    }

    /// Where the sockets are.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The control room, for whoever runs in the relay's own process.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Where a proof that a name is ours can be put (ACME DNS-01), if anywhere.
    pub fn txt_records(&self) -> Option<&Arc<dyn TxtRecords>> {
        self.txt_records.as_ref()
    }

    /// Looks at the certificate files now instead of at the next turn. Everything else in the configuration needs a restart.
    pub fn reload(&self) {
        tracing::info!("certificate files are read again; other settings need a restart");
        self.reload.notify_one();
    }

    /// How many flows of visitors are open.
    pub fn open_flows(&self) -> usize {
        self.shared.gate.flows.count()
    }

    /// Waits until the overlay's thread has ended, which it does only on [`Self::stop`] or a fault.
    pub async fn wait(&mut self) {
        if let Some(reconciler) = self.tasks.first_mut() {
            // A reconciler that panicked has ended too.
            let _ = reconciler.await;
        }
    }

    /// Refuses new visitors, gives open flows and requests up to `grace` to end, resets the rest, and lets go of everything.
    pub async fn stop(self, grace: Duration) {
        let Self { control, shard, shared, tasks, mut edge, closing, .. } = self;
        control.drain().await;
        // The edge finishes the requests in hand; doors close. Tasks that ended already hold no receiver.
        let _ = closing.send(true);
        let flows = &shared.gate.flows;
        let at_rest = async {
            // An edge that panicked has ended too.
            let _ = (&mut edge).await;
            no_flows(flows).await;
        };
        let rested = tokio::time::timeout(grace, at_rest).await.is_ok();
        if !rested {
            let cut = flows.cut_all();
            shared.metrics.flows_cut.inc_by(cut as u64);
            tracing::info!(flows = cut, "flows cut at the end of draining");
            // The shard resets what has not ended by then.
            let _ = tokio::time::timeout(CUT_TIMEOUT, no_flows(flows)).await;
        }
        shard.stop().await;
        // A task that has ended may have been waited for already.
        for task in tasks.into_iter().chain([edge]).filter(|task| !task.is_finished()) {
            task.abort();
            // Aborted, panicked or done: it holds nothing any more.
            let _ = task.await;
        }
    }
}

async fn no_flows(flows: &Flows) {
    while flows.count() > 0 {
        tokio::time::sleep(DRAIN_POLL).await;
    }
}

/// Who has just come, or moved, is noted at once: a relay that dies the moment after calls it when it is back. The tick bounds how often, whatever
/// agents do.
async fn refresh_members(members: Arc<Members>, shard: Shard, mut closed: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(REFRESH_INTERVAL);
    let mut at_once = REFRESHES_AT_ONCE_MAX;
    loop {
        tokio::select! {
            _ = tick.tick() => at_once = REFRESHES_AT_ONCE_MAX.min(at_once + 1),
            () = members.somebody_came(), if at_once > 0 => at_once -= 1,
            () = until(&mut closed) => return,
        }
        members.refresh(&shard).await;
    }
}

/// Lets the control room tidy up after agents that stay away.
async fn housekeeping(control: Control, mut closed: watch::Receiver<bool>) {
    let mut absences = Absences::default();
    let mut tick = tokio::time::interval(HOUSEKEEPING_INTERVAL);
    loop {
        tokio::select! {
            _ = tick.tick() => control.housekeep(&mut absences).await,
            () = until(&mut closed) => return,
        }
    }
}

const DRAIN_POLL: Duration = Duration::from_millis(20);
/// How long flows that were cut may take to notice.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);
const REFRESH_INTERVAL: Duration = Duration::from_secs(5);
/// Looks at everybody that are taken for the sake of who has come, one more with each tick.
const REFRESHES_AT_ONCE_MAX: u32 = 10;
