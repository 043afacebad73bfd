//! Writes segments: IP header, TCP header, options, payload, checksums.

use std::net::{IpAddr, SocketAddr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    IPV4_HEADER_LEN, IPV6_HEADER_LEN, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr,
    TcpPacket, TcpSeqNumber,
};

use super::options::{OPTIONS_BYTES_MAX, Options};
use crate::packet::checksum::checksum;
use crate::types::Lengths;

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
    /// The other side may look at the checksum; else it is left zero.
    pub(crate) is_verified: bool,
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
    /// Length of a packet that carries `payload_bytes`.
    pub(crate) fn packet_bytes(&self, payload_bytes: usize) -> usize {
        self.head_bytes() + payload_bytes
    }

    /// Writes a packet without payload into `buffer`; gives its lengths, or `None` as [`Self::emit_train`] does.
    pub(crate) fn emit_bare(&self, buffer: &mut [u8]) -> Option<Lengths> {
        self.emit_train(buffer, 0, 0, |_| true)
    }

    /// Writes `payload_bytes` as packets of `segment_bytes` each, a whole number of them, one behind the other into `buffer`; `fill` writes
    /// the payload of each in turn. `None` when `buffer` is too short, the addresses are of two families, or `fill` fails.
    ///
    /// The packets of a train differ in sequence number and checksum, and the last alone pushes: the rest is written once.
    pub(crate) fn emit_train(
        &self,
        buffer: &mut [u8],
        payload_bytes: usize,
        segment_bytes: usize,
        mut fill: impl FnMut(&mut [u8]) -> bool,
    ) -> Option<Lengths> {
        let packet_bytes = self.packet_bytes(segment_bytes);
        let count = payload_bytes / segment_bytes.max(1);
        let bytes = packet_bytes * count.max(1);
        let mut head = [0; HEAD_BYTES_MAX];
        let head = head.get_mut(..self.head_bytes())?;
        self.emit_head(head, segment_bytes)?;
        let mut sequence = self.sequence;
        let mut packets = buffer.get_mut(..bytes)?.chunks_exact_mut(packet_bytes);
        while let Some(packet) = packets.next() {
            let is_last = packets.len() == 0;
            self.number(head, sequence, self.flags.push && is_last)?;
            let (room, payload) = packet.split_at_mut_checked(head.len())?;
            room.copy_from_slice(head);
            if !fill(payload) {
                return None;
            }
            if self.is_verified {
                self.sign(packet)?;
            }
            sequence = sequence.wrapping_add(u32::try_from(segment_bytes).unwrap_or(0));
        }
        Lengths::new(packet_bytes, bytes)
    }

    /// Sets what the headers of a train differ in.
    fn number(&self, head: &mut [u8], sequence: u32, push: bool) -> Option<()> {
        let tcp = head.get_mut(self.ip_header_bytes()..)?.first_chunk_mut::<TCP_HEADER_BYTES>()?;
        let mut tcp = TcpPacket::new_unchecked(tcp);
        tcp.set_seq_number(TcpSeqNumber(sequence.cast_signed()));
        tcp.set_psh(push);
        Some(())
    }

    /// Sets the checksum of a segment that is complete.
    fn sign(&self, packet: &mut [u8]) -> Option<()> {
        let segment = packet.get_mut(self.ip_header_bytes()..)?;
        let made = checksum(self.source.ip(), self.destination.ip(), segment);
        TcpPacket::new_unchecked(segment).set_checksum(made);
        Some(())
    }

    /// Writes both headers, the checksum of the segment left zero.
    fn emit_head(&self, head: &mut [u8], payload_bytes: usize) -> Option<()> {
        let (ip, tcp) = head.split_at_mut_checked(self.ip_header_bytes())?;
        self.emit_ip(ip, tcp.len() + payload_bytes)?;
        let header_bytes = tcp.len();
        self.emit_tcp(&mut TcpPacket::new_unchecked(tcp), header_bytes);
        Some(())
    }

    /// With ECT(0) where the packet may be marked (RFC 3168 §5).
    fn emit_ip(&self, header: &mut [u8], payload_len: usize) -> Option<()> {
        let (next_header, hop_limit) = (IpProtocol::Tcp, HOP_LIMIT);
        let class = if self.flags.may_be_marked { ECT_0 } else { 0 };
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
                let mut ip = Ipv4Packet::new_unchecked(header);
                let repr = Ipv4Repr { src_addr, dst_addr, next_header, payload_len, hop_limit };
                repr.emit(&mut ip, &ChecksumCapabilities::ignored());
                ip.set_ecn(class);
                ip.fill_checksum();
            }
            (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => {
                let mut ip = Ipv6Packet::new_unchecked(header);
                Ipv6Repr { src_addr, dst_addr, next_header, payload_len, hop_limit }.emit(&mut ip);
                ip.set_traffic_class(class);
            }
            _ => return None,
        }
        Some(())
    }

    fn head_bytes(&self) -> usize {
        self.ip_header_bytes() + TCP_HEADER_BYTES + self.options.header_bytes()
    }

    fn ip_header_bytes(&self) -> usize {
        if self.source.is_ipv4() { IPV4_HEADER_LEN } else { IPV6_HEADER_LEN }
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
        tcp.set_ece(self.flags.echo_congestion);
        tcp.set_cwr(self.flags.window_reduced);
        self.options.emit(tcp.options_mut());
    }
}

const HOP_LIMIT: u8 = 64;
const TCP_HEADER_BYTES: usize = 20;
const HEAD_BYTES_MAX: usize = IPV6_HEADER_LEN + TCP_HEADER_BYTES + OPTIONS_BYTES_MAX;
const ECT_0: u8 = 0b10;
