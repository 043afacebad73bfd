//! Behaviour of `inner`.

use super::*;

#[test]
fn a_node_may_send_from_its_own_addresses_only() {
    assert_eq!(check(&v4("100.64.0.9", "100.64.0.1"), &NODE), Ok(()));
    assert_eq!(check(&v6("fd00::9", "fd00::1", UDP), &NODE), Ok(()));
    let foreign = Err(DropReason::InnerForeignSource);
    assert_eq!(check(&v4("100.64.0.8", "100.64.0.1"), &NODE), foreign);
    assert_eq!(check(&v6("fd00::8", "fd00::1", UDP), &NODE), foreign);
}

#[test]
fn a_relay_may_send_from_any_address_that_can_be_one() {
    for source in ["203.0.113.7", "10.0.0.1", "192.168.1.1", "169.254.1.1"] {
        assert_eq!(check(&v4(source, "100.64.0.9"), &Sources::Relay), Ok(()), "{source}");
    }
    for source in ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "255.255.255.255"] {
        let verdict = check(&v4(source, "100.64.0.9"), &Sources::Relay);
        assert_eq!(verdict, Err(DropReason::InnerBogonSource), "{source}");
    }
    for source in ["::", "::1", "ff02::1", "::ffff:203.0.113.7"] {
        let verdict = check(&v6(source, "fd00::9", UDP), &Sources::Relay);
        assert_eq!(verdict, Err(DropReason::InnerBogonSource), "{source}");
    }
}

#[test]
fn destinations_that_are_no_single_host_are_refused() {
    for destination in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"] {
        let verdict = check(&v4("203.0.113.7", destination), &Sources::Relay);
        assert_eq!(verdict, Err(DropReason::InnerBogonDestination), "{destination}");
    }
    let verdict = check(&v6("fd00::9", "ff02::1", UDP), &NODE);
    assert_eq!(verdict, Err(DropReason::InnerBogonDestination));
}

#[test]
fn a_joining_node_reaches_one_tcp_port_of_one_address() {
    let joiner = GARDEN_JOINER.to_string();
    let relay = GARDEN_RELAY.to_string();
    let outside = Err(DropReason::InnerOutsideGarden);

    assert_eq!(check(&tcp(&joiner, &relay, 4_000, 80), &Sources::Garden), Ok(()));
    assert_eq!(check(&tcp(&joiner, &relay, 4_000, 81), &Sources::Garden), outside);
    assert_eq!(check(&tcp(&joiner, "fd00::1", 4_000, 80), &Sources::Garden), outside);
    assert_eq!(check(&v6(&joiner, &relay, UDP), &Sources::Garden), outside);
    let foreign = Err(DropReason::InnerForeignSource);
    assert_eq!(check(&tcp("fd00::9", &relay, 4_000, 80), &Sources::Garden), foreign);
    assert_eq!(check(&v4("100.64.0.9", "100.64.0.1"), &Sources::Garden), foreign);
}

#[test]
fn a_node_that_missed_the_answer_to_its_join_may_ask_again() {
    let joiner = GARDEN_JOINER.to_string();
    let relay = GARDEN_RELAY.to_string();
    assert_eq!(check(&tcp(&joiner, &relay, 4_000, 80), &NODE), Ok(()));
    let foreign = Err(DropReason::InnerForeignSource);
    assert_eq!(check(&tcp(&joiner, &relay, 4_000, 81), &NODE), foreign);
    assert_eq!(check(&tcp(&joiner, "fd00::1", 4_000, 80), &NODE), foreign);
    assert_eq!(check(&v6(&joiner, &relay, UDP), &NODE), foreign);
}

#[test]
fn fragments_are_of_udp_alone() {
    for (high, low) in [(0x20, 0), (0x00, 1), (0x1F, 0xFF)] {
        let mut packet = v4("100.64.0.9", "100.64.0.1");
        (packet[6], packet[7]) = (high, low);
        assert_eq!(check(&packet, &NODE), Ok(()));
        assert_eq!(check(&packet, &Sources::Relay), Ok(()));
        for protocol in [TCP, ICMP] {
            packet[9] = protocol;
            assert_eq!(check(&packet, &NODE), Err(DropReason::InnerFragment));
        }
    }
    let mut packet = v6("fd00::9", "fd00::1", FRAGMENT);
    packet[40] = UDP;
    assert_eq!(check(&packet, &NODE), Ok(()));
    for protocol in [TCP, ICMP, FRAGMENT, DESTINATION_OPTIONS] {
        packet[40] = protocol;
        assert_eq!(check(&packet, &NODE), Err(DropReason::InnerFragment));
    }
    let mut behind_options = v6("fd00::9", "fd00::1", DESTINATION_OPTIONS);
    behind_options[40] = FRAGMENT;
    assert_eq!(check(&behind_options, &NODE), Err(DropReason::InnerFragment));
}

#[test]
fn a_fragment_needs_its_tunnels_source_and_has_no_business_in_the_garden() {
    let mut foreign = v4("100.64.0.8", "100.64.0.1");
    foreign[7] = 1;
    assert_eq!(check(&foreign, &NODE), Err(DropReason::InnerForeignSource));
    let mut joiner = v6(&GARDEN_JOINER.to_string(), &GARDEN_RELAY.to_string(), FRAGMENT);
    joiner[40] = UDP;
    assert_eq!(check(&joiner, &Sources::Garden), Err(DropReason::InnerOutsideGarden));
    let mut short = v6("fd00::9", "fd00::1", FRAGMENT)[..47].to_vec();
    (short[5], short[40]) = (7, UDP);
    assert_eq!(check(&short, &NODE), Err(DropReason::InnerMalformed));
}

#[test]
fn tcp_from_or_to_port_zero_is_refused() {
    for (source, destination) in [(0, 80), (80, 0)] {
        let verdict = check(&tcp("fd00::9", "fd00::1", source, destination), &NODE);
        assert_eq!(verdict, Err(DropReason::InnerPortZero));
    }
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    for packet in [v4("100.64.0.9", "100.64.0.1"), v6("fd00::9", "fd00::1", UDP)] {
        for length in 0..packet.len() {
            assert_eq!(check(&packet[..length], &NODE), Err(DropReason::InnerMalformed));
        }
        let longer = [&packet[..], &[0]].concat();
        assert_eq!(check(&longer, &NODE), Err(DropReason::InnerMalformed));
    }
    let mut endless = v6("fd00::9", "fd00::1", HOP_BY_HOP);
    endless[40] = HOP_BY_HOP;
    assert_eq!(check(&endless, &NODE), Err(DropReason::InnerMalformed));
}

fn tcp(source: &str, destination: &str, source_port: u16, destination_port: u16) -> Vec<u8> {
    let mut packet = v6(source, destination, TCP);
    packet[40..42].copy_from_slice(&source_port.to_be_bytes());
    packet[42..44].copy_from_slice(&destination_port.to_be_bytes());
    packet
}

/// An IPv4 header and 20 bytes of UDP.
fn v4(source: &str, destination: &str) -> Vec<u8> {
    let mut packet = vec![0; 40];
    packet[0] = 0x45;
    packet[3] = 40;
    packet[9] = UDP;
    packet[12..16].copy_from_slice(&source.parse::<Ipv4Addr>().unwrap().octets());
    packet[16..20].copy_from_slice(&destination.parse::<Ipv4Addr>().unwrap().octets());
    packet
}

/// An IPv6 header and 24 zero bytes.
fn v6(source: &str, destination: &str, next: u8) -> Vec<u8> {
    let mut packet = vec![0; 64];
    packet[0] = 0x60;
    packet[5] = 24;
    packet[6] = next;
    packet[8..24].copy_from_slice(&source.parse::<Ipv6Addr>().unwrap().octets());
    packet[24..40].copy_from_slice(&destination.parse::<Ipv6Addr>().unwrap().octets());
    packet
}

const NODE: Sources = Sources::Node {
    v4: Ipv4Addr::new(100, 64, 0, 9),
    v6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9),
};
const ICMP: u8 = 1;
