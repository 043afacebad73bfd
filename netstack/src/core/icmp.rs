//! ICMP and ICMPv6: echo of our own addresses, and errors about packets that we sent.
//!
//! An error counts only when it quotes a packet of ours to the letter: the 5-tuple, and for TCP the
//! sequence number of a SYN still unanswered (RFC 5927 §4). An established flow is never harmed.

use smoltcp::wire::IpProtocol;

use super::Core;
use super::flow::{End, Stage};
use super::slab::FlowId;
use super::table::{FlowKey, Slot};
use crate::packet::{Packet, Quote, build};
use crate::types::{PeerKey, Unreachable, Verdict};

/// Type, code, checksum and four bytes that depend on the type.
const HEADER_BYTES: usize = 8;
/// Where an error says how much would have fitted (RFC 1191 §4, RFC 4443 §3.2).
const FIELD_OF_MTU_V4: std::ops::Range<usize> = 6..8;
const FIELD_OF_MTU_V6: std::ops::Range<usize> = 4..8;

impl Core {
    pub(super) fn handle_icmp<'p>(
        &mut self,
        peer: PeerKey,
        packet: &Packet<'p>,
        (kind, code): (u8, u8),
        message: &'p [u8],
    ) -> Verdict<'p> {
        match (packet.source.is_ipv4(), kind) {
            (true, build::ICMPV4_ECHO_REQUEST) | (false, build::ICMPV6_ECHO_REQUEST) => {
                self.answer_echo(peer, packet, message)
            }
            (true, build::ICMPV4_UNREACHABLE) if code == build::ICMPV4_TOO_BIG => {
                self.handle_too_big(peer, packet, message, FIELD_OF_MTU_V4)
            }
            (false, build::ICMPV6_TOO_BIG) => {
                self.handle_too_big(peer, packet, message, FIELD_OF_MTU_V6)
            }
            (true, build::ICMPV4_UNREACHABLE) | (false, build::ICMPV6_UNREACHABLE) => {
                let reason = build::unreachable_kind(code, packet.source.is_ipv4());
                let quote = message.get(HEADER_BYTES..).and_then(Quote::parse);
                self.handle_unreachable(peer, packet, quote, reason)
            }
            _ => self.unmatched(peer, packet),
        }
    }

    fn answer_echo<'p>(
        &mut self,
        peer: PeerKey,
        packet: &Packet<'p>,
        message: &[u8],
    ) -> Verdict<'p> {
        if !self.locals.contains(&packet.destination) {
            return self.unmatched(peer, packet);
        }
        let rest = message.get(4..).unwrap_or_default();
        let is_sent = self.queue_control(peer, packet.bytes.len(), |buffer| {
            build::echo_reply(packet.destination, packet.source, rest, buffer)
        });
        self.counters.echoes_answered += u64::from(is_sent);
        Verdict::Consumed
    }

    /// A packet of a flow was too long for a path behind the tunnel (RFC 1191 §4, RFC 8201 §4): what is in flight is sent again in shorter ones.
    fn handle_too_big<'p>(
        &mut self,
        peer: PeerKey,
        packet: &Packet<'p>,
        message: &'p [u8],
        field: std::ops::Range<usize>,
    ) -> Verdict<'p> {
        let quote = message.get(HEADER_BYTES..).and_then(Quote::parse);
        let Some(quote) = quote.filter(|quote| quote.protocol == IpProtocol::Tcp) else {
            return self.unmatched(peer, packet);
        };
        let mtu = message.get(field).unwrap_or_default();
        let mtu = mtu.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        let key = FlowKey::new(peer, quote.source, quote.destination);
        let flow = match self.table.get(&key) {
            Some(Slot::Flow(id)) => Some(*id),
            _ => None,
        };
        let is_taken = flow.and_then(|id| self.flows.get_mut(id)).is_some_and(|flow| {
            flow.connection.is_in_flight(quote.sequence) && flow.connection.reduce_mtu(mtu)
        });
        self.counters.icmp_ignored += u64::from(!is_taken);
        if let Some(id) = flow {
            self.settle(id);
        }
        Verdict::Consumed
    }

    fn handle_unreachable<'p>(
        &mut self,
        peer: PeerKey,
        packet: &Packet<'p>,
        quote: Option<Quote>,
        reason: Unreachable,
    ) -> Verdict<'p> {
        // The error must have come to the address that the quoted packet left from.
        let Some(quote) = quote.filter(|quote| quote.source.ip() == packet.destination) else {
            return self.unmatched(peer, packet);
        };
        if quote.protocol == IpProtocol::Tcp {
            self.fail_connect(peer, &quote, reason);
            return Verdict::Consumed;
        }
        let (source, destination) = (quote.source, quote.destination);
        let binding = self.udp.find(peer, source, destination);
        match binding.filter(|_| quote.protocol == IpProtocol::Udp) {
            Some(binding) => Verdict::UdpUnreachable { binding, source, destination },
            None => self.unmatched(peer, packet),
        }
    }

    fn fail_connect(&mut self, peer: PeerKey, quote: &Quote, reason: Unreachable) {
        let key = FlowKey::new(peer, quote.source, quote.destination);
        let flow = match self.table.get(&key) {
            Some(Slot::Flow(id)) if self.is_unanswered_syn(*id, quote.sequence) => Some(*id),
            _ => None,
        };
        match flow {
            Some(id) => self.end_flow(id, End::Unreachable(reason)),
            None => self.counters.icmp_ignored += 1,
        }
    }

    fn is_unanswered_syn(&self, id: FlowId, sequence: u32) -> bool {
        self.flows.get(id).is_some_and(|flow| {
            matches!(flow.stage, Stage::Connecting { .. })
                && flow.connection.syn_sequence() == Some(sequence)
        })
    }
}
