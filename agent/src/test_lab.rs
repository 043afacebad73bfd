//! A whole agent whose relay is a second shard on loopback, with as much of control as publishes and takes back.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bore_api::model::Protocol;
use bore_api::wire::PublishRequest;
use bore_driver::{Dial, Events, Local, OverlayStream, Shard, ShardConfig, pipe};
use bore_overlay::{Config, Event, Peer, PeerId, PrivateKey, PublicKey, Sources, UnknownKeys};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::watch;
use uuid::Uuid;

use crate::connect::RelayPeer;
use crate::control_client::ControlClient;
use crate::shared::{Online, WebPorts};
use crate::state::Identity;
use crate::test_support::{closed_folder, declaration, join_key, membership, view};
use crate::{Agent, Declaration, Listener, StartOptions, StateFolder};

/// An agent and its relay.
pub(crate) struct Lab {
    pub(crate) agent: Agent,
    pub(crate) relay: Shard,
    pub(crate) control: Arc<Control>,
    /// The agent, as the relay knows it.
    agent_peer: PeerId,
    _events: Events,
    _folder: tempfile::TempDir,
}

impl Lab {
    pub(crate) async fn build() -> Self {
        let root = closed_folder();
        let folder = StateFolder::open(root.path()).unwrap();
        let mut identity = Identity::new(&join_key());
        identity.membership = Some(membership());
        folder.write_identity(&identity).unwrap();
        let agent = Agent::start(folder, StartOptions::default()).await.unwrap();

        let relay_key = PrivateKey::from_bytes([9; 32]);
        let relay_public = relay_key.public();
        let (relay, mut events) = relay_shard(relay_key);
        let (v4, v6) = (membership().overlay_v4, membership().overlay_v6);
        let node = peer(identity.private_key().public(), None, Sources::Node { v4, v6 });
        let agent_peer = add(&relay, node).await;
        let endpoint = SocketAddr::from((Ipv4Addr::LOCALHOST, relay.local_addr().port()));
        let shard = &agent.shared.shard;
        let relay_peer = add(shard, peer(relay_public, Some(endpoint), Sources::Relay)).await;
        shard.run(move |local| async move { local.start_handshake(relay_peer) }).await.unwrap();
        while !matches!(within(events.recv()).await, Some(Event::TunnelUp { .. })) {}
        agent.shared.replan(Some(relay_peer));
        let control = Control::serve(&relay).await;
        set_online(&agent, relay_peer, (relay_public, endpoint));
        Self { agent, relay, control, agent_peer, _events: events, _folder: root }
    }

    /// A listener that serves when this returns, whatever has the name.
    pub(crate) async fn listen(&self, name: &str) -> Listener {
        let declaration = Declaration { replace: true, ..in_process(name) };
        let listener = within(self.agent.listen(declaration)).await.unwrap();
        // What is served anew is reported once its ports are open.
        let shared = &self.agent.shared;
        let is_served = async {
            while shared.registry().entry(name).unwrap().seen.reported_ok.is_none() {
                tokio::task::yield_now().await;
            }
        };
        within(is_served).await;
        listener
    }

    /// Waits until nothing of that name is declared.
    pub(crate) async fn is_withdrawn(&self, name: &str) {
        let mut changes = self.agent.subscribe();
        while self.agent.shared.registry().entry(name).is_some() {
            within(changes.recv()).await.unwrap();
        }
    }

    pub(crate) async fn visit(&self) -> OverlayStream {
        within(self.relay.connect(self.dial())).await.unwrap()
    }

    pub(crate) async fn visit_refused(&self) {
        let refused = within(self.relay.connect(self.dial())).await.unwrap_err();
        assert!(refused.to_string().contains("refused"), "{refused}");
    }

    pub(crate) fn dial(&self) -> Dial {
        Dial {
            peer: self.agent_peer,
            source: SocketAddr::from((VISITOR, 0)),
            destination: SocketAddr::from((membership().overlay_v4, OVERLAY_PORT)),
            timeout: Duration::from_secs(5),
        }
    }
}

fn relay_shard(private_key: PrivateKey) -> (Shard, Events) {
    let overlay = Config {
        private_key,
        shard: 0,
        unknown_keys: UnknownKeys::Refuse,
        identity: None,
        handshakes_per_second_max: 100,
        seed: 7,
    };
    let listen = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    Shard::start(ShardConfig { listen, overlay, mtu: 1200, segmentation: true }).unwrap()
}

fn peer(public_key: PublicKey, endpoint: Option<SocketAddr>, sources: Sources) -> Peer {
    let persistent_keepalive = None;
    Peer { public_key, preshared_key: None, endpoint, persistent_keepalive, sources }
}

async fn add(shard: &Shard, peer: Peer) -> PeerId {
    shard.run(move |local| async move { local.add_peer(peer, false).unwrap() }).await.unwrap()
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("in time")
}

/// The visitor's own address, as the relay has it travel.
pub(crate) const VISITOR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
/// What `view` has.
const OVERLAY_PORT: u16 = 1024;

/// Has the agent ask control through its tunnel, as in an open session.
fn set_online(agent: &Agent, id: PeerId, (key, endpoint): (PublicKey, SocketAddr)) {
    let membership = membership();
    let control = SocketAddr::from((membership.relay_v6, membership.control_port));
    let source = IpAddr::from(membership.overlay_v6);
    let control = ControlClient::new(agent.shared.shard.clone(), id, source, control);
    let (relay, web) = (RelayPeer { id, key, endpoint }, WebPorts { http: 80, https: 443 });
    agent.shared.set_online(Online { control, relay, session: 1, web });
}

/// Takes publications and gives them back.
#[derive(Debug)]
pub(crate) struct Control {
    /// What it has, by name; each that is new has an id of its own.
    stored: Mutex<BTreeMap<String, Uuid>>,
    /// What was asked for, as `POST web`, and `POST web done` when it is not held back any more.
    asked: watch::Sender<Vec<String>>,
    /// What waits until it may be done.
    held: watch::Sender<Option<&'static str>>,
}

impl Control {
    async fn serve(relay: &Shard) -> Arc<Self> {
        let (asked, held) = (watch::Sender::new(Vec::new()), watch::Sender::new(None));
        let this = Arc::new(Self { stored: Mutex::default(), asked, held });
        let (address, port) = (membership().relay_v6.into(), membership().control_port);
        let control = Arc::clone(&this);
        let job = move |local: Local| async move {
            local.stack().add_local(address);
            let listener = local.listen(address, port..=port, None).unwrap();
            tokio::task::spawn_local(async move {
                loop {
                    let stream = pipe(listener.accept().await.accept().unwrap());
                    tokio::task::spawn_local(Arc::clone(&control).answer(stream));
                }
            });
        };
        relay.run(job).await.unwrap();
        this
    }

    /// Requests that begin so are held back from here on.
    pub(crate) fn hold(&self, request: &'static str) {
        self.held.send_replace(Some(request));
    }

    /// What was held back is done.
    pub(crate) fn let_go(&self) {
        self.held.send_replace(None);
    }

    /// Waits until this was asked for.
    pub(crate) async fn is_asked(&self, request: &str) {
        let mut asked = self.asked.subscribe();
        let is_it = |asked: &Vec<String>| asked.iter().any(|each| each == request);
        within(asked.wait_for(is_it)).await.unwrap();
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }

    /// The names of what it has.
    pub(crate) fn stored(&self) -> Vec<String> {
        self.stored.lock().unwrap().keys().cloned().collect()
    }

    /// Has a publication that the agent knows nothing of.
    pub(crate) fn store(&self, name: &str) {
        self.stored.lock().unwrap().insert(name.to_owned(), Uuid::now_v7());
    }

    async fn answer(self: Arc<Self>, stream: OverlayStream) {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).await.unwrap();
        let answer = self.done(head.lines().next().unwrap(), &body).await;
        let head =
            format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}", answer.len());
        // An agent may have given up.
        let _ = stream.write_all(format!("{head}\r\n\r\n{answer}").as_bytes()).await;
        let _ = stream.shutdown().await;
    }

    async fn done(&self, request: &str, body: &[u8]) -> String {
        let (method, path) = request.split_once(" /v1/nodes/self/publications").unwrap();
        let path = path.split(' ').next().unwrap();
        let wanted: Option<PublishRequest> = serde_json::from_slice(body).ok();
        let name = match &wanted {
            Some(wanted) => wanted.name.clone().unwrap_or_else(|| FOUND.to_owned()),
            None => path.trim_start_matches('/').to_owned(),
        };
        let request = format!("{method} {name}");
        self.asked.send_modify(|asked| asked.push(request.clone()));
        let is_free = |held: &Option<&str>| held.is_none_or(|held| !request.starts_with(held));
        drop(self.held.subscribe().wait_for(is_free).await);
        self.asked.send_modify(|asked| asked.push(format!("{request} done")));
        let mut stored = self.stored.lock().unwrap();
        match (method, wanted) {
            ("POST", Some(wanted)) => {
                let id = *stored.entry(name.clone()).or_insert_with(Uuid::now_v7);
                let mut answer = view(&name, wanted.protocol);
                answer.publication.id = id;
                answer.publication.public_port =
                    wanted.port.or(wanted.preferred_port).or(Some(7777));
                serde_json::to_string(&answer).unwrap()
            }
            ("GET", _) => {
                let item = |(name, id): (&String, &Uuid)| serde_json::json!({"id": id, "name": name, "lifetime": "session"});
                serde_json::json!({"items": stored.iter().map(item).collect::<Vec<_>>(), "next": null}).to_string()
            }
            ("DELETE", _) => {
                stored.retain(|stored, id| *stored != name && id.to_string() != name);
                "{}".to_owned()
            }
            // Reports of targets.
            _ => "{}".to_owned(),
        }
    }
}

/// `name`, taken by a listener.
pub(crate) fn in_process(name: &str) -> Declaration {
    declaration(name, Protocol::Tcp, "in-process")
}

/// The name that control finds for what has none.
pub(crate) const FOUND: &str = "found";
