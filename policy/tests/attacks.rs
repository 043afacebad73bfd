//! Attacks 37 to 41 of the design, as far as this room stands in their way.
//!
//! Attack 40 holds the compiled policy against a reference that is as naive as possible: it reads
//! the same rules as text and compares addresses bit by bit, with no trie, no bit set and no code
//! of the crate but the decision under test.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as the tests themselves may")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bore_policy::{
    Access, CompiledAccess, DecidedBy, Decision, DestinationGuard, Effect, Explanation, Groups,
    Label, Members, Policy, PolicyDocument, Protocol, PublicationRef, Target, Visitor, VisitorNode,
    is_forbidden_destination,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use uuid::Uuid;

#[test]
fn attack_37_forbidden_destinations_are_refused_in_every_spelling() {
    let guard = DestinationGuard::new(
        vec!["198.51.100.7".parse().unwrap(), "2606:4700::5".parse().unwrap()],
        vec![],
    );
    for text in [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "::",
        "::1",
        "10.0.0.5",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1",
        "fd00::",
        "fd00:ec2::254",
        "fc00::1",
        "100.64.0.1",
        "100.100.100.200",
        "224.0.0.1",
        "255.255.255.255",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.5",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001:0:1::1",
        "198.51.100.7",
        "::ffff:198.51.100.7",
        "2606:4700::5",
    ] {
        assert!(guard.admit(text.parse().unwrap()).is_err(), "{text}");
    }
    for text in ["8.8.8.8", "2606:4700::6"] {
        assert!(guard.admit(text.parse().unwrap()).is_ok(), "{text}");
    }
}

#[test]
fn attack_37_targets_in_other_bases_are_refused() {
    for host in
        ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.", "①27.0.0.1"]
    {
        assert!(Target::parse(&format!("{host}:80")).is_err(), "{host}");
    }
}

#[test]
fn attack_37_an_agent_s_declared_targets_cover_nothing_else() {
    let declared =
        [Target::parse("3000").unwrap(), Target::parse("192.168.1.5:27000-27050").unwrap()];
    let covered =
        |text: &str| declared.iter().any(|each| each.covers(&Target::parse(text).unwrap()));
    assert!(covered("localhost:3000") && covered("192.168.1.5:27010"));
    for text in [
        "3001",
        "127.0.0.2:3000",
        "192.168.1.5:26999-27001",
        "169.254.169.254:80",
        "127.0.0.1:3000",
        "unix:/run/docker.sock",
    ] {
        assert!(!covered(text), "{text}");
    }
}

#[test]
fn attack_38_what_a_guard_admits_is_the_address_that_it_checked() {
    let address: IpAddr = "8.8.8.8".parse().unwrap();
    assert_eq!(DestinationGuard::default().admit(address).unwrap().ip(), address);
}

#[test]
fn attack_41_an_open_flow_is_refused_as_soon_as_the_changed_policy_is_asked() {
    let rule = |effect| Rule { effect, from: vec![From::Word("any")], to: vec!["game"] };
    let case =
        |effect| Case { rules: vec![rule(effect)], closed: false, allow: vec![], deny: vec![] };
    let flow = Packet {
        address: "8.8.8.8".parse().unwrap(),
        groups: None,
        publication: "game",
        protocol: Protocol::Udp,
        node_groups: vec![],
    };
    assert!(Lab::new(&case(Effect::Allow)).decide(&flow, flow.address).allowed);
    assert!(!Lab::new(&case(Effect::Deny)).decide(&flow, flow.address).allowed);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn attack_40_decisions_agree_with_a_naive_reference(case in case(), packets in packets()) {
        let lab = Lab::new(&case);
        for packet in packets {
            let decision = lab.decide(&packet, packet.address);
            prop_assert_eq!(&decision, &reference(&case, &packet), "{:?}", packet);
            for form in forms(packet.address) {
                prop_assert_eq!(&decision, &lab.decide(&packet, form), "{} as {}", packet.address, form);
            }
            let explanation = lab.explain(&packet);
            prop_assert_eq!(&decision, &explanation.decision);
            prop_assert!(is_consistent(&explanation), "{}", explanation);
        }
    }

    #[test]
    fn attack_40_spellings_of_a_network_are_one_network(octets: [u8; 4], length in 0_u8..=32, visitor: [u8; 4]) {
        let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
        let network = Ipv4Addr::from_bits(u32::from(Ipv4Addr::from(octets)) & mask);
        let plain: bore_policy::Network = format!("{network}/{length}").parse().unwrap();
        for form in forms(network.into()) {
            let longer: bore_policy::Network = format!("{form}/{}", length + 96).parse().unwrap();
            prop_assert_eq!(longer, plain);
        }
        let inside = plain.contains(IpAddr::from(visitor).into());
        prop_assert_eq!(inside, u32::from(Ipv4Addr::from(visitor)) & mask == network.to_bits());
    }

    #[test]
    fn attack_37_a_forbidden_ipv4_address_stays_forbidden_in_every_form(octets: [u8; 4]) {
        let address = IpAddr::from(octets);
        for form in forms(address) {
            prop_assert!(is_forbidden_destination(form).is_some(), "{}", form);
        }
    }

    #[test]
    fn nothing_that_anybody_writes_panics(text in "\\PC{0,80}|[0-9a-fx.:/%\\[\\]*-]{0,40}") {
        let _ = text.parse::<bore_policy::Network>().map_err(|error| error.to_string());
        let _ = text.parse::<bore_policy::Source>().map_err(|error| error.to_string());
        let _ = text.parse::<bore_policy::HostPattern>().map_err(|error| error.to_string());
        let _ = text.parse::<Label>().map_err(|error| error.to_string());
        let _ = text.parse::<bore_policy::PortRange>().map_err(|error| error.to_string());
        let _ = bore_policy::parse_host_header(&text).map_err(|error| error.to_string());
        if let Ok(target) = Target::parse(&text) {
            prop_assert_eq!(Target::parse(&target.to_string()), Ok(target));
        }
    }
}

/// A policy and a publication's access, as the reference reads them.
#[derive(Debug, Clone)]
struct Case {
    rules: Vec<Rule>,
    closed: bool,
    allow: Vec<From>,
    deny: Vec<From>,
}

#[derive(Debug, Clone)]
struct Rule {
    effect: Effect,
    from: Vec<From>,
    to: Vec<&'static str>,
}

#[derive(Debug, Clone)]
enum From {
    Word(&'static str),
    /// The address and how many of its leading bits count.
    Network(IpAddr, u8),
}

#[derive(Debug, Clone)]
struct Packet {
    address: IpAddr,
    groups: Option<Vec<&'static str>>,
    publication: &'static str,
    protocol: Protocol,
    node_groups: Vec<&'static str>,
}

/// Packets per policy: with the usual 256 cases a quarter of a million pairs, and a million with
/// `PROPTEST_CASES=1000`.
const PACKETS: usize = 1_000;
const GROUPS: [&str; 3] = ["ga", "gb", "gc"];
const PUBLICATIONS: [&str; 3] = ["game", "web", "udp"];
const SOURCES: [&str; 5] = ["any", "overlay", "group:ga", "group:gb", "group:gc"];
const TARGETS: [&str; 8] =
    ["any", "tcp", "udp", "http", "group:ga", "group:gb", "game", "publication:udp"];

fn case() -> impl Strategy<Value = Case> {
    let rules = prop::collection::vec(rule(), 0..8);
    (rules, any::<bool>(), froms(0..4), froms(0..3)).prop_map(|(rules, closed, allow, deny)| Case {
        rules,
        closed,
        allow,
        deny,
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let effect = select(vec![Effect::Allow, Effect::Deny]);
    let to = subsequence(TARGETS.to_vec(), 1..3);
    (effect, froms(1..6), to).prop_map(|(effect, from, to)| Rule { effect, from, to })
}

fn froms(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<From>> {
    let word = select(SOURCES.to_vec()).prop_map(From::Word);
    let v4 = (v4(), 0_u8..=32).prop_map(|(address, length)| From::Network(address, length));
    let v6 = (v6(), 0_u8..=128).prop_map(|(address, length)| From::Network(address, length));
    prop::collection::vec(prop_oneof![1 => word, 3 => v4, 2 => v6], count)
}

/// Addresses from a small part of each family, so that rules and visitors meet.
fn v4() -> impl Strategy<Value = IpAddr> {
    (select(vec![10_u8, 11, 100, 203]), 0_u8..4, any::<bool>(), any::<u8>())
        .prop_map(|(a, b, c, d)| IpAddr::from([a, b, u8::from(c), d]))
}

fn v6() -> impl Strategy<Value = IpAddr> {
    (select(vec![0x2001_u16, 0xfd00]), 0_u16..3, 0_u16..2, any::<u16>())
        .prop_map(|(a, b, c, d)| IpAddr::from([a, b, 0, 0, c, 0, 0, d]))
}

fn packets() -> impl Strategy<Value = Vec<Packet>> {
    let groups = || subsequence(GROUPS.to_vec(), 0..=GROUPS.len());
    let protocol = select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Tls, Protocol::Http]);
    let parts = (
        prop_oneof![v4(), v6()],
        prop::option::of(groups()),
        select(PUBLICATIONS.to_vec()),
        protocol,
        groups(),
    );
    let packet = parts.prop_map(|(address, groups, publication, protocol, node_groups)| Packet {
        address,
        groups,
        publication,
        protocol,
        node_groups,
    });
    prop::collection::vec(packet, PACKETS)
}

/// The order of decision as the documentation gives it, in the plainest way.
fn reference(case: &Case, packet: &Packet) -> Decision {
    let about = |rule: &Rule| rule.to.iter().any(|to| is_about(to, packet));
    let names = |list: &[From], deny| list.iter().any(|from| is_from(from, packet, deny));
    let rules =
        |effect| case.rules.iter().enumerate().filter(move |(_, rule)| rule.effect == effect);
    let by = |allowed, by| Decision { allowed, by };

    for (index, rule) in rules(Effect::Deny) {
        if about(rule) && names(&rule.from, true) {
            return by(false, DecidedBy::Rule(rule_name(index)));
        }
    }
    if names(&case.deny, true) {
        return by(false, DecidedBy::PublicationDeny);
    }
    if !case.allow.is_empty() && !names(&case.allow, false) {
        return by(false, DecidedBy::PublicationAllowMiss);
    }
    for (index, rule) in rules(Effect::Allow) {
        if about(rule) && names(&rule.from, false) {
            return by(true, DecidedBy::Rule(rule_name(index)));
        }
    }
    for (index, rule) in rules(Effect::Allow) {
        if about(rule) {
            return by(false, DecidedBy::RuleMiss(rule_name(index)));
        }
    }
    match (case.closed, case.allow.is_empty()) {
        (true, _) => by(false, DecidedBy::Default),
        (false, true) => by(true, DecidedBy::Default),
        (false, false) => by(true, DecidedBy::PublicationAllow),
    }
}

fn is_about(to: &str, packet: &Packet) -> bool {
    match to.split_once(':') {
        Some(("group", name)) => packet.node_groups.contains(&name),
        Some((_, name)) => packet.publication == name,
        None if to == "any" => true,
        None if ["tcp", "udp", "tls", "http"].contains(&to) => to == packet.protocol.to_string(),
        None => to == packet.publication,
    }
}

fn is_from(from: &From, packet: &Packet, deny: bool) -> bool {
    match from {
        From::Word("any") => true,
        From::Word("overlay") => packet.groups.is_some(),
        From::Word(word) => {
            packet.groups.iter().flatten().any(|group| word.strip_prefix("group:") == Some(group))
        }
        From::Network(network, length) => {
            (deny || packet.groups.is_none()) && has_same_bits(*network, packet.address, *length)
        }
    }
}

fn has_same_bits(one: IpAddr, other: IpAddr, count: u8) -> bool {
    let (one, other) = (bits(one), bits(other));
    one.len() == other.len() && one.iter().zip(other).take(count.into()).all(|(a, b)| *a == b)
}

fn bits(address: IpAddr) -> Vec<bool> {
    let octets = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    octets.iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1 == 1)).collect()
}

/// The IPv6 spellings of an IPv4 address.
fn forms(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V4(v4) = address else { return Vec::new() };
    let [a, b, c, d] = v4.octets().map(u16::from);
    let (high, low) = (a << 8 | b, c << 8 | d);
    vec![
        Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low).into(),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low).into(),
    ]
}

/// A step that fits and decides must be there for each decision that a rule or list has made.
fn is_consistent(explanation: &Explanation) -> bool {
    let step =
        |considered: String| explanation.steps.iter().find(|step| step.considered == considered);
    let fits = |considered| step(considered).is_some_and(|step| step.matched);
    match (&explanation.decision.by, explanation.decision.allowed) {
        (DecidedBy::Rule(rule), true) => fits(format!("allow rule {rule}")),
        (DecidedBy::Rule(rule), false) => fits(format!("deny rule {rule}")),
        (DecidedBy::RuleMiss(rule), _) => !fits(format!("allow rule {rule}")),
        (DecidedBy::PublicationDeny, _) => fits("the publication's deny list".to_owned()),
        (DecidedBy::PublicationAllow, _) => fits("the publication's allow list".to_owned()),
        (DecidedBy::PublicationAllowMiss, _) => !fits("the publication's allow list".to_owned()),
        (_, _) => true,
    }
}

/// The case under test, compiled.
struct Lab {
    policy: Policy,
    access: CompiledAccess,
}

impl Lab {
    fn new(case: &Case) -> Self {
        let document: PolicyDocument = toml::from_str(&document(case)).unwrap();
        let groups: Groups =
            GROUPS.map(|name| (label(name), Members::default())).into_iter().collect();
        let parse = |list: &[From]| list.iter().map(|from| text(from).parse().unwrap()).collect();
        let access = Access { allow: parse(&case.allow), deny: parse(&case.deny) };
        Self {
            policy: Policy::compile(&[document], &groups).unwrap(),
            access: CompiledAccess::new(&access, &groups).unwrap(),
        }
    }

    fn decide(&self, packet: &Packet, address: IpAddr) -> Decision {
        with_publication(packet, |publication| {
            self.policy.decide_visit(&visitor(packet, address), publication, &self.access)
        })
    }

    fn explain(&self, packet: &Packet) -> Explanation {
        with_publication(packet, |publication| {
            self.policy.explain_visit(&visitor(packet, packet.address), publication, &self.access)
        })
    }
}

fn with_publication<T>(packet: &Packet, ask: impl FnOnce(&PublicationRef<'_>) -> T) -> T {
    let node_groups: BTreeSet<Label> = packet.node_groups.iter().copied().map(label).collect();
    ask(&PublicationRef {
        name: &label(packet.publication),
        protocol: packet.protocol,
        node: Uuid::nil(),
        node_groups: &node_groups,
    })
}

fn visitor(packet: &Packet, address: IpAddr) -> Visitor {
    match &packet.groups {
        None => Visitor::public(address),
        Some(groups) => {
            let groups = groups.iter().copied().map(label).collect();
            let node = VisitorNode { id: Uuid::nil(), name: label("laptop"), groups };
            Visitor::overlay(address, node)
        }
    }
}

fn document(case: &Case) -> String {
    let rules = case.rules.iter().enumerate().map(|(index, rule)| {
        let from: Vec<String> = rule.from.iter().map(text).collect();
        let Rule { effect, to, .. } = rule;
        format!("[[visit]]\nname = 'r{index}'\neffect = '{effect}'\nfrom = {from:?}\nto = {to:?}\n")
    });
    let default = if case.closed { "closed" } else { "open" };
    format!("{}[defaults]\nvisit = '{default}'\n", rules.collect::<String>())
}

fn text(from: &From) -> String {
    match from {
        From::Word(word) => (*word).to_owned(),
        From::Network(address, length) => format!("{}/{length}", cut(*address, *length)),
    }
}

/// The address with the bits behind `length` cleared.
fn cut(address: IpAddr, length: u8) -> IpAddr {
    let mut bits = bits(address);
    bits.iter_mut().skip(length.into()).for_each(|bit| *bit = false);
    let octets: Vec<u8> = bits
        .chunks(8)
        .map(|bits| bits.iter().fold(0, |octet, bit| octet << 1 | u8::from(*bit)))
        .collect();
    match <[u8; 4]>::try_from(octets.as_slice()) {
        Ok(v4) => v4.into(),
        Err(_) => <[u8; 16]>::try_from(octets.as_slice()).unwrap().into(),
    }
}

fn rule_name(index: usize) -> bore_policy::RuleName {
    bore_policy::RuleName { policy: None, name: label(&format!("r{index}")) }
}

fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}
