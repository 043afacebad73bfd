//! Stream positions: sequence numbers that do not wrap.
//!
//! The SYN is position 0, the first byte 1, FIN the position after the last byte. Inside the engine everything is a `u64` position;
//! only the wire knows 32-bit sequence numbers (RFC 9293 §3.4), which are read as the position nearest to what is expected.

/// The initial sequence number of one direction: what turns positions into sequence numbers and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin(pub(crate) u32);

impl Origin {
    /// The sequence number of `position`.
    pub(crate) fn number(self, position: u64) -> u32 {
        self.0.wrapping_add(low_half(position))
    }

    /// The position nearest to `expected` that `number` can mean; `None` when that is before the SYN.
    pub(crate) fn position(self, number: u32, expected: u64) -> Option<u64> {
        let distance = number.wrapping_sub(self.number(expected)).cast_signed();
        expected.checked_add_signed(i64::from(distance))
    }
}

/// The lower 32 bits.
fn low_half(position: u64) -> u32 {
    u32::try_from(position & u64::from(u32::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_survive_the_wrap() {
        let origin = Origin(u32::MAX - 5);
        for position in [0, 1, 6, 7, 1 << 31, (1 << 32) + 3, (7 << 32) - 1] {
            let number = origin.number(position);
            assert_eq!(origin.position(number, position), Some(position));
            assert_eq!(origin.position(number, position + 70_000), Some(position));
            assert_eq!(origin.position(number, position.saturating_sub(70_000)), Some(position));
        }
    }

    #[test]
    fn nothing_lies_before_the_syn() {
        assert_eq!(Origin(1000).position(999, 0), None);
    }
}
