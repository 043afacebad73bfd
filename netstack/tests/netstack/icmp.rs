//! Echo, and errors that must not be believed too easily.

use std::time::Duration;

use bore_netstack::Verdict;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, IpProtocol, IpRepr, Ipv4Packet};

use crate::lab::{After, Lab, PEER, drain, read, ready, service, visitor, write};
use crate::raw::Raw;

#[test]
fn echo_to_a_local_address_is_answered_within_the_rate() {
    let lab = Lab::new();
    lab.agent.add_local(service().ip());
    let request = echo_request(b"abcdefgh");
    assert_eq!(lab.agent.handle_packet(PEER, &request, lab.now), Verdict::Consumed);
    let replies = drain(&lab.agent, lab.now);
    let ip = Ipv4Packet::new_checked(&replies[0][..]).unwrap();
    let icmp = Icmpv4Packet::new_checked(ip.payload()).unwrap();
    let reply = Icmpv4Repr::parse(&icmp, &ChecksumCapabilities::default()).unwrap();
    assert_eq!(reply, Icmpv4Repr::EchoReply { ident: 5, seq_no: 6, data: b"abcdefgh" });
    assert_eq!((ip.src_addr(), ip.dst_addr()), (octets(service()), octets(visitor())));

    for _ in 0..1000 {
        let _ = lab.agent.handle_packet(PEER, &request, lab.now);
    }
    let counters = lab.agent.counters();
    assert_eq!((counters.echoes_answered, counters.control_rate_limited), (100, 901));
}

#[test]
fn echo_to_a_foreign_address_is_not_answered() {
    let lab = Lab::new();
    let request = echo_request(b"");
    assert_eq!(lab.agent.handle_packet(PEER, &request, lab.now), Verdict::Unmatched);
    assert!(drain(&lab.agent, lab.now).is_empty());
}

#[test]
fn a_guessed_icmp_error_harms_neither_a_syn_nor_a_flow() {
    let mut lab = Lab::new();
    let connect = lab.connect();
    drain(&lab.relay, lab.now);
    // The 5-tuple is right, the sequence number is a guess.
    let syn = Raw::syn(visitor(), service()).packet();
    let mut buffer = [0; 1280];
    let forged = forge_unreachable(&syn, &mut buffer);
    assert_eq!(lab.relay.handle_packet(PEER, forged, lab.now), Verdict::Consumed);
    assert_eq!(lab.relay.counters().icmp_ignored, 1);
    drop(connect);
    lab.run_for(Duration::from_secs(1));

    let (opened, _accepted) = lab.established();
    let forged = forge_unreachable(&syn, &mut buffer);
    let _ = lab.relay.handle_packet(PEER, forged, lab.now);
    assert!(ready(opened.poll_reset(&mut crate::lab::context())).is_none());
    assert_eq!(read(&opened).1, After::More);
}

fn echo_request(data: &[u8]) -> Vec<u8> {
    let checksums = ChecksumCapabilities::default();
    let repr = Icmpv4Repr::EchoRequest { ident: 5, seq_no: 6, data };
    icmp(visitor(), service(), &repr, &checksums)
}

fn forge_unreachable<'b>(quoted: &[u8], buffer: &'b mut [u8]) -> &'b [u8] {
    let mut message = vec![3, 3, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(quoted);
    Icmpv4Packet::new_unchecked(&mut message[..]).fill_checksum();
    let length = 20 + message.len();
    let ip = IpRepr::new(
        service().ip().into(),
        visitor().ip().into(),
        IpProtocol::Icmp,
        message.len(),
        64,
    );
    ip.emit(&mut buffer[..length], &ChecksumCapabilities::default());
    buffer[20..length].copy_from_slice(&message);
    &buffer[..length]
}

fn icmp(
    from: std::net::SocketAddr,
    to: std::net::SocketAddr,
    repr: &Icmpv4Repr<'_>,
    checksums: &ChecksumCapabilities,
) -> Vec<u8> {
    let ip = IpRepr::new(from.ip().into(), to.ip().into(), IpProtocol::Icmp, repr.buffer_len(), 64);
    let mut packet = vec![0; ip.buffer_len()];
    ip.emit(&mut packet[..], checksums);
    repr.emit(&mut Icmpv4Packet::new_unchecked(&mut packet[20..]), checksums);
    packet
}

fn octets(address: std::net::SocketAddr) -> std::net::Ipv4Addr {
    match address.ip() {
        std::net::IpAddr::V4(address) => address,
        std::net::IpAddr::V6(address) => panic!("{address}"),
    }
}

#[test]
fn a_path_that_takes_less_gets_shorter_segments_at_once() {
    let mut lab = Lab::new();
    let (opened, accepted) = lab.established();
    write(&opened, &[7; 5_000]);
    let lost = drain(&lab.relay, lab.now);
    assert_eq!(lost[0].len(), 1280);
    let mut buffer = [0; 1280];
    // Too little to be true, and what was never sent.
    for forged in [too_big(&lost[0], 500), too_big(&Raw::syn(visitor(), service()).packet(), 1000)]
    {
        let _ = lab.relay.handle_packet(PEER, &forged, lab.now);
    }
    assert!(lab.relay.poll_transmit(&mut buffer, lab.now).is_none());
    let _ = lab.relay.handle_packet(PEER, &too_big(&lost[0], 1000), lab.now);
    // As soon as the pacer allows, long before a timeout.
    let soon = lab.now + Duration::from_millis(10);
    lab.relay.handle_timeout(soon);
    let (_, length) = lab.relay.poll_transmit(&mut buffer, soon).unwrap();
    assert_eq!(length, 1000, "sent again, as long as the path takes");
    lab.run_for(Duration::from_secs(3));
    assert_eq!(read(&accepted).0, vec![7; 5_000]);
}

/// What a router says that `packet` does not fit through (RFC 1191 §4).
fn too_big(packet: &[u8], mtu: u16) -> Vec<u8> {
    let mut buffer = [0; 1280];
    let mut message = forge_unreachable(&packet[..packet.len().min(128)], &mut buffer).to_vec();
    let header = usize::from(message[0] & 0x0f) * 4;
    message[header + 1] = 4;
    message[header + 6..header + 8].copy_from_slice(&mtu.to_be_bytes());
    message
}

#[test]
fn open_flows_follow_a_tunnel_that_carries_less_and_then_more_again() {
    let mut lab = Lab::new();
    let (opened, accepted) = lab.established();
    write(&opened, &[7; 5_000]);
    assert_eq!(drain(&lab.relay, lab.now)[0].len(), 1_280, "and all of it is lost");

    // Less than IPv6 asks of a link: the tunnel is our own affair.
    lab.relay.set_path_mtu(PEER, 1_200);
    let soon = lab.now + Duration::from_millis(10);
    lab.relay.handle_timeout(soon);
    assert_eq!(drain(&lab.relay, soon)[0].len(), 1_200, "sent again at once");
    lab.run_for(Duration::from_secs(3));
    assert_eq!(read(&accepted).0, vec![7; 5_000]);

    lab.relay.set_path_mtu(PEER, 9_000);
    write(&opened, &[8; 5_000]);
    assert_eq!(drain(&lab.relay, lab.now)[0].len(), 1_280, "no more than the peer's settings say");

    // The other side's calls say what may come, not what its path takes today.
    lab.relay.set_path_mtu(PEER, 1_200);
    let _call = lab.connect_from("203.0.113.8:5555".parse().unwrap());
    let sent = drain(&lab.relay, lab.now);
    let syn = sent.iter().find(|packet| packet[33] & 0x02 != 0).unwrap();
    let [high, low] = 1_240_u16.to_be_bytes();
    assert!(syn[40..].windows(4).any(|option| option == [2, 4, high, low]), "{syn:x?}");
}
