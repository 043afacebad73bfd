//! Two stacks, one calling and one called, joined by tunnels that take no processor time.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bore_netstack::limits::LISTENER_BACKLOG_MAX;
use bore_netstack::{Config, Connect, Listener, PeerConfig, PeerKey, Stack, TcpFlow};
use bore_rig::Result;

use crate::held::Held;
use crate::pipe::{DELAY, MTU_BYTES};

/// Both stacks, what each holds in memory, and the time it is.
pub(crate) struct Tunnels {
    pub(crate) caller: Stack,
    pub(crate) called: Stack,
    pub(crate) caller_held: Held,
    pub(crate) called_held: Held,
    listener: Listener,
    pub(crate) now: Instant,
    opened: usize,
    is_foreign: bool,
}

/// Both ends of an open flow.
pub(crate) struct Pair {
    pub(crate) caller: TcpFlow,
    pub(crate) called: TcpFlow,
}

impl Tunnels {
    /// `is_foreign` says what each takes the other for.
    pub(crate) fn new(is_foreign: bool) -> Result<Self> {
        let (mut caller_held, mut called_held) = (Held::default(), Held::default());
        let caller = caller_held.count(|| Stack::new(Config { seed: 1 }));
        let called = called_held.count(|| Stack::new(Config { seed: 2 }));
        let listener = called.listen(CALLED.into(), PORT..=PORT, None)?;
        Ok(Self {
            caller,
            called,
            caller_held,
            called_held,
            listener,
            now: Instant::now(),
            opened: 0,
            is_foreign,
        })
    }

    /// Opens `count` flows more, spread over peers.
    pub(crate) fn open(&mut self, count: usize) -> Result<Vec<Pair>> {
        let mut pairs = Vec::with_capacity(count);
        while pairs.len() < count {
            let some = (count - pairs.len()).min(LISTENER_BACKLOG_MAX / 2);
            self.open_some(some, &mut pairs)?;
        }
        Ok(pairs)
    }

    /// Carries packets both ways until there are none.
    pub(crate) fn carry(&mut self) {
        let Self { caller, called, caller_held, called_held, now, .. } = self;
        let mut buffer = [0; MTU_BYTES];
        loop {
            let there = pass((caller, caller_held), (called, called_held), &mut buffer, now);
            let back = pass((called, called_held), (caller, caller_held), &mut buffer, now);
            if !there && !back {
                return;
            }
        }
    }

    /// Lets so much time pass.
    pub(crate) fn rest(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let due = [self.caller.poll_timeout(), self.called.poll_timeout()];
            let next = due.into_iter().flatten().min().unwrap_or(end);
            self.now = self.now.max(next + Duration::from_micros(1)).min(end.max(self.now));
            self.caller_held.count(|| self.caller.handle_timeout(self.now));
            self.called_held.count(|| self.called.handle_timeout(self.now));
            self.carry();
            if self.now >= end {
                return;
            }
        }
    }

    fn open_some(&mut self, count: usize, pairs: &mut Vec<Pair>) -> Result<()> {
        let calls: Vec<Connect> = (0..count).map(|_| self.call()).collect::<Result<_>>()?;
        self.carry();
        let mut accepted = Vec::with_capacity(count);
        while let Poll::Ready(incoming) = self.listener.poll_accept(&mut context()) {
            accepted.push(self.called_held.count(|| incoming.accept())?);
        }
        // Peers take turns, so the order is not that of the calls.
        accepted.sort_by_key(TcpFlow::source);
        self.carry();
        for (call, called) in calls.into_iter().zip(accepted) {
            let Poll::Ready(caller) = pin!(call).poll(&mut context()) else {
                return Err("a flow did not open".into());
            };
            pairs.push(Pair { caller: caller?, called });
        }
        Ok(())
    }

    fn call(&mut self) -> Result<Connect> {
        let index = u32::try_from(self.opened)?;
        let peer = PeerKey(index / FLOWS_PER_PEER);
        if index % FLOWS_PER_PEER == 0 {
            let is_foreign = self.is_foreign;
            let config = || PeerConfig { mtu: MTU_BYTES, is_foreign, ..PeerConfig::default() };
            self.caller_held.count(|| self.caller.add_peer(peer, config()));
            self.called_held.count(|| self.called.add_peer(peer, config()));
        }
        self.opened += 1;
        let source = Ipv4Addr::from_bits(CALLER.to_bits() + index);
        let (source, destination) = (SocketAddr::from((source, 50_000)), (CALLED, PORT).into());
        let Self { caller, caller_held, now, .. } = self;
        Ok(caller_held.count(|| caller.connect(peer, source, destination, CALL_TIMEOUT, *now))?)
    }
}

/// Everything that one stack has to send; gives whether there was anything.
fn pass(
    (from, from_held): (&Stack, &mut Held),
    (to, to_held): (&Stack, &mut Held),
    buffer: &mut [u8],
    now: &mut Instant,
) -> bool {
    // In one place, which goes back to the system by itself: what is measured is the stacks' memory.
    let (mut flying, mut bytes) = (Vec::new(), Vec::with_capacity(FLYING_BYTES));
    while let Some((peer, length)) = from_held.count(|| from.poll_transmit(buffer, *now)) {
        flying.push((peer, length));
        bytes.extend_from_slice(buffer.get(..length).unwrap_or_default());
    }
    if !flying.is_empty() {
        *now += DELAY;
    }
    let mut rest = bytes.as_slice();
    for (peer, length) in &flying {
        let (packet, after) = rest.split_at_checked(*length).unwrap_or_default();
        let _ = to_held.count(|| to.handle_packet(*peer, packet, *now));
        rest = after;
    }
    !flying.is_empty()
}

pub(crate) fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// More than ever flies at once, and than any allocator keeps.
const FLYING_BYTES: usize = 64 * 1024 * 1024;
/// Below the bound of the netstack, with room for one more.
const FLOWS_PER_PEER: u32 = 12_500;
const CALLER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const CALLED: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 7);
const PORT: u16 = 8_080;
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
