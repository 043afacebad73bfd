//! Two stacks, one link, one clock.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bore_netstack::{
    Config, Connect, ConnectError, Incoming, Listener, PeerConfig, PeerKey, Stack, TcpFlow, Verdict,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How the relay knows the agent, and the other way round.
pub(crate) const PEER: PeerKey = PeerKey(7);

/// What goes wrong on the way.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) loss_percent: u32,
    pub(crate) duplicate_percent: u32,
    /// Up to this much more delay for each packet.
    pub(crate) jitter: Duration,
}

pub(crate) struct Lab {
    pub(crate) relay: Stack,
    pub(crate) agent: Stack,
    pub(crate) now: Instant,
    pub(crate) faults: Faults,
    /// Nothing passes.
    pub(crate) is_cut: bool,
    random: StdRng,
    flying: Vec<Flying>,
    sent: u64,
}

struct Flying {
    arrives: Instant,
    order: u64,
    to_agent: bool,
    packet: Vec<u8>,
}

const DELAY: Duration = Duration::from_millis(10);
const STEPS_MAX: usize = 400_000;
const DRAIN_MAX: usize = 20_000;

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The visitor of most tests.
pub(crate) fn visitor() -> SocketAddr {
    addr("203.0.113.9:50000")
}

/// The service of most tests.
pub(crate) fn service() -> SocketAddr {
    addr("100.64.0.7:8080")
}

pub(crate) fn stack(seed: u64) -> Stack {
    let stack = Stack::new(Config { seed });
    stack.add_peer(PEER, PeerConfig::default());
    stack
}

pub(crate) fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with_faults(1, Faults::default())
    }

    pub(crate) fn with_faults(seed: u64, faults: Faults) -> Self {
        Self {
            relay: stack(seed),
            agent: stack(seed + 1),
            now: Instant::now(),
            faults,
            is_cut: false,
            random: StdRng::seed_from_u64(seed),
            flying: Vec::new(),
            sent: 0,
        }
    }

    pub(crate) fn listen(&self) -> Listener {
        self.agent.listen(service().ip(), 8080..=8080, Some(PEER)).unwrap()
    }

    pub(crate) fn connect(&self) -> Connect {
        self.connect_from(visitor()).unwrap()
    }

    pub(crate) fn connect_from(&self, source: SocketAddr) -> Result<Connect, ConnectError> {
        self.relay.connect(PEER, source, service(), Duration::from_secs(20), self.now)
    }

    /// A flow in ESTABLISHED: the relay's end, the agent's end.
    pub(crate) fn established(&mut self) -> (TcpFlow, TcpFlow) {
        let listener = self.listen();
        let connect = self.connect();
        let incoming = self.incoming(&listener);
        let accepted = incoming.accept().unwrap();
        let opened = self.until_connected(connect).unwrap();
        self.until_idle();
        (opened, accepted)
    }

    pub(crate) fn incoming(&mut self, listener: &Listener) -> Incoming {
        self.until(|_| ready(listener.poll_accept(&mut context())))
    }

    pub(crate) fn until_connected(&mut self, connect: Connect) -> Result<TcpFlow, ConnectError> {
        let mut connect = pin!(connect);
        self.until(|_| ready(connect.as_mut().poll(&mut context())))
    }

    /// Lets time pass until `test` gives something.
    pub(crate) fn until<T>(&mut self, mut test: impl FnMut(&mut Self) -> Option<T>) -> T {
        for _ in 0..STEPS_MAX {
            if let Some(value) = test(self) {
                return value;
            }
            assert!(self.step(), "nothing will ever happen again");
        }
        panic!("not within {STEPS_MAX} steps");
    }

    /// Lets time pass until nothing is left to happen within a second.
    pub(crate) fn until_idle(&mut self) {
        loop {
            self.exchange();
            match self.next_event() {
                Some(event) if event < self.now + Duration::from_secs(1) => self.advance_to(event),
                _ => return,
            }
        }
    }

    /// Lets `duration` pass.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.exchange();
        while let Some(event) = self.next_event().filter(|event| *event <= end) {
            self.advance_to(event);
            self.exchange();
        }
        self.advance_to(end);
        self.exchange();
    }

    /// Jumps to the next event; gives whether there was one.
    fn step(&mut self) -> bool {
        self.exchange();
        let Some(event) = self.next_event() else { return false };
        self.advance_to(event);
        true
    }

    pub(crate) fn next_event(&self) -> Option<Instant> {
        let arrival = self.flying.iter().map(|flying| flying.arrives).min();
        let deadlines = [self.relay.poll_timeout(), self.agent.poll_timeout(), arrival];
        deadlines.into_iter().flatten().min()
    }

    fn advance_to(&mut self, event: Instant) {
        self.now = self.now.max(event);
        let now = self.now;
        let mut arrived: Vec<_> =
            self.flying.extract_if(.., |flying| flying.arrives <= now).collect();
        arrived.sort_by_key(|flying| (flying.arrives, flying.order));
        for flying in arrived {
            let to = if flying.to_agent { &self.agent } else { &self.relay };
            let verdict = to.handle_packet(PEER, &flying.packet, now);
            assert_ne!(verdict, Verdict::Malformed, "{:02x?}", flying.packet);
        }
        self.relay.handle_timeout(now);
        self.agent.handle_timeout(now);
    }

    /// Puts everything that both stacks want to send on the link.
    pub(crate) fn exchange(&mut self) {
        for to_agent in [true, false] {
            let from = if to_agent { self.relay.clone() } else { self.agent.clone() };
            for packet in drain(&from, self.now) {
                self.launch(packet, to_agent);
            }
        }
    }

    fn launch(&mut self, packet: Vec<u8>, to_agent: bool) {
        if self.is_cut || self.happens(self.faults.loss_percent) {
            return;
        }
        let copies = 1 + usize::from(self.happens(self.faults.duplicate_percent));
        for _ in 0..copies {
            let jitter_micros = self.faults.jitter.as_micros().try_into().unwrap();
            let jitter = Duration::from_micros(self.random.random_range(0..=jitter_micros));
            let arrives = self.now + DELAY + jitter;
            self.sent += 1;
            self.flying.push(Flying {
                arrives,
                order: self.sent,
                to_agent,
                packet: packet.clone(),
            });
        }
    }

    fn happens(&mut self, percent: u32) -> bool {
        self.random.random_ratio(percent, 100)
    }
}

/// Everything that a stack wants to send at `now`.
pub(crate) fn drain(stack: &Stack, now: Instant) -> Vec<Vec<u8>> {
    drain_to(stack, now).into_iter().map(|(_, packet)| packet).collect()
}

pub(crate) fn drain_to(stack: &Stack, now: Instant) -> Vec<(PeerKey, Vec<u8>)> {
    let mut buffer = [0; 1280];
    let mut packets = Vec::new();
    while let Some((peer, length)) = stack.poll_transmit(&mut buffer, now) {
        assert!(packets.len() < DRAIN_MAX, "egress never ends: {:02x?}", &buffer[..length]);
        packets.push((peer, buffer[..length].to_vec()));
    }
    packets
}

pub(crate) fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Writes what fits at present.
pub(crate) fn write(flow: &TcpFlow, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match flow.poll_write(&mut context(), &bytes[written..]) {
            Poll::Ready(Ok(count)) => written += count,
            Poll::Ready(Err(error)) => panic!("{error}"),
            Poll::Pending => break,
        }
    }
    written
}

/// What reading gives at present: the bytes, and what came after them.
pub(crate) fn read(flow: &TcpFlow) -> (Vec<u8>, After) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match flow.poll_read(&mut context(), &mut buffer) {
            Poll::Ready(Ok(0)) => return (bytes, After::End),
            Poll::Ready(Ok(count)) => bytes.extend_from_slice(&buffer[..count]),
            Poll::Ready(Err(error)) => return (bytes, After::Error(error.kind())),
            Poll::Pending => return (bytes, After::More),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    More,
    End,
    Error(io::ErrorKind),
}
