//! Publish rules, compiled, and how one of them is held against a wish.
//!
//! A wish names public addresses: ports, a hostname, or both. What it leaves undecided counts as
//! every port or every hostname, so that an open wish falls under each deny rule and fits no allow
//! rule with a list.

use crate::error::RuleName;
use crate::model::{Effect, Protocol, PublishRule};
use crate::ports::{PortRange, PortSet};
use crate::public_host::PublicHost;
use crate::question::{Publisher, Wanted};
use crate::selector::Who;

/// One rule under the name that decisions give.
#[derive(Debug, Clone)]
pub(crate) struct CompiledPublishRule {
    pub(crate) name: RuleName,
    pub(crate) rule: PublishRule,
    ports: PortSet,
}

impl CompiledPublishRule {
    /// Prepares `rule`.
    pub(crate) fn new(name: RuleName, rule: PublishRule) -> Self {
        let ports = PortSet::new(&rule.ports);
        Self { name, rule, ports }
    }

    /// True when the rule is about `publisher`.
    pub(crate) fn names(&self, publisher: &Publisher<'_>) -> bool {
        self.rule.who.iter().any(|who| who.names(publisher))
    }

    /// True when the rule is about the protocol of `wanted`.
    pub(crate) fn has_protocol(&self, protocol: Protocol) -> bool {
        self.rule.protocols.is_empty() || self.rule.protocols.contains(&protocol)
    }

    /// True when the rule is about the public addresses of `wanted`: about all of them to allow,
    /// about one of them to deny.
    pub(crate) fn has_addresses(&self, wanted: &Wanted<'_>) -> bool {
        if self.ports.is_empty() && self.rule.hostnames.is_empty() {
            return true;
        }
        let ports = wanted_ports(wanted);
        let hostname = wanted_hostname(wanted);
        match self.rule.effect {
            Effect::Allow => {
                ports.is_none_or(|ports| self.ports.covers(ports))
                    && hostname.is_none_or(|hostname| self.covers(hostname))
            }
            Effect::Deny => {
                ports.is_some_and(|ports| self.ports.overlaps(ports))
                    || hostname.is_some_and(|hostname| self.overlaps(hostname))
            }
        }
    }

    /// True when one more publication stays within the limit.
    pub(crate) fn has_room(&self, wanted: &Wanted<'_>) -> bool {
        self.rule.publications_max.is_none_or(|max| wanted.already < max)
    }

    /// True when the rule is about `publisher` and what it wants; the limit is another question.
    pub(crate) fn fits(&self, publisher: &Publisher<'_>, wanted: &Wanted<'_>) -> bool {
        self.names(publisher) && self.has_protocol(wanted.protocol) && self.has_addresses(wanted)
    }

    fn covers(&self, hostname: WantedHostname<'_>) -> bool {
        match hostname {
            WantedHostname::Every => false,
            WantedHostname::One(host) => {
                self.rule.hostnames.iter().any(|mine| mine.covers_all(host))
            }
        }
    }

    fn overlaps(&self, hostname: WantedHostname<'_>) -> bool {
        match hostname {
            WantedHostname::Every => !self.rule.hostnames.is_empty(),
            WantedHostname::One(host) => self.rule.hostnames.iter().any(|mine| mine.overlaps(host)),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum WantedHostname<'a> {
    Every,
    One(&'a PublicHost),
}

fn wanted_ports(wanted: &Wanted<'_>) -> Option<PortRange> {
    wanted.ports.or_else(|| wanted.protocol.has_port().then_some(PortRange::ALL))
}

fn wanted_hostname<'a>(wanted: &Wanted<'a>) -> Option<WantedHostname<'a>> {
    match wanted.hostname {
        Some(host) => Some(WantedHostname::One(host)),
        None => (!wanted.protocol.has_port()).then_some(WantedHostname::Every),
    }
}

impl Who {
    /// True when this entry names `publisher`.
    pub(crate) fn names(&self, publisher: &Publisher<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Group(name) => publisher.groups.contains(name),
            Self::Node(name) => name == publisher.name,
            Self::Key(id) => publisher.key == Some(*id),
        }
    }
}
