//! A segment leaves.
//!
//! In this order: a reset, data and FIN (which carry the acknowledgment), probes, a bare acknowledgment.

use super::emit::{Flags, Header};
use super::moment::Moment;
use super::options::{BootIds, Options, SACK_BLOCKS_MAX};
use super::sender::Plan;
use super::{Connection, Ending, Sent, WINDOW_SHIFT, our_mss_bytes};

impl Connection {
    /// Writes the next segment into `buffer`, if one may leave now; of new data as many as may, up to `segments_max`.
    pub(super) fn send(&mut self, buffer: &mut [u8], segments_max: usize) -> Option<Sent> {
        match self.ending {
            Some(Ending::Aborting) => return self.send_reset(buffer),
            Some(Ending::Aborted | Ending::Reset) => return None,
            None => {}
        }
        self.sender.handle_timeout(self.now);
        if let Some(plan) = self.sender.plan(self.now) {
            return self.send_planned(plan, buffer, segments_max);
        }
        if self.wants_question() {
            return self.send_question(buffer);
        }
        let is_due = self.sender.is_synchronized()
            && self
                .receiver
                .as_ref()
                .is_some_and(|receiver| receiver.acknowledging.is_due(self.now));
        if is_due { self.send_acknowledgment(buffer) } else { None }
    }

    /// When [`Self::send`] has something to do.
    pub(super) fn due(&mut self) -> Option<Moment> {
        match self.ending {
            Some(Ending::Aborting) => return Some(self.now),
            Some(Ending::Aborted | Ending::Reset) => return None,
            None => {}
        }
        self.sender.refresh(self.now);
        let acknowledgment = self
            .receiver
            .as_ref()
            .filter(|_| self.sender.is_synchronized())
            .and_then(|receiver| receiver.acknowledging.due_at(self.now));
        let question = self.sender.wants_window_probe().then_some(self.now);
        Moment::earliest([
            self.sender.plan_due(self.now),
            self.sender.timer_due(),
            acknowledgment,
            question,
            self.keep_alive_due(),
        ])
    }

    fn send_planned(
        &mut self,
        mut plan: Plan,
        buffer: &mut [u8],
        segments_max: usize,
    ) -> Option<Sent> {
        let mut header = if plan.syn { self.syn_header() } else { self.header(plan.start) };
        let is_new_data = !plan.is_retransmission && !plan.syn;
        header.flags.syn = plan.syn;
        header.flags.fin = plan.fin;
        header.flags.may_be_marked = is_new_data && self.ecn.is_agreed();
        header.flags.window_reduced |= is_new_data && self.ecn.take_reduced();
        let from = plan.start.max(1);
        let segment_bytes = usize::try_from(plan.data_end - from).unwrap_or(0);
        let segments_max = segments_max.min(buffer.len() / header.packet_bytes(segment_bytes));
        // That the window is reduced is said once.
        if segments_max > 1 && !header.flags.window_reduced {
            self.sender.extend(&mut plan, segments_max, self.now);
        }
        header.flags.push = !plan.syn && plan.data_end == self.sender.stream.written();
        let payload_bytes = usize::try_from(plan.data_end - from).unwrap_or(0);
        let mut stream = self.sender.stream.reader(from);
        let fill = |payload: &mut [u8]| stream.fill(payload);
        let lengths = header.emit_train(buffer, payload_bytes, segment_bytes, fill)?;
        let lengths = lengths.with_repeats(plan.is_retransmission);
        self.sender.note_sent(&plan, self.timestamps.ticks(self.now), self.now);
        // SACK blocks have no room beside a full payload, so a gap still wants a bare acknowledgment.
        if !self.has_gap_to_tell() {
            self.note_acknowledged();
        }
        Some(Sent { lengths, elicits_answer: true })
    }

    fn has_gap_to_tell(&self) -> bool {
        self.may_sack && self.receiver.as_ref().is_some_and(super::Receiver::has_news)
    }

    fn send_acknowledgment(&mut self, buffer: &mut [u8]) -> Option<Sent> {
        let mut header = self.header(self.sender.next());
        if self.may_sack {
            let blocks_max =
                if self.timestamps.is_agreed() { SACK_BLOCKS_MAX - 1 } else { SACK_BLOCKS_MAX };
            let receiver = self.receiver.as_mut()?;
            header.options.sack = receiver.sack_blocks(blocks_max);
        }
        let lengths = header.emit_bare(buffer)?;
        self.note_acknowledged();
        Some(Sent { lengths, elicits_answer: false })
    }

    /// A segment that says nothing new and must be answered (RFC 9293 §3.8.4): of a closed window, or of an idle connection.
    fn send_question(&mut self, buffer: &mut [u8]) -> Option<Sent> {
        let header = self.header(self.sender.una().saturating_sub(1));
        let lengths = header.emit_bare(buffer)?;
        self.keep_alive.ask(self.now);
        Some(Sent { lengths, elicits_answer: true })
    }

    fn send_reset(&mut self, buffer: &mut [u8]) -> Option<Sent> {
        self.ending = Some(Ending::Aborted);
        if self.sender.next() == 0 {
            return None;
        }
        let mut header = self.header(self.sender.next());
        header.flags = Flags { reset: true, ..Flags::default() };
        header.window = 0;
        let lengths = header.emit_bare(buffer)?;
        Some(Sent { lengths, elicits_answer: false })
    }

    fn wants_question(&mut self) -> bool {
        let is_idle_long = self.keep_alive_due().is_some_and(|due| due <= self.now);
        self.sender.take_window_probe(self.now) || is_idle_long
    }

    fn keep_alive_due(&self) -> Option<Moment> {
        let is_idle = self.sender.is_synchronized() && self.sender.una() == self.sender.next();
        self.keep_alive.due().filter(|_| is_idle)
    }

    /// The header of a segment that begins at `position`.
    fn header(&mut self, position: u64) -> Header {
        let shift = self.shifts.1;
        let receiver = self.receiver.as_mut();
        let (acknowledgment, window) = receiver.map_or((None, 0), |receiver| {
            (Some(receiver.origin().number(receiver.next())), receiver.offer(shift))
        });
        Header {
            source: self.local,
            destination: self.remote,
            sequence: self.sender.origin().number(position),
            acknowledgment,
            window,
            flags: Flags { echo_congestion: self.ecn.is_echoing(), ..Flags::default() },
            options: Options { timestamps: self.timestamps.option(self.now), ..Options::default() },
            is_verified: self.is_verified,
        }
    }

    /// The header of our SYN: what we can do; in an answer, what they can do as well.
    fn syn_header(&mut self) -> Header {
        let is_answer = self.receiver.is_some();
        // The window of a SYN is not scaled (RFC 7323 §2.2).
        let shifts = std::mem::take(&mut self.shifts);
        let mut header = self.header(0);
        self.shifts = shifts;
        let offers = |agreed: bool| !is_answer || agreed;
        let ticks = self.timestamps.ticks(self.now);
        header.options = Options {
            mss: u16::try_from(our_mss_bytes(self.mtu, self.local)).ok(),
            window_scale: offers(shifts.1 > 0).then_some(WINDOW_SHIFT),
            sack_permitted: offers(self.may_sack),
            timestamps: if is_answer { self.timestamps.option(self.now) } else { Some((ticks, 0)) },
            boot: self.boot_ids(is_answer),
            ..Options::default()
        };
        header.flags.echo_congestion = offers(self.ecn.is_agreed());
        header.flags.window_reduced = !is_answer;
        if !is_answer {
            header.window = WINDOW_OF_SYN;
        }
        header
    }

    /// Who we are, and whom a call is meant for.
    fn boot_ids(&self, is_answer: bool) -> Option<BootIds> {
        let expected = self.early.remote_boot_id.filter(|_| !is_answer).unwrap_or(0);
        self.early.is_spoken.then_some(BootIds { own: self.early.own_boot_id, expected })
    }

    fn note_acknowledged(&mut self) {
        if let Some(receiver) = &mut self.receiver {
            receiver.acknowledging.note_sent();
            self.acknowledged = receiver.next();
        }
    }
}

/// What is offered before anything is known of the other side.
pub(super) const WINDOW_OF_SYN: u16 = u16::MAX;
