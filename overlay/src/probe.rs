//! Probes of a path, inside a tunnel: does it carry a datagram of this length, or several in one send? Here is how two of our own nodes ask
//! each other; nodes that are kernels are asked by [`echo`].
//!
//! A probe is an IPv6 packet of its own, so that every WireGuard implementation lets it through its checks. It is authenticated by the
//! tunnel as every packet is, and its answer is never longer than itself.
//!
//! | bytes | are |
//! |---|---|
//! | 0..40 | an IPv6 header: next header 253 (RFC 3692 §2.1), hop limit 1, source and destination `fe80::b07e` |
//! | 40 | 0 for a probe, 1 for an answer |
//! | 41 | which probe of its round |
//! | 42..44 | zero |
//! | 44..48 | the number of the round, big-endian |
//! | 48.. | zeros, up to the length that is tried |

mod echo;

/// A probe, or the answer to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) is_answer: bool,
    pub(crate) round: u32,
    pub(crate) part: u8,
}

impl Probe {
    /// Reads a packet that came out of a tunnel. `None` for every other packet.
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        if packet.get(6) != Some(&EXPERIMENT) {
            return None;
        }
        let (header, rest) = packet.split_first_chunk::<HEADER_BYTES>()?;
        let (&[kind, part, 0, 0, r0, r1, r2, r3], _) = rest.split_first_chunk::<8>()? else {
            return None;
        };
        let is_ours = *header == header_of(rest.len()) && kind <= 1;
        let round = u32::from_be_bytes([r0, r1, r2, r3]);
        is_ours.then_some(Self { is_answer: kind == 1, round, part })
    }

    /// The packet, of `packet_bytes` if that is not too short.
    pub(crate) fn encode(self, packet_bytes: usize) -> Vec<u8> {
        let mut packet = vec![0; packet_bytes.max(PROBE_BYTES_MIN)];
        let payload_bytes = packet.len() - HEADER_BYTES;
        let [r0, r1, r2, r3] = self.round.to_be_bytes();
        let body = [u8::from(self.is_answer), self.part, 0, 0, r0, r1, r2, r3];
        for (byte, value) in packet.iter_mut().zip(header_of(payload_bytes).into_iter().chain(body))
        {
            *byte = value;
        }
        packet
    }
}

fn header_of(payload_bytes: usize) -> [u8; HEADER_BYTES] {
    let [high, low] = u16::try_from(payload_bytes).unwrap_or(u16::MAX).to_be_bytes();
    let mut header = [0; HEADER_BYTES];
    let fixed = [0x60, 0, 0, 0, high, low, EXPERIMENT, 1];
    for (byte, value) in header.iter_mut().zip(fixed.into_iter().chain(NODE).chain(NODE)) {
        *byte = value;
    }
    header
}

/// Length of an answer, and of the shortest probe.
pub(crate) const PROBE_BYTES_MIN: usize = HEADER_BYTES + 8;
const HEADER_BYTES: usize = 40;
const EXPERIMENT: u8 = 253;
/// `fe80::b07e`: an address that never leaves its link, as this packet never leaves its tunnel.
const NODE: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xb0, 0x7e];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_read_as_it_was_written_and_nothing_else_is_one() {
        for (is_answer, packet_bytes) in [(false, 1_280), (true, 0)] {
            let probe = Probe { is_answer, round: 0x0102_0304, part: 5 };
            let packet = probe.encode(packet_bytes);
            assert_eq!(packet.len(), packet_bytes.max(PROBE_BYTES_MIN));
            assert_eq!(Probe::parse(&packet), Some(probe));
            for cut in 0..PROBE_BYTES_MIN {
                assert_eq!(Probe::parse(&packet[..cut]), None);
            }
            for byte in (0..44).filter(|byte| *byte != 41) {
                let mut other = packet.clone();
                other[byte] ^= 0x40;
                assert_eq!(Probe::parse(&other), None, "byte {byte}");
            }
        }
    }
}
