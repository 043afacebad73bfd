//! Explicit congestion notification: marks instead of drops.
//!
//! Agreed on in the handshake. A mark seen on a packet is echoed until the other side says that it has reduced its window; an echo counts
//! once for what was in flight. Source: RFC 3168 §6.1.

use crate::packet::Segment;

/// Of one connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ecn {
    is_agreed: bool,
    /// A mark was seen, and the other side has not answered it yet.
    is_echoing: bool,
    /// We have reduced and have not said so yet.
    owes_reduced: bool,
    /// Echoes count again once something behind this position is acknowledged.
    counted_until: u64,
}

impl Ecn {
    /// What a SYN asks for: both flags.
    pub(crate) fn is_asked(segment: &Segment) -> bool {
        segment.echo_congestion && segment.window_reduced
    }

    /// What a SYN-ACK agrees to: the echo alone.
    pub(crate) fn is_granted(segment: &Segment) -> bool {
        segment.echo_congestion && !segment.window_reduced
    }

    pub(crate) fn agree(&mut self, is_agreed: bool) {
        self.is_agreed = is_agreed;
    }

    pub(crate) fn is_agreed(self) -> bool {
        self.is_agreed
    }

    /// Takes a segment with data; `is_marked` says that its packet met congestion.
    pub(crate) fn handle_data(&mut self, segment: &Segment, is_marked: bool) {
        if self.is_agreed {
            self.is_echoing = is_marked || (self.is_echoing && !segment.window_reduced);
        }
    }

    pub(crate) fn is_echoing(self) -> bool {
        self.is_echoing
    }

    /// Takes an acknowledgment of everything before `una`; gives whether its echo is news. `next` was sent so far.
    pub(crate) fn handle_echo(&mut self, segment: &Segment, una: u64, next: u64) -> bool {
        let is_echo = segment.echo_congestion && !segment.syn;
        let is_news = self.is_agreed && is_echo && una > self.counted_until;
        if is_news {
            self.counted_until = next;
            self.owes_reduced = true;
        }
        is_news
    }

    /// Whether the next new data says that we have reduced.
    pub(crate) fn take_reduced(&mut self) -> bool {
        std::mem::take(&mut self.owes_reduced)
    }
}
