//! What is kept for each peer: settings, its flows, and what it has to send.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bore_rate::Bucket;

use super::slab::FlowId;
use crate::limits::{MTU_BYTES_MAX, MTU_BYTES_MIN, REPLIES_PER_PEER_MAX, REPLY_BUFFERS_KEPT_MAX};
use crate::tcp::{Memory, PeerMemory};
use crate::types::{Congestion, PeerConfig};

/// One tunnel.
pub(super) struct Peer {
    /// Largest packet that the path takes at present.
    pub(super) mtu: usize,
    /// Largest packet that it may ever take, and that may come from the other side.
    pub(super) mtu_max: usize,
    pub(super) is_foreign: bool,
    /// Of its last SYN or SYN-ACK; none once a call that was meant for it was refused.
    pub(super) boot_id: Option<u32>,
    /// The start that was heard last.
    pub(super) start: Option<u32>,
    /// The one before it, whose flows are to end, and since when that is known.
    pub(super) doubted_start: Option<(Instant, u32)>,
    pub(super) congestion: Congestion,
    pub(super) keep_alive: Option<Duration>,
    pub(super) memory: Rc<PeerMemory>,
    /// While it has no session: when its flows end.
    pub(super) paused_until: Option<Instant>,
    pub(super) heard_at: Option<Instant>,
    pub(super) flows: BTreeSet<FlowId>,
    pub(super) half_open_count: usize,
    /// Bytes of streams that wait beside their SYNs.
    pub(super) early_bytes: usize,
    /// Flows that have a segment to send, each at most once.
    pub(super) ready: VecDeque<FlowId>,
    pub(super) control_replies: Bucket,
    /// Whether the peer stands in the queue of turns.
    pub(super) has_turn: bool,
    replies: VecDeque<Vec<u8>>,
}

impl Peer {
    pub(super) fn new(config: PeerConfig, memory: &Rc<Memory>) -> Self {
        let mut peer = Self {
            mtu: 0,
            mtu_max: 0,
            is_foreign: false,
            boot_id: None,
            start: None,
            doubted_start: None,
            congestion: config.congestion,
            keep_alive: config.keep_alive,
            memory: PeerMemory::new(memory),
            paused_until: None,
            heard_at: None,
            flows: BTreeSet::new(),
            half_open_count: 0,
            early_bytes: 0,
            ready: VecDeque::new(),
            control_replies: Bucket::default(),
            has_turn: false,
            replies: VecDeque::new(),
        };
        peer.configure(config);
        peer
    }

    /// New settings; they hold for flows opened from now on.
    pub(super) fn configure(&mut self, config: PeerConfig) {
        self.mtu_max = config.mtu.clamp(MTU_BYTES_MIN, MTU_BYTES_MAX);
        self.mtu = self.mtu_max;
        self.is_foreign = config.is_foreign;
        self.congestion = config.congestion;
        self.keep_alive = config.keep_alive;
    }

    /// Something has come from it: how long it was silent before.
    pub(super) fn hear(&mut self, now: Instant) -> Duration {
        let before = self.heard_at.replace(now).unwrap_or(now);
        now.saturating_duration_since(before)
    }

    /// Whether the peer is to be queued for a turn: it would send something, and is not queued yet. It counts as queued then.
    pub(super) fn take_turn(&mut self) -> bool {
        let has_nothing = self.ready.is_empty() && self.replies.is_empty();
        self.paused_until.is_none() && !has_nothing && !std::mem::replace(&mut self.has_turn, true)
    }

    /// Queues an immediate answer; gives it back when there are too many.
    pub(super) fn push_reply(&mut self, reply: Vec<u8>) -> Result<(), Vec<u8>> {
        if self.replies.len() >= REPLIES_PER_PEER_MAX {
            return Err(reply);
        }
        self.replies.push_back(reply);
        Ok(())
    }

    /// Queues a packet that its flow counts as sent, whatever waits: at most one a turn.
    pub(super) fn push_packet(&mut self, packet: Vec<u8>) {
        self.replies.push_back(packet);
    }

    pub(super) fn pop_reply(&mut self) -> Option<Vec<u8>> {
        self.replies.pop_front()
    }
}

/// Emptied buffers, so that an answer needs no allocation.
#[derive(Default)]
pub(super) struct ReplyBuffers {
    kept: Vec<Vec<u8>>,
}

impl ReplyBuffers {
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.kept.pop().unwrap_or_default()
    }

    pub(super) fn give_back(&mut self, mut buffer: Vec<u8>) {
        if self.kept.len() < REPLY_BUFFERS_KEPT_MAX {
            buffer.clear();
            self.kept.push(buffer);
        }
    }
}
