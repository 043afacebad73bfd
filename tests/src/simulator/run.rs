//! One run: rounds of turmoil, each followed by fair weather in which everything must come back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::seq::IndexedRandom;

use super::flows::{Expectation, FLOW_BOUND, Flow};
use super::weather::Weather;
use super::world::{DISPLACED, Ping, World};

/// How much happens in a run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Agents.
    pub nodes: usize,
    /// Rounds of turmoil and recovery.
    pub rounds: usize,
    /// Transitions in a round.
    pub transitions: usize,
    /// Hours of fair weather, without a visitor, at the end.
    pub idle_hours: u64,
}

/// What a run was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// A hash of everything that happened.
    pub trace: u64,
    /// How many things that were.
    pub entries: u64,
    /// Whether nothing followed from the tunnel engine's own randomness, so that another run of the seed has the same trace.
    pub is_exact: bool,
    /// The longest that a member was unreachable in fair weather.
    pub slowest_recovery: Duration,
    /// Virtual time.
    pub duration: Duration,
    /// How often what happened.
    pub counts: BTreeMap<&'static str, u64>,
}

/// Within this, in fair weather, every member is reachable and everybody who may join has joined.
///
/// A node whose handshakes went unanswered for 90 s pauses for up to 60.1 s; the rest is that node's retries and the round trips of a
/// handshake with a cookie, then of a join that waits for its next try.
pub const RECOVERY_BOUND: Duration = Duration::from_secs(90);

/// Runs one seed.
///
/// # Panics
/// When a rule is broken.
#[must_use]
pub fn run(seed: u64, plan: Plan) -> Report {
    let mut world = World::new(seed, plan.nodes);
    let mut slowest = Duration::ZERO;
    for _ in 0..plan.rounds {
        world.suffer(plan.transitions);
        slowest = slowest.max(world.recover());
        world.prove();
    }
    world.rest(Duration::from_secs(plan.idle_hours * 3_600));
    world.prove();
    world.close();
    Report {
        trace: world.trace.finish(),
        entries: world.trace.entries(),
        is_exact: !world.counts.contains_key(DISPLACED),
        slowest_recovery: slowest,
        duration: world.now - world.start,
        counts: world.counts,
    }
}

impl World {
    /// Lets things happen, with pauses from nothing to minutes between them.
    fn suffer(&mut self, transitions: usize) {
        for _ in 0..transitions {
            let transition = self.draw();
            self.apply(transition);
            let longest = PAUSES_MS_MAX.choose(&mut self.random).copied().unwrap_or_default();
            let pause = self.random.random_range(0..=longest);
            self.run_for(Duration::from_millis(pause));
            self.check_flows();
        }
    }

    /// Heals every link and waits until every member has sent back a UDP packet and nobody who may join is outside. Gives how long the
    /// slowest took.
    fn recover(&mut self) -> Duration {
        self.note("fair weather", &());
        for place in self.nodes.iter().map(|node| node.place) {
            self.network.set_weather(place, Weather::calm(), Weather::calm());
        }
        let healed = self.now;
        loop {
            let missing = self.missing(healed);
            let waited = self.now - healed;
            if missing.is_empty() {
                self.settle();
                return waited;
            }
            assert!(waited <= RECOVERY_BOUND, "nodes {missing:?} did not come back in {waited:?}");
            let members = |node: &usize| self.relay.peers.contains_key(node);
            let to_ping: Vec<usize> = missing.iter().copied().filter(members).collect();
            to_ping.into_iter().for_each(|node| self.ping(node));
            self.run_for(PING_INTERVAL);
        }
    }

    /// Nodes that ought to be members and did not answer since links healed.
    fn missing(&self, healed: Instant) -> Vec<usize> {
        let is_missing = |(index, node): &(usize, &super::node::Node)| {
            let counts = |ping: &&Ping| ping.node == *index && ping.sent >= healed;
            let has_answered = self.pings.iter().filter(counts).any(|ping| ping.is_answered);
            node.model.may_join() && !(node.has_joined && has_answered)
        };
        self.nodes.iter().enumerate().filter(is_missing).map(|(index, _)| index).collect()
    }

    fn settle(&mut self) {
        for node in &mut self.nodes {
            if node.model.may_join() {
                node.model.settle();
            } else {
                node.join_at = None;
            }
        }
    }

    /// Fresh flows deliver every byte both ways; what must be refused is; then every flow is held against its expectation.
    fn prove(&mut self) {
        for node in 0..self.nodes.len() {
            self.visit(node);
            self.call_control(node);
        }
        self.run_for(FLOW_BOUND);
        self.check_flows();
        self.check_bounds();
        self.flows.iter_mut().for_each(Flow::abandon);
        let complete = |flow: &&Flow| flow.expectation == Expectation::MustComplete;
        let proved = self.flows.iter().filter(complete).count();
        *self.counts.entry("flows proved").or_default() += u64::try_from(proved).unwrap_or(0);
        self.flows.clear();
        (0..self.hosts.len()).for_each(|host| drop(self.touch(host)));
    }

    /// Nobody visits: tunnels stay up, and hardly anything is sent.
    fn rest(&mut self, time: Duration) {
        let sent = |world: &Self| world.counts.get("datagrams sent").copied().unwrap_or_default();
        let before = sent(self);
        self.run_for(time);
        let hours = time.as_secs().div_ceil(3_600);
        let nodes = u64::try_from(self.nodes.len()).unwrap_or(u64::MAX);
        let most = hours * nodes * IDLE_DATAGRAMS_PER_HOUR_MAX;
        assert!(sent(self) - before <= most, "{} datagrams in {hours} h", sent(self) - before);
        let rested = self.now;
        (0..self.nodes.len()).for_each(|node| self.ping(node));
        self.run_for(PING_INTERVAL);
        assert_eq!(
            self.missing(rested),
            Vec::<usize>::new(),
            "not reachable at once after a quiet time"
        );
    }

    /// Flows that are given up leave nothing behind.
    fn close(&mut self) {
        self.run_for(LINGER);
        for host in &self.hosts {
            assert_eq!(host.stack().flow_count(), 0, "flows without a handle stay for ever");
        }
        self.check_bounds();
        self.count_sends();
    }

    /// How the shipping loop sent, as far as its hosts still run.
    fn count_sends(&mut self) {
        for host in &self.hosts {
            let counters = host.counters();
            let sends = [
                ("trains sent", counters.driver.segmented_sends),
                ("path probes answered", counters.overlay.path_probes_answered),
                ("segments refused", counters.overlay.segments_refused),
            ];
            for (what, count) in sends.into_iter().filter(|(_, count)| *count > 0) {
                *self.counts.entry(what).or_default() += count;
            }
        }
    }

    fn check_flows(&self) {
        for flow in &self.flows {
            flow.check(self.now);
        }
    }
}

/// Pauses between transitions are shorter than one of these.
const PAUSES_MS_MAX: [u64; 4] = [50, 500, 5_000, 200_000];
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// What a node costs that was put out and does not know it: keepalive, RESET, initiation, cookie, initiation, response, keepalive, two
/// probes of the path and their answers, and a keepalive for these, every 35 s. A member costs two fifths of that.
const IDLE_DATAGRAMS_PER_HOUR_MAX: u64 = 12 * 3_600 / 35 + 92;
/// `LINGER_MAX` and `USER_TIMEOUT` of the netstack.
const LINGER: Duration = Duration::from_secs(190);
