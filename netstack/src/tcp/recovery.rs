//! Whether losses are being repaired, and whether they were losses at all.
//!
//! ```text
//! Open ──a loss──▶ Fast ──all acknowledged that was sent before──▶ Open
//!   └──timeout──▶ Timeout ◀──timeout── Fast        Timeout ──same──▶ Open
//! ```
//! The first retransmission's timestamp tells the answer to it from the answer to the original: if the original was answered, the loss was
//! none, and everything done because of it is taken back. Source: RFC 6675 §5, RFC 3522 §3.2 (Eifel detection).

/// An episode of repair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Recovery {
    #[default]
    Open,
    /// Entered by a segment judged lost.
    Fast(Episode),
    /// Entered by a retransmission timeout.
    Timeout(Episode),
}

/// What is known of an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Episode {
    /// It is over when everything before this position is acknowledged.
    until: u64,
    /// Timestamp of the first retransmission, until its answer has come.
    first_retransmission: Option<Repair>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Repair {
    /// Position behind what was sent again.
    end: u64,
    ticks: u32,
}

impl Repair {
    /// Behind everything, so that no acknowledgment answers it.
    const ANSWERED: Self = Self { end: u64::MAX, ticks: 0 };
}

/// What an acknowledgment means for the episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    GoesOn,
    Over,
    /// The original arrived: there was no loss.
    Spurious,
}

impl Recovery {
    pub(crate) fn is_open(self) -> bool {
        self == Self::Open
    }

    /// Begins an episode that ends once everything before `until` is acknowledged.
    pub(crate) fn begin_fast(&mut self, until: u64) {
        *self = Self::Fast(Episode { until, first_retransmission: None });
    }

    /// As [`Self::begin_fast`]. A repair whose answer has not come stays the first (RFC 3522 §3.2): what it is answered by is no original.
    pub(crate) fn begin_timeout(&mut self, until: u64) {
        let first_retransmission = match self {
            Self::Open => None,
            Self::Fast(episode) | Self::Timeout(episode) => {
                episode.first_retransmission.filter(|repair| *repair != Repair::ANSWERED)
            }
        };
        *self = Self::Timeout(Episode { until, first_retransmission });
    }

    /// A segment that ends at `end` is sent again with the timestamp `ticks`.
    pub(crate) fn note_retransmission(&mut self, end: u64, ticks: u32) {
        if let Self::Fast(episode) | Self::Timeout(episode) = self {
            episode.first_retransmission.get_or_insert(Repair { end, ticks });
        }
    }

    /// Everything before `una` is acknowledged by a segment that echoes the timestamp `echo`.
    pub(crate) fn handle_progress(&mut self, una: u64, echo: Option<u32>) -> Outcome {
        let (Self::Fast(episode) | Self::Timeout(episode)) = self else { return Outcome::GoesOn };
        let until = episode.until;
        let answered = episode.first_retransmission.take_if(|repair| una >= repair.end);
        let is_answer_to_original = answered
            .zip(echo)
            .is_some_and(|(repair, echo)| echo.wrapping_sub(repair.ticks).cast_signed() < 0);
        if answered.is_some() && !is_answer_to_original {
            // Later retransmissions do not revive the question.
            episode.first_retransmission = Some(Repair::ANSWERED);
        }
        if is_answer_to_original {
            *self = Self::Open;
            return Outcome::Spurious;
        }
        if una >= until {
            *self = Self::Open;
            return Outcome::Over;
        }
        Outcome::GoesOn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_ends_when_all_sent_before_it_is_acknowledged() {
        let mut recovery = Recovery::default();
        recovery.begin_fast(1_000);
        recovery.note_retransmission(200, 50);
        assert_eq!(recovery.handle_progress(200, Some(50)), Outcome::GoesOn);
        assert_eq!(recovery.handle_progress(999, Some(20)), Outcome::GoesOn, "asked once");
        assert_eq!(recovery.handle_progress(1_000, None), Outcome::Over);
        assert!(recovery.is_open());
    }

    #[test]
    fn an_answer_to_the_original_shows_that_nothing_was_lost() {
        let mut recovery = Recovery::default();
        recovery.begin_timeout(1_000);
        recovery.note_retransmission(200, 5);
        // RFC 3522 §3.2; across the wrap of the clock.
        assert_eq!(recovery.handle_progress(200, Some(u32::MAX)), Outcome::Spurious);
    }
}
