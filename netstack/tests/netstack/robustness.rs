//! Whatever comes, the stack stands.

use std::net::SocketAddr;

use bore_netstack::{PeerConfig, Stack, Verdict};
use proptest::prelude::*;
use smoltcp::wire::TcpControl;

use crate::lab::{Lab, PEER, addr, context, drain, read, service, stack, visitor, write};
use crate::raw::Raw;

#[test]
fn impossible_packets_are_malformed() {
    let lab = Lab::new();
    let sound = Raw::syn(visitor(), service()).packet();
    let mut fragment = sound.clone();
    fragment[6] = 0x20;
    let mut version = sound.clone();
    version[0] = 0x55;
    let mut short_header = sound.clone();
    short_header[0] = 0x44;
    let mut syn_fin = sound.clone();
    syn_fin[33] |= 1;
    let mut hop_by_hop = Raw::syn(addr("[2001:db8::9]:5"), addr("[fd00::7]:80")).packet();
    hop_by_hop[6] = 0;
    let mapped = Raw::syn(addr("[::ffff:1.2.3.4]:5"), addr("[fd00::7]:80")).packet();
    for packet in [
        Vec::new(),
        vec![0x45],
        sound[..30].to_vec(),
        fragment,
        version,
        short_header,
        syn_fin,
        hop_by_hop,
        mapped,
    ] {
        let verdict = lab.agent.handle_packet(PEER, &packet, lab.now);
        assert_eq!(verdict, Verdict::Malformed, "{packet:02x?}");
    }
    assert_eq!(lab.agent.counters().malformed, 9);
}

#[test]
fn syns_from_impossible_sources_are_malformed() {
    let lab = Lab::new();
    let _listener = lab.listen();
    for source in ["0.0.0.0:1", "255.255.255.255:1", "224.0.0.1:1"] {
        let packet = Raw::syn(addr(source), service()).packet();
        assert_eq!(lab.agent.handle_packet(PEER, &packet, lab.now), Verdict::Malformed);
    }
    let to_nowhere = Raw::syn(visitor(), SocketAddr::new([0, 0, 0, 0].into(), 8080)).packet();
    assert_eq!(lab.agent.handle_packet(PEER, &to_nowhere, lab.now), Verdict::Malformed);
    let to_itself = Raw::syn(service(), service()).packet();
    assert_eq!(lab.agent.handle_packet(PEER, &to_itself, lab.now), Verdict::Consumed);
}

#[test]
fn wrong_checksums_are_malformed_only_where_they_are_verified() {
    let lab = Lab::new();
    let _listener = lab.listen();
    let mut packet = Raw::syn(visitor(), service()).packet();
    packet[36] ^= 1;
    assert_eq!(lab.agent.handle_packet(PEER, &packet, lab.now), Verdict::Consumed);
    lab.agent.add_peer(PEER, PeerConfig { is_foreign: true, ..Default::default() });
    assert_eq!(lab.agent.handle_packet(PEER, &packet, lab.now), Verdict::Malformed);
}

#[test]
fn a_peer_that_is_not_known_gets_no_answer() {
    let lab = Lab::new();
    let packet = Raw::syn(visitor(), service()).packet();
    let stranger = bore_netstack::PeerKey(1000);
    assert_eq!(lab.agent.handle_packet(stranger, &packet, lab.now), Verdict::Unmatched);
    assert_eq!(lab.agent.counters().unknown_peer, 1);
    assert!(drain(&lab.agent, lab.now).is_empty());
}

#[test]
fn an_acknowledgment_of_a_fin_that_never_left_is_no_end_and_no_endless_stream() {
    let mut lab = Lab::new();
    let (opened, accepted) = lab.established();
    let next = write_and_hear(&lab, &accepted);
    let segment = |acknowledgment, control| Raw {
        control,
        sequence: next.expected,
        acknowledgment: Some(acknowledgment),
        window: 0,
        ..Raw::syn(visitor(), service())
    };
    accepted.shutdown();
    let packet = segment(next.sequence.wrapping_sub(2), TcpControl::None).packet();
    let _ = lab.agent.handle_packet(PEER, &packet, lab.now);
    let packet = segment(next.sequence.wrapping_add(1), TcpControl::None).packet();
    let _ = lab.agent.handle_packet(PEER, &packet, lab.now);
    assert_eq!(accepted.info().state, "ESTABLISHED");
    let before = lab.agent.counters().packets_out;
    lab.is_cut = true;
    lab.run_for(std::time::Duration::from_secs(3600));
    let sent = lab.agent.counters().packets_out - before;
    assert!(sent < 200, "{sent} packets in an hour");
    drop(opened);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(packets in proptest::collection::vec(any_packet(), 1..40)) {
        let agent = stack(1);
        agent.add_local(service().ip());
        let now = std::time::Instant::now();
        for packet in packets {
            let _ = agent.handle_packet(PEER, &packet, now);
            drain(&agent, now);
        }
    }

    #[test]
    fn mutated_segments_into_a_flow_never_panic(
        segments in proptest::collection::vec(any_segment(), 1..80),
        accepts in any::<bool>(),
    ) {
        let mut lab = Lab::new();
        let (opened, accepted) = lab.established();
        let flow = if accepts { &accepted } else { &opened };
        let victim = if accepts { lab.agent.clone() } else { lab.relay.clone() };
        let mut heard = Heard::of(&victim, &lab, flow, accepts);
        for segment in &segments {
            heard.inject(&victim, &mut lab, segment);
            if segment.acts {
                let _ = flow.poll_write(&mut context(), &[3; 3000]);
                let _ = read(flow);
            }
            if segment.shuts {
                flow.shutdown();
            }
            victim.handle_timeout(lab.now);
        }
        drop((opened, accepted));
        heard.settle(&victim, &mut lab);
        prop_assert_eq!(victim.flow_count(), 0);
    }

    #[test]
    fn mutated_segments_into_a_handshake_never_panic(
        segments in proptest::collection::vec(any_segment(), 1..30),
    ) {
        let mut lab = Lab::new();
        let connect = lab.connect();
        let relay = lab.relay.clone();
        let mut heard = Heard { base: 0, ours: 0, toward: (service(), visitor()) };
        for segment in &segments {
            heard.inject(&relay, &mut lab, segment);
        }
        drop(connect);
        heard.settle(&relay, &mut lab);
        prop_assert_eq!(relay.flow_count(), 0);
    }
}

#[derive(Debug, Clone)]
struct Mutation {
    kind: u8,
    sequence_offset: i32,
    acknowledgment_offset: i32,
    window: u16,
    length: usize,
    flips: Vec<(usize, u8)>,
    acts: bool,
    shuts: bool,
    drains: bool,
    passes_ms: u64,
}

fn any_segment() -> impl Strategy<Value = Mutation> {
    let offset = || {
        prop_oneof![
            6 => -2i32..3,
            3 => -70_000i32..70_000,
            1 => any::<i32>(),
        ]
    };
    let header = (0u8..7, offset(), offset(), prop_oneof![Just(0u16), any::<u16>()]);
    let flips = proptest::collection::vec((0usize..60, any::<u8>()), 0..2);
    let body = (prop_oneof![Just(0usize), 1usize..1240], flips);
    let acts = (any::<bool>(), proptest::bool::weighted(0.05), any::<bool>(), 0u64..3000);
    (header, body, acts).prop_map(
        |(
            (kind, sequence_offset, acknowledgment_offset, window),
            (length, flips),
            (acts, shuts, drains, passes_ms),
        )| Mutation {
            kind,
            sequence_offset,
            acknowledgment_offset,
            window,
            length,
            flips,
            acts,
            shuts,
            drains,
            passes_ms,
        },
    )
}

fn any_packet() -> impl Strategy<Value = Vec<u8>> {
    let plausible = (any_segment(), any::<bool>()).prop_map(|(mutation, is_v6)| {
        let (source, destination) = if is_v6 {
            (addr("[2001:db8::9]:5"), addr("[fd00::7]:8080"))
        } else {
            (visitor(), service())
        };
        let mut packet = mutation.packet(source, destination, 0, 0);
        let protocol = [6, 17, 1, 58][usize::from(mutation.kind) % 4];
        let at = if is_v6 { 6 } else { 9 };
        packet[at] = protocol;
        packet
    });
    prop_oneof![proptest::collection::vec(any::<u8>(), 0..200), plausible]
}

impl Mutation {
    fn packet(&self, source: SocketAddr, destination: SocketAddr, base: u32, ours: u32) -> Vec<u8> {
        let control = match self.kind {
            0 => TcpControl::Syn,
            1 => TcpControl::Fin,
            2 => TcpControl::Rst,
            3 => TcpControl::Psh,
            _ => TcpControl::None,
        };
        let payload = vec![7; self.length];
        let acknowledgment = ours.wrapping_add_signed(self.acknowledgment_offset);
        let raw = Raw {
            source,
            destination,
            control,
            sequence: base.wrapping_add_signed(self.sequence_offset),
            acknowledgment: (self.kind != 4).then_some(acknowledgment),
            window: self.window,
            sack: [None; 3],
            timestamps: None,
            payload: &payload,
        };
        let mut packet = raw.packet();
        for (at, value) in &self.flips {
            if let Some(byte) = packet.get_mut(*at) {
                *byte = *value;
            }
        }
        packet
    }
}

struct Next {
    sequence: u32,
    expected: u32,
}

/// Writes something; gives where the flow stands afterwards.
fn write_and_hear(lab: &Lab, flow: &bore_netstack::TcpFlow) -> Next {
    write(flow, b"something to hear");
    let packets = drain(&lab.agent, lab.now);
    let segment = crate::raw::tcp(packets.last().unwrap());
    let payload_bytes = u32::try_from(segment.payload().len()).unwrap();
    Next {
        sequence: crate::raw::sequence(&segment).wrapping_add(payload_bytes),
        expected: segment.ack_number().0.cast_unsigned(),
    }
}

/// What a forger next to the victim has overheard.
struct Heard {
    /// What the victim expects next.
    base: u32,
    /// What it will send next.
    ours: u32,
    toward: (SocketAddr, SocketAddr),
}

impl Heard {
    fn of(victim: &Stack, lab: &Lab, flow: &bore_netstack::TcpFlow, accepts: bool) -> Self {
        let toward = if accepts { (visitor(), service()) } else { (service(), visitor()) };
        let mut heard = Self { base: 0, ours: 0, toward };
        write(flow, b"something to hear");
        heard.listen(victim, lab);
        heard
    }

    fn listen(&mut self, victim: &Stack, lab: &Lab) {
        for packet in drain(victim, lab.now) {
            let segment = crate::raw::tcp(&packet);
            self.base = segment.ack_number().0.cast_unsigned();
            self.ours = crate::raw::sequence(&segment).wrapping_add(
                u32::try_from(segment.payload().len()).unwrap()
                    + u32::from(segment.syn())
                    + u32::from(segment.fin()),
            );
        }
    }

    fn inject(&mut self, victim: &Stack, lab: &mut Lab, mutation: &Mutation) {
        let packet = mutation.packet(self.toward.0, self.toward.1, self.base, self.ours);
        let _ = victim.handle_packet(PEER, &packet, lab.now);
        if mutation.drains {
            self.listen(victim, lab);
        }
        lab.now += std::time::Duration::from_millis(mutation.passes_ms);
        victim.handle_timeout(lab.now);
    }

    /// Lets everything that lingers run out.
    fn settle(&mut self, victim: &Stack, lab: &mut Lab) {
        for _ in 0..200 {
            self.listen(victim, lab);
            lab.now += std::time::Duration::from_secs(1);
            victim.handle_timeout(lab.now);
        }
    }
}
