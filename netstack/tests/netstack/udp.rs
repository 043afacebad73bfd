//! UDP without sockets.

use bore_netstack::{Binding, ListenError, PeerKey, Verdict};

use crate::lab::{Lab, PEER, addr, drain, service, visitor};

fn built(lab: &Lab, from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 1280];
    let length = lab.relay.build_udp(addr(from), addr(to), payload, &mut buffer).unwrap();
    buffer[..length].to_vec()
}

#[test]
fn a_local_binding_claims_packets_to_its_ports() {
    let lab = Lab::new();
    lab.agent.add_peer(PEER, bore_netstack::PeerConfig { is_foreign: true, ..Default::default() });
    let ports = 7000..=7009;
    let binding = lab.agent.bind_udp(Binding::Local { address: service().ip(), ports }).unwrap();
    for (from, to) in
        [("203.0.113.9:50000", "100.64.0.7:7003"), ("203.0.113.9:50000", "100.64.0.7:7009")]
    {
        let packet = built(&lab, from, to, b"hello");
        let expected =
            Verdict::Udp { binding, source: addr(from), destination: addr(to), payload: b"hello" };
        assert_eq!(lab.agent.handle_packet(PEER, &packet, lab.now), expected);
    }
    let packet = built(&lab, "203.0.113.9:50000", "100.64.0.7:7010", b"hello");
    assert_eq!(lab.agent.handle_packet(PEER, &packet, lab.now), Verdict::Unmatched);
    lab.agent.unbind_udp(binding);
    let packet = built(&lab, "203.0.113.9:50000", "100.64.0.7:7003", b"hello");
    assert_eq!(lab.agent.handle_packet(PEER, &packet, lab.now), Verdict::Unmatched);
}

#[test]
fn a_remote_binding_claims_replies_to_any_visitor_but_only_from_its_peer() {
    let lab = Lab::new();
    lab.relay.add_peer(PeerKey(8), bore_netstack::PeerConfig::default());
    let binding = Binding::Remote { peer: PEER, address: service().ip(), ports: 7000..=7000 };
    let id = lab.relay.bind_udp(binding.clone()).unwrap();
    assert_eq!(lab.relay.bind_udp(binding), Err(ListenError::InUse));
    for to in ["203.0.113.9:50000", "198.51.100.1:1"] {
        let packet = built(&lab, "100.64.0.7:7000", to, b"");
        let verdict = lab.relay.handle_packet(PEER, &packet, lab.now);
        assert!(matches!(verdict, Verdict::Udp { binding, .. } if binding == id));
        assert_eq!(lab.relay.handle_packet(PeerKey(8), &packet, lab.now), Verdict::Unmatched);
    }
}

#[test]
fn unmatched_udp_is_answered_and_the_answer_finds_the_binding() {
    for (from, to) in
        [("203.0.113.9:50000", "100.64.0.7:7000"), ("[2001:db8::9]:50000", "[fd00::7]:7000")]
    {
        let lab = Lab::new();
        let address = addr(to).ip();
        let binding = Binding::Remote { peer: PEER, address, ports: 7000..=7000 };
        let binding = lab.relay.bind_udp(binding).unwrap();
        let packet = built(&lab, from, to, &[1; 600]);
        assert_eq!(lab.agent.handle_packet(PEER, &packet, lab.now), Verdict::Unmatched);
        let answers = drain(&lab.agent, lab.now);
        assert_eq!(answers.len(), 1);
        let expected =
            Verdict::UdpUnreachable { binding, source: addr(from), destination: addr(to) };
        assert_eq!(lab.relay.handle_packet(PEER, &answers[0], lab.now), expected);
    }
}

#[test]
fn the_agent_can_answer_a_packet_that_it_had_claimed() {
    let lab = Lab::new();
    let binding = Binding::Remote { peer: PEER, address: service().ip(), ports: 8080..=8080 };
    let binding = lab.relay.bind_udp(binding).unwrap();
    let mut buffer = [0; 1280];
    let length =
        lab.agent.build_udp_unreachable(visitor(), service(), b"payload", &mut buffer).unwrap();
    let expected = Verdict::UdpUnreachable { binding, source: visitor(), destination: service() };
    assert_eq!(lab.relay.handle_packet(PEER, &buffer[..length], lab.now), expected);
}

#[test]
fn what_cannot_be_built_is_not_built() {
    let lab = Lab::new();
    let mut buffer = [0; 100];
    assert_eq!(lab.relay.build_udp(visitor(), addr("[fd00::1]:1"), b"", &mut buffer), None);
    assert_eq!(lab.relay.build_udp(visitor(), service(), &[0; 73], &mut buffer), None);
    assert_eq!(lab.relay.build_udp(visitor(), service(), &[0; 72], &mut buffer), Some(100));
    let mut large = vec![0; 70_000];
    assert_eq!(lab.relay.build_udp(visitor(), service(), &[0; 65_530], &mut large), None);
}
