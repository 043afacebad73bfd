//! The stack itself: plain state, no IO, no clock, no handles.
//!
//! | part | holds |
//! |---|---|
//! | [`table`] | which 5-tuple is a flow, a half-open SYN, or remembered in TIME-WAIT |
//! | [`flow`], [`slab`] | flows |
//! | [`half_open`] | SYNs that wait for a decision, and listeners |
//! | [`time_wait`] | closed 5-tuples |
//! | [`peer`] | per peer: settings, replies, ready flows, rate of control replies |
//! | [`reassembly`] | fragments of UDP datagrams |
//! | [`timers`] | at most one deadline for each flow |
//!
//! What happens is in [`ingress`] (a packet came), [`run`] (and more like it), [`unmatched`] (nobody wants it), [`egress`] (a
//! packet is pulled), [`lifecycle`] (what follows from a flow's state), [`operations`] (a handle acts),
//! [`admission`] (a SYN is decided) and [`path`] (a peer falls silent, comes back, or has started anew).

mod admission;
mod egress;
mod flow;
mod half_open;
mod icmp;
mod ingress;
mod lifecycle;
mod operations;
mod path;
mod peer;
mod ports;
mod reassembly;
mod run;
mod slab;
mod table;
mod time_wait;
mod timers;
mod udp;
mod unmatched;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;
use std::task::Waker;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::counters::Counters;
use crate::limits::MTU_BYTES_MIN;
use crate::packet::fragment::Fragments;
use crate::tcp::Memory;
use crate::types::{Config, PeerConfig, PeerKey};

pub(crate) use admission::{Arrival, Rejection};
pub(crate) use half_open::{HalfOpenId, ListenerId};
pub(crate) use slab::FlowId;

use flow::End;
use half_open::{HalfOpens, Listeners};
use peer::{Peer, ReplyBuffers};
use reassembly::Reassembly;
use run::Run;
use slab::Flows;
use table::{FlowTable, KeyedState, PeerState};
use time_wait::TimeWaits;
use timers::Timers;
use udp::UdpBindings;

/// All state of one stack.
pub(crate) struct Core {
    random: StdRng,
    /// Latest instant seen; handles have no clock of their own.
    now: Option<Instant>,
    /// First instant seen.
    epoch: Option<Instant>,
    memory: Rc<Memory>,
    running: Option<Run>,
    /// Tells this start of the node from others. Never zero.
    boot_id: u32,
    peers: HashMap<PeerKey, Peer, PeerState>,
    /// Peers with something to send, in order of their turns.
    turns: VecDeque<PeerKey>,
    locals: BTreeSet<IpAddr>,
    table: FlowTable,
    flows: Flows,
    half_opens: HalfOpens,
    listeners: Listeners,
    time_waits: TimeWaits,
    udp: UdpBindings,
    reassembly: Reassembly,
    /// Of the next packet that is cut into fragments.
    identification: u32,
    timers: Timers,
    /// Peers that are paused, by when their flows end.
    pauses: BTreeSet<(Instant, PeerKey)>,
    /// Peers that have started anew, and when that was heard; oldest first, each at most once.
    starts: VecDeque<(Instant, PeerKey)>,
    reply_buffers: ReplyBuffers,
    counters: Counters,
    attention: Attention,
}

/// Who has to be woken once the core is no longer borrowed.
#[derive(Default)]
struct Attention {
    wakers: Vec<Waker>,
    driver: Option<Waker>,
    /// Egress or an earlier deadline came up since the driver last looked.
    is_wanted: bool,
}

impl Attention {
    /// The list, if anybody is on it: an empty one keeps its memory.
    fn take_wakers(&mut self) -> Vec<Waker> {
        if self.wakers.is_empty() { Vec::new() } else { std::mem::take(&mut self.wakers) }
    }
}

impl Core {
    pub(crate) fn new(config: Config) -> Self {
        let mut random = StdRng::seed_from_u64(config.seed);
        let hash = KeyedState::new(random.random());
        let boot_id = random.random_range(1..=u32::MAX);
        Self {
            random,
            now: None,
            epoch: None,
            memory: Rc::default(),
            running: None,
            boot_id,
            peers: HashMap::with_hasher(PeerState),
            turns: VecDeque::new(),
            locals: BTreeSet::new(),
            table: FlowTable::with_hasher(hash),
            flows: Flows::default(),
            half_opens: HalfOpens::default(),
            listeners: Listeners::default(),
            time_waits: TimeWaits::default(),
            udp: UdpBindings::default(),
            reassembly: Reassembly::default(),
            // Any value does that differs between starts.
            identification: boot_id,
            timers: Timers::default(),
            pauses: BTreeSet::new(),
            starts: VecDeque::new(),
            reply_buffers: ReplyBuffers::default(),
            counters: Counters::default(),
            attention: Attention::default(),
        }
    }

    pub(crate) fn add_peer(&mut self, key: PeerKey, config: PeerConfig) {
        match self.peers.get_mut(&key) {
            Some(peer) => peer.configure(config),
            None => {
                self.peers.insert(key, Peer::new(config, &self.memory));
            }
        }
    }

    /// Forgets the peer: its flows end, its SYNs and replies are gone.
    pub(crate) fn remove_peer(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.remove(&key) else { return };
        self.turns.retain(|turn| *turn != key);
        self.reassembly.forget(key);
        if let Some(end) = peer.paused_until {
            self.pauses.remove(&(end, key));
        }
        for id in self.half_opens.ids_of(key) {
            self.drop_half_open(id);
        }
        for id in peer.flows {
            self.end_flow(id, End::PeerGone);
        }
    }

    /// Flows that are open follow: their unsent bytes go in packets of the new length, and so does what was sent in longer ones.
    pub(crate) fn set_path_mtu(&mut self, key: PeerKey, mtu: usize) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let mtu = mtu.clamp(MTU_BYTES_MIN, peer.mtu_max);
        if std::mem::replace(&mut peer.mtu, mtu) == mtu {
            return;
        }
        let flows: Vec<FlowId> = peer.flows.iter().copied().collect();
        for id in flows {
            if let Some(flow) = self.flows.get_mut(id) {
                flow.connection.set_path_mtu(mtu);
            }
            self.settle(id);
        }
    }

    pub(crate) fn add_local(&mut self, address: IpAddr) {
        self.locals.insert(address);
    }

    pub(crate) fn set_waker(&mut self, waker: &Waker) {
        self.attention.driver = Some(waker.clone());
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    pub(crate) fn flow_count(&self) -> usize {
        self.flows.len()
    }

    /// Bytes in buffers.
    pub(crate) fn buffer_bytes(&self) -> usize {
        self.memory.used_bytes()
    }

    /// When [`Core::handle_timeout`] wants to run next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [
            self.timers.first(),
            self.half_opens.first_expiry(),
            self.time_waits.first_expiry(),
            self.reassembly.sweep_at(),
            self.first_pause_end(),
            self.first_start_due(),
        ];
        deadlines.into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let now = self.observe(now);
        self.end_long_pauses(now);
        self.end_flows_of_earlier_starts(now);
        while let Some(id) = self.timers.pop_due(now) {
            self.flow_timer_fired(id, now);
        }
        while let Some(id) = self.half_opens.first_expired(now) {
            self.counters.half_open_expired += 1;
            self.drop_half_open(id);
        }
        while let Some(key) = self.time_waits.pop_expired(now) {
            self.table.remove(&key);
        }
        self.reassembly.drop_expired(now, &mut self.counters);
    }

    /// A packet as fragments, if it is longer than the MTU of `peer`.
    pub(crate) fn fragments<'p>(
        &mut self,
        peer: PeerKey,
        packet: &'p [u8],
    ) -> Option<Fragments<'p>> {
        let mtu = self.peers.get(&peer)?.mtu;
        let fragments = Fragments::new(packet, mtu, self.identification)?;
        self.identification = self.identification.wrapping_add(1);
        self.counters.datagrams_fragmented += 1;
        Some(fragments)
    }

    /// Everybody to wake after a handle acted, the driver included.
    pub(crate) fn take_wakers_for_handle(&mut self) -> Vec<Waker> {
        if std::mem::take(&mut self.attention.is_wanted)
            && let Some(driver) = &self.attention.driver
        {
            self.attention.wakers.push(driver.clone());
        }
        self.attention.take_wakers()
    }

    /// Everybody to wake after the driver acted: not the driver, which looks anyway.
    pub(crate) fn take_wakers_for_driver(&mut self) -> Vec<Waker> {
        self.attention.is_wanted = false;
        self.attention.take_wakers()
    }

    /// Takes back an emptied list, so that its memory serves again.
    pub(crate) fn reuse_wakers(&mut self, emptied: Vec<Waker>) {
        if self.attention.wakers.capacity() == 0 {
            self.attention.wakers = emptied;
        }
    }

    /// Time only moves forward, whatever the caller's clock does.
    fn observe(&mut self, now: Instant) -> Instant {
        let now = self.now.map_or(now, |latest| latest.max(now));
        self.now = Some(now);
        self.epoch.get_or_insert(now);
        now
    }
}
