//! Which inner packets a tunnel may carry towards us.
//!
//! Looks at headers only: version, lengths, fragments, addresses that cannot be, and whether the source is its tunnel's own. Which ports
//! a relay may reach is not known here. Fragments are those of UDP datagrams; TCP has the MSS, and its ports are read of every packet.
//! Source: RFC 791 §3.1, RFC 8200 §3–4, RFC 1122 §3.2.1.3.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::{GARDEN_JOINER, GARDEN_PORT, GARDEN_RELAY};
use crate::api::Sources;
use crate::counters::DropReason;

/// Checks a packet that came through a tunnel with `sources`.
pub(crate) fn check(packet: &[u8], sources: &Sources) -> Result<(), DropReason> {
    let header = Header::parse(packet)?;
    if is_bogon(header.source) {
        return Err(DropReason::InnerBogonSource);
    }
    if is_bogon(header.destination) {
        return Err(DropReason::InnerBogonDestination);
    }
    let ports = header.tcp_ports()?;
    match sources {
        Sources::Relay => Ok(()),
        Sources::Node { v4, v6 } => {
            let own = header.source == IpAddr::V4(*v4) || header.source == IpAddr::V6(*v6);
            // It may not know yet that it is a member: the answer to its join can be lost, and it asks again.
            let knocks = || check_garden(&header, ports).is_ok();
            if own || knocks() { Ok(()) } else { Err(DropReason::InnerForeignSource) }
        }
        Sources::Garden => check_garden(&header, ports),
    }
}

fn check_garden(header: &Header<'_>, ports: Option<(u16, u16)>) -> Result<(), DropReason> {
    if header.source != IpAddr::V6(GARDEN_JOINER) {
        return Err(DropReason::InnerForeignSource);
    }
    let to_door = ports.is_some_and(|(_source, destination)| destination == GARDEN_PORT);
    if to_door && header.destination == IpAddr::V6(GARDEN_RELAY) {
        Ok(())
    } else {
        Err(DropReason::InnerOutsideGarden)
    }
}

/// What is looked at of an IP header.
struct Header<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload: &'a [u8],
}

impl<'a> Header<'a> {
    fn parse(packet: &'a [u8]) -> Result<Self, DropReason> {
        match packet.first().map(|first| first >> 4) {
            Some(4) => Self::parse_v4(packet),
            Some(6) => Self::parse_v6(packet),
            _ => Err(DropReason::InnerMalformed),
        }
    }

    fn parse_v4(packet: &'a [u8]) -> Result<Self, DropReason> {
        let (header, _) = packet.split_first_chunk::<20>().ok_or(DropReason::InnerMalformed)?;
        let [first, _, l0, l1, _, _, f0, f1, _, protocol, _, _, addresses @ ..] = header;
        let header_bytes = usize::from(first & 0x0F) * 4;
        let total = usize::from(u16::from_be_bytes([*l0, *l1]));
        if header_bytes < 20 || total != packet.len() {
            return Err(DropReason::InnerMalformed);
        }
        let payload = packet.get(header_bytes..).ok_or(DropReason::InnerMalformed)?;
        // More-fragments, or an offset.
        if u16::from_be_bytes([*f0, *f1]) & 0x3FFF != 0 && *protocol != UDP {
            return Err(DropReason::InnerFragment);
        }
        let [s0, s1, s2, s3, d0, d1, d2, d3] = *addresses;
        Ok(Self {
            source: Ipv4Addr::new(s0, s1, s2, s3).into(),
            destination: Ipv4Addr::new(d0, d1, d2, d3).into(),
            protocol: *protocol,
            payload,
        })
    }

    fn parse_v6(packet: &'a [u8]) -> Result<Self, DropReason> {
        let (header, rest) = packet.split_first_chunk::<40>().ok_or(DropReason::InnerMalformed)?;
        let [_, _, _, _, l0, l1, next, _, addresses @ ..] = header;
        if usize::from(u16::from_be_bytes([*l0, *l1])) != rest.len() {
            return Err(DropReason::InnerMalformed);
        }
        let (source, destination) =
            addresses.split_first_chunk::<16>().ok_or(DropReason::InnerMalformed)?;
        let destination =
            <[u8; 16]>::try_from(destination).map_err(|_| DropReason::InnerMalformed)?;
        let (protocol, payload) = match *next {
            FRAGMENT => skip_fragment_header(rest)?,
            next => skip_extensions(next, rest)?,
        };
        Ok(Self {
            source: Ipv6Addr::from(*source).into(),
            destination: Ipv6Addr::from(destination).into(),
            protocol,
            payload,
        })
    }

    /// Source and destination port if this is TCP.
    fn tcp_ports(&self) -> Result<Option<(u16, u16)>, DropReason> {
        if self.protocol != TCP {
            return Ok(None);
        }
        let [s0, s1, d0, d1] =
            *self.payload.first_chunk::<4>().ok_or(DropReason::InnerMalformed)?;
        let ports = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
        if ports.0 == 0 || ports.1 == 0 {
            return Err(DropReason::InnerPortZero);
        }
        Ok(Some(ports))
    }
}

/// Walks over the fragment header (RFC 8200 §4.5) to a piece of a UDP datagram.
fn skip_fragment_header(rest: &[u8]) -> Result<(u8, &[u8]), DropReason> {
    let ([next, ..], payload) =
        rest.split_first_chunk::<FRAGMENT_HEADER_BYTES>().ok_or(DropReason::InnerMalformed)?;
    if *next == UDP { Ok((UDP, payload)) } else { Err(DropReason::InnerFragment) }
}

/// Walks to what the IPv6 packet carries; a fragment behind another extension header is refused.
fn skip_extensions(mut next: u8, mut rest: &[u8]) -> Result<(u8, &[u8]), DropReason> {
    for _ in 0..EXTENSIONS_MAX {
        match next {
            FRAGMENT => return Err(DropReason::InnerFragment),
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => {
                let [following, length] =
                    *rest.first_chunk::<2>().ok_or(DropReason::InnerMalformed)?;
                let bytes = (usize::from(length) + 1) * 8;
                rest = rest.get(bytes..).ok_or(DropReason::InnerMalformed)?;
                next = following;
            }
            _ => return Ok((next, rest)),
        }
    }
    Err(DropReason::InnerMalformed)
}

/// Addresses that no single host outside this machine has.
fn is_bogon(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let this_network = v4.octets().first() == Some(&0);
            this_network || v4.is_loopback() || v4.is_multicast() || v4.is_broadcast()
        }
        IpAddr::V6(v6) => {
            let disguised_v4 = v6.to_ipv4_mapped().is_some();
            disguised_v4 || v6.is_unspecified() || v6.is_loopback() || v6.is_multicast()
        }
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const FRAGMENT_HEADER_BYTES: usize = 8;
const DESTINATION_OPTIONS: u8 = 60;
/// More extension headers than any honest packet has.
const EXTENSIONS_MAX: usize = 4;

#[cfg(test)]
mod tests;
