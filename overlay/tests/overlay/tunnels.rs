//! Two ends find each other, talk, move and lose each other.

use std::time::Duration;

use bore_overlay::{AddPeerError, Encapsulated, Event, Peer, Sources, UnknownKeys};

use crate::lab::{AGENT, ELSEWHERE, Lab, NODE_V6, RELAY, address, udp_packet};

#[test]
fn data_flows_both_ways_once_the_handshake_is_done() {
    let (mut lab, agent, relay) = Lab::connected();
    let packet = udp_packet(NODE_V6);

    assert!(lab.send(AGENT, relay, &packet));
    assert!(lab.send(RELAY, agent, &packet));
    lab.settle();

    assert_eq!(lab.end(RELAY).packets, [(agent, packet.clone())]);
    assert_eq!(lab.end(AGENT).packets, [(relay, packet)]);
}

#[test]
fn a_tunnel_with_endpoint_and_keepalive_comes_up_by_itself_in_three_datagrams() {
    let (mut lab, _) = Lab::relay_and_agent();
    lab.add_agent_to_relay();
    assert_eq!(lab.settle(), 3, "initiation, response, keepalive");
}

#[test]
fn both_ends_say_once_that_the_tunnel_is_up() {
    let (mut lab, agent, relay) = Lab::connected();
    let up = Event::TunnelUp { peer: agent, endpoint: address(AGENT) };
    assert_eq!(lab.end(RELAY).events, [up]);
    let up = Event::TunnelUp { peer: relay, endpoint: address(RELAY) };
    assert_eq!(lab.end(AGENT).events, [up]);
}

#[test]
fn a_packet_without_a_session_starts_the_handshake_and_is_dropped() {
    let mut lab = Lab::new();
    lab.add(RELAY, 1, UnknownKeys::Refuse);
    lab.add(AGENT, 2, UnknownKeys::Refuse);
    let agent = lab.add_agent_to_relay();
    let peer = Peer {
        public_key: lab.key(RELAY),
        preshared_key: None,
        endpoint: Some(address(RELAY)),
        persistent_keepalive: None,
        sources: Sources::Relay,
    };
    let relay = lab.add_peer(AGENT, peer);
    assert_eq!(lab.settle(), 0, "without a keepalive nobody asked for a session");

    assert!(!lab.send(AGENT, relay, &udp_packet(NODE_V6)));
    lab.settle();
    assert!(lab.is_up(AGENT, relay) && lab.is_up(RELAY, agent));
}

#[test]
fn peers_with_a_preshared_key_need_the_same_one() {
    for (theirs, works) in [(Some([5; 32]), true), (Some([6; 32]), false), (None, false)] {
        let mut lab = Lab::new();
        lab.add(RELAY, 1, UnknownKeys::Refuse);
        lab.add(AGENT, 2, UnknownKeys::Refuse);
        let peer = |public_key, preshared_key, endpoint| Peer {
            public_key,
            preshared_key,
            endpoint,
            persistent_keepalive: Some(25),
            sources: Sources::Relay,
        };
        let (agent_key, relay_key) = (lab.key(AGENT), lab.key(RELAY));
        lab.add_peer(RELAY, peer(agent_key, Some([5; 32]), None));
        let relay = lab.add_peer(AGENT, peer(relay_key, theirs, Some(address(RELAY))));
        lab.settle();
        assert_eq!(lab.is_up(AGENT, relay), works);
    }
}

#[test]
fn an_endpoint_moves_with_authentic_data_only() {
    let (mut lab, agent, relay) = Lab::connected();
    lab.move_end(AGENT, ELSEWHERE);

    assert!(lab.send(ELSEWHERE, relay, &udp_packet(NODE_V6)));
    let mut forged = lab.wire[0].clone();
    forged.from = address("192.0.2.66:1");
    *forged.bytes.last_mut().unwrap() ^= 1;
    lab.deliver(&forged);
    assert_eq!(lab.endpoint(RELAY, agent), Some(address(AGENT)), "forged data moves nothing");

    lab.settle();
    assert_eq!(lab.endpoint(RELAY, agent), Some(address(ELSEWHERE)));
    let moved = Event::EndpointMoved { peer: agent, to: address(ELSEWHERE) };
    assert_eq!(lab.end(RELAY).events.last(), Some(&moved));

    assert!(lab.send(RELAY, agent, &udp_packet(NODE_V6)));
    lab.settle();
    assert_eq!(lab.end(ELSEWHERE).packets.len(), 1, "the answer follows");
}

#[test]
fn an_ipv4_mapped_source_is_the_same_endpoint() {
    let (mut lab, agent, relay) = Lab::connected();
    assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
    lab.wire[0].from = address("[::ffff:198.51.100.7]:40000");
    lab.settle();
    assert_eq!(lab.endpoint(RELAY, agent), Some(address(AGENT)));
    assert_eq!(lab.end(RELAY).events.len(), 1, "nothing moved");
}

#[test]
fn handshakes_that_cross_leave_one_working_tunnel() {
    let (mut lab, agent, relay) = Lab::connected();
    let now = lab.now;
    lab.end(RELAY).overlay.start_handshake(agent, now);
    lab.end(AGENT).overlay.start_handshake(relay, now);
    lab.settle();

    for _ in 0..3 {
        assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
        assert!(lab.send(RELAY, agent, &udp_packet(NODE_V6)));
        lab.settle();
    }
    assert_eq!((lab.end(RELAY).packets.len(), lab.end(AGENT).packets.len()), (3, 3));
}

#[test]
fn data_sent_in_the_old_session_still_arrives_after_a_rekey() {
    let (mut lab, agent, relay) = Lab::connected();
    assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
    let late = lab.intercept();

    let now = lab.now;
    lab.end(AGENT).overlay.start_handshake(relay, now);
    lab.settle();
    lab.deliver(&late[0]);
    assert_eq!(lab.end(RELAY).packets, [(agent, udp_packet(NODE_V6))]);
}

#[test]
fn a_peer_is_added_once_and_never_with_our_own_key() {
    let (mut lab, ..) = Lab::connected();
    let now = lab.now;
    let peer = |public_key| Peer {
        public_key,
        preshared_key: None,
        endpoint: None,
        persistent_keepalive: None,
        sources: Sources::Relay,
    };
    let (agent, own) = (peer(lab.key(AGENT)), peer(lab.key(RELAY)));
    let overlay = &mut lab.end(RELAY).overlay;
    assert_eq!(overlay.add_peer(agent, now), Err(AddPeerError::Duplicate));
    assert_eq!(overlay.add_peer(own, now), Err(AddPeerError::OwnKey));
}

#[test]
fn a_removed_peer_is_unknown_and_its_session_ends() {
    let (mut lab, agent, relay) = Lab::connected();
    let now = lab.now;
    let overlay = &mut lab.end(RELAY).overlay;
    overlay.remove_peer(agent);
    assert_eq!(overlay.encapsulate(agent, &[], &mut [0; 200], now), Encapsulated::Unknown);
    assert_eq!(overlay.status(agent), None);

    assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
    lab.settle();
    assert!(lab.end(RELAY).packets.is_empty());
}

#[test]
fn a_buffer_that_is_too_small_is_refused_not_overrun() {
    let (mut lab, agent, relay) = Lab::connected();
    let now = lab.now;
    let packet = udp_packet(NODE_V6);
    for length in [0, 31, 100, 147] {
        let mut buffer = vec![0; length];
        let sealed = lab.end(RELAY).overlay.encapsulate(agent, &packet, &mut buffer, now);
        assert_eq!(sealed, Encapsulated::NoSession);
    }
    assert!(lab.send(AGENT, relay, &packet));
    let datagram = lab.intercept().remove(0);
    for length in [0, 31, 147] {
        let mut buffer = vec![0; length];
        let from = datagram.from;
        lab.end(RELAY).overlay.handle_datagram(from, &datagram.bytes, &mut buffer, now);
    }
    lab.deliver(&datagram);
    assert_eq!(lab.end(RELAY).packets.len(), 1, "and nothing was lost by it");
}

#[test]
fn rekeys_from_both_ends_every_second_keep_the_tunnel_up() {
    let (mut lab, agent, relay) = Lab::connected();
    for _ in 0..300 {
        lab.now += Duration::from_secs(1);
        let now = lab.now;
        lab.end(AGENT).overlay.start_handshake(relay, now);
        lab.end(RELAY).overlay.start_handshake(agent, now);
        lab.settle();
    }
    lab.advance(Duration::from_secs(15), true);
    assert!(lab.is_up(RELAY, agent) && lab.is_up(AGENT, relay));
}
