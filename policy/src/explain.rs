//! Every step of a decision in words, for `bore policy explain`.
//!
//! The words come from the rules as written, the result from [`Policy::decide_visit`] and
//! [`Policy::decide_publish`] themselves: an explanation never decides.

use std::fmt;

use serde::Serialize;

use crate::access::CompiledAccess;
use crate::address::Visitor;
use crate::compile::Policy;
use crate::decide::Decision;
use crate::model::{DefaultAccess, Effect};
use crate::publish::CompiledPublishRule;
use crate::question::{PublicationRef, Publisher, Wanted};
use crate::selector::Source;
use crate::sources::networks_speak_of;
use crate::text::listed;
use crate::visit::NamedVisitRule;

/// A decision with all that was considered for it, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What was asked.
    pub question: String,
    /// Every rule and list, also those behind the one that decided.
    pub steps: Vec<Step>,
    /// The answer.
    pub decision: Decision,
}

/// One rule or list that was considered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What was considered.
    pub considered: String,
    /// Whether it fits.
    pub matched: bool,
    /// Why, or why not.
    pub because: String,
}

impl Policy {
    /// Explains [`Self::decide_visit`].
    pub fn explain_visit(
        &self,
        visitor: &Visitor,
        publication: &PublicationRef<'_>,
        access: &CompiledAccess,
    ) -> Explanation {
        let rule = |named| visit_step(named, visitor, publication);
        let mut steps: Vec<Step> = self.visit_deny.iter().map(rule).collect();
        steps.push(list_step(Effect::Deny, &access.access.deny, visitor));
        steps.push(list_step(Effect::Allow, &access.access.allow, visitor));
        steps.extend(self.visit_allow.iter().map(rule));
        steps.push(default_step(self.defaults.visit));
        Explanation {
            question: format!(
                "may {visitor} visit {} ({}, published by node {})",
                publication.name, publication.protocol, publication.node
            ),
            steps,
            decision: self.decide_visit(visitor, publication, access),
        }
    }

    /// Explains [`Self::decide_publish`].
    pub fn explain_publish(&self, publisher: &Publisher<'_>, wanted: &Wanted<'_>) -> Explanation {
        let rules = [Effect::Deny, Effect::Allow].into_iter();
        let mut steps: Vec<Step> = rules
            .flat_map(|effect| self.publish_rules(effect))
            .map(|rule| publish_step(rule, publisher, wanted))
            .collect();
        steps.push(default_step(self.defaults.publish));
        Explanation {
            question: format!(
                "may node {} ({}) publish {}",
                publisher.name,
                publisher.node,
                wish(wanted)
            ),
            steps,
            decision: self.decide_publish(publisher, wanted),
        }
    }
}

fn visit_step(named: &NamedVisitRule, visitor: &Visitor, publication: &PublicationRef<'_>) -> Step {
    let rule = &named.rule;
    let considered = format!("{} rule {}", rule.effect, named.name);
    let Some(to) = rule.to.iter().find(|to| to.names(publication)) else {
        let because = format!("it is about {}", listed(&rule.to));
        return Step { considered, matched: false, because };
    };
    let (matched, because) = search(rule.effect, &rule.from, visitor);
    let because = format!("it is about {to}, and {because}");
    Step { considered, matched, because }
}

fn list_step(effect: Effect, list: &[Source], visitor: &Visitor) -> Step {
    let considered = format!("the publication's {effect} list");
    if list.is_empty() {
        return Step { considered, matched: false, because: "there is none".to_owned() };
    }
    let (matched, because) = search(effect, list, visitor);
    Step { considered, matched, because }
}

/// Whether one of `list` names `visitor`, and why.
fn search(effect: Effect, list: &[Source], visitor: &Visitor) -> (bool, String) {
    if let Some(source) = list.iter().find(|source| names(effect, source, visitor)) {
        return (true, format!("{source} names {visitor}"));
    }
    let only_by_address = list.iter().find(|source| names(Effect::Deny, source, visitor));
    let because = match only_by_address {
        Some(source) => format!(
            "{source} gives {visitor} no right: a node of the overlay is named by overlay or group:NAME, not by its address"
        ),
        None => format!("{visitor} is in none of {}", listed(list)),
    };
    (false, because)
}

/// True when an entry of a list of this effect names `visitor`.
fn names(effect: Effect, source: &Source, visitor: &Visitor) -> bool {
    match source {
        Source::Any => true,
        Source::Overlay => visitor.node.is_some(),
        Source::Group(name) => visitor.node.as_ref().is_some_and(|node| node.groups.contains(name)),
        Source::Network(network) => {
            networks_speak_of(effect, visitor) && network.contains(visitor.address)
        }
    }
}

fn publish_step(
    compiled: &CompiledPublishRule,
    publisher: &Publisher<'_>,
    wanted: &Wanted<'_>,
) -> Step {
    let rule = &compiled.rule;
    let because = if !compiled.names(publisher) {
        format!("it is about {}", listed(&rule.who))
    } else if !compiled.has_protocol(wanted.protocol) {
        format!("it is about {}, not {}", listed(&rule.protocols), wanted.protocol)
    } else if !compiled.has_addresses(wanted) {
        format!("it is about {}, not {}", addresses(compiled), wish(wanted))
    } else if !compiled.has_room(wanted) {
        format!("it fits, but {} of its publications are in use already", wanted.already)
    } else {
        let taking = if rule.replace { ", also where another node has it (replace)" } else { "" };
        format!("it names {} and fits {}{taking}", publisher.name, wish(wanted))
    };
    Step {
        considered: format!("{} rule {}", rule.effect, compiled.name),
        matched: compiled.fits(publisher, wanted) && compiled.has_room(wanted),
        because,
    }
}

fn addresses(compiled: &CompiledPublishRule) -> String {
    let rule = &compiled.rule;
    match (rule.ports.as_slice(), rule.hostnames.as_slice()) {
        (ports, []) => format!("ports {}", listed(ports)),
        ([], hostnames) => format!("hostnames {}", listed(hostnames)),
        (ports, hostnames) => {
            format!("ports {} and hostnames {}", listed(ports), listed(hostnames))
        }
    }
}

fn wish(wanted: &Wanted<'_>) -> String {
    let protocol = wanted.protocol;
    match (wanted.hostname, wanted.ports) {
        (Some(hostname), Some(ports)) => format!("{protocol} {hostname} on {ports}"),
        (Some(hostname), None) => format!("{protocol} {hostname}"),
        (None, Some(ports)) => format!("{protocol} {ports}"),
        (None, None) if protocol.has_port() => format!("{protocol} on any port"),
        (None, None) => format!("{protocol} under any hostname"),
    }
}

fn default_step(default: DefaultAccess) -> Step {
    let because = match default {
        DefaultAccess::Open => "what no rule speaks of is permitted",
        DefaultAccess::Closed => "nothing is permitted but by an allow rule",
    };
    let considered = match default {
        DefaultAccess::Open => "the default, open",
        DefaultAccess::Closed => "the default, closed",
    };
    Step { considered: considered.to_owned(), matched: true, because: because.to_owned() }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}?", self.question)?;
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        self.decision.fmt(f)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.matched { "fits" } else { "does not fit" };
        write!(f, "  {}: {sign}: {}", self.considered, self.because)
    }
}

#[cfg(test)]
mod tests;
