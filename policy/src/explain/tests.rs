//! Behaviour of `explain`.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::*;
use crate::access::Access;
use crate::address::VisitorNode;
use crate::groups::{Groups, Members};
use crate::label::Label;
use crate::model::{PolicyDocument, Protocol};
use crate::ports::PortRange;
use crate::public_host::PublicHost;

const DOCUMENT: &str = r#"
    name = "office"
    [[visit]]
    name = "game-lan"
    effect = "allow"
    from = ["10.0.0.0/8", "overlay"]
    to = ["game"]
    [[visit]]
    name = "web-only"
    effect = "allow"
    from = ["any"]
    to = ["web", "http"]
    [[visit]]
    name = "no-guests"
    effect = "deny"
    from = ["10.9.0.0/16"]
    to = ["any"]
    [[publish]]
    name = "players"
    effect = "allow"
    who = ["group:players"]
    protocols = ["udp", "http"]
    ports = ["20000-29999"]
    hostnames = ["*.dev.example.org"]
    publications_max = 3
    [[publish]]
    name = "guests"
    effect = "allow"
    who = ["group:guests"]
    [[publish]]
    name = "no-dns"
    effect = "deny"
    who = ["any"]
    ports = ["53"]
    [defaults]
    publish = "closed"
"#;

#[test]
fn a_visit_is_explained_rule_by_rule_in_the_order_of_decision() {
    let access = Access { allow: vec!["10.0.0.0/8".parse().unwrap()], deny: vec![] };
    let visitor = Visitor::public("10.1.2.3".parse().unwrap());
    assert_eq!(
        visit(&visitor, &access).to_string(),
        "may 10.1.2.3 visit game (udp, published by node 00000000-0000-0000-0000-000000000000)?
  deny rule office/no-guests: does not fit: it is about any, and 10.1.2.3 is in none of 10.9.0.0/16
  the publication's deny list: does not fit: there is none
  the publication's allow list: fits: 10.0.0.0/8 names 10.1.2.3
  allow rule office/game-lan: fits: it is about game, and 10.0.0.0/8 names 10.1.2.3
  allow rule office/web-only: does not fit: it is about web, http
  the default, open: fits: what no rule speaks of is permitted
allowed by rule office/game-lan"
    );
}

#[test]
fn an_overlay_visitor_is_told_why_its_address_gives_no_right() {
    let access = Access { allow: vec!["100.64.0.0/10".parse().unwrap()], deny: vec![] };
    let name = Label::parse("laptop").unwrap();
    let node = VisitorNode { id: Uuid::nil(), name, groups: BTreeSet::new() };
    let visitor = Visitor::overlay("100.64.0.7".parse().unwrap(), node);
    let explanation = visit(&visitor, &access);

    assert!(!explanation.decision.allowed);
    let list =
        explanation.steps.iter().find(|step| step.considered.contains("allow list")).unwrap();
    assert_eq!(
        list.because,
        "100.64.0.0/10 gives node laptop (100.64.0.7) no right: a node of the overlay is named by \
         overlay or group:NAME, not by its address"
    );
    let rule = explanation.steps.iter().find(|step| step.considered.contains("game-lan")).unwrap();
    assert!(rule.matched, "overlay names it: {rule}");
}

#[test]
fn a_wish_is_explained_by_what_stands_in_its_way() {
    let hostname = PublicHost::parse("a.dev.example.org").unwrap();
    let elsewhere = PublicHost::parse("a.example.org").unwrap();
    let udp = wanted(Protocol::Udp, Some("7777"), None, 0);
    let table = [
        (udp, "it is about ports 20000-29999 and hostnames *.dev.example.org, not udp 7777"),
        (
            wanted(Protocol::Udp, None, None, 0),
            "it is about ports 20000-29999 and hostnames *.dev.example.org, not udp on any port",
        ),
        (
            wanted(Protocol::Http, None, None, 0),
            "it is about ports 20000-29999 and hostnames *.dev.example.org, not http under any hostname",
        ),
        (
            wanted(Protocol::Http, None, Some(&elsewhere), 0),
            "it is about ports 20000-29999 and hostnames *.dev.example.org, not http a.example.org",
        ),
        (wanted(Protocol::Tcp, Some("20000"), None, 0), "it is about udp, http, not tcp"),
        (
            wanted(Protocol::Udp, Some("20000"), None, 3),
            "it fits, but 3 of its publications are in use already",
        ),
        (
            wanted(Protocol::Http, Some("20000"), Some(&hostname), 0),
            "it names nas and fits http a.dev.example.org on 20000",
        ),
    ];
    for (wanted, because) in table {
        let explanation = publish(&wanted);
        let step =
            explanation.steps.iter().find(|step| step.considered.contains("players")).unwrap();
        assert_eq!(step.because, because);
        assert_eq!(step.matched, explanation.decision.allowed, "{explanation}");
    }
}

#[test]
fn a_publish_explanation_has_every_rule_and_the_default() {
    let explanation = publish(&wanted(Protocol::Udp, Some("53"), None, 0));
    assert_eq!(
        explanation.to_string(),
        "may node nas (00000000-0000-0000-0000-000000000000) publish udp 53?
  deny rule office/no-dns: fits: it names nas and fits udp 53
  allow rule office/players: does not fit: it is about ports 20000-29999 and hostnames *.dev.example.org, not udp 53
  allow rule office/guests: does not fit: it is about group:guests
  the default, closed: fits: nothing is permitted but by an allow rule
refused by rule office/no-dns"
    );
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["decision"]["by"]["name"], "no-dns");
}

#[test]
fn rules_with_only_ports_or_only_hostnames_are_told_so() {
    let udp = wanted(Protocol::Udp, Some("54"), None, 0);
    let step = &publish(&udp).steps[0];
    assert_eq!(step.because, "it is about ports 53, not udp 54");

    let document = "[[publish]]\nname='h'\neffect='deny'\nwho=['any']\nhostnames=['app']";
    let policy = Policy::compile(&[toml::from_str(document).unwrap()], &groups()).unwrap();
    let step = publish_step(
        policy.publish_rules(Effect::Deny).next().unwrap(),
        &publisher(&nas(), &players()),
        &udp,
    );
    assert_eq!(step.because, "it is about hostnames app, not udp 54");
}

fn visit(visitor: &Visitor, access: &Access) -> Explanation {
    let name = Label::parse("game").unwrap();
    let node_groups = BTreeSet::new();
    let publication = PublicationRef {
        name: &name,
        protocol: Protocol::Udp,
        node: Uuid::nil(),
        node_groups: &node_groups,
    };
    policy().explain_visit(visitor, &publication, &CompiledAccess::new(access, &groups()).unwrap())
}

fn publish(wanted: &Wanted<'_>) -> Explanation {
    policy().explain_publish(&publisher(&nas(), &players()), wanted)
}

fn wanted<'a>(
    protocol: Protocol,
    ports: Option<&str>,
    hostname: Option<&'a PublicHost>,
    already: u32,
) -> Wanted<'a> {
    let ports = ports.map(|text| PortRange::parse(text).unwrap());
    Wanted { protocol, ports, hostname, already }
}

fn policy() -> Policy {
    let document: PolicyDocument = toml::from_str(DOCUMENT).unwrap();
    Policy::compile(&[document], &groups()).unwrap()
}

fn groups() -> Groups {
    let label = |name| (Label::parse(name).unwrap(), Members::default());
    ["players", "guests"].map(label).into_iter().collect()
}

fn publisher<'a>(name: &'a Label, groups: &'a BTreeSet<Label>) -> Publisher<'a> {
    Publisher { node: Uuid::nil(), name, groups, key: None }
}

fn nas() -> Label {
    Label::parse("nas").unwrap()
}

fn players() -> BTreeSet<Label> {
    [Label::parse("players").unwrap()].into()
}
