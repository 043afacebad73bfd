//! TXT values by name, in memory: they belong to an order that starts again after a restart.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::limits::{TXT_NAMES_MAX, TXT_VALUES_PER_NAME_MAX};

/// The table. Names are lower-case, without the last dot.
#[derive(Debug, Default)]
pub(super) struct TxtTable(RwLock<BTreeMap<String, Vec<String>>>);

/// A bound of the table that was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Names,
    Values,
}

impl TxtTable {
    /// Adds a value; the same one twice is one.
    pub(super) fn add(&self, name: &str, value: &str) -> Result<(), Full> {
        let mut names = self.write();
        if !names.contains_key(name) && names.len() >= TXT_NAMES_MAX {
            return Err(Full::Names);
        }
        let values = names.entry(name.to_owned()).or_default();
        if values.iter().any(|known| known == value) {
            return Ok(());
        }
        if values.len() >= TXT_VALUES_PER_NAME_MAX {
            return Err(Full::Values);
        }
        values.push(value.to_owned());
        Ok(())
    }

    /// Removes a value. A name without values is not kept.
    pub(super) fn remove(&self, name: &str, value: &str) {
        let mut names = self.write();
        let Some(values) = names.get_mut(name) else { return };
        values.retain(|known| known != value);
        if values.is_empty() {
            names.remove(name);
        }
    }

    pub(super) fn values(&self, name: &str) -> Vec<String> {
        self.read().get(name).cloned().unwrap_or_default()
    }

    /// Whether a name below this one has values: then this one exists too, without records of its own (RFC 8020).
    pub(super) fn has_below(&self, name: &str) -> bool {
        self.read().keys().any(|known| is_below(known, name))
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Vec<String>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Vec<String>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_below(name: &str, above: &str) -> bool {
    name.strip_suffix(above).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_values_stand_under_one_name() {
        let table = TxtTable::default();
        table.add("_acme-challenge.t.example", "one").unwrap();
        table.add("_acme-challenge.t.example", "two").unwrap();
        table.add("_acme-challenge.t.example", "two").unwrap();
        assert_eq!(table.values("_acme-challenge.t.example"), ["one", "two"]);
        table.remove("_acme-challenge.t.example", "one");
        table.remove("_acme-challenge.t.example", "never there");
        assert_eq!(table.values("_acme-challenge.t.example"), ["two"]);
    }

    #[test]
    fn a_name_without_values_is_forgotten() {
        let table = TxtTable::default();
        table.add("_acme-challenge.app.t.example", "one").unwrap();
        assert!(table.has_below("app.t.example") && table.has_below("t.example"));
        assert!(!table.has_below("pp.t.example"), "labels, not letters");
        table.remove("_acme-challenge.app.t.example", "one");
        assert!(!table.has_below("t.example"));
        assert!(table.read().is_empty());
    }

    #[test]
    fn both_bounds_hold() {
        let table = TxtTable::default();
        for number in 0..TXT_NAMES_MAX {
            table.add(&format!("n{number}.t.example"), "v").unwrap();
        }
        assert_eq!(table.add("one-more.t.example", "v"), Err(Full::Names));
        for number in 1..TXT_VALUES_PER_NAME_MAX {
            table.add("n0.t.example", &number.to_string()).unwrap();
        }
        assert_eq!(table.add("n0.t.example", "too many"), Err(Full::Values));
        assert_eq!(table.add("n0.t.example", "v"), Ok(()), "it stands there already");
    }
}
