//! Decisions. Each names what made it, and only the first step that applies counts.
//!
//! **Visits**, [`Policy::decide_visit`]:
//! 1. A deny rule that names the visitor and the publication refuses.
//! 2. The publication's own deny list refuses.
//! 3. The publication's own allow list, if there is one, refuses whom it does not name.
//! 4. An allow rule that names the visitor and the publication permits.
//! 5. If an allow rule names the publication but none also the visitor, that refuses.
//! 6. The default: closed refuses, so that a publication's own list opens nothing; open permits.
//!
//! **Publishing**, [`Policy::decide_publish`]:
//! 1. A deny rule that names the publisher and fits the wish refuses.
//! 2. An allow rule that names the publisher, fits the wish and has room permits.
//! 3. If an allow rule names the publisher but none permits, that refuses: by its limit, where only
//!    that stood in the way.
//! 4. The default.
//!
//! **Replacing** what another node of the network publishes, [`Policy::decide_replace`]: besides, an allow rule with `replace` names the publisher
//! and fits what is taken, and no deny rule does. No default permits it.
//!
//! Rules of all documents count alike; their order only chooses which of several is named.

use std::fmt;

use serde::Serialize;

use crate::access::CompiledAccess;
use crate::address::Visitor;
use crate::compile::Policy;
use crate::error::RuleName;
use crate::model::{DefaultAccess, Effect};
use crate::publish::CompiledPublishRule;
use crate::question::{PublicationRef, Publisher, Wanted};

/// An answer and its cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Whether it is permitted.
    pub allowed: bool,
    /// What made the answer.
    pub by: DecidedBy,
}

/// What made a [`Decision`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum DecidedBy {
    /// A rule that fits: of deny when refused, of allow when permitted.
    Rule(RuleName),
    /// Allow rules that are about the publication or publisher, of which none fits; the first.
    RuleMiss(RuleName),
    /// The limit of an allow rule that fits.
    RuleLimit {
        /// The rule.
        rule: RuleName,
        /// Its limit.
        publications_max: u32,
    },
    /// The publication's own allow list, which names the visitor.
    PublicationAllow,
    /// The publication's own deny list, which names the visitor.
    PublicationDeny,
    /// The publication's own allow list, which does not name the visitor.
    PublicationAllowMiss,
    /// The default, because nothing else speaks.
    Default,
    /// No allow rule with `replace` fits, and without one only a node's own publications give way to it.
    NoReplaceRule,
}

impl Policy {
    /// Whether `visitor` may visit `publication`, which itself asks for `access`.
    ///
    /// Costs as much with one prefix as with a hundred thousand.
    pub fn decide_visit(
        &self,
        visitor: &Visitor,
        publication: &PublicationRef<'_>,
        access: &CompiledAccess,
    ) -> Decision {
        if let Some(rule) = self.visit_deny.first_naming(visitor, publication) {
            return refused(DecidedBy::Rule(rule.clone()));
        }
        if access.denies(visitor) {
            return refused(DecidedBy::PublicationDeny);
        }
        let listed = access.allows(visitor);
        if listed == Some(false) {
            return refused(DecidedBy::PublicationAllowMiss);
        }
        if let Some(rule) = self.visit_allow.first_naming(visitor, publication) {
            return allowed(DecidedBy::Rule(rule.clone()));
        }
        if let Some(rule) = self.visit_allow.first_about(publication) {
            return refused(DecidedBy::RuleMiss(rule.clone()));
        }
        match (self.defaults.visit, listed) {
            (DefaultAccess::Closed, _) => refused(DecidedBy::Default),
            (DefaultAccess::Open, Some(_)) => allowed(DecidedBy::PublicationAllow),
            (DefaultAccess::Open, None) => allowed(DecidedBy::Default),
        }
    }

    /// Whether `publisher` may publish what is `wanted`.
    pub fn decide_publish(&self, publisher: &Publisher<'_>, wanted: &Wanted<'_>) -> Decision {
        let fitting = |effect| {
            let rules = self.publish_rules(effect);
            rules.filter(|rule| rule.fits(publisher, wanted))
        };
        if let Some(rule) = fitting(Effect::Deny).next() {
            return refused(DecidedBy::Rule(rule.name.clone()));
        }
        if let Some(rule) = fitting(Effect::Allow).find(|rule| rule.has_room(wanted)) {
            return allowed(DecidedBy::Rule(rule.name.clone()));
        }
        if let Some(limit) = fitting(Effect::Allow).find_map(limit_of) {
            return refused(limit);
        }
        let mut about = self.publish_rules(Effect::Allow).filter(|rule| rule.names(publisher));
        match (about.next(), self.defaults.publish) {
            (Some(rule), _) => refused(DecidedBy::RuleMiss(rule.name.clone())),
            (None, DefaultAccess::Closed) => refused(DecidedBy::Default),
            (None, DefaultAccess::Open) => allowed(DecidedBy::Default),
        }
    }

    /// Whether `publisher` may take what is `wanted` from another node of the network; whether it may publish it is another question.
    pub fn decide_replace(&self, publisher: &Publisher<'_>, wanted: &Wanted<'_>) -> Decision {
        let mut denying = self.publish_rules(Effect::Deny);
        if let Some(rule) = denying.find(|rule| rule.fits(publisher, wanted)) {
            return refused(DecidedBy::Rule(rule.name.clone()));
        }
        let mut rules = self.publish_rules(Effect::Allow);
        match rules.find(|each| each.rule.replace && each.fits(publisher, wanted)) {
            Some(each) => allowed(DecidedBy::Rule(each.name.clone())),
            None => refused(DecidedBy::NoReplaceRule),
        }
    }

    /// The publish rules of one effect in order.
    pub(crate) fn publish_rules(
        &self,
        effect: Effect,
    ) -> impl Iterator<Item = &CompiledPublishRule> {
        self.publish.iter().filter(move |compiled| compiled.rule.effect == effect)
    }
}

fn limit_of(compiled: &CompiledPublishRule) -> Option<DecidedBy> {
    let publications_max = compiled.rule.publications_max?;
    Some(DecidedBy::RuleLimit { rule: compiled.name.clone(), publications_max })
}

fn allowed(by: DecidedBy) -> Decision {
    Decision { allowed: true, by }
}

fn refused(by: DecidedBy) -> Decision {
    Decision { allowed: false, by }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", if self.allowed { "allowed" } else { "refused" }, self.by)
    }
}

impl fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => write!(f, "rule {rule}"),
            Self::RuleMiss(rule) => write!(f, "the allow rules, of which none fits (rule {rule})"),
            Self::RuleLimit { rule, publications_max } => {
                write!(f, "the limit of rule {rule}, {publications_max} publications")
            }
            Self::PublicationAllow => f.write_str("the publication's allow list"),
            Self::PublicationDeny => f.write_str("the publication's deny list"),
            Self::PublicationAllowMiss => {
                f.write_str("the publication's allow list, which does not name the visitor")
            }
            Self::Default => f.write_str("the default"),
            Self::NoReplaceRule => {
                f.write_str("the default: no publish rule has `replace = true` for it")
            }
        }
    }
}

#[cfg(test)]
mod tests;
