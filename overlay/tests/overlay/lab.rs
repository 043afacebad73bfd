//! Overlays on one table: datagrams are moved by hand, time only when told to.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use bore_overlay::{
    ClusterKey, Config, DropReason, Encapsulated, Event, Overlay, Peer, PeerId, PrivateKey,
    PublicKey, Received, RelayIdentity, Sources, UnknownKeys,
};

pub(crate) const RELAY: &str = "203.0.113.1:443";
pub(crate) const AGENT: &str = "198.51.100.7:40000";
pub(crate) const ELSEWHERE: &str = "192.0.2.99:6666";

/// A datagram under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// One end: an overlay and what came out of it.
pub(crate) struct End {
    pub(crate) overlay: Overlay,
    pub(crate) events: Vec<Event>,
    pub(crate) packets: Vec<(PeerId, Vec<u8>)>,
    pub(crate) drops: Vec<DropReason>,
    pub(crate) key: PrivateKey,
}

/// All ends, and the network between them.
pub(crate) struct Lab {
    pub(crate) now: Instant,
    pub(crate) ends: BTreeMap<SocketAddr, End>,
    pub(crate) wire: VecDeque<Datagram>,
    /// Everything that was ever sent.
    pub(crate) log: Vec<Datagram>,
    /// Datagrams that are sent as segments of one send are lost.
    pub(crate) loses_segments: bool,
    /// Longer datagrams are lost, without a word.
    pub(crate) longest_bytes: usize,
    /// The relay as the agent knows it.
    pub(crate) relay_at_agent: Option<PeerId>,
    seed: u64,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self {
            now: Instant::now(),
            ends: BTreeMap::new(),
            wire: VecDeque::new(),
            log: Vec::new(),
            loses_segments: false,
            longest_bytes: usize::MAX,
            relay_at_agent: None,
            seed: 0,
        }
    }

    /// A relay that takes strangers in, and an agent that knows it; no datagram has moved.
    pub(crate) fn relay_and_agent() -> (Self, PeerId) {
        let mut lab = Self::new();
        lab.add(RELAY, 1, UnknownKeys::Garden);
        lab.add(AGENT, 2, UnknownKeys::Refuse);
        let relay = lab.add_relay_to_agent();
        (lab, relay)
    }

    /// Two ends that know each other and have a session. Gives the peer as the relay knows it, and as the agent does.
    pub(crate) fn connected() -> (Self, PeerId, PeerId) {
        let mut lab = Self::new();
        lab.add(RELAY, 1, UnknownKeys::Garden);
        lab.add(AGENT, 2, UnknownKeys::Refuse);
        let agent = lab.add_agent_to_relay();
        let relay = lab.add_relay_to_agent();
        lab.settle();
        assert!(lab.is_up(RELAY, agent) && lab.is_up(AGENT, relay));
        (lab, agent, relay)
    }

    pub(crate) fn add(&mut self, at: &str, key: u8, unknown_keys: UnknownKeys) {
        let key = PrivateKey::from_bytes([key; 32]);
        let identity = cluster().sign_relay(&key.public());
        self.add_end(at, key, unknown_keys, Some(identity));
    }

    pub(crate) fn add_with_key(&mut self, at: &str, key: [u8; 32]) {
        self.add_end(at, PrivateKey::from_bytes(key), UnknownKeys::Refuse, None);
    }

    /// An end that is no relay.
    pub(crate) fn add_nobody(&mut self, at: &str) {
        self.add_with_key(at, [99; 32]);
    }

    fn add_end(
        &mut self,
        at: &str,
        key: PrivateKey,
        unknown_keys: UnknownKeys,
        identity: Option<RelayIdentity>,
    ) {
        self.seed += 1;
        let config = Config {
            private_key: key.clone(),
            shard: 3,
            unknown_keys,
            identity,
            handshakes_per_second_max: 100,
            seed: self.seed,
        };
        let overlay = Overlay::new(config, self.now);
        let end = End { overlay, events: vec![], packets: vec![], drops: vec![], key };
        self.ends.insert(address(at), end);
    }

    pub(crate) fn add_agent_to_relay(&mut self) -> PeerId {
        let public_key = self.key(AGENT);
        let peer = Peer {
            public_key,
            preshared_key: None,
            endpoint: None,
            persistent_keepalive: None,
            sources: NODE,
        };
        self.add_peer(RELAY, peer)
    }

    pub(crate) fn add_relay_to_agent(&mut self) -> PeerId {
        let public_key = self.key(RELAY);
        let peer = Peer {
            public_key,
            preshared_key: None,
            endpoint: Some(address(RELAY)),
            persistent_keepalive: Some(25),
            sources: Sources::Relay,
        };
        self.add_peer(AGENT, peer)
    }

    pub(crate) fn add_peer(&mut self, at: &str, peer: Peer) -> PeerId {
        let now = self.now;
        self.end(at).overlay.add_peer(peer, now).unwrap()
    }

    pub(crate) fn key(&self, at: &str) -> PublicKey {
        self.ends[&address(at)].overlay.public_key()
    }

    pub(crate) fn end(&mut self, at: &str) -> &mut End {
        self.ends.get_mut(&address(at)).unwrap()
    }

    pub(crate) fn relay(&self) -> &Overlay {
        &self.ends[&address(RELAY)].overlay
    }

    /// The same key, with nothing remembered.
    pub(crate) fn restart(&mut self, at: &str, unknown_keys: UnknownKeys) {
        let first_byte = self.end(at).key.expose_bytes()[0];
        self.add(at, first_byte, unknown_keys);
    }

    /// The end at `from` sends from `to` from here on.
    pub(crate) fn move_end(&mut self, from: &str, to: &str) {
        let end = self.ends.remove(&address(from)).unwrap();
        self.ends.insert(address(to), end);
    }

    pub(crate) fn is_up(&self, at: &str, peer: PeerId) -> bool {
        self.ends[&address(at)]
            .overlay
            .status(peer)
            .is_some_and(|status| status.session_established.is_some())
    }

    pub(crate) fn endpoint(&self, at: &str, peer: PeerId) -> Option<SocketAddr> {
        self.ends[&address(at)].overlay.status(peer)?.endpoint
    }

    pub(crate) fn dropped(&self, at: &str, reason: DropReason) -> u64 {
        self.ends[&address(at)].overlay.counters().dropped(reason)
    }

    /// Puts a packet on the wire. Whether there was a session for it.
    pub(crate) fn send(&mut self, at: &str, peer: PeerId, packet: &[u8]) -> bool {
        let now = self.now;
        let mut buffer = [0; 2_048];
        let sealed = self.end(at).overlay.encapsulate(peer, packet, &mut buffer, now);
        let Encapsulated::Datagram { to, payload } = sealed else { return false };
        let bytes = payload.to_vec();
        self.wire.push_back(Datagram { from: address(at), to, bytes });
        true
    }

    /// Gives one datagram to whoever lives at its destination.
    pub(crate) fn deliver(&mut self, datagram: &Datagram) {
        let now = self.now;
        let Some(end) = self.ends.get_mut(&datagram.to) else { return };
        let mut buffer = [0; 2_048];
        match end.overlay.handle_datagram(datagram.from, &datagram.bytes, &mut buffer, now) {
            Received::Packet { peer, packet } => end.packets.push((peer, packet.to_vec())),
            Received::Nothing | Received::Alive { .. } => {}
            Received::Dropped(reason) => end.drops.push(reason),
        }
    }

    /// Collects what every end wants sent.
    pub(crate) fn collect(&mut self) {
        for (at, end) in &mut self.ends {
            while let Some(transmit) = end.overlay.poll_transmit() {
                if transmit.segment_bytes.is_some() && self.loses_segments {
                    continue;
                }
                let datagram_bytes = transmit.segment_bytes.unwrap_or(transmit.payload.len());
                if datagram_bytes > self.longest_bytes {
                    continue;
                }
                let datagrams = transmit.payload.chunks(datagram_bytes);
                self.wire.extend(datagrams.map(|bytes| Datagram {
                    from: *at,
                    to: transmit.to,
                    bytes: bytes.to_vec(),
                }));
            }
            while let Some(event) = end.overlay.poll_event() {
                end.events.push(event);
            }
        }
    }

    /// Runs what is due now and collects it, delivering nothing.
    pub(crate) fn fire(&mut self) {
        let now = self.now;
        for end in self.ends.values_mut() {
            end.overlay.handle_timeout(now);
        }
        self.collect();
    }

    /// Moves everything that is under way, and what follows from it, in no time. Gives how many datagrams moved.
    pub(crate) fn settle(&mut self) -> usize {
        let mut moved = 0;
        self.fire();
        while let Some(datagram) = self.wire.pop_front() {
            self.log.push(datagram.clone());
            self.deliver(&datagram);
            self.collect();
            moved += 1;
            assert!(moved < 10_000, "the ends never stop talking");
        }
        moved
    }

    /// Lets time pass, waking every end when it wants; datagrams move if `connected`, else they are lost.
    pub(crate) fn advance(&mut self, time: Duration, connected: bool) {
        let end_of_time = self.now + time;
        let mut turns = 0;
        loop {
            if connected {
                self.settle();
            } else {
                self.fire();
                self.log.extend(self.wire.drain(..));
            }
            let next =
                self.ends.values().filter_map(|end| Some(end.overlay.poll_timeout()?.0)).min();
            match next {
                Some(next) if next <= end_of_time => self.now = self.now.max(next),
                _ => break,
            }
            turns += 1;
            assert!(turns < 100_000, "time does not pass");
        }
        self.now = end_of_time;
    }

    /// Takes what is under way off the wire.
    pub(crate) fn intercept(&mut self) -> Vec<Datagram> {
        self.fire();
        self.wire.drain(..).collect()
    }
}

/// The message type of a datagram.
pub(crate) fn kind(datagram: &Datagram) -> u8 {
    datagram.bytes[0]
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn cluster() -> ClusterKey {
    ClusterKey::from_bytes([77; 32])
}

/// A UDP packet over IPv6 from `source` to the relay's overlay address.
pub(crate) fn udp_packet(source: Ipv6Addr) -> Vec<u8> {
    let mut packet = vec![0; 40 + 24];
    packet[0] = 0x60;
    packet[5] = 24;
    packet[6] = 17;
    packet[8..24].copy_from_slice(&source.octets());
    packet[24..40].copy_from_slice(&RELAY_V6.octets());
    packet
}

/// What the joining node sends first.
pub(crate) fn garden_packet() -> Vec<u8> {
    let mut packet = udp_packet(bore_overlay::GARDEN_JOINER);
    packet[6] = 6;
    packet[24..40].copy_from_slice(&bore_overlay::GARDEN_RELAY.octets());
    packet[40..44].copy_from_slice(&[0x9C, 0x40, 0, 80]);
    packet
}

pub(crate) const NODE_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9);
pub(crate) const RELAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
pub(crate) const NODE: Sources = Sources::Node { v4: Ipv4Addr::new(100, 64, 0, 9), v6: NODE_V6 };
