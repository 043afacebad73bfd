//! IP fragments of UDP datagrams: what one says of itself, and how a packet is cut into them.
//!
//! | bytes of the IPv6 header | are |
//! |---|---|
//! | 0 | protocol of the whole packet |
//! | 1 | reserved |
//! | 2–3 | offset in units of 8 bytes (13 bits), reserved (2), more fragments (1) |
//! | 4–7 | identification |
//!
//! Source: RFC 791 §2.3 and §3.1, RFC 8200 §4.5.

use smoltcp::wire::{
    IPV4_HEADER_LEN, IPV6_HEADER_LEN, IpProtocol, Ipv4Packet, Ipv6FragmentHeader, Ipv6Packet,
};

use super::Malformed;

/// Where a fragment belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FragmentHeader {
    pub(crate) identification: u32,
    /// In bytes, from the first byte behind the IP header of the whole packet.
    pub(crate) offset: u16,
    pub(crate) is_last: bool,
}

/// Reads the header at the start of `bytes`: the protocol of the whole packet, and this piece of it.
pub(super) fn read_ipv6(
    bytes: &[u8],
) -> Result<(IpProtocol, &[u8], Option<FragmentHeader>), Malformed> {
    let ([next, _reserved, header @ ..], payload) =
        bytes.split_first_chunk::<IPV6_FRAGMENT_HEADER_BYTES>().ok_or(Malformed)?;
    let header = Ipv6FragmentHeader::new_unchecked(header.as_slice());
    let header = FragmentHeader {
        identification: header.ident(),
        offset: header.frag_offset() * UNIT_BYTES,
        is_last: !header.more_frags(),
    };
    Ok((IpProtocol::from(*next), payload, Some(header)))
}

/// A packet that is longer than its tunnel's MTU, as fragments that are not.
#[derive(Debug)]
pub struct Fragments<'p> {
    header: &'p [u8],
    payload: &'p [u8],
    /// Of the next fragment.
    offset: usize,
    /// Payload of each fragment but the last.
    step: usize,
    identification: u32,
}

impl<'p> Fragments<'p> {
    /// Of a whole packet that was built here: it has no IP options and no extension headers. `None` when it needs no cutting.
    pub(crate) fn new(packet: &'p [u8], mtu: usize, identification: u32) -> Option<Self> {
        if packet.len() <= mtu {
            return None;
        }
        let header_bytes = match packet.first()? >> 4 {
            4 => IPV4_HEADER_LEN,
            _ => IPV6_HEADER_LEN,
        };
        let (header, payload) = packet.split_at_checked(header_bytes)?;
        let added = if header_bytes == IPV4_HEADER_LEN { 0 } else { IPV6_FRAGMENT_HEADER_BYTES };
        let step = mtu.checked_sub(header_bytes + added)? / UNIT * UNIT;
        (step > 0).then_some(Self { header, payload, offset: 0, step, identification })
    }

    /// Writes the next fragment into `buffer` and returns its length; `None` behind the last one, or when `buffer` is shorter than the MTU.
    pub fn write_next(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let left = self.payload.get(self.offset..).filter(|left| !left.is_empty())?;
        let piece = left.get(..self.step).unwrap_or(left);
        let fragment = FragmentHeader {
            identification: self.identification,
            offset: u16::try_from(self.offset).ok()?,
            is_last: piece.len() == left.len(),
        };
        let length = match self.header.len() {
            IPV4_HEADER_LEN => write_ipv4(self.header, piece, fragment, buffer)?,
            _ => write_ipv6(self.header, piece, fragment, buffer)?,
        };
        self.offset += piece.len();
        Some(length)
    }
}

fn write_ipv4(
    header: &[u8],
    piece: &[u8],
    fragment: FragmentHeader,
    buffer: &mut [u8],
) -> Option<usize> {
    let length = header.len() + piece.len();
    let bytes = buffer.get_mut(..length)?;
    let (room, payload) = bytes.split_at_mut_checked(header.len())?;
    room.copy_from_slice(header);
    payload.copy_from_slice(piece);
    let mut packet = Ipv4Packet::new_unchecked(bytes);
    packet.set_total_len(u16::try_from(length).ok()?);
    // The field has 16 bits; the checksum of the datagram tells mixed ones (RFC 4963 §4).
    let [_, _, high, low] = fragment.identification.to_be_bytes();
    packet.set_ident(u16::from_be_bytes([high, low]));
    packet.set_dont_frag(false);
    packet.set_more_frags(!fragment.is_last);
    packet.set_frag_offset(fragment.offset);
    packet.fill_checksum();
    Some(length)
}

fn write_ipv6(
    header: &[u8],
    piece: &[u8],
    fragment: FragmentHeader,
    buffer: &mut [u8],
) -> Option<usize> {
    let payload_bytes = IPV6_FRAGMENT_HEADER_BYTES + piece.len();
    let length = header.len() + payload_bytes;
    let bytes = buffer.get_mut(..length)?;
    bytes.get_mut(..header.len())?.copy_from_slice(header);
    let mut packet = Ipv6Packet::new_unchecked(&mut *bytes);
    let protocol = packet.next_header();
    packet.set_next_header(IpProtocol::Ipv6Frag);
    packet.set_payload_len(u16::try_from(payload_bytes).ok()?);
    let ([next, reserved, extension @ ..], payload) =
        bytes.get_mut(header.len()..)?.split_first_chunk_mut::<IPV6_FRAGMENT_HEADER_BYTES>()?;
    *next = protocol.into();
    *reserved = 0;
    let mut extension = Ipv6FragmentHeader::new_unchecked(extension.as_mut_slice());
    extension.clear_reserved();
    extension.set_frag_offset(fragment.offset / UNIT_BYTES);
    extension.set_more_frags(!fragment.is_last);
    extension.set_ident(fragment.identification);
    payload.copy_from_slice(piece);
    Some(length)
}

const IPV6_FRAGMENT_HEADER_BYTES: usize = 8;
/// Offsets count these.
pub(crate) const UNIT: usize = 8;
const UNIT_BYTES: u16 = 8;
