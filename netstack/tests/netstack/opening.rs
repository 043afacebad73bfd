//! How flows begin, and how they fail to.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bore_netstack::{
    AcceptError, ConnectError, ListenError, PeerConfig, PeerKey, TcpFlow, Unreachable,
};

use crate::lab::{
    After, Lab, PEER, addr, context, drain, read, ready, service, stack, visitor, write,
};
use crate::raw::{Raw, tcp};

#[test]
fn syn_ack_is_held_until_accept() {
    let mut lab = Lab::new();
    let listener = lab.listen();
    let connect = lab.connect();
    let incoming = lab.incoming(&listener);
    assert_eq!((incoming.source, incoming.destination), (visitor(), service()));
    // Longer than the first retransmissions of the SYN, which are absorbed.
    lab.run_for(Duration::from_secs(10));
    assert_eq!(lab.relay.counters().packets_in, 0, "not a word before the decision");
    assert_eq!(lab.agent.flow_count(), 0, "and no socket");

    let accepted = incoming.accept().unwrap();
    let opened = lab.until_connected(connect).unwrap();
    assert_eq!((opened.source(), opened.destination()), (visitor(), service()));
    assert_eq!((accepted.source(), accepted.destination()), (visitor(), service()));
    assert_eq!((opened.info().state, opened.peer()), ("ESTABLISHED", PEER));
}

#[test]
fn reject_with_reset_is_refused_at_the_other_end() {
    let mut lab = Lab::new();
    let listener = lab.listen();
    let connect = lab.connect();
    lab.incoming(&listener).reject_reset();
    assert_eq!(lab.until_connected(connect).unwrap_err(), ConnectError::Refused);
    assert_eq!(lab.relay.flow_count(), 0);
    assert_eq!(lab.agent.counters().resets_sent, 1);
}

#[test]
fn a_dropped_attempt_is_refused() {
    let mut lab = Lab::new();
    let listener = lab.listen();
    let connect = lab.connect();
    drop(lab.incoming(&listener));
    assert_eq!(lab.until_connected(connect).unwrap_err(), ConnectError::Refused);
}

#[test]
fn a_dropped_listener_refuses_who_waits_and_who_comes() {
    let mut lab = Lab::new();
    let listener = lab.listen();
    let waiting = lab.connect();
    lab.run_for(Duration::from_millis(50));
    drop(listener);
    assert_eq!(lab.until_connected(waiting).unwrap_err(), ConnectError::Refused);
    let late = lab.connect();
    assert_eq!(lab.until_connected(late).unwrap_err(), ConnectError::Refused);
    drop(lab.listen());
}

#[test]
fn reject_with_icmp_says_why_at_the_other_end() {
    for kind in
        [Unreachable::Network, Unreachable::Host, Unreachable::Port, Unreachable::Prohibited]
    {
        let mut lab = Lab::new();
        let listener = lab.listen();
        let connect = lab.connect();
        lab.incoming(&listener).reject_unreachable(kind);
        let error = lab.until_connected(connect).unwrap_err();
        assert_eq!(error, ConnectError::Unreachable(kind));
    }
}

#[test]
fn no_answer_times_out() {
    let mut lab = Lab::new();
    lab.is_cut = true;
    let start = lab.now;
    let connect = lab.connect();
    assert_eq!(lab.until_connected(connect).unwrap_err(), ConnectError::TimedOut);
    assert_eq!(lab.now - start, Duration::from_secs(20));
    assert_eq!(lab.relay.counters().flows_timed_out, 1);
}

#[test]
fn an_attempt_given_up_takes_back_its_syn() {
    let mut lab = Lab::new();
    let listener = lab.listen();
    let connect = lab.connect();
    let incoming = lab.incoming(&listener);
    drop(connect);
    lab.until_idle();
    assert_eq!(incoming.accept().unwrap_err(), AcceptError::Gone);
    assert_eq!((lab.relay.flow_count(), lab.agent.flow_count()), (0, 0));
}

#[test]
fn an_undecided_attempt_expires() {
    let mut lab = Lab::new();
    let listener = lab.listen();
    let _connect = lab.connect();
    let incoming = lab.incoming(&listener);
    lab.is_cut = true;
    lab.run_for(Duration::from_secs(31));
    assert_eq!(incoming.accept().unwrap_err(), AcceptError::Gone);
    assert_eq!(lab.agent.counters().half_open_expired, 1);
}

#[test]
fn a_taken_address_pair_is_in_use_and_another_port_is_free() {
    let mut lab = Lab::new();
    let _flows = lab.established();
    assert_eq!(lab.connect_from(visitor()).unwrap_err(), ConnectError::InUse);
    let port = lab.relay.free_port(PEER, visitor().ip(), service()).unwrap();
    assert_ne!(port, visitor().port());
}

#[test]
fn impossible_address_pairs_are_refused_at_once() {
    let lab = Lab::new();
    for source in
        ["0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1", "203.0.113.9:0", "[2001:db8::1]:1"]
    {
        assert_eq!(lab.connect_from(addr(source)).unwrap_err(), ConnectError::Unaddressable);
    }
    let stranger = PeerKey(99);
    let refused =
        lab.relay.connect(stranger, visitor(), service(), Duration::from_secs(1), lab.now);
    assert_eq!(refused.unwrap_err(), ConnectError::PeerGone);
}

#[test]
fn ipv6_and_loopback_sources_work() {
    for (source, destination) in
        [("[2001:db8::9]:5", "[fd00::7]:8080"), ("127.0.0.1:5", "100.64.0.7:8080")]
    {
        let mut lab = Lab::new();
        let (source, destination) = (addr(source), addr(destination));
        let listener = lab.agent.listen(destination.ip(), 8000..=8100, None).unwrap();
        let timeout = Duration::from_secs(5);
        let connect = lab.relay.connect(PEER, source, destination, timeout, lab.now).unwrap();
        let accepted = lab.incoming(&listener).accept().unwrap();
        let opened = lab.until_connected(connect).unwrap();
        write(&opened, b"ping");
        lab.until_idle();
        assert_eq!(read(&accepted), (b"ping".to_vec(), After::More));
    }
}

#[test]
fn a_listener_for_one_peer_hears_only_that_peer() {
    let mut lab = Lab::new();
    lab.agent.add_peer(PeerKey(8), PeerConfig::default());
    let other = lab.agent.listen(service().ip(), 8080..=8080, Some(PeerKey(8))).unwrap();
    let connect = lab.connect();
    assert_eq!(lab.until_connected(connect).unwrap_err(), ConnectError::Refused);
    assert!(ready(other.poll_accept(&mut context())).is_none());
    let twice = lab.agent.listen(service().ip(), 8000..=9000, Some(PeerKey(8)));
    assert_eq!(twice.unwrap_err(), ListenError::InUse);
    let none = lab.agent.listen(service().ip(), 0..=5, None);
    assert_eq!(none.unwrap_err(), ListenError::Ports);
}

#[test]
fn a_second_syn_from_the_same_port_takes_the_place_of_the_first() {
    let mut lab = Lab::new();
    let listener = lab.listen();
    for sequence in [5, 5, 77] {
        let syn = Raw { sequence, ..Raw::syn(visitor(), service()) };
        let _ = lab.agent.handle_packet(PEER, &syn.packet(), lab.now);
    }
    let flow = lab.incoming(&listener).accept().unwrap();
    let answers = drain(&lab.agent, lab.now);
    assert_eq!(answers.len(), 1);
    assert_eq!(tcp(&answers[0]).ack_number().0, 78);
    assert_eq!(flow.info().state, "SYN-RECEIVED");
}

#[test]
fn shutdown_before_the_handshake_is_over_still_sends_everything_and_a_fin() {
    let mut lab = Lab::new();
    let listener = lab.listen();
    let connect = lab.connect();
    let accepted = lab.incoming(&listener).accept().unwrap();
    accepted.shutdown();
    let opened = lab.until_connected(connect).unwrap();
    lab.until_idle();
    assert_eq!(read(&opened), (Vec::new(), After::End));
    assert_eq!(opened.info().state, "CLOSE-WAIT");
    write(&opened, b"still open this way");
    lab.until_idle();
    assert_eq!(read(&accepted).0, b"still open this way");
}

#[test]
fn a_question_travels_with_the_call_and_the_answer_with_the_agreement() {
    let mut lab = Lab::new();
    let before = question_and_answer(&mut lab);
    let after = question_and_answer(&mut lab);
    // 10 ms each way: the handshake and the question, then both at once.
    assert_eq!((before, after), (Duration::from_millis(40), Duration::from_millis(20)));
}

#[test]
fn a_foreign_peer_gets_nothing_before_the_handshake() {
    let mut lab = Lab::new();
    for stack in [&lab.relay, &lab.agent] {
        stack.add_peer(PEER, PeerConfig { is_foreign: true, ..PeerConfig::default() });
    }
    for _ in 0..2 {
        assert_eq!(question_and_answer(&mut lab), Duration::from_millis(40));
    }
}

#[test]
fn checksums_are_left_out_only_towards_one_that_has_said_that_it_does_not_look() {
    // RFC 9293 §3.1: always, if anybody might look.
    for (relay, agent, expected) in
        [(false, false, true), (false, true, false), (true, false, false)]
    {
        let mut lab = Lab::new();
        lab.relay.add_peer(PEER, PeerConfig { is_foreign: agent, ..PeerConfig::default() });
        lab.agent.add_peer(PEER, PeerConfig { is_foreign: relay, ..PeerConfig::default() });
        let listener = lab.listen();
        let connect = lab.connect();
        let syn = drain(&lab.relay, lab.now).pop().unwrap();
        assert!(has_checksum(&syn), "nothing is known of the other side yet");
        let _ = lab.agent.handle_packet(PEER, &syn, lab.now);
        let _accepted = lab.incoming(&listener).accept().unwrap();
        let opened = lab.until_connected(connect).unwrap();
        write(&opened, b"something");
        let data = drain(&lab.relay, lab.now).pop().unwrap();
        assert_eq!(!has_checksum(&data), expected, "{relay} {agent}");
    }
}

fn has_checksum(packet: &[u8]) -> bool {
    let (source, destination) = (visitor().ip().into(), service().ip().into());
    tcp(packet).verify_checksum(&source, &destination)
}

#[test]
fn a_call_with_data_for_an_earlier_start_is_refused_before_any_dial() {
    let mut lab = Lab::new();
    question_and_answer(&mut lab);
    lab.agent = stack(77);
    let listener = lab.listen();
    let connect = lab.connect_from(addr("203.0.113.9:50007")).unwrap();
    assert!(
        ready(connect.poll_write_early(&mut context(), |room| Ok(put(room, b"pay")))).is_some()
    );
    assert_eq!(lab.until_connected(connect).unwrap_err(), ConnectError::Refused);
    assert!(ready(listener.poll_accept(&mut context())).is_none(), "nobody is asked to dial");
    assert_eq!(lab.agent.counters().stale_syns, 1);
    drop(listener);
    question_and_answer(&mut lab);
}

#[test]
fn a_call_without_data_finds_the_new_start_by_itself() {
    let mut lab = Lab::new();
    question_and_answer(&mut lab);
    lab.agent = stack(78);
    let (opened, _accepted) = lab.established();
    assert_eq!((opened.info().state, lab.agent.counters().stale_syns), ("ESTABLISHED", 1));
}

#[test]
fn more_than_may_go_early_waits_for_the_handshake() {
    let mut lab = Lab::new();
    question_and_answer(&mut lab);
    let listener = lab.listen();
    let connect = lab.connect_from(addr("203.0.113.9:50008")).unwrap();
    let mut sent = 0;
    while let std::task::Poll::Ready(Ok(count)) =
        connect.poll_write_early(&mut context(), |room| Ok(put(room, &[7; 9_000])))
    {
        sent += count;
    }
    assert_eq!(sent, bore_netstack::limits::EARLY_BYTES_MAX);
    let incoming = lab.incoming(&listener);
    lab.run_for(Duration::from_millis(5));
    let accepted = incoming.accept().unwrap();
    let opened = lab.until_connected(connect).unwrap();
    lab.until_idle();
    assert_eq!(read(&accepted).0, vec![7; sent]);
    drop(opened);
}

#[test]
fn early_bytes_that_overtake_their_call_do_not_refuse_it() {
    let mut lab = Lab::new();
    question_and_answer(&mut lab);
    let listener = lab.listen();
    let connect = lab.connect_from(addr("203.0.113.9:50009")).unwrap();
    let mut packets = drain(&lab.relay, lab.now);
    let _ = connect.poll_write_early(&mut context(), |room| Ok(put(room, b"question")));
    let soon = lab.now + Duration::from_millis(2);
    lab.relay.handle_timeout(soon);
    packets.extend(drain(&lab.relay, soon));
    assert_eq!(packets.len(), 2, "the call, and what follows it");
    for packet in packets.iter().rev() {
        let _ = lab.agent.handle_packet(PEER, packet, soon);
    }
    let accepted = lab.incoming(&listener).accept().unwrap();
    let _opened = lab.until_connected(connect).unwrap();
    lab.until_idle();
    assert_eq!(read(&accepted).0, b"question");
}

/// Calls, asks, answers; gives how long that took. The source port differs each time.
fn question_and_answer(lab: &mut Lab) -> Duration {
    let began = lab.now;
    let listener = lab.listen();
    let port = 40_000 + u16::try_from(lab.relay.counters().flows_opened).unwrap();
    let mut connect = pin!(lab.connect_from(SocketAddr::new(visitor().ip(), port)).unwrap());
    let _ = connect.poll_write_early(&mut context(), |room| Ok(put(room, b"question")));
    let accepted = lab.incoming(&listener).accept().unwrap();
    let mut is_answered = false;
    let opened = lab.until(|_| {
        answer(&accepted, &mut is_answered);
        ready(connect.as_mut().poll(&mut context()))
    });
    let opened = opened.unwrap();
    if opened.info().sent_bytes == 0 {
        write(&opened, b"question");
    }
    lab.until(|_| {
        answer(&accepted, &mut is_answered);
        (read(&opened).0 == b"answer").then_some(())
    });
    let took = lab.now - began;
    opened.abort();
    lab.until_idle();
    took
}

fn answer(accepted: &TcpFlow, is_answered: &mut bool) {
    if !*is_answered && read(accepted).0 == b"question" {
        *is_answered = write(accepted, b"answer") > 0;
    }
}

fn put(room: &mut [u8], bytes: &[u8]) -> usize {
    let count = room.len().min(bytes.len());
    room[..count].copy_from_slice(&bytes[..count]);
    count
}

#[test]
fn two_that_call_each_other_at_once_get_one_flow() {
    let mut lab = Lab::new();
    let there = lab.connect();
    let timeout = Duration::from_secs(20);
    let back = lab.agent.connect(PEER, service(), visitor(), timeout, lab.now).unwrap();
    let opened = lab.until_connected(there).unwrap();
    let other = lab.until_connected(back).unwrap();
    lab.until_idle();
    assert_eq!((opened.info().state, other.info().state), ("ESTABLISHED", "ESTABLISHED"));
    write(&opened, b"hello");
    lab.until_idle();
    assert_eq!(read(&other).0, b"hello");
}
