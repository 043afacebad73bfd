//! Proportional rate reduction: how fast the window goes down in recovery.
//!
//! For what arrives, a share is sent that brings the amount in flight to the new threshold by the end of the episode; below it, one segment
//! more than arrived, so that a burst of losses neither stalls nor bursts. Source: RFC 6937 §3, with the slow-start bound.

/// One episode.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reduction {
    /// Bytes in flight when the episode began.
    began_with: u64,
    delivered: u64,
    sent: u64,
}

impl Reduction {
    pub(super) fn new(in_flight: u64) -> Self {
        Self { began_with: in_flight.max(1), delivered: 0, sent: 0 }
    }

    pub(super) fn note_sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    /// The window after `delivered` bytes more have arrived.
    pub(super) fn window(
        &mut self,
        delivered: u64,
        in_flight: u64,
        threshold: u64,
        mss: u64,
    ) -> u64 {
        self.delivered += delivered;
        let may_send = if in_flight > threshold {
            let share = u128::from(self.delivered) * u128::from(threshold);
            let due = share.div_ceil(u128::from(self.began_with));
            u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(self.sent)
        } else {
            let catch_up = self.delivered.saturating_sub(self.sent).max(delivered) + mss;
            catch_up.min(threshold - in_flight)
        };
        // The first answer of an episode always sends: a retransmission is due.
        let floor = if self.sent == 0 { mss } else { 0 };
        in_flight + may_send.max(floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u64 = 1_000;

    #[test]
    fn one_loss_halves_what_is_in_flight_over_one_round_trip() {
        // RFC 6937 §4: with half the window as threshold, every other arrival sends.
        let (mut reduction, mut in_flight) = (Reduction::new(20 * MSS), 19 * MSS);
        let mut sent = 0;
        for _ in 0..19 {
            in_flight -= MSS;
            let window = reduction.window(MSS, in_flight, 10 * MSS, MSS);
            while in_flight + MSS <= window {
                in_flight += MSS;
                sent += 1;
                reduction.note_sent(MSS);
            }
        }
        assert!((9..=11).contains(&sent), "{sent}");
        assert!((9 * MSS..=10 * MSS).contains(&in_flight), "{in_flight}");
    }

    #[test]
    fn a_burst_of_losses_grows_back_as_in_slow_start() {
        let mut reduction = Reduction::new(20 * MSS);
        let window = reduction.window(MSS, 2 * MSS, 10 * MSS, MSS);
        assert_eq!(window, 4 * MSS, "what arrived and one more");
    }
}
