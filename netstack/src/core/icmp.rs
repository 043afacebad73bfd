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
