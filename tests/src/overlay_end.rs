//! A WireGuard end of the test's own: it has a tunnel to a relay as an agent has, and says inside what no agent says.
//!
//! It has no thread: nothing happens between two calls, so that a test decides about every packet.
#![expect(clippy::indexing_slicing, reason = "by lengths that were just given")]

pub mod handshake;
pub mod packet;
pub mod reply;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bore_netstack::{ConnectError, PeerConfig, PeerKey, Stack, TcpFlow};
use bore_overlay::{
    Config, Encapsulated, Event, JoinKey, Overlay, Peer, PeerId, PrivateKey, PublicKey, Received,
    RelayAddress, Sources, UnknownKeys,
};

use crate::namespace::Namespace;

pub use reply::Reply;

/// Where a relay is, and which key it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayEnd {
    /// Its overlay socket.
    pub address: SocketAddr,
    /// Its key.
    pub key: PublicKey,
}

/// A tunnel to a relay.
pub struct OverlayEnd {
    socket: UdpSocket,
    overlay: Overlay,
    stack: Stack,
    relay: PeerId,
    is_up: bool,
    /// Every inner packet goes to [`Self::packets`] and none to the stack, which would answer what it does not know.
    is_raw: bool,
    packets: Vec<Vec<u8>>,
    buffers: [Vec<u8>; 3],
}

impl RelayEnd {
    /// Asks the relay of a join key who it is.
    ///
    /// # Panics
    /// When it does not say.
    pub fn ask(machine: &Namespace, key: &JoinKey) -> Self {
        let Some(RelayAddress::Socket(address)) = key.relays.first() else {
            panic!("the relay of this key has no address")
        };
        let socket = socket(machine, Ipv4Addr::UNSPECIFIED);
        let mut overlay = Overlay::new(config(PrivateKey::generate(&mut rand::rng())), now());
        overlay.request_identity(*address, key.cluster, now());
        let mut buffers = [buffer(), buffer()];
        let key = crate::wait::until("the relay's key", crate::wait::SOON, || {
            overlay.handle_timeout(now());
            while let Some(transmit) = overlay.poll_transmit() {
                socket.send_to(&transmit.payload, transmit.to).expect("a datagram leaves");
            }
            let [datagram, plain] = &mut buffers;
            let (count, from) = socket.recv_from(datagram).ok()?;
            let datagram = datagram.get(..count)?;
            overlay.handle_datagram(from, datagram, plain, now());
            let event = overlay.poll_event()?;
            let Event::RelayIdentity { key, .. } = event else {
                panic!("{event:?} without a tunnel")
            };
            Some(key)
        });
        Self { address: *address, key }
    }
}

impl OverlayEnd {
    /// Sends the relay a handshake from an address of `machine`; `None` when it is not answered.
    pub fn knock(
        machine: &Namespace,
        from: Ipv4Addr,
        relay: RelayEnd,
        private_key: PrivateKey,
    ) -> Option<Self> {
        let mut overlay = Overlay::new(config(private_key), now());
        let peer = Peer {
            public_key: relay.key,
            preshared_key: None,
            endpoint: Some(relay.address),
            persistent_keepalive: Some(KEEPALIVE_SECONDS),
            sources: Sources::Relay,
        };
        let peer = overlay.add_peer(peer, now()).ok()?;
        let stack = Stack::new(bore_netstack::Config { seed: rand::random() });
        stack.add_peer(PeerKey(peer.index()), PeerConfig::default());
        let mut end = Self {
            socket: socket(machine, from),
            overlay,
            stack,
            relay: peer,
            is_up: false,
            is_raw: false,
            packets: Vec::new(),
            buffers: [buffer(), buffer(), buffer()],
        };
        end.wait(PATIENCE, |end| end.is_up.then_some(())).map(|()| end)
    }

    /// Does what is due, for as long as it takes to look whether a datagram has come.
    pub fn turn(&mut self) {
        for _ in 0..DATAGRAMS_PER_TURN_MAX {
            if self.receive().is_none() {
                break;
            }
        }
        self.overlay.handle_timeout(now());
        self.stack.handle_timeout(now());
        while let Some(event) = self.overlay.poll_event() {
            self.note(&event);
        }
        self.transmit();
    }

    /// Takes turns until there is something to see.
    pub fn wait<T>(
        &mut self,
        limit: Duration,
        mut look: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let began = Instant::now();
        loop {
            self.turn();
            if let Some(seen) = look(self) {
                return Some(seen);
            }
            if began.elapsed() > limit {
                return None;
            }
        }
    }

    /// Takes the inner packets of a time away from the stack.
    pub fn packets(&mut self, time: Duration) -> Vec<Vec<u8>> {
        self.is_raw = true;
        self.wait(time, |_| None::<()>);
        self.is_raw = false;
        std::mem::take(&mut self.packets)
    }

    /// The next inner packet that `is_it`; those before it are lost.
    pub fn packet(&mut self, limit: Duration, is_it: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        self.is_raw = true;
        let found = self.wait(limit, |end| {
            std::mem::take(&mut end.packets).into_iter().find(|packet| is_it(packet))
        });
        self.is_raw = false;
        found
    }

    /// Seals an inner packet and sends it, whatever it holds.
    pub fn send(&mut self, packet: &[u8]) {
        let mut sealed = vec![0; packet.len() + SEAL_BYTES];
        let sealing = self.overlay.encapsulate(self.relay, packet, &mut sealed, now());
        if let Encapsulated::Datagram { to, payload } = sealing {
            // What the kernel has no room for is lost, as on the way.
            let _ = self.socket.send_to(payload, to);
        }
    }

    /// Sends a datagram that is no packet of the tunnel, from the tunnel's socket.
    pub fn send_datagram(&mut self, to: SocketAddr, datagram: &[u8]) {
        let _ = self.socket.send_to(datagram, to);
    }

    /// The seal of an inner packet, unsent.
    pub fn sealed(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut sealed = vec![0; packet.len() + SEAL_BYTES];
        match self.overlay.encapsulate(self.relay, packet, &mut sealed, now()) {
            Encapsulated::Datagram { payload, .. } => payload.to_vec(),
            Encapsulated::NoSession | Encapsulated::Unknown => Vec::new(),
        }
    }

    /// Goes on from another address.
    pub fn move_to(&mut self, machine: &Namespace, from: Ipv4Addr) {
        self.socket = socket(machine, from);
    }

    /// Makes a session anew.
    pub fn start_handshake(&mut self) {
        self.overlay.start_handshake(self.relay, now());
    }

    /// The stack that answers inside the tunnel.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Opens a flow to `to` from the inner address `from`.
    ///
    /// # Errors
    /// As the stack's: refused, unreachable, no answer.
    pub fn connect(&mut self, from: IpAddr, to: SocketAddr) -> Result<TcpFlow, ConnectError> {
        let peer = PeerKey(self.relay.index());
        let port = self.stack.free_port(peer, from, to).ok_or(ConnectError::Full)?;
        let source = SocketAddr::new(from, port);
        let mut call = pin!(self.stack.connect(peer, source, to, PATIENCE, now())?);
        let answer = self.wait(PATIENCE, |_| ready(call.as_mut().poll(&mut context())));
        answer.unwrap_or(Err(ConnectError::TimedOut))
    }

    /// Writes everything, or as much as is taken in time; returns how much that was.
    pub fn write(&mut self, flow: &TcpFlow, bytes: &[u8], limit: Duration) -> usize {
        let mut written = 0;
        self.wait(limit, |_| {
            while let Poll::Ready(taken) = flow.poll_write(&mut context(), &bytes[written..]) {
                match taken {
                    Ok(count) if written + count < bytes.len() => written += count,
                    Ok(count) => {
                        written += count;
                        return Some(());
                    }
                    Err(_) => return Some(()),
                }
            }
            None
        });
        written
    }

    /// Reads until `is_enough`, or the flow's end, or `limit`.
    pub fn read(
        &mut self,
        flow: &TcpFlow,
        limit: Duration,
        is_enough: impl Fn(&[u8]) -> bool,
    ) -> (Vec<u8>, ReadEnd) {
        let (mut heard, mut piece) = (Vec::new(), vec![0; 16 * 1024]);
        let end = self.wait(limit, |_| {
            while let Poll::Ready(read) = flow.poll_read(&mut context(), &mut piece) {
                match read {
                    Ok(0) => return Some(ReadEnd::Closed),
                    Ok(count) => heard.extend_from_slice(&piece[..count]),
                    Err(_) => return Some(ReadEnd::Reset),
                }
            }
            is_enough(&heard).then_some(ReadEnd::Enough)
        });
        (heard, end.unwrap_or(ReadEnd::Silence))
    }

    /// Calls, says something, and returns what is answered until the other side closes or has said enough for one answer.
    pub fn ask(&mut self, from: IpAddr, to: SocketAddr, request: &[u8]) -> Reply {
        let flow = match self.connect(from, to) {
            Ok(flow) => flow,
            Err(ConnectError::TimedOut) => return Reply::of(Vec::new(), ReadEnd::Silence),
            Err(_) => return Reply::refused(),
        };
        self.write(&flow, request, PATIENCE);
        let (mut heard, mut end) = self.read(&flow, PATIENCE, reply::is_whole);
        if end == ReadEnd::Enough {
            let (more, after) = self.read(&flow, AFTERWARDS, |_| false);
            heard.extend(more);
            end = after;
        }
        flow.abort();
        self.turn();
        Reply::of(heard, end)
    }

    fn receive(&mut self) -> Option<()> {
        let [datagram, plain, _] = &mut self.buffers;
        let (count, from) = self.socket.recv_from(datagram).ok()?;
        let peer = PeerKey(self.relay.index());
        match self.overlay.handle_datagram(from, datagram.get(..count)?, plain, now()) {
            Received::Packet { packet, .. } if self.is_raw => self.packets.push(packet.to_vec()),
            Received::Packet { packet, .. } => {
                let _ = self.stack.handle_packet(peer, packet, now());
            }
            Received::Alive { .. } => self.stack.heard_from(peer, now()),
            Received::Nothing | Received::Dropped(_) => {}
        }
        Some(())
    }

    fn note(&mut self, event: &Event) {
        let peer = PeerKey(self.relay.index());
        match event {
            Event::TunnelUp { .. } => {
                self.is_up = true;
                self.stack.pause_peer(peer, false);
            }
            Event::TunnelDown { .. } => {
                self.is_up = false;
                self.stack.pause_peer(peer, true);
            }
            Event::Pending { .. }
            | Event::PendingExpired { .. }
            | Event::EndpointMoved { .. }
            | Event::RelayIdentity { .. }
            | Event::ResetReceived { .. } => {}
        }
    }

    fn transmit(&mut self) {
        while let Some(transmit) = self.overlay.poll_transmit() {
            let _ = self.socket.send_to(&transmit.payload, transmit.to);
        }
        let mut inner = std::mem::take(&mut self.buffers[2]);
        while let Some((_, length)) = self.stack.poll_transmit(&mut inner, now()) {
            self.send(inner.get(..length).unwrap_or_default());
        }
        self.buffers[2] = inner;
    }
}

impl std::fmt::Debug for OverlayEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OverlayEnd").field("is_up", &self.is_up).finish_non_exhaustive()
    }
}

/// Why reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadEnd {
    /// The other side has no more to say.
    Closed,
    /// The other side broke off.
    Reset,
    /// As much as was wanted has come.
    Enough,
    /// Nothing more came in time.
    Silence,
}

fn config(private_key: PrivateKey) -> Config {
    Config {
        private_key,
        shard: 0,
        unknown_keys: UnknownKeys::Refuse,
        identity: None,
        handshakes_per_second_max: 1_000,
        seed: rand::random(),
    }
}

fn socket(machine: &Namespace, from: Ipv4Addr) -> UdpSocket {
    let socket = machine.enter(|| UdpSocket::bind((from, 0)).expect("an address of the machine"));
    socket.set_read_timeout(Some(LOOK)).expect("a timeout");
    socket
}

fn buffer() -> Vec<u8> {
    vec![0; usize::from(u16::MAX)]
}

fn now() -> Instant {
    Instant::now()
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// How long anything on this machine may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// After a whole answer: what would show that there are two.
const AFTERWARDS: Duration = Duration::from_millis(30);
const LOOK: Duration = Duration::from_millis(1);
const KEEPALIVE_SECONDS: u16 = 25;
const DATAGRAMS_PER_TURN_MAX: usize = 1_024;
/// What a seal adds, and room for a handshake.
const SEAL_BYTES: usize = 32 + 148;
