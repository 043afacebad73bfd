//! What an inner packet says, read once and checked once.
//!
//! [`Packet::parse`] accepts exactly one IPv4 or IPv6 packet with unicast addresses: a whole one, or
//! a fragment of a UDP datagram. Other IPv6 extension headers are not spoken. Lengths are checked by the views of
//! `smoltcp::wire`; what is read here cannot fail later. Never builds packets: that is [`build`].
//!
//! Source: RFC 791, RFC 8200, RFC 9293 §3.1, RFC 768, RFC 792, RFC 4443.

pub(crate) mod build;
pub(crate) mod checksum;
pub(crate) mod fragment;
mod quote;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use smoltcp::wire::{
    Icmpv4Packet, Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket,
};

use fragment::{FragmentHeader, read_ipv6};
pub(crate) use quote::Quote;

/// One inner packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet<'p> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// Without what follows the IP packet's own length.
    pub(crate) bytes: &'p [u8],
    pub(crate) body: Body<'p>,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body<'p> {
    Tcp(Segment),
    Udp {
        source_port: u16,
        destination_port: u16,
        payload: &'p [u8],
    },
    Icmp {
        kind: u8,
        code: u8,
        message: &'p [u8],
    },
    /// A piece of a UDP datagram.
    Fragment {
        header: FragmentHeader,
        payload: &'p [u8],
    },
    Other,
}

/// The fields of a TCP header that the stack itself looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: Option<u32>,
    pub(crate) window: u16,
    pub(crate) syn: bool,
    pub(crate) fin: bool,
    pub(crate) reset: bool,
    /// ECE and CWR (RFC 3168 §6.1).
    pub(crate) echo_congestion: bool,
    pub(crate) window_reduced: bool,
    pub(crate) header_bytes: u8,
    pub(crate) payload_bytes: u32,
}

impl Segment {
    /// The first segment of a connection.
    pub(crate) fn opens(&self) -> bool {
        self.syn && self.acknowledgment.is_none()
    }

    /// The sequence number after this segment.
    pub(crate) fn sequence_end(&self) -> u32 {
        self.sequence
            .wrapping_add(self.payload_bytes)
            .wrapping_add(u32::from(self.syn))
            .wrapping_add(u32::from(self.fin))
    }

    /// Whether the receiver must answer: it takes up sequence space.
    pub(crate) fn elicits_answer(&self) -> bool {
        self.sequence_end() != self.sequence
    }

    /// The options of its header, in the packet that it was read from.
    pub(crate) fn options<'p>(&self, packet: &Packet<'p>) -> &'p [u8] {
        let length = usize::from(self.header_bytes).saturating_sub(TCP_HEADER_BYTES);
        let end = packet.bytes.len().saturating_sub(self.payload_bytes as usize);
        packet.bytes.get(end.saturating_sub(length)..end).unwrap_or_default()
    }

    /// Its payload, in the packet that it was read from.
    pub(crate) fn payload<'p>(&self, packet: &Packet<'p>) -> &'p [u8] {
        let start = packet.bytes.len().saturating_sub(self.payload_bytes as usize);
        packet.bytes.get(start..).unwrap_or_default()
    }

    fn parse(bytes: &[u8], ends: &Ends, verify: bool) -> Result<Self, Malformed> {
        let tcp = TcpPacket::new_checked(bytes).map_err(|_| Malformed)?;
        let control_count =
            [tcp.syn(), tcp.fin(), tcp.rst()].into_iter().filter(|set| *set).count();
        if tcp.src_port() == 0 || tcp.dst_port() == 0 || control_count > 1 {
            return Err(Malformed);
        }
        if verify && !checksum::verifies(ends.source, ends.destination, bytes) {
            return Err(Malformed);
        }
        Ok(Self {
            source_port: tcp.src_port(),
            destination_port: tcp.dst_port(),
            sequence: tcp.seq_number().0.cast_unsigned(),
            acknowledgment: tcp.ack().then(|| tcp.ack_number().0.cast_unsigned()),
            window: tcp.window_len(),
            syn: tcp.syn(),
            fin: tcp.fin(),
            reset: tcp.rst(),
            echo_congestion: tcp.ece(),
            window_reduced: tcp.cwr(),
            header_bytes: tcp.header_len(),
            payload_bytes: u32::try_from(tcp.payload().len()).map_err(|_| Malformed)?,
        })
    }
}

/// Not a packet that the stack can use. Counted, never explained: an attacker can cause one a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'p> Packet<'p> {
    /// Reads `bytes`; `verify` also checks every checksum.
    pub(crate) fn parse(bytes: &'p [u8], verify: bool) -> Result<Self, Malformed> {
        let version = bytes.first().ok_or(Malformed)? >> 4;
        let (ends, protocol, whole, payload, fragment) = match version {
            4 => parse_ipv4(bytes, verify)?,
            6 => parse_ipv6(bytes)?,
            _ => return Err(Malformed),
        };
        if !is_host(ends.source) || !is_host(ends.destination) {
            return Err(Malformed);
        }
        let body = match fragment {
            None => parse_body(protocol, payload, &ends, verify)?,
            Some(header) if protocol == IpProtocol::Udp => Body::Fragment { header, payload },
            Some(_) => return Err(Malformed),
        };
        Ok(Self { source: ends.source, destination: ends.destination, bytes: whole, body })
    }

    /// Source address and `port`.
    pub(crate) fn source_at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.source, port)
    }

    /// Whether it met congestion on its way: CE (RFC 3168 §5).
    pub(crate) fn is_congestion_marked(&self) -> bool {
        let class = match (self.source, self.bytes) {
            (IpAddr::V4(_), [_, class, ..]) => *class,
            (IpAddr::V6(_), [_, second, ..]) => second >> 4,
            _ => 0,
        };
        class & CONGESTION_EXPERIENCED == CONGESTION_EXPERIENCED
    }

    /// Destination address and `port`.
    pub(crate) fn destination_at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.destination, port)
    }
}

/// Whether `address` can be one end of a packet inside a tunnel.
///
/// IPv4-mapped IPv6 never travels (RFC 4291 §2.5.5.2); refusing it keeps one address one key.
pub(crate) fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !address.is_unspecified() && !address.is_multicast() && address != Ipv4Addr::BROADCAST
        }
        IpAddr::V6(address) => {
            !address.is_unspecified()
                && !address.is_multicast()
                && address.to_ipv4_mapped().is_none()
        }
    }
}

const TCP_HEADER_BYTES: usize = 20;
const CONGESTION_EXPERIENCED: u8 = 0b11;

struct Ends {
    source: IpAddr,
    destination: IpAddr,
}

type Layers<'p> = (Ends, IpProtocol, &'p [u8], &'p [u8], Option<FragmentHeader>);

fn parse_ipv4(bytes: &[u8], verify: bool) -> Result<Layers<'_>, Malformed> {
    let packet = Ipv4Packet::new_checked(bytes).map_err(|_| Malformed)?;
    if usize::from(packet.header_len()) < smoltcp::wire::IPV4_HEADER_LEN {
        return Err(Malformed);
    }
    if verify && !packet.verify_checksum() {
        return Err(Malformed);
    }
    let ends = Ends { source: packet.src_addr().into(), destination: packet.dst_addr().into() };
    let whole = bytes.get(..usize::from(packet.total_len())).ok_or(Malformed)?;
    let fragment = (packet.more_frags() || packet.frag_offset() != 0).then(|| FragmentHeader {
        identification: packet.ident().into(),
        offset: packet.frag_offset(),
        is_last: !packet.more_frags(),
    });
    Ok((ends, packet.next_header(), whole, packet.payload(), fragment))
}

fn parse_ipv6(bytes: &[u8]) -> Result<Layers<'_>, Malformed> {
    let packet = Ipv6Packet::new_checked(bytes).map_err(|_| Malformed)?;
    let (protocol, payload, fragment) = if packet.next_header() == IpProtocol::Ipv6Frag {
        read_ipv6(packet.payload())?
    } else {
        (packet.next_header(), packet.payload(), None)
    };
    if is_extension_header(protocol) {
        return Err(Malformed);
    }
    let ends = Ends { source: packet.src_addr().into(), destination: packet.dst_addr().into() };
    let whole = bytes.get(..packet.total_len()).ok_or(Malformed)?;
    Ok((ends, protocol, whole, payload, fragment))
}

fn is_extension_header(protocol: IpProtocol) -> bool {
    let protocol: u8 = protocol.into();
    // Hop-by-hop, routing, fragment, ESP, AH, destination options, mobility, HIP, shim6.
    matches!(protocol, 0 | 43 | 44 | 50 | 51 | 60 | 135 | 139 | 140)
}

fn parse_body<'p>(
    protocol: IpProtocol,
    payload: &'p [u8],
    ends: &Ends,
    verify: bool,
) -> Result<Body<'p>, Malformed> {
    if protocol == IpProtocol::Tcp {
        return Segment::parse(payload, ends, verify).map(Body::Tcp);
    }
    match (protocol, ends.source, ends.destination) {
        (IpProtocol::Udp, ..) => parse_udp(payload, ends, verify),
        (IpProtocol::Icmp, IpAddr::V4(_), _) => {
            let sound = !verify || Icmpv4Packet::new_unchecked(payload).verify_checksum();
            parse_icmp(payload, sound)
        }
        (IpProtocol::Icmpv6, IpAddr::V6(source), IpAddr::V6(destination)) => {
            let sound = !verify
                || Icmpv6Packet::new_unchecked(payload).verify_checksum(&source, &destination);
            parse_icmp(payload, sound)
        }
        _ => Ok(Body::Other),
    }
}

fn parse_udp<'p>(payload: &'p [u8], ends: &Ends, verify: bool) -> Result<Body<'p>, Malformed> {
    let udp = UdpPacket::new_checked(payload).map_err(|_| Malformed)?;
    if udp.dst_port() == 0 {
        return Err(Malformed);
    }
    if verify && !udp.verify_checksum(&ends.source.into(), &ends.destination.into()) {
        return Err(Malformed);
    }
    Ok(Body::Udp {
        source_port: udp.src_port(),
        destination_port: udp.dst_port(),
        payload: udp.payload(),
    })
}

fn parse_icmp(message: &[u8], sound: bool) -> Result<Body<'_>, Malformed> {
    match message {
        [kind, code, _, _, _, _, _, _, ..] if sound => {
            Ok(Body::Icmp { kind: *kind, code: *code, message })
        }
        _ => Err(Malformed),
    }
}
