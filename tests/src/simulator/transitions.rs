//! What may happen, drawn from the seed and done to the hosts and to the reference model alike.

use std::net::SocketAddr;
use std::time::Duration;

use bore_overlay::{CONTROL_PORT, PrivateKey};
use rand::Rng;
use rand::seq::IndexedRandom;

use super::flows::{Expectation, Purpose, RELAY_HOST, Wanted, host_of};
use super::node::{Node, SERVICE_PORT};
use super::reference::NodeModel;
use super::relay::Relay;
use super::roles::service;
use super::weather::Weather;
use super::world::{World, inside_address};

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Transition {
    /// Visitors come to a node's service.
    Visits { node: usize, count: usize },
    /// A node asks the relay's control.
    Control { node: usize },
    /// A UDP packet goes to a node and back.
    Ping { node: usize },
    /// A visitor comes to a port that nobody serves.
    WrongPort { node: usize },
    /// A node sends an inner packet whose source is another node's.
    ForgedSource { node: usize },
    /// An agent's program ends and starts again.
    RestartAgent { node: usize },
    /// The relay's program ends and starts again.
    RestartRelay,
    /// An agent is on another network, and may know it.
    Roam { node: usize, is_noticed: bool },
    /// A NAT box forgets.
    Rebind { node: usize },
    /// A node's link changes: nothing, or nearly everything, or something passes.
    Weather { node: usize, kind: Sky },
    /// A machine slept: its clock jumps ahead.
    Sleep { host: usize, minutes: u64 },
    /// An agent starts again with its clock put forward or back by up to a day.
    OtherClock { node: usize, hours: u64 },
    /// A node is put out of the network.
    Remove { node: usize },
    /// A node that was put out begins anew, with another key.
    Rejoin { node: usize },
    /// Somebody sends what was delivered before once more, from anywhere.
    Replay { count: usize },
    /// Somebody sends changed copies.
    Mutate { count: usize },
    /// Somebody is quicker than the network, from his own address.
    Overtake { node: usize },
}

/// Kinds of [`Weather`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Sky {
    Calm,
    Ordinary,
    Rough,
    Cut,
    /// What the node sends is lost; what it is sent arrives.
    CutUpwards,
    /// The other way round.
    CutDownwards,
}

impl World {
    /// Draws what happens next.
    pub(super) fn draw(&mut self) -> Transition {
        let nodes = self.nodes.len();
        let random = &mut self.random;
        let node = random.random_range(0..nodes);
        match random.random_range(0..100) {
            0..25 => Transition::Visits { node, count: random.random_range(1..4) },
            25..33 => Transition::Control { node },
            33..38 => Transition::Ping { node },
            38..41 => Transition::WrongPort { node },
            41..44 => Transition::ForgedSource { node },
            44..50 => Transition::RestartAgent { node },
            50..54 => Transition::RestartRelay,
            54..60 => Transition::Roam { node, is_noticed: random.random() },
            60..65 => Transition::Rebind { node },
            65..79 => {
                Transition::Weather { node, kind: *SKIES.choose(random).unwrap_or(&Sky::Calm) }
            }
            79..82 => Transition::Sleep {
                host: random.random_range(0..=nodes),
                minutes: random.random_range(1..1_500),
            },
            82..84 => Transition::OtherClock { node, hours: random.random_range(0..48) },
            84..87 => Transition::Remove { node },
            87..90 => Transition::Rejoin { node },
            90..94 => Transition::Replay { count: random.random_range(1..40) },
            94..98 => Transition::Mutate { count: random.random_range(1..40) },
            _ => Transition::Overtake { node },
        }
    }

    /// Does it.
    pub(super) fn apply(&mut self, transition: Transition) {
        self.note("transition", &transition);
        match transition {
            Transition::Visits { node, count } => {
                self.count("visits");
                (0..count).for_each(|_| self.visit(node));
            }
            Transition::Control { node } => self.call_control(node),
            Transition::Ping { node } => self.ping(node),
            Transition::WrongPort { node } => self.visit_wrong_port(node),
            Transition::ForgedSource { node } => self.forge_source(node),
            Transition::RestartAgent { node } => self.restart_agent(node, None),
            Transition::RestartRelay => self.restart_relay(),
            Transition::Roam { node, is_noticed } => self.roam(node, is_noticed),
            Transition::Rebind { node } => self.rebind(node),
            Transition::Weather { node, kind } => self.change_weather(node, kind),
            Transition::Sleep { host, minutes } => self.sleep(host, minutes),
            Transition::OtherClock { node, hours } => self.restart_agent(node, Some(hours)),
            Transition::Remove { node } => self.remove(node),
            Transition::Rejoin { node } => self.rejoin(node),
            Transition::Replay { count } => self.replay(count),
            Transition::Mutate { count } => self.mutate(count),
            Transition::Overtake { node } => self.overtake(node),
        }
    }

    /// A flow from a fresh visitor to a node's service, over IPv4 or IPv6.
    pub(super) fn visit(&mut self, node: usize) {
        let Some(model) = self.nodes.get(node).map(|node| node.model) else { return };
        let (source, destination) = if self.random.random() {
            (self.visitor_v4(), service(model.v4, SERVICE_PORT))
        } else {
            (self.visitor_v6(), service(model.v6, SERVICE_PORT))
        };
        self.open_drawn(node, Purpose::Visit, source, destination, model.expectation());
    }

    /// A flow from a node to the relay's control.
    pub(super) fn call_control(&mut self, node: usize) {
        let Some(model) = self.nodes.get(node).map(|node| node.model) else { return };
        let source = service(model.v6, self.fresh_port());
        let destination = service(self.relay.v6, CONTROL_PORT);
        let expectation = match model.expectation() {
            // The relay takes nothing from it but knocks.
            Expectation::MayFail if !model.is_member() => Expectation::MustFail,
            expectation @ (Expectation::MustComplete
            | Expectation::MayFail
            | Expectation::MustFail) => expectation,
        };
        self.count("control calls");
        self.open_drawn(node, Purpose::Control, source, destination, expectation);
    }

    /// What happened to a node may break its flows.
    pub(super) fn disturb(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.model.disturb();
        }
        for flow in self.flows.iter_mut().filter(|flow| flow.node == node) {
            if flow.expectation == Expectation::MustComplete {
                flow.expectation = Expectation::MayFail;
            }
        }
    }

    fn open_drawn(
        &mut self,
        node: usize,
        purpose: Purpose,
        source: SocketAddr,
        destination: SocketAddr,
        expectation: Expectation,
    ) {
        let seed = self.random.random();
        let (request_bytes, answer_bytes) = (self.draw_length(), self.draw_length());
        let wanted = Wanted {
            node,
            purpose,
            source,
            destination,
            expectation,
            seed,
            request_bytes,
            answer_bytes,
        };
        self.open(wanted);
    }

    /// From nothing to several windows.
    fn draw_length(&mut self) -> usize {
        let most = LENGTHS_BYTES_MAX.choose(&mut self.random).copied().unwrap_or_default();
        self.random.random_range(0..=most)
    }

    fn visit_wrong_port(&mut self, node: usize) {
        let Some(model) = self.nodes.get(node).map(|node| node.model) else { return };
        self.count("visits of a wrong port");
        let source = self.visitor_v4();
        let destination = service(model.v4, SERVICE_PORT + 1);
        self.open_drawn(node, Purpose::Visit, source, destination, Expectation::MustFail);
    }

    fn forge_source(&mut self, node: usize) {
        let host = host_of(node);
        let other = self.nodes.get((node + 1) % self.nodes.len()).map(|other| other.model.v6);
        let relay = self.nodes.get(node).map(|node| node.relay);
        let (Some(other), Some(relay), Some(machine)) = (other, relay, self.hosts.get_mut(host))
        else {
            return;
        };
        let addresses = (service(other, 9), service(self.relay.v6, CONTROL_PORT));
        let Some(outgoing) = machine.send_udp(relay, addresses, b"forged", self.now) else {
            return;
        };
        self.count("forged sources");
        self.launch(host, &outgoing);
        self.touch(host);
    }

    fn restart_agent(&mut self, index: usize, hours_ahead: Option<u64>) {
        let Some(old) = self.nodes.get(index) else { return };
        let (key, model, has_joined) = (old.key.clone(), old.model, old.has_joined);
        let join_at = old.join_at;
        self.count(if hours_ahead.is_some() { "clocks changed" } else { "agents restarted" });
        let ahead = hours_ahead.map(|hours| NINE_DAYS + Duration::from_secs(hours * 3_600));
        self.start_agent(index, (key, model), ahead);
        if let Some(node) = self.nodes.get_mut(index) {
            (node.has_joined, node.join_at) = (has_joined, join_at);
        }
    }

    /// Another node as far as the relay knows, on the same machine.
    fn rejoin(&mut self, index: usize) {
        let is_out = |node: &Node| !node.model.may_join();
        if self.nodes.get(index).is_some_and(is_out) {
            self.count("joins anew");
            self.forget_joins(index);
            let identity = self.fresh_identity();
            self.start_agent(index, identity, None);
        }
    }

    /// Ends a node's program and starts it, with this identity.
    fn start_agent(
        &mut self,
        index: usize,
        (key, model): (PrivateKey, NodeModel),
        ahead: Option<Duration>,
    ) {
        let host = host_of(index);
        self.flows.iter_mut().for_each(|flow| flow.lose(host));
        let (Some(old), Some(machine)) = (self.nodes.get(index), self.hosts.get(host)) else {
            return;
        };
        let at = (old.place, machine.address);
        let setup = (self.random.random(), ahead.unwrap_or(machine.ahead));
        let relay_key = self.relay.key.public();
        let (node, machine) = Node::start(key, model, at, setup, relay_key, self.now);
        self.replace_node(index, node, machine);
        self.disturb(index);
    }

    fn replace_node(&mut self, index: usize, node: Node, host: super::host::Host) {
        if let Some(place) = self.nodes.get_mut(index) {
            *place = node;
        }
        if let Some(place) = self.hosts.get_mut(host_of(index)) {
            *place = host;
        }
        self.touch(host_of(index));
    }

    fn restart_relay(&mut self) {
        self.count("relay restarts");
        (0..self.nodes.len()).for_each(|node| self.disturb(node));
        self.flows.iter_mut().for_each(|flow| flow.lose(RELAY_HOST));
        let Some(ahead) = self.hosts.first().map(|host| host.ahead) else { return };
        let setup = (self.random.random(), ahead);
        let (mut relay, mut host) =
            Relay::start(self.relay.key.clone(), self.relay.v6, setup, self.now);
        for (index, node) in
            self.nodes.iter().enumerate().filter(|(_, node)| node.model.is_member())
        {
            relay.admit(&mut host, index, node, self.now);
        }
        self.relay = relay;
        if let Some(place) = self.hosts.first_mut() {
            *place = host;
        }
        self.touch(RELAY_HOST);
    }

    fn roam(&mut self, index: usize, is_noticed: bool) {
        self.count("roams");
        self.disturb(index);
        let place = self.network.add_place();
        let (Some(node), Some(host)) =
            (self.nodes.get_mut(index), self.hosts.get_mut(host_of(index)))
        else {
            return;
        };
        node.place = place;
        host.address = inside_address(place, index);
        if is_noticed {
            host.start_handshake(node.relay, self.now);
        }
        self.touch(host_of(index));
    }

    fn rebind(&mut self, node: usize) {
        self.count("NAT rebindings");
        self.disturb(node);
        if let Some(node) = self.nodes.get(node) {
            self.network.rebind(node.place);
        }
    }

    fn change_weather(&mut self, index: usize, kind: Sky) {
        self.count("weather changes");
        let random = &mut self.random;
        let (up, down) = match kind {
            Sky::Calm => (Weather::calm(), Weather::calm()),
            Sky::Ordinary => (Weather::ordinary(random), Weather::ordinary(random)),
            Sky::Rough => (Weather::rough(random), Weather::rough(random)),
            Sky::Cut => (Weather::cut(), Weather::cut()),
            Sky::CutUpwards => (Weather::cut(), Weather::calm()),
            Sky::CutDownwards => (Weather::calm(), Weather::cut()),
        };
        if !matches!(kind, Sky::Calm | Sky::Ordinary) {
            self.disturb(index);
        }
        if let Some(node) = self.nodes.get(index) {
            self.network.set_weather(node.place, up, down);
        }
    }

    fn sleep(&mut self, host: usize, minutes: u64) {
        self.count("clock jumps");
        match host.checked_sub(1) {
            Some(node) => self.disturb(node),
            None => (0..self.nodes.len()).for_each(|node| self.disturb(node)),
        }
        if let Some(machine) = self.hosts.get_mut(host) {
            machine.ahead += Duration::from_secs(60 * minutes);
        }
    }

    /// The node's agent is told nothing, and asks to join again.
    fn remove(&mut self, index: usize) {
        self.disturb(index);
        let Some(node) = self.nodes.get_mut(index).filter(|node| node.model.is_member()) else {
            return;
        };
        node.model.remove();
        node.has_joined = false;
        node.join_at = Some(self.now + Duration::from_secs(1));
        self.forget_joins(index);
        self.count("removals");
        if let Some(host) = self.hosts.get_mut(RELAY_HOST) {
            self.relay.dismiss(host, index);
        }
        self.touch(RELAY_HOST);
    }
}

const SKIES: [Sky; 9] = [
    Sky::Calm,
    Sky::Ordinary,
    Sky::Ordinary,
    Sky::Ordinary,
    Sky::Rough,
    Sky::Cut,
    Sky::Cut,
    Sky::CutUpwards,
    Sky::CutDownwards,
];
/// Requests and answers are shorter than one of these.
const LENGTHS_BYTES_MAX: [usize; 4] = [1, 1_000, 20_000, 200_000];
/// A day before what clocks are ahead at first.
const NINE_DAYS: Duration = Duration::from_secs(9 * 86_400);
