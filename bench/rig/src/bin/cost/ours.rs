//! The product's side: a [`Stack`] for each end of a flow, with other flows beside it that say nothing.

use std::task::Poll;
use std::time::{Duration, Instant};

use bore_netstack::{Stack, TcpFlow};
use bore_rig::Result;

use crate::pipe::Train;
use crate::transfer::{End, Ends};
use crate::tunnels::{Pair, Tunnels, context};

/// One end.
pub(crate) struct Ours {
    stack: Stack,
    flow: TcpFlow,
    is_sender: bool,
    _idle: Vec<TcpFlow>,
}

impl Ours {
    /// Both ends of an open flow, among `idle_count` others; `is_foreign` says what either takes the other for.
    pub(crate) fn pair(idle_count: usize, is_foreign: bool) -> Result<Ends<Self>> {
        let mut tunnels = Tunnels::new(is_foreign)?;
        let mut pairs = tunnels.open(idle_count + 1)?;
        tunnels.rest(Duration::from_secs(1));
        let Some(Pair { caller, called }) = pairs.pop() else { return Err("no flow".into()) };
        let (callers, calleds) = pairs.into_iter().map(|pair| (pair.caller, pair.called)).unzip();
        let sender = Self::new(tunnels.caller, caller, true, callers);
        let receiver = Self::new(tunnels.called, called, false, calleds);
        Ok(Ends { sender, receiver, now: tunnels.now })
    }

    fn new(stack: Stack, flow: TcpFlow, is_sender: bool, idle: Vec<TcpFlow>) -> Self {
        Self { stack, flow, is_sender, _idle: idle }
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

    fn poll_transmit(&mut self, train: &mut Train, now: Instant) -> bool {
        let write = |room: &mut [u8]| {
            let train = self.stack.poll_transmit_train(room, now)?;
            Some((train.bytes(), train.packet_bytes()))
        };
        train.fill(write).is_some()
    }

    fn poll_timeout(&mut self, _: Instant) -> Option<Instant> {
        self.stack.poll_timeout()
    }
}
