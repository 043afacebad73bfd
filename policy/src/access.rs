//! A publication's own access: what `--allow` and `--deny` say.
//!
//! With an allow list the publication admits these and nobody else; with a deny list it refuses
//! these, whatever an allow says. Neither can widen what the administrator's policy permits.

use serde::{Deserialize, Serialize};

use crate::address::Visitor;
use crate::compile::check_sources;
use crate::error::PolicyError;
use crate::groups::Groups;
use crate::model::Effect;
use crate::selector::Source;
use crate::sources::Sources;

/// Whom a publication itself admits and refuses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// These and nobody else. Default, and when empty: the publication asks for nothing.
    pub allow: Vec<Source>,
    /// Not these. Default: none.
    pub deny: Vec<Source>,
}

/// An [`Access`] that is ready for decisions.
#[derive(Debug, Clone)]
pub struct CompiledAccess {
    pub(crate) access: Access,
    allow: Sources,
    deny: Sources,
}

impl CompiledAccess {
    /// Compiles `access`, whose groups must exist in `groups`.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn new(access: &Access, groups: &Groups) -> Result<Self, Vec<PolicyError>> {
        let mut errors = Vec::new();
        check_sources("the allow list", &access.allow, groups, &mut errors);
        check_sources("the deny list", &access.deny, groups, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            access: access.clone(),
            allow: compiled(Effect::Allow, &access.allow),
            deny: compiled(Effect::Deny, &access.deny),
        })
    }

    /// A publication without `--allow` and `--deny`.
    pub fn open() -> Self {
        Self {
            access: Access::default(),
            allow: Sources::new(Effect::Allow),
            deny: Sources::new(Effect::Deny),
        }
    }

    /// True when the deny list names `visitor`.
    pub(crate) fn denies(&self, visitor: &Visitor) -> bool {
        self.deny.naming(visitor).first().is_some()
    }

    /// Whether the allow list names `visitor`; `None` when there is no list.
    pub(crate) fn allows(&self, visitor: &Visitor) -> Option<bool> {
        let given = !self.access.allow.is_empty();
        given.then(|| self.allow.naming(visitor).first().is_some())
    }
}

impl Default for CompiledAccess {
    fn default() -> Self {
        Self::open()
    }
}

/// All entries under one number: a list either names a visitor or does not.
fn compiled(effect: Effect, entries: &[Source]) -> Sources {
    let mut sources = Sources::new(effect);
    entries.iter().for_each(|source| sources.insert(source, 0));
    sources
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::Label;
    use crate::limits::LIST_ENTRIES_MAX;

    #[test]
    fn lists_name_visitors() {
        let access = Access {
            allow: vec!["10.0.0.0/8".parse().unwrap()],
            deny: vec!["10.6.6.0/24".parse().unwrap()],
        };
        let compiled = CompiledAccess::new(&access, &Groups::default()).unwrap();
        let visitor = |text: &str| Visitor::public(text.parse().unwrap());
        assert_eq!(compiled.allows(&visitor("10.1.2.3")), Some(true));
        assert_eq!(compiled.allows(&visitor("11.1.2.3")), Some(false));
        assert!(compiled.denies(&visitor("10.6.6.6")) && !compiled.denies(&visitor("10.1.2.3")));
        assert_eq!(CompiledAccess::default().allows(&visitor("10.1.2.3")), None);
        assert!(!CompiledAccess::default().denies(&visitor("10.1.2.3")));
    }

    #[test]
    fn unknown_groups_and_endless_lists_are_errors_all_at_once() {
        let unknown = Source::Group(Label::parse("dev").unwrap());
        let access =
            Access { allow: vec![unknown.clone()], deny: vec![unknown; LIST_ENTRIES_MAX + 1] };
        let errors = CompiledAccess::new(&access, &Groups::default()).unwrap_err();
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "the allow list names group dev, which does not exist; there is no group yet",
                "the deny list has 16385 entries, at most 16384 are possible",
            ]
        );
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        assert!(serde_json::from_str::<Access>("{\"allow\": [], \"dney\": []}").is_err());
        let access: Access = serde_json::from_str("{\"allow\": [\"overlay\"]}").unwrap();
        assert_eq!(access.allow, [Source::Overlay]);
    }
}
