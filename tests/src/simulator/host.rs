//! A host: the endpoint that the product runs, in virtual time. Its surroundings take everything that it sends and tells.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use bore_driver::{Arrival, Counters, Endpoint, SendError, Surroundings};
use bore_netstack::{BindingId, Stack, Verdict};
use bore_overlay::{
    AddPeerError, Config, DropReason, Event, Overlay, Peer, PeerId, PeerStatus, PrivateKey,
    PublicKey, UnknownKeys,
};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::tags::Tags;

/// A running program on a host. A restart makes another.
pub(super) struct Host {
    endpoint: Endpoint,
    /// Where the host is, inside its place.
    pub(super) address: SocketAddr,
    /// How far its clock is ahead of the network's.
    pub(super) ahead: Duration,
    /// Serials of the datagrams that it has received.
    pub(super) heard: BTreeSet<u64>,
    pub(super) tags: Tags,
    peers: Vec<PeerId>,
    plain: Vec<u8>,
    started: Instant,
    /// Of how much the host's way out takes.
    random: SmallRng,
    /// When its way out has room again, once that was full.
    has_room_at: Option<Instant>,
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
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

/// What left a host, and what it told.
#[derive(Debug)]
struct Outside {
    events: Vec<Event>,
    outgoing: Vec<Outgoing>,
    takes_segments: bool,
    /// Sends that are taken yet.
    room: usize,
}

impl Surroundings for Outside {
    fn send(
        &mut self,
        to: SocketAddr,
        datagrams: &[u8],
        segment_bytes: Option<usize>,
    ) -> Result<(), SendError> {
        if self.room == 0 {
            return Err(SendError::Full);
        }
        if segment_bytes.is_some() && !self.takes_segments {
            return Err(SendError::Refused);
        }
        self.room -= 1;
        let datagrams = datagrams.chunks(segment_bytes.unwrap_or(datagrams.len()));
        self.outgoing.extend(datagrams.map(|bytes| Outgoing { to, bytes: bytes.to_vec() }));
        Ok(())
    }

    fn has_room_for_event(&self) -> bool {
        true
    }

    fn tell(&mut self, event: Event) {
        self.events.push(event);
    }
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
        let mut endpoint = Endpoint::new(config, MTU_BYTES, now + setup.ahead);
        endpoint.overlay_mut().allow_segments(true);
        Self {
            endpoint,
            address: setup.address,
            ahead: setup.ahead,
            heard: BTreeSet::new(),
            tags: Tags::default(),
            peers: Vec::new(),
            plain: vec![0; usize::from(u16::MAX)],
            started: now,
            random: SmallRng::seed_from_u64(setup.seed),
            has_room_at: None,
        }
    }

    /// Everything that the host has counted since it started.
    pub(super) fn counters(&self) -> Counters {
        self.endpoint.counters()
    }

    pub(super) fn overlay(&self) -> &Overlay {
        self.endpoint.overlay()
    }

    pub(super) fn stack(&self) -> &Stack {
        self.endpoint.stack()
    }

    pub(super) fn add_peer(&mut self, peer: Peer, now: Instant) -> Result<PeerId, AddPeerError> {
        let id = self.endpoint.add_peer(peer, false, now + self.ahead)?;
        self.note_peer(id);
        Ok(id)
    }

    pub(super) fn remove_peer(&mut self, peer: PeerId) {
        self.endpoint.remove_peer(peer);
        self.peers.retain(|known| *known != peer);
    }

    pub(super) fn public_key(&self) -> PublicKey {
        self.overlay().public_key()
    }

    pub(super) fn start_handshake(&mut self, peer: PeerId, now: Instant) {
        self.endpoint.overlay_mut().start_handshake(peer, now + self.ahead);
    }

    /// Facts about every tunnel, those in the garden included.
    pub(super) fn statuses(&self) -> Vec<(PeerId, PeerStatus)> {
        let status = |id: &PeerId| Some((*id, self.overlay().status(*id)?));
        self.peers.iter().filter_map(status).collect()
    }

    /// When the host wants to be woken, by the network's clock.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let due = self.endpoint.poll_timeout().and_then(|at| at.checked_sub(self.ahead));
        due.into_iter().chain(self.has_room_at).min()
    }

    /// Takes a datagram from the network.
    pub(super) fn receive(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) -> Outcome {
        let now = now + self.ahead;
        match self.endpoint.handle_datagram(from, datagram, &mut self.plain, now) {
            Arrival::Packet { peer, packet, verdict } => {
                let inner = Some(Inner::read(peer, packet));
                let udp = if verdict == Verdict::Reassembled {
                    let whole = self.stack().take_reassembled().expect("it was told of");
                    udp_packet(peer, &self.endpoint.deliver(peer, &whole, now))
                } else {
                    udp_packet(peer, &verdict)
                };
                Outcome { dropped: None, inner, udp }
            }
            Arrival::Alive { .. } | Arrival::Nothing => {
                Outcome { dropped: None, inner: None, udp: None }
            }
            Arrival::Dropped(reason) => Outcome { dropped: Some(reason), inner: None, udp: None },
        }
    }

    /// Runs what is due, tells what happened, and gives what is to be sent.
    pub(super) fn turn(&mut self, now: Instant) -> (Vec<Event>, Vec<Outgoing>) {
        let mut outside = self.outside(now);
        if self.random.random_ratio(1, FULL_ONE_IN) {
            outside.room = self.random.random_range(0..FULL_AFTER_MAX);
        }
        if self.has_room_at.is_some_and(|at| now < at) {
            outside.room = 0;
        }
        while self.endpoint.turn(&mut outside, now + self.ahead) {
            assert!(outside.outgoing.len() < OUTGOING_PER_TURN_MAX, "a turn that never ends");
        }
        let until = self.has_room_at.filter(|at| now < *at).unwrap_or(now + FULL_FOR);
        self.has_room_at = self.endpoint.is_blocked().then_some(until);
        for event in &outside.events {
            match event {
                Event::Pending { peer, .. } => self.note_peer(*peer),
                Event::PendingExpired { peer } => self.peers.retain(|known| known != peer),
                Event::TunnelUp { .. }
                | Event::TunnelDown { .. }
                | Event::EndpointMoved { .. }
                | Event::RelayIdentity { .. }
                | Event::ResetReceived { .. } => {}
            }
        }
        (outside.events, outside.outgoing)
    }

    /// Something waits for room on the way out.
    pub(super) fn is_blocked(&self) -> bool {
        self.endpoint.is_blocked()
    }

    /// Builds and seals one UDP packet.
    pub(super) fn send_udp(
        &mut self,
        peer: PeerId,
        (source, destination): (SocketAddr, SocketAddr),
        payload: &[u8],
        now: Instant,
    ) -> Option<Outgoing> {
        let mut outside = self.outside(now);
        let stack = self.endpoint.stack().clone();
        let build = |buffer: &mut [u8]| stack.build_udp(source, destination, payload, buffer);
        self.endpoint.send_built(peer, build, &mut outside, now + self.ahead);
        assert!(outside.outgoing.len() <= 1, "a packet that needs fragments");
        outside.outgoing.pop()
    }

    pub(super) fn listen(&self, address: IpAddr, port: u16) -> bore_netstack::Listener {
        self.stack().listen(address, port..=port, None).expect("a fresh port")
    }

    pub(super) fn bind_udp(&self, address: IpAddr, ports: RangeInclusive<u16>) -> BindingId {
        let binding = bore_netstack::Binding::Local { address, ports };
        self.stack().bind_udp(binding).expect("a fresh port")
    }

    /// Segments are refused now and then, as by a kernel whose route has another device.
    fn outside(&self, now: Instant) -> Outside {
        let minute = now.saturating_duration_since(self.started).as_secs() / 60;
        let takes_segments = !minute.is_multiple_of(SEGMENTS_REFUSED_EVERY);
        let (events, outgoing) = (Vec::new(), Vec::new());
        Outside { events, outgoing, takes_segments, room: usize::MAX }
    }

    fn note_peer(&mut self, peer: PeerId) {
        if !self.peers.contains(&peer) {
            self.peers.push(peer);
        }
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

fn udp_packet(peer: PeerId, verdict: &Verdict<'_>) -> Option<UdpPacket> {
    match *verdict {
        Verdict::Udp { binding, source, destination, payload } => {
            Some(UdpPacket { binding, peer, source, destination, payload: payload.to_vec() })
        }
        Verdict::UdpUnreachable { .. } | Verdict::Consumed | Verdict::Unmatched => None,
        Verdict::Reassembled => panic!("a packet that was whole already"),
        Verdict::Malformed => panic!("a packet of our own is malformed, from {peer:?}"),
    }
}

const SHARD: u8 = 0;
const HANDSHAKES_PER_SECOND_MAX: u32 = 100;
const MTU_BYTES: usize = 1_280;
/// The way out is full in one turn of so many, for a moment, after few sends.
const FULL_ONE_IN: u32 = 16;
const FULL_AFTER_MAX: usize = 4;
const FULL_FOR: Duration = Duration::from_millis(1);
/// Minutes.
const SEGMENTS_REFUSED_EVERY: u64 = 4;
/// Every flow's whole window fits.
const OUTGOING_PER_TURN_MAX: usize = 20_000;
