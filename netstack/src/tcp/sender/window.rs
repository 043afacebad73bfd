//! What the other side can take (RFC 9293 §3.10.7.4, "the send window should be updated").

/// The send window, as a position.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SendWindow {
    edge: u64,
    largest: u64,
    /// The segment that it was taken from: its position, and what it acknowledged.
    from: (u64, u64),
}

impl SendWindow {
    /// Position behind the last byte that the other side has room for.
    pub(super) fn edge(&self) -> u64 {
        self.edge
    }

    /// The largest window ever offered, in bytes.
    pub(super) fn largest(&self) -> u64 {
        self.largest
    }

    /// Takes the window of a segment unless a newer one was seen.
    pub(super) fn update(&mut self, position: u64, una: u64, window: u64) {
        let is_newer = (position, una) >= self.from || una > self.from.1;
        if is_newer {
            self.from = (position, una);
            self.edge = una + window;
            self.largest = self.largest.max(window);
        }
    }
}
