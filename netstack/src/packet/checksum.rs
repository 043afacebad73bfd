//! The checksum of a segment, in the widest steps that a compiler makes of plain code.
//!
//! A sum of 16-bit words may be made in any order, in any byte order, and folded at the end (RFC 1071 §2).

use std::net::IpAddr;

use smoltcp::wire::IpProtocol;

/// The checksum field of `segment`, in which that field is still zero, between two addresses of one family.
pub(crate) fn checksum(source: IpAddr, destination: IpAddr, segment: &[u8]) -> u16 {
    let length = u64::try_from(segment.len()).unwrap_or(0);
    let protocol = u64::from(u8::from(IpProtocol::Tcp));
    // Both stand in the pseudo-header as big-endian numbers; the sum is of little-endian words.
    let numbers = u64::from(fold(length + protocol).swap_bytes());
    !fold(numbers + address(source) + address(destination) + sum(segment)).swap_bytes()
}

/// Whether the checksum in `segment` is right: the sum over all of it comes out as zero.
pub(crate) fn verifies(source: IpAddr, destination: IpAddr, segment: &[u8]) -> bool {
    checksum(source, destination, segment) == 0
}

fn address(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => sum(&address.octets()),
        IpAddr::V6(address) => sum(&address.octets()),
    }
}

/// The little-endian words of `bytes`, an odd byte filled up with zero. Lanes hold the words of 128 KiB without overflow.
fn sum(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<{ 2 * LANES }>();
    let mut lanes = [0_u32; LANES];
    for block in blocks {
        let (words, _) = block.as_chunks();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = lane.wrapping_add(u32::from(u16::from_le_bytes(*word)));
        }
    }
    let (words, odd) = rest.as_chunks();
    let words = words.iter().map(|word| u64::from(u16::from_le_bytes(*word)));
    let odd = odd.first().map_or(0, |byte| u64::from(*byte));
    lanes.into_iter().map(u64::from).sum::<u64>() + words.sum::<u64>() + odd
}

/// Adds the carries in.
fn fold(sum: u64) -> u16 {
    let mut sum = sum;
    while sum > u64::from(u16::MAX) {
        sum = (sum & u64::from(u16::MAX)) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(0)
}

/// Words that are added at once.
const LANES: usize = 16;

#[cfg(test)]
mod tests {
    use smoltcp::wire::TcpPacket;

    use super::*;

    #[test]
    fn it_is_what_smoltcp_verifies() {
        let ends: [(IpAddr, IpAddr); 2] = [
            ("192.0.2.7".parse().unwrap(), "255.255.255.254".parse().unwrap()),
            ("2001:db8::7".parse().unwrap(), "fd00:ffff::1".parse().unwrap()),
        ];
        for (source, destination) in ends {
            for length in [20, 21, 51, 52, 53, 83, 84, 1_259, 1_280, 65_495] {
                for fill in [0, 0x5a, 0xff] {
                    let mut segment = vec![fill; length];
                    segment.iter_mut().step_by(7).for_each(|byte| *byte ^= 0x31);
                    let mut tcp = TcpPacket::new_unchecked(&mut segment[..]);
                    tcp.set_checksum(0);
                    let made = checksum(source, destination, tcp.into_inner());
                    let mut tcp = TcpPacket::new_unchecked(&mut segment[..]);
                    tcp.set_checksum(made);
                    assert!(tcp.verify_checksum(&source.into(), &destination.into()), "{length}");
                    assert!(verifies(source, destination, &segment), "{length}");
                    segment[length / 2] ^= 4;
                    assert!(!verifies(source, destination, &segment), "{length}");
                }
            }
        }
    }
}
