//! The one place for packets that nobody wants.
//!
//! Today TCP is answered with RST and UDP with ICMP port unreachable, within the peer's rate. A later
//! upgrade without dropped connections hands packets over to the previous process from here.

use super::Core;
use crate::packet::{Body, Packet, Segment, build};
use crate::types::{PeerKey, Unreachable, Verdict};

impl Core {
    /// Counts and answers `packet`.
    pub(super) fn unmatched<'p>(&mut self, peer: PeerKey, packet: &Packet<'p>) -> Verdict<'p> {
        self.counters.unmatched += 1;
        match packet.body {
            Body::Tcp(segment) if !segment.reset && !self.may_be_early(peer, &segment) => {
                self.reset_segment(peer, packet, &segment);
            }
            Body::Udp { .. } => self.send_unreachable(peer, packet, Unreachable::Port),
            Body::Tcp(_) | Body::Icmp { .. } | Body::Fragment { .. } | Body::Other => {}
        }
        Verdict::Unmatched
    }

    /// Whether the segment may have overtaken the SYN that it belongs to: it is sent again then, and a RST would refuse the call.
    fn may_be_early(&self, peer: PeerKey, segment: &Segment) -> bool {
        let is_ours = self.peers.get(&peer).is_some_and(|peer| !peer.is_foreign);
        is_ours && !segment.syn && segment.acknowledgment.is_none()
    }

    /// Answers a segment of no flow with RST.
    pub(super) fn reset_segment(&mut self, peer: PeerKey, packet: &Packet<'_>, segment: &Segment) {
        let source = packet.source_at(segment.source_port);
        let destination = packet.destination_at(segment.destination_port);
        let is_sent = self.queue_control(peer, build::CONTROL_BYTES_MAX, |buffer| {
            build::reset(source, destination, segment, buffer)
        });
        self.counters.resets_sent += u64::from(is_sent);
    }

    /// Tells the sender of `packet` that it was not delivered.
    pub(super) fn send_unreachable(
        &mut self,
        peer: PeerKey,
        packet: &Packet<'_>,
        kind: Unreachable,
    ) {
        let is_sent = self.queue_control(peer, build::CONTROL_BYTES_MAX, |buffer| {
            build::unreachable(packet.destination, packet.source, kind, packet.bytes, buffer)
        });
        self.counters.unreachables_sent += u64::from(is_sent);
    }
}
