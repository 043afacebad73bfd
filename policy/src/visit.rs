//! Visit rules of one effect, compiled: which of them name a visitor, which a publication.

use std::collections::BTreeMap;

use crate::address::Visitor;
use crate::bits::Bits;
use crate::error::RuleName;
use crate::label::Label;
use crate::model::{Effect, Protocol, VisitRule};
use crate::question::PublicationRef;
use crate::selector::To;
use crate::sources::Sources;

/// Rules of one effect in the order of the documents.
#[derive(Debug, Clone)]
pub(crate) struct VisitRules {
    rules: Vec<NamedVisitRule>,
    sources: Sources,
    targets: Targets,
}

/// A rule under the name that decisions give.
#[derive(Debug, Clone)]
pub(crate) struct NamedVisitRule {
    pub(crate) name: RuleName,
    pub(crate) rule: VisitRule,
}

impl VisitRules {
    /// No rule yet.
    pub(crate) fn new(effect: Effect) -> Self {
        Self { rules: Vec::new(), sources: Sources::new(effect), targets: Targets::default() }
    }

    /// Adds a rule after the others.
    pub(crate) fn push(&mut self, name: RuleName, rule: VisitRule) {
        let index = self.rules.len();
        rule.from.iter().for_each(|source| self.sources.insert(source, index));
        rule.to.iter().for_each(|to| self.targets.insert(to, index));
        self.rules.push(NamedVisitRule { name, rule });
    }

    /// Every rule in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &NamedVisitRule> {
        self.rules.iter()
    }

    /// Every rule that names `publication`, in order.
    pub(crate) fn about(
        &self,
        publication: &PublicationRef<'_>,
    ) -> impl Iterator<Item = &NamedVisitRule> {
        self.rules.iter().filter(|named| named.rule.to.iter().any(|to| to.names(publication)))
    }

    /// The first rule that names both.
    pub(crate) fn first_naming(
        &self,
        visitor: &Visitor,
        publication: &PublicationRef<'_>,
    ) -> Option<&RuleName> {
        let about = self.targets.naming(publication);
        self.name_of(self.sources.naming(visitor).first_common(&about))
    }

    /// The first rule that names `publication`.
    pub(crate) fn first_about(&self, publication: &PublicationRef<'_>) -> Option<&RuleName> {
        self.name_of(self.targets.naming(publication).first())
    }

    fn name_of(&self, index: Option<usize>) -> Option<&RuleName> {
        index.and_then(|index| self.rules.get(index)).map(|named| &named.name)
    }
}

/// The `to` lists, by the number of the rule.
#[derive(Debug, Clone, Default)]
struct Targets {
    any: Bits,
    protocols: BTreeMap<Protocol, Bits>,
    groups: BTreeMap<Label, Bits>,
    publications: BTreeMap<Label, Bits>,
}

impl Targets {
    fn insert(&mut self, to: &To, rule: usize) {
        let rules = match to {
            To::Any => &mut self.any,
            To::Protocol(protocol) => self.protocols.entry(*protocol).or_default(),
            To::Group(name) => self.groups.entry(name.clone()).or_default(),
            To::Publication(name) => self.publications.entry(name.clone()).or_default(),
        };
        rules.insert(rule);
    }

    fn naming(&self, publication: &PublicationRef<'_>) -> Bits {
        let mut found = self.any.clone();
        let by_protocol = self.protocols.get(&publication.protocol);
        let by_name = self.publications.get(publication.name);
        let by_groups = publication.node_groups.iter().filter_map(|name| self.groups.get(name));
        by_groups.chain(by_protocol).chain(by_name).for_each(|rules| found.add(rules));
        found
    }
}

impl To {
    /// True when this entry names `publication`.
    pub(crate) fn names(&self, publication: &PublicationRef<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Protocol(protocol) => *protocol == publication.protocol,
            Self::Group(name) => publication.node_groups.contains(name),
            Self::Publication(name) => name == publication.name,
        }
    }
}
