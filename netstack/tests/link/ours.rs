//! The product's side: a [`Stack`] for each end of a flow.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bore_netstack::{Config, Connect, Listener, PeerConfig, PeerKey, Stack, TcpFlow};

use crate::end::{End, MTU_BYTES};

/// One end.
pub(crate) struct Ours {
    stack: Stack,
    state: State,
}

enum State {
    Connecting(Connect),
    Listening(Listener),
    Writing(TcpFlow),
    Reading(TcpFlow),
}

const PEER: PeerKey = PeerKey(1);

/// Longer than any run.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(600);

impl End for Ours {
    fn pair(seed: u64, now: Instant) -> (Self, Self) {
        let source = SocketAddr::from(([100, 64, 0, 1], 50_000));
        let destination = SocketAddr::from(([100, 64, 0, 7], 8_080));
        let stack = stack(seed);
        let connect = stack.connect(PEER, source, destination, CONNECT_TIMEOUT, now).unwrap();
        let sender = Self { stack, state: State::Connecting(connect) };
        let stack = self::stack(seed + 1);
        let listener = stack.listen(destination.ip(), 8_080..=8_080, Some(PEER)).unwrap();
        let receiver = Self { stack, state: State::Listening(listener) };
        (sender, receiver)
    }

    fn handle_packet(&mut self, packet: &[u8], now: Instant) {
        let _ = self.stack.handle_packet(PEER, packet, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.stack.handle_timeout(now);
    }

    fn work(&mut self) -> u64 {
        self.open();
        match &self.state {
            State::Connecting(_) | State::Listening(_) => 0,
            State::Writing(flow) => write(flow),
            State::Reading(flow) => read(flow),
        }
    }

    fn poll_transmit(&mut self, buffer: &mut [u8], now: Instant) -> Option<usize> {
        self.stack.poll_transmit(buffer, now).map(|(_, bytes)| bytes)
    }

    fn poll_timeout(&mut self, _: Instant) -> Option<Instant> {
        self.stack.poll_timeout()
    }
}

impl Ours {
    /// Goes on to the open flow when there is one.
    fn open(&mut self) {
        match &mut self.state {
            State::Connecting(connect) => {
                if let Poll::Ready(flow) = Pin::new(connect).poll(&mut context()) {
                    self.state = State::Writing(flow.unwrap());
                }
            }
            State::Listening(listener) => {
                if let Poll::Ready(incoming) = listener.poll_accept(&mut context()) {
                    self.state = State::Reading(incoming.accept().unwrap());
                }
            }
            State::Writing(_) | State::Reading(_) => {}
        }
    }
}

fn stack(seed: u64) -> Stack {
    let stack = Stack::new(Config { seed });
    stack.add_peer(PEER, PeerConfig { mtu: MTU_BYTES, ..PeerConfig::default() });
    stack
}

/// Writes whatever the room happens to hold: that bytes arrive intact is proved elsewhere.
fn write(flow: &TcpFlow) -> u64 {
    while let Poll::Ready(written) = flow.poll_write_with(&mut context(), |room| Ok(room.len())) {
        assert!(written.unwrap() > 0, "ready to write nothing");
    }
    0
}

fn read(flow: &TcpFlow) -> u64 {
    let mut bytes = 0;
    while let Poll::Ready(taken) = flow.poll_read_with(&mut context(), |bytes| Ok(bytes.len())) {
        bytes += taken.unwrap().expect("nobody ends the stream");
    }
    bytes.try_into().unwrap()
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}
