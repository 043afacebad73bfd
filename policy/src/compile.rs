//! From documents to a [`Policy`]: every error at once, or something that can decide.
//!
//! Invariant: a [`Policy`] names no group that did not exist when it was compiled, and no two of
//! its rules have one name.

use std::collections::BTreeSet;

use crate::error::{PolicyError, RuleName};
use crate::groups::Groups;
use crate::label::Label;
use crate::limits::{LIST_ENTRIES_MAX, POLICY_ENTRIES_MAX, RULES_MAX};
use crate::model::{DefaultAccess, Defaults, Effect, PolicyDocument, PublishRule, VisitRule};
use crate::publish::CompiledPublishRule;
use crate::selector::{Source, To, Who};
use crate::text::listed;
use crate::visit::VisitRules;

/// Compiled rules. Immutable: a change of documents or groups is a new policy.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) visit_deny: VisitRules,
    pub(crate) visit_allow: VisitRules,
    pub(crate) publish: Vec<CompiledPublishRule>,
    pub(crate) defaults: Defaults,
}

impl Policy {
    /// Compiles `documents`, whose groups must exist in `groups`.
    ///
    /// Where several documents give defaults, one that closes is enough.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the documents.
    pub fn compile(
        documents: &[PolicyDocument],
        groups: &Groups,
    ) -> Result<Self, Vec<PolicyError>> {
        let errors = Check::new(groups).documents(documents);
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut policy = Self::default();
        documents.iter().for_each(|document| policy.push(document));
        Ok(policy)
    }

    fn push(&mut self, document: &PolicyDocument) {
        for rule in &document.visit {
            let rules = match rule.effect {
                Effect::Allow => &mut self.visit_allow,
                Effect::Deny => &mut self.visit_deny,
            };
            rules.push(rule_name(document, &rule.name), rule.clone());
        }
        for rule in &document.publish {
            let name = rule_name(document, &rule.name);
            self.publish.push(CompiledPublishRule::new(name, rule.clone()));
        }
        self.defaults.visit = stricter(self.defaults.visit, document.defaults.visit);
        self.defaults.publish = stricter(self.defaults.publish, document.defaults.publish);
    }
}

/// No rule, and open to everyone.
impl Default for Policy {
    fn default() -> Self {
        Self {
            visit_deny: VisitRules::new(Effect::Deny),
            visit_allow: VisitRules::new(Effect::Allow),
            publish: Vec::new(),
            defaults: Defaults::default(),
        }
    }
}

fn stricter(one: DefaultAccess, other: DefaultAccess) -> DefaultAccess {
    match (one, other) {
        (DefaultAccess::Open, DefaultAccess::Open) => DefaultAccess::Open,
        _ => DefaultAccess::Closed,
    }
}

fn rule_name(document: &PolicyDocument, name: &Label) -> RuleName {
    RuleName { policy: document.name.clone(), name: name.clone() }
}

/// Reports in `errors` what is wrong with a list of visitors.
pub(crate) fn check_sources(
    place: &str,
    sources: &[Source],
    groups: &Groups,
    errors: &mut Vec<PolicyError>,
) {
    if sources.len() > LIST_ENTRIES_MAX {
        errors.push(PolicyError::ListTooLong { place: place.to_owned(), entries: sources.len() });
        return;
    }
    let named = sources.iter().filter_map(|source| match source {
        Source::Group(name) => Some(name),
        Source::Any | Source::Overlay | Source::Network(_) => None,
    });
    check_groups(place, named, groups, errors);
}

/// Reports each unknown group once.
fn check_groups<'a>(
    place: &str,
    named: impl Iterator<Item = &'a Label>,
    groups: &Groups,
    errors: &mut Vec<PolicyError>,
) {
    let unknown: BTreeSet<&Label> = named.filter(|name| !groups.contains(name)).collect();
    errors.extend(unknown.into_iter().map(|group| PolicyError::UnknownGroup {
        place: place.to_owned(),
        group: group.clone(),
        known: known_groups(groups),
    }));
}

fn known_groups(groups: &Groups) -> String {
    let names: Vec<&Label> = groups.names().collect();
    match names.len() {
        0 => "there is no group yet".to_owned(),
        _ => format!("the groups are: {}", listed(&names)),
    }
}

/// One walk over all documents.
struct Check<'a> {
    groups: &'a Groups,
    names: BTreeSet<RuleName>,
    entries: usize,
    errors: Vec<PolicyError>,
}

impl<'a> Check<'a> {
    fn new(groups: &'a Groups) -> Self {
        Self { groups, names: BTreeSet::new(), entries: 0, errors: Vec::new() }
    }

    fn documents(mut self, documents: &[PolicyDocument]) -> Vec<PolicyError> {
        let rules = documents.iter().map(|each| each.publish.len() + each.visit.len()).sum();
        if rules > RULES_MAX {
            return vec![PolicyError::TooManyRules { rules }];
        }
        for document in documents {
            for rule in &document.publish {
                self.publish_rule(&rule_name(document, &rule.name), rule);
            }
            for rule in &document.visit {
                self.visit_rule(&rule_name(document, &rule.name), rule);
            }
        }
        if self.entries > POLICY_ENTRIES_MAX {
            self.errors.push(PolicyError::TooManyEntries { entries: self.entries });
        }
        self.errors
    }

    fn publish_rule(&mut self, name: &RuleName, rule: &PublishRule) {
        self.unique(name);
        self.filled(name, "who", rule.who.len());
        if rule.effect == Effect::Deny && rule.publications_max.is_some() {
            self.errors.push(PolicyError::LimitOnDeny { rule: name.clone() });
        }
        if rule.effect == Effect::Deny && rule.replace {
            self.errors.push(PolicyError::ReplaceOnDeny { rule: name.clone() });
        }
        for entries in [rule.protocols.len(), rule.ports.len(), rule.hostnames.len()] {
            self.bounded(name, entries);
        }
        if self.bounded(name, rule.who.len()) {
            let named = rule.who.iter().filter_map(|who| match who {
                Who::Group(group) => Some(group),
                Who::Any | Who::Node(_) | Who::Key(_) => None,
            });
            check_groups(&place(name), named, self.groups, &mut self.errors);
        }
    }

    fn visit_rule(&mut self, name: &RuleName, rule: &VisitRule) {
        self.unique(name);
        self.filled(name, "from", rule.from.len());
        self.filled(name, "to", rule.to.len());
        self.entries = self.entries.saturating_add(rule.from.len());
        check_sources(&place(name), &rule.from, self.groups, &mut self.errors);
        if self.bounded(name, rule.to.len()) {
            let named = rule.to.iter().filter_map(|to| match to {
                To::Group(group) => Some(group),
                To::Any | To::Protocol(_) | To::Publication(_) => None,
            });
            check_groups(&place(name), named, self.groups, &mut self.errors);
        }
    }

    fn unique(&mut self, name: &RuleName) {
        if !self.names.insert(name.clone()) {
            self.errors.push(PolicyError::DuplicateRule { rule: name.clone() });
        }
    }

    fn filled(&mut self, name: &RuleName, list: &'static str, entries: usize) {
        if entries == 0 {
            self.errors.push(PolicyError::EmptyList { rule: name.clone(), list });
        }
    }

    /// Counts a list; true when it is short enough to look into.
    fn bounded(&mut self, name: &RuleName, entries: usize) -> bool {
        self.entries = self.entries.saturating_add(entries);
        let fits = entries <= LIST_ENTRIES_MAX;
        if !fits {
            self.errors.push(PolicyError::ListTooLong { place: place(name), entries });
        }
        fits
    }
}

fn place(name: &RuleName) -> String {
    format!("rule {name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::Members;

    #[test]
    fn every_error_is_reported_at_once() {
        let document = r#"
            name = "office"
            [[publish]]
            name = "a"
            effect = "deny"
            who = []
            publications_max = 3
            [[publish]]
            name = "b"
            effect = "allow"
            who = ["group:x", "group:x", "group:dev"]
            [[visit]]
            name = "a"
            effect = "allow"
            from = ["group:y"]
            to = ["group:z"]
            [[visit]]
            name = "c"
            effect = "allow"
            from = []
            to = []
        "#;
        assert_eq!(
            errors(&[document]),
            [
                "rule office/a has an empty `who`: write \"any\" to mean everyone",
                "rule office/a denies, so `publications_max` says nothing: put it on an allow rule",
                "rule office/b names group x, which does not exist; the groups are: dev, ops",
                "two rules are called office/a: give one of them another name",
                "rule office/a names group y, which does not exist; the groups are: dev, ops",
                "rule office/a names group z, which does not exist; the groups are: dev, ops",
                "rule office/c has an empty `from`: write \"any\" to mean everyone",
                "rule office/c has an empty `to`: write \"any\" to mean everyone",
            ]
        );
    }

    #[test]
    fn rule_names_are_unique_per_document_name() {
        let named = |name: &str| {
            format!("{name}\n[[visit]]\nname='a'\neffect='allow'\nfrom=['any']\nto=['any']")
        };
        assert_eq!(errors(&[&named("name='x'"), &named("name='y'"), &named("")]), [""; 0]);
        assert_eq!(
            errors(&[&named(""), &named("")]),
            ["two rules are called a: give one of them another name"]
        );
    }

    #[test]
    fn rules_and_entries_have_a_bound() {
        let rule: VisitRule =
            toml::from_str("name='a'\neffect='allow'\nfrom=['10.0.0.0/8']\nto=['any']").unwrap();
        let document =
            PolicyDocument { visit: vec![rule.clone(); RULES_MAX + 1], ..<_>::default() };
        let errors = Policy::compile(&[document], &groups()).unwrap_err();
        assert_eq!(errors, [PolicyError::TooManyRules { rules: RULES_MAX + 1 }]);

        let long = VisitRule { from: vec![Source::Any; LIST_ENTRIES_MAX + 1], ..rule.clone() };
        let document = PolicyDocument { visit: vec![long], ..<_>::default() };
        let errors = Policy::compile(&[document], &groups()).unwrap_err();
        assert_eq!(errors[0].to_string(), "rule a has 16385 entries, at most 16384 are possible");

        let rules = (0..=POLICY_ENTRIES_MAX / LIST_ENTRIES_MAX).map(|index| VisitRule {
            name: Label::parse(&format!("r{index}")).unwrap(),
            from: vec![Source::Any; LIST_ENTRIES_MAX],
            ..rule.clone()
        });
        let document = PolicyDocument { visit: rules.collect(), ..<_>::default() };
        let errors = Policy::compile(&[document], &groups()).unwrap_err();
        assert!(
            matches!(errors[..], [PolicyError::TooManyEntries { entries: 147_465 }]),
            "{errors:?}"
        );
    }

    #[test]
    fn one_document_that_closes_is_enough() {
        let closed: PolicyDocument = toml::from_str("[defaults]\nvisit='closed'").unwrap();
        let documents = [PolicyDocument::default(), closed, PolicyDocument::default()];
        let policy = Policy::compile(&documents, &groups()).unwrap();
        assert_eq!(policy.defaults.visit, DefaultAccess::Closed);
        assert_eq!(policy.defaults.publish, DefaultAccess::Open);
    }

    fn errors(documents: &[&str]) -> Vec<String> {
        let documents: Vec<PolicyDocument> =
            documents.iter().map(|text| toml::from_str(text).unwrap()).collect();
        match Policy::compile(&documents, &groups()) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }

    fn groups() -> Groups {
        ["dev", "ops"]
            .map(|name| (Label::parse(name).unwrap(), Members::default()))
            .into_iter()
            .collect()
    }
}
