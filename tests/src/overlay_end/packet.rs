//! IP packets made by hand, for what no honest stack would send.

use std::net::{IpAddr, SocketAddr};

/// A TCP segment.
#[derive(Debug, Clone)]
pub struct Segment<'a> {
    /// Who claims to send it.
    pub source: SocketAddr,
    /// Where it goes.
    pub destination: SocketAddr,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number; whether it counts says the ACK flag.
    pub acknowledgment: u32,
    /// FIN, SYN, RST, PSH, ACK, URG, ECE, CWR from the lowest bit.
    pub flags: u8,
    /// Window, unscaled.
    pub window: u16,
    /// Options; padded with zeros to a multiple of four.
    pub options: &'a [u8],
    /// Data.
    pub payload: &'a [u8],
}

/// No more data.
pub const FIN: u8 = 1;
/// Opens.
pub const SYN: u8 = 2;
/// Breaks off.
pub const RST: u8 = 4;
/// The acknowledgment counts.
pub const ACK: u8 = 16;

impl Segment<'_> {
    /// A call.
    pub fn syn(source: SocketAddr, destination: SocketAddr) -> Self {
        Self {
            source,
            destination,
            sequence: 1_000,
            acknowledgment: 0,
            flags: SYN,
            window: u16::MAX,
            options: &[],
            payload: &[],
        }
    }

    /// The whole packet.
    pub fn packet(&self) -> Vec<u8> {
        let options_bytes = self.options.len().next_multiple_of(4);
        let words = u8::try_from(5 + options_bytes / 4).expect("at most 40 bytes of options");
        let mut bytes = Vec::new();
        bytes.extend(self.source.port().to_be_bytes());
        bytes.extend(self.destination.port().to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.acknowledgment.to_be_bytes());
        bytes.extend([words << 4, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.options);
        bytes.resize(20 + options_bytes, 0);
        bytes.extend(self.payload);
        let (source, destination) = (self.source.ip(), self.destination.ip());
        let sum = checksum(source, destination, TCP, &bytes);
        bytes.splice(16..18, sum.to_be_bytes());
        ip(source, destination, TCP, &bytes)
    }
}

/// A UDP datagram.
pub fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("at most 65,527 bytes");
    let ports = [source.port(), destination.port()];
    let mut bytes: Vec<u8> = ports.iter().flat_map(|port| port.to_be_bytes()).collect();
    bytes.extend(length.to_be_bytes());
    bytes.extend([0; 2]);
    bytes.extend(payload);
    let sum = checksum(source.ip(), destination.ip(), UDP, &bytes);
    bytes.splice(6..8, sum.to_be_bytes());
    ip(source.ip(), destination.ip(), UDP, &bytes)
}

/// An ICMP or ICMPv6 echo request.
pub fn ping(source: IpAddr, destination: IpAddr) -> Vec<u8> {
    let (kind, protocol) = if source.is_ipv4() { (8, ICMP) } else { (128, ICMP_V6) };
    icmp(source, destination, &[kind, 0, 0, 0, 0, 1, 0, 1], protocol)
}

/// The ICMP or ICMPv6 message that says of `original` that its port is not reachable.
pub fn unreachable(source: IpAddr, destination: IpAddr, original: &[u8]) -> Vec<u8> {
    let (head, protocol) = if source.is_ipv4() { ([3, 3], ICMP) } else { ([1, 4], ICMP_V6) };
    let message = [&head[..], &[0; 6], original].concat();
    icmp(source, destination, &message, protocol)
}

fn icmp(source: IpAddr, destination: IpAddr, message: &[u8], protocol: u8) -> Vec<u8> {
    let mut message = message.to_vec();
    let sum = match source {
        IpAddr::V4(_) => fold(words(&message)),
        IpAddr::V6(_) => checksum(source, destination, protocol, &message),
    };
    message.splice(2..4, sum.to_be_bytes());
    ip(source, destination, protocol, &message)
}

/// One fragment of an IPv4 or IPv6 packet: what the header says of it, `offset` in bytes.
pub fn fragment(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    (offset, more): (u16, bool),
    payload: &[u8],
) -> Vec<u8> {
    if source.is_ipv4() {
        let mut packet = ip(source, destination, protocol, payload);
        let field = (offset / 8) | if more { 0x2000 } else { 0 };
        packet.splice(4..8, [&[0, 7][..], &field.to_be_bytes()].concat());
        return with_header_checksum(packet);
    }
    let field = offset | u16::from(more);
    let header = [&[protocol, 0][..], &field.to_be_bytes(), &[0, 0, 0, 7]].concat();
    ip(source, destination, FRAGMENT, &[&header, payload].concat())
}

/// An IP header in front of `payload`.
///
/// # Panics
/// When the addresses are of two families, or the payload too long.
pub fn ip(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let total = u16::try_from(20 + payload.len()).expect("at most 65,535 bytes");
            let [high, low] = total.to_be_bytes();
            let head = [0x45, 0, high, low, 0, 1, 0, 0, 64, protocol, 0, 0];
            let parts = [&head[..], &source.octets(), &destination.octets(), payload];
            with_header_checksum(parts.concat())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let length = u16::try_from(payload.len()).expect("at most 65,535 bytes");
            let [high, low] = length.to_be_bytes();
            let head = [0x60, 0, 0, 0, high, low, protocol, 64];
            [&head[..], &source.octets(), &destination.octets(), payload].concat()
        }
        _ => panic!("{source} and {destination} are of two families"),
    }
}

/// Ports of a TCP or UDP packet without options or extension headers, and the byte of its TCP flags.
pub fn ports_and_flags(packet: &[u8]) -> Option<(u16, u16, u8)> {
    let body = packet.get(if packet.first()? >> 4 == 4 { 20 } else { 40 }..)?;
    let &[s0, s1, d0, d1, ..] = body.first_chunk::<4>()?;
    let flags = body.get(13).copied().unwrap_or_default();
    Some((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]), flags))
}

fn with_header_checksum(mut packet: Vec<u8>) -> Vec<u8> {
    packet.splice(10..12, [0, 0]);
    let sum = fold(words(packet.get(..20).unwrap_or_default()));
    packet.splice(10..12, sum.to_be_bytes());
    packet
}

/// RFC 793 and RFC 8200: over a pseudo header and the message.
fn checksum(source: IpAddr, destination: IpAddr, protocol: u8, message: &[u8]) -> u16 {
    let octets = |ip| match ip {
        IpAddr::V4(v4) => std::net::Ipv4Addr::octets(&v4).to_vec(),
        IpAddr::V6(v6) => std::net::Ipv6Addr::octets(&v6).to_vec(),
    };
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let sum = words(&octets(source)) + words(&octets(destination)) + words(message);
    fold(sum + u32::from(protocol) + length)
}

fn words(bytes: &[u8]) -> u32 {
    let pairs = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u16::from_be_bytes([high, low]),
        [high] => u16::from_be_bytes([high, 0]),
        _ => 0,
    });
    pairs.map(u32::from).sum()
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP_V6: u8 = 58;
const FRAGMENT: u8 = 44;
