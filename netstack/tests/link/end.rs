//! What the simulation wants of an engine.

use std::time::Instant;

/// One end of one flow, with the application on it: one that writes whatever there is room for, or
/// one that reads whatever there is.
pub(crate) trait End: Sized {
    /// The end that opens the flow and sends, and the end that accepts and receives.
    fn pair(seed: u64, now: Instant) -> (Self, Self);

    fn handle_packet(&mut self, packet: &[u8], now: Instant);

    fn handle_timeout(&mut self, now: Instant);

    /// Lets the application work; gives how many bytes it has read.
    fn work(&mut self) -> u64;

    fn poll_transmit(&mut self, buffer: &mut [u8], now: Instant) -> Option<usize>;

    fn poll_timeout(&mut self, now: Instant) -> Option<Instant>;
}

/// Largest packet.
pub(crate) const MTU_BYTES: usize = 1_280;

/// Headers of IPv4 and TCP without options.
pub(crate) const HEADER_BYTES: usize = 40;
