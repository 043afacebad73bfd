//! A peer falls silent, comes back, or has started anew.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use bore_netstack::limits::{START_GRACE, USER_TIMEOUT};
use bore_netstack::{PeerConfig, TcpFlow};

use crate::lab::{After, Lab, PEER, addr, context, read, ready, service, stack, write};

#[test]
fn an_outage_of_forty_seconds_is_survived_and_its_end_is_not_waited_for() {
    let mut lab = Lab::new();
    let (opened, accepted) = lab.established();
    lab.is_cut = true;
    write(&opened, b"sent into the outage");
    lab.run_for(Duration::from_secs(40));
    assert_eq!(read(&accepted).0, b"");
    lab.is_cut = false;

    let back = lab.now;
    lab.relay.heard_from(PEER, lab.now);
    let heard = lab.until(|_| Some(read(&accepted).0).filter(|heard| !heard.is_empty()));

    assert_eq!(heard, b"sent into the outage");
    let waited = lab.now - back;
    assert!(waited < Duration::from_millis(100), "a doubled timeout was waited for: {waited:?}");
}

#[test]
fn a_closed_window_is_asked_about_when_the_path_comes_back() {
    let mut lab = Lab::new();
    let (opened, accepted) = lab.established();
    while write(&opened, &[7; 65_536]) > 0 {
        lab.run_for(Duration::from_secs(1));
    }
    lab.is_cut = true;
    // Its news that there is room again are lost.
    read(&accepted);
    lab.run_for(Duration::from_secs(40));
    lab.is_cut = false;

    let back = lab.now;
    lab.relay.heard_from(PEER, lab.now);
    lab.until(|_| Some(read(&accepted).0).filter(|heard| !heard.is_empty()));
    let waited = lab.now - back;
    assert!(waited < Duration::from_millis(200), "{waited:?}");
}

#[test]
fn idle_flows_of_a_peer_without_a_session_end_after_two_minutes_of_its_silence() {
    let mut lab = Lab::new();
    let (opened, _accepted) = lab.established();
    lab.relay.heard_from(PEER, lab.now);
    lab.run_for(Duration::from_secs(105));
    lab.relay.pause_peer(PEER, true);
    lab.run_for(USER_TIMEOUT - Duration::from_secs(106));
    assert_eq!(read(&opened).1, After::More);
    lab.run_for(Duration::from_secs(2));
    assert_eq!(read(&opened).1, After::Error(ErrorKind::TimedOut));
    assert_eq!(lab.relay.counters().flows_timed_out, 1);
}

#[test]
fn idle_flows_of_a_peer_that_was_silent_for_longer_end_with_its_session() {
    let mut lab = Lab::new();
    let (opened, _accepted) = lab.established();
    lab.run_for(Duration::from_secs(170));
    assert_eq!(read(&opened).1, After::More, "the session may only rest");
    lab.relay.pause_peer(PEER, true);
    lab.run_for(Duration::from_secs(1));
    assert_eq!(read(&opened).1, After::Error(ErrorKind::TimedOut));
}

#[test]
fn a_peer_that_comes_back_in_time_keeps_its_flows() {
    let mut lab = Lab::new();
    let (opened, accepted) = lab.established();
    for _ in 0..2 {
        lab.run_for(Duration::from_secs(105));
        lab.relay.pause_peer(PEER, true);
        lab.run_for(Duration::from_secs(10));
        lab.relay.heard_from(PEER, lab.now);
        lab.relay.pause_peer(PEER, false);
    }
    write(&opened, b"still here");
    lab.run_for(Duration::from_secs(1));
    assert_eq!(read(&accepted).0, b"still here");
}

#[test]
fn a_start_that_is_heard_in_an_answer_ends_the_flows_of_the_one_before() {
    let mut lab = Lab::new();
    let (opened, _accepted) = lab.established();
    restart_agent(&mut lab);
    let listener = lab.listen();
    let connect = lab.connect_from(addr("203.0.113.9:50001")).unwrap();
    let accepted = lab.incoming(&listener).accept().unwrap();
    let newer = lab.until_connected(connect).unwrap();
    lab.run_for(START_GRACE);
    assert_eq!(read(&opened).1, After::Error(ErrorKind::ConnectionReset));
    write(&newer, b"new");
    lab.run_for(Duration::from_secs(1));
    assert_eq!(read(&accepted).0, b"new");
}

#[test]
fn a_start_that_is_heard_in_a_call_ends_the_flows_of_the_one_before() {
    let mut lab = Lab::new();
    let (opened, _accepted) = lab.established();
    restart_agent(&mut lab);
    let control = addr("100.64.0.1:80");
    let listener = lab.relay.listen(control.ip(), 80..=80, Some(PEER)).unwrap();
    let source = addr("100.64.0.7:50000");
    let call = lab.agent.connect(PEER, source, control, Duration::from_secs(20), lab.now).unwrap();
    let _incoming = lab.until(|_| ready(listener.poll_accept(&mut context())));
    assert_eq!(read(&opened).1, After::More, "two nodes with one identity hear which is refused");
    lab.run_for(START_GRACE);
    assert_eq!(read(&opened).1, After::Error(ErrorKind::ConnectionReset));
    drop(call);
}

#[test]
fn a_start_that_is_refused_ends_no_flow_of_the_one_before() {
    let mut lab = Lab::new();
    let (opened, _accepted) = lab.established();
    restart_agent(&mut lab);
    let control = addr("100.64.0.1:80");
    let listener = lab.relay.listen(control.ip(), 80..=80, Some(PEER)).unwrap();
    for port in 50_000..50_003 {
        let source = SocketAddr::new(service().ip(), port);
        let call = lab.agent.connect(PEER, source, control, Duration::from_secs(20), lab.now);
        let incoming = lab.until(|_| ready(listener.poll_accept(&mut context())));
        lab.relay.keep_earlier_start(PEER);
        // It is heard again before the grace for its first call is over.
        lab.run_for(START_GRACE - Duration::from_secs(1));
        drop((call, incoming));
    }
    lab.run_for(START_GRACE);
    assert_eq!(read(&opened).1, After::More);
}

#[test]
fn a_flow_whose_reset_was_lost_is_found_by_its_question() {
    let mut lab = Lab::new();
    let opened = lose_a_reset(&mut lab, Duration::from_secs(60), Duration::from_secs(1));
    // Up to a quarter later, and a round trip.
    lab.run_for(Duration::from_secs(76));
    assert_eq!(read(&opened).1, After::Error(ErrorKind::ConnectionReset));
}

#[test]
fn after_a_long_silence_idle_flows_ask_soon() {
    let mut lab = Lab::new();
    let opened = lose_a_reset(&mut lab, Duration::from_secs(3_600), Duration::from_secs(40));
    lab.relay.heard_from(PEER, lab.now);
    lab.run_for(Duration::from_secs(6));
    assert_eq!(read(&opened).1, After::Error(ErrorKind::ConnectionReset));
}

/// The agent resets its end while nothing passes for `outage`; gives the relay's end, which does not know.
fn lose_a_reset(lab: &mut Lab, keep_alive: Duration, outage: Duration) -> TcpFlow {
    let keep_alive = Some(keep_alive);
    lab.relay.add_peer(PEER, PeerConfig { keep_alive, ..PeerConfig::default() });
    let (opened, accepted) = lab.established();
    lab.is_cut = true;
    accepted.abort();
    lab.run_for(outage);
    lab.is_cut = false;
    lab.run_for(Duration::from_millis(100));
    assert_eq!(read(&opened).1, After::More);
    opened
}

/// As kill -9 and a start do: nothing is said, and nothing is known.
fn restart_agent(lab: &mut Lab) {
    lab.agent = stack(77);
    lab.agent.add_local(service().ip());
}
