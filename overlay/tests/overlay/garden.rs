//! The walled garden: strangers come in, stay a moment, and become peers or leave.

use std::time::Duration;

use bore_overlay::limits::{PENDING_LIFETIME, PENDING_MAX, PENDING_PER_PREFIX_MAX};
use bore_overlay::{DropReason, Event, Peer, PeerId, UnknownKeys};

use crate::lab::{AGENT, Lab, NODE, NODE_V6, RELAY, address, garden_packet, kind, udp_packet};

#[test]
fn a_stranger_proves_its_address_and_waits_in_the_garden() {
    let (mut lab, relay) = Lab::relay_and_agent();
    lab.settle();

    let kinds: Vec<u8> = lab.log.iter().map(kind).collect();
    assert_eq!(kinds, [1, 3, 1, 2, 4], "initiation, cookie, initiation, response, keepalive");
    assert!(lab.is_up(AGENT, relay));
    let pending = pending(&mut lab);
    let expected =
        Event::Pending { peer: pending, public_key: lab.key(AGENT), from: address(AGENT) };
    assert_eq!(lab.end(RELAY).events[0], expected);
}

#[test]
fn a_pending_peer_reaches_the_garden_and_nothing_else() {
    let (mut lab, relay) = Lab::relay_and_agent();
    lab.settle();
    let pending = pending(&mut lab);

    assert!(lab.send(AGENT, relay, &garden_packet()));
    assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
    assert!(lab.send(RELAY, pending, &garden_packet()));
    lab.settle();

    assert_eq!(lab.end(RELAY).packets, [(pending, garden_packet())]);
    assert_eq!(lab.dropped(RELAY, DropReason::InnerForeignSource), 1);
    assert_eq!(lab.end(AGENT).packets.len(), 1, "the relay's answer comes back");
}

#[test]
fn a_promoted_peer_keeps_its_id_and_its_session() {
    let (mut lab, relay) = Lab::relay_and_agent();
    lab.settle();
    let pending = pending(&mut lab);

    assert_eq!(lab.add_agent_to_relay(), pending);
    assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
    assert!(lab.send(RELAY, pending, &udp_packet(NODE_V6)));
    assert_eq!(lab.settle(), 2, "no handshake in between");
    assert_eq!(lab.end(RELAY).packets, [(pending, udp_packet(NODE_V6))]);

    lab.advance(PENDING_LIFETIME * 2, true);
    assert!(lab.is_up(RELAY, pending), "and it stays");
}

#[test]
fn a_stranger_that_does_not_join_is_gone_in_seconds() {
    let (mut lab, _) = Lab::relay_and_agent();
    lab.settle();
    let pending = pending(&mut lab);

    lab.advance(PENDING_LIFETIME - Duration::from_millis(1), false);
    assert!(lab.is_up(RELAY, pending));
    lab.advance(Duration::from_millis(1), false);
    assert_eq!(lab.end(RELAY).overlay.status(pending), None);
    let last = lab.end(RELAY).events.last().copied();
    assert_eq!(last, Some(Event::PendingExpired { peer: pending }));
}

#[test]
fn who_refuses_strangers_says_nothing() {
    let mut lab = Lab::new();
    lab.add(RELAY, 1, UnknownKeys::Refuse);
    lab.add(AGENT, 2, UnknownKeys::Refuse);
    lab.add_relay_to_agent();
    assert_eq!(lab.settle(), 1);
    assert_eq!(lab.dropped(RELAY, DropReason::UnknownKey), 1);
}

#[test]
fn attack_33_one_prefix_takes_few_places_in_the_garden() {
    let mut lab = Lab::new();
    lab.add(RELAY, 1, UnknownKeys::Garden);
    for stranger in 0..PENDING_PER_PREFIX_MAX + 4 {
        if stranger % 50 == 0 {
            // The load of one second is not what is looked at here.
            lab.now += Duration::from_secs(1);
        }
        join_with(&mut lab, stranger as u64, &format!("198.51.100.7:{}", 40_000 + stranger));
    }
    let pending = lab.end(RELAY).overlay.counters().pending_added;
    assert_eq!(pending, PENDING_PER_PREFIX_MAX as u64);
    assert!(lab.dropped(RELAY, DropReason::PendingPrefixFull) > 0);
}

#[test]
fn the_garden_is_bounded_and_members_still_come_in_when_it_is_full() {
    let mut lab = Lab::new();
    lab.add(RELAY, 1, UnknownKeys::Garden);
    for stranger in 0..PENDING_MAX + 4 {
        if stranger % 128 == 0 {
            // The load of one second is not what is looked at here.
            lab.now += Duration::from_secs(1);
        }
        join_with(
            &mut lab,
            stranger as u64,
            &format!("10.0.{}.{}:1", stranger / 250, stranger % 250),
        );
    }
    assert_eq!(lab.end(RELAY).overlay.counters().pending_added, PENDING_MAX as u64);
    assert!(lab.dropped(RELAY, DropReason::PendingFull) > 0);

    lab.add(AGENT, 2, UnknownKeys::Refuse);
    let agent = lab.add_agent_to_relay();
    lab.add_relay_to_agent();
    lab.settle();
    assert!(lab.is_up(RELAY, agent));
}

fn join_with(lab: &mut Lab, key: u64, at: &str) {
    lab.add_with_key(at, [&[3; 24][..], &key.to_le_bytes()].concat().try_into().unwrap());
    add_relay(lab, at);
}

fn add_relay(lab: &mut Lab, at: &str) {
    let public_key = lab.key(RELAY);
    let peer = Peer {
        public_key,
        preshared_key: None,
        endpoint: Some(address(RELAY)),
        persistent_keepalive: Some(25),
        sources: NODE,
    };
    lab.add_peer(at, peer);
    lab.settle();
    // It has asked; it need not live on.
    lab.ends.remove(&address(at));
}

fn pending(lab: &mut Lab) -> PeerId {
    let Some(Event::Pending { peer, .. }) = lab.end(RELAY).events.first() else {
        panic!("nobody waits in the garden")
    };
    *peer
}
