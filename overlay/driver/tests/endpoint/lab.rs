//! Two endpoints and the wires between them, in virtual time.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bore_driver::{Arrival, Endpoint, SendError, Surroundings};
use bore_netstack::{Connect, Incoming, Listener, PeerKey, TcpFlow};
use bore_overlay::{Config, Event, Peer, PeerId, PrivateKey, Sources, UnknownKeys};

/// What an endpoint sends, until it is carried to the other one. Its memory is kept.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Sends that it takes in a step.
    pub(crate) room: usize,
    /// It takes several datagrams at once.
    pub(crate) takes_segments: bool,
    /// Longest datagram.
    pub(crate) longest: usize,
    /// Events that are taken.
    pub(crate) takes_events: bool,
    pub(crate) events: Vec<Event>,
    pub(crate) sends: u64,
    bytes: Vec<u8>,
    lengths: Vec<usize>,
    /// Of the room, in this step.
    taken: usize,
}

impl Surroundings for Wire {
    fn send(
        &mut self,
        _: SocketAddr,
        datagrams: &[u8],
        segment_bytes: Option<usize>,
    ) -> Result<(), SendError> {
        if self.taken >= self.room {
            return Err(SendError::Full);
        }
        if segment_bytes.is_some() && !self.takes_segments {
            return Err(SendError::Refused);
        }
        let length = segment_bytes.unwrap_or(datagrams.len());
        if length > self.longest {
            return Err(SendError::TooLong);
        }
        (self.taken, self.sends) = (self.taken + 1, self.sends + 1);
        self.bytes.extend_from_slice(datagrams);
        self.lengths.extend(datagrams.chunks(length).map(<[u8]>::len));
        Ok(())
    }

    fn has_room_for_event(&self) -> bool {
        self.takes_events
    }

    fn tell(&mut self, event: Event) {
        self.events.push(event);
    }
}

/// One end: an endpoint, its wire, and the other end as it knows it.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) endpoint: Endpoint,
    pub(crate) wire: Wire,
    pub(crate) peer: PeerId,
    address: SocketAddr,
    plain: Vec<u8>,
}

/// Both.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) now: Instant,
    pub(crate) relay: End,
    pub(crate) agent: End,
}

impl Lab {
    /// A relay, and an agent that calls it: their tunnel is up once [`Self::run`] gave it time.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let relay =
            End::new(1, 2, Sources::Node { v4: AGENT_V4, v6: "fd00::2".parse().unwrap() }, now);
        Self { now, relay, agent: End::new(2, 1, Sources::Relay, now) }
    }

    /// Lets `time` pass, in steps of a millisecond.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    /// A millisecond: each end takes what the other sent in the one before, and has its turn.
    pub(crate) fn step(&mut self) {
        self.now += Duration::from_millis(1);
        let Self { now, relay, agent } = self;
        relay.wire.carry(agent, relay.address, *now);
        agent.wire.carry(relay, agent.address, *now);
        relay.turn(*now);
        agent.turn(*now);
    }

    /// A flow from the relay to the agent, open at both ends, once the tunnel is up.
    pub(crate) fn flow(&mut self) -> (TcpFlow, TcpFlow) {
        self.run(Duration::from_millis(100));
        let address = IpAddr::V4(AGENT_V4);
        let listener = self.agent.endpoint.stack().listen(address, 80..=80, None).unwrap();
        let (key, destination) = (PeerKey(self.relay.peer.index()), SocketAddr::new(address, 80));
        let stack = self.relay.endpoint.stack().clone();
        let visitor = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
        let source = SocketAddr::new(visitor, stack.free_port(key, visitor, destination).unwrap());
        let call = stack.connect(key, source, destination, Duration::from_secs(9), self.now);
        let (mut call, mut answered) = (call.unwrap(), None);
        for _ in 0..1_000 {
            self.step();
            if let Some(incoming) = next(&listener) {
                answered = Some(incoming.accept().unwrap());
            }
            if let Some(flow) = opened(&mut call) {
                return (flow, answered.unwrap());
            }
        }
        panic!("the call was not answered")
    }

    /// Moves so many bytes from one end of a flow to the other.
    pub(crate) fn transfer(&mut self, from: &TcpFlow, to: &TcpFlow, bytes: usize) {
        let (mut written, mut read) = (0, 0);
        for _ in 0..STEPS_MAX {
            written += write(from, written..bytes);
            read += take(to, read);
            if read == bytes {
                return;
            }
            self.step();
        }
        panic!("{read} of {bytes} bytes arrived")
    }
}

impl End {
    fn new(own: u8, other: u8, sources: Sources, now: Instant) -> Self {
        let key = |byte| PrivateKey::from_bytes([byte; 32]);
        let address = |byte| SocketAddr::from(([192, 0, 2, byte], 1));
        let config = Config {
            private_key: key(own),
            shard: own,
            unknown_keys: UnknownKeys::Refuse,
            identity: None,
            handshakes_per_second_max: 100,
            seed: own.into(),
        };
        let mut endpoint = Endpoint::new(config, 1_280, now);
        endpoint.overlay_mut().allow_segments(true);
        let calls = sources == Sources::Relay;
        let peer = Peer {
            public_key: key(other).public(),
            preshared_key: None,
            endpoint: calls.then(|| address(other)),
            persistent_keepalive: calls.then_some(25),
            sources,
        };
        let peer = endpoint.add_peer(peer, false, now).unwrap();
        let wire = Wire {
            room: usize::MAX,
            takes_segments: true,
            longest: usize::MAX,
            takes_events: true,
            events: Vec::new(),
            sends: 0,
            bytes: Vec::with_capacity(1 << 22),
            lengths: Vec::with_capacity(1 << 12),
            taken: 0,
        };
        Self { endpoint, wire, peer, address: address(own), plain: vec![0; 1 << 16] }
    }

    /// Turns until nothing more may be waiting.
    pub(crate) fn turn(&mut self, now: Instant) {
        while self.endpoint.turn(&mut self.wire, now) {}
    }

    /// Bytes that were sealed for the other end.
    pub(crate) fn sealed_bytes(&self) -> u64 {
        self.endpoint.overlay().status(self.peer).unwrap().sent_bytes
    }

    /// Datagrams that were handed to the wire.
    pub(crate) fn datagrams_sent(&self) -> u64 {
        self.endpoint.counters().driver.datagrams_sent
    }
}

impl Wire {
    fn carry(&mut self, to: &mut End, from: SocketAddr, now: Instant) {
        let mut start = 0;
        for length in self.lengths.drain(..) {
            let datagram = &self.bytes[start..start + length];
            let arrival = to.endpoint.handle_datagram(from, datagram, &mut to.plain, now);
            assert!(!matches!(arrival, Arrival::Dropped(_)), "{arrival:?}");
            start += length;
        }
        self.bytes.clear();
        self.taken = 0;
    }
}

fn next(listener: &Listener) -> Option<Incoming> {
    match listener.poll_accept(&mut context()) {
        Poll::Ready(incoming) => Some(incoming),
        Poll::Pending => None,
    }
}

fn opened(call: &mut Connect) -> Option<TcpFlow> {
    match Future::poll(std::pin::Pin::new(call), &mut context()) {
        Poll::Ready(flow) => Some(flow.unwrap()),
        Poll::Pending => None,
    }
}

/// Writes the bytes at these places, as many as there is room for; gives how many.
pub(crate) fn write(flow: &TcpFlow, places: Range<usize>) -> usize {
    let mut written = 0;
    while written < places.len()
        && let Poll::Ready(more) = flow.poll_write_with(&mut context(), |room| {
            let from = places.start + written;
            let room = room.iter_mut().zip(from..places.end);
            Ok(room.map(|(byte, place)| *byte = content(place)).count())
        })
    {
        written += more.unwrap();
    }
    written
}

/// Reads what there is, which ought to be the bytes from place `from` on; gives how many.
pub(crate) fn take(flow: &TcpFlow, from: usize) -> usize {
    let mut read = 0;
    while let Poll::Ready(more) = flow.poll_read_with(&mut context(), |bytes| {
        let is_right = bytes.iter().zip(from + read..).all(|(byte, place)| *byte == content(place));
        assert!(is_right, "other bytes than were sent");
        Ok(bytes.len())
    }) {
        read += more.unwrap().unwrap();
    }
    read
}

fn content(place: usize) -> u8 {
    (place % 251).to_le_bytes()[0]
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

const STEPS_MAX: usize = 100_000;
const AGENT_V4: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 2);
