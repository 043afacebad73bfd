//! The `from` lists of many rules, compiled: which rules name a visitor.
//!
//! An address gives a node of the overlay no right, because it is an inner source address; but it
//! can take one. So networks of allow rules speak of public visitors only, and networks of deny
//! rules of everyone.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::address::{CanonicalAddress, Visitor};
use crate::bits::Bits;
use crate::label::Label;
use crate::model::Effect;
use crate::network::Network;
use crate::selector::Source;
use crate::trie::{Prefix, Trie};

/// The sources of the rules of one effect, by the number of the rule.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    effect: Effect,
    any: Bits,
    overlay: Bits,
    groups: BTreeMap<Label, Bits>,
    v4: Trie,
    v6: Trie,
}

impl Sources {
    /// No rule yet.
    pub(crate) fn new(effect: Effect) -> Self {
        Self {
            effect,
            any: Bits::default(),
            overlay: Bits::default(),
            groups: BTreeMap::new(),
            v4: Trie::default(),
            v6: Trie::default(),
        }
    }

    /// Adds one entry of `rule`.
    pub(crate) fn insert(&mut self, source: &Source, rule: usize) {
        match source {
            Source::Any => self.any.insert(rule),
            Source::Overlay => self.overlay.insert(rule),
            Source::Group(name) => self.groups.entry(name.clone()).or_default().insert(rule),
            Source::Network(network) => self.insert_network(network, rule),
        }
    }

    fn insert_network(&mut self, network: &Network, rule: usize) {
        let network = network.ip_net();
        let (address, _) = left_aligned(network.addr());
        let prefix = Prefix::new(address, u32::from(network.prefix_len()));
        match network {
            IpNet::V4(_) => self.v4.insert(prefix, rule),
            IpNet::V6(_) => self.v6.insert(prefix, rule),
        }
    }

    /// The rules that name `visitor`.
    pub(crate) fn naming(&self, visitor: &Visitor) -> Bits {
        let mut found = self.any.clone();
        if let Some(node) = &visitor.node {
            found.add(&self.overlay);
            let of_groups = node.groups.iter().filter_map(|name| self.groups.get(name));
            of_groups.for_each(|rules| found.add(rules));
        }
        if networks_speak_of(self.effect, visitor) {
            self.collect_networks(visitor.address, &mut found);
        }
        found
    }

    fn collect_networks(&self, address: CanonicalAddress, found: &mut Bits) {
        let (bits, is_v4) = left_aligned(address.ip());
        let trie = if is_v4 { &self.v4 } else { &self.v6 };
        trie.collect(bits, found);
    }
}

/// True when networks in rules of `effect` can name `visitor`.
pub(crate) fn networks_speak_of(effect: Effect, visitor: &Visitor) -> bool {
    effect == Effect::Deny || visitor.node.is_none()
}

/// The address in the upper bits of 128, and whether it is IPv4.
fn left_aligned(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, true),
        IpAddr::V6(v6) => (v6.to_bits(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::VisitorNode;
    use uuid::Uuid;

    #[test]
    fn allow_networks_speak_of_public_visitors_only() {
        let sources = sources(Effect::Allow, &["100.64.0.0/10"]);
        assert!(names(&sources, &public("100.64.0.7")));
        assert!(!names(&sources, &overlay("100.64.0.7", &[])));
    }

    #[test]
    fn deny_networks_speak_of_everyone() {
        let sources = sources(Effect::Deny, &["100.64.0.7"]);
        assert!(names(&sources, &public("100.64.0.7")));
        assert!(names(&sources, &overlay("100.64.0.7", &[])));
        assert!(!names(&sources, &overlay("100.64.0.8", &[])));
    }

    #[test]
    fn overlay_and_groups_come_from_the_tunnel() {
        let overlay_only = sources(Effect::Allow, &["overlay"]);
        assert!(names(&overlay_only, &overlay("100.64.0.7", &[])));
        assert!(!names(&overlay_only, &public("100.64.0.7")));

        let group = sources(Effect::Allow, &["group:dev"]);
        assert!(names(&group, &overlay("100.64.0.7", &["ops", "dev"])));
        assert!(!names(&group, &overlay("100.64.0.7", &["ops"])));
        assert!(!names(&group, &public("100.64.0.7")));
    }

    #[test]
    fn families_are_apart() {
        let v6 = sources(Effect::Allow, &["::/0"]);
        assert!(names(&v6, &public("2001:db8::1")) && !names(&v6, &public("10.0.0.1")));
        let v4 = sources(Effect::Allow, &["0.0.0.0/0"]);
        assert!(names(&v4, &public("10.0.0.1")) && !names(&v4, &public("2001:db8::1")));
        let any = sources(Effect::Allow, &["any"]);
        assert!(names(&any, &public("10.0.0.1")) && names(&any, &overlay("fd00::1", &[])));
    }

    fn sources(effect: Effect, entries: &[&str]) -> Sources {
        let mut sources = Sources::new(effect);
        entries.iter().for_each(|entry| sources.insert(&entry.parse().unwrap(), 0));
        sources
    }

    fn names(sources: &Sources, visitor: &Visitor) -> bool {
        sources.naming(visitor).first().is_some()
    }

    fn public(address: &str) -> Visitor {
        Visitor::public(address.parse().unwrap())
    }

    fn overlay(address: &str, groups: &[&str]) -> Visitor {
        let label = |text: &&str| Label::parse(text).unwrap();
        let groups = groups.iter().map(label).collect();
        let node = VisitorNode { id: Uuid::nil(), name: label(&"nas"), groups };
        Visitor::overlay(address.parse().unwrap(), node)
    }
}
