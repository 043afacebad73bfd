//! Writes a segment: IP header, TCP header, options, payload, checksums.

use std::net::SocketAddr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, IpRepr, Ipv4Packet, Ipv6Packet, TcpPacket, TcpSeqNumber};

use super::checksum::checksum;
use super::options::Options;

/// Everything of a segment but its payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: Option<u32>,
    /// As it stands in the header.
    pub(crate) window: u16,
    pub(crate) flags: Flags,
    pub(crate) options: Options,
}

/// Flags beside ACK, which goes with the acknowledgment number.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flags {
    pub(crate) syn: bool,
    pub(crate) fin: bool,
    pub(crate) reset: bool,
    pub(crate) push: bool,
    /// Congestion was marked on what we received (RFC 3168 §6.1.3).
    pub(crate) echo_congestion: bool,
    /// We have reduced our window (RFC 3168 §6.1.2).
    pub(crate) window_reduced: bool,
    /// The packet may be marked instead of dropped: ECT(0).
    pub(crate) may_be_marked: bool,
}

impl Header {
    /// Writes the packet into `buffer`, with `payload_bytes` that `fill` writes; gives its length. `None` when `buffer` is too short, the
    /// addresses are of two families, or `fill` fails.
    pub(crate) fn emit(
        &self,
        buffer: &mut [u8],
        payload_bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> bool,
    ) -> Option<usize> {
        let (source, destination) = (self.source.ip(), self.destination.ip());
        if source.is_ipv4() != destination.is_ipv4() {
            return None;
        }
        let header_bytes = TCP_HEADER_BYTES + self.options.header_bytes();
        let segment_bytes = header_bytes + payload_bytes;
        let ip = IpRepr::new(
            source.into(),
            destination.into(),
            IpProtocol::Tcp,
            segment_bytes,
            HOP_LIMIT,
        );
        let packet_bytes = ip.header_len() + segment_bytes;
        let packet = buffer.get_mut(..packet_bytes)?;
        ip.emit(&mut *packet, &ChecksumCapabilities::default());
        if self.flags.may_be_marked {
            mark_capable(packet);
        }
        let mut tcp = TcpPacket::new_unchecked(packet.get_mut(ip.header_len()..)?);
        self.emit_tcp(&mut tcp, header_bytes);
        if !fill(tcp.payload_mut()) {
            return None;
        }
        tcp.set_checksum(0);
        let segment = tcp.into_inner();
        let made = checksum(source, destination, segment);
        TcpPacket::new_unchecked(segment).set_checksum(made);
        Some(packet_bytes)
    }

    fn emit_tcp(&self, tcp: &mut TcpPacket<&mut [u8]>, header_bytes: usize) {
        tcp.set_src_port(self.source.port());
        tcp.set_dst_port(self.destination.port());
        tcp.set_seq_number(TcpSeqNumber(self.sequence.cast_signed()));
        tcp.set_ack_number(TcpSeqNumber(self.acknowledgment.unwrap_or(0).cast_signed()));
        tcp.clear_flags();
        // At most 60: the options are bounded.
        tcp.set_header_len(u8::try_from(header_bytes).unwrap_or(0));
        tcp.set_window_len(self.window);
        tcp.set_urgent_at(0);
        tcp.set_ack(self.acknowledgment.is_some());
        tcp.set_syn(self.flags.syn);
        tcp.set_fin(self.flags.fin);
        tcp.set_rst(self.flags.reset);
        tcp.set_psh(self.flags.push);
        tcp.set_ece(self.flags.echo_congestion);
        tcp.set_cwr(self.flags.window_reduced);
        self.options.emit(tcp.options_mut());
    }
}

/// Sets ECT(0) in a packet whose header is complete (RFC 3168 §5).
fn mark_capable(packet: &mut [u8]) {
    match packet.first().map(|first| first >> 4) {
        Some(4) => {
            let mut ip = Ipv4Packet::new_unchecked(packet);
            ip.set_ecn(ECT_0);
            ip.fill_checksum();
        }
        Some(6) => {
            let mut ip = Ipv6Packet::new_unchecked(packet);
            ip.set_traffic_class(ip.traffic_class() | ECT_0);
        }
        _ => {}
    }
}

const HOP_LIMIT: u8 = 64;
const TCP_HEADER_BYTES: usize = 20;
const ECT_0: u8 = 0b10;
