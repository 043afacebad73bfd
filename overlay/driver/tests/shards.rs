//! Two shards on loopback, one as a relay and one as an agent: tunnels, flows and datagrams over real sockets.

#![expect(
    clippy::unwrap_used,
    reason = "the lab's helpers lie outside the functions that clippy knows as tests"
)]

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bore_driver::{
    DatagramSink, Dial, Events, Meter, Near, PumpEnd, Shard, ShardConfig, UdpBinding, pipe_until,
    pump,
};
use bore_overlay::{Config, Event, Peer, PeerId, PrivateKey, PublicKey, Sources, UnknownKeys};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

#[tokio::test]
async fn bytes_reach_a_kernel_socket_behind_the_agent_and_come_back() {
    let lab = Lab::build().await;
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    lab.serve(origin.local_addr().unwrap()).await;
    let echoing = tokio::spawn(async move {
        let (mut socket, _) = origin.accept().await.unwrap();
        let (mut reader, mut writer) = socket.split();
        tokio::io::copy(&mut reader, &mut writer).await.unwrap()
    });

    let stream = lab.relay.connect(lab.dial()).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let sent: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let sending = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let receiving = reader.read_to_end(&mut received);
    let (_, result) = within(async { tokio::join!(sending, receiving) }).await;

    result.unwrap();
    assert!(received == sent, "the echo differs");
    assert_eq!(echoing.await.unwrap(), 1_000_000);
}

#[tokio::test]
async fn a_target_that_refuses_is_refused_end_to_end() {
    let lab = Lab::build().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    lab.serve(nobody).await;

    let refused = within(lab.relay.connect(lab.dial())).await.unwrap_err();
    assert!(refused.to_string().contains("refused"), "{refused}");
}

#[tokio::test]
async fn a_reset_of_the_target_is_an_error_and_not_an_end() {
    let lab = Lab::build().await;
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    lab.serve(origin.local_addr().unwrap()).await;
    tokio::spawn(async move {
        let (mut socket, _) = origin.accept().await.unwrap();
        // A reset before anything was said may count as refused.
        socket.read_u8().await.unwrap();
        socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
    });

    let mut stream = within(lab.relay.connect(lab.dial())).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    let mut bytes = Vec::new();
    let error = within(stream.read_to_end(&mut bytes)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_stream_that_is_dropped_ends_in_order_or_resets_its_target_as_it_says() {
    let lab = Lab::build().await;
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    lab.serve(origin.local_addr().unwrap()).await;
    for is_reset in [false, true] {
        let mut stream = within(lab.relay.connect(lab.dial())).await.unwrap();
        if is_reset {
            stream.ending().reset();
        }
        stream.write_all(b"last words").await.unwrap();
        let (mut socket, _) = within(origin.accept()).await.unwrap();
        drop(stream);
        let mut said = Vec::new();
        let end = within(socket.read_to_end(&mut said)).await;
        assert_eq!(said, b"last words");
        let reset = std::io::ErrorKind::ConnectionReset;
        assert_eq!(end.map_err(|error| error.kind()).err(), is_reset.then_some(reset));
    }
}

#[tokio::test]
async fn a_stream_that_has_said_all_it_will_has_ended_in_order() {
    let lab = Lab::build().await;
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    lab.serve(origin.local_addr().unwrap()).await;
    let mut stream = within(lab.relay.connect(lab.dial())).await.unwrap();
    stream.ending().reset();
    stream.write_all(b"all").await.unwrap();
    stream.shutdown().await.unwrap();
    let (mut socket, _) = within(origin.accept()).await.unwrap();
    let mut said = Vec::new();
    within(socket.read_to_end(&mut said)).await.unwrap();
    assert_eq!(said, b"all");
}

#[tokio::test]
async fn what_a_target_says_before_it_closes_on_unread_bytes_arrives() {
    let lab = Lab::build().await;
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    lab.serve(origin.local_addr().unwrap()).await;
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = origin.accept().await.unwrap();
            socket.read_exact(&mut [0; 100]).await.unwrap();
            // With unread bytes a socket is closed by RST, without by FIN.
            socket.peek(&mut [0]).await.unwrap();
            socket.write_all(REFUSAL).await.unwrap();
        }
    });

    for unread in [5_000, 50_000, 300_000].into_iter().cycle().take(60) {
        let mut stream = within(lab.relay.connect(lab.dial())).await.unwrap();
        // The target may be gone before it has all of it.
        let _ = within(stream.write_all(&vec![7; 100 + unread])).await;
        let mut heard = Vec::new();
        let end = within(stream.read_to_end(&mut heard)).await;
        assert_eq!(heard, REFUSAL, "{unread} bytes unread");
        assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn what_came_before_a_reset_reaches_a_reader_that_is_slow() {
    let lab = Lab::build().await;
    let sent: Vec<u8> = (0..600_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let (address, relay, words) = (IpAddr::V4(lab.agent_v4), lab.relay_peer, sent.clone());
    let (ready, listening) = oneshot::channel();
    let agent = lab.agent.clone();
    tokio::spawn(async move {
        let serving = agent.run(move |local| async move {
            let ports = SERVICE_PORT..=SERVICE_PORT;
            let listener = local.listen(address, ports, Some(relay)).unwrap();
            ready.send(()).unwrap();
            let flow = listener.accept().await.accept().unwrap();
            let mut left = &words[..];
            while !left.is_empty() {
                let count = poll_fn(|context| flow.poll_write(context, left)).await.unwrap();
                left = &left[count..];
            }
            poll_fn(|context| flow.poll_flushed(context)).await.unwrap();
            flow.abort();
        });
        serving.await.unwrap();
    });
    listening.await.unwrap();
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut visitor = TcpStream::connect(door.local_addr().unwrap()).await.unwrap();
    let (socket, _) = door.accept().await.unwrap();
    let (socket, dial) = (socket.into_std().unwrap(), lab.dial());
    let relay = lab.relay.clone();
    let pumping = tokio::spawn(async move {
        let carrying = relay.run(move |local| async move {
            let flow = local.connect(&dial).await.unwrap();
            carry(flow, TcpStream::from_std(socket).unwrap()).await
        });
        carrying.await.unwrap()
    });

    let mut heard = Vec::new();
    let mut room = [0; 1_000];
    let end = loop {
        match within(visitor.read(&mut room)).await {
            Ok(0) => panic!("a reset became an end in order"),
            Ok(count) => heard.extend_from_slice(&room[..count]),
            Err(error) => break error,
        }
        tokio::task::yield_now().await;
    };

    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(heard == sent, "{} of {} bytes", heard.len(), sent.len());
    assert_eq!(within(pumping).await.unwrap(), PumpEnd::FlowReset);
}

#[tokio::test]
async fn datagrams_reach_the_agents_sink_with_the_visitors_address() {
    let lab = Lab::build().await;
    let (sender, mut heard) = mpsc::unbounded_channel();
    let agent = lab.agent_v4;
    lab.agent.spawn_sink(agent, sender).await;

    let (peer, visitor) = (lab.agent_peer, SocketAddr::from(([203, 0, 113, 9], 5555)));
    let to = SocketAddr::new(IpAddr::V4(agent), 7777);
    lab.relay
        .run(move |local| async move { local.send_udp(peer, visitor, to, b"hello") })
        .await
        .unwrap();

    assert_eq!(within(heard.recv()).await, Some((visitor, to, b"hello".to_vec())));
}

#[tokio::test]
async fn a_flow_survives_a_new_socket_of_the_agent() {
    let lab = Lab::build().await;
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    lab.serve(origin.local_addr().unwrap()).await;
    let mut stream = within(lab.relay.connect(lab.dial())).await.unwrap();
    let (mut socket, _) = origin.accept().await.unwrap();

    lab.agent.run(|local| async move { local.rebind() }).await.unwrap().unwrap();
    socket.write_all(b"from a new address").await.unwrap();
    let mut bytes = [0; 18];
    within(stream.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"from a new address");
}

#[tokio::test]
async fn a_stopped_shard_answers_that_it_is_gone() {
    let lab = Lab::build().await;
    lab.agent.stop().await;
    assert!(lab.agent.run(|_| async {}).await.is_err());
}

#[tokio::test]
async fn stopping_a_shard_resets_its_flows_at_both_ends() {
    let lab = Lab::build().await;
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    lab.serve(origin.local_addr().unwrap()).await;
    let mut stream = within(lab.relay.connect(lab.dial())).await.unwrap();
    let (mut socket, _) = origin.accept().await.unwrap();
    stream.write_all(b"x").await.unwrap();
    within(socket.read_u8()).await.unwrap();

    within(lab.agent.stop()).await;

    let at_the_service = within(socket.read_u8()).await.unwrap_err();
    assert_eq!(at_the_service.kind(), std::io::ErrorKind::ConnectionReset);
    let at_the_relay = within(stream.read_u8()).await.unwrap_err();
    assert_eq!(at_the_relay.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_stopped_shard_has_closed_its_socket() {
    let (shard, _events) = shard(key());
    let address = shard.local_addr();
    within(shard.stop()).await;
    std::net::UdpSocket::bind(address).unwrap();
}

#[tokio::test]
async fn a_flow_that_is_cut_is_reset_and_its_bytes_are_counted() {
    let lab = Lab::build().await;
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    lab.serve(origin.local_addr().unwrap()).await;
    let (meter, dial) = (Arc::new(Meter::default()), lab.dial());
    let (cut, cutting) = oneshot::channel::<()>();
    let counted = Arc::clone(&meter);
    let connecting = lab.relay.run(move |local| async move {
        let flow = local.connect(&dial).await.unwrap();
        pipe_until(flow, counted, async move { drop(cutting.await) })
    });
    let mut stream = within(connecting).await.unwrap();
    let (mut socket, _) = origin.accept().await.unwrap();
    stream.write_all(b"four").await.unwrap();
    let mut bytes = [0; 4];
    within(socket.read_exact(&mut bytes)).await.unwrap();

    drop(cut);

    let error = within(stream.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let error = within(socket.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(meter.inward_bytes.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_call_ends_when_its_caller_gives_up() {
    let lab = Lab::build().await;
    // No peer answers.
    lab.agent.stop().await;
    let flows = || async { lab.relay.run(|local| async move { local.counters().flows }).await };
    let dial = Dial { timeout: Duration::from_secs(3_600), ..lab.dial() };
    let call = tokio::spawn({
        let relay = lab.relay.clone();
        async move { relay.connect(dial).await.map(drop) }
    });
    within(async { while flows().await.unwrap() == 0 {} }).await;
    call.abort();
    within(async { while flows().await.unwrap() > 0 {} }).await;
}

/// A relay and an agent with a tunnel between them.
struct Lab {
    relay: Shard,
    agent: Shard,
    agent_peer: PeerId,
    relay_peer: PeerId,
    agent_v4: Ipv4Addr,
    _events: [Events; 2],
}

const RELAY_V4: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
const SERVICE_PORT: u16 = 1024;
const REFUSAL: &[u8] = b"ERR max number of clients reached\n";

impl Lab {
    async fn build() -> Self {
        let (relay_key, agent_key) = (key(), key());
        let (relay_public, agent_public) = (relay_key.public(), agent_key.public());
        let (relay, mut relay_events) = shard(relay_key);
        let (agent, mut agent_events) = shard(agent_key);
        let agent_v4 = Ipv4Addr::new(100, 64, 0, 2);
        let node = Sources::Node {
            v4: agent_v4,
            v6: Ipv6Addr::from([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]),
        };
        let agent_peer = add(&relay, peer(agent_public, None, node)).await;
        let endpoint = SocketAddr::from((Ipv4Addr::LOCALHOST, relay.local_addr().port()));
        let relay_peer = add(&agent, peer(relay_public, Some(endpoint), Sources::Relay)).await;
        agent.run(move |local| async move { local.start_handshake(relay_peer) }).await.unwrap();
        for events in [&mut relay_events, &mut agent_events] {
            while !matches!(within(events.recv()).await, Some(Event::TunnelUp { .. })) {}
        }
        Self {
            relay,
            agent,
            agent_peer,
            relay_peer,
            agent_v4,
            _events: [relay_events, agent_events],
        }
    }

    /// Makes the agent carry flows to `target`.
    async fn serve(&self, target: SocketAddr) {
        let (address, relay) = (IpAddr::V4(self.agent_v4), self.relay_peer);
        let (ready, listening) = oneshot::channel();
        let agent = self.agent.clone();
        tokio::spawn(async move {
            let _ = agent
                .run(move |local| async move {
                    let listener =
                        local.listen(address, SERVICE_PORT..=SERVICE_PORT, Some(relay)).unwrap();
                    ready.send(()).unwrap();
                    loop {
                        let incoming = listener.accept().await;
                        tokio::task::spawn_local(async move {
                            match TcpStream::connect(target).await {
                                Ok(socket) => drop(carry(incoming.accept().unwrap(), socket).await),
                                Err(_) => incoming.reject_reset(),
                            }
                        });
                    }
                })
                .await;
        });
        listening.await.unwrap();
    }

    fn dial(&self) -> Dial {
        Dial {
            peer: self.agent_peer,
            source: SocketAddr::from((RELAY_V4, 0)),
            destination: SocketAddr::from((self.agent_v4, SERVICE_PORT)),
            timeout: Duration::from_secs(5),
        }
    }
}

async fn carry(flow: bore_netstack::TcpFlow, socket: TcpStream) -> PumpEnd {
    pump(&flow, &Near::tcp(socket), &Meter::default()).await
}

trait SpawnSink {
    async fn spawn_sink(&self, address: Ipv4Addr, heard: mpsc::UnboundedSender<Heard>);
}

type Heard = (SocketAddr, SocketAddr, Vec<u8>);

impl SpawnSink for Shard {
    async fn spawn_sink(&self, address: Ipv4Addr, heard: mpsc::UnboundedSender<Heard>) {
        self.run(move |local| async move {
            let binding = UdpBinding::Local { address: IpAddr::V4(address), ports: 7777..=7777 };
            let bound = local.bind_udp(binding, Rc::new(Sink(RefCell::new(heard)))).unwrap();
            tokio::task::spawn_local(async move {
                std::future::pending::<()>().await;
                drop(bound);
            });
        })
        .await
        .unwrap();
    }
}

struct Sink(RefCell<mpsc::UnboundedSender<Heard>>);

impl DatagramSink for Sink {
    fn receive(&self, source: SocketAddr, destination: SocketAddr, payload: &[u8]) {
        let _ = self.0.borrow().send((source, destination, payload.to_vec()));
    }

    fn unreachable(&self, _source: SocketAddr, _destination: SocketAddr) {}
}

fn key() -> PrivateKey {
    PrivateKey::generate(&mut rand::rng())
}

fn shard(private_key: PrivateKey) -> (Shard, Events) {
    let overlay = Config {
        private_key,
        shard: 0,
        unknown_keys: UnknownKeys::Refuse,
        identity: None,
        handshakes_per_second_max: 100,
        seed: 7,
    };
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Shard::start(ShardConfig { listen, overlay, mtu: 1280, segmentation: true }).unwrap()
}

fn peer(public_key: PublicKey, endpoint: Option<SocketAddr>, sources: Sources) -> Peer {
    Peer {
        public_key,
        preshared_key: None,
        endpoint,
        persistent_keepalive: endpoint.map(|_| 25),
        sources,
    }
}

async fn add(shard: &Shard, peer: Peer) -> PeerId {
    shard.run(move |local| async move { local.add_peer(peer, false).unwrap() }).await.unwrap()
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("it took too long")
}
