//! What one writer was told, held against what the relay shows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::relay::Relay;

/// A kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    JoinKey,
    ApiKey,
    Group,
    Policy,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::JoinKey, Self::ApiKey, Self::Group, Self::Policy];

    /// As the API calls it.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::JoinKey => "join-keys",
            Self::ApiKey => "api-keys",
            Self::Group => "groups",
            Self::Policy => "policies",
        }
    }

    /// Keys stay as revoked ones, the others go.
    pub(crate) fn is_key(self) -> bool {
        matches!(self, Self::JoinKey | Self::ApiKey)
    }
}

/// A resource, by the name that its writer gave it.
pub(crate) type Named = (Kind, String);

/// Everything that the relay shows: how each resource is, and what the API wants in its path.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    pub(crate) states: BTreeMap<Named, String>,
    pub(crate) ids: BTreeMap<Named, String>,
    pub(crate) revisions: BTreeMap<Named, i64>,
}

impl Observed {
    pub(crate) fn of(relay: &Relay) -> Self {
        let mut observed = Self::default();
        let mut administrator = relay.administrator();
        for kind in Kind::ALL {
            for row in administrator.list(&format!("{}/{}", relay.network(), kind.path())) {
                observed.note(kind, &row);
            }
        }
        observed
    }

    /// Takes a resource as the API shows it.
    pub(crate) fn note(&mut self, kind: Kind, row: &Value) {
        let (name, state) = match kind {
            Kind::JoinKey | Kind::ApiKey => (&row["description"], revoked(row)),
            Kind::Group => (&row["name"], "there".to_owned()),
            Kind::Policy => (&row["name"], row["document"]["visit"][0]["name"].to_string()),
        };
        let named = (kind, name.as_str().expect("a name").to_owned());
        let id = row["id"].as_str().expect("an id").to_owned();
        self.revisions.extend(row["revision"].as_i64().map(|revision| (named.clone(), revision)));
        self.ids.insert(named.clone(), id);
        let before = self.states.insert(named.clone(), state);
        assert_eq!(before, None, "{named:?} is there twice");
    }
}

fn revoked(row: &Value) -> String {
    if row["revoked_at"].is_null() { "open".to_owned() } else { "revoked".to_owned() }
}

/// What must be there, and the one change of which nothing was heard.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Begins the name of everything that this writer makes.
    prefix: String,
    pub(crate) states: BTreeMap<Named, String>,
    pub(crate) ids: BTreeMap<Named, String>,
    pub(crate) revisions: BTreeMap<Named, i64>,
    unheard: Option<Change>,
}

/// A resource, and how it is once the change is made; `None` is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) named: Named,
    pub(crate) after: Option<String>,
}

impl Ledger {
    pub(crate) fn new(prefix: String) -> Self {
        let states = BTreeMap::new();
        Self { prefix, states, ids: BTreeMap::new(), revisions: BTreeMap::new(), unheard: None }
    }

    /// A change is asked for.
    pub(crate) fn begin(&mut self, change: Change) {
        assert_eq!(self.unheard, None);
        self.unheard = Some(change);
    }

    /// It was acknowledged.
    pub(crate) fn acknowledge(&mut self) {
        let change = self.unheard.take().expect("a change was asked for");
        self.make(change);
    }

    /// Holds everything against what is there, and learns what became of the change that was cut off: `Some(true)` if it was made.
    pub(crate) fn check(&mut self, observed: &Observed) -> Option<bool> {
        let unheard = self.unheard.take();
        let mine = |named: &&Named| named.1.starts_with(&self.prefix);
        let known: BTreeSet<Named> =
            observed.states.keys().filter(mine).chain(self.states.keys()).cloned().collect();
        let mut made = unheard.as_ref().map(|_| false);
        for named in known {
            let (told, seen) = (self.states.get(&named), observed.states.get(&named));
            if told == seen {
                continue;
            }
            let excused = unheard
                .as_ref()
                .is_some_and(|change| change.named == named && change.after.as_ref() == seen);
            assert!(
                excused,
                "{named:?} was acknowledged as {told:?} and is {seen:?}; cut off: {unheard:?}"
            );
            made = Some(true);
        }
        if made == Some(true) {
            unheard.into_iter().for_each(|change| self.make(change));
        }
        self.ids.clone_from(&observed.ids);
        self.revisions.clone_from(&observed.revisions);
        made
    }

    fn make(&mut self, Change { named, after }: Change) {
        match after {
            Some(state) => self.states.insert(named, state),
            None => self.states.remove(&named),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "was acknowledged as Some(\"open\") and is None")]
    fn a_lost_change_is_noticed() {
        let mut ledger = Ledger::new("w0-".to_owned());
        ledger.begin(opened());
        ledger.acknowledge();
        ledger.check(&Observed::default());
    }

    #[test]
    #[should_panic(expected = "was acknowledged as None and is Some(\"open\")")]
    fn a_change_that_nobody_asked_for_is_noticed() {
        let mut observed = Observed::default();
        observed.states.extend(opened().after.map(|state| (opened().named, state)));
        Ledger::new("w0-".to_owned()).check(&observed);
    }

    #[test]
    fn a_change_that_was_cut_off_may_be_made_or_not() {
        let mut observed = Observed::default();
        for made in [false, true] {
            let mut ledger = Ledger::new("w0-".to_owned());
            ledger.begin(opened());
            if made {
                observed.states.extend(opened().after.map(|state| (opened().named, state)));
            }
            assert_eq!(ledger.check(&observed), Some(made));
            assert_eq!(ledger.check(&observed), None, "and is known from then on");
        }
    }

    fn opened() -> Change {
        Change { named: (Kind::JoinKey, "w0-1".to_owned()), after: Some("open".to_owned()) }
    }
}
