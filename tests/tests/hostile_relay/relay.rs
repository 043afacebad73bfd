//! A relay that holds its cluster's key and says what a test has it say: WHO, handshake, walled garden, control, watch.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bore_driver::{Local, OverlayStream, Shard, ShardConfig, pipe};
use bore_netstack::Incoming;
use bore_overlay::{
    CONTROL_PORT, ClusterKey, Config, GARDEN_PORT, GARDEN_RELAY, JoinKey, JoinSecret, NetworkId,
    Peer, PrivateKey, PublicKey, Sources, UnknownKeys, overlay_v6,
};
use bore_tests::lab::RELAY;
use bore_tests::namespace::Namespace;
use bore_tests::wait::{SOON, until};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::watch;

/// The relay. Ends with the handle.
pub(crate) struct HostileRelay {
    shard: Shard,
    runtime: tokio::runtime::Runtime,
    script: Arc<Script>,
    join_key: String,
}

/// What it says.
struct Script {
    relay_key: PublicKey,
    lines: Mutex<Lines>,
    /// Counts changes of the list of publications.
    list: watch::Sender<u32>,
    /// Whether acknowledgements are held back.
    held: watch::Sender<bool>,
}

#[derive(Default)]
struct Lines {
    /// Fields of the relay's own description that differ from an honest one's.
    relay: Value,
    /// Fields of an answer to a publish request that differ from what was asked.
    acknowledgement: Value,
    /// What an honest relay would have acknowledged.
    publications: Vec<Value>,
    /// The answer to a visit that is asked for.
    order: Value,
    /// How the visits of this order went.
    reports: Vec<Value>,
    /// Requests to publish.
    requests: u32,
    /// Fields of the list's publications that differ from what was acknowledged.
    list: Value,
    /// The same of one publication alone.
    list_of: Option<(String, Value)>,
    /// Names that are said to be another node's.
    displaced: Vec<String>,
    /// Whether requests to publish are dropped without an answer.
    drops: bool,
    attempts: u32,
    /// The attempt that the visit under way was ordered in.
    ordered_in: u32,
}

impl HostileRelay {
    /// Starts inside a namespace, at [`RELAY`], and describes itself with the fields of `relay`.
    pub(crate) fn start(namespace: &Namespace, relay: Value) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let private_key = PrivateKey::generate(&mut rand::rng());
        let cluster = ClusterKey::generate(&mut rand::rng());
        let relay_key = private_key.public();
        let overlay = Config {
            private_key,
            shard: 0,
            unknown_keys: UnknownKeys::Garden,
            identity: Some(cluster.sign_relay(&relay_key)),
            handshakes_per_second_max: 1_000,
            seed: rand::random(),
        };
        let config = ShardConfig {
            listen: SocketAddr::new(RELAY.into(), OVERLAY_PORT),
            overlay,
            mtu: 1280,
            segmentation: true,
        };
        let (shard, mut events) = namespace.enter(|| Shard::start(config)).unwrap();
        // A tunnel gets its flows when its event has room.
        runtime.spawn(async move { while events.recv().await.is_some() {} });
        let lines = Lines { relay, order: order(&[]), ..Lines::default() };
        let (list, held) = (watch::Sender::new(0), watch::Sender::new(false));
        let script = Script { relay_key, lines: Mutex::new(lines), list, held };
        let join_key = JoinKey {
            cluster: cluster.public(),
            network: NETWORK,
            key_id: [4; 16],
            secret: JoinSecret::from_bytes([5; 20]),
            relays: vec![format!("{RELAY}:{OVERLAY_PORT}").parse().unwrap()],
        };
        let join_key = join_key.encode().as_str().to_owned();
        let this = Self { shard, runtime, script: Arc::new(script), join_key };
        this.listen(GARDEN_RELAY.into(), GARDEN_PORT);
        this.listen(overlay_v6(NETWORK, &relay_key).into(), CONTROL_PORT);
        this
    }

    /// A join key for it.
    pub(crate) fn join_key(&self) -> &str {
        &self.join_key
    }

    /// Acknowledges publications with these fields changed from here on.
    pub(crate) fn acknowledges(&self, fields: Value) {
        self.script.lines().acknowledgement = fields;
    }

    /// Holds acknowledgements back from here on, or no more.
    pub(crate) fn holds_acknowledgements(&self, held: bool) {
        self.script.lines().requests = 0;
        self.script.held.send_replace(held);
    }

    /// Waits for a request to publish whose acknowledgement is held back.
    pub(crate) fn wait_for_request(&self) {
        until("a request", SOON, || (self.script.lines().requests > 0).then_some(()));
    }

    /// Orders a visit, and returns how the agent says that it went.
    pub(crate) fn order(&self, order: Value) -> Value {
        self.attempt(|lines| (lines.order, lines.list) = (order, json!({})))
    }

    /// Tells the agent other publications than were acknowledged, and orders a visit that names no address.
    pub(crate) fn tell(&self, list: Value) -> Value {
        self.attempt(|lines| (lines.order, lines.list) = (order(&[]), list))
    }

    /// Tells the agent of one publication what was not acknowledged.
    pub(crate) fn tell_of(&self, name: &str, fields: Value) {
        self.script.lines().list_of = Some((name.to_owned(), fields));
        self.script.list.send_modify(|changes| *changes += 1);
    }

    /// Tells the agent that another node has taken a publication, and answers no request for it from here on.
    pub(crate) fn displaces(&self, name: &str) {
        {
            let mut lines = self.script.lines();
            (lines.drops, lines.requests) = (true, 0);
            lines.publications.retain(|view| view["name"] != name);
            lines.displaced = vec![name.to_owned()];
        }
        self.script.list.send_modify(|changes| *changes += 1);
    }

    /// Waits for a request to publish that gets no answer, for as long as the agent may take to ask again.
    pub(crate) fn wait_for_dropped_request(&self) {
        until("a request again", 2 * SOON, || (self.script.lines().requests > 0).then_some(()));
    }

    fn attempt(&self, say: impl FnOnce(&mut Lines)) -> Value {
        {
            let mut lines = self.script.lines();
            say(&mut lines);
            lines.reports.clear();
            lines.attempts += 1;
        }
        self.script.list.send_modify(|changes| *changes += 1);
        until("a report of the visit", SOON, || self.script.lines().reports.pop())
    }

    fn listen(&self, address: IpAddr, port: u16) {
        let script = Arc::clone(&self.script);
        let job = move |local: Local| async move {
            local.stack().add_local(address);
            let listener = local.listen(address, port..=port, None).unwrap();
            let inside = local.clone();
            tokio::task::spawn_local(async move {
                loop {
                    let incoming = listener.accept().await;
                    tokio::task::spawn_local(serve(inside.clone(), incoming, Arc::clone(&script)));
                }
            });
        };
        self.runtime.block_on(self.shard.run(job)).unwrap();
    }
}

impl Drop for HostileRelay {
    fn drop(&mut self) {
        self.runtime.block_on(self.shard.stop());
    }
}

/// An order with a token as a relay draws it.
pub(crate) fn order(addresses: &[&str]) -> Value {
    json!({"token": "0123456789abcdef0123456789abcdef", "expires_in_ms": 1_000, "addresses": addresses})
}

async fn serve(local: Local, incoming: Incoming, script: Arc<Script>) {
    let peer = local.peer_of(incoming.peer);
    let mut stream = BufReader::new(pipe(incoming.accept().unwrap()));
    // An agent may break off.
    let Some((request, body)) = read(&mut stream).await else { return };
    let mut stream = stream.into_inner();
    if request.contains("/watch") {
        return watch(&mut stream, &script).await;
    }
    if request.starts_with("POST") && request.contains("/publications ") {
        script.lines().requests += 1;
        if script.lines().drops {
            return;
        }
        script.held.subscribe().wait_for(|held| !held).await.unwrap();
    }
    let answer = if request.contains("/v1/join") {
        let public_key = local.status(peer).unwrap().public_key;
        let sources =
            Sources::Node { v4: [100, 64, 0, 2].into(), v6: overlay_v6(NETWORK, &public_key) };
        // Joined already, perhaps.
        let _ = local.add_peer(
            Peer {
                public_key,
                preshared_key: None,
                endpoint: None,
                persistent_keepalive: None,
                sources,
            },
            false,
        );
        script.joined(&public_key)
    } else {
        script.answer(&request, &body)
    };
    write(&mut stream, &format!("Content-Length: {}\r\n", answer.to_string().len())).await;
    let _ = stream.write_all(answer.to_string().as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut BufReader<OverlayStream>) -> Option<(String, Value)> {
    let (mut request, mut length) = (String::new(), 0);
    stream.read_line(&mut request).await.ok()?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((request, serde_json::from_slice(&body).unwrap_or_default()))
}

async fn write(stream: &mut OverlayStream, fields: &str) {
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{fields}\r\n");
    let _ = stream.write_all(head.as_bytes()).await;
}

async fn watch(stream: &mut OverlayStream, script: &Script) {
    let mut changes = script.list.subscribe();
    write(stream, "").await;
    let hello = json!({"event": "hello", "relay": script.relay()});
    let mut lines = format!("{hello}\n{}\n", script.list_event());
    loop {
        if stream.write_all(lines.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        let changed = tokio::time::timeout(HEARTBEAT, changes.changed()).await;
        lines = match changed {
            Ok(_) => format!("{}\n", script.list_event()),
            Err(_) => "{\"event\":\"heartbeat\"}\n".to_owned(),
        };
    }
}

impl Script {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap()
    }

    fn relay(&self) -> Value {
        let honest = json!({
            "host": RELAY.to_string(), "overlay_port": OVERLAY_PORT, "public_key": self.relay_key.to_string(),
            "version": "0.1.0", "draining": false, "http_port": 80, "https_port": 443,
        });
        changed(honest, &self.lines().relay)
    }

    fn joined(&self, public_key: &PublicKey) -> Value {
        json!({
            "node": node(public_key), "network": network(), "relay": self.relay(),
            "relay_v4": "100.64.0.1", "relay_v6": overlay_v6(NETWORK, &self.relay_key),
            "control_port": CONTROL_PORT,
        })
    }

    fn answer(&self, request: &str, body: &Value) -> Value {
        if request.contains("/session ") {
            let node = node(&self.relay_key);
            return json!({"node": node, "network": network(), "relay": self.relay()});
        }
        let mut lines = self.lines();
        let (is_post, is_put) = (request.starts_with("POST"), request.starts_with("PUT"));
        match () {
            () if request.contains("/probe ") && is_post => {
                lines.ordered_in = lines.attempts;
                lines.order.clone()
            }
            () if request.contains("/probe ") && is_put => {
                if lines.ordered_in == lines.attempts {
                    lines.reports.push(body.clone());
                }
                state("reachable")
            }
            () if request.contains("/publications ") && is_post => {
                let honest = acknowledged(body);
                lines.publications.push(honest.clone());
                changed(honest, &lines.acknowledgement)
            }
            () if request.starts_with("GET") => json!({"items": lines.publications, "next": null}),
            () => json!({}),
        }
    }

    /// A new `public` makes the agent visit anew.
    fn list_event(&self) -> Value {
        let lines = self.lines();
        let publications = lines.publications.iter().map(|view| {
            let mut view = changed(view.clone(), &lines.list);
            if let Some((_, fields)) =
                lines.list_of.as_ref().filter(|(name, _)| view["name"] == *name)
            {
                view = changed(view, fields);
            }
            let public = format!("{}/{}", view["public"].as_str().unwrap(), lines.attempts);
            view["public"] = json!(public);
            view
        });
        let displaced = lines.displaced.iter().map(|name| json!({"name": name, "cause": "taken"}));
        json!({
            "event": "publications", "publications": publications.collect::<Vec<_>>(),
            "displaced": displaced.collect::<Vec<_>>(),
        })
    }
}

/// What an honest relay answers to a publish request.
fn acknowledged(request: &Value) -> Value {
    let name = request["name"].as_str().unwrap();
    let port = request["port"].as_u64().or_else(|| request["preferred_port"].as_u64());
    let is_web = request["protocol"] == "http";
    let hostnames = if is_web { vec![format!("{name}.t.test")] } else { Vec::new() };
    let public = if is_web {
        format!("http://{name}.t.test/")
    } else {
        format!("{}://{RELAY}:{}", request["protocol"].as_str().unwrap(), port.unwrap())
    };
    json!({
        "id": ID, "network": ID, "node": ID, "name": name, "protocol": request["protocol"],
        "public_port": if is_web { None } else { port }, "port_count": 1, "hostnames": hostnames,
        "overlay_port": 1024, "target": request["target"], "access": request["access"],
        "web": {}, "lifetime": request["lifetime"], "created_at": 0,
        "state": state("reachable"), "public": public, "access_notes": [],
    })
}

fn changed(mut value: Value, fields: &Value) -> Value {
    for (name, field) in fields.as_object().into_iter().flatten() {
        value[name] = field.clone();
    }
    value
}

fn state(state: &str) -> Value {
    json!({"state": state, "cause": null, "steps": [], "at": 0})
}

fn node(public_key: &PublicKey) -> Value {
    json!({
        "id": ID, "network": ID, "name": "nas", "kind": "agent", "public_key": public_key.to_string(),
        "overlay_v4": "100.64.0.2", "overlay_v6": overlay_v6(NETWORK, public_key),
        "groups": [], "ephemeral": false, "join_key": null, "created_at": 0,
    })
}

fn network() -> Value {
    json!({"id": ID, "name": "default", "created_at": 0})
}

const ID: &str = "01010101-0101-0101-0101-010101010101";
const NETWORK: NetworkId = NetworkId([1; 16]);
const OVERLAY_PORT: u16 = 443;
const HEARTBEAT: Duration = Duration::from_secs(5);
