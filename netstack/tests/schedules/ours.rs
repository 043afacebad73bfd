//! This stack as an end.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bore_netstack::{Config, Connect, Listener, PeerConfig, PeerKey, Stack, TcpFlow};

use crate::run::End;
use crate::schedule::Schedule;

pub(crate) struct Ours {
    stack: Stack,
    connect: Option<Connect>,
    listener: Option<Listener>,
    flow: Option<TcpFlow>,
    was_refused: bool,
    /// What of a train has not left.
    train: VecDeque<Vec<u8>>,
}

const PEER: PeerKey = PeerKey(7);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

impl End for Ours {
    fn open(schedule: &Schedule, now: Instant) -> Self {
        let mut ours = Self::new(schedule, schedule.seed);
        let (source, destination) = schedule.addresses();
        let connect = ours.stack.connect(PEER, source, destination, CONNECT_TIMEOUT, now);
        ours.connect = Some(connect.unwrap());
        ours
    }

    fn accept(schedule: &Schedule, _: Instant) -> Self {
        let mut ours = Self::new(schedule, !schedule.seed);
        let (_, address) = schedule.addresses();
        let ports = address.port()..=address.port();
        ours.listener = Some(ours.stack.listen(address.ip(), ports, None).unwrap());
        ours
    }

    fn handle_packet(&mut self, packet: &[u8], now: Instant) {
        let _ = self.stack.handle_packet(PEER, packet, now);
        self.meet();
    }

    fn poll_transmit(&mut self, buffer: &mut [u8], now: Instant) -> Option<usize> {
        if self.train.is_empty() {
            let mut room = vec![0; 64 * 1024];
            let train = self.stack.poll_transmit_train(&mut room, now)?;
            let packets = room[..train.bytes()].chunks(train.packet_bytes());
            self.train.extend(packets.map(<[u8]>::to_vec));
        }
        let packet = self.train.pop_front()?;
        buffer[..packet.len()].copy_from_slice(&packet);
        Some(packet.len())
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.stack.handle_timeout(now);
        self.meet();
    }

    fn poll_timeout(&mut self, _: Instant) -> Option<Instant> {
        self.stack.poll_timeout()
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        let Some(flow) = &self.flow else { return 0 };
        match flow.poll_write(&mut context(), bytes) {
            Poll::Ready(Ok(count)) => count,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        }
    }

    fn read(&mut self, into: &mut Vec<u8>) {
        let Some(flow) = &self.flow else { return };
        let mut buffer = [0; 4_096];
        while let Poll::Ready(Ok(count @ 1..)) = flow.poll_read(&mut context(), &mut buffer) {
            into.extend_from_slice(&buffer[..count]);
        }
    }

    fn has_ended(&mut self) -> bool {
        let Some(flow) = &self.flow else { return false };
        let look = |_: &[u8]| Err(std::io::ErrorKind::WouldBlock.into());
        matches!(flow.poll_read_with(&mut context(), look), Poll::Ready(Ok(None)))
    }

    fn close(&mut self) {
        if let Some(flow) = &self.flow {
            flow.shutdown();
        }
    }

    fn is_over(&mut self) -> bool {
        let Some(flow) = &self.flow else { return false };
        self.has_ended_cleanly(flow)
    }

    fn has_failed(&mut self) -> bool {
        let is_reset = |flow: &TcpFlow| flow.poll_reset(&mut context()).is_ready();
        self.was_refused || self.flow.as_ref().is_some_and(is_reset)
    }
}

impl Ours {
    fn new(schedule: &Schedule, seed: u64) -> Self {
        let stack = Stack::new(Config { seed });
        let Schedule { mtu, is_foreign, congestion, .. } = *schedule;
        stack.add_peer(PEER, PeerConfig { mtu, is_foreign, congestion, ..PeerConfig::default() });
        Self {
            stack,
            connect: None,
            listener: None,
            flow: None,
            was_refused: false,
            train: VecDeque::new(),
        }
    }

    pub(crate) fn retransmitted_bytes(&self) -> u64 {
        self.flow.as_ref().map_or(0, |flow| flow.info().retransmitted_bytes)
    }

    fn has_ended_cleanly(&self, flow: &TcpFlow) -> bool {
        matches!(flow.poll_flushed(&mut context()), Poll::Ready(Ok(())))
    }

    /// Takes the flow once there is one.
    fn meet(&mut self) {
        if self.flow.is_some() {
            return;
        }
        if let Some(mut connect) = self.connect.take() {
            match Pin::new(&mut connect).poll(&mut context()) {
                Poll::Ready(Ok(flow)) => self.flow = Some(flow),
                Poll::Ready(Err(_)) => self.was_refused = true,
                Poll::Pending => self.connect = Some(connect),
            }
        }
        if let Some(listener) = &self.listener
            && let Poll::Ready(incoming) = listener.poll_accept(&mut context())
        {
            self.flow = incoming.accept().ok();
        }
    }
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}
