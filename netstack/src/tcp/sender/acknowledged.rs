//! An acknowledgment came: what it says arrives here.

use super::super::congestion::{Acked, LostSegment};
use super::super::moment::Moment;
use super::super::options::SACK_BLOCKS_MAX;
use super::super::rate::{Newest, Rate};
use super::super::recovery::Outcome;
use super::super::scoreboard::Sent;
use super::Sender;

/// The fields of a segment that concern what we have sent, as positions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acknowledgment<'s> {
    /// Everything before it has arrived.
    pub(crate) una: u64,
    /// SACK blocks as they stand in the option, as positions; one that means nothing is `None`.
    pub(crate) blocks: &'s [Option<(u64, u64)>],
    /// Unscaled.
    pub(crate) window: u64,
    /// Position of the segment itself in the other side's stream.
    pub(crate) position: u64,
    /// Our timestamp that it echoes.
    pub(crate) echo: Option<u32>,
    /// Time since the echoed timestamp.
    pub(crate) echo_age: Option<std::time::Duration>,
    /// Whether the other side saw congestion marked.
    pub(crate) is_marked: bool,
}

/// What one acknowledgment has brought, while it is worked out.
#[derive(Debug, Default)]
struct Tally {
    newest: Newest,
    delivered_bytes: u64,
    /// When the latest segment was sent that was sent only once.
    sent_once_at: Option<Moment>,
}

impl Sender {
    /// Takes an acknowledgment that is not behind what was sent.
    pub(crate) fn handle_acknowledgment(&mut self, ack: &Acknowledgment<'_>, now: Moment) {
        if self.is_idle_word(ack) {
            self.window.update(ack.position, ack.una, ack.window);
            self.refresh(now);
            return;
        }
        let in_flight_before = self.scoreboard.in_flight_bytes();
        let has_duplicate = self.take_duplicate(ack);
        let mut tally = Tally::default();
        let advanced = ack.una > self.una;
        self.take_delivered(ack, &mut tally, now);
        self.window.update(ack.position, ack.una, ack.window);
        if advanced || tally.delivered_bytes > 0 {
            self.round_trip.note_progress();
            self.measure(ack, &tally, now);
            self.timer.restart(now);
        }
        let loss_repaired =
            advanced && self.tail_probe.handle_progress(ack.una, ack.echo, has_duplicate);
        let lost_bytes = self.detect_losses(now);
        self.follow_recovery(ack, advanced, lost_bytes, loss_repaired, now);
        if tally.delivered_bytes > 0 || lost_bytes > 0 || ack.is_marked {
            let acked = self.acked(ack, &tally, in_flight_before, now);
            self.controller.handle_acked(&acked);
        }
        self.arm_timer(now);
    }

    /// Whether nothing of ours is on its way that it could tell of: most segments of a bulk received.
    fn is_idle_word(&self, ack: &Acknowledgment<'_>) -> bool {
        let tells = ack.una > self.una || !ack.blocks.is_empty() || ack.is_marked;
        self.scoreboard.is_empty() && !tells
    }

    /// RFC 2883 §4: the first block is of something received twice if it is acknowledged, or lies within the second.
    fn take_duplicate(&mut self, ack: &Acknowledgment<'_>) -> bool {
        let Some(Some(first)) = ack.blocks.first().copied() else { return false };
        let second = ack.blocks.get(1).copied().flatten();
        let is_within = second.is_some_and(|second| second.0 <= first.0 && first.1 <= second.1);
        let is_duplicate = first.1 <= ack.una || is_within;
        if is_duplicate {
            self.rack.note_duplicate(ack.una, self.next);
        }
        is_duplicate
    }

    fn take_delivered(&mut self, ack: &Acknowledgment<'_>, tally: &mut Tally, now: Moment) {
        let lowest = self.round_trip.lowest();
        let Self { scoreboard, rate, rack, .. } = self;
        let mut deliver = |sent: &Sent| {
            tally.delivered_bytes += sent.bytes();
            tally.newest.deliver(sent, rate, now);
            rack.note_delivered(sent, lowest, now);
            if !sent.is_retransmission {
                tally.sent_once_at = tally.sent_once_at.max(Some(sent.sent_at));
            }
        };
        if ack.una > self.una {
            self.una = ack.una;
            scoreboard.acknowledge(ack.una, &mut deliver);
            self.stream.release(ack.una);
        }
        for (start, end) in ascending(ack.blocks).into_iter().flatten() {
            if start < end && end <= self.next {
                scoreboard.sack(start.max(self.una), end, &mut deliver);
            }
        }
    }

    /// RFC 6298 §3: never from what was sent twice, unless timestamps tell which answer it is.
    fn measure(&mut self, ack: &Acknowledgment<'_>, tally: &Tally, now: Moment) {
        let measured = tally.sent_once_at.map(|sent_at| now.since(sent_at));
        if let Some(measured) = measured.or(ack.echo_age) {
            self.round_trip.sample(measured, now);
        }
    }

    fn follow_recovery(
        &mut self,
        ack: &Acknowledgment<'_>,
        advanced: bool,
        lost_bytes: u64,
        loss_repaired: bool,
        now: Moment,
    ) {
        if advanced {
            match self.recovery.handle_progress(ack.una, ack.echo) {
                Outcome::GoesOn => {}
                Outcome::Over => {
                    self.rack.note_recovered();
                    self.controller.handle_recovered();
                }
                Outcome::Spurious => {
                    self.scoreboard.unlose_all();
                    self.controller.handle_spurious();
                }
            }
        }
        self.enter_recovery_if(lost_bytes > 0, now);
        if loss_repaired && self.recovery.is_open() {
            // The probe repaired the only loss: it counts as one (RFC 8985 §7.4).
            self.controller.handle_recovery(self.scoreboard.in_flight_bytes(), now);
            self.controller.handle_recovered();
        }
    }

    fn acked(
        &mut self,
        ack: &Acknowledgment<'_>,
        tally: &Tally,
        in_flight_before: u64,
        now: Moment,
    ) -> Acked {
        let round_trip = tally.sent_once_at.map(|sent_at| now.since(sent_at)).or(ack.echo_age);
        let lowest = self.round_trip.lowest();
        Acked {
            now,
            delivered_bytes: tally.delivered_bytes,
            delivered_total: self.rate.delivered_bytes,
            in_flight_before,
            in_flight: self.scoreboard.in_flight_bytes(),
            round_trip: round_trip.filter(|_| tally.delivered_bytes > 0),
            round_trip_smoothed: self.round_trip.smoothed().unwrap_or(lowest),
            rate: tally.newest.sample(&mut self.rate, lowest),
            is_window_limited: self.is_window_limited,
            is_marked: ack.is_marked,
        }
    }
}

/// The blocks by position: their order in the option, the newest first, says nothing of the order in which segments arrived.
fn ascending(blocks: &[Option<(u64, u64)>]) -> [Option<(u64, u64)>; SACK_BLOCKS_MAX] {
    let mut sorted = [None; SACK_BLOCKS_MAX];
    for (slot, block) in sorted.iter_mut().zip(blocks) {
        *slot = *block;
    }
    sorted.sort_unstable();
    sorted
}

/// What the controller hears of a lost segment.
pub(super) fn lost_segment(sent: &Sent, rate: &Rate) -> LostSegment {
    LostSegment {
        bytes: sent.bytes(),
        in_flight_at_sending: sent.in_flight_bytes(),
        lost_since_sending: rate.lost_bytes.saturating_sub(sent.snapshot.lost_bytes),
    }
}
