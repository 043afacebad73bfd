//! One peer misbehaves; its neighbour does not notice.

use std::net::SocketAddr;
use std::time::Duration;

use bore_netstack::limits::{CONTROL_REPLIES_PER_SECOND_MAX, HALF_OPEN_PER_PEER_MAX};
use bore_netstack::{PeerConfig, PeerKey, TcpFlow, Verdict};
use smoltcp::wire::TcpControl;

use crate::lab::{After, Lab, PEER, addr, context, drain_to, read, ready, service, write};
use crate::raw::{Raw, sequence, tcp};

const ATTACKER: PeerKey = PeerKey(66);

#[test]
fn attack_36_syn_flood_of_one_peer_leaves_its_neighbour_alone() {
    let mut lab = attacked();
    let listener = lab.agent.listen(service().ip(), 9000..=9000, Some(ATTACKER)).unwrap();
    let mut undecided = Vec::new();
    for index in 0..5_000u32 {
        let source = SocketAddr::new(std::net::Ipv4Addr::from_bits(0x0a00_0001 + index).into(), 9);
        let syn = Raw::syn(source, SocketAddr::new(service().ip(), 9000)).packet();
        assert_eq!(lab.agent.handle_packet(ATTACKER, &syn, lab.now), Verdict::Consumed);
        undecided.extend(ready(listener.poll_accept(&mut context())));
    }
    assert_eq!(lab.agent.counters().syns_dropped, 5_000 - HALF_OPEN_PER_PEER_MAX as u64);
    assert_eq!((lab.agent.flow_count(), drain_to(&lab.agent, lab.now).len()), (0, 0));
    neighbour_transfers(&mut lab);
    assert_eq!(undecided.len(), HALF_OPEN_PER_PEER_MAX);
    lab.run_for(Duration::from_secs(31));
    assert_eq!(lab.agent.counters().half_open_expired, HALF_OPEN_PER_PEER_MAX as u64);
    assert!(ready(listener.poll_accept(&mut context())).is_none(), "nothing stale is given out");
}

#[test]
fn attack_36_storm_of_unmatched_segments_is_answered_within_the_rate() {
    let mut lab = attacked();
    for port in 1..5_000 {
        let destination = SocketAddr::new(service().ip(), port);
        let stray = Raw {
            control: TcpControl::None,
            acknowledgment: Some(1),
            ..Raw::syn(addr("203.0.113.66:6"), destination)
        };
        let stray = stray.packet();
        assert_eq!(lab.agent.handle_packet(ATTACKER, &stray, lab.now), Verdict::Unmatched);
    }
    let resets = lab.agent.counters().resets_sent;
    assert_eq!(resets, u64::from(CONTROL_REPLIES_PER_SECOND_MAX));
    neighbour_transfers(&mut lab);
}

#[test]
fn attack_36_out_of_order_storm_is_bounded() {
    let mut lab = attacked();
    let attack = Attack::open(&lab);
    for round in 0..20_000u32 {
        // Every second segment: holes without end.
        let sequence = 1001 + 100 + (round % 600) * 107;
        attack.send(&lab, TcpControl::None, sequence, 64_000, &[1; 50]);
    }
    let answers = crate::lab::drain(&lab.agent, lab.now).len();
    assert!(answers <= 2, "one acknowledgment tells of all, not {answers}");
    assert!(lab.agent.buffer_bytes() < 200_000, "{} bytes are held", lab.agent.buffer_bytes());
    assert_eq!(read(&attack.flow), (Vec::new(), After::More));
    neighbour_transfers(&mut lab);
}

#[test]
fn attack_36_a_byte_at_the_end_of_every_window_takes_no_more_than_the_peers_share() {
    let mut lab = attacked();
    // Windows of 64 KiB each, 256 MiB together.
    let attacks: Vec<Attack> = (1..=4_096).map(|port| Attack::open_from(&lab, port)).collect();
    for attack in &attacks {
        attack.send(&lab, TcpControl::None, 1001 + 65_000, 64_000, b"x");
    }
    let held = lab.agent.buffer_bytes();
    assert!(held <= bore_netstack::limits::BUFFERS_PER_PEER_BYTES_MAX + 4_096 * 2_048, "{held}");
    neighbour_transfers(&mut lab);
}

#[test]
fn attack_36_zero_window_peers_hold_only_their_own_buffers() {
    let mut lab = attacked();
    let attack = Attack::open(&lab);
    attack.send(&lab, TcpControl::None, 1001, 0, &[]);
    let written = write(&attack.flow, &[9; 200_000]);
    assert_eq!(written as u64, bore_netstack::limits::SEND_INITIAL_BYTES, "then writing waits");
    neighbour_transfers(&mut lab);
    lab.run_for(Duration::from_secs(120));
    let over = read(&attack.flow).1;
    assert_eq!(over, After::Error(std::io::ErrorKind::TimedOut), "probes unanswered");
}

#[test]
fn attack_36_data_beyond_the_window_before_our_first_ack_is_harmless() {
    let lab = attacked();
    let source = addr("203.0.113.66:6");
    let connect =
        lab.agent.connect(ATTACKER, source, service(), Duration::from_secs(5), lab.now).unwrap();
    // Before the SYN has left: a simultaneous open, and a lucky SYN-ACK.
    for acknowledgment in [None, Some(1)] {
        let early = Raw { acknowledgment, ..Raw::syn(service(), source) };
        let _ = lab.agent.handle_packet(ATTACKER, &early.packet(), lab.now);
    }
    let syn = drain_to(&lab.agent, lab.now);
    let next = sequence(&tcp(&syn[0].1)).wrapping_add(1);
    let answer = Raw { acknowledgment: Some(next), ..Raw::syn(service(), source) };
    let _ = lab.agent.handle_packet(ATTACKER, &answer.packet(), lab.now);
    for index in 0..200u32 {
        let data = Raw {
            control: TcpControl::None,
            sequence: 1001 + index * 1000,
            acknowledgment: Some(next),
            payload: &[5; 1000],
            ..Raw::syn(service(), source)
        };
        let _ = lab.agent.handle_packet(ATTACKER, &data.packet(), lab.now);
    }
    assert!(!drain_to(&lab.agent, lab.now).is_empty());
    drop(connect);
}

#[test]
fn attack_36_flows_of_one_peer_are_bounded() {
    let mut lab = attacked();
    let listener = lab.agent.listen(service().ip(), 9000..=9000, Some(ATTACKER)).unwrap();
    let mut flows = Vec::new();
    let one_too_many = u32::try_from(bore_netstack::limits::FLOWS_PER_PEER_MAX).unwrap();
    let refused = (0..=one_too_many).find_map(|index| {
        let source = SocketAddr::new(std::net::Ipv4Addr::from_bits(0x0a00_0001 + index).into(), 9);
        let syn = Raw::syn(source, SocketAddr::new(service().ip(), 9000)).packet();
        let _ = lab.agent.handle_packet(ATTACKER, &syn, lab.now);
        let accepted = ready(listener.poll_accept(&mut context())).unwrap().accept();
        accepted.map(|flow| flows.push(flow)).err()
    });
    assert_eq!(refused, Some(bore_netstack::AcceptError::Full));
    assert_eq!(flows.len(), bore_netstack::limits::FLOWS_PER_PEER_MAX);
    drain_to(&lab.agent, lab.now);
    neighbour_transfers(&mut lab);
}

fn attacked() -> Lab {
    let lab = Lab::new();
    lab.agent.add_peer(ATTACKER, PeerConfig::default());
    lab
}

/// A flow of the attacker in ESTABLISHED.
struct Attack {
    flow: TcpFlow,
    next: u32,
}

impl Attack {
    fn open(lab: &Lab) -> Self {
        Self::open_from(lab, 6)
    }

    fn open_from(lab: &Lab, port: u16) -> Self {
        let listener = lab.agent.listen(service().ip(), 9000..=9000, Some(ATTACKER)).unwrap();
        let source = SocketAddr::new(addr("203.0.113.66:6").ip(), port);
        let syn = Raw::syn(source, addr("100.64.0.7:9000"));
        let _ = lab.agent.handle_packet(ATTACKER, &syn.packet(), lab.now);
        let flow = ready(listener.poll_accept(&mut context())).unwrap().accept().unwrap();
        let answer = drain_to(&lab.agent, lab.now);
        let next = sequence(&tcp(&answer[0].1)).wrapping_add(1);
        let attack = Self { flow, next };
        attack.send(lab, TcpControl::None, 1001, 64_000, &[]);
        attack
    }

    fn send(&self, lab: &Lab, control: TcpControl, sequence: u32, window: u16, payload: &[u8]) {
        let segment = Raw {
            source: self.flow.source(),
            destination: self.flow.destination(),
            control,
            sequence,
            acknowledgment: Some(self.next),
            window,
            sack: [None; 3],
            timestamps: None,
            payload,
        };
        let _ = lab.agent.handle_packet(ATTACKER, &segment.packet(), lab.now);
    }
}

fn neighbour_transfers(lab: &mut Lab) {
    let (opened, accepted) = lab.established();
    let data = vec![42; 300_000];
    let (mut written, mut received) = (0, 0);
    lab.until(|_| {
        written += write(&opened, &data[written..]);
        received += read(&accepted).0.len();
        (received == data.len()).then_some(())
    });
    assert_eq!(opened.peer(), PEER);
}
