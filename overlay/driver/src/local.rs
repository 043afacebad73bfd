//! What a job may do on the shard's thread.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bore_netstack::{
    Binding, Connect, ConnectError, ListenError, Listener, PeerKey, Stack, TcpFlow,
};
use bore_overlay::{AddPeerError, ClusterPublicKey, Peer, PeerId, PeerStatus, Sources};
use tokio::net::TcpStream;

use crate::counters::Counters;
use crate::datagrams::{BoundUdp, DatagramSink, UdpBinding};
use crate::early;
use crate::engine::Engine;
use crate::near::Near;
use crate::pump::Meter;
use crate::socket::UdpPort;

/// Where a flow goes: through the tunnel of `peer`, from `source` to `destination`, inner addresses both.
#[derive(Debug, Clone)]
pub struct Dial {
    /// The tunnel.
    pub peer: PeerId,
    /// Who the far end sees. Port 0 takes a free one.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
    /// How long the far end may take to answer.
    pub timeout: Duration,
}

/// The shard from inside. Stays on its thread.
#[derive(Clone, Debug)]
pub struct Local {
    engine: Rc<Engine>,
}

impl Local {
    pub(crate) fn new(engine: Rc<Engine>) -> Self {
        Self { engine }
    }

    /// Ends the shard's loop after this turn.
    pub(crate) fn stop(&self) {
        self.engine.stop();
    }

    /// The time that the shard's machines see.
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// The overlay socket's address.
    pub fn local_addr(&self) -> SocketAddr {
        self.engine.local_addr()
    }

    /// The netstack, for its own calls.
    pub fn stack(&self) -> &Stack {
        self.engine.stack()
    }

    /// Adds a tunnel; a key that waits in the walled garden keeps its session and becomes this peer. `is_foreign` says that the tunnel does not
    /// end at one of our own nodes.
    ///
    /// # Errors
    /// The key is a peer already, or the table is full.
    pub fn add_peer(&self, peer: Peer, is_foreign: bool) -> Result<PeerId, AddPeerError> {
        let id = self.engine.endpoint().add_peer(peer, is_foreign, self.now())?;
        self.engine.wake();
        Ok(id)
    }

    /// Ends a tunnel: its flows are reset and its datagrams are unknown from here on.
    pub fn remove_peer(&self, peer: PeerId) {
        self.engine.endpoint().remove_peer(peer);
        self.engine.wake();
    }

    /// Changes which inner sources a tunnel may carry.
    pub fn set_sources(&self, peer: PeerId, sources: Sources) {
        self.engine.endpoint().overlay_mut().set_sources(peer, sources);
    }

    /// Changes where a tunnel's next handshake goes.
    pub fn set_endpoint(&self, peer: PeerId, endpoint: SocketAddr) {
        self.engine.endpoint().overlay_mut().set_endpoint(peer, endpoint);
    }

    /// Of two nodes with the identity of `peer` the one lives on that was heard before: its flows are kept.
    pub fn keep_earlier_start(&self, peer: PeerId) {
        self.stack().keep_earlier_start(PeerKey(peer.index()));
    }

    /// Sends a handshake at once.
    pub fn start_handshake(&self, peer: PeerId) {
        self.engine.endpoint().overlay_mut().start_handshake(peer, self.now());
        self.engine.wake();
    }

    /// Asks the relay at `to` for its key; the answer is an event.
    pub fn request_identity(&self, to: SocketAddr, cluster: ClusterPublicKey) {
        self.engine.endpoint().overlay_mut().request_identity(to, cluster, self.now());
        self.engine.wake();
    }

    /// Stops asking.
    pub fn cancel_identity_requests(&self) {
        self.engine.endpoint().overlay_mut().cancel_identity_requests();
    }

    /// Facts about a tunnel.
    pub fn status(&self, peer: PeerId) -> Option<PeerStatus> {
        self.engine.endpoint().overlay().status(peer)
    }

    /// The tunnel that an arrival of the netstack came by.
    pub fn peer_of(&self, key: PeerKey) -> PeerId {
        PeerId::from_index(key.0)
    }

    /// Everything counted so far.
    pub fn counters(&self) -> Counters {
        self.engine.endpoint().counters()
    }

    /// Takes a new UDP socket on any port, as after a network change. Tunnels go on and roam.
    ///
    /// # Errors
    /// The kernel gives no socket; the old one stays.
    pub fn rebind(&self) -> io::Result<()> {
        let any = match self.engine.local_addr().ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        self.engine.replace_socket(UdpPort::bind(SocketAddr::new(any, 0))?);
        Ok(())
    }

    /// Opens a flow.
    ///
    /// # Errors
    /// Refused, unreachable, too slow, or a limit.
    pub async fn connect(&self, dial: &Dial) -> Result<TcpFlow, ConnectError> {
        self.call(dial)?.await
    }

    /// Begins to open a flow.
    ///
    /// # Errors
    /// What is known at once.
    pub fn call(&self, dial: &Dial) -> Result<Connect, ConnectError> {
        let key = PeerKey(dial.peer.index());
        let source = self.source_of(key, dial)?;
        self.stack().connect(key, source, dial.destination, dial.timeout, self.now())
    }

    /// Opens a flow for `near`, whose first bytes travel with the call if they are there already; nothing waits for them.
    ///
    /// # Errors
    /// As [`Self::connect`]. Bytes that were taken from the socket are gone then: it can only be reset.
    pub async fn connect_for(
        &self,
        dial: &Dial,
        near: &Near<TcpStream>,
        meter: &Meter,
    ) -> Result<TcpFlow, ConnectError> {
        early::connect_with(self.call(dial)?, near, meter).await
    }

    fn source_of(&self, key: PeerKey, dial: &Dial) -> Result<SocketAddr, ConnectError> {
        if dial.source.port() != 0 {
            return Ok(dial.source);
        }
        let ip = dial.source.ip();
        let port = self.stack().free_port(key, ip, dial.destination).ok_or(ConnectError::Full)?;
        Ok(SocketAddr::new(ip, port))
    }

    /// Listens inside the overlay, for one peer or for all.
    ///
    /// # Errors
    /// Somebody listens there.
    pub fn listen(
        &self,
        address: IpAddr,
        ports: RangeInclusive<u16>,
        peer: Option<PeerId>,
    ) -> Result<Listener, ListenError> {
        self.stack().listen(address, ports, peer.map(|peer| PeerKey(peer.index())))
    }

    /// Gives inner datagrams to `sink` until the answer is dropped.
    ///
    /// # Errors
    /// Somebody is bound there.
    pub fn bind_udp(
        &self,
        binding: UdpBinding,
        sink: Rc<dyn DatagramSink>,
    ) -> Result<BoundUdp, ListenError> {
        let binding = match binding {
            UdpBinding::Local { address, ports } => Binding::Local { address, ports },
            UdpBinding::Remote { peer, address, ports } => {
                Binding::Remote { peer: PeerKey(peer.index()), address, ports }
            }
        };
        let id = self.stack().bind_udp(binding)?;
        self.engine.bind(id, sink);
        Ok(BoundUdp::new(&self.engine, id))
    }

    /// Sends one inner datagram, or drops and counts it.
    pub fn send_udp(
        &self,
        peer: PeerId,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
    ) {
        let stack = self.stack();
        self.engine
            .send_built(peer, |buffer| stack.build_udp(source, destination, payload, buffer));
    }

    /// Answers a datagram that came from `source` to `destination` with ICMP port unreachable.
    pub fn reject_udp(
        &self,
        peer: PeerId,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
    ) {
        let stack = self.stack();
        self.engine.send_built(peer, |buffer| {
            stack.build_udp_unreachable(source, destination, payload, buffer)
        });
    }
}
