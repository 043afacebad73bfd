//! The language of the scripts: one stack, a peer whose every segment is written by hand, and an exact clock.
//!
//! [`Script::at`] lets time pass and fails when something leaves before; [`Script::expect`] says what leaves at that very time;
//! [`Script::by`] lets time pass and leaves open when exactly what is expected left.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bore_netstack::{
    Config, Congestion, Connect, Incoming, Listener, PeerConfig, PeerKey, Stack, TcpFlow, Verdict,
};

use crate::segment::{Acknowledges, Origins, Segment, ack, byte_at, syn};

/// What the peer says in its SYN, and how far away it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) mss: u16,
    /// In bytes.
    pub(crate) window: u32,
    pub(crate) window_scale: Option<u8>,
    pub(crate) may_sack: bool,
    pub(crate) has_timestamps: bool,
    pub(crate) has_ecn: bool,
    pub(crate) congestion: Congestion,
    /// Not one of our own nodes.
    pub(crate) is_foreign: bool,
    /// How long it takes to answer in the handshake.
    pub(crate) round_trip: Duration,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            mss: 1_000,
            window: 64_000,
            window_scale: Some(3),
            may_sack: true,
            has_timestamps: false,
            has_ecn: false,
            congestion: Congestion::default(),
            is_foreign: false,
            round_trip: Duration::from_millis(100),
        }
    }
}

/// One run.
pub(crate) struct Script {
    pub(crate) stack: Stack,
    pub(crate) flow: Option<TcpFlow>,
    connect: Option<Connect>,
    listener: Option<Listener>,
    peer: Peer,
    /// Zero of the script.
    zero: Instant,
    now: Instant,
    /// Where the stack's stream begins, once its SYN was seen.
    origin: Option<u32>,
    /// Where the peer's stream stands.
    next: i32,
    /// Behind everything that the peer has seen.
    seen: i32,
    /// The stack's timestamp that the peer has seen last.
    echo: u32,
    written: i32,
    /// The stack has acknowledged the peer's SYN.
    has_heard_syn: bool,
    sent: VecDeque<(Instant, Segment)>,
    is_exact: bool,
}

impl Script {
    /// ESTABLISHED since 0 ms; the peer has called.
    pub(crate) fn accepted(peer: Peer) -> Self {
        let mut script = Self::called(peer);
        script.at(0);
        let first = if peer.has_timestamps { ack(1).timestamps(1, script.echo) } else { ack(1) };
        script.inject(first);
        script.sent.clear();
        assert_eq!(script.state(), "ESTABLISHED");
        script
    }

    /// ESTABLISHED since 0 ms; the stack has called.
    pub(crate) fn connected(peer: Peer) -> Self {
        let mut script = Self::calling(peer);
        script.expect(&["syn ece cwr 0..1"]);
        script.at(0);
        let answer = Segment {
            acknowledgment: Acknowledges::Position(1),
            // RFC 3168 §6.1.1: the answer that agrees has the echo alone.
            window_reduced: false,
            ..script.greeting()
        };
        script.inject(answer).expect(&["1 ack 1"]);
        script
    }

    /// SYN-SENT; the SYN leaves a round trip before 0 ms.
    pub(crate) fn calling(peer: Peer) -> Self {
        let mut script = Self::new(peer);
        let timeout = Duration::from_secs(60);
        let connect = script.stack.connect(PEER, us(), them(), timeout, script.now).unwrap();
        script.connect = Some(connect);
        script.drain();
        script
    }

    /// SYN-RECEIVED; the SYN-ACK left a round trip before 0 ms, and was looked at.
    pub(crate) fn called(peer: Peer) -> Self {
        let greeting = Self::new(peer).greeting();
        let mut script = Self::called_unseen(peer, greeting);
        assert!(script.sent.pop_front().is_some_and(|(_, answer)| answer.syn));
        script
    }

    /// SYN-RECEIVED by the SYN `greeting`; the answer is to be expected.
    pub(crate) fn called_unseen(peer: Peer, greeting: Segment) -> Self {
        let mut script = Self::new(peer);
        let listener = script.stack.listen(us().ip(), us().port()..=us().port(), None).unwrap();
        script.inject(greeting);
        let Poll::Ready(incoming) = listener.poll_accept(&mut context()) else { panic!("no SYN") };
        script.flow = Some(incoming.accept().unwrap());
        script.listener = Some(listener);
        script.drain();
        script
    }

    fn new(peer: Peer) -> Self {
        let stack = Stack::new(Config { seed: 1 });
        let (congestion, is_foreign) = (peer.congestion, peer.is_foreign);
        stack.add_peer(PEER, PeerConfig { congestion, is_foreign, ..PeerConfig::default() });
        let now = Instant::now();
        Self {
            stack,
            flow: None,
            connect: None,
            listener: None,
            peer,
            zero: now + peer.round_trip,
            now,
            origin: None,
            next: 0,
            seen: 0,
            echo: 0,
            written: 0,
            has_heard_syn: false,
            sent: VecDeque::new(),
            is_exact: true,
        }
    }

    /// The peer's SYN.
    pub(crate) fn greeting(&self) -> Segment {
        Segment {
            mss: Some(self.peer.mss),
            window_scale: self.peer.window_scale,
            may_sack: self.peer.may_sack,
            timestamps: self.peer.has_timestamps.then_some((1, self.echo)),
            echo_congestion: self.peer.has_ecn,
            window_reduced: self.peer.has_ecn,
            ..syn(0)
        }
    }

    /// Goes to `ms` after the beginning. Whatever leaves on the way and is not expected at that very time is a failure.
    #[track_caller]
    pub(crate) fn at(&mut self, ms: u64) -> &mut Self {
        self.nothing_more();
        self.run(ms);
        self.is_exact = true;
        self
    }

    /// Goes to `ms` after the beginning; what leaves on the way is expected then.
    pub(crate) fn by(&mut self, ms: u64) -> &mut Self {
        self.run(ms);
        self.is_exact = false;
        self
    }

    /// The peer's segment arrives.
    pub(crate) fn inject(&mut self, segment: Segment) -> &mut Self {
        self.inject_unheard(segment);
        self.drain();
        self
    }

    /// As [`Self::inject`], before the stack is asked for its answer.
    pub(crate) fn inject_unheard(&mut self, mut segment: Segment) -> &mut Self {
        let shift = if segment.syn { 0 } else { self.peer.window_scale.unwrap_or_default() };
        let window = segment.window.unwrap_or(self.peer.window).min(65_535 << shift);
        segment.window = Some(window >> shift);
        let start = *segment.sequence.get_or_insert(self.next);
        if segment.acknowledgment == Acknowledges::Seen {
            segment.acknowledgment = Acknowledges::Position(self.seen);
        }
        if start == self.next && !segment.reset {
            self.next += segment.length();
        }
        let origins = Origins { sender: PEER_ORIGIN, receiver: self.origin.unwrap_or_default() };
        let packet = segment.packet(them(), us(), origins);
        let verdict = self.stack.handle_packet(PEER, &packet, self.now);
        assert_ne!(verdict, Verdict::Malformed, "{segment}");
        self
    }

    /// The application writes `bytes`.
    pub(crate) fn write(&mut self, bytes: usize) -> &mut Self {
        let end = self.written + i32::try_from(bytes).unwrap();
        while self.written < end {
            let piece: Vec<u8> = (self.written..end).map(|at| byte_at(at + 1)).collect();
            let Poll::Ready(count) = self.flow().poll_write(&mut context(), &piece) else {
                panic!("no room")
            };
            self.written += i32::try_from(count.unwrap()).unwrap();
        }
        self.drain();
        self
    }

    /// The application writes `bytes`, if it may.
    pub(crate) fn try_write(&mut self, bytes: usize) {
        let _ = self.flow().poll_write(&mut context(), &vec![1; bytes]);
        self.drain();
    }

    /// The application writes a full segment every 10 ms, `count` times; each leaves at once.
    pub(crate) fn stream(&mut self, count: usize) -> &mut Self {
        let begin = self.now_ms();
        let options_bytes = if self.peer.has_timestamps { 12 } else { 0 };
        for index in 0..count {
            self.at(begin + 10 * u64::try_from(index).unwrap());
            let start = self.written + 1;
            self.write(usize::from(self.peer.mss) - options_bytes);
            let text = format!("{start}..{} ack {}", self.written + 1, self.next);
            self.expect(&[&text]);
        }
        self
    }

    /// The application reads everything, and finds what the peer wrote.
    pub(crate) fn read(&mut self, from: i32, bytes: usize) -> &mut Self {
        let mut buffer = vec![0; bytes + 1];
        let mut count = 0;
        while let Poll::Ready(Ok(more @ 1..)) =
            self.flow().poll_read(&mut context(), &mut buffer[count..])
        {
            count += more;
        }
        let expected: Vec<u8> = (from..).take(bytes).map(byte_at).collect();
        assert!(buffer[..count] == expected[..], "{count} bytes instead of {bytes}");
        self.drain();
        self
    }

    /// The application reads up to `bytes`, whatever they are.
    pub(crate) fn read_on(&mut self, bytes: usize) -> &mut Self {
        let mut buffer = vec![0; bytes];
        let mut count = 0;
        while let Poll::Ready(Ok(more @ 1..)) =
            self.flow().poll_read(&mut context(), &mut buffer[count..])
        {
            count += more;
        }
        self.drain();
        self
    }

    pub(crate) fn shutdown(&mut self) -> &mut Self {
        self.flow().shutdown();
        self.drain();
        self
    }

    pub(crate) fn abort(&mut self) -> &mut Self {
        self.flow().abort();
        self.drain();
        self
    }

    /// Exactly these leave: at this time after [`Self::at`], on the way here after [`Self::by`].
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &[&str]) -> &mut Self {
        let texts: Vec<String> = self.sent.iter().map(|(_, segment)| segment.to_string()).collect();
        let times: Vec<Duration> =
            self.sent.iter().map(|(at, _)| at.saturating_duration_since(self.zero)).collect();
        assert_eq!(texts, expected, "at {times:?}");
        let is_punctual = !self.is_exact || self.sent.iter().all(|(at, _)| *at == self.now);
        assert!(is_punctual, "{texts:?} at {times:?} instead of {:?}", self.now - self.zero);
        self.take();
        self
    }

    /// What has left and was not expected yet, for a closer look.
    pub(crate) fn take(&mut self) -> Vec<Segment> {
        self.sent.drain(..).map(|(_, segment)| segment).collect()
    }

    /// The state by its name.
    pub(crate) fn state(&mut self) -> &'static str {
        self.finish_connect();
        match &self.flow {
            Some(flow) => flow.info().state,
            None if self.connect.is_none() => "CLOSED",
            None if self.has_heard_syn => "SYN-RECEIVED",
            None => "SYN-SENT",
        }
    }

    pub(crate) fn flow(&self) -> &TcpFlow {
        self.flow.as_ref().expect("a handshake that is over")
    }

    /// Whether the flow that was called for is there.
    pub(crate) fn finish_connect(&mut self) -> bool {
        let Some(mut connect) = self.connect.take() else { return self.flow.is_some() };
        match pin!(&mut connect).poll(&mut context()) {
            Poll::Ready(flow) => self.flow = flow.ok(),
            Poll::Pending => self.connect = Some(connect),
        }
        self.flow.is_some()
    }

    /// The next call that waits at the stack's listener.
    pub(crate) fn incoming(&self) -> Option<Incoming> {
        match self.listener.as_ref()?.poll_accept(&mut context()) {
            Poll::Ready(incoming) => Some(incoming),
            Poll::Pending => None,
        }
    }

    /// Where the clock of the script stands.
    pub(crate) fn now_ms(&self) -> u64 {
        (self.now - self.zero).as_millis().try_into().unwrap()
    }

    /// Behind everything that the stack has sent.
    pub(crate) fn sent_end(&self) -> i32 {
        self.seen
    }

    /// The timestamp of the stack's segment that was seen last.
    pub(crate) fn echo(&self) -> u32 {
        self.echo
    }

    #[track_caller]
    fn nothing_more(&mut self) {
        self.expect(&[]);
    }

    #[track_caller]
    fn run(&mut self, ms: u64) {
        let end = self.zero + Duration::from_millis(ms);
        self.drain();
        while let Some(due) = self.stack.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.stack.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
        self.stack.handle_timeout(self.now);
        self.drain();
    }

    fn drain(&mut self) {
        let mut buffer = [0; 1_280];
        while let Some((_, length)) = self.stack.poll_transmit(&mut buffer, self.now) {
            let segment = Segment::parse(&buffer[..length], &mut self.origin, PEER_ORIGIN);
            // A reset that answers nonsense is numbered by that.
            if !segment.reset {
                self.seen = self.seen.max(segment.sequence.unwrap() + segment.length());
            }
            self.has_heard_syn |= matches!(segment.acknowledgment, Acknowledges::Position(_));
            self.echo = segment.timestamps.map_or(self.echo, |(value, _)| value);
            self.sent.push_back((self.now, segment));
        }
    }
}

pub(crate) fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn us() -> SocketAddr {
    "100.64.0.7:8080".parse().unwrap()
}

fn them() -> SocketAddr {
    "203.0.113.9:50000".parse().unwrap()
}

const PEER: PeerKey = PeerKey(7);
/// Near the end, so that the peer's numbers wrap in nearly every script.
const PEER_ORIGIN: u32 = u32::MAX - 1_500;
