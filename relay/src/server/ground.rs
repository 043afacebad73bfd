//! What a relay starts from: keys, store, certificates, shard, and sockets that are bound before anything else is made, so that a port that is taken
//! stops the start.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use bore_control::sealing::Sealer;
use bore_control::store::Store;
use bore_control::{Clock, Core, Settings};
use bore_driver::{Events, Shard, ShardConfig};
use bore_edge::now_micros;
use bore_edge::tls::{Files, Tls};
use bore_overlay::limits::INNER_MTU;
use bore_overlay::{Config as OverlayConfig, UnknownKeys};
use tokio::net::TcpListener;

use super::addresses::Addresses;
use super::start_error::StartError;
use crate::config::Config;
use crate::descriptors::Shares;
use crate::dns::Listening;
use crate::identity::{PublicPorts, identity};
use crate::sealing_keys;
use crate::state_folder::{RelayKeys, StateFolder};

/// What stays as it is while a relay runs.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) config: Config,
    pub(super) state: StateFolder,
    pub(super) keys: RelayKeys,
    pub(super) store: Arc<Store>,
    pub(super) sealer: Arc<Sealer>,
    pub(super) tls: Arc<Tls>,
    pub(super) shard: Shard,
    pub(super) addresses: Addresses,
    pub(super) shares: Shares,
}

/// What is used up by the start.
pub(super) struct Beginning {
    pub(super) listeners: Listeners,
    pub(super) certificate_files: Files,
    pub(super) events: Events,
}

/// The sockets of a relay but the overlay's.
pub(super) struct Listeners {
    pub(super) http: TcpListener,
    pub(super) https: TcpListener,
    pub(super) api: TcpListener,
    pub(super) metrics: TcpListener,
    pub(super) dns: Listening,
}

impl Ground {
    pub(super) async fn lay(config: Config) -> Result<(Self, Beginning), StartError> {
        let state = StateFolder::open(&config.state)?;
        let keys = state.keys()?;
        let url = config.database.url();
        let store = bore_control::store::open(&url, state.path(), keys.audit_key()).await;
        let store = store.map_err(StartError::Store)?;
        let sealer = Arc::new(sealing_keys::open(&config, state.path(), &store).await?);
        let listeners = Listeners::bind(&config).await?;
        let tls = Arc::new(Tls::new(config.tls.minimum)?);
        let certificate_files = Files::load(&config.tls.certificate_files, tls.certificates())?;
        let (shard, events) = start_shard(&config, &keys)?;
        let addresses = listeners.addresses(&shard, &config);
        let shares = Shares::of_process();
        let ground = Self { config, state, keys, store, sealer, tls, shard, addresses, shares };
        Ok((ground, Beginning { listeners, certificate_files, events }))
    }

    /// The control room's core, with all that the store has.
    pub(super) async fn core(&self) -> Result<Core, StartError> {
        let identity = identity(&self.config, &self.keys, self.public_ports());
        let audit_retention = self.config.audit_retention;
        let settings = Settings { audit_retention, ..Settings::default() };
        let core = Core::load(Arc::clone(&self.store), identity, Clock::new(now_micros), settings);
        core.await.map_err(StartError::Store)
    }

    /// The ports that visitors and agents see.
    pub(super) fn public_ports(&self) -> PublicPorts {
        let Self { config, addresses, .. } = self;
        PublicPorts {
            overlay: addresses.overlay.port(),
            http: port_of(config.public_http_port, addresses.http),
            https: port_of(config.public_https_port, addresses.https),
        }
    }
}

/// The port that visitors see of a listener.
pub(super) fn port_of(public: Option<NonZeroU16>, listener: SocketAddr) -> u16 {
    public.map_or_else(|| listener.port(), NonZeroU16::get)
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

fn start_shard(config: &Config, keys: &RelayKeys) -> Result<(Shard, Events), StartError> {
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

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { what, address, source })
}

fn local(listener: &TcpListener, configured: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(configured)
}
