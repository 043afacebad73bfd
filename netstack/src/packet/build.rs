//! Packets that no connection makes: UDP, RST and ACK without a flow, ICMP errors and echo replies.
//!
//! Every function fills a buffer and gives the length of the packet, or `None` when the addresses
//! are of two families or the buffer is too short. Checksums are always made.
//!
//! Source: RFC 768, RFC 9293 §3.10.7.1, RFC 792, RFC 4443 §3.1.

use std::net::{IpAddr, SocketAddr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4Packet, Icmpv6Packet, IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
    UDP_HEADER_LEN, UdpPacket, UdpRepr,
};

use crate::limits::QUOTE_BYTES_MAX;
use crate::packet::Segment;
use crate::types::Unreachable;

/// Room that any packet of [`reset`], [`acknowledgment`] or [`unreachable()`] fits into.
pub(crate) const CONTROL_BYTES_MAX: usize = 40 + ICMP_HEADER_BYTES + QUOTE_BYTES_MAX;

const ICMP_HEADER_BYTES: usize = 8;
const HOP_LIMIT: u8 = 64;

/// IP and UDP headers around `payload`.
pub(crate) fn udp(
    source: SocketAddr,
    destination: SocketAddr,
    payload: &[u8],
    buffer: &mut [u8],
) -> Option<usize> {
    let udp_bytes = UDP_HEADER_LEN + payload.len();
    let (length, body) = ip(source.ip(), destination.ip(), IpProtocol::Udp, udp_bytes, buffer)?;
    let repr = UdpRepr { src_port: source.port(), dst_port: destination.port() };
    repr.emit(
        &mut UdpPacket::new_unchecked(body),
        &source.ip().into(),
        &destination.ip().into(),
        payload.len(),
        |slot| slot.copy_from_slice(payload),
        &ChecksumCapabilities::default(),
    );
    Some(length)
}

/// The RST that answers `segment`, which went from `source` to `destination`.
pub(crate) fn reset(
    source: SocketAddr,
    destination: SocketAddr,
    segment: &Segment,
    buffer: &mut [u8],
) -> Option<usize> {
    // RFC 9293 §3.10.7.1: an ACK gives the sequence number; without one it is zero, and the RST
    // acknowledges everything that the segment held.
    let (sequence, acknowledgment) = match segment.acknowledgment {
        Some(acknowledgment) => (acknowledgment, None),
        None => (0, Some(segment.sequence_end())),
    };
    bare_segment(destination, source, TcpControl::Rst, (sequence, acknowledgment, 0), buffer)
}

/// An ACK without data from `source` to `destination`: sequence, acknowledgment, window.
pub(crate) fn acknowledgment(
    source: SocketAddr,
    destination: SocketAddr,
    (sequence, acknowledgment, window): (u32, u32, u16),
    buffer: &mut [u8],
) -> Option<usize> {
    let fields = (sequence, Some(acknowledgment), window);
    bare_segment(source, destination, TcpControl::None, fields, buffer)
}

/// The ICMP error that tells the sender of `offending` that it was not delivered.
pub(crate) fn unreachable(
    source: IpAddr,
    destination: IpAddr,
    kind: Unreachable,
    offending: &[u8],
    buffer: &mut [u8],
) -> Option<usize> {
    let quote = offending.get(..QUOTE_BYTES_MAX).unwrap_or(offending);
    let (kind, code) = unreachable_code(source, kind);
    icmp(source, destination, [kind, code], quote, buffer)
}

/// The reply to an echo request; `rest` is its message behind type, code and checksum.
pub(crate) fn echo_reply(
    source: IpAddr,
    destination: IpAddr,
    rest: &[u8],
    buffer: &mut [u8],
) -> Option<usize> {
    let kind = if source.is_ipv4() { ICMPV4_ECHO_REPLY } else { ICMPV6_ECHO_REPLY };
    let (identifier, data) = rest.split_first_chunk::<4>()?;
    let message_bytes = ICMP_HEADER_BYTES + data.len();
    icmp_with(source, destination, [kind, 0], message_bytes, buffer, |message| {
        message.get_mut(4..8)?.copy_from_slice(identifier);
        message.get_mut(8..)?.copy_from_slice(data);
        Some(())
    })
}

/// What an unreachable message of type 3 (ICMP) or 1 (ICMPv6) means.
pub(crate) fn unreachable_kind(code: u8, is_ipv4: bool) -> Unreachable {
    match (is_ipv4, code) {
        (true, 1) | (false, 3) => Unreachable::Host,
        (true, 3) | (false, 4) => Unreachable::Port,
        (true, 9 | 10 | 13) | (false, 1 | 5 | 6) => Unreachable::Prohibited,
        _ => Unreachable::Network,
    }
}

pub(crate) const ICMPV4_ECHO_REQUEST: u8 = 8;
pub(crate) const ICMPV6_ECHO_REQUEST: u8 = 128;
pub(crate) const ICMPV4_UNREACHABLE: u8 = 3;
pub(crate) const ICMPV6_UNREACHABLE: u8 = 1;
/// A code of [`ICMPV4_UNREACHABLE`]: fragmentation needed.
pub(crate) const ICMPV4_TOO_BIG: u8 = 4;
pub(crate) const ICMPV6_TOO_BIG: u8 = 2;
const ICMPV4_ECHO_REPLY: u8 = 0;
const ICMPV6_ECHO_REPLY: u8 = 129;

fn unreachable_code(source: IpAddr, kind: Unreachable) -> (u8, u8) {
    match (source.is_ipv4(), kind) {
        (true, Unreachable::Network) => (ICMPV4_UNREACHABLE, 0),
        (true, Unreachable::Host) => (ICMPV4_UNREACHABLE, 1),
        (true, Unreachable::Port) => (ICMPV4_UNREACHABLE, 3),
        (true, Unreachable::Prohibited) => (ICMPV4_UNREACHABLE, 13),
        (false, Unreachable::Network) => (ICMPV6_UNREACHABLE, 0),
        (false, Unreachable::Host) => (ICMPV6_UNREACHABLE, 3),
        (false, Unreachable::Port) => (ICMPV6_UNREACHABLE, 4),
        (false, Unreachable::Prohibited) => (ICMPV6_UNREACHABLE, 1),
    }
}

/// Writes the IP header, and gives the packet's length and the room behind the header.
pub(crate) fn ip(
    source: IpAddr,
    destination: IpAddr,
    protocol: IpProtocol,
    payload_bytes: usize,
    buffer: &mut [u8],
) -> Option<(usize, &mut [u8])> {
    if source.is_ipv4() != destination.is_ipv4() {
        return None;
    }
    let repr = IpRepr::new(source.into(), destination.into(), protocol, payload_bytes, HOP_LIMIT);
    let length = repr.buffer_len();
    // IPv4 counts its header in (RFC 791 §3.1), IPv6 does not (RFC 8200 §3).
    let counted = if source.is_ipv4() { length } else { payload_bytes };
    if counted > usize::from(u16::MAX) {
        return None;
    }
    let packet = buffer.get_mut(..length)?;
    repr.emit(&mut *packet, &ChecksumCapabilities::default());
    Some((length, packet.get_mut(repr.header_len()..)?))
}

fn bare_segment(
    source: SocketAddr,
    destination: SocketAddr,
    control: TcpControl,
    (sequence, acknowledgment, window): (u32, Option<u32>, u16),
    buffer: &mut [u8],
) -> Option<usize> {
    let repr = TcpRepr {
        src_port: source.port(),
        dst_port: destination.port(),
        control,
        seq_number: TcpSeqNumber(sequence.cast_signed()),
        ack_number: acknowledgment.map(|number| TcpSeqNumber(number.cast_signed())),
        window_len: window,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let (length, body) =
        ip(source.ip(), destination.ip(), IpProtocol::Tcp, repr.buffer_len(), buffer)?;
    repr.emit(
        &mut TcpPacket::new_unchecked(body),
        &source.ip().into(),
        &destination.ip().into(),
        &ChecksumCapabilities::default(),
    );
    Some(length)
}

fn icmp(
    source: IpAddr,
    destination: IpAddr,
    kind_and_code: [u8; 2],
    data: &[u8],
    buffer: &mut [u8],
) -> Option<usize> {
    let message_bytes = ICMP_HEADER_BYTES + data.len();
    icmp_with(source, destination, kind_and_code, message_bytes, buffer, |message| {
        message.get_mut(4..8)?.fill(0);
        message.get_mut(8..)?.copy_from_slice(data);
        Some(())
    })
}

fn icmp_with(
    source: IpAddr,
    destination: IpAddr,
    kind_and_code: [u8; 2],
    message_bytes: usize,
    buffer: &mut [u8],
    fill: impl FnOnce(&mut [u8]) -> Option<()>,
) -> Option<usize> {
    let protocol = if source.is_ipv4() { IpProtocol::Icmp } else { IpProtocol::Icmpv6 };
    let (length, message) = ip(source, destination, protocol, message_bytes, buffer)?;
    message.get_mut(..2)?.copy_from_slice(&kind_and_code);
    fill(message)?;
    match (source, destination) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Icmpv6Packet::new_unchecked(message).fill_checksum(&source, &destination);
        }
        _ => Icmpv4Packet::new_unchecked(message).fill_checksum(),
    }
    Some(length)
}
