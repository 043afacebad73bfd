//! A packet costs the same with one flow and with ten thousand.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use bore_netstack::{PeerConfig, PeerKey, TcpFlow};
use smoltcp::wire::TcpControl;

use crate::lab::{context, drain_to, ready, service, stack};
use crate::raw::{Raw, sequence, tcp};

const FLOWS: u32 = 10_000;
const FLOWS_PER_PEER: u32 = 2_500;

#[test]
fn with_ten_thousand_flows_a_packet_touches_one() {
    let stack = stack(3);
    let now = Instant::now();
    for peer in 0..FLOWS / FLOWS_PER_PEER {
        stack.add_peer(PeerKey(peer), PeerConfig::default());
    }
    let listener = stack.listen(service().ip(), 8080..=8080, None).unwrap();
    let flows: Vec<_> = (0..FLOWS).map(|index| open(&stack, &listener, index, now)).collect();
    assert_eq!(stack.flow_count(), flows.len());

    let before = stack.counters();
    let (peer, flow, next) = &flows[4321];
    let data = Raw {
        control: TcpControl::Psh,
        sequence: 1001,
        acknowledgment: Some(*next),
        payload: b"one packet",
        ..Raw::syn(flow.source(), flow.destination())
    };
    let _ = stack.handle_packet(*peer, &data.packet(), now);
    assert_eq!(stack.counters().engine_polls - before.engine_polls, 1);
    assert!(drain_to(&stack, now).is_empty(), "the ACK is delayed");
    let later = now + std::time::Duration::from_millis(20);
    stack.handle_timeout(later);
    assert_eq!(drain_to(&stack, later).len(), 1);
    assert!(stack.counters().engine_polls - before.engine_polls <= 4, "one flow, a few touches");
}

/// A flow in ESTABLISHED, and its next sequence number.
fn open(
    stack: &bore_netstack::Stack,
    listener: &bore_netstack::Listener,
    index: u32,
    now: Instant,
) -> (PeerKey, TcpFlow, u32) {
    let peer = PeerKey(index / FLOWS_PER_PEER);
    let source = SocketAddr::new(Ipv4Addr::from_bits(0x0a00_0001 + index).into(), 5000);
    let syn = Raw::syn(source, service());
    let _ = stack.handle_packet(peer, &syn.packet(), now);
    let flow = ready(listener.poll_accept(&mut context())).unwrap().accept().unwrap();
    let answers = drain_to(stack, now);
    assert_eq!((answers.len(), answers[0].0), (1, peer));
    let next = sequence(&tcp(&answers[0].1)).wrapping_add(1);
    let ack = Raw { control: TcpControl::None, sequence: 1001, acknowledgment: Some(next), ..syn };
    let _ = stack.handle_packet(peer, &ack.packet(), now);
    assert_eq!(flow.info().state, "ESTABLISHED");
    (peer, flow, next)
}
