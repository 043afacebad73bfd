//! Asks policy.

use std::net::IpAddr;
use std::sync::Arc;

use bore_control::Directory;
use bore_policy::{Access, DecidedBy, Source, Visitor};
use uuid::Uuid;

use crate::flows::Flows;

/// Decides who comes in, and lists who did.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    pub(crate) directory: Directory,
    pub(crate) flows: Arc<Flows>,
}

impl Gate {
    /// Asks whether `address` may visit `publication` at this moment, and what says no.
    pub(crate) fn decide(&self, publication: Uuid, address: IpAddr) -> Result<(), DecidedBy> {
        let decision = self.directory.visitor_decision(publication, &Visitor::public(address));
        if decision.allowed { Ok(()) } else { Err(decision.by) }
    }

    /// Whether the publication's own allow list admits `address`, and names those that it comes from.
    pub(crate) fn names(&self, publication: Uuid, address: IpAddr) -> bool {
        let decision = self.directory.visitor_decision(publication, &Visitor::public(address));
        let is_listed = decision.allowed && decision.by == DecidedBy::PublicationAllow;
        let publication = is_listed.then(|| self.directory.publication(publication)).flatten();
        publication.is_some_and(|item| is_named(&item.access, address))
    }
}

/// A list of everybody, or of a large part of the Internet, names no one visitor.
fn is_named(access: &Access, address: IpAddr) -> bool {
    access.allow.iter().any(|source| match source {
        Source::Network(network) => {
            let (network, least) = (network.ip_net(), named_prefix_min(address));
            network.contains(&address) && network.prefix_len() >= least
        }
        Source::Any => false,
        // They speak of visitors of the overlay.
        Source::Overlay | Source::Group(_) => false,
    })
}

/// The shortest prefix of a network of one owner: a /16, or what a registry gives to a provider.
fn named_prefix_min(address: IpAddr) -> u8 {
    if address.is_ipv4() { 16 } else { 32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_those_whom_its_owner_can_know() {
        let names = |entry: &str, address: &str| {
            let access = Access { allow: vec![entry.parse().unwrap()], deny: Vec::new() };
            is_named(&access, address.parse().unwrap())
        };
        for entry in ["203.0.113.7", "203.0.113.0/24", "203.0.0.0/16"] {
            assert!(names(entry, "203.0.113.7"), "{entry}");
            assert!(!names(entry, "198.51.100.7"), "{entry}");
        }
        assert!(names("2001:db8::/32", "2001:db8::7"));
        for entry in ["any", "0.0.0.0/0", "203.0.0.0/8", "overlay", "group:dev"] {
            assert!(!names(entry, "203.0.113.7"), "{entry}");
        }
        assert!(!names("::/0", "2001:db8::7") && !names("2000::/3", "2001:db8::7"));
    }
}
