//! What the programs do that run on the hosts: the relay's doors, the agents' services, joining.

use std::net::{IpAddr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use bore_netstack::{Incoming, Listener, PeerKey};
use bore_overlay::{Event, GARDEN_JOINER, GARDEN_PORT, GARDEN_RELAY, PeerId};
use rand::Rng;

use super::end::{End, context};
use super::flows::{Expectation, Flow, Purpose, RELAY_HOST, Wanted, host_of};
use super::host::UdpPacket;
use super::world::{Ping, World, is_relay};

impl World {
    /// Opens a flow, from the relay through a node's tunnel, or from a node to the relay.
    pub(super) fn open(&mut self, wanted: Wanted) {
        let (host, peer) = match wanted.purpose {
            Purpose::Visit => (RELAY_HOST, self.relay.peers.get(&wanted.node).copied()),
            Purpose::Control | Purpose::Join => {
                (host_of(wanted.node), self.nodes.get(wanted.node).map(|node| node.relay))
            }
        };
        let Some((peer, machine)) = peer.zip(self.hosts.get(host)) else { return };
        let (key, at) = (PeerKey(peer.index()), self.now + machine.ahead);
        let (source, destination) = (wanted.source, wanted.destination);
        let connect = machine.stack().connect(key, source, destination, CONNECT_LIMIT, at);
        let opener = match connect {
            Ok(connect) => End::opener(connect, wanted.request(), wanted.answer()),
            Err(error) => End::refused(error),
        };
        self.note("open", &(wanted.node, wanted.purpose, source, wanted.expectation));
        self.flows.push(wanted.opened(opener, self.now));
        self.touch(host);
    }

    /// Sends a UDP packet of a new visitor's to a node, which is to send it back.
    pub(super) fn ping(&mut self, node: usize) {
        let Some(&peer) = self.relay.peers.get(&node) else { return };
        let Some(v4) = self.nodes.get(node).map(|node| node.model.v4) else { return };
        let visitor = self.visitor_v4();
        let payload = visitor.to_string().into_bytes();
        let to = SocketAddr::new(v4.into(), super::node::ECHO_PORT);
        self.send_udp(RELAY_HOST, peer, (visitor, to), &payload);
        self.pings.push(Ping { node, visitor, payload, sent: self.now, is_answered: false });
    }

    /// Takes a UDP packet: a node echoes it, the relay holds it against what was sent.
    pub(super) fn handle_udp(&mut self, host: usize, packet: &UdpPacket) {
        if is_relay(host) {
            let ping = self.pings.iter_mut().find(|ping| ping.visitor == packet.destination);
            let ping = ping.expect("an echo of nothing");
            assert_eq!(packet.payload, ping.payload, "an echo of something else");
            ping.is_answered = true;
            self.count("pings answered");
        } else {
            let echo = self.node_at(host).map(|node| node.echo);
            assert_eq!(echo, Some(packet.binding), "a packet for another binding");
            let addresses = (packet.destination, packet.source);
            self.send_udp(host, packet.peer, addresses, &packet.payload);
        }
    }

    pub(super) fn handle_event(&mut self, host: usize, event: &Event) {
        let (what, peer) = match *event {
            Event::Pending { peer, .. } => ("garden entered", peer),
            Event::PendingExpired { peer } => ("garden left", peer),
            Event::TunnelUp { peer, .. } => ("tunnels up", peer),
            Event::TunnelDown { peer } => ("tunnels down", peer),
            Event::EndpointMoved { peer, .. } => ("endpoint moves told", peer),
            Event::ResetReceived { peer } => ("RESETs received", peer),
            Event::RelayIdentity { .. } => panic!("nobody asked the relay for its identity"),
        };
        self.count(what);
        self.note(what, &(host, peer.index()));
    }

    /// Gives connection attempts to the flows that they belong to; what belongs to none is reset.
    pub(super) fn accept_flows(&mut self, host: usize) {
        while let Some(incoming) = self.next_incoming(host) {
            if is_relay(host) {
                self.check_caller(&incoming);
            }
            let flow = self.flows.iter_mut().find(|flow| flow.expects(host, &incoming));
            match flow {
                Some(flow) => flow.accept(incoming),
                None => incoming.reject_reset(),
            }
        }
    }

    /// Moves every flow of a host, and lets the relay decide on those who ask to join.
    pub(super) fn pump_flows(&mut self, host: usize) {
        let mut over = Vec::new();
        for flow in self.flows.iter_mut().filter(|flow| flow.is_at(host) && !flow.is_over()) {
            flow.pump(host);
            if flow.is_over() {
                let failure = flow.opener.failure();
                over.push((flow.node, flow.purpose, flow.source, failure));
            }
        }
        for facts in over {
            self.count(if facts.3.is_none() { "flows complete" } else { "flows failed" });
            self.note("flow over", &facts);
        }
        if is_relay(host) {
            self.decide_joins();
        } else {
            self.learn_membership(host);
        }
    }

    /// What a node was told in answer to earlier joins holds no more.
    pub(super) fn forget_joins(&mut self, node: usize) {
        self.flows.retain(|flow| flow.node != node || flow.purpose != Purpose::Join);
    }

    /// Nodes that are due knock at the garden's door.
    pub(super) fn try_joins(&mut self) {
        for node in 0..self.nodes.len() {
            let due = |at: std::time::Instant| at <= self.now;
            if self.nodes.get(node).and_then(|node| node.join_at).is_some_and(due) {
                self.try_join(node);
            }
        }
    }

    fn try_join(&mut self, index: usize) {
        let is_old = |flow: &&mut Flow| flow.node == index && flow.purpose == Purpose::Join;
        self.flows.iter_mut().filter(is_old).for_each(Flow::abandon);
        let next = self.now + JOIN_RETRY;
        let Some(node) = self.nodes.get_mut(index) else { return };
        node.join_at = (!node.has_joined).then_some(next);
        if node.has_joined {
            return;
        }
        let expectation =
            if node.model.may_join() { Expectation::MayFail } else { Expectation::MustFail };
        let port = self.fresh_port();
        let seed = self.random.random();
        self.count("joins tried");
        self.open(Wanted {
            node: index,
            purpose: Purpose::Join,
            source: SocketAddr::new(GARDEN_JOINER.into(), port),
            destination: SocketAddr::new(GARDEN_RELAY.into(), GARDEN_PORT),
            expectation,
            seed,
            request_bytes: 400,
            answer_bytes: 700,
        });
    }

    fn send_udp(
        &mut self,
        host: usize,
        peer: PeerId,
        addresses: (SocketAddr, SocketAddr),
        payload: &[u8],
    ) {
        let now = self.now;
        let machine = self.hosts.get_mut(host);
        let sent = machine.and_then(|machine| machine.send_udp(peer, addresses, payload, now));
        if let Some(outgoing) = sent {
            self.launch(host, &outgoing);
        }
        self.touch(host);
    }

    fn next_incoming(&self, host: usize) -> Option<Incoming> {
        let next = |listener: &Listener| match listener.poll_accept(&mut context()) {
            Poll::Ready(incoming) => Some(incoming),
            Poll::Pending => None,
        };
        match self.node_at(host) {
            Some(node) => node.listeners.iter().find_map(next),
            None => next(&self.relay.garden).or_else(|| next(&self.relay.control)),
        }
    }

    /// Who calls the relay is who its tunnel is.
    fn check_caller(&self, incoming: &Incoming) {
        let peer = PeerId::from_index(incoming.peer.0);
        let status = self.hosts.get(RELAY_HOST).and_then(|host| host.overlay().status(peer));
        let is_callers = |flow: &&Flow| {
            let node = self.nodes.get(flow.node);
            flow.source == incoming.source
                && node.map(|node| node.public_key()) == status.map(|status| status.public_key)
        };
        let is_known = self.flows.iter().any(|flow| is_callers(&flow));
        // What was in the air when a node gave its key up still knocks.
        let key = status.map(|status| status.public_key);
        let is_given_up = !self.nodes.iter().any(|node| Some(node.public_key()) == key);
        let is_late = is_given_up && incoming.destination.ip() == IpAddr::from(GARDEN_RELAY);
        assert!(
            is_known || is_late,
            "a call of nobody's, or through another's tunnel: {incoming:?}"
        );
    }

    /// Check, admit, then answer: as the relay's control does. Now and then the answer to a node that was just admitted is lost, as
    /// when the relay ends between the two; whoever asks again is answered.
    fn decide_joins(&mut self) {
        let mut admitted = Vec::new();
        let mut lost = 0;
        for flow in &mut self.flows {
            let Some(answerer) = flow.answerer.as_mut().filter(|end| end.owes_answer()) else {
                continue;
            };
            let Some(node) = self.nodes.get_mut(flow.node) else { continue };
            if node.model.may_join() {
                let is_lost = !node.model.is_member() && self.random.random_ratio(1, 4);
                node.model.admit();
                if let Some(host) = self.hosts.get_mut(RELAY_HOST) {
                    self.relay.admit(host, flow.node, node, self.now);
                }
                admitted.push(flow.node);
                if is_lost {
                    lost += 1;
                    answerer.abandon();
                } else {
                    answerer.answer();
                    answerer.pump();
                }
            } else {
                answerer.abandon();
            }
        }
        (0..lost).for_each(|_| self.count("join answers lost"));
        let is_members = |flow: &&mut Flow| admitted.contains(&flow.node);
        self.flows.iter_mut().filter(is_members).for_each(Flow::tolerate_answer);
    }

    /// A node whose join was answered keeps its membership on disk.
    fn learn_membership(&mut self, host: usize) {
        let Some(index) = host.checked_sub(1) else { return };
        let has_answer = |flow: &Flow| {
            flow.node == index && flow.purpose == Purpose::Join && flow.opener.is_complete()
        };
        let is_answered = self.flows.iter().any(has_answer);
        let Some(node) = self.nodes.get_mut(index).filter(|node| !node.has_joined) else { return };
        if is_answered {
            node.has_joined = true;
            node.join_at = None;
            self.count("joins answered");
        }
    }
}

/// The addresses of a visit, and of a call to the relay's control.
pub(super) fn service(address: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
}

/// How long a node waits for an answer before it asks again.
const JOIN_RETRY: Duration = Duration::from_secs(10);
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
