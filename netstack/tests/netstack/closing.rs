//! How flows end: FIN, RST, silence, removal.

use std::io::ErrorKind;
use std::time::Duration;

use bore_netstack::{ConnectError, PeerConfig, TcpFlow};

use crate::lab::{After, Lab, PEER, addr, context, drain, read, ready, service, visitor, write};

#[test]
fn what_a_callee_says_between_accepting_and_resetting_is_read_even_if_all_of_it_comes_at_once() {
    let mut lab = Lab::new();
    // The caller knows the start of the other node: its answer need not wait for the handshake.
    drop(lab.established());
    lab.run_for(Duration::from_secs(1));
    let listener = lab.agent.listen(service().ip(), 8081..=8081, Some(PEER)).unwrap();
    let (source, destination) = (addr("203.0.113.9:50001"), addr("100.64.0.7:8081"));
    let wait = Duration::from_secs(20);
    let connect = lab.relay.connect(PEER, source, destination, wait, lab.now).unwrap();
    let accepted = lab.incoming(&listener).accept().unwrap();
    write(&accepted, b"ERR too many clients");
    let mut packets = drain(&lab.agent, lab.now);
    accepted.abort();
    packets.extend(drain(&lab.agent, lab.now));
    for packet in &packets {
        let _ = lab.relay.handle_packet(PEER, packet, lab.now);
    }
    let opened = lab.until_connected(connect).unwrap();
    let reset = After::Error(ErrorKind::ConnectionReset);
    assert_eq!(read(&opened), (b"ERR too many clients".to_vec(), reset));
}

#[test]
fn either_side_can_close_its_half_and_read_on() {
    for visitor_first in [true, false] {
        let mut lab = Lab::new();
        let (opened, accepted) = lab.established();
        let (first, second) = if visitor_first { (opened, accepted) } else { (accepted, opened) };
        write(&first, b"request");
        first.shutdown();
        lab.until_idle();
        assert_eq!(read(&second), (b"request".to_vec(), After::End));
        assert!(ready(first.poll_write(&mut context(), b"x")).is_some_and(is_broken_pipe));

        write(&second, b"answer");
        lab.until_idle();
        assert_eq!(read(&first), (b"answer".to_vec(), After::More));
        second.shutdown();
        lab.until_idle();
        assert_eq!(read(&first), (Vec::new(), After::End));
        assert!(matches!(ready(first.poll_flushed(&mut context())), Some(Ok(()))));
        assert!(matches!(ready(second.poll_flushed(&mut context())), Some(Ok(()))));
        assert!(ready(first.poll_reset(&mut context())).is_none(), "a clean end is no reset");
    }
}

#[test]
fn the_end_of_the_stream_comes_after_everything_received_even_much_later() {
    let mut lab = Lab::new();
    let (opened, accepted) = lab.established();
    opened.shutdown();
    lab.until_idle();
    write(&accepted, b"last words");
    accepted.shutdown();
    // TIME-WAIT is over long before the reader comes.
    lab.run_for(Duration::from_secs(300));
    assert_eq!(read(&opened), (b"last words".to_vec(), After::End));
}

#[test]
fn abort_on_either_side_resets_the_other() {
    for visitor_aborts in [true, false] {
        let mut lab = Lab::new();
        let (opened, accepted) = lab.established();
        let (aborting, other) =
            if visitor_aborts { (opened, accepted) } else { (accepted, opened) };
        write(&aborting, b"data before");
        lab.until_idle();
        assert!(ready(other.poll_reset(&mut context())).is_none());
        aborting.abort();
        lab.until_idle();
        assert!(ready(other.poll_reset(&mut context())).is_some());
        let expected = (b"data before".to_vec(), After::Error(ErrorKind::ConnectionReset));
        assert_eq!(read(&other), expected);
        assert_eq!(read(&aborting).1, After::Error(ErrorKind::ConnectionAborted));
        drop((aborting, other));
        assert_eq!((lab.relay.flow_count(), lab.agent.flow_count()), (0, 0));
    }
}

#[test]
fn drop_without_shutdown_or_with_unread_data_resets() {
    for has_unread in [true, false] {
        let mut lab = Lab::new();
        let (opened, accepted) = lab.established();
        if has_unread {
            write(&opened, b"nobody reads this");
            lab.until_idle();
            accepted.shutdown();
        }
        drop(accepted);
        lab.until_idle();
        assert_eq!(read(&opened).1, After::Error(ErrorKind::ConnectionReset));
        assert_eq!(lab.agent.flow_count(), 0);
    }
}

#[test]
fn drop_after_shutdown_closes_in_the_background() {
    let mut lab = Lab::new();
    let (opened, accepted) = lab.established();
    write(&accepted, &[7; 50_000]);
    accepted.shutdown();
    drop(accepted);
    assert_eq!(lab.agent.counters().flows_lingered, 1);
    lab.run_for(Duration::from_secs(5));
    let (bytes, after) = read(&opened);
    assert_eq!((bytes.len(), after), (50_000, After::End));
    opened.shutdown();
    lab.until_idle();
    assert_eq!(lab.agent.flow_count(), 0, "a record is left, not a socket");
}

#[test]
fn data_for_a_dropped_handle_resets() {
    let mut lab = Lab::new();
    let (opened, accepted) = lab.established();
    accepted.shutdown();
    drop(accepted);
    lab.until_idle();
    write(&opened, b"too late");
    lab.until_idle();
    assert_eq!(read(&opened).1, After::End, "FIN came before RST");
    assert!(ready(opened.poll_reset(&mut context())).is_some());
    assert_eq!(lab.agent.flow_count(), 0);
}

#[test]
fn fin_wait_2_without_a_handle_is_bounded() {
    let mut lab = Lab::new();
    let (opened, accepted) = lab.established();
    accepted.shutdown();
    drop(accepted);
    lab.run_for(Duration::from_secs(59));
    assert_eq!(lab.agent.flow_count(), 1);
    lab.run_for(Duration::from_secs(3));
    assert_eq!(lab.agent.flow_count(), 0);
    assert!(ready(opened.poll_reset(&mut context())).is_some());
}

#[test]
fn a_removed_peer_resets_its_flows_and_its_attempts() {
    let mut lab = Lab::new();
    let (opened, accepted) = lab.established();
    let connect = lab.connect_from(addr("203.0.113.9:50001")).unwrap();
    lab.relay.remove_peer(PEER);
    assert_eq!(read(&opened), (Vec::new(), After::Error(ErrorKind::ConnectionReset)));
    assert_eq!(lab.until_connected(connect).unwrap_err(), ConnectError::PeerGone);
    drop(opened);
    assert_eq!(lab.relay.flow_count(), 0);

    lab.relay.add_peer(PEER, PeerConfig::default());
    write(&accepted, b"hello?");
    lab.until_idle();
    assert_eq!(read(&accepted).1, After::Error(ErrorKind::ConnectionReset), "no flow, so RST");
}

#[test]
fn an_idle_flow_lives_for_hours_and_holds_no_timer() {
    let mut lab = Lab::new();
    let (opened, accepted) = lab.established();
    write(&opened, b"once");
    lab.run_for(Duration::from_secs(5));
    assert_eq!(read(&accepted).0, b"once");
    lab.run_for(Duration::from_secs(5));
    assert_eq!(lab.next_event(), None);
    lab.run_for(Duration::from_secs(5 * 3600));
    write(&accepted, b"again");
    lab.until_idle();
    assert_eq!(read(&opened), (b"again".to_vec(), After::More));
}

#[test]
fn unanswered_data_ends_the_flow_after_the_user_timeout() {
    let mut lab = Lab::new();
    let (opened, _accepted) = lab.established();
    lab.run_for(Duration::from_secs(3600));
    lab.is_cut = true;
    write(&opened, b"anybody?");
    lab.run_for(Duration::from_secs(119));
    assert_eq!(read(&opened).1, After::More);
    lab.run_for(Duration::from_secs(2));
    assert_eq!(read(&opened).1, After::Error(ErrorKind::TimedOut));
    assert_eq!(lab.relay.counters().flows_timed_out, 1);
}

#[test]
fn giving_up_after_lost_segments_still_resets_the_other_end() {
    let mut lab = Lab::new();
    let (opened, accepted) = lab.established();
    write(&opened, &[1; 2_000]);
    lab.exchange();
    // The data arrives, its acknowledgment does not, and the sender starts over from the beginning.
    lab.run_for(Duration::from_millis(9));
    lab.is_cut = true;
    lab.run_for(Duration::from_secs(2));
    lab.is_cut = false;
    assert_eq!(read(&accepted).0.len(), 2_000);
    opened.abort();
    lab.until_idle();
    assert_eq!(read(&accepted).1, After::Error(ErrorKind::ConnectionReset));
}

#[test]
fn keep_alive_finds_a_dead_peer_and_leaves_a_living_one() {
    let mut lab = Lab::new();
    let (opened, accepted) = lab.established();
    opened.set_keep_alive(Some(Duration::from_secs(30)));
    lab.run_for(Duration::from_secs(600));
    assert_eq!(read(&opened).1, After::More);
    lab.is_cut = true;
    lab.run_for(Duration::from_secs(160));
    assert_eq!(read(&opened).1, After::Error(ErrorKind::TimedOut));
    assert_eq!(read(&accepted), (Vec::new(), After::More), "probes are no data");
}

#[test]
fn a_new_syn_replaces_a_flow_in_time_wait() {
    for visitor_closes_first in [true, false] {
        let mut lab = Lab::new();
        let (opened, accepted) = lab.established();
        close(&mut lab, visitor_closes_first, &opened, &accepted);
        // The one with TIME-WAIT still holds its handle.
        let (again, _other) = lab.established();
        assert_eq!(again.source(), visitor());
        drop((opened, accepted));
        write(&again, b"fresh");
        lab.until_idle();
        assert_eq!(lab.relay.flow_count(), 1);
    }
}

#[test]
fn a_lost_last_ack_is_repeated_from_the_time_wait_record() {
    let mut lab = Lab::new();
    let (opened, accepted) = lab.established();
    opened.shutdown();
    lab.until_idle();
    assert_eq!(read(&accepted).1, After::End);
    accepted.shutdown();
    lab.exchange();
    // The FIN is on its way; what the visitor answers is lost.
    lab.run_for(Duration::from_millis(9));
    lab.is_cut = true;
    lab.run_for(Duration::from_millis(100));
    lab.is_cut = false;
    assert!(ready(accepted.poll_flushed(&mut context())).is_none());
    drop(opened);
    assert_eq!(lab.relay.flow_count(), 0);
    lab.run_for(Duration::from_secs(3));
    assert!(matches!(ready(accepted.poll_flushed(&mut context())), Some(Ok(()))));
}

#[test]
fn a_paused_peer_is_not_polled_and_goes_on_afterwards() {
    let mut lab = Lab::new();
    let (opened, accepted) = lab.established();
    lab.relay.pause_peer(PEER, true);
    write(&opened, b"later");
    lab.run_for(Duration::from_secs(10));
    assert_eq!(read(&accepted).0, b"");
    lab.relay.pause_peer(PEER, false);
    lab.until_idle();
    assert_eq!(read(&accepted).0, b"later");
}

fn close(lab: &mut Lab, visitor_first: bool, opened: &TcpFlow, accepted: &TcpFlow) {
    let (first, second) = if visitor_first { (opened, accepted) } else { (accepted, opened) };
    first.shutdown();
    lab.until_idle();
    second.shutdown();
    lab.until_idle();
    assert_eq!((read(first).1, read(second).1), (After::End, After::End));
}

fn is_broken_pipe(result: std::io::Result<usize>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
