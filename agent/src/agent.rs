//! A running agent: joins, tells how it is, stops.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bore_api::model::Lifetime;
use bore_api::wire::PublicationView;
use bore_driver::{Events, Shard, ShardConfig};
use bore_overlay::UnknownKeys;
use bore_overlay::limits::INNER_MTU;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::connect::Connector;
use crate::declaration::Declaration;
use crate::error::{AgentError, in_full};
use crate::join::JoinOptions;
use crate::limits::{CounterValues, STOP_TIMEOUT};
use crate::registry::Registry;
use crate::runner::Runner;
use crate::shared::StateChange;
use crate::shared::{Link, Shared};
use crate::state::StateLock;
use crate::state::{Identity, Membership, StateFolder};
use crate::{connect, join, local_api, prober, saving, serve, wire};

/// A running agent. Clones are handles to the same one; it runs until [`Agent::stop`], or until it ends by itself.
#[derive(Debug, Clone)]
pub struct Agent {
    pub(crate) shared: Arc<Shared>,
    lock: Arc<Mutex<Option<StateLock>>>,
}

/// How an agent starts.
#[derive(Debug, Default)]
pub struct StartOptions {
    /// Joins with this unless the state folder is a node already.
    pub join: Option<JoinOptions>,
    /// Takes the identity over from another agent that runs with it, once.
    pub takeover: bool,
}

/// How an agent is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of bore.
    pub version: String,
    /// The node.
    pub node: Uuid,
    /// Its name.
    pub name: String,
    /// Its network's name.
    pub network: String,
    /// Its overlay IPv4 address.
    pub overlay_v4: Ipv4Addr,
    /// Its overlay IPv6 address.
    pub overlay_v6: Ipv6Addr,
    /// The relay's public name.
    pub relay: String,
    /// Whether a session with the relay is open.
    pub connected: bool,
    /// Why not.
    pub cause: Option<String>,
    /// Where the relay's tunnel answers.
    pub endpoint: Option<SocketAddr>,
    /// Round trip to the relay through the tunnel, in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// Longest IP packet of the tunnel that was shown to reach the relay, in bytes. Filled where it is asked for.
    #[serde(default)]
    pub path_mtu_bytes: Option<usize>,
    /// Seconds since the agent started.
    pub uptime_seconds: u64,
    /// What is published.
    pub publications: Vec<PublicationView>,
    /// Why the state folder is not up to date, while it is not.
    #[serde(default)]
    pub unsaved: Option<String>,
    /// What was counted.
    pub counters: CounterValues,
}

impl Agent {
    /// Starts on `folder`, joining first when it has to. Connects in the background: [`Agent::connected`] waits for it.
    ///
    /// # Errors
    /// The folder is in use, nobody joined yet and no key is given, the relay refuses the key or does not answer while joining.
    pub async fn start(folder: StateFolder, options: StartOptions) -> Result<Self, AgentError> {
        let lock = folder.lock()?;
        let mut identity = join::identity(&folder, options.join.as_ref())?;
        let declared = declared(&folder)?;
        let boot = folder.boot_id();
        let (shard, events) = start_shard(&identity)?;
        let mut connector = Connector::new(shard.clone(), events);
        let joined = join_unless_member(
            &shard,
            &mut connector,
            &folder,
            &mut identity,
            options.join.as_ref(),
        )
        .await;
        let (membership, standing) = match joined {
            Ok(joined) => joined,
            Err(error) => {
                shard.stop().await;
                return Err(error);
            }
        };
        let shared = Shared::new(folder, shard, identity, membership, declared, boot);
        let agent = Self { shared, lock: Arc::new(Mutex::new(Some(lock))) };
        agent.begin(connector, standing, options.takeover);
        Ok(agent)
    }

    /// Joins with `key` as [`Agent::start`] does, unless `folder` is a node of that network already.
    ///
    /// # Errors
    /// As [`Agent::start`].
    pub async fn join(folder: StateFolder, join: JoinOptions) -> Result<Self, AgentError> {
        Self::start(folder, StartOptions { join: Some(join), takeover: false }).await
    }

    fn begin(&self, connector: Connector, standing: Option<connect::RelayPeer>, takeover: bool) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let shard = shared.shard.clone();
            // The shard ends with the agent; then nobody is served any more anyway.
            let _ = shard.run(move |local| serve::run(local, shared)).await;
        });
        let runner = Runner::new(Arc::clone(&self.shared), connector, standing, takeover);
        tokio::spawn(end_with(Arc::clone(&self.shared), tokio::spawn(runner.run())));
        tokio::spawn(prober::run(Arc::clone(&self.shared)));
        tokio::spawn(saving::run(Arc::clone(&self.shared)));
        self.open_local_api();
    }

    /// Commands find the agent from here on; where the folder takes no socket, as soon as it does.
    fn open_local_api(&self) {
        let folder = self.shared.folder.clone();
        match local_api::LocalSocket::bind(&folder.socket()) {
            Ok(socket) => drop(tokio::spawn(socket.serve(self.clone(), folder.owner()))),
            Err(error) => {
                let (code, error) = (error.code(), in_full(&error));
                tracing::warn!(%code, error, "commands do not find this agent yet");
                tokio::spawn(local_api::serve_once_bound(self.clone()));
            }
        }
    }

    /// Waits until a session with the relay is open, at most `limit`.
    ///
    /// # Errors
    /// Why there is none: what the last attempt saw.
    pub async fn connected(&self, limit: Duration) -> Result<(), AgentError> {
        self.shared.online(limit).await.map(drop)
    }

    /// What is declared here and acknowledged or refused by the relay, by name.
    pub fn publications(&self) -> Vec<PublicationView> {
        self.shared.registry().shown()
    }

    /// Changes from here on.
    pub fn subscribe(&self) -> broadcast::Receiver<StateChange> {
        self.shared.changes()
    }

    /// How the agent is.
    pub fn status(&self) -> Status {
        let membership = self.shared.membership.clone();
        let link = self.shared.link().borrow().clone();
        let (endpoint, round_trip, cause) = match &link {
            Link::Online(online) => {
                (Some(online.relay.endpoint), online.control.round_trip(), None)
            }
            Link::Connecting(error) => (None, None, error.as_ref().map(ToString::to_string)),
            Link::Ended(error) => (None, None, Some(error.to_string())),
        };
        Status {
            version: wire::VERSION.to_owned(),
            node: membership.node,
            name: membership.name,
            network: membership.network_name,
            overlay_v4: membership.overlay_v4,
            overlay_v6: membership.overlay_v6,
            relay: membership.relay_host,
            connected: endpoint.is_some(),
            cause,
            endpoint,
            round_trip_ms: round_trip.map(|time| time.as_secs_f64() * 1000.0),
            path_mtu_bytes: None,
            uptime_seconds: self.shared.started.elapsed().as_secs(),
            publications: self.publications(),
            unsaved: self.shared.saving.failure(),
            counters: self.shared.counters.values(&self.shared.room),
        }
    }

    /// Longest IP packet of the tunnel that was shown to reach the relay, while there is a session.
    pub async fn path_mtu_bytes(&self) -> Option<usize> {
        let control = match &*self.shared.link().borrow() {
            Link::Online(online) => online.control.clone(),
            Link::Connecting(_) | Link::Ended(_) => return None,
        };
        control.path_mtu_bytes().await
    }

    /// Waits until the agent has ended and says why: stopped, or replaced by another agent.
    pub async fn ended(&self) -> Arc<AgentError> {
        let mut link = self.shared.link();
        let ended = link.wait_for(|link| matches!(link, Link::Ended(_))).await;
        match ended.as_deref() {
            Ok(Link::Ended(error)) => Arc::clone(error),
            Ok(Link::Online(_) | Link::Connecting(_)) | Err(_) => Arc::new(AgentError::Stopped),
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(*self.shared.link().borrow(), Link::Ended(_))
    }

    /// Takes session publications back (within [`STOP_TIMEOUT`]) and ends. The state folder is free when this returns.
    pub async fn stop(&self) {
        // What is not taken back in time goes when the next session opens, or when the relay misses us.
        let _ = tokio::time::timeout(STOP_TIMEOUT, self.withdraw_session_publications()).await;
        self.shared.stop();
        self.ended().await;
        self.let_flows_end().await;
        self.shared.shard.stop().await;
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// The relay learns from the end of the watch, not from its silence, that this agent is gone.
    async fn let_flows_end(&self) {
        let ended = |local: bore_driver::Local| async move {
            while local.stack().flow_count() > 0 {
                tokio::time::sleep(FLOWS_LOOK).await;
            }
        };
        // An agent without a relay has flows that end with it.
        let _ = tokio::time::timeout(FLOWS_END, self.shared.shard.run(ended)).await;
    }

    async fn withdraw_session_publications(&self) {
        let is_session = |declaration: &Declaration| declaration.lifetime == Lifetime::Session;
        let names: Vec<String> = self
            .shared
            .registry()
            .entries()
            .filter(|(_, entry)| is_session(&entry.declaration))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            self.remove_if_online(&name).await;
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

/// An agent whose main task has failed is no agent any more: it ends, and may be started again.
async fn end_with(shared: Arc<Shared>, runner: JoinHandle<()>) {
    if let Err(error) = runner.await {
        shared.set_ended(AgentError::Internal(format!("the agent's main task failed: {error}")));
    }
}

/// What was declared to stay; unproved until the relay says otherwise.
fn declared(folder: &StateFolder) -> Result<Registry, AgentError> {
    let mut registry = Registry::default();
    for stored in folder.publications()? {
        let target = stored.declaration.parse_target()?;
        if let Some(name) = stored.declaration.name.clone() {
            registry.declare(&name, stored.declaration, target, stored.view);
            if let Some(problem) = stored.refused {
                registry.refuse(&name, problem);
            }
        }
    }
    registry.set_all_offline("not connected yet");
    Ok(registry)
}

fn start_shard(identity: &Identity) -> Result<(Shard, Events), AgentError> {
    let overlay = bore_overlay::Config {
        private_key: identity.private_key(),
        shard: 0,
        unknown_keys: UnknownKeys::Refuse,
        identity: None,
        handshakes_per_second_max: HANDSHAKES_PER_SECOND_MAX,
        seed: rand::random(),
    };
    let listen = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let segmentation = !is_switched_off(SEGMENTATION);
    Shard::start(ShardConfig { listen, overlay, mtu: INNER_MTU, segmentation })
        .map_err(AgentError::Overlay)
}

/// What an environment variable switches: `on`, which is the default, or `off`.
fn is_switched_off(variable: &str) -> bool {
    let value = std::env::var_os(variable).unwrap_or_default();
    if !(value.is_empty() || value == "on" || value == "off") {
        tracing::warn!(variable, ?value, "neither `on` nor `off`: left on");
    }
    value == "off"
}

async fn join_unless_member(
    shard: &Shard,
    connector: &mut Connector,
    folder: &StateFolder,
    identity: &mut Identity,
    join: Option<&JoinOptions>,
) -> Result<(Membership, Option<connect::RelayPeer>), AgentError> {
    if let Some(membership) = &identity.membership {
        return Ok((membership.clone(), None));
    }
    let not_joined = || AgentError::NotJoined { folder: folder.path().to_owned() };
    let join = join.ok_or_else(not_joined)?;
    let began = Instant::now();
    let relay = loop {
        match join::join(shard, connector, folder, identity, join).await {
            Ok(relay) => break relay,
            // A relay that is just starting refuses for a moment.
            Err(error) if !error.is_final() && began.elapsed() < JOIN_PATIENCE => {
                tracing::info!(code = error.code(), %error, "not joined yet, trying again");
                tokio::time::sleep(JOIN_AGAIN).await;
            }
            Err(error) => return Err(error),
        }
    };
    let membership = identity.membership.clone().ok_or_else(not_joined)?;
    Ok((membership, Some(relay)))
}

/// How long a first join is tried again; a person waits for it.
const JOIN_PATIENCE: Duration = Duration::from_secs(5);
const JOIN_AGAIN: Duration = Duration::from_millis(500);
/// How long the last flows may take to end, and how often they are looked at.
const FLOWS_END: Duration = Duration::from_millis(500);
const FLOWS_LOOK: Duration = Duration::from_millis(10);
/// Switches the sending of trains with one system call, as `overlay_segmentation` does on a relay.
const SEGMENTATION: &str = "BORE_OVERLAY_SEGMENTATION";
/// One relay handshakes with an agent, every two minutes.
const HANDSHAKES_PER_SECOND_MAX: u32 = 20;
