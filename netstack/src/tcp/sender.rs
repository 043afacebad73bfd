//! The sending half: what waits, what is on its way, what is sent next.
//!
//! | part | knows |
//! |---|---|
//! | [`stream`] | the bytes that wait or are unacknowledged, and whether FIN follows |
//! | [`window`] | what the other side can take |
//! | [`loss_timer`] | when to probe, to judge reordering, to give up waiting |
//! | [`persist`] | when to ask again about a closed window |
//!
//! The scoreboard knows what was sent, RACK what is lost, the controller how much may be in flight, the pacer when.
//!
//! Source: RFC 9293 §3.8, RFC 8985, RFC 6675, RFC 6298.

mod acknowledged;
mod loss_timer;
mod persist;
mod stream;
mod window;

use std::rc::Rc;

use super::congestion::{Controller, controller};
use super::memory::PeerMemory;
use super::moment::Moment;
use super::options::OPTIONS_BYTES_MAX;
use super::pacer::Pacer;
use super::rack::{Rack, Surroundings};
use super::rate::Rate;
use super::recovery::Recovery;
use super::rtt::RoundTrip;
use super::scoreboard::{Scoreboard, Sent, SentState};
use super::sequence::Origin;
use crate::types::Congestion;

pub(crate) use acknowledged::Acknowledgment;
use loss_timer::{Alarm, LossTimer, TailProbe};
use persist::Persist;
pub(crate) use stream::SendStream;
use window::SendWindow;

/// Our own stream.
#[derive(Debug)]
pub(crate) struct Sender {
    origin: Origin,
    pub(crate) stream: SendStream,
    window: SendWindow,
    /// First position not acknowledged; 0 is the SYN.
    una: u64,
    /// First position never sent.
    next: u64,
    mss: u64,
    scoreboard: Scoreboard,
    rate: Rate,
    round_trip: RoundTrip,
    rack: Rack,
    recovery: Recovery,
    controller: Box<dyn Controller>,
    pacer: Pacer,
    timer: LossTimer,
    tail_probe: TailProbe,
    persist: Persist,
    /// Everything that the window allowed was in flight when something was sent last.
    is_window_limited: bool,
    /// Until the handshake is over, positions before this may be sent.
    early_end: u64,
    retransmitted_bytes: u64,
}

/// A segment that may leave, or several whole ones of new data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) start: u64,
    /// Behind the last byte, FIN not counted.
    pub(crate) data_end: u64,
    pub(crate) syn: bool,
    pub(crate) fin: bool,
    pub(crate) is_retransmission: bool,
}

impl Plan {
    /// Position behind everything.
    pub(crate) fn end(&self) -> u64 {
        self.data_end + u64::from(self.fin)
    }
}

/// What a new connection begins with.
#[derive(Debug)]
pub(crate) struct SenderSetup {
    pub(crate) origin: Origin,
    pub(crate) mss: u64,
    pub(crate) congestion: Congestion,
    pub(crate) seed: u64,
    pub(crate) memory: Rc<PeerMemory>,
}

impl Sender {
    pub(crate) fn new(setup: SenderSetup) -> Self {
        Self {
            origin: setup.origin,
            stream: SendStream::new(setup.memory),
            window: SendWindow::default(),
            una: 0,
            next: 0,
            mss: setup.mss,
            scoreboard: Scoreboard::default(),
            rate: Rate::default(),
            round_trip: RoundTrip::default(),
            rack: Rack::default(),
            recovery: Recovery::default(),
            controller: controller(setup.congestion, setup.mss, setup.seed),
            pacer: Pacer::default(),
            timer: LossTimer::default(),
            tail_probe: TailProbe::default(),
            persist: Persist::default(),
            is_window_limited: false,
            early_end: 0,
            retransmitted_bytes: 0,
        }
    }

    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    pub(crate) fn una(&self) -> u64 {
        self.una
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn mss(&self) -> u64 {
        self.mss
    }

    pub(crate) fn round_trip(&self) -> &RoundTrip {
        &self.round_trip
    }

    pub(crate) fn window_bytes(&self) -> u64 {
        self.controller.window_bytes()
    }

    /// The largest window that the other side ever offered, in bytes.
    pub(crate) fn window_largest(&self) -> u64 {
        self.window.largest()
    }

    /// The window that their SYN offers.
    pub(crate) fn update_window(&mut self, bytes: u64) {
        self.window.update(0, self.una, bytes);
    }

    /// Bytes sent more than once.
    pub(crate) fn retransmitted_bytes(&self) -> u64 {
        self.retransmitted_bytes
    }

    /// Whether the SYN is acknowledged.
    pub(crate) fn is_synchronized(&self) -> bool {
        self.una > 0
    }

    /// The first `bytes` may be sent before the handshake is over.
    pub(crate) fn allow_early(&mut self, bytes: u64) {
        self.early_end = 1 + bytes;
    }

    /// Nothing more is sent before the handshake is over.
    pub(crate) fn forbid_early(&mut self) {
        self.early_end = 0;
    }

    /// FIN was asked for, and it and everything before it is acknowledged.
    pub(crate) fn is_finished(&self) -> bool {
        self.stream.fin().is_some_and(|fin| self.una > fin)
    }

    /// FIN has been sent at least once.
    pub(crate) fn has_sent_fin(&self) -> bool {
        self.stream.fin().is_some_and(|fin| self.next > fin)
    }

    /// The path and the other side take `mss` bytes a segment.
    pub(crate) fn set_mss(&mut self, mss: u64) {
        self.mss = mss;
        self.controller.limit_mss(mss);
    }

    /// Room that the application may write into: before the handshake is over, what may be sent early.
    pub(crate) fn room(&self) -> u64 {
        if !self.is_synchronized() {
            return self.early_end.saturating_sub(self.stream.written());
        }
        self.stream.room(
            self.una,
            self.next.min(self.stream.written()),
            self.controller.window_bytes(),
        )
    }

    /// Applies the timers that have come.
    pub(crate) fn handle_timeout(&mut self, now: Moment) {
        match self.timer.take_due(now) {
            None => {}
            Some(Alarm::Reordering) => {
                let lost_bytes = self.detect_losses(now);
                self.enter_recovery_if(lost_bytes > 0, now);
                self.arm_timer(now);
            }
            Some(Alarm::Probe) => {
                self.tail_probe.wanted();
                self.timer.restart(now);
            }
            Some(Alarm::Timeout) => self.time_out(now),
        }
        self.persist.handle_timeout(now);
    }

    /// The next segment to send at `now`, if any may leave.
    pub(crate) fn plan(&mut self, now: Moment) -> Option<Plan> {
        if self.has_whole_segment() && !self.stream.is_shut() {
            return self.pacer.allows(now).then(|| self.plan_whole());
        }
        let plan = self.ready()?;
        let is_urgent = self.tail_probe.is_wanted() || plan.syn;
        if !is_urgent && !self.pacer.allows(now) {
            return None;
        }
        Some(plan)
    }

    /// What [`Self::ready`] gives while the stream goes on and [`Self::has_whole_segment`].
    fn plan_whole(&self) -> Plan {
        Plan {
            start: self.next,
            data_end: self.next + self.mss,
            syn: false,
            fin: false,
            is_retransmission: false,
        }
    }

    /// Makes a train of `plan` by what [`Self::plan`] would give next, up to `segments_max` segments in all: only whole ones of new data.
    pub(crate) fn extend(&mut self, plan: &mut Plan, segments_max: usize, now: Moment) {
        let is_whole = plan.end() - plan.start == self.mss && plan.start > 0 && !plan.fin;
        if !is_whole || plan.is_retransmission || !self.is_plain() {
            return;
        }
        let in_flight = self.scoreboard.in_flight_bytes();
        let segments = [
            (self.whole_end() - plan.start) / self.mss,
            self.controller.window_bytes().saturating_sub(in_flight) / self.mss,
            self.pacer.segments(self.mss, self.controller.bytes_per_second(), now),
            segments_max as u64,
        ];
        let segments = segments.into_iter().min().unwrap_or(1).max(1);
        plan.data_end = plan.start + segments * self.mss;
    }

    /// When [`Self::plan`] would give something; `None` when only an acknowledgment or a write can bring it about.
    pub(crate) fn plan_due(&mut self, now: Moment) -> Option<Moment> {
        let is_urgent = if self.has_whole_segment() {
            false
        } else if self.has_said_all() {
            self.pacer.rest();
            return None;
        } else {
            let plan = self.ready()?;
            self.tail_probe.is_wanted() || plan.syn
        };
        Some(if is_urgent {
            now
        } else {
            self.pacer.wake_at(self.controller.bytes_per_second(), now)
        })
    }

    /// The application has written, or the window has changed: asks whether it is closed.
    pub(crate) fn refresh(&mut self, now: Moment) {
        let is_stuck = self.scoreboard.is_empty() && self.is_waiting_for_window();
        self.persist.set_stuck(is_stuck, self.round_trip.timeout(), now);
    }

    /// What is in flight will not arrive and is to be sent again; nobody is to blame.
    pub(crate) fn repeat_all(&mut self) {
        self.scoreboard.lose_all(|_| {});
    }

    /// The path works again: what is in flight was lost while it did not, and waits no longer for a timeout that was doubled.
    pub(crate) fn resume(&mut self, now: Moment) {
        if self.round_trip.timeouts() > 0 && !self.scoreboard.is_empty() {
            self.round_trip.end_backoff();
            self.repeat_all();
            self.timer.restart(now);
            self.arm_timer(now);
        }
    }

    /// The other side may have told of room, and that was lost: asks at once if it is waited for.
    pub(crate) fn ask_about_window(&mut self, now: Moment) {
        self.persist.ask_now(now);
    }

    /// The SYN is to be sent again at once: the other side has not seen it.
    pub(crate) fn repeat_syn(&mut self) {
        if !self.is_synchronized() {
            self.scoreboard.lose_all(|_| {});
        }
    }

    /// The earliest of the timers.
    pub(crate) fn timer_due(&self) -> Option<Moment> {
        Moment::earliest([self.timer.due(), self.persist.due()])
    }

    /// Whether a closed window should be asked about; the question is then on its way.
    pub(crate) fn take_window_probe(&mut self, now: Moment) -> bool {
        let timeout = self.round_trip.timeout();
        self.persist.take_wanted(now, timeout)
    }

    pub(crate) fn wants_window_probe(&self) -> bool {
        self.persist.is_wanted()
    }

    /// Counts what leaves at `now` with the timestamp `ticks`.
    pub(crate) fn note_sent(&mut self, plan: &Plan, ticks: u32, now: Moment) {
        let was_idle = self.scoreboard.is_empty();
        if was_idle {
            self.restart_after_idle(now);
        }
        let bytes = plan.end() - plan.start;
        let snapshot = self.rate.snapshot(self.scoreboard.in_flight_bytes(), now);
        if plan.is_retransmission {
            self.retransmitted_bytes += bytes;
            self.scoreboard.note_retransmission(plan.start, plan.end(), now, snapshot);
            self.recovery.note_retransmission(plan.end(), ticks);
        } else {
            self.scoreboard.push(Sent {
                start: plan.start,
                end: plan.end(),
                segment_bytes: self.segment_bytes(plan),
                sent_at: now,
                state: SentState::Outstanding,
                is_retransmission: false,
                snapshot,
            });
            self.next = plan.end();
        }
        self.controller.handle_sent(bytes);
        let rate = self.controller.bytes_per_second();
        self.pacer.note_sent(bytes, rate, now);
        if self.tail_probe.note_sent(plan, ticks) {
            self.timer.restart(now);
        }
        self.note_limits();
        self.timer.note_sent(was_idle, now);
        self.arm_timer(now);
    }

    /// Positions that each segment of `plan` takes.
    fn segment_bytes(&self, plan: &Plan) -> u32 {
        let bytes = plan.end() - plan.start;
        let is_train = plan.start > 0 && !plan.fin;
        u32::try_from(if is_train { self.mss } else { bytes }).unwrap_or(u32::MAX)
    }

    /// Whether [`Self::ready`] would plainly give a whole segment of new data, as nearly always in bulk: told without making the plan.
    fn has_whole_segment(&self) -> bool {
        self.is_plain() && self.next + self.mss <= self.whole_end() && self.fits(self.mss)
    }

    /// Before this position segments are whole and without FIN, as far as the stream and the other side's window go.
    fn whole_end(&self) -> u64 {
        let written = self.stream.written() - u64::from(self.stream.is_shut());
        written.min(self.window.edge())
    }

    /// Whether [`Self::ready`] would plainly give nothing, as in a receiver of bulk.
    fn has_said_all(&self) -> bool {
        self.is_plain() && self.next == self.stream.written() && !self.stream.is_shut()
    }

    /// Open, with nothing to repair.
    fn is_plain(&self) -> bool {
        self.is_synchronized() && self.scoreboard.lost_bytes() == 0 && !self.tail_probe.is_wanted()
    }

    /// The segment that would leave if the pacer let it.
    fn ready(&mut self) -> Option<Plan> {
        let plan = self.ready_retransmission().or_else(|| self.ready_new());
        let plan = plan.or_else(|| self.ready_probe());
        if plan.is_none() {
            self.pacer.rest();
        }
        plan
    }

    fn ready_retransmission(&mut self) -> Option<Plan> {
        let lost = self.scoreboard.first_lost()?;
        let plan = self.plan_again(&lost);
        self.fits(plan.end() - plan.start).then_some(plan)
    }

    /// Whether so many bytes more may be in flight. One segment always may, or nothing would ever come back.
    fn fits(&self, bytes: u64) -> bool {
        let in_flight = self.scoreboard.in_flight_bytes();
        in_flight == 0 || in_flight + bytes <= self.controller.window_bytes()
    }

    fn plan_again(&self, sent: &Sent) -> Plan {
        let fin = self.stream.fin().filter(|fin| sent.start <= *fin && *fin < sent.end);
        let whole_end = fin.unwrap_or(sent.end);
        let data_end = whole_end.min(sent.start.max(1) + self.mss).max(sent.start.max(1));
        Plan {
            start: sent.start,
            data_end: if sent.start == 0 { sent.end.min(self.syn_end_max()) } else { data_end },
            syn: sent.start == 0,
            fin: fin.is_some() && data_end == whole_end,
            is_retransmission: true,
        }
    }

    fn ready_new(&self) -> Option<Plan> {
        let plan = self.plan_new()?;
        let bytes = plan.end() - plan.start;
        (plan.syn || (self.fits(bytes) && self.is_worth_sending(&plan))).then_some(plan)
    }

    /// What comes next in the stream and the other side can take.
    fn plan_new(&self) -> Option<Plan> {
        if self.next == 0 {
            return Some(self.plan_syn());
        }
        let is_early = !self.is_synchronized();
        let allowed = if is_early { self.early_end } else { self.window.edge() };
        let data_end = self.stream.written().min(self.next + self.mss).min(allowed.max(self.next));
        let fin = !is_early && self.stream.fin() == Some(data_end) && allowed > data_end;
        let has_fin_to_send = fin && self.next == data_end;
        (data_end > self.next || has_fin_to_send).then_some(Plan {
            start: self.next,
            data_end,
            syn: false,
            fin,
            is_retransmission: false,
        })
    }

    /// The SYN, with as much of the stream as may go early.
    fn plan_syn(&self) -> Plan {
        let data_end = self.stream.written().min(self.syn_end_max()).min(self.early_end).max(1);
        Plan { start: 0, data_end, syn: true, fin: false, is_retransmission: false }
    }

    /// Behind the last position that fits beside a SYN's options.
    fn syn_end_max(&self) -> u64 {
        1 + self.mss.saturating_sub(OPTIONS_BYTES_MAX as u64)
    }

    /// Many small segments at once would only make records and headers; a sliver of a nearly closed window is silly
    /// (RFC 9293 §3.8.6.2.1).
    fn is_worth_sending(&self, plan: &Plan) -> bool {
        let bytes = plan.data_end - plan.start;
        if bytes >= self.mss || plan.fin {
            return true;
        }
        if plan.data_end < self.stream.written() {
            return bytes >= self.window.largest() / 2 || self.persist.is_wanted();
        }
        if self.scoreboard.is_empty() {
            return true;
        }
        let whole = self.scoreboard.in_flight_bytes() / self.mss;
        self.scoreboard.segments() < whole + SMALL_SEGMENTS_MAX
    }

    fn ready_probe(&self) -> Option<Plan> {
        if !self.tail_probe.is_wanted() {
            return None;
        }
        self.plan_new().or_else(|| self.scoreboard.last().map(|last| self.plan_again(&last)))
    }

    /// Notes whether the window or the application is what limits.
    fn note_limits(&mut self) {
        let in_flight = self.scoreboard.in_flight_bytes();
        self.is_window_limited = in_flight + self.mss > self.controller.window_bytes();
        let has_more = self.stream.written() > self.next || self.scoreboard.lost_bytes() > 0;
        if !has_more && !self.is_window_limited {
            self.rate.note_app_limited(in_flight);
        }
    }

    fn restart_after_idle(&mut self, now: Moment) {
        if self.timer.is_idle_for_long(self.round_trip.timeout(), now) {
            self.controller.handle_restart(now);
        }
    }

    /// Judges by RACK; gives how many bytes are newly lost.
    fn detect_losses(&mut self, now: Moment) -> u64 {
        let window = self.rack.reordering_window(&self.surroundings());
        let Self { rack, scoreboard, rate, controller, .. } = self;
        let mut lost_bytes = 0;
        let waiting = scoreboard.judge(
            |sent| rack.lost_at(sent, window).is_some_and(|lost_at| lost_at <= now),
            |sent| {
                lost_bytes += sent.bytes();
                rate.lost_bytes += sent.bytes();
                controller.handle_loss(&acknowledged::lost_segment(sent, rate));
            },
        );
        let due = waiting.and_then(|sent| self.rack.lost_at(&sent, window));
        self.timer.set_reordering(due);
        lost_bytes
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            lowest_round_trip: self.round_trip.lowest(),
            smoothed_round_trip: self
                .round_trip
                .smoothed()
                .unwrap_or_else(|| self.round_trip.lowest()),
            is_recovering: !self.recovery.is_open(),
            has_plain_loss: self.scoreboard.sacked_bytes() >= 3 * self.mss,
        }
    }

    fn enter_recovery_if(&mut self, has_losses: bool, now: Moment) {
        if has_losses && self.recovery.is_open() {
            self.recovery.begin_fast(self.next);
            self.tail_probe.clear();
            // What was SACKed counts as well (RFC 5681 §2, FlightSize).
            self.controller.handle_recovery(self.next - self.una, now);
        }
    }

    /// RFC 6298 §5.4 to §5.6, without forgetting what the other side holds.
    fn time_out(&mut self, now: Moment) {
        self.round_trip.note_timeout();
        let is_first = !matches!(self.recovery, Recovery::Timeout(_));
        if is_first {
            self.controller.handle_timeout(now);
        }
        self.recovery.begin_timeout(self.next);
        self.tail_probe.clear();
        // RFC 2018 §8: after two timeouts what was reported held may have been thrown away.
        if self.round_trip.timeouts() > 1 {
            self.scoreboard.forget_sacked();
        }
        let rate = &mut self.rate;
        self.scoreboard.lose_all(|sent| rate.lost_bytes += sent.bytes());
        self.timer.set_reordering(None);
        self.timer.restart(now);
        self.arm_timer(now);
    }

    fn arm_timer(&mut self, now: Moment) {
        let may_probe = self.recovery.is_open()
            && self.is_synchronized()
            && self.scoreboard.sacked_bytes() == 0
            && self.tail_probe.is_possible();
        let has_one_segment = self.scoreboard.in_flight_bytes() <= self.mss;
        let probe_after =
            may_probe.then(|| loss_timer::probe_timeout(&self.round_trip, has_one_segment));
        self.timer.arm(!self.scoreboard.is_empty(), probe_after, self.round_trip.timeout(), now);
        self.refresh(now);
    }

    /// There is something to send that the other side has no room for.
    fn is_waiting_for_window(&self) -> bool {
        let has_more = self.stream.written() > self.next || self.stream.fin() == Some(self.next);
        self.is_synchronized() && has_more && self.ready_new().is_none()
    }
}

/// Small segments in flight beyond which small writes wait to be joined.
const SMALL_SEGMENTS_MAX: u64 = 16;
