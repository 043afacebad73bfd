//! The door of the room: a cheap handle on the core, for one thread.

use std::cell::RefCell;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::connect::Connect;
use crate::core::Core;
use crate::counters::Counters;
use crate::error::{ConnectError, ListenError};
use crate::limits::TRAIN_PACKETS_MAX;
use crate::listener::Listener;
use crate::packet::build;
use crate::packet::fragment::Fragments;
use crate::types::{Binding, BindingId, Config, PeerConfig, PeerKey, Train, Unreachable, Verdict};

/// A userspace TCP/UDP stack. Clones are the same stack.
///
/// The driver's loop: [`handle_packet`](Self::handle_packet) for what came,
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) has come,
/// [`poll_transmit`](Self::poll_transmit) until `None` or until the tunnel is full. `now` never needs
/// to be exact, and an earlier one than before counts as the latest.
#[derive(Clone)]
pub struct Stack {
    core: Rc<RefCell<Core>>,
}

impl Stack {
    /// A stack without peers.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { core: Rc::new(RefCell::new(Core::new(config))) }
    }

    /// Makes a peer known, or changes its settings for flows opened from now on.
    pub fn add_peer(&self, peer: PeerKey, config: PeerConfig) {
        self.drive(|core| core.add_peer(peer, config));
    }

    /// The path to a peer takes packets of `mtu` bytes from here on: fewer or more than before, but no more than its settings say. Flows that
    /// are open follow, and what they have in flight in longer packets is sent again in shorter ones.
    pub fn set_path_mtu(&self, peer: PeerKey, mtu: usize) {
        self.drive(|core| core.set_path_mtu(peer, mtu));
    }

    /// Forgets a peer. Its flows end with `ConnectionReset`, its waiting SYNs are dropped.
    pub fn remove_peer(&self, peer: PeerKey) {
        self.drive(|core| core.remove_peer(peer));
    }

    /// Answers ICMP echo to `address`, within each peer's rate.
    pub fn add_local(&self, address: IpAddr) {
        self.drive(|core| core.add_local(address));
    }

    /// Takes a packet that came out of the tunnel of `peer`.
    ///
    /// What follows from a run of packets of one flow is drawn once, when another flow's packet comes or anything else is asked of the stack:
    /// only then are tasks woken.
    #[must_use]
    pub fn handle_packet<'p>(&self, peer: PeerKey, packet: &'p [u8], now: Instant) -> Verdict<'p> {
        // Told apart out here: to hand on a verdict costs as much as to take such a packet.
        if self.core.borrow_mut().take_next_of_run(peer, packet, now) {
            return Verdict::Consumed;
        }
        self.with(|core| core.handle_packet(peer, packet, now), Core::take_wakers_for_driver)
    }

    /// Writes the next packet for a tunnel into `buffer`, which must hold the largest MTU of all
    /// peers. `None` when nothing is to be sent at `now`.
    #[must_use]
    pub fn poll_transmit(&self, buffer: &mut [u8], now: Instant) -> Option<(PeerKey, usize)> {
        let train = self.drive(|core| core.poll_transmit(buffer, 1, now))?;
        Some((train.peer, train.bytes()))
    }

    /// As [`Self::poll_transmit`], for as many packets of one flow as `buffer` holds: what the flow may send at once leaves at once, and costs
    /// little more than one packet.
    #[must_use]
    pub fn poll_transmit_train(&self, buffer: &mut [u8], now: Instant) -> Option<Train> {
        self.drive(|core| core.poll_transmit(buffer, TRAIN_PACKETS_MAX, now))
    }

    /// Holds back, or lets go, everything for `peer`: it has no session at present.
    /// Its flows end when nothing was heard of it for [`USER_TIMEOUT`](crate::limits::USER_TIMEOUT).
    pub fn pause_peer(&self, peer: PeerKey, is_paused: bool) {
        self.drive(|core| core.pause_peer(peer, is_paused));
    }

    /// Notes a sign of life of `peer` that is no packet, as a handshake or a keep-alive of its tunnel. After a silence, what was lost is
    /// repeated at once.
    pub fn heard_from(&self, peer: PeerKey, now: Instant) {
        self.drive(|core| core.heard_from(peer, now));
    }

    /// Of two nodes with one identity the one lives on that was heard before: its flows do not end for the call of the other, which is refused.
    /// To be told within [`START_GRACE`](crate::limits::START_GRACE) of that call.
    pub fn keep_earlier_start(&self, peer: PeerKey) {
        self.drive(|core| core.keep_earlier_start(peer));
    }

    /// Applies the deadlines that have come by `now`.
    pub fn handle_timeout(&self, now: Instant) {
        self.drive(|core| core.handle_timeout(now));
    }

    /// When [`Self::handle_timeout`] wants to run next. It tells nothing of packets ready to send.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.drive(|core| core.poll_timeout())
    }

    /// Sets who is woken when a handle made egress possible or set an earlier deadline.
    pub fn set_waker(&self, waker: &Waker) {
        self.drive(|core| core.set_waker(waker));
    }

    /// Opens a TCP flow to `destination`, from any `source` address.
    ///
    /// The flow exists at once; what is given back waits for the handshake.
    ///
    /// # Errors
    /// What can be known at once: see [`ConnectError`].
    pub fn connect(
        &self,
        peer: PeerKey,
        source: SocketAddr,
        destination: SocketAddr,
        timeout: Duration,
        now: Instant,
    ) -> Result<Connect, ConnectError> {
        let id = self.act(|core| core.connect(peer, source, destination, timeout, now))?;
        Ok(Connect::new(self.clone(), id, peer, source, destination))
    }

    /// A source port that [`Self::connect`] can use, for when the wanted one is taken.
    #[must_use]
    pub fn free_port(&self, peer: PeerKey, source: IpAddr, destination: SocketAddr) -> Option<u16> {
        self.act(|core| core.free_port(peer, source, destination))
    }

    /// Listens on ports of an address; with `peer`, only for what comes out of its tunnel. A listener
    /// for one peer goes before a listener for all.
    ///
    /// # Errors
    /// When the ports are taken, or are none.
    pub fn listen(
        &self,
        address: IpAddr,
        ports: RangeInclusive<u16>,
        peer: Option<PeerKey>,
    ) -> Result<Listener, ListenError> {
        let id = self.act(|core| core.listen(address, ports, peer))?;
        Ok(Listener::new(self.clone(), id))
    }

    /// Claims UDP packets, which then come as [`Verdict::Udp`].
    ///
    /// # Errors
    /// When the ports are taken, or are none.
    pub fn bind_udp(&self, binding: Binding) -> Result<BindingId, ListenError> {
        self.act(|core| core.bind_udp(binding))
    }

    /// Gives up a binding.
    pub fn unbind_udp(&self, binding: BindingId) {
        self.act(|core| core.unbind_udp(binding));
    }

    /// Writes an IP and UDP packet with checksums into `buffer`; gives its length. `None` when the
    /// families differ or the buffer is too short.
    #[must_use]
    pub fn build_udp(
        &self,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
        buffer: &mut [u8],
    ) -> Option<usize> {
        build::udp(source, destination, payload, buffer)
    }

    /// The packet that [`Verdict::Reassembled`] told of.
    #[must_use]
    pub fn take_reassembled(&self) -> Option<Vec<u8>> {
        self.core.borrow_mut().take_reassembled()
    }

    /// A packet of [`Self::build_udp`] as IP fragments that fit into the tunnel of `peer`; `None` when it fits as it is.
    #[must_use]
    pub fn fragments<'p>(&self, peer: PeerKey, packet: &'p [u8]) -> Option<Fragments<'p>> {
        self.core.borrow_mut().fragments(peer, packet)
    }

    /// Writes the ICMP port unreachable that answers a UDP packet received from `source` at
    /// `destination`; gives its length, as [`Self::build_udp`] does. The caller limits the rate.
    #[must_use]
    pub fn build_udp_unreachable(
        &self,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
        buffer: &mut [u8],
    ) -> Option<usize> {
        let mut original = vec![0; UDP_OVERHEAD_BYTES_MAX + payload.len()];
        let length = build::udp(source, destination, payload, &mut original)?;
        let original = original.get(..length)?;
        build::unreachable(destination.ip(), source.ip(), Unreachable::Port, original, buffer)
    }

    /// Totals since the stack was made.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.core.borrow().counters()
    }

    /// TCP flows in memory, those without a handle included.
    #[must_use]
    pub fn flow_count(&self) -> usize {
        self.core.borrow().flow_count()
    }

    /// Bytes that the buffers of all flows take up at present.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        self.core.borrow().buffer_bytes()
    }

    /// Bytes that datagrams take up of which fragments are missing.
    #[must_use]
    pub fn reassembly_bytes(&self) -> usize {
        self.core.borrow().reassembly_bytes()
    }

    /// Runs what a handle does, then wakes who has to know, the driver included.
    pub(crate) fn act<R>(&self, act: impl FnOnce(&mut Core) -> R) -> R {
        self.with(|core| act(core.settled()), Core::take_wakers_for_handle)
    }

    /// Runs what the driver does, then wakes the tasks that have to know.
    fn drive<R>(&self, act: impl FnOnce(&mut Core) -> R) -> R {
        self.with(|core| act(core.settled()), Core::take_wakers_for_driver)
    }

    fn with<R>(
        &self,
        act: impl FnOnce(&mut Core) -> R,
        take_wakers: impl FnOnce(&mut Core) -> Vec<Waker>,
    ) -> R {
        let mut core = self.core.borrow_mut();
        let result = act(&mut core);
        let mut wakers = take_wakers(&mut core);
        // A waker may drop a task, and the task a handle, which comes back here.
        drop(core);
        if !wakers.is_empty() {
            wakers.drain(..).for_each(Waker::wake);
            self.core.borrow_mut().reuse_wakers(wakers);
        }
        result
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stack").finish_non_exhaustive()
    }
}

/// IPv6 and UDP headers.
const UDP_OVERHEAD_BYTES_MAX: usize = 48;
