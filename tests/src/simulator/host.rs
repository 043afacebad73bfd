//! A host: the overlay and the netstack that the product runs, wired as the driver's engine wires them, without socket, thread or clock.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use bore_netstack::{BindingId, PeerConfig, PeerKey, Stack, Verdict};
use bore_overlay::{
    AddPeerError, Config, DropReason, Encapsulated, Event, Overlay, Peer, PeerId, PeerStatus,
    PrivateKey, PublicKey, Received, UnknownKeys,
};

use super::tags::Tags;

/// A running program on a host. A restart makes another.
pub(super) struct Host {
    pub(super) overlay: Overlay,
    pub(super) stack: Stack,
    /// Where the host is, inside its place.
    pub(super) address: SocketAddr,
    /// How far its clock is ahead of the network's.
    pub(super) ahead: Duration,
    /// Serials of the datagrams that it has received.
    pub(super) heard: BTreeSet<u64>,
    pub(super) tags: Tags,
    peers: Vec<PeerId>,
    buffers: Buffers,
}

struct Buffers {
    inner: Vec<u8>,
    sealed: Vec<u8>,
    plain: Vec<u8>,
}

/// What a host is made from.
pub(super) struct Setup {
    pub(super) key: PrivateKey,
    pub(super) unknown_keys: UnknownKeys,
    pub(super) seed: u64,
    pub(super) address: SocketAddr,
    pub(super) ahead: Duration,
}

/// An inner packet that passed the overlay's filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Inner {
    pub(super) peer: u32,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
}

/// A UDP packet for a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UdpPacket {
    pub(super) binding: BindingId,
    pub(super) peer: PeerId,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) payload: Vec<u8>,
}

/// What became of a datagram.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) dropped: Option<DropReason>,
    pub(super) inner: Option<Inner>,
    pub(super) udp: Option<UdpPacket>,
}

/// What a host wants sent.
pub(super) struct Outgoing {
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

impl Host {
    pub(super) fn new(setup: Setup, now: Instant) -> Self {
        let config = Config {
            private_key: setup.key,
            shard: SHARD,
            unknown_keys: setup.unknown_keys,
            identity: None,
            handshakes_per_second_max: HANDSHAKES_PER_SECOND_MAX,
            seed: setup.seed,
        };
        let stack = Stack::new(bore_netstack::Config { seed: setup.seed });
        Self {
            overlay: Overlay::new(config, now + setup.ahead),
            stack,
            address: setup.address,
            ahead: setup.ahead,
            heard: BTreeSet::new(),
            tags: Tags::default(),
            peers: Vec::new(),
            buffers: Buffers { inner: scratch(), sealed: scratch(), plain: scratch() },
        }
    }

    pub(super) fn add_peer(&mut self, peer: Peer, now: Instant) -> Result<PeerId, AddPeerError> {
        let id = self.overlay.add_peer(peer, now + self.ahead)?;
        self.adopt(id);
        Ok(id)
    }

    pub(super) fn remove_peer(&mut self, peer: PeerId) {
        self.overlay.remove_peer(peer);
        self.forget(peer);
    }

    pub(super) fn public_key(&self) -> PublicKey {
        self.overlay.public_key()
    }

    pub(super) fn start_handshake(&mut self, peer: PeerId, now: Instant) {
        self.overlay.start_handshake(peer, now + self.ahead);
    }

    /// Facts about every tunnel, those in the garden included.
    pub(super) fn statuses(&self) -> Vec<(PeerId, PeerStatus)> {
        let status = |id: &PeerId| Some((*id, self.overlay.status(*id)?));
        self.peers.iter().filter_map(status).collect()
    }

    /// When the host wants to be woken, by the network's clock.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let overlay = self.overlay.poll_timeout().map(|(at, _reason)| at);
        let deadline = [overlay, self.stack.poll_timeout()].into_iter().flatten().min()?;
        deadline.checked_sub(self.ahead)
    }

    /// Takes a datagram from the network.
    pub(super) fn receive(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) -> Outcome {
        let now = now + self.ahead;
        let plain = &mut self.buffers.plain;
        match self.overlay.handle_datagram(from, datagram, plain, now) {
            Received::Alive { peer } => {
                self.stack.heard_from(PeerKey(peer.index()), now);
                Outcome { dropped: None, inner: None, udp: None }
            }
            Received::Nothing => Outcome { dropped: None, inner: None, udp: None },
            Received::Dropped(reason) => Outcome { dropped: Some(reason), inner: None, udp: None },
            Received::Packet { peer, packet } => {
                let udp = deliver(&self.stack, peer, packet, now);
                Outcome { dropped: None, inner: Some(Inner::read(peer, packet)), udp }
            }
        }
    }

    /// Runs what is due, tells what happened, and gives what is to be sent.
    pub(super) fn turn(&mut self, now: Instant) -> (Vec<Event>, Vec<Outgoing>) {
        let at = now + self.ahead;
        self.overlay.handle_timeout(at);
        self.stack.handle_timeout(at);
        let mut events = Vec::new();
        while let Some(event) = self.overlay.poll_event() {
            self.prepare_peer(&event);
            events.push(event);
        }
        let mut outgoing = Vec::new();
        while self.transmit_overlay(&mut outgoing) || self.transmit_inner(&mut outgoing, at) {
            assert!(outgoing.len() < OUTGOING_PER_TURN_MAX, "a turn that never ends");
        }
        (events, outgoing)
    }

    /// Seals one inner packet that no flow made.
    pub(super) fn send_inner(
        &mut self,
        peer: PeerId,
        packet: &[u8],
        now: Instant,
    ) -> Option<Outgoing> {
        let at = now + self.ahead;
        let sealing = self.overlay.encapsulate(peer, packet, &mut self.buffers.sealed, at);
        let Encapsulated::Datagram { to, payload } = sealing else { return None };
        Some(Outgoing { to, bytes: payload.to_vec() })
    }

    /// Builds and seals one UDP packet.
    pub(super) fn send_udp(
        &mut self,
        peer: PeerId,
        (source, destination): (SocketAddr, SocketAddr),
        payload: &[u8],
        now: Instant,
    ) -> Option<Outgoing> {
        let mut packet = vec![0; payload.len() + 48];
        let length = self.stack.build_udp(source, destination, payload, &mut packet)?;
        packet.truncate(length);
        self.send_inner(peer, &packet, now)
    }

    pub(super) fn listen(&self, address: IpAddr, port: u16) -> bore_netstack::Listener {
        self.stack.listen(address, port..=port, None).expect("a fresh port")
    }

    pub(super) fn bind_udp(&self, address: IpAddr, ports: RangeInclusive<u16>) -> BindingId {
        let binding = bore_netstack::Binding::Local { address, ports };
        self.stack.bind_udp(binding).expect("a fresh port")
    }

    fn adopt(&mut self, peer: PeerId) {
        let config = PeerConfig { mtu: MTU_BYTES, is_foreign: true, ..PeerConfig::default() };
        self.stack.add_peer(PeerKey(peer.index()), config);
        if !self.peers.contains(&peer) {
            self.peers.push(peer);
        }
    }

    fn forget(&mut self, peer: PeerId) {
        self.stack.remove_peer(PeerKey(peer.index()));
        self.peers.retain(|known| *known != peer);
    }

    /// As the driver's engine does before anybody hears of an event.
    fn prepare_peer(&mut self, event: &Event) {
        match event {
            Event::Pending { peer, .. } => self.adopt(*peer),
            Event::PendingExpired { peer } => self.forget(*peer),
            Event::TunnelUp { peer, .. } => self.stack.pause_peer(PeerKey(peer.index()), false),
            Event::TunnelDown { peer } => self.stack.pause_peer(PeerKey(peer.index()), true),
            Event::EndpointMoved { .. }
            | Event::RelayIdentity { .. }
            | Event::ResetReceived { .. } => {}
        }
    }

    fn transmit_overlay(&mut self, outgoing: &mut Vec<Outgoing>) -> bool {
        let Some(transmit) = self.overlay.poll_transmit() else { return false };
        outgoing.push(Outgoing { to: transmit.to, bytes: transmit.payload });
        true
    }

    fn transmit_inner(&mut self, outgoing: &mut Vec<Outgoing>, at: Instant) -> bool {
        let Buffers { inner, sealed, .. } = &mut self.buffers;
        let Some((key, length)) = self.stack.poll_transmit(inner, at) else { return false };
        let packet = inner.get(..length).expect("a length within the buffer");
        let peer = PeerId::from_index(key.0);
        match self.overlay.encapsulate(peer, packet, sealed, at) {
            Encapsulated::Datagram { to, payload } => {
                outgoing.push(Outgoing { to, bytes: payload.to_vec() });
            }
            Encapsulated::NoSession | Encapsulated::Unknown => {}
        }
        true
    }
}

impl Inner {
    /// Reads addresses without the product's help.
    fn read(peer: PeerId, packet: &[u8]) -> Self {
        let field = |from: usize, bytes: usize| packet.get(from..from + bytes).unwrap_or_default();
        let v4 = |from| <[u8; 4]>::try_from(field(from, 4)).map(Ipv4Addr::from);
        let v6 = |from| <[u8; 16]>::try_from(field(from, 16)).map(Ipv6Addr::from);
        let (source, destination): (IpAddr, IpAddr) = match packet.first().map(|byte| byte >> 4) {
            Some(4) => (v4(12).expect("header").into(), v4(16).expect("header").into()),
            Some(6) => (v6(8).expect("header").into(), v6(24).expect("header").into()),
            _ => panic!("an inner packet that is no IP packet passed the filter"),
        };
        Self { peer: peer.index(), source, destination }
    }
}

fn deliver(stack: &Stack, peer: PeerId, packet: &[u8], now: Instant) -> Option<UdpPacket> {
    match stack.handle_packet(PeerKey(peer.index()), packet, now) {
        Verdict::Udp { binding, source, destination, payload } => {
            Some(UdpPacket { binding, peer, source, destination, payload: payload.to_vec() })
        }
        Verdict::UdpUnreachable { .. } | Verdict::Consumed | Verdict::Unmatched => None,
        Verdict::Reassembled => deliver(stack, peer, &stack.take_reassembled()?, now),
        Verdict::Malformed => panic!("a packet of our own is malformed: {packet:02x?}"),
    }
}

fn scratch() -> Vec<u8> {
    vec![0; usize::from(u16::MAX)]
}

const SHARD: u8 = 0;
const HANDSHAKES_PER_SECOND_MAX: u32 = 100;
const MTU_BYTES: usize = 1_280;
/// Every flow's whole window fits.
const OUTGOING_PER_TURN_MAX: usize = 20_000;
