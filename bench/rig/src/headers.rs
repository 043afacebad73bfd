//! What the rig reads of a packet: addresses, and where its data lies in the sequence of a flow.

use std::net::{Ipv4Addr, SocketAddrV4};

/// A TCP segment in an IPv4 packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    /// Sequence number of the first byte of data.
    pub(crate) data_starts: u32,
    pub(crate) data_bytes: u32,
}

/// `None` for everything but TCP in IPv4, which is all that the rig lets pass.
pub(crate) fn parse(packet: &[u8]) -> Option<Segment> {
    let (internet, transport) = split(packet)?;
    if *internet.get(9)? != PROTOCOL_TCP {
        return None;
    }
    let header_bytes = usize::from(transport.get(12)? >> 4) * 4;
    let data = transport.get(header_bytes..)?;
    let is_syn = transport.get(13)? & FLAG_SYN != 0;
    Some(Segment {
        source: SocketAddrV4::new(address(internet, 12)?, short(transport, 0)?),
        destination: SocketAddrV4::new(address(internet, 16)?, short(transport, 2)?),
        data_starts: long(transport, 4)?.wrapping_add(u32::from(is_syn)),
        data_bytes: u32::try_from(data.len()).ok()?,
    })
}

/// The IPv4 header, and what is behind it.
fn split(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = *packet.first()?;
    let total = usize::from(short(packet, 2)?);
    (first >> 4 == 4).then(|| packet.get(..total)?.split_at_checked(usize::from(first & 15) * 4))?
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    long(bytes, at).map(Ipv4Addr::from_bits)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

const PROTOCOL_TCP: u8 = 6;
const FLAG_SYN: u8 = 2;
