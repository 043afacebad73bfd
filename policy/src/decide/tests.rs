//! Behaviour of `decide`.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::*;
use crate::access::Access;
use crate::address::VisitorNode;
use crate::groups::{Groups, Members};
use crate::model::PolicyDocument;
use crate::{Label, PortRange, Protocol, PublicHost};

const GAME: &str = r#"
    name = "office"
    [[visit]]
    name = "game-lan"
    effect = "allow"
    from = ["10.0.0.0/8", "group:players"]
    to = ["game"]
"#;

const NO_GUESTS: &str = r#"
    [[visit]]
    name = "no-guests"
    effect = "deny"
    from = ["10.9.0.0/16", "group:guests"]
    to = ["any"]
"#;

const CLOSED: &str = "[defaults]\nvisit = 'closed'\npublish = 'closed'";

#[test]
fn without_rules_and_lists_everyone_may_visit() {
    let lab = Lab::new(&[]);
    assert_eq!(lab.visit("8.8.8.8", "game"), "allowed by the default");
}

#[test]
fn an_allow_rule_admits_whom_it_names_and_refuses_everyone_else_what_it_is_about() {
    let lab = Lab::new(&[GAME]);
    assert_eq!(lab.visit("10.1.2.3", "game"), "allowed by rule office/game-lan");
    assert_eq!(
        lab.visit("8.8.8.8", "game"),
        "refused by the allow rules, of which none fits (rule office/game-lan)"
    );
    assert_eq!(lab.visit("8.8.8.8", "web"), "allowed by the default", "it is about game only");
}

#[test]
fn deny_comes_before_allow_in_every_order_of_documents() {
    for documents in [[GAME, NO_GUESTS], [NO_GUESTS, GAME]] {
        let lab = Lab::new(&documents);
        assert_eq!(lab.visit("10.9.0.1", "game"), "refused by rule no-guests");
        assert_eq!(lab.visit("10.8.0.1", "game"), "allowed by rule office/game-lan");
    }
}

#[test]
fn a_publication_s_allow_list_means_these_and_nobody_else() {
    let lab = Lab::new(&[]).access(&["10.0.0.0/8"], &[]);
    assert_eq!(lab.visit("10.1.2.3", "game"), "allowed by the publication's allow list");
    assert_eq!(
        lab.visit("8.8.8.8", "game"),
        "refused by the publication's allow list, which does not name the visitor"
    );
}

#[test]
fn a_publication_s_deny_list_wins_over_every_allow() {
    let lab = Lab::new(&[GAME]).access(&["10.0.0.0/8"], &["10.1.0.0/16"]);
    assert_eq!(lab.visit("10.1.2.3", "game"), "refused by the publication's deny list");
    assert_eq!(lab.visit("10.2.2.3", "game"), "allowed by rule office/game-lan");
}

#[test]
fn a_publication_cannot_widen_what_the_policy_permits() {
    let lab = Lab::new(&[GAME]).access(&["any"], &[]);
    assert!(lab.visit("8.8.8.8", "game").starts_with("refused by the allow rules"));
    let lab = Lab::new(&[CLOSED]).access(&["any"], &[]);
    assert_eq!(lab.visit("8.8.8.8", "game"), "refused by the default");
}

#[test]
fn a_closed_default_permits_by_rule_only() {
    let lab = Lab::new(&[GAME, CLOSED]);
    assert_eq!(lab.visit("10.1.2.3", "game"), "allowed by rule office/game-lan");
    assert_eq!(lab.visit("10.1.2.3", "web"), "refused by the default");
}

#[test]
fn groups_of_overlay_visitors_count_and_their_addresses_give_nothing() {
    let lab = Lab::new(&[GAME]);
    assert_eq!(lab.visit_from(&node(&["players"]), "game"), "allowed by rule office/game-lan");
    assert!(lab.visit_from(&node(&[]), "game").starts_with("refused by the allow rules"));
    let lab = Lab::new(&[GAME, NO_GUESTS]);
    assert_eq!(lab.visit_from(&node(&["players", "guests"]), "game"), "refused by rule no-guests");
}

#[test]
fn every_spelling_of_an_address_is_decided_alike() {
    let lab = Lab::new(&[GAME, NO_GUESTS]);
    for (allowed, refused) in [
        ("10.1.2.3", "10.9.0.1"),
        ("::ffff:10.1.2.3", "::ffff:10.9.0.1"),
        ("64:ff9b::10.1.2.3", "64:ff9b::10.9.0.1"),
    ] {
        assert_eq!(lab.visit(allowed, "game"), "allowed by rule office/game-lan");
        assert_eq!(lab.visit(refused, "game"), "refused by rule no-guests");
    }
}

#[test]
fn rules_name_publications_by_protocol_and_by_group_of_the_node() {
    let by_protocol =
        Lab::new(&["[[visit]]\nname='u'\neffect='deny'\nfrom=['any']\nto=['tcp', 'udp']"]);
    assert_eq!(by_protocol.visit("8.8.8.8", "game"), "refused by rule u");
    let by_other =
        Lab::new(&["[[visit]]\nname='t'\neffect='deny'\nfrom=['any']\nto=['tcp', 'group:guests']"]);
    assert_eq!(by_other.visit("8.8.8.8", "game"), "allowed by the default");
    let by_group =
        Lab::new(&["[[visit]]\nname='g'\neffect='deny'\nfrom=['any']\nto=['group:players']"]);
    assert_eq!(by_group.visit("8.8.8.8", "game"), "refused by rule g");
}

#[test]
fn without_rules_everyone_may_publish() {
    let lab = Lab::new(&[]);
    assert_eq!(lab.publish(udp("7777")), "allowed by the default");
    assert_eq!(Lab::new(&[CLOSED]).publish(udp("7777")), "refused by the default");
}

#[test]
fn an_allow_rule_bounds_the_publishers_that_it_names() {
    let lab = Lab::new(&[&publish(
        "who=['group:players']\nprotocols=['udp']\nports=['20000-20009', '20010-29999']",
    )]);
    assert_eq!(lab.publish(udp("20005-20015")), "allowed by rule r");
    let miss = "refused by the allow rules, of which none fits (rule r)";
    assert_eq!(lab.publish(udp("19999-20001")), miss);
    assert_eq!(lab.publish(Wanted { protocol: Protocol::Tcp, ..udp("20000") }), miss);
    assert_eq!(lab.publish(Wanted { ports: None, ..udp("1") }), miss, "an open wish is every port");

    let others = Lab::new(&[&publish(
        "who=['group:guests', 'node:nas2', 'key:00000000-0000-0000-0000-000000000001']",
    )]);
    assert_eq!(others.publish(udp("80")), "allowed by the default", "the rule names others");
}

#[test]
fn publishers_are_named_by_node_key_and_any() {
    for who in ["node:nas", "key:00000000-0000-0000-0000-000000000009", "any", "group:players"] {
        let lab = Lab::new(&[CLOSED, &publish(&format!("who=['{who}']"))]);
        assert_eq!(lab.publish(udp("7777")), "allowed by rule r", "{who}");
    }
}

#[test]
fn a_deny_rule_refuses_every_wish_that_touches_it() {
    let lab = Lab::new(&[
        "[[publish]]\nname='d'\neffect='deny'\nwho=['any']\nports=['22']\nhostnames=['*.admin.example.org']",
    ]);
    assert_eq!(lab.publish(udp("20-30")), "refused by rule d");
    assert_eq!(lab.publish(udp("23-30")), "allowed by the default");
    assert_eq!(lab.publish(Wanted { ports: None, ..udp("1") }), "refused by rule d");

    let admin = PublicHost::parse("a.admin.example.org").unwrap();
    let other = PublicHost::parse("a.example.org").unwrap();
    assert_eq!(lab.publish(http(Some(&admin))), "refused by rule d");
    assert_eq!(lab.publish(http(Some(&other))), "allowed by the default");
    assert_eq!(lab.publish(http(None)), "refused by rule d", "an open wish is every hostname");
}

#[test]
fn an_allow_rule_with_hostnames_opens_no_port_and_the_reverse() {
    let hostnames = Lab::new(&[&publish("who=['any']\nhostnames=['*.dev.example.org', 'app']")]);
    let dev = PublicHost::parse("x.dev.example.org").unwrap();
    assert_eq!(hostnames.publish(http(Some(&dev))), "allowed by rule r");
    assert!(hostnames.publish(http(None)).starts_with("refused"));
    assert!(hostnames.publish(udp("7777")).starts_with("refused"));
    let with_port = Wanted { ports: PortRange::single(8443).ok(), ..http(Some(&dev)) };
    assert!(hostnames.publish(with_port).starts_with("refused"), "its port is not listed");

    let ports = Lab::new(&[&publish("who=['any']\nports=['20000-29999']")]);
    assert!(ports.publish(http(Some(&dev))).starts_with("refused"));
    let both = Lab::new(&[&publish("who=['any']\nports=[8443]\nhostnames=['*.dev.example.org']")]);
    assert_eq!(both.publish(with_port), "allowed by rule r");
}

#[test]
fn a_limit_counts_what_is_already_published() {
    let lab = Lab::new(&[&publish("who=['any']\npublications_max=3")]);
    assert_eq!(lab.publish(Wanted { already: 2, ..udp("7777") }), "allowed by rule r");
    assert_eq!(
        lab.publish(Wanted { already: 3, ..udp("7777") }),
        "refused by the limit of rule r, 3 publications"
    );
    let second = "name='x'\n[[publish]]\nname='more'\neffect='allow'\nwho=['node:nas']";
    let lab = Lab::new(&[&publish("who=['any']\npublications_max=3"), second]);
    assert_eq!(lab.publish(Wanted { already: 3, ..udp("7777") }), "allowed by rule x/more");
}

#[test]
fn another_node_s_is_taken_by_a_rule_for_it_and_never_against_a_deny_rule() {
    let none = "refused by the default: no publish rule has `replace = true` for it";
    assert_eq!(Lab::new(&[]).replace(udp("7777")), none);
    assert_eq!(Lab::new(&[&publish("who=['any']")]).replace(udp("7777")), none);
    let taking = publish("who=['node:nas']\nports=['7000-8000']\nreplace=true");
    let lab = Lab::new(&[&taking]);
    assert_eq!(lab.replace(udp("7777")), "allowed by rule r");
    assert_eq!(lab.replace(udp("7990-8010")), none, "not all of it");
    let deny = "name='x'\n[[publish]]\nname='d'\neffect='deny'\nwho=['any']\nports=['7777']";
    let lab = Lab::new(&[&taking, deny]);
    assert_eq!(lab.replace(udp("7770-7780")), "refused by rule x/d");
    assert_eq!(lab.replace(udp("7778")), "allowed by rule r");
}

#[test]
fn decisions_are_written_for_programs_too() {
    let rule = RuleName { policy: None, name: label("r") };
    let json = |by| serde_json::to_string(&refused(by)).unwrap();
    assert_eq!(
        json(DecidedBy::Rule(rule.clone())),
        r#"{"allowed":false,"by":{"kind":"rule","policy":null,"name":"r"}}"#
    );
    assert_eq!(json(DecidedBy::Default), r#"{"allowed":false,"by":{"kind":"default"}}"#);
    assert_eq!(
        json(DecidedBy::RuleLimit { rule, publications_max: 3 }),
        r#"{"allowed":false,"by":{"kind":"rule_limit","rule":{"policy":null,"name":"r"},"publications_max":3}}"#
    );
}

/// A policy and a publication's access; the groups are players and guests.
struct Lab {
    policy: Policy,
    access: CompiledAccess,
    players: BTreeSet<Label>,
}

impl Lab {
    fn new(documents: &[&str]) -> Self {
        let documents: Vec<PolicyDocument> =
            documents.iter().map(|text| toml::from_str(text).unwrap()).collect();
        let policy = Policy::compile(&documents, &groups()).unwrap();
        Self { policy, access: CompiledAccess::open(), players: [label("players")].into() }
    }

    fn access(mut self, allow: &[&str], deny: &[&str]) -> Self {
        let parse = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        let access = Access { allow: parse(allow), deny: parse(deny) };
        self.access = CompiledAccess::new(&access, &groups()).unwrap();
        self
    }

    fn visit(&self, from: &str, to: &str) -> String {
        self.visit_from(&Visitor::public(from.parse().unwrap()), to)
    }

    /// A visit to a UDP publication of a node in group players.
    fn visit_from(&self, visitor: &Visitor, to: &str) -> String {
        let name = label(to);
        let publication = PublicationRef {
            name: &name,
            protocol: Protocol::Udp,
            node: Uuid::nil(),
            node_groups: &self.players,
        };
        self.policy.decide_visit(visitor, &publication, &self.access).to_string()
    }

    /// A wish of node nas, in group players, with key 9.
    fn publish(&self, wanted: Wanted<'_>) -> String {
        self.policy.decide_publish(&self.publisher(&label("nas")), &wanted).to_string()
    }

    /// The same where another node has it.
    fn replace(&self, wanted: Wanted<'_>) -> String {
        self.policy.decide_replace(&self.publisher(&label("nas")), &wanted).to_string()
    }

    fn publisher<'a>(&'a self, name: &'a Label) -> Publisher<'a> {
        let key = Some(Uuid::from_u128(9));
        Publisher { node: Uuid::nil(), name, groups: &self.players, key }
    }
}

fn node(groups: &[&str]) -> Visitor {
    let groups = groups.iter().map(|name| label(name)).collect();
    let node = VisitorNode { id: Uuid::nil(), name: label("laptop"), groups };
    Visitor::overlay("10.1.2.3".parse().unwrap(), node)
}

fn udp(ports: &str) -> Wanted<'static> {
    let ports = Some(PortRange::parse(ports).unwrap());
    Wanted { protocol: Protocol::Udp, ports, hostname: None, already: 0 }
}

fn http(hostname: Option<&PublicHost>) -> Wanted<'_> {
    Wanted { protocol: Protocol::Http, ports: None, hostname, already: 0 }
}

fn publish(rest: &str) -> String {
    format!("[[publish]]\nname='r'\neffect='allow'\n{rest}")
}

fn groups() -> Groups {
    ["players", "guests"].map(|name| (label(name), Members::default())).into_iter().collect()
}

fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}
