//! A relay with an honest agent, and a node of the same network that joined properly and says what it likes.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

use bore_overlay::{GARDEN_JOINER, GARDEN_PORT, GARDEN_RELAY, JoinKey, PrivateKey};
use bore_tests::bore::{Agent, Relay};
use bore_tests::lab::Lab;
use bore_tests::namespace::Namespace;
use bore_tests::overlay_end::{OverlayEnd, RelayEnd, Reply};
use bore_tests::service::Service;
use bore_tests::visitor::{connect, echo, exchange, udp};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};

/// Everything.
pub(crate) struct Scene {
    pub(crate) node: Node,
    pub(crate) agent: Agent,
    pub(crate) relay: Relay,
    pub(crate) lab: Lab,
    /// Where the hostile node is.
    pub(crate) machine: Namespace,
    pub(crate) relay_end: RelayEnd,
    pub(crate) private_key: PrivateKey,
    /// What the honest agent publishes, as the relay lists it.
    pub(crate) honest: Vec<Value>,
    /// Path of the list of publications.
    list: String,
    visitor: TcpStream,
    _services: [Service; 2],
}

/// The hostile node.
pub(crate) struct Node {
    pub(crate) end: OverlayEnd,
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Ipv6Addr,
    /// The relay's address in this network.
    pub(crate) relay_v6: Ipv6Addr,
    pub(crate) id: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let lab = Lab::new();
        let relay = Relay::start(&lab);
        let agent = Agent::join(&lab, &relay).knows_hosts(&["app"]);
        let services =
            [Service::tcp_echo(&lab.agent, 7000), Service::udp_echo(&lab.agent, 7001, 1)];
        agent.publish_in_background(&["tcp", "7000", "--name", "shell"]);
        agent.publish_in_background(&["udp", "7001", "--name", "game"]);
        agent.publish_in_background(&["http", "7000", "--name", "app", "--health", "tcp"]);
        for name in ["shell", "game", "app"] {
            relay.wait_for_state(name, "live");
        }
        let machine = lab.second_agent();
        (3..20).for_each(|last| machine.add_address("relay", &format!("198.18.5.{last}/24")));
        let key = relay.create_key(&["--uses", "0"]);
        let key = JoinKey::parse(key["key"].as_str().unwrap()).unwrap();
        let relay_end = RelayEnd::ask(&machine, &key);
        let private_key = PrivateKey::generate(&mut rand::rng());
        let node = Node::join(&machine, relay_end, private_key.clone(), &key);
        let visitor = connect(&lab.visitor, 7000).unwrap();
        let honest = relay.list("publications");
        let list = format!("{}/publications", relay.network());
        Self {
            node,
            agent,
            relay,
            lab,
            machine,
            relay_end,
            private_key,
            honest,
            list,
            visitor,
            _services: services,
        }
    }

    /// An honest publication's id.
    pub(crate) fn honest_id(&self, name: &str) -> String {
        let found = self.honest.iter().find(|view| view["name"] == name).unwrap();
        found["id"].as_str().unwrap().to_owned()
    }

    /// The honest agent's node as the relay lists it.
    pub(crate) fn nas(&self) -> Value {
        let nodes = self.relay.list("nodes");
        nodes.into_iter().find(|node| node["name"] == "nas").unwrap()
    }

    /// What is published now; what the hostile node publishes is removed first.
    fn publications(&mut self) -> Vec<Value> {
        let views = self.views();
        let is_its_own = |view: &&Value| view["node"] == self.node.id.as_str();
        let its_own: Vec<Value> = views.iter().filter(is_its_own).cloned().collect();
        for view in &its_own {
            let id = view["id"].as_str().unwrap();
            let own = format!("/v1/nodes/self/publications/{id}");
            if self.node.ask("DELETE", &own, None).outcome() != "204" {
                let path = format!("{}/{id}", self.list);
                assert_eq!(self.relay.api("DELETE", &path, None).status, 204);
            }
        }
        if its_own.is_empty() { views } else { self.views() }
    }

    pub(crate) fn views(&self) -> Vec<Value> {
        self.relay.look(&self.list)["items"].as_array().cloned().unwrap_or_default()
    }

    /// What is not as it was: the honest agent's services answer visitors, are what they were, and the relay is well.
    pub(crate) fn damage(&mut self) -> Option<String> {
        if !self.relay.process().is_running() {
            return Some("the relay ended".to_owned());
        }
        if !self.agent.process().is_running() {
            return Some("the honest agent ended".to_owned());
        }
        if let Err(error) = echo(&mut self.visitor, b"still there?") {
            return Some(format!("an open connection: {error}"));
        }
        let again = connect(&self.lab.visitor, 7000);
        if let Err(error) = again.and_then(|mut stream| echo(&mut stream, b"and for others?")) {
            return Some(format!("a new connection: {error}"));
        }
        if exchange(&udp(&self.lab.visitor, 7001), b"and datagrams?").is_none() {
            return Some("no answer by UDP".to_owned());
        }
        let health = self.relay.look("/v1/health");
        if health["status"] != "ok" {
            return Some(format!("health: {health}"));
        }
        let (before, now) = (stable(&self.honest), stable(&self.publications()));
        (before != now).then(|| format!("publications are {now:?}, not {before:?}"))
    }
}

impl Node {
    fn join(machine: &Namespace, relay: RelayEnd, private_key: PrivateKey, key: &JoinKey) -> Self {
        let from = Ipv4Addr::new(198, 18, 5, 2);
        let mut end = OverlayEnd::knock(machine, from, relay, private_key).unwrap();
        let body = json!({
            "key_id": HEXLOWER.encode(&key.key_id),
            "secret": BASE64URL_NOPAD.encode(key.secret.expose_bytes()),
            "network": HEXLOWER.encode(&key.network.0),
            "name": "mallory",
            "version": "0.1.0",
        });
        let request = request("POST", "/v1/join", "[fd62:6f72:6500::1]", "", Some(&body));
        let door = SocketAddr::new(GARDEN_RELAY.into(), GARDEN_PORT);
        let joined = end.ask(GARDEN_JOINER.into(), door, &request);
        let view = joined.json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            end,
            v4: text(&view["node"]["overlay_v4"]).parse().unwrap(),
            v6: text(&view["node"]["overlay_v6"]).parse().unwrap(),
            relay_v6: text(&view["relay_v6"]).parse().unwrap(),
            id: text(&view["node"]["id"]),
        }
    }

    /// Asks the relay's API inside the overlay, as an agent does.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.say(&request(method, path, "100.64.0.1", "", body))
    }

    /// The same without a body, and with its outcome alone.
    pub(crate) fn get(&mut self, path: &str) -> String {
        self.ask("GET", path, None).outcome()
    }

    /// Says anything at the API's door.
    pub(crate) fn say(&mut self, request: &[u8]) -> Reply {
        self.end.ask(self.v4.into(), api_v4(), request)
    }

    /// Publishes.
    pub(crate) fn publish(&mut self, body: &Value) -> String {
        self.ask("POST", "/v1/nodes/self/publications", Some(body)).outcome()
    }

    pub(crate) fn api_v6(&self) -> SocketAddr {
        SocketAddr::new(self.relay_v6.into(), 80)
    }

    pub(crate) fn source(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.v4.into(), port)
    }
}

/// A request with `Connection: close`, as bytes.
pub(crate) fn request(
    method: &str,
    path: &str,
    host: &str,
    lines: &str,
    body: Option<&Value>,
) -> Vec<u8> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let json = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{json}{lines}Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// What does not change while a publication is served as before: not the time of its last proof, nor a visit from outside a moment ago.
fn stable(views: &[Value]) -> Vec<Value> {
    let fields = ["id", "node", "name", "target", "public_port", "hostnames", "access"];
    let picked = |view: &Value| fields.iter().map(|field| view[field].clone()).collect();
    let mut rows: Vec<Value> = views.iter().map(picked).collect();
    rows.sort_by_key(Value::to_string);
    rows
}

pub(crate) fn api_v4() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(100, 64, 0, 1), 80))
}
