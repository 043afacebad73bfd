//! The packet quoted inside an ICMP error, of which only the first bytes need to be there.
//!
//! Source: RFC 792 (header and eight bytes), RFC 4443 §2.4, RFC 1812 §4.3.2.3.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use smoltcp::wire::IpProtocol;

/// Which of our own packets an ICMP error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quote {
    pub(crate) protocol: IpProtocol,
    /// Ours.
    pub(crate) source: SocketAddr,
    /// Theirs.
    pub(crate) destination: SocketAddr,
    /// First four bytes behind the ports: the sequence number, for TCP.
    pub(crate) sequence: u32,
}

impl Quote {
    /// Reads the quoted packet at the start of `bytes`.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (protocol, source, destination, rest) = match bytes.first()? >> 4 {
            4 => parse_ipv4(bytes)?,
            6 => parse_ipv6(bytes)?,
            _ => return None,
        };
        let (source_port, rest) = rest.split_first_chunk::<2>()?;
        let (destination_port, rest) = rest.split_first_chunk::<2>()?;
        Some(Self {
            protocol: protocol.into(),
            source: SocketAddr::new(source, u16::from_be_bytes(*source_port)),
            destination: SocketAddr::new(destination, u16::from_be_bytes(*destination_port)),
            sequence: u32::from_be_bytes(*rest.first_chunk::<4>()?),
        })
    }
}

type Layers<'p> = (u8, IpAddr, IpAddr, &'p [u8]);

fn parse_ipv4(bytes: &[u8]) -> Option<Layers<'_>> {
    let header_bytes = usize::from(bytes.first()? & 0x0f) * 4;
    let source: [u8; 4] = *bytes.get(12..)?.first_chunk()?;
    let destination: [u8; 4] = *bytes.get(16..)?.first_chunk()?;
    let rest = bytes.get(header_bytes.max(20)..)?;
    Some((*bytes.get(9)?, Ipv4Addr::from(source).into(), Ipv4Addr::from(destination).into(), rest))
}

fn parse_ipv6(bytes: &[u8]) -> Option<Layers<'_>> {
    let source: [u8; 16] = *bytes.get(8..)?.first_chunk()?;
    let destination: [u8; 16] = *bytes.get(24..)?.first_chunk()?;
    let rest = bytes.get(40..)?;
    Some((*bytes.get(6)?, Ipv6Addr::from(source).into(), Ipv6Addr::from(destination).into(), rest))
}
