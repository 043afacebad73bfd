//! Everything there is, and the loop that moves virtual time from one event to the next.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use bore_overlay::{NetworkId, PrivateKey, RELAY_V4, overlay_v6};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::checks::Before;
use super::flows::{Flow, RELAY_HOST, host_of};
use super::host::{Host, Outgoing};
use super::network::{Datagram, Network, Origin, RELAY};
use super::node::Node;
use super::reference::NodeModel;
use super::relay::Relay;
use super::trace::Trace;

/// One network in virtual time.
pub(super) struct World {
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) random: StdRng,
    pub(super) network: Network,
    /// The relay's, then every node's.
    pub(super) hosts: Vec<Host>,
    pub(super) relay: Relay,
    pub(super) nodes: Vec<Node>,
    pub(super) flows: Vec<Flow>,
    pub(super) pings: Vec<Ping>,
    pub(super) trace: Trace,
    pub(super) counts: BTreeMap<&'static str, u64>,
    /// Datagrams that were delivered, for who listens on the way.
    pub(super) captured: VecDeque<Datagram>,
    /// As [`Self::captured`], handshakes and RESETs only: a flow does not wash them away.
    pub(super) captured_handshakes: VecDeque<Datagram>,
    visitors: u32,
    leases: u32,
    serial: u64,
    still: u32,
}

/// A UDP packet that a node is to send back.
#[derive(Debug)]
pub(super) struct Ping {
    pub(super) node: usize,
    pub(super) visitor: SocketAddr,
    pub(super) payload: Vec<u8>,
    pub(super) sent: Instant,
    pub(super) is_answered: bool,
}

impl World {
    /// A relay and `nodes` agents that have not joined yet, each behind a NAT box of its own.
    pub(super) fn new(seed: u64, nodes: usize) -> Self {
        let start = Instant::now();
        let mut random = StdRng::seed_from_u64(seed);
        let network = Network::new(random.random());
        let key = PrivateKey::from_bytes(random.random());
        let v6 = overlay_v6(NETWORK, &key.public());
        let (relay, host) = Relay::start(key, v6, (random.random(), AHEAD), start);
        let mut world = Self {
            start,
            now: start,
            random,
            network,
            hosts: vec![host],
            relay,
            nodes: Vec::new(),
            flows: Vec::new(),
            pings: Vec::new(),
            trace: Trace::new(),
            counts: BTreeMap::new(),
            captured: VecDeque::new(),
            captured_handshakes: VecDeque::new(),
            visitors: 0,
            leases: 0,
            serial: 0,
            still: 0,
        };
        (0..nodes).for_each(|index| world.add_node(index));
        world
    }

    fn add_node(&mut self, index: usize) {
        let (key, model) = self.fresh_identity();
        let place = self.network.add_place();
        let setup = (self.random.random(), AHEAD);
        let at = (place, inside_address(place, index));
        let (node, host) = Node::start(key, model, at, setup, self.relay.key.public(), self.now);
        self.nodes.push(node);
        self.hosts.push(host);
        self.touch(host_of(index));
    }

    /// A key that nobody had, and the addresses that follow from it; a lease is not given twice.
    pub(super) fn fresh_identity(&mut self) -> (PrivateKey, NodeModel) {
        let key = PrivateKey::from_bytes(self.random.random());
        self.leases += 1;
        let v4 = Ipv4Addr::from(u32::from(RELAY_V4) + self.leases);
        let model = NodeModel::new(v4, overlay_v6(NETWORK, &key.public()));
        (key, model)
    }

    /// Lets `time` pass.
    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.next_event().filter(|next| *next <= end) {
            self.still = if next > self.now { 0 } else { self.still + 1 };
            assert!(self.still < STILL_MAX, "time stands still: somebody is due without end");
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    /// Counts something that happened, to be told at the end.
    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(super) fn note(
        &mut self,
        what: &'static str,
        facts: &(impl std::hash::Hash + std::fmt::Debug),
    ) {
        self.trace.note(self.now - self.start, what, facts);
    }

    /// An address that no visitor had before.
    pub(super) fn visitor_v4(&mut self) -> SocketAddr {
        self.visitors += 1;
        SocketAddr::new(IpAddr::V4(Ipv4Addr::from(0x2D00_0000 + self.visitors)), 50_000)
    }

    /// As [`Self::visitor_v4`].
    pub(super) fn visitor_v6(&mut self) -> SocketAddr {
        self.visitors += 1;
        let address = Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(self.visitors));
        SocketAddr::new(IpAddr::V6(address), 50_000)
    }

    /// A port that no flow of any node used recently.
    pub(super) fn fresh_port(&mut self) -> u16 {
        self.visitors += 1;
        u16::try_from(10_000 + self.visitors % 50_000).expect("below 65,536")
    }

    /// Pumps a host's flows and sends what it has to send, until there is nothing.
    pub(super) fn touch(&mut self, host: usize) -> Vec<Outgoing> {
        let mut sent = Vec::new();
        for _ in 0..TURNS_MAX {
            self.accept_flows(host);
            self.pump_flows(host);
            let Some(machine) = self.hosts.get_mut(host) else { return sent };
            let (events, outgoing) = machine.turn(self.now);
            if machine.is_blocked() {
                self.count("ways out full");
            }
            if events.is_empty() && outgoing.is_empty() {
                return sent;
            }
            for event in &events {
                self.handle_event(host, event);
            }
            for datagram in &outgoing {
                self.launch(host, datagram);
            }
            sent.extend(outgoing);
        }
        panic!("a host never has enough");
    }

    /// Puts a datagram of a host's on its link.
    pub(super) fn launch(&mut self, host: usize, outgoing: &Outgoing) {
        self.serial += 1;
        self.count("datagrams sent");
        let kind = outgoing.bytes.first().copied();
        self.note("sent", &(host, outgoing.to, kind, outgoing.bytes.len()));
        let Some(machine) = self.hosts.get_mut(host) else { return };
        machine.tags.note(&outgoing.bytes);
        let datagram = Datagram {
            from: machine.address,
            to: outgoing.to,
            bytes: outgoing.bytes.clone(),
            origin: Origin {
                host,
                key: machine.public_key(),
                serial: self.serial,
                is_pristine: true,
            },
        };
        match self.node_at(host) {
            None => self.network.send_from_relay(datagram, self.now),
            Some(node) => {
                let place = node.place;
                self.network.send_from(place, datagram, self.now);
            }
        }
    }

    /// The node that runs on a host; `None` for the relay's.
    pub(super) fn node_at(&self, host: usize) -> Option<&Node> {
        self.nodes.get(host.checked_sub(1)?)
    }

    fn next_event(&self) -> Option<Instant> {
        let deadlines = self.hosts.iter().filter_map(Host::deadline);
        let joins = self.nodes.iter().filter_map(|node| node.join_at);
        deadlines.chain(joins).chain(self.network.next_arrival()).min()
    }

    fn step(&mut self) {
        while let Some((datagram, inside)) = self.network.arrive(self.now) {
            match inside.and_then(|inside| self.host_at(inside)) {
                Some(host) => self.deliver(host, &datagram),
                None => self.note("nobody there", &datagram.to),
            }
        }
        self.try_joins();
        for host in 0..self.hosts.len() {
            let is_due = |host: &Host| host.deadline().is_some_and(|at| at <= self.now);
            if self.hosts.get(host).is_some_and(is_due) {
                let before = self.before(host);
                self.touch(host);
                self.check_quiet(host, &before);
            }
        }
    }

    fn host_at(&self, inside: SocketAddr) -> Option<usize> {
        self.hosts.iter().position(|host| host.address == inside)
    }

    fn deliver(&mut self, host: usize, datagram: &Datagram) {
        let before: Before = self.before(host);
        let Some(machine) = self.hosts.get_mut(host) else { return };
        let is_news =
            datagram.origin.is_pristine && !machine.heard.contains(&datagram.origin.serial);
        if is_news {
            machine.heard.insert(datagram.origin.serial);
            if machine.tags.is_displaced(&datagram.bytes) {
                self.counts.insert(DISPLACED, 1);
            }
        }
        let Some(machine) = self.hosts.get_mut(host) else { return };
        let was_blocked = machine.is_blocked();
        let outcome = machine.receive(datagram.from, &datagram.bytes, self.now);
        let dropped = outcome.dropped.map(bore_overlay::DropReason::name);
        self.note("received", &(host, datagram.from, is_news, dropped, outcome.inner));
        if let Some(inner) = &outcome.inner {
            self.check_inner(host, inner);
        }
        self.check_moves(host, datagram, is_news, &before);
        if is_news {
            self.capture(datagram);
        }
        if let Some(packet) = outcome.udp {
            self.handle_udp(host, &packet);
        }
        let sent = self.touch(host);
        // What waited may be for the same address.
        if !is_news && !was_blocked {
            self.check_amplification(host, datagram, &sent);
        }
    }

    fn capture(&mut self, datagram: &Datagram) {
        let is_data = datagram.bytes.first() == Some(&4);
        let log = if is_data { &mut self.captured } else { &mut self.captured_handshakes };
        if log.len() >= CAPTURED_MAX {
            log.pop_front();
        }
        log.push_back(datagram.clone());
    }
}

/// Whether a host is the relay's.
pub(super) fn is_relay(host: usize) -> bool {
    host == RELAY_HOST
}

/// The address of a node's host inside a place.
pub(super) fn inside_address(place: usize, node: usize) -> SocketAddr {
    let third = u8::try_from(place % 250).expect("below 250");
    let last = u8::try_from(2 + node).expect("few nodes");
    let second = u8::try_from(place / 250 % 250).expect("below 250");
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, second, third, last)), RELAY.port() + 40_000)
}

/// Counted when chance that no seed controls had a part: see [`super::tags`].
pub(super) const DISPLACED: &str = "RESETs displaced";
pub(super) const NETWORK: NetworkId = NetworkId(*b"simulatednetwork");
/// How far every clock is ahead at first, so that one can also be put back.
pub(super) const AHEAD: Duration = Duration::from_secs(10 * 86_400);
const CAPTURED_MAX: usize = 128;
const TURNS_MAX: usize = 10_000;
const STILL_MAX: u32 = 10_000;
