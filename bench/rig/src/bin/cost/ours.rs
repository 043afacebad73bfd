//! The product's side: a [`Stack`] for each end of a flow, with other flows beside it that say nothing.

use std::task::Poll;
use std::time::{Duration, Instant};

use bore_netstack::{Stack, TcpFlow};
use bore_rig::Result;

use crate::pipe::Packet;
use crate::transfer::{End, Ends};
use crate::tunnels::{Pair, Tunnels, context};

/// One end.
pub(crate) struct Ours {
    stack: Stack,
    flow: TcpFlow,
    is_sender: bool,
    /// A train, and what of it has not left.
    train: Box<[u8]>,
    rest: std::ops::Range<usize>,
    packet_bytes: usize,
    _idle: Vec<TcpFlow>,
}

impl Ours {
    /// Both ends of an open flow, among `idle_count` others.
    pub(crate) fn pair(idle_count: usize) -> Result<Ends<Self>> {
        let mut tunnels = Tunnels::new()?;
        let mut pairs = tunnels.open(idle_count + 1)?;
        tunnels.rest(Duration::from_secs(1));
        let Some(Pair { caller, called }) = pairs.pop() else { return Err("no flow".into()) };
        let (callers, calleds) = pairs.into_iter().map(|pair| (pair.caller, pair.called)).unzip();
        let sender = Self::new(tunnels.caller, caller, true, callers);
        let receiver = Self::new(tunnels.called, called, false, calleds);
        Ok(Ends { sender, receiver, now: tunnels.now })
    }

    fn new(stack: Stack, flow: TcpFlow, is_sender: bool, idle: Vec<TcpFlow>) -> Self {
        let train = vec![0; TRAIN_BYTES].into_boxed_slice();
        Self { stack, flow, is_sender, train, rest: 0..0, packet_bytes: 0, _idle: idle }
    }

    /// The next packet of the train, of which a new one is taken when the last has left.
    fn next_of_train(&mut self, now: Instant) -> Option<std::ops::Range<usize>> {
        if self.rest.is_empty() {
            let train = self.stack.poll_transmit_train(&mut self.train, now)?;
            self.rest = 0..train.bytes;
            self.packet_bytes = train.packet_bytes;
        }
        let end = (self.rest.start + self.packet_bytes).min(self.rest.end);
        let packet = self.rest.start..end;
        self.rest.start = end;
        Some(packet)
    }
}

impl End for Ours {
    fn handle_packet(&mut self, packet: &[u8], now: Instant) {
        let _ = self.stack.handle_packet(self.flow.peer(), packet, now);
    }

    fn work(&mut self, now: Instant) {
        self.stack.handle_timeout(now);
        if self.is_sender {
            while let Poll::Ready(Ok(_)) =
                self.flow.poll_write_with(&mut context(), |room| Ok(room.len()))
            {}
        } else {
            while let Poll::Ready(Ok(Some(_))) =
                self.flow.poll_read_with(&mut context(), |bytes| Ok(bytes.len()))
            {}
        }
    }

    fn poll_transmit(&mut self, packet: &mut Packet, now: Instant) -> bool {
        let Some(range) = self.next_of_train(now) else { return false };
        let bytes = self.train.get(range).unwrap_or_default();
        let fill = |room: &mut [u8]| {
            room.get_mut(..bytes.len())?.copy_from_slice(bytes);
            Some((bytes.len(), ()))
        };
        packet.fill(fill).is_some()
    }

    fn poll_timeout(&mut self, _: Instant) -> Option<Instant> {
        self.stack.poll_timeout()
    }
}

/// What a driver takes at once.
const TRAIN_BYTES: usize = 64 * 1024;
