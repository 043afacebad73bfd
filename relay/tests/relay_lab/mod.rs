//! A real relay in this process, and an agent made of the driver's parts: enough to join, publish, answer probes and serve.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use bore_api::model::{Actor, Publication};
use bore_api::wire::PublicationView;
use bore_driver::{DatagramSink, Dial, Events, Local, Shard, ShardConfig, UdpBinding, pipe};
use bore_netstack::Incoming;
use bore_overlay::{
    CONTROL_PORT, Config as OverlayConfig, Event, GARDEN_JOINER, GARDEN_PORT, GARDEN_RELAY,
    JoinKey, PROBE_PORT, Peer, PeerId, PrivateKey, PublicKey, Sources, UnknownKeys,
};
use bore_relay::{Addresses, Config, InitOptions, InitSettings, Relay};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use uuid::Uuid;

/// A relay on loopback with every port chosen by the kernel.
pub(crate) struct Lab {
    pub(crate) relay: Relay,
    folder: tempfile::TempDir,
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let any = || Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let settings = InitSettings {
            host: "127.0.0.1".to_owned(),
            domain: Some("test.example".to_owned()),
            state: Some(folder.path().join("relay")),
            overlay_listen: any(),
            http_listen: any(),
            https_listen: any(),
            api_listen: any(),
            metrics_listen: any(),
            ..InitSettings::default()
        };
        let options =
            InitOptions { config: folder.path().join("relay.toml"), settings, new_database: false };
        let mut config = bore_relay::init(&options).await.unwrap().config;
        config.public_addresses = vec![Ipv4Addr::LOCALHOST.into()];
        change(&mut config);
        let relay = Relay::start(config).await.unwrap();
        Self { relay, folder }
    }

    pub(crate) fn at(&self) -> Addresses {
        self.relay.addresses()
    }

    pub(crate) async fn stop(self) {
        within("the relay's end", self.relay.stop(Duration::ZERO)).await;
        drop(self.folder);
    }

    pub(crate) async fn join_key(&self) -> JoinKey {
        let text = bore_relay::first_join_key(self.relay.control().core()).await.unwrap();
        JoinKey::parse(&text).unwrap()
    }

    /// What `/metrics` says.
    pub(crate) async fn scrape(&self) -> String {
        let mut socket = tokio::net::TcpStream::connect(self.at().metrics).await.unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within("a scrape", socket.read_to_string(&mut answer)).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
        body.to_owned()
    }

    /// The first scrape that is as wanted.
    pub(crate) async fn until_scraped(&self, wanted: impl Fn(&str) -> bool) -> String {
        let look = async {
            loop {
                let text = self.scrape().await;
                if wanted(&text) {
                    return text;
                }
            }
        };
        within("such a scrape", look).await
    }

    /// Waits until a publication is in `state`.
    pub(crate) async fn until_state(&self, item: &Publication, state: &str) -> Value {
        let (control, last) = (self.relay.control(), std::sync::Mutex::new(String::new()));
        let look = async {
            loop {
                let views = control.publications().of_node(item.network, item.node);
                let view = views.iter().find(|view| view.publication.id == item.id).unwrap();
                let shown = serde_json::to_value(&view.state).unwrap();
                if shown["state"] == state {
                    return shown;
                }
                *last.lock().unwrap() = shown.to_string();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, look).await;
        found.unwrap_or_else(|_| panic!("{} is not {state}: {}", item.name, last.lock().unwrap()))
    }
}

/// A shard with a tunnel to the relay.
pub(crate) struct Agent {
    pub(crate) shard: Shard,
    _events: Events,
    pub(crate) relay: PeerId,
    pub(crate) node: Uuid,
    pub(crate) network: Uuid,
    pub(crate) addresses: [IpAddr; 2],
    relay_v6: Ipv6Addr,
}

/// What an agent's service does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Echo,
    /// Answers HTTP with `ok`, and grants every upgrade.
    Http,
    /// Leaves the SYN undecided.
    Hold,
    Reset,
}

impl Agent {
    /// A tunnel of a stranger: in the walled garden.
    pub(crate) async fn stranger(lab: &Lab) -> (Shard, Events, PeerId) {
        let key = lab.join_key().await;
        let (shard, mut events) = bare_shard();
        let at = lab.at().overlay;
        let cluster = key.cluster;
        shard.run(move |local| async move { local.request_identity(at, cluster) }).await.unwrap();
        let public_key = until(&mut events, |event| match event {
            Event::RelayIdentity { key, .. } => Some(*key),
            _ => None,
        })
        .await;
        let relay = bring_up(&shard, public_key, at).await;
        until(&mut events, |event| matches!(event, Event::TunnelUp { .. }).then_some(())).await;
        (shard, events, relay)
    }

    pub(crate) async fn join(lab: &Lab, name: &str) -> Self {
        let key = lab.join_key().await;
        let (shard, events, relay) = Self::stranger(lab).await;
        let body = json!({
            "key_id": Uuid::from_bytes(key.key_id),
            "secret": BASE64URL_NOPAD.encode(key.secret.expose_bytes()),
            "network": Uuid::from_bytes(key.network.0),
            "name": name, "version": "0.1.0", "ephemeral": true,
        });
        let joined = call(
            &shard,
            relay,
            SocketAddr::new(GARDEN_JOINER.into(), 0),
            SocketAddr::new(GARDEN_RELAY.into(), GARDEN_PORT),
            ("POST", "/v1/join", &body),
        )
        .await;
        let of = |field: &str| joined["node"][field].as_str().unwrap().to_owned();
        let addresses = [of("overlay_v4").parse().unwrap(), of("overlay_v6").parse().unwrap()];
        shard
            .run(move |local| async move {
                for address in addresses {
                    local.stack().add_local(address);
                }
            })
            .await
            .unwrap();
        let agent = Self {
            shard,
            _events: events,
            relay,
            node: of("id").parse().unwrap(),
            network: of("network").parse().unwrap(),
            addresses,
            relay_v6: joined["relay_v6"].as_str().unwrap().parse().unwrap(),
        };
        agent.answer_probes().await;
        agent
    }

    /// Asks the relay's control inside the overlay.
    pub(crate) async fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        let source = SocketAddr::new(self.addresses[1], 0);
        let to = SocketAddr::new(self.relay_v6.into(), CONTROL_PORT);
        call(&self.shard, self.relay, source, to, (method, path, body)).await
    }

    pub(crate) async fn publish(&self, lab: &Lab, request: Value) -> PublicationView {
        let request = serde_json::from_value(request).unwrap();
        let by = Actor::Node(self.node);
        lab.relay
            .control()
            .publications()
            .publish(self.network, self.node, &request, &by)
            .await
            .unwrap()
    }

    /// Says that it serves a publication, which the relay waits for before it looks.
    pub(crate) async fn report(&self, item: &Publication) {
        let path = format!("/v1/nodes/self/publications/{}/target", item.id);
        self.control("PUT", &path, &json!({"ok": true, "detail": "answered"})).await;
    }

    /// Serves TCP at a publication's overlay port.
    pub(crate) async fn serve(&self, port: u16, service: Service) {
        self.listen(port, move |_, incoming| async move {
            match service {
                Service::Hold => std::future::pending().await,
                Service::Reset => incoming.reject_reset(),
                Service::Http => {
                    let mut stream = BufReader::new(pipe(incoming.accept().unwrap()));
                    // A visitor may leave in the middle.
                    while let Some(answer) = answer_to(&mut stream).await {
                        let _ = stream.get_mut().write_all(answer.as_bytes()).await;
                    }
                }
                Service::Echo => {
                    let (mut reader, mut writer) =
                        tokio::io::split(pipe(incoming.accept().unwrap()));
                    // A visitor may leave in the middle.
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                    let _ = writer.shutdown().await;
                }
            }
        })
        .await;
    }

    /// Answers as agents do, but for publications whose target is `dead` of which it says that they are down.
    async fn answer_probes(&self) {
        self.listen(PROBE_PORT, |_, incoming| async move {
            let mut stream = BufReader::new(pipe(incoming.accept().unwrap()));
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let question: Value = serde_json::from_str(&line).unwrap();
            let answer = match question["echo"].as_str() {
                Some(token) => json!({"echo": token}),
                None => json!({"ok": true, "detail": "answered"}),
            };
            stream.get_mut().write_all(format!("{answer}\n").as_bytes()).await.unwrap();
        })
        .await;
    }

    async fn listen<F, Fut>(&self, port: u16, serve: F)
    where
        F: Fn(Local, Incoming) -> Fut + Copy + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let (addresses, relay) = (self.addresses, self.relay);
        self.shard
            .run(move |local| async move {
                for address in addresses {
                    let listener = local.listen(address, port..=port, Some(relay)).unwrap();
                    let local = local.clone();
                    tokio::task::spawn_local(async move {
                        loop {
                            let incoming = listener.accept().await;
                            tokio::task::spawn_local(serve(local.clone(), incoming));
                        }
                    });
                }
            })
            .await
            .unwrap();
    }

    /// Serves UDP at a publication's overlay port: what is done is the datagram's first byte.
    pub(crate) async fn serve_udp(&self, port: u16) {
        let (addresses, relay) = (self.addresses, self.relay);
        self.shard
            .run(move |local| async move {
                for address in addresses {
                    let binding = UdpBinding::Local { address, ports: port..=port };
                    let service = Rc::new(UdpService { local: local.clone(), relay });
                    let bound = local.bind_udp(binding, service).unwrap();
                    tokio::task::spawn_local(async move {
                        std::future::pending::<()>().await;
                        drop(bound);
                    });
                }
            })
            .await
            .unwrap();
    }
}

/// What an origin answers to the next request; `None` when there is none.
async fn answer_to(stream: &mut BufReader<bore_driver::OverlayStream>) -> Option<&'static str> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        stream.read_line(&mut head).await.ok().filter(|count| *count > 0)?;
    }
    if head.to_lowercase().contains("upgrade:") {
        return Some(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n",
        );
    }
    Some("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
}

struct UdpService {
    local: Local,
    relay: PeerId,
}

impl DatagramSink for UdpService {
    fn receive(&self, source: SocketAddr, destination: SocketAddr, payload: &[u8]) {
        let local = self.local.clone();
        let (relay, payload) = (self.relay, payload.to_vec());
        // The stack is in use while this runs.
        tokio::task::spawn_local(async move {
            match payload.first() {
                Some(b'e') => local.send_udp(relay, destination, source, &payload),
                Some(b'm') => {
                    (0..100).for_each(|_| local.send_udp(relay, destination, source, &[0; 1200]));
                }
                Some(b'u') => local.reject_udp(relay, source, destination, &payload),
                Some(b'x') => {
                    let nobody = SocketAddr::new(source.ip(), 9);
                    local.send_udp(relay, destination, nobody, b"hello");
                }
                _ => {}
            }
        });
    }

    fn unreachable(&self, _source: SocketAddr, _destination: SocketAddr) {}
}

/// One request on a connection of its own.
async fn call(
    shard: &Shard,
    relay: PeerId,
    source: SocketAddr,
    destination: SocketAddr,
    (method, path, body): (&str, &str, &Value),
) -> Value {
    let dial = Dial { peer: relay, source, destination, timeout: Duration::from_secs(10) };
    let mut stream = shard.connect(dial).await.unwrap();
    let body = body.to_string();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {destination}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(path, stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 20"), "{answer}");
    serde_json::from_str(body).unwrap_or(Value::Null)
}

/// A shard without a tunnel.
pub(crate) fn bare_shard() -> (Shard, Events) {
    shard(PrivateKey::generate(&mut rand::rng()))
}

fn shard(private_key: PrivateKey) -> (Shard, Events) {
    let overlay = OverlayConfig {
        private_key,
        shard: 0,
        unknown_keys: UnknownKeys::Refuse,
        identity: None,
        handshakes_per_second_max: 1000,
        seed: rand::random(),
    };
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Shard::start(ShardConfig { listen, overlay, mtu: 1280, segmentation: true }).unwrap()
}

async fn bring_up(shard: &Shard, public_key: PublicKey, at: SocketAddr) -> PeerId {
    let peer = Peer {
        public_key,
        preshared_key: None,
        endpoint: Some(at),
        persistent_keepalive: Some(25),
        sources: Sources::Relay,
    };
    shard
        .run(move |local| async move {
            local.stack().add_local(GARDEN_JOINER.into());
            let relay = local.add_peer(peer, false).unwrap();
            local.start_handshake(relay);
            relay
        })
        .await
        .unwrap()
}

pub(crate) async fn until<T>(
    events: &mut Events,
    mut wanted: impl FnMut(&Event) -> Option<T>,
) -> T {
    let look = async {
        loop {
            let event = events.recv().await.expect("the shard ended");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    };
    within("an event", look).await
}

pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| panic!("no {what} in {PATIENCE:?}"))
}

const PATIENCE: Duration = Duration::from_secs(30);
