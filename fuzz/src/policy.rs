//! Policy documents: read, written back, compiled, asked and explained.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bore_policy::{
    CanonicalAddress, CompiledAccess, Groups, Label, Members, Policy, PolicyDocument, Protocol,
    PublicationRef, Publisher, Visitor, VisitorNode, Wanted, describe_policy,
};
use uuid::Uuid;

/// Reads the bytes as JSON and as TOML.
pub fn document(bytes: &[u8]) {
    if let Ok(document) = serde_json::from_slice::<PolicyDocument>(bytes) {
        let written = serde_json::to_string(&document).expect("a document is JSON");
        assert_eq!(serde_json::from_str::<PolicyDocument>(&written).ok().as_ref(), Some(&document));
        compile(&document);
    }
    let text = std::str::from_utf8(bytes).ok();
    if let Some(document) = text.and_then(|text| toml::from_str::<PolicyDocument>(text).ok()) {
        compile(&document);
    }
}

fn compile(document: &PolicyDocument) {
    let groups = groups();
    match Policy::compile(&[document.clone(), document.clone()], &groups) {
        Err(errors) => assert!(!errors.is_empty(), "a refusal says why"),
        Ok(policy) => ask(&policy),
    }
    if let Ok(policy) = Policy::compile(std::slice::from_ref(document), &groups) {
        ask(&policy);
    }
}

/// An explanation must end in the decision that it explains.
fn ask(policy: &Policy) {
    let (name, groups) = (label("nas"), BTreeSet::from([label("office")]));
    let access = CompiledAccess::open();
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Http, Protocol::Tls] {
        let publication =
            PublicationRef { name: &name, protocol, node: Uuid::nil(), node_groups: &groups };
        for visitor in visitors() {
            let decision = policy.decide_visit(&visitor, &publication, &access);
            let told = policy.explain_visit(&visitor, &publication, &access);
            assert_eq!(told.decision, decision);
            assert!(!told.to_string().is_empty());
        }
        describe_policy(policy, &publication);
        let publisher =
            Publisher { node: Uuid::nil(), name: &name, groups: &groups, key: Some(Uuid::nil()) };
        let wanted = Wanted { protocol, ports: None, hostname: None, already: 3 };
        let told = policy.explain_publish(&publisher, &wanted);
        assert_eq!(told.decision, policy.decide_publish(&publisher, &wanted));
    }
}

fn groups() -> Groups {
    let members =
        Members { nodes: BTreeSet::from([Uuid::nil()]), keys: BTreeSet::from([Uuid::nil()]) };
    [(label("office"), members), (label("friends"), Members::default())].into_iter().collect()
}

fn visitors() -> Vec<Visitor> {
    let addresses = ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1", "100.64.0.9", "fd00::1"];
    let addresses = addresses.map(|text| text.parse::<IpAddr>().expect("an address"));
    let node = VisitorNode {
        id: Uuid::nil(),
        name: label("laptop"),
        groups: BTreeSet::from([label("office")]),
    };
    let outside = addresses.into_iter().map(Visitor::public);
    let inside = addresses.into_iter().map(|address| Visitor {
        address: CanonicalAddress::new(address),
        node: Some(node.clone()),
    });
    outside.chain(inside).collect()
}

fn label(text: &str) -> Label {
    Label::parse(text).expect("a label")
}
