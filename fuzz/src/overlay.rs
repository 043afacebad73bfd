//! Datagrams into an overlay that has an established session: from the peer, from strangers, forged, replayed, changed on the way.
//!
//! A pair serves [`STORIES_MAX`] inputs before a fresh one does, because making a session costs more than a story: a finding may
//! need the inputs before it.
//!
//! Held beside "no panic": a stranger gets no longer answer than it sent, and no datagram that is not new and authentic moves an endpoint.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use blake2::digest::{FixedOutput as _, KeyInit as _, Update as _, consts::U16};
use blake2::{Blake2s256, Blake2sMac, Digest as _};
use bore_overlay::{
    ClusterKey, Config, Encapsulated, Overlay, Peer, PeerId, PrivateKey, PublicKey, Sources,
    Transmit, UnknownKeys,
};

use crate::choices::Choices;

/// Tells the story that the bytes describe.
pub fn datagrams(bytes: &[u8]) {
    thread_local! {
        static PAIR: RefCell<(Pair, usize)> = RefCell::new((Pair::connected(), 0));
    }
    PAIR.with_borrow_mut(|(pair, stories)| {
        if *stories == STORIES_MAX {
            (*pair, *stories) = (Pair::connected(), 0);
        }
        *stories += 1;
        pair.handshakes_left = HANDSHAKES_MAX;
        let mut choices = Choices::new(bytes);
        for _ in 0..STEPS_MAX {
            let Some(choice) = choices.byte() else { break };
            pair.step(choice, &mut choices);
            pair.check();
        }
    });
}

/// A relay, an agent with a session to it, and everything that they sent each other.
struct Pair {
    relay: Overlay,
    agent: Overlay,
    agent_at_relay: PeerId,
    relay_at_agent: PeerId,
    relay_key: PublicKey,
    now: Instant,
    log: Vec<Sent>,
    handshakes_left: usize,
}

/// A datagram that was delivered.
#[derive(Clone)]
struct Sent {
    to_relay: bool,
    bytes: Vec<u8>,
}

impl Pair {
    fn connected() -> Self {
        let now = Instant::now();
        let mut relay = overlay(1, UnknownKeys::Garden, now);
        let mut agent = overlay(2, UnknownKeys::Refuse, now);
        let node = Sources::Node { v4: NODE_V4, v6: "fd00::2".parse().expect("an address") };
        let agent_at_relay = add(&mut relay, agent.public_key(), None, node, now);
        let relay_at_agent =
            add(&mut agent, relay.public_key(), Some(relay_address()), Sources::Relay, now);
        let relay_key = relay.public_key();
        let mut pair = Self {
            relay,
            agent,
            agent_at_relay,
            relay_at_agent,
            relay_key,
            now,
            log: Vec::new(),
            handshakes_left: 0,
        };
        pair.exchange();
        pair.seal(true, &[0x45]);
        pair.exchange();
        assert!(pair.relay.status(agent_at_relay).is_some_and(|it| it.endpoint.is_some()));
        pair
    }

    fn step(&mut self, choice: u8, choices: &mut Choices<'_>) {
        if choice % 12 >= HANDSHAKES_FROM {
            let Some(left) = self.handshakes_left.checked_sub(1) else { return };
            self.handshakes_left = left;
        }
        match choice % 12 {
            0 => self.deliver(true, agent_address(), choices.piece(DATAGRAM_MAX)),
            1 => self.deliver(false, relay_address(), choices.piece(DATAGRAM_MAX)),
            2 => self.from_stranger(choices.piece(DATAGRAM_MAX)),
            3 => self.seal(true, choices.piece(PACKET_MAX)),
            4 => self.seal(false, choices.piece(PACKET_MAX)),
            5 => self.change_one(choices),
            6 => self.replay_one(choices),
            7 => self.pass(Duration::from_millis(u64::from(choices.number()))),
            8 => self.reset(choices.small() & 1 == 0),
            9 => self.deliver(true, agent_address(), &self.with_mac(choices.piece(DATAGRAM_MAX))),
            10 => self.from_stranger(&self.with_mac(choices.piece(DATAGRAM_MAX))),
            _ => self.relay.start_handshake(self.agent_at_relay, self.now),
        }
        self.exchange();
    }

    /// The endpoint of the agent is where it always was.
    fn check(&self) {
        let status = self.relay.status(self.agent_at_relay).expect("a peer stays");
        assert_eq!(status.endpoint, Some(agent_address()), "an endpoint moved");
    }

    fn deliver(&mut self, to_relay: bool, from: SocketAddr, datagram: &[u8]) {
        let mut buffer = [0; BUFFER];
        let end = if to_relay { &mut self.relay } else { &mut self.agent };
        let _ = end.handle_datagram(from, datagram, &mut buffer, self.now);
    }

    /// Whoever has proved nothing gets no more than it sent.
    fn from_stranger(&mut self, datagram: &[u8]) {
        self.deliver(true, stranger_address(), datagram);
        let answers: usize = std::iter::from_fn(|| self.relay.poll_transmit())
            .filter(|transmit| transmit.to == stranger_address())
            .map(|transmit| transmit.payload.len())
            .sum();
        assert!(answers <= datagram.len(), "{answers} bytes answer {}", datagram.len());
    }

    /// An authentic datagram with any inner packet.
    fn seal(&mut self, by_agent: bool, packet: &[u8]) {
        let mut buffer = [0; BUFFER];
        let (end, peer) = if by_agent {
            (&mut self.agent, self.relay_at_agent)
        } else {
            (&mut self.relay, self.agent_at_relay)
        };
        if let Encapsulated::Datagram { payload, .. } =
            end.encapsulate(peer, packet, &mut buffer, self.now)
        {
            let payload = payload.to_vec();
            self.carry(by_agent, payload);
        }
    }

    fn carry(&mut self, to_relay: bool, bytes: Vec<u8>) {
        let from = if to_relay { agent_address() } else { relay_address() };
        self.deliver(to_relay, from, &bytes);
        if self.log.len() < LOG_MAX {
            self.log.push(Sent { to_relay, bytes });
        } else if let Some(place) = self.log.get_mut(usize::from(bytes[bytes.len() - 1])) {
            // An authentication tag is as random as a choice needs to be.
            *place = Sent { to_relay, bytes };
        }
    }

    fn chosen(&self, choices: &mut Choices<'_>) -> Sent {
        let at = usize::from(choices.small()) % self.log.len();
        self.log[at].clone()
    }

    fn change_one(&mut self, choices: &mut Choices<'_>) {
        let mut sent = self.chosen(choices);
        for _ in 0..=choices.small() % 4 {
            let at = usize::from(choices.number()) % sent.bytes.len();
            sent.bytes[at] ^= choices.small();
        }
        sent.bytes.truncate(sent.bytes.len() - usize::from(choices.small() % 8));
        let from = if sent.to_relay { agent_address() } else { relay_address() };
        self.deliver(sent.to_relay, from, &sent.bytes);
    }

    fn replay_one(&mut self, choices: &mut Choices<'_>) {
        let sent = self.chosen(choices);
        if sent.to_relay {
            self.from_stranger(&sent.bytes);
        } else {
            self.deliver(false, stranger_address(), &sent.bytes);
        }
    }

    /// Handshakes with a first MAC that fits: only they reach the Diffie-Hellman.
    fn with_mac(&self, message: &[u8]) -> Vec<u8> {
        let mut message = message.to_vec();
        let (kind, length) = if message.first() == Some(&2) { (2, 92) } else { (1, 148) };
        message.resize(length, 0);
        message[..4].copy_from_slice(&[kind, 0, 0, 0]);
        let at = length - 32;
        let key =
            Blake2s256::new().chain_update(b"mac1----").chain_update(self.relay_key.as_bytes());
        let mac = Blake2sMac::<U16>::new_from_slice(&key.finalize()).expect("a key of 32 bytes");
        let mac = mac.chain(&message[..at]).finalize_fixed();
        message[at..at + 16].copy_from_slice(&mac);
        message
    }

    /// Tells one end that the other lost the session, with the tag of a datagram that was really sent.
    fn reset(&mut self, to_relay: bool) {
        let Some(sent) = self.log.iter().rev().find(|sent| sent.to_relay != to_relay) else {
            return;
        };
        let tag = sent.bytes[sent.bytes.len() - 8..].to_vec();
        let from = if to_relay { agent_address() } else { relay_address() };
        self.deliver(to_relay, from, &[&[0xb2, 1, 0, 0], tag.as_slice()].concat());
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.relay.handle_timeout(self.now);
        self.agent.handle_timeout(self.now);
        self.exchange();
    }

    /// Everything that both want to send arrives; what is for others is lost.
    fn exchange(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let to_relay = taken(&mut self.agent, relay_address());
            let to_agent = taken(&mut self.relay, agent_address());
            if to_relay.is_empty() && to_agent.is_empty() {
                break;
            }
            to_relay.into_iter().for_each(|bytes| self.carry(true, bytes));
            to_agent.into_iter().for_each(|bytes| self.carry(false, bytes));
        }
        while self.relay.poll_event().is_some() || self.agent.poll_event().is_some() {}
    }
}

fn taken(end: &mut Overlay, to: SocketAddr) -> Vec<Vec<u8>> {
    let transmits = std::iter::from_fn(|| end.poll_transmit());
    transmits.filter(|Transmit { to: other, .. }| *other == to).map(|it| it.payload).collect()
}

fn overlay(key: u8, unknown_keys: UnknownKeys, now: Instant) -> Overlay {
    let private_key = PrivateKey::from_bytes([key; 32]);
    let cluster = ClusterKey::from_bytes([9; 32]);
    let identity = Some(cluster.sign_relay(&private_key.public()));
    let config = Config {
        private_key,
        shard: 3,
        unknown_keys,
        identity,
        handshakes_per_second_max: 100,
        seed: u64::from(key),
    };
    Overlay::new(config, now)
}

fn add(
    to: &mut Overlay,
    public_key: PublicKey,
    endpoint: Option<SocketAddr>,
    sources: Sources,
    now: Instant,
) -> PeerId {
    let persistent_keepalive = endpoint.map(|_| 25);
    let peer = Peer { public_key, preshared_key: None, endpoint, persistent_keepalive, sources };
    to.add_peer(peer, now).expect("a new peer")
}

fn relay_address() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 1], 443))
}

fn agent_address() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 7], 40_000))
}

fn stranger_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 99], 6_666))
}

const NODE_V4: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 2);
/// The choices from here on make somebody do Diffie-Hellman, at hundreds of times the cost of any other.
const HANDSHAKES_FROM: u8 = 9;
const HANDSHAKES_MAX: usize = 2;
const STORIES_MAX: usize = 64;
const STEPS_MAX: usize = 64;
const ROUNDS_MAX: usize = 16;
const LOG_MAX: usize = 256;
const DATAGRAM_MAX: usize = 2_000;
const PACKET_MAX: usize = 1_500;
const BUFFER: usize = 2_048;
