//! Packets made by hand, for what an honest stack would not send.

use std::net::SocketAddr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    IpProtocol, IpRepr, Ipv4Packet, TcpControl, TcpOption, TcpPacket, TcpRepr, TcpSeqNumber,
    TcpTimestampRepr,
};

/// One TCP segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw<'a> {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) control: TcpControl,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: Option<u32>,
    pub(crate) window: u16,
    /// Sequence numbers.
    pub(crate) sack: [Option<(u32, u32)>; 3],
    pub(crate) timestamps: Option<(u32, u32)>,
    pub(crate) payload: &'a [u8],
}

impl Raw<'_> {
    pub(crate) fn syn(source: SocketAddr, destination: SocketAddr) -> Self {
        Self {
            source,
            destination,
            control: TcpControl::Syn,
            sequence: 1000,
            acknowledgment: None,
            window: 64_000,
            sack: [None; 3],
            timestamps: None,
            payload: &[],
        }
    }

    pub(crate) fn packet(&self) -> Vec<u8> {
        let checksums = ChecksumCapabilities::default();
        let repr = TcpRepr {
            src_port: self.source.port(),
            dst_port: self.destination.port(),
            control: self.control,
            seq_number: TcpSeqNumber(self.sequence.cast_signed()),
            ack_number: self.acknowledgment.map(|number| TcpSeqNumber(number.cast_signed())),
            window_len: self.window,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: self.sack,
            timestamp: self.timestamps.map(|(value, echo)| TcpTimestampRepr::new(value, echo)),
            payload: self.payload,
        };
        let (source, destination) = (self.source.ip().into(), self.destination.ip().into());
        let ip = IpRepr::new(source, destination, IpProtocol::Tcp, repr.buffer_len(), 64);
        let mut packet = vec![0; ip.buffer_len()];
        ip.emit(&mut packet[..], &checksums);
        let segment = &mut packet[ip.header_len()..];
        repr.emit(&mut TcpPacket::new_unchecked(segment), &source, &destination, &checksums);
        packet
    }
}

/// The TCP header of an IPv4 packet.
pub(crate) fn tcp(packet: &[u8]) -> TcpPacket<&[u8]> {
    let ip = Ipv4Packet::new_checked(packet).unwrap();
    assert_eq!(ip.next_header(), IpProtocol::Tcp);
    TcpPacket::new_checked(&packet[usize::from(ip.header_len())..]).unwrap()
}

pub(crate) fn sequence(packet: &TcpPacket<&[u8]>) -> u32 {
    packet.seq_number().0.cast_unsigned()
}

/// TSval and TSecr.
pub(crate) fn timestamps(packet: &TcpPacket<&[u8]>) -> Option<(u32, u32)> {
    let mut rest = packet.options();
    while !rest.is_empty() {
        let (after, option) = TcpOption::parse(rest).unwrap();
        if let TcpOption::TimeStamp { tsval, tsecr } = option {
            return Some((tsval, tsecr));
        }
        rest = after;
    }
    None
}
