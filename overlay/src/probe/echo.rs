//! Probes of the path to a node that is a kernel and not one of our own: echo requests, which any host answers with the bytes that it was
//! sent (RFC 1122 §3.2.2.6). One that does not is not probed, and loses nothing but length.
//!
//! | bytes | are |
//! |---|---|
//! | 0..20 | an IPv4 header without options: from the relay's overlay address to the node's, not to be fragmented |
//! | 20..24 | type (8, in the answer 0), code, checksum (RFC 792) |
//! | 24..28 | identifier 0xB07E, sequence number 0 |
//! | 28..33 | the number of the round, big-endian; which probe of it |
//! | 33.. | zeros, up to the length that is tried |

use std::net::Ipv4Addr;

use super::{PROBE_BYTES_MIN, Probe};
use crate::address::RELAY_V4;

impl Probe {
    /// The request, of `packet_bytes` if that is not too short.
    pub(crate) fn encode_echo(self, node: Ipv4Addr, packet_bytes: usize) -> Vec<u8> {
        let length = packet_bytes.max(PROBE_BYTES_MIN);
        let ip = with_checksum(header_of(length, node), 10);
        let message = with_checksum(self.message(), 2);
        let mut packet = vec![0; length];
        for (byte, value) in packet.iter_mut().zip(ip.into_iter().chain(message)) {
            *byte = value;
        }
        packet
    }

    /// Reads a packet that came out of the tunnel of `node`. `None` for every packet that is no answer to a probe.
    pub(crate) fn parse_echo(packet: &[u8], node: Ipv4Addr) -> Option<Self> {
        let ([0x45, .., s0, s1, s2, s3, d0, d1, d2, d3], message) =
            packet.split_first_chunk::<IPV4_HEADER_BYTES>()?
        else {
            return None;
        };
        let ends = (Ipv4Addr::new(*s0, *s1, *s2, *s3), Ipv4Addr::new(*d0, *d1, *d2, *d3));
        let is_icmp = packet.get(9) == Some(&ICMP);
        let ([ECHO_REPLY, 0, _, _, rest @ ..], _) = message.split_first_chunk::<MESSAGE_BYTES>()?
        else {
            return None;
        };
        let [i0, i1, 0, 0, r0, r1, r2, r3, part] = *rest else { return None };
        let is_ours = is_icmp && ends == (node, RELAY_V4) && [i0, i1] == IDENTIFIER;
        let round = u32::from_be_bytes([r0, r1, r2, r3]);
        is_ours.then_some(Self { is_answer: true, round, part })
    }

    fn message(self) -> [u8; MESSAGE_BYTES] {
        let [i0, i1] = IDENTIFIER;
        let [r0, r1, r2, r3] = self.round.to_be_bytes();
        [ECHO_REQUEST, 0, 0, 0, i0, i1, 0, 0, r0, r1, r2, r3, self.part]
    }
}

fn header_of(length: usize, node: Ipv4Addr) -> [u8; IPV4_HEADER_BYTES] {
    let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    let ([s0, s1, s2, s3], [d0, d1, d2, d3]) = (RELAY_V4.octets(), node.octets());
    let (dont_fragment, time_to_live) = (0x40, 64);
    let fixed = [0x45, 0, high, low, 0, 0, dont_fragment, 0, time_to_live, ICMP, 0, 0];
    let mut header = [0; IPV4_HEADER_BYTES];
    for (byte, value) in
        header.iter_mut().zip(fixed.into_iter().chain([s0, s1, s2, s3, d0, d1, d2, d3]))
    {
        *byte = value;
    }
    header
}

/// The same with its checksum (RFC 1071) at `place`, where zeros are.
fn with_checksum<const N: usize>(mut bytes: [u8; N], place: usize) -> [u8; N] {
    let words = bytes.chunks(2).map(|word| match word {
        [high, low] => u16::from_be_bytes([*high, *low]),
        [high] => u16::from_be_bytes([*high, 0]),
        _ => 0,
    });
    let sum: u32 = words.map(u32::from).sum();
    let folded = (sum & 0xFFFF) + (sum >> 16);
    let folded = (folded & 0xFFFF) + (folded >> 16);
    let checksum = !u16::try_from(folded).unwrap_or(u16::MAX);
    if let Some(room) = bytes.get_mut(place..place + 2) {
        room.copy_from_slice(&checksum.to_be_bytes());
    }
    bytes
}

const IPV4_HEADER_BYTES: usize = 20;
const MESSAGE_BYTES: usize = 13;
const ICMP: u8 = 1;
const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;
const IDENTIFIER: [u8; 2] = [0xB0, 0x7E];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_comes_back_as_an_answer_and_nothing_else_is_one() {
        let probe = Probe { is_answer: false, round: 0x0102_0304, part: 5 };
        for packet_bytes in [0, 1_200, 1_280] {
            let request = probe.encode_echo(NODE, packet_bytes);
            assert_eq!(request.len(), packet_bytes.max(PROBE_BYTES_MIN));
            assert_eq!(Probe::parse_echo(&request, NODE), None, "a request is no answer");
            let answer = answered(&request);
            let expected = Probe { is_answer: true, ..probe };
            assert_eq!(Probe::parse_echo(&answer, NODE), Some(expected));
            assert_eq!(Probe::parse_echo(&answer, Ipv4Addr::new(100, 64, 0, 8)), None);
            for cut in 0..IPV4_HEADER_BYTES + MESSAGE_BYTES {
                assert_eq!(Probe::parse_echo(&answer[..cut], NODE), None);
            }
            for byte in [0, 9, 12, 15, 16, 19, 20, 21, 24, 25, 26, 27] {
                let mut other = answer.clone();
                other[byte] ^= 0x40;
                assert_eq!(Probe::parse_echo(&other, NODE), None, "byte {byte}");
            }
        }
    }

    #[test]
    fn both_checksums_hold() {
        let request = Probe { is_answer: false, round: 77, part: 6 }.encode_echo(NODE, 1_280);
        // What a checksum covers sums up to zero, negated (RFC 1071 §1).
        for covered in [&request[..20], &request[20..]] {
            let sum: u32 = covered
                .chunks(2)
                .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
                .sum();
            assert_eq!(sum % 0xFFFF, 0);
        }
    }

    /// As a host does: the ends are swapped, and the type is another.
    fn answered(request: &[u8]) -> Vec<u8> {
        let mut answer = request.to_vec();
        answer[12..16].copy_from_slice(&request[16..20]);
        answer[16..20].copy_from_slice(&request[12..16]);
        answer[20] = ECHO_REPLY;
        answer
    }

    const NODE: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 9);
}
