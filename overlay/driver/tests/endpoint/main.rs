//! The loop of a shard in virtual time, on wires that are full, narrow, or take no segments.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the lab's helpers lie outside the functions that clippy knows as tests"
)]

mod lab;

use std::time::Duration;

use bore_overlay::Event;
use lab::{Lab, take, write};

#[test]
fn a_train_leaves_with_one_send_once_the_path_has_carried_one() {
    let mut lab = Lab::new();
    let (from, to) = lab.flow();
    lab.transfer(&from, &to, 200_000);
    let (sends, datagrams) = (lab.relay.wire.sends, lab.relay.datagrams_sent());

    lab.transfer(&from, &to, 2_000_000);
    let (sends, datagrams) = (lab.relay.wire.sends - sends, lab.relay.datagrams_sent() - datagrams);
    assert!(datagrams > 5 * sends, "{datagrams} datagrams with {sends} sends");
}

#[test]
fn what_finds_no_room_leaves_first_once_there_is_some() {
    let mut lab = Lab::new();
    let (from, to) = lab.flow();
    lab.transfer(&from, &to, 200_000);
    lab.relay.wire.room = 2;
    lab.transfer(&from, &to, 1_000_000);

    let (other, to_other) = lab.flow();
    lab.transfer(&other, &to_other, 200_000);
    let before = lab.relay.sealed_bytes();
    lab.relay.wire.room = 0;
    for flow in [&from, &other] {
        assert_eq!(write(flow, 0..20_000), 20_000);
    }
    lab.step();
    assert!(lab.relay.endpoint.is_blocked());
    lab.run(Duration::from_millis(100));
    let sealed = lab.relay.sealed_bytes() - before;
    assert!((10_000..30_000).contains(&sealed), "{sealed} bytes: the train of one flow waits");

    lab.relay.wire.room = usize::MAX;
    lab.run(Duration::from_millis(500));
    assert_eq!([take(&to, 0), take(&to_other, 0)], [20_000; 2]);
    assert!(!lab.relay.endpoint.is_blocked());
}

#[test]
fn a_kernel_that_refuses_segments_gets_one_datagram_after_the_other() {
    let mut lab = Lab::new();
    let (from, to) = lab.flow();
    lab.transfer(&from, &to, 200_000);
    lab.relay.wire.takes_segments = false;

    lab.transfer(&from, &to, 1_000_000);
    let counters = lab.relay.endpoint.counters();
    assert_eq!(counters.overlay.segments_refused, 1, "it is not tried again at once");
    assert_eq!(counters.driver.send_failed, 0, "nothing was lost");
}

#[test]
fn a_path_that_becomes_narrower_is_followed() {
    let mut lab = Lab::new();
    let (from, to) = lab.flow();
    lab.transfer(&from, &to, 200_000);
    assert_eq!(lab.relay.endpoint.overlay().packet_bytes_max(lab.relay.peer), 1_280);
    lab.relay.wire.longest = 1_240;

    lab.transfer(&from, &to, 1_000_000);
    assert_eq!(lab.relay.endpoint.overlay().packet_bytes_max(lab.relay.peer), 1_200);
}

#[test]
fn events_wait_for_their_reader() {
    let mut lab = Lab::new();
    lab.relay.wire.takes_events = false;
    lab.run(Duration::from_millis(100));
    assert_eq!(lab.relay.wire.events, []);

    lab.relay.wire.takes_events = true;
    lab.step();
    assert!(matches!(lab.relay.wire.events[..], [Event::TunnelUp { .. }]));
}
