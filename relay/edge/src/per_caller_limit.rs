//! How many connections each caller has at once: a source of public listeners, or a node inside the overlay.
//!
//! The table has no entry without a connection, so what bounds connections in all bounds it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The callers of some listeners. Cloning shares the table.
#[derive(Debug)]
pub struct PerCallerLimit<K: Eq + Hash>(Arc<Mutex<HashMap<K, usize>>>);

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub struct CallerPlace<K: Eq + Hash> {
    caller: K,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash> Default for PerCallerLimit<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash> Clone for PerCallerLimit<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Eq + Hash + Copy> PerCallerLimit<K> {
    /// A place, unless the caller has `most` of them.
    pub fn take(&self, caller: K, most: usize) -> Option<CallerPlace<K>> {
        let mut taken = lock(&self.0);
        let count = taken.get(&caller).copied().unwrap_or_default();
        if count >= most {
            return None;
        }
        taken.insert(caller, count + 1);
        Some(CallerPlace { caller, taken: Arc::clone(&self.0) })
    }
}

impl<K: Eq + Hash> Drop for CallerPlace<K> {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        match taken.get_mut(&self.caller) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(taken.remove(&self.caller)),
        }
    }
}

fn lock<K>(taken: &Mutex<HashMap<K, usize>>) -> MutexGuard<'_, HashMap<K, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_gets_its_places_back_and_leaves_others_theirs() {
        let callers = PerCallerLimit::default();
        let held: Vec<_> = (0..3).map(|_| callers.take("a", 3).unwrap()).collect();
        assert!(callers.take("a", 3).is_none());
        assert!(callers.take("b", 3).is_some());
        drop(held);
        assert!(callers.take("a", 3).is_some());
        assert!(lock(&callers.0).is_empty(), "no entry without a place");
    }
}
