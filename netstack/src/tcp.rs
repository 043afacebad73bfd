//! The TCP engine: a connection that does not fear loss.
//!
//! | part | is |
//! |---|---|
//! | [`state`] | the states of RFC 9293 |
//! | [`incoming`], [`outgoing`] | a segment comes, a segment leaves |
//! | [`receiver`], [`sender`] | the two streams |
//! | [`scoreboard`], [`rack`], [`recovery`], [`rtt`], [`rate`] | what arrived, what is lost, how long and how fast |
//! | [`congestion`], [`pacer`] | how much, and when |
//! | [`chain`], [`memory`], [`slabs`] | buffers that grow and shrink |
//! | [`options`], [`emit`], [`sequence`], [`timestamps`], [`ecn`] | the wire |
//!
//! No IO, no clock, no randomness of its own: `now` and a seed come in. A segment costs no allocation and, whatever the window, no more
//! than a search in it. `docs/rfc.md` lists what is implemented from where, and which test covers it.

mod chain;
mod congestion;
mod ecn;
mod emit;
mod incoming;
mod memory;
mod moment;
mod options;
mod outgoing;
mod pacer;
mod rack;
mod ranges;
mod rate;
mod receiver;
mod recovery;
mod rtt;
mod scoreboard;
mod sender;
mod sequence;
mod slabs;
mod state;
mod timestamps;
mod types;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::limits::{EARLY_BYTES_MAX, KEEP_ALIVE_RETRY};
use crate::packet::{Packet, Segment};
use ecn::Ecn;
use moment::Moment;
use options::{BootIds, TIMESTAMPS_BYTES};
use outgoing::WINDOW_OF_SYN;
use receiver::Receiver;
use sender::{Sender, SenderSetup};
use sequence::Origin;
use state::{Facts, State};
use timestamps::Timestamps;

pub(crate) use memory::{Memory, PeerMemory};
pub(crate) use options::Options;
pub(crate) use types::{Offered, PathInfo, Phase, Received, Sent, Setup};

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    local: SocketAddr,
    remote: SocketAddr,
    /// Largest packet that may come, IP header included.
    mtu: usize,
    /// Largest packet that the path takes.
    path_mtu: usize,
    /// Largest segment that the other side takes, options included.
    their_mss: usize,
    epoch: Instant,
    /// The latest time seen: readers and writers bring none.
    now: Moment,
    /// What it was made of: many segments share one.
    seen: Instant,
    sender: Sender,
    /// Once their SYN has come.
    receiver: Option<Receiver>,
    memory: Rc<PeerMemory>,
    /// Shifts of the windows: theirs, ours.
    shifts: (u8, u8),
    may_sack: bool,
    /// Our checksums may be looked at: always, but by one of our own nodes, whose packets the tunnel authenticates.
    is_verified: bool,
    timestamps: Timestamps,
    ecn: Ecn,
    keep_alive: KeepAlive,
    early: Early,
    they_closed_first: bool,
    /// What was acknowledged last.
    acknowledged: u64,
    ending: Option<Ending>,
}

/// An end that is not by FIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// RST has come.
    Reset,
    /// Given up here; RST is still to be sent.
    Aborting,
    Aborted,
}

/// Probes of an idle connection (RFC 9293 §3.8.4).
#[derive(Debug, Clone, Copy, Default)]
struct KeepAlive {
    interval: Option<Duration>,
    /// When something was heard, or asked, last.
    quiet_since: Moment,
    /// A question is due then whatever the interval: an earlier one is unanswered, or the path has come back.
    ask_at: Option<Moment>,
}

impl KeepAlive {
    fn hear(&mut self, now: Moment) {
        self.quiet_since = now;
        self.ask_at = None;
    }

    /// A question has left.
    fn ask(&mut self, now: Moment) {
        self.quiet_since = now;
        self.ask_at = self.interval.map(|interval| now.after(interval.min(KEEP_ALIVE_RETRY)));
    }

    /// When an idle connection is to ask.
    fn due(&self) -> Option<Moment> {
        let regular = self.quiet_since.after(self.interval?);
        Some(self.ask_at.map_or(regular, |at| at.min(regular)))
    }
}

/// Bytes before the handshake is over, between our own nodes.
///
/// The caller sends them with its SYN and behind it, the callee's answer leaves with the SYN-ACK and behind it: a question and an answer take
/// one round trip instead of two. A caller does so only towards a start of the other node that it has heard of.
#[derive(Debug, Clone, Copy)]
struct Early {
    is_spoken: bool,
    own_boot_id: u32,
    remote_boot_id: Option<u32>,
    /// A call was refused, maybe because it was meant for an earlier start.
    is_doubted: bool,
}

impl Connection {
    /// A connection that will send SYN. Both ends must be of one family.
    pub(crate) fn connect(setup: &Setup, now: Instant) -> Self {
        Self::new(setup, now)
    }

    /// A connection that will answer `syn`.
    pub(crate) fn accept(setup: &Setup, syn: &Packet<'_>, segment: &Segment, now: Instant) -> Self {
        let mut connection = Self::new(setup, now);
        connection.hear_syn(syn, segment);
        connection
    }

    /// Takes a segment of this connection. An answer that must leave at once is put into `reply`,
    /// which is left empty otherwise.
    pub(crate) fn handle_segment(
        &mut self,
        packet: &Packet<'_>,
        segment: &Segment,
        now: Instant,
        reply: &mut Vec<u8>,
    ) {
        self.observe(now);
        self.take_segment(packet, segment, reply);
    }

    /// The sequence number that goes on where the other side's stream has got to, while the connection is open.
    pub(crate) fn expects(&self) -> Option<u32> {
        let is_open = self.sender.is_synchronized() && self.ending.is_none();
        let receiver = self.receiver.as_ref().filter(|_| is_open)?;
        Some(receiver.origin().number(receiver.next()))
    }

    /// Takes the bytes of a segment that differs from the last one, which was in order, only in that it goes on from there. Gives whether
    /// there was room for them.
    pub(crate) fn continue_run(&mut self, payload: &[u8], now: Instant) -> bool {
        self.observe(now);
        let whole_bytes = usize::try_from(self.sender.mss()).unwrap_or(usize::MAX);
        let Some(receiver) = &mut self.receiver else { return false };
        let is_taken = receiver.append(payload);
        if is_taken {
            self.keep_alive.quiet_since = self.now;
            receiver.acknowledging.note_in_order(payload.len(), whole_bytes, self.now);
        }
        is_taken
    }

    /// Writes the next segment into `buffer`, which holds at least the MTU; of new data as many as may leave and fit, up to `segments_max`.
    pub(crate) fn poll_transmit(
        &mut self,
        buffer: &mut [u8],
        segments_max: usize,
        now: Instant,
    ) -> Option<Sent> {
        self.observe(now);
        self.send(buffer, segments_max)
    }

    /// When [`Self::poll_transmit`] has something to do; not after `now` means at once.
    pub(crate) fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        self.observe(now);
        let due = self.due()?;
        Some(if due <= self.now { now } else { due.instant(self.epoch) })
    }

    /// Largest packet that [`Self::poll_transmit`] writes.
    pub(crate) fn packet_bytes_max(&self) -> usize {
        self.path_mtu
    }

    /// Whether the sequence number is of something sent and not acknowledged: what an ICMP error must quote (RFC 5927 §4).
    pub(crate) fn is_in_flight(&self, sequence: u32) -> bool {
        let una = self.sender.una();
        let position = self.sender.origin().position(sequence, una);
        position.is_some_and(|position| una <= position && position < self.sender.next())
    }

    /// The path takes packets of `mtu` bytes. Gives whether that is less than was thought, and not less than any path must take.
    pub(crate) fn reduce_mtu(&mut self, mtu: usize) -> bool {
        let least = if self.local.is_ipv4() { MTU_LEAST_V4 } else { MTU_LEAST_V6 };
        let is_news = (least..self.path_mtu).contains(&mtu);
        if is_news {
            self.set_path_mtu(mtu);
        }
        is_news
    }

    /// The tunnel takes packets of `mtu` bytes from here on. When that is less than before, what is in flight is sent again.
    pub(crate) fn set_path_mtu(&mut self, mtu: usize) {
        let before = std::mem::replace(&mut self.path_mtu, mtu.min(self.mtu));
        self.settle_mss();
        if self.path_mtu < before {
            self.sender.repeat_all();
        }
    }

    /// Whether the handshake was completed, whatever came afterwards.
    pub(crate) fn was_established(&self) -> bool {
        self.receiver.is_some() && self.sender.is_synchronized()
    }

    /// Where the connection stands.
    pub(crate) fn phase(&self) -> Phase {
        match self.ending {
            Some(Ending::Reset) => Phase::Reset,
            Some(Ending::Aborting | Ending::Aborted) => Phase::Closed,
            None => self.state().phase(),
        }
    }

    /// Calls `read` with contiguous received bytes; as many as it gives are consumed.
    pub(crate) fn receive_with<R>(
        &mut self,
        read: impl FnOnce(&[u8]) -> (usize, R),
    ) -> Received<R> {
        let now = self.now;
        let Some(receiver) = &mut self.receiver else { return Received::Empty };
        if receiver.unread_bytes() == 0 {
            return if receiver.has_ended() { Received::End } else { Received::Empty };
        }
        let front = receiver.front();
        let (taken, outcome) = read(front);
        let taken = taken.min(front.len());
        if taken > 0 && receiver.consume(taken, now) {
            receiver.acknowledging.demand();
        }
        Received::Data(outcome)
    }

    /// Calls `write` with free room of the send buffer; as many bytes as it gives are sent.
    pub(crate) fn send_with<R>(
        &mut self,
        write: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Offered<R> {
        if self.sender.stream.is_shut() || self.ending.is_some() {
            return Offered::Closed;
        }
        let room = self.sender.room();
        if room == 0 {
            return Offered::Full;
        }
        Offered::Room(self.sender.stream.write_with(room, write))
    }

    /// Whether the other side is to hear at once of what was received or read.
    pub(crate) fn owes_acknowledgment(&self) -> bool {
        self.receiver.as_ref().is_some_and(|receiver| receiver.acknowledging.is_due(self.now))
    }

    /// Bytes received and not yet read.
    pub(crate) fn unread_bytes(&self) -> usize {
        let bytes = self.receiver.as_ref().map_or(0, Receiver::unread_bytes);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Bytes not yet acknowledged by the other side.
    pub(crate) fn unacknowledged_bytes(&self) -> usize {
        let bytes = self.sender.stream.written().saturating_sub(self.sender.una().max(1));
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Whether [`Self::receive_with`] would not give `Empty`.
    pub(crate) fn is_readable(&self) -> bool {
        self.unread_bytes() > 0 || self.has_heard_end() || self.ending.is_some()
    }

    /// Whether [`Self::send_with`] would give `Room`.
    pub(crate) fn is_writable(&self) -> bool {
        let is_open = !self.sender.stream.is_shut() && self.ending.is_none();
        is_open && self.sender.room() > 0
    }

    /// Whether FIN has come, and everything before it, whatever came afterwards.
    pub(crate) fn has_heard_end(&self) -> bool {
        self.receiver.as_ref().is_some_and(Receiver::has_ended)
    }

    /// Sends FIN after everything written so far.
    pub(crate) fn shutdown(&mut self) {
        self.sender.stream.shut();
    }

    /// Whether [`Self::shutdown`] was called.
    pub(crate) fn is_shut_down(&self) -> bool {
        self.sender.stream.is_shut()
    }

    /// Everything written, and FIN when shut down, is acknowledged.
    pub(crate) fn is_flushed(&self) -> bool {
        if self.is_shut_down() {
            self.sender.is_finished()
        } else {
            self.unacknowledged_bytes() == 0
        }
    }

    /// Gives up; a RST is the last segment.
    pub(crate) fn abort(&mut self) {
        self.end(Ending::Aborting);
    }

    /// Probes an idle connection at this interval.
    pub(crate) fn set_keep_alive(&mut self, interval: Option<Duration>) {
        self.keep_alive.interval = interval;
    }

    /// The path works again after a silence: what waits for a timeout that was doubled goes at once. After a long one, a closed window is
    /// asked about at once, and an idle connection that keeps alive asks `ask_after` this.
    pub(crate) fn resume(&mut self, ask_after: Option<Duration>, now: Instant) {
        self.observe(now);
        self.sender.resume(self.now);
        if let Some(wait) = ask_after {
            self.sender.ask_about_window(self.now);
            self.keep_alive.ask_at = Some(self.now.after(wait));
        }
    }

    /// Sequence number of our SYN while it is unanswered.
    pub(crate) fn syn_sequence(&self) -> Option<u32> {
        let is_unanswered = self.receiver.is_none() && self.sender.next() > 0;
        is_unanswered.then(|| self.sender.origin().number(0))
    }

    /// Next sequence number to send and to receive, once everything received is acknowledged.
    pub(crate) fn sequences(&self) -> Option<(u32, u32)> {
        let receiver = self.receiver.as_ref()?;
        let is_told = self.acknowledged == receiver.next();
        let sequence = self.sender.origin().number(self.sender.next());
        is_told.then(|| (sequence, receiver.origin().number(receiver.next())))
    }

    /// How the path looks from here.
    pub(crate) fn path_info(&self) -> PathInfo {
        PathInfo {
            round_trip: self.sender.round_trip().smoothed(),
            window_bytes: self.sender.window_bytes(),
            retransmitted_bytes: self.sender.retransmitted_bytes(),
        }
    }

    /// Name of the state as RFC 9293 §3.3.2 has it.
    pub(crate) fn state_name(&self) -> &'static str {
        match self.ending {
            None => self.state().name(),
            Some(_) => State::Closed.name(),
        }
    }
}

impl Connection {
    fn new(setup: &Setup, now: Instant) -> Self {
        let [sequence, offset, ..] = halves(setup.seed);
        let sender = Sender::new(SenderSetup {
            origin: Origin(sequence),
            mss: our_mss(setup.path_mtu, setup.local),
            congestion: setup.congestion,
            seed: setup.seed,
            memory: Rc::clone(&setup.memory),
        });
        let mut connection = Self {
            local: setup.local,
            remote: setup.remote,
            mtu: setup.mtu,
            path_mtu: setup.path_mtu.min(setup.mtu),
            their_mss: usize::from(u16::MAX),
            epoch: setup.epoch,
            now: Moment::at(now, setup.epoch),
            seen: now,
            sender,
            receiver: None,
            memory: Rc::clone(&setup.memory),
            shifts: (0, 0),
            may_sack: false,
            is_verified: true,
            timestamps: Timestamps::new(setup.is_foreign, offset),
            ecn: Ecn::default(),
            keep_alive: KeepAlive { interval: setup.keep_alive, ..KeepAlive::default() },
            early: Early {
                is_spoken: !setup.is_foreign,
                own_boot_id: setup.boot_id,
                remote_boot_id: setup.remote_boot_id,
                is_doubted: false,
            },
            they_closed_first: false,
            acknowledged: 0,
            ending: None,
        };
        if connection.early.is_spoken && connection.early.remote_boot_id.is_some() {
            connection.sender.allow_early(EARLY_BYTES_MAX as u64);
        }
        connection.keep_alive.quiet_since = connection.now;
        connection
    }

    /// Time only goes forward.
    fn observe(&mut self, now: Instant) {
        if now != self.seen {
            self.seen = now;
            self.now = self.now.max(Moment::at(now, self.epoch));
        }
    }

    fn state(&self) -> State {
        Facts {
            is_heard: self.receiver.is_some(),
            is_synchronized: self.sender.is_synchronized(),
            has_sent_fin: self.sender.has_sent_fin(),
            is_fin_acknowledged: self.sender.is_finished(),
            has_their_fin: self.receiver.as_ref().is_some_and(Receiver::has_ended),
            they_closed_first: self.they_closed_first,
        }
        .state()
    }

    /// The boot id that this call was made with is maybe of an earlier start.
    pub(crate) fn doubts_boot_id(&self) -> bool {
        self.early.is_doubted
    }

    /// The other node's boot id, once its SYN was heard.
    pub(crate) fn heard_boot_id(&self) -> Option<u32> {
        self.early.remote_boot_id.filter(|_| self.receiver.is_some())
    }

    /// Ends otherwise than by FIN. What was received before stays to be read.
    fn end(&mut self, ending: Ending) {
        if self.ending.is_none() {
            self.ending = Some(ending);
            self.sender.stream.clear();
        }
    }

    /// Takes their SYN: who they are and what they can do.
    fn hear_syn(&mut self, packet: &Packet<'_>, segment: &Segment) {
        let options = Options::parse(segment.options(packet));
        let mut receiver = Receiver::new(Origin(segment.sequence), Rc::clone(&self.memory));
        receiver.acknowledging.demand();
        self.receiver = Some(receiver);
        self.shifts = options.window_scale.map_or((0, 0), |theirs| (theirs, WINDOW_SHIFT));
        self.may_sack = options.sack_permitted;
        self.timestamps.agree(options.timestamps, self.now);
        let is_ecn = if segment.acknowledgment.is_some() {
            Ecn::is_granted(segment)
        } else {
            Ecn::is_asked(segment)
        };
        self.ecn.agree(is_ecn);
        self.their_mss = options.mss.map_or_else(|| default_mss(self.remote), usize::from);
        self.settle_mss();
        self.sender.update_window(u64::from(segment.window));
        if self.early.is_spoken {
            self.take_early(segment.payload(packet), options.boot);
        }
    }

    /// Takes what came with their SYN, and begins to answer before ours is acknowledged.
    fn take_early(&mut self, payload: &[u8], boot: Option<BootIds>) {
        let is_caller = self.sender.next() > 0;
        if let Some(receiver) = &mut self.receiver {
            // What our own SYN has offered, or what may come before we offer anything.
            let offered = if is_caller { u64::from(WINDOW_OF_SYN) } else { EARLY_BYTES_MAX as u64 };
            receiver.open_early(offered);
            receiver.take(1, payload, false);
        }
        if let Some(boot) = boot {
            // Whoever speaks of its boot takes our packets as authenticated, as we take its.
            self.is_verified = false;
            self.early.remote_boot_id = Some(boot.own);
            self.sender.allow_early(self.sender.window_bytes());
        }
    }

    /// Sends no more a segment, options counted, than the path and the other side take.
    fn settle_mss(&mut self) {
        let options = if self.timestamps.is_agreed() { TIMESTAMPS_BYTES } else { 0 };
        let mss = self.their_mss.min(our_mss_bytes(self.path_mtu, self.local));
        self.sender.set_mss(mss.saturating_sub(options).max(MSS_LEAST) as u64);
    }
}

/// Two independent halves of a seed.
fn halves(seed: u64) -> [u32; 2] {
    let low = u32::try_from(seed & u64::from(u32::MAX)).unwrap_or(0);
    [low, u32::try_from(seed >> 32).unwrap_or(0)]
}

/// What a packet of `mtu` bytes carries beside headers without options.
fn our_mss_bytes(mtu: usize, local: SocketAddr) -> usize {
    mtu.saturating_sub(if local.is_ipv4() { 40 } else { 60 })
}

fn our_mss(mtu: usize, local: SocketAddr) -> u64 {
    our_mss_bytes(mtu, local) as u64
}

/// Without the option (RFC 9293 §3.7.1).
fn default_mss(remote: SocketAddr) -> usize {
    if remote.is_ipv4() { 536 } else { 1_220 }
}

/// What every path takes (RFC 791 §3.2 for hosts, RFC 8200 §5).
const MTU_LEAST_V4: usize = 576;
const MTU_LEAST_V6: usize = 1_280;
/// Whatever the other side says: fewer bytes would be headers alone.
const MSS_LEAST: usize = 64;
/// Room for windows of 32 MiB, settled in the SYN (RFC 7323 §2.2).
const WINDOW_SHIFT: u8 = 9;
