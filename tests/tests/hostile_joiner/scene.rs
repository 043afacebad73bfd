//! A relay with an honest agent, and somewhere else a machine with many addresses and no good intentions.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use bore_overlay::{
    GARDEN_JOINER, GARDEN_PORT, GARDEN_RELAY, JoinKey, JoinSecret, PrivateKey, PublicKey,
};
use bore_tests::bore::{Agent, Relay};
use bore_tests::lab::Lab;
use bore_tests::namespace::Namespace;
use bore_tests::overlay_end::{OverlayEnd, RelayEnd, Reply};
use bore_tests::service::Service;
use bore_tests::visitor::{connect, echo};
use bore_tests::wait::{SOON, until};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};

/// Everything.
pub(crate) struct Scene {
    pub(crate) agent: Agent,
    pub(crate) relay: Relay,
    pub(crate) lab: Lab,
    /// Where the joiner is.
    pub(crate) outside: Namespace,
    pub(crate) relay_end: RelayEnd,
    /// A key that holds, for any number of nodes.
    pub(crate) good: JoinKey,
    /// Keys that do not hold, by why.
    pub(crate) bad: BTreeMap<&'static str, JoinKey>,
    /// Names of the nodes that may be there.
    pub(crate) nodes: Vec<String>,
    nodes_path: String,
    /// A visitor's connection that was there before.
    visitor: TcpStream,
    last_address: u8,
    _echo: Service,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let lab = Lab::new();
        let relay = Relay::start(&lab);
        let agent = Agent::join(&lab, &relay);
        let echo = Service::tcp_echo(&lab.agent, 7000);
        agent.publish_in_background(&["tcp", "7000", "--name", "shell"]);
        let outside = lab.second_agent();
        let good = created(&relay, &["--uses", "0"]);
        let bad = ["expired", "spent", "revoked"];
        let bad = bad.map(|kind| (kind, bad_key(&relay, kind))).into();
        let visitor = connect(&lab.visitor, 7000).unwrap();
        let relay_end = RelayEnd::ask(&outside, &good);
        let nodes = vec!["nas".to_owned()];
        let nodes_path = format!("{}/nodes", relay.network());
        let mut scene = Self {
            agent,
            relay,
            lab,
            outside,
            relay_end,
            good,
            bad,
            nodes,
            nodes_path,
            visitor,
            last_address: 2,
            _echo: echo,
        };
        scene.use_up("spent");
        scene.outlive("expired");
        scene
    }

    /// An address that was not used before.
    pub(crate) fn fresh_address(&mut self) -> Ipv4Addr {
        self.last_address += 1;
        let address = Ipv4Addr::new(198, 18, 5, self.last_address);
        self.outside.add_address("relay", &format!("{address}/24"));
        address
    }

    /// A machine with a fresh address and a fresh key, in the walled garden.
    pub(crate) fn stranger(&mut self) -> OverlayEnd {
        let from = self.fresh_address();
        self.stranger_at(from)
    }

    pub(crate) fn stranger_at(&self, from: Ipv4Addr) -> OverlayEnd {
        (0..3).find_map(|_| self.knock(from, fresh_key())).expect("the garden is open")
    }

    pub(crate) fn knock(&self, from: Ipv4Addr, key: PrivateKey) -> Option<OverlayEnd> {
        OverlayEnd::knock(&self.outside, from, self.relay_end, key)
    }

    /// A UDP socket at a fresh address.
    pub(crate) fn socket(&mut self) -> UdpSocket {
        let from = self.fresh_address();
        let socket = self.outside.enter(|| UdpSocket::bind((from, 0)).unwrap());
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        socket
    }

    /// What a stranger is answered to this request.
    pub(crate) fn say(&mut self, request: &[u8]) -> String {
        let mut stranger = self.stranger();
        ask(&mut stranger, request).outcome()
    }

    /// What a stranger is answered that posts this body as JSON.
    pub(crate) fn post(&mut self, body: &Value) -> String {
        self.say(&post(body))
    }

    /// A stranger joins with a good key; the outcome with the name that it got.
    pub(crate) fn join_as(&mut self, name: &str) -> String {
        let body = body(&self.good, name);
        self.join_with(&body)
    }

    pub(crate) fn join_with(&mut self, body: &Value) -> String {
        let mut stranger = self.stranger();
        let reply = ask(&mut stranger, &post(body));
        self.joined(&reply)
    }

    /// Notes who may be there from here on.
    pub(crate) fn joined(&mut self, reply: &Reply) -> String {
        let name = reply.json()["node"]["name"].as_str().unwrap_or_default().to_owned();
        if reply.outcome() != "200" || self.nodes.contains(&name) {
            return reply.outcome();
        }
        self.nodes.push(name.clone());
        format!("200 {name}")
    }

    /// What is not as it was: others are served, and no node is there that was not let in.
    pub(crate) fn damage(&mut self) -> Option<String> {
        if !self.relay.process().is_running() {
            return Some("the relay ended".to_owned());
        }
        if let Err(error) = echo(&mut self.visitor, b"still there?") {
            return Some(format!("an open connection: {error}"));
        }
        let again = connect(&self.lab.visitor, 7000);
        if let Err(error) = again.and_then(|mut stream| echo(&mut stream, b"and for others?")) {
            return Some(format!("a new connection: {error}"));
        }
        let health = self.relay.look("/v1/health");
        if health["status"] != "ok" {
            return Some(format!("health: {health}"));
        }
        let mut names = self.names();
        names.sort();
        self.nodes.sort();
        (names != self.nodes).then(|| format!("nodes are {names:?}, not {:?}", self.nodes))
    }

    fn names(&self) -> Vec<String> {
        let nodes = self.relay.look(&self.nodes_path);
        let nodes = nodes["items"].as_array().into_iter().flatten();
        nodes.map(|node| node["name"].as_str().unwrap().to_owned()).collect()
    }

    fn use_up(&mut self, kind: &str) {
        let body = body(&self.bad[kind], "first");
        assert_eq!(self.join_with(&body), "200 first");
    }

    fn outlive(&mut self, kind: &str) {
        let guess = body(&with_secret(&self.bad[kind], [0; 20]), "late");
        assert_eq!(self.post(&guess), "403 B3103");
        let id = HEXLOWER.encode(&self.bad[kind].key_id);
        until("the key to expire", SOON, || {
            let keys = self.relay.list("join-keys");
            let key = keys
                .into_iter()
                .find(|key| key["id"].as_str().is_some_and(|text| text.replace('-', "") == id))?;
            let expires_at = Duration::from_micros(key["expires_at"].as_u64()?);
            let now = std::time::SystemTime::now();
            let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
            (now > expires_at).then_some(())
        });
    }
}

pub(crate) fn fresh_key() -> PrivateKey {
    PrivateKey::generate(&mut rand::rng())
}

/// Asks the garden's door.
pub(crate) fn ask(stranger: &mut OverlayEnd, request: &[u8]) -> Reply {
    stranger.ask(GARDEN_JOINER.into(), door(), request)
}

/// The garden's only door.
pub(crate) fn door() -> SocketAddr {
    SocketAddr::new(GARDEN_RELAY.into(), GARDEN_PORT)
}

/// What an agent posts.
pub(crate) fn body(key: &JoinKey, name: &str) -> Value {
    json!({
        "key_id": HEXLOWER.encode(&key.key_id),
        "secret": BASE64URL_NOPAD.encode(key.secret.expose_bytes()),
        "network": HEXLOWER.encode(&key.network.0),
        "name": name,
        "version": "0.1.0",
    })
}

pub(crate) fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

/// The same key with a secret that was guessed.
pub(crate) fn with_secret(key: &JoinKey, secret: [u8; 20]) -> JoinKey {
    JoinKey { secret: JoinSecret::from_bytes(secret), ..key.clone() }
}

/// A request as an agent writes it.
pub(crate) fn post(body: &Value) -> Vec<u8> {
    post_as("Content-Type: application/json\r\n", body.to_string().as_bytes())
}

/// A request with other header lines, and any bytes for a body.
pub(crate) fn post_as(lines: &str, body: &[u8]) -> Vec<u8> {
    let lines = format!("{lines}Content-Length: {}\r\n", body.len());
    [request("POST", "/v1/join", &lines).as_bytes(), body].concat()
}

/// A head, and nothing behind it.
pub(crate) fn request(method: &str, path: &str, lines: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\n{HOST}Connection: close\r\n{lines}\r\n")
}

/// The line that names the garden.
pub(crate) const HOST: &str = "Host: [fd62:6f72:6500::1]\r\n";
/// How long an answer is waited for where none may come.
pub(crate) const SILENCE: Duration = Duration::from_millis(150);

/// The relay's and the honest agent's public keys as the relay lists them.
pub(crate) fn public_key_of(relay: &Relay, name: &str) -> PublicKey {
    let nodes = relay.list("nodes");
    let node = nodes.into_iter().find(|node| node["name"] == name).unwrap();
    node["public_key"].as_str().unwrap().parse().unwrap()
}

fn bad_key(relay: &Relay, kind: &str) -> JoinKey {
    match kind {
        "expired" => created(relay, &["--uses", "0", "--expires", "1s"]),
        "spent" => created(relay, &["--uses", "1"]),
        _ => {
            let key = created(relay, &["--uses", "0"]);
            relay.bore(&["key", "revoke", &HEXLOWER.encode(&key.key_id)]).success();
            key
        }
    }
}

fn created(relay: &Relay, arguments: &[&str]) -> JoinKey {
    let created = relay.create_key(arguments);
    JoinKey::parse(created["key"].as_str().unwrap()).unwrap()
}
