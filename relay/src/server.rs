//! A running relay: everything made, joined together, and ended in order.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bore_control::store::StoreError;
use bore_control::{Absences, Control, Settings};
use bore_driver::{Shard, ShardConfig};
use bore_edge::tls::{FileError, Files, Tls};
use bore_edge::{Edge, EdgeCounters, EdgeSettings, Scheme};
use bore_overlay::limits::INNER_MTU;
use bore_overlay::{Config as OverlayConfig, UnknownKeys};
use bore_policy::Hostname;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::acme::RootsError;
use crate::config::{Config, Database};
use crate::control_listeners;
use crate::descriptors::Shares;
use crate::dns::{Dns, DnsError, Listening, TxtRecords};
use crate::endpoints::Endpoints;
use crate::flows::Flows;
use crate::ingress::{Expected, Gate, Ingress, Shared};
use crate::issuing;
use crate::members::Members;
use crate::metrics::{AccessMetrics, IngressMetrics, Scrape};
use crate::origins::OverlayOrigins;
use crate::publications::{Checker, Publications, Reconciler};
use crate::runtime::{Identity, RelayRuntime};
use crate::sealing_keys::{self, SealingKeyError};
use crate::state_folder::{RelayKeys, StateError, StateFolder};
use crate::tunnels::Tunnels;

/// A relay that runs in this process.
#[derive(Debug)]
pub struct Relay {
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

/// Where a relay's sockets ended up; of interest where the configuration said port 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The overlay's UDP socket.
    pub overlay: SocketAddr,
    /// The shared HTTP port.
    pub http: SocketAddr,
    /// The shared HTTPS port.
    pub https: SocketAddr,
    /// The REST API.
    pub api: SocketAddr,
    /// `/metrics`.
    pub metrics: SocketAddr,
    /// The authoritative DNS server, where there is one: UDP and TCP.
    pub dns: Option<SocketAddr>,
}

/// Why a relay did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The state folder.
    #[error("the state folder cannot be used")]
    State(#[from] StateError),
    /// The database.
    #[error("the database cannot be opened")]
    Store(#[source] StoreError),
    /// A listener.
    #[error("cannot listen on {address} ({what})")]
    Listen {
        /// Which listener.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// The kernel's reason.
        source: std::io::Error,
    },
    /// A certificate from files.
    #[error("a certificate cannot be served")]
    Certificate(#[from] FileError),
    /// TLS itself.
    #[error("TLS cannot be spoken")]
    Tls(#[from] rustls::Error),
    /// The key that secrets in the database are sealed with.
    #[error("the sealed secrets cannot be opened")]
    SealingKey(#[from] SealingKeyError),
    /// Whom to trust to be the CA.
    #[error("the CA's roots cannot be read")]
    CaRoots(#[source] RootsError),
    /// The overlay.
    #[error("the overlay cannot start")]
    Overlay(#[source] bore_driver::StartError),
    /// DNS.
    #[error("the zone of the relay's domain cannot be kept")]
    Dns(#[source] DnsError),
}

impl Relay {
    /// Starts everything; when it returns, agents can join and the API answers.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let state = StateFolder::open(&config.state)?;
        let keys = state.keys()?;
        let store = bore_control::store::open(
            &database_url(&config.database),
            state.path(),
            keys.audit_key(),
        )
        .await
        .map_err(StartError::Store)?;
        let sealer = sealing_keys::open(&config, state.path(), &store).await?;
        let listeners = Listeners::bind(&config).await?;
        let tls = Arc::new(Tls::new(config.tls.minimum)?);
        let files = Files::load(&config.tls.certificate_files, tls.certificates())?;
        let (shard, events) = start_shard(&config, &keys)?;
        let addresses = listeners.addresses(&shard, &config);
        let Listeners { http, https, api, metrics, dns } = listeners;

        let publications = Arc::new(Publications::new(own_names(&config)));
        let runtime = Arc::new(RelayRuntime::new(
            identity(&config, &keys, addresses),
            Arc::clone(&publications),
            Arc::clone(tls.certificates()),
        ));
        let settings = Settings { audit_retention: config.audit_retention, ..Settings::default() };
        let control = Control::new(Arc::clone(&store), Arc::clone(&runtime) as Arc<_>, settings);
        control.refresh().await.map_err(StartError::Store)?;

        let shares = Shares::of_process();
        let flows = Flows::within(shares.tcp_visitors);
        let mut registry = Registry::default();
        let shared = Arc::new(Shared {
            gate: Gate { control: control.clone(), flows: Arc::new(flows) },
            expected: Expected::default(),
            metrics: IngressMetrics::register(&mut registry),
            addresses: config.public_addresses.clone(),
            publications: Arc::clone(&publications),
            port_sockets_max: shares.ports,
        });
        let counters = EdgeCounters::register(&mut registry);
        let observer = Arc::new(AccessMetrics::register(&mut registry));
        let members = Arc::new(Members::new(Endpoints::load(state.path())));
        let ingress = Ingress::start(&shard, Arc::clone(&shared));
        let tunnels = Arc::new(Tunnels {
            shard: shard.clone(),
            members: Arc::clone(&members),
            relay_key: keys.relay.public(),
        });
        let checker = Arc::new(Checker::new(
            control.clone(),
            Arc::clone(&tunnels),
            ingress.clone(),
            Arc::clone(&publications),
        ));
        let reconciler = Arc::new(Reconciler {
            control: control.clone(),
            tunnels: Arc::clone(&tunnels),
            shared: Arc::clone(&shared),
            ingress,
            publications: Arc::clone(&publications),
            checker,
            certificates: Arc::clone(tls.certificates()),
            opening: Mutex::default(),
        });
        runtime.attach(&reconciler);

        // Names are known before anybody is told which exist.
        reconciler.reconcile().await;
        let (closing, closed) = watch::channel(false);
        let named = Arc::clone(&publications);
        let published = Box::new(move |name: &str| named.standing(name));
        let Dns { txt_records, tasks: answering } =
            dns.start(&config, published, &mut registry, &closed).map_err(StartError::Dns)?;
        let issuer_config = issuing::IssuerConfig {
            config: &config,
            store,
            sealer,
            holder: keys.relay.public().to_string(),
            certificates: Arc::clone(tls.certificates()),
            challenges: Arc::clone(tls.challenges()),
            txt: txt_records.clone(),
        };
        let issuer = issuing::issuer(issuer_config, &mut registry).await?;
        let names = issuing::names(&config, txt_records.is_some());
        runtime.attach_issuer(&issuer, names.clone());
        let scrape = Scrape::register(registry, Arc::clone(&tunnels), Arc::clone(&shared));
        let origins =
            Arc::new(OverlayOrigins { publications, tunnels, shared: Arc::clone(&shared) });
        let refused = &shared.metrics.doors_refused;
        let reload = Arc::new(Notify::new());
        let mut tasks = vec![
            tokio::spawn(Arc::clone(&reconciler).run(events)),
            tokio::spawn(control_listeners::keep_overlay(
                shard.clone(),
                control.clone(),
                Arc::clone(&members),
                keys.relay.public(),
                refused.clone(),
            )),
            tokio::spawn(refresh_members(Arc::clone(&members), shard.clone(), closed.clone())),
            tokio::spawn(issuing::keep(
                issuer,
                issuing::CertificateDemand {
                    names,
                    control: control.clone(),
                    certificates: Arc::clone(tls.certificates()),
                },
                closed.clone(),
            )),
            tokio::spawn(housekeeping(control.clone(), closed.clone())),
            tokio::spawn(files.watch(Arc::clone(tls.certificates()), Arc::clone(&reload))),
            tokio::spawn(Arc::clone(&runtime.domains).keep(control.clone(), closed.clone())),
            tokio::spawn(control_listeners::serve_tcp(
                api,
                bore_control::tcp_router(control.clone()),
                refused.clone(),
                closed.clone(),
            )),
            tokio::spawn(control_listeners::serve_tcp(
                metrics,
                scrape.router(),
                refused.clone(),
                closed.clone(),
            )),
        ];
        tasks.extend(answering);
        let visitors = edge_settings(&config, addresses, shares);
        let edge = Edge { origins, observer, tls, counters };
        let edge = start_edge([http, https], visitors, edge, &closed);
        Ok(Self {
            shard,
            shared,
            tasks,
            edge,
            closing,
            reload,
            addresses,
            txt_records,
            _state: state,
        })
    }

    /// Where the sockets are.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The control room, for whoever runs in the relay's own process.
    pub fn control(&self) -> &Control {
        &self.shared.gate.control
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
        let Self { shard, shared, tasks, mut edge, closing, .. } = self;
        shared.gate.control.drain().await;
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

/// Sockets that are bound before anything else is made, so that a port that is taken stops the start.
struct Listeners {
    http: TcpListener,
    https: TcpListener,
    api: TcpListener,
    metrics: TcpListener,
    dns: Listening,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, StartError> {
        Ok(Self {
            http: listen("http", config.http_listen).await?,
            https: listen("https", config.https_listen).await?,
            api: listen("api", config.api_listen).await?,
            metrics: listen("metrics", config.metrics_listen).await?,
            dns: Listening::bind(config).await.map_err(|(address, source)| StartError::Listen {
                what: "dns",
                address,
                source,
            })?,
        })
    }

    fn addresses(&self, shard: &Shard, config: &Config) -> Addresses {
        Addresses {
            overlay: shard.local_addr(),
            http: local(&self.http, config.http_listen),
            https: local(&self.https, config.https_listen),
            api: local(&self.api, config.api_listen),
            metrics: local(&self.metrics, config.metrics_listen),
            dns: self.dns.local_addr(),
        }
    }
}

/// Serves visitors on the two shared ports, until `closing`.
fn start_edge(
    listeners: [TcpListener; 2],
    settings: [EdgeSettings; 2],
    edge: Edge<OverlayOrigins>,
    closing: &watch::Receiver<bool>,
) -> JoinHandle<()> {
    let edge = Arc::new(edge);
    let serving = listeners.into_iter().zip(settings).map(|(listener, settings)| {
        let mut closing = closing.clone();
        let shutdown = async move { until(&mut closing).await };
        Box::pin(bore_edge::serve(listener, Arc::clone(&edge), settings, shutdown))
    });
    let serving: Vec<_> = serving.collect();
    tokio::spawn(async move {
        futures_util::future::join_all(serving).await;
    })
}

async fn no_flows(flows: &Flows) {
    while flows.count() > 0 {
        tokio::time::sleep(DRAIN_POLL).await;
    }
}

fn start_shard(
    config: &Config,
    keys: &RelayKeys,
) -> Result<(Shard, bore_driver::Events), StartError> {
    let overlay = OverlayConfig {
        private_key: keys.relay.clone(),
        shard: 0,
        unknown_keys: UnknownKeys::Garden,
        identity: Some(keys.cluster.sign_relay(&keys.relay.public())),
        handshakes_per_second_max: config.handshakes_per_second_max.get(),
        seed: rand::random(),
    };
    let config = ShardConfig {
        listen: config.overlay_listen,
        overlay,
        mtu: INNER_MTU,
        segmentation: config.overlay_segmentation,
    };
    Shard::start(config).map_err(StartError::Overlay)
}

fn identity(config: &Config, keys: &RelayKeys, addresses: Addresses) -> Identity {
    Identity {
        host: config.host.clone(),
        domain: config.domain.clone(),
        relay_key: keys.relay.public(),
        cluster_key: keys.cluster.public(),
        overlay_port: addresses.overlay.port(),
        http_port: port_of(config.public_http_port, addresses.http),
        https_port: port_of(config.public_https_port, addresses.https),
        public_addresses: config.public_addresses.clone(),
        public_ports: config.public_ports.clone(),
        open_ports: config.open_ports.clone(),
    }
}

/// Of the two shared ports.
fn edge_settings(config: &Config, addresses: Addresses, shares: Shares) -> [EdgeSettings; 2] {
    let https_port = port_of(config.public_https_port, addresses.https);
    let plain = EdgeSettings {
        address: config.host.parse().ok(),
        public_port: Some(port_of(config.public_http_port, addresses.http)),
        https_port: Some(https_port),
        hsts_seconds: config.tls.hsts_seconds,
        proxies: config.tls.proxy_protocol_from.clone(),
        progress_window: Duration::from_secs(config.visitor_pause_seconds_max.get().into()),
        connections_max: shares.edge_connections,
        ..EdgeSettings::default()
    };
    let public_port = Some(https_port);
    let secure = EdgeSettings { scheme: Scheme::Https, public_port, ..plain.clone() };
    [plain, secure]
}

/// The port that visitors see of a listener.
fn port_of(public: Option<NonZeroU16>, listener: SocketAddr) -> u16 {
    public.map_or_else(|| listener.port(), NonZeroU16::get)
}

/// Names that are nobody's.
fn own_names(config: &Config) -> Vec<Hostname> {
    let names = std::iter::once(&config.host).chain(&config.domain);
    names.filter_map(|name| Hostname::parse(name).ok()).collect()
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { what, address, source })
}

fn local(listener: &TcpListener, configured: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(configured)
}

/// The store's address: the embedded database lives in the state folder.
pub(crate) fn database_url(database: &Database) -> String {
    match database {
        Database::Embedded => "sqlite://bore.db".to_owned(),
        Database::Postgresql(url) => url.clone(),
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

async fn until(closed: &mut watch::Receiver<bool>) {
    // A relay that is gone is closed.
    let _ = closed.wait_for(|closed| *closed).await;
}

const DRAIN_POLL: Duration = Duration::from_millis(20);
/// How long flows that were cut may take to notice.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);
const REFRESH_INTERVAL: Duration = Duration::from_secs(5);
/// Looks at everybody that are taken for the sake of who has come, one more with each tick.
const REFRESHES_AT_ONCE_MAX: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visitors_are_told_of_the_ports_that_they_see() {
        let mut config = Config::for_host("relay.example.org");
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (http, https, overlay) = (at(8080), at(8443), at(1));
        let addresses = Addresses { overlay, http, https, api: at(2), metrics: at(3), dns: None };
        let told = |config: &Config| {
            let [plain, secure] = edge_settings(config, addresses, Shares::of_process());
            [plain.public_port, plain.https_port, secure.public_port]
        };
        assert_eq!(told(&config), [Some(8080), Some(8443), Some(8443)]);
        config.public_http_port = NonZeroU16::new(80);
        config.public_https_port = NonZeroU16::new(443);
        assert_eq!(told(&config), [Some(80), Some(443), Some(443)]);
    }
}
