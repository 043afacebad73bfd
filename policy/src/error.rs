//! What can be wrong with documents that parse: errors of [`crate::Policy::compile`].

use std::fmt;

use serde::Serialize;

use crate::label::Label;
use crate::limits::{LIST_ENTRIES_MAX, POLICY_ENTRIES_MAX, RULES_MAX};

/// The name of a rule as a decision shows it: `policy/rule`, or `rule` in a document without name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct RuleName {
    /// The document's name.
    pub policy: Option<Label>,
    /// The rule's name.
    pub name: Label,
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.policy {
            Some(policy) => write!(f, "{policy}/{}", self.name),
            None => self.name.fmt(f),
        }
    }
}

/// One thing that is wrong with a policy or with a publication's access. All are reported at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A group that does not exist.
    #[error("{place} names group {group}, which does not exist; {known}")]
    UnknownGroup {
        /// Where it is named.
        place: String,
        /// The group.
        group: Label,
        /// What there is instead, as a sentence.
        known: String,
    },
    /// Two rules of one name, between which no decision could tell.
    #[error("two rules are called {rule}: give one of them another name")]
    DuplicateRule {
        /// Their name.
        rule: RuleName,
    },
    /// A list that must say something is empty.
    #[error("rule {rule} has an empty `{list}`: write \"any\" to mean everyone")]
    EmptyList {
        /// The rule.
        rule: RuleName,
        /// The key of the list.
        list: &'static str,
    },
    /// A deny rule with a limit.
    #[error("rule {rule} denies, so `publications_max` says nothing: put it on an allow rule")]
    LimitOnDeny {
        /// The rule.
        rule: RuleName,
    },
    /// A deny rule that lets something be taken.
    #[error("rule {rule} denies, so `replace` says nothing: put it on an allow rule")]
    ReplaceOnDeny {
        /// The rule.
        rule: RuleName,
    },
    /// A list beyond its bound.
    #[error("{place} has {entries} entries, at most {LIST_ENTRIES_MAX} are possible")]
    ListTooLong {
        /// Where the list is.
        place: String,
        /// Its length.
        entries: usize,
    },
    /// More rules than the bound.
    #[error("the policies have {rules} rules in all, at most {RULES_MAX} are possible")]
    TooManyRules {
        /// How many there are.
        rules: usize,
    },
    /// More entries than the bound.
    #[error(
        "the policies have {entries} entries in all, at most {POLICY_ENTRIES_MAX} are possible"
    )]
    TooManyEntries {
        /// How many there are.
        entries: usize,
    },
}
