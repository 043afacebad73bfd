//! What a UDP datagram is, by its first bytes.
//!
//! | first bytes | are |
//! |---|---|
//! | 0x2112A442 at 4..8, two zero bits in front | STUN (RFC 8489 §5), looked for first |
//! | 1..=4, 0, 0, 0 | WireGuard |
//! | 0xB0 | disco |
//! | 0xB1 | relay data |
//! | 0xB2 | relay control |
//! | bit 0x40 set | QUIC (RFC 9000 §17, fixed bit) |
//!
//! Only the kind is decided here; lengths are the reader's to check. The receiver index that would look like STUN's cookie is never
//! given out (see `slots`).

/// What a datagram claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// RFC 8489.
    Stun,
    /// WireGuard, any of its four messages.
    WireGuard,
    /// Path discovery between nodes.
    Disco,
    /// A datagram that a relay forwards.
    RelayData,
    /// RESET, WHO, IAM.
    RelayControl,
    /// RFC 9000.
    Quic,
    /// None of these.
    Unknown,
}

/// What `datagram` claims to be.
pub fn classify(datagram: &[u8]) -> Kind {
    match datagram {
        [0..=0x3F, _, _, _, 0x21, 0x12, 0xA4, 0x42, ..] => Kind::Stun,
        [1..=4, 0, 0, 0, ..] => Kind::WireGuard,
        [0xB0, ..] => Kind::Disco,
        [0xB1, ..] => Kind::RelayData,
        [0xB2, ..] => Kind::RelayControl,
        [first, ..] if first & 0x40 != 0 => Kind::Quic,
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_told_apart_by_their_first_bytes() {
        for (datagram, kind) in [
            (&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], Kind::Stun),
            (&[4, 0, 0, 0, 0x21, 0x12, 0xA4, 0x42], Kind::Stun),
            (&[1, 0, 0, 0], Kind::WireGuard),
            (&[4, 0, 0, 0, 1, 2, 3, 4], Kind::WireGuard),
            (&[5, 0, 0, 0], Kind::Unknown),
            (&[4, 0, 0, 1], Kind::Unknown),
            (&[4, 0, 0], Kind::Unknown),
            (&[0xB0], Kind::Disco),
            (&[0xB1], Kind::RelayData),
            (&[0xB2], Kind::RelayControl),
            (&[0x40], Kind::Quic),
            (&[0xC3], Kind::Quic),
            (&[0x80], Kind::Unknown),
            (&[], Kind::Unknown),
        ] {
            assert_eq!(classify(datagram), kind, "{datagram:x?}");
        }
    }
}
