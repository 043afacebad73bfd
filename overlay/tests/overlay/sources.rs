//! Inner sources: a tunnel carries what is its own.

use std::net::Ipv6Addr;

use bore_overlay::{DropReason, Sources};

use crate::lab::{AGENT, Lab, NODE, NODE_V6, RELAY, udp_packet};

#[test]
fn attack_31_a_node_that_sends_an_inner_source_not_its_own_is_dropped() {
    let (mut lab, agent, relay) = Lab::connected();
    let foreign = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 10);
    assert!(lab.send(AGENT, relay, &udp_packet(foreign)));
    assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
    lab.settle();
    assert_eq!(lab.end(RELAY).packets, [(agent, udp_packet(NODE_V6))]);
    assert_eq!(lab.dropped(RELAY, DropReason::InnerForeignSource), 1);
}

#[test]
fn attack_31_a_relay_may_carry_a_visitors_source_but_no_bogon() {
    let (mut lab, agent, relay) = Lab::connected();
    let visitor: Ipv6Addr = "2001:db8::7".parse().unwrap();
    for source in [visitor, Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST] {
        assert!(lab.send(RELAY, agent, &udp_packet(source)));
    }
    lab.settle();
    assert_eq!(lab.end(AGENT).packets, [(relay, udp_packet(visitor))]);
    assert_eq!(lab.dropped(AGENT, DropReason::InnerBogonSource), 2);
}

#[test]
fn attack_31_what_is_no_ip_packet_is_dropped_though_authentic() {
    let (mut lab, _, relay) = Lab::connected();
    for packet in [&[0x00][..], &[0x45; 19], &[0x60; 39], &[0xFF; 100]] {
        assert!(lab.send(AGENT, relay, packet));
    }
    lab.settle();
    assert!(lab.end(RELAY).packets.is_empty());
    assert_eq!(lab.dropped(RELAY, DropReason::InnerMalformed), 4);
}

#[test]
fn sources_change_at_once() {
    let (mut lab, agent, relay) = Lab::connected();
    let foreign = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 10);
    lab.end(RELAY).overlay.set_sources(agent, Sources::Relay);
    assert!(lab.send(AGENT, relay, &udp_packet(foreign)));
    lab.settle();
    assert_eq!(lab.end(RELAY).packets.len(), 1);
    lab.end(RELAY).overlay.set_sources(agent, NODE);
    assert!(lab.send(AGENT, relay, &udp_packet(foreign)));
    lab.settle();
    assert_eq!(lab.end(RELAY).packets.len(), 1);
}
