//! What happens as time passes: rekeys, keepalives, retries, expiry.

use std::time::{Duration, Instant};

use bore_overlay::Event;

use crate::lab::{AGENT, Datagram, Lab, NODE_V6, RELAY, kind, udp_packet};

#[test]
fn an_idle_tunnel_is_kept_open_and_rekeyed_for_ever() {
    let (mut lab, agent, relay) = Lab::connected();
    lab.advance(Duration::from_secs(3_600), true);
    assert!(lab.is_up(RELAY, agent) && lab.is_up(AGENT, relay));
    assert_eq!(lab.end(RELAY).events.len(), 1, "it was never down");
    let handshakes = lab.end(AGENT).overlay.counters().handshakes_completed;
    assert!((25..=31).contains(&handshakes), "{handshakes} in an hour");
    let keepalives = lab.end(AGENT).overlay.counters().keepalives_sent;
    assert!((100..=150).contains(&keepalives), "{keepalives} in an hour");
}

#[test]
fn a_busy_tunnel_never_misses_a_packet_over_its_rekeys() {
    let (mut lab, agent, relay) = Lab::connected();
    for _ in 0..400 {
        lab.advance(Duration::from_secs(1), true);
        assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
        assert!(lab.send(RELAY, agent, &udp_packet(NODE_V6)));
        lab.settle();
    }
    assert_eq!((lab.end(RELAY).packets.len(), lab.end(AGENT).packets.len()), (400, 400));
}

#[test]
fn data_that_nobody_answers_is_answered_by_a_keepalive_after_ten_seconds() {
    let (mut lab, _, relay) = Lab::connected();
    assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
    lab.settle();
    lab.advance(Duration::from_millis(9_999), true);
    assert_eq!(lab.end(RELAY).overlay.counters().keepalives_sent, 0);
    lab.advance(Duration::from_millis(1), true);
    lab.settle();
    assert_eq!(lab.end(RELAY).overlay.counters().keepalives_sent, 1);
}

#[test]
fn silence_after_data_starts_a_handshake_after_fifteen_seconds() {
    let (mut lab, _, relay) = Lab::connected();
    assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
    let before = initiations(&lab);
    lab.advance(Duration::from_millis(14_999), false);
    assert_eq!(initiations(&lab), before);
    lab.advance(Duration::from_millis(2), false);
    assert_eq!(initiations(&lab), before + 1);
}

#[test]
fn a_session_is_not_used_beyond_its_time() {
    let (mut lab, agent, relay) = Lab::connected();
    assert!(lab.send(AGENT, relay, &udp_packet(NODE_V6)));
    let late: Vec<Datagram> = lab.wire.drain(..).collect();
    lab.advance(Duration::from_secs(180), false);
    lab.deliver(&late[0]);
    assert!(lab.end(RELAY).packets.is_empty());
    assert!(!lab.is_up(RELAY, agent) && !lab.is_up(AGENT, relay));
    assert!(!lab.send(RELAY, agent, &udp_packet(NODE_V6)));
    assert!(lab.end(RELAY).events.contains(&Event::TunnelDown { peer: agent }));
}

#[test]
fn the_first_retries_follow_after_one_two_four_and_five_seconds() {
    let (mut lab, _) = Lab::relay_and_agent();
    let times = initiation_times(&mut lab, Duration::from_secs(30));
    let pauses: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    for (pause, expected) in pauses.iter().zip([1.0, 2.0, 4.0, 5.0, 5.0, 5.0]) {
        assert!((expected..expected + 0.334).contains(pause), "{pauses:?}");
    }
}

#[test]
fn a_lost_peer_is_told_and_tried_again_for_ever_and_comes_back() {
    let (mut lab, agent, relay) = Lab::connected();
    lab.advance(Duration::from_secs(1_800), false);
    assert!(lab.end(AGENT).events.contains(&Event::TunnelDown { peer: relay }));
    assert!(lab.end(RELAY).events.contains(&Event::TunnelDown { peer: agent }));
    let per_hour = lab.end(AGENT).overlay.counters().initiations_sent * 2;
    assert!((200..=800).contains(&per_hour), "{per_hour} initiations an hour");

    lab.advance(Duration::from_secs(61), true);
    assert!(lab.is_up(AGENT, relay) && lab.is_up(RELAY, agent));
    let ups = |events: &[Event]| {
        events.iter().filter(|event| matches!(event, Event::TunnelUp { .. })).count()
    };
    assert_eq!((ups(&lab.end(AGENT).events), ups(&lab.end(RELAY).events)), (2, 2));
}

#[test]
fn a_relay_does_not_call_agents_that_come_to_it() {
    let (mut lab, agent, _) = Lab::connected();
    lab.advance(Duration::from_secs(600), false);
    assert!(!lab.is_up(RELAY, agent));
    assert_eq!(lab.end(RELAY).overlay.counters().initiations_sent, 0);
}

#[test]
fn a_handshake_on_demand_is_sent_at_once_but_not_twice_in_half_a_second() {
    let (mut lab, relay) = Lab::relay_and_agent();
    lab.fire();
    assert_eq!(lab.wire.len(), 1);
    let now = lab.now;
    lab.end(AGENT).overlay.start_handshake(relay, now + Duration::from_millis(499));
    lab.collect();
    assert_eq!(lab.wire.len(), 1);
    lab.end(AGENT).overlay.start_handshake(relay, now + Duration::from_millis(500));
    lab.collect();
    assert_eq!(lab.wire.len(), 2);
}

#[test]
fn every_deadline_has_a_reason_and_none_stays_in_the_past() {
    let (mut lab, ..) = Lab::connected();
    for _ in 0..200 {
        let next = lab.ends.values().filter_map(|end| end.overlay.poll_timeout()).min();
        let (at, reason) = next.unwrap();
        assert!(!reason.is_empty());
        lab.now = lab.now.max(at);
        lab.settle();
        let now = lab.now;
        assert!(lab.ends.values().all(|end| later(end.overlay.poll_timeout(), now)));
    }
}

fn later(timeout: Option<(Instant, &'static str)>, now: Instant) -> bool {
    timeout.is_none_or(|(at, _)| at > now)
}

fn initiations(lab: &Lab) -> usize {
    lab.log.iter().chain(&lab.wire).filter(|sent| kind(sent) == 1).count()
}

/// When initiations leave while nothing gets through.
fn initiation_times(lab: &mut Lab, time: Duration) -> Vec<Instant> {
    let mut times = Vec::new();
    let end = lab.now + time;
    while lab.now < end {
        let sent = lab.intercept();
        times.extend(sent.iter().filter(|sent| kind(sent) == 1).map(|_| lab.now));
        let (next, _) = lab.end(AGENT).overlay.poll_timeout().unwrap();
        lab.now = next;
    }
    times
}
