//! Behaviour of `network`.

use super::*;

#[test]
fn networks_and_addresses_are_read_and_written_alike() {
    for text in ["10.0.0.0/8", "10.1.2.3", "0.0.0.0/0", "2001:db8::/32", "2001:db8::1", "::/0"] {
        assert_eq!(Network::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(Network::parse("10.1.2.3/32").unwrap().to_string(), "10.1.2.3");
    assert_eq!(Network::parse("2001:DB8:0::/32").unwrap().to_string(), "2001:db8::/32");
}

#[test]
fn forms_of_one_network_are_one_network() {
    for text in ["::ffff:10.0.0.0/104", "::ffff:a00:0/104", "64:ff9b::10.0.0.0/104"] {
        assert_eq!(Network::parse(text).unwrap().to_string(), "10.0.0.0/8", "{text}");
    }
    assert_eq!(Network::parse("::ffff:0:0/96").unwrap().to_string(), "0.0.0.0/0");
    assert_eq!(Network::parse("::ffff:10.1.2.3").unwrap().to_string(), "10.1.2.3");
}

#[test]
fn an_ipv6_network_that_is_not_wholly_mapped_contains_no_ipv4_visitor() {
    let all = Network::parse("::/0").unwrap();
    assert!(all.contains(CanonicalAddress::new("2001:db8::1".parse().unwrap())));
    assert!(!all.contains(CanonicalAddress::new("::ffff:10.1.2.3".parse().unwrap())));
}

#[test]
fn nonsense_is_refused_with_what_was_probably_meant() {
    let table = [
        ("", "a network is empty: write an address like 10.1.2.3 or a network like 10.0.0.0/8"),
        ("10.0.0.0/33", "`10.0.0.0/33` cannot be: the longest prefix of an IPv4 network is /32"),
        ("::/129", "`::/129` cannot be: the longest prefix of an IPv6 network is /128"),
        ("10.0.0.0/999", "`10.0.0.0/999` cannot be: the longest prefix of an IPv4 network is /32"),
        (
            "10.1.2.3/8",
            "`10.1.2.3/8` has host bits set: write 10.0.0.0/8 for the network, or 10.1.2.3 for one address",
        ),
        (
            "2001:db8::1/32",
            "`2001:db8::1/32` has host bits set: write 2001:db8::/32 for the network, or 2001:db8::1 for one address",
        ),
        (
            "::ffff:10.1.2.3/104",
            "`::ffff:10.1.2.3/104` has host bits set: write 10.0.0.0/8 for the network, or ::ffff:10.1.2.3 for one address",
        ),
        (
            "10.0.0.0/255.0.0.0",
            "`10.0.0.0/255.0.0.0` has a netmask instead of a prefix length: write 10.0.0.0/8",
        ),
        (
            "10.0.0.0/255.0.255.0",
            "`255.0.255.0` is no prefix length: write a number from 0 to 32 after the slash",
        ),
        ("10.0.0.0/", "`` is no prefix length: write a number from 0 to 32 after the slash"),
        ("10.0.0.0/+8", "`+8` is no prefix length: write a number from 0 to 32 after the slash"),
        ("10.0.0.0/08", "`08` is no prefix length: write a number from 0 to 32 after the slash"),
        ("10.0.0.0/-1", "`-1` is no prefix length: write a number from 0 to 32 after the slash"),
        ("10.0.0.0/8/8", "`8/8` is no prefix length: write a number from 0 to 32 after the slash"),
        (" 10.0.0.0/8", "` 10.0.0.0/8` has spaces around it: write `10.0.0.0/8`"),
        ("fe80::1%eth0", "`fe80::1%eth0` names a network interface: write fe80::1"),
        (
            "10.1.2.3:80",
            "`10.1.2.3:80` has brackets or a port, and rules are about addresses: write 10.1.2.3",
        ),
        (
            "[2001:db8::1]:80",
            "`[2001:db8::1]:80` has brackets or a port, and rules are about addresses: write 2001:db8::1",
        ),
        (
            "10.0.0.1-10.0.0.9",
            "`10.0.0.1-10.0.0.9` is a range of addresses: write one or several networks like 10.0.0.0/8",
        ),
        ("10/8", "`10/8` is a shortened IPv4 network: write 10.0.0.0/8"),
        ("192.168.1.*", "`192.168.1.*` is a shortened IPv4 network: write 192.168.1.0/24"),
        ("10.*.*.*", "`10.*.*.*` is a shortened IPv4 network: write 10.0.0.0/8"),
        (
            "010.0.0.1",
            "`010.0.0.1` has leading zeros, which some programs read as octal: write 10.0.0.1",
        ),
        (
            "10.0.0.256",
            "`10.0.0.256` is no address and no network: write one like 10.1.2.3, 10.0.0.0/8 or 2001:db8::/32",
        ),
        (
            "0x0a.0.0.1",
            "`0x0a.0.0.1` is no address and no network: write one like 10.1.2.3, 10.0.0.0/8 or 2001:db8::/32",
        ),
        (
            "167772161",
            "`167772161` is no address and no network: write one like 10.1.2.3, 10.0.0.0/8 or 2001:db8::/32",
        ),
        (
            "example.org",
            "`example.org` is no address and no network: write one like 10.1.2.3, 10.0.0.0/8 or 2001:db8::/32",
        ),
        (
            "1:2:3",
            "`1:2:3` is no address and no network: write one like 10.1.2.3, 10.0.0.0/8 or 2001:db8::/32",
        ),
        (
            "*",
            "`*` is no address and no network: write one like 10.1.2.3, 10.0.0.0/8 or 2001:db8::/32",
        ),
        (
            "a\n/8",
            "`a\\n/8` is no address and no network: write one like 10.1.2.3, 10.0.0.0/8 or 2001:db8::/32",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(Network::parse(text).unwrap_err().to_string(), expected, "{text:?}");
    }
}

#[test]
fn private_means_that_the_public_internet_cannot_have_the_address() {
    let is_private = |text| Network::parse(text).unwrap().is_private();
    for text in ["10.0.0.0/8", "10.1.2.3", "192.168.0.0/16", "100.64.0.0/10", "fd00::/8", "::1"] {
        assert!(is_private(text), "{text}");
    }
    for text in ["8.8.8.0/24", "0.0.0.0/0", "8.0.0.0/6", "::/0", "2001:db8::/32", "172.32.0.0/16"] {
        assert!(!is_private(text), "{text}");
    }
}
