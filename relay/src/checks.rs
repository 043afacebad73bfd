//! Which checks run: at most one of a publication, few of a node, bounded in all.
//!
//! A check that is asked for while one of the same publication runs is done once more after it, however often it was asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::limits::{CHECKS_MAX, CHECKS_PER_NODE_MAX};

/// The checks of one relay.
#[derive(Debug)]
pub(crate) struct Checks {
    /// Publications under check, and whether to check them again.
    running: Mutex<HashMap<Uuid, bool>>,
    nodes: Mutex<HashMap<Uuid, Arc<Semaphore>>>,
    all: Semaphore,
}

impl Default for Checks {
    fn default() -> Self {
        let all = Semaphore::new(CHECKS_MAX);
        Self { running: Mutex::default(), nodes: Mutex::default(), all }
    }
}

impl Checks {
    /// Says whether the caller has to run the check; if not, whoever runs one does it again.
    pub(crate) fn begin(&self, publication: Uuid) -> bool {
        let mut running = lock(&self.running);
        let again = running.contains_key(&publication);
        running.insert(publication, again);
        !again
    }

    /// Says whether the caller has to check once more.
    pub(crate) fn end(&self, publication: Uuid) -> bool {
        let mut running = lock(&self.running);
        match running.get_mut(&publication) {
            Some(again) if *again => {
                *again = false;
                true
            }
            Some(_) | None => {
                running.remove(&publication);
                false
            }
        }
    }

    /// Runs `check` when `node` and the relay have room for one more.
    pub(crate) async fn within_bounds<T>(&self, node: Uuid, check: impl Future<Output = T>) -> T {
        let of_node = self.of(node);
        // The semaphores are never closed: a missing permit cannot be.
        let permits = (of_node.acquire().await.ok(), self.all.acquire().await.ok());
        let done = check.await;
        drop(permits);
        self.forget_idle(node, of_node);
        done
    }

    fn of(&self, node: Uuid) -> Arc<Semaphore> {
        let mut nodes = lock(&self.nodes);
        let new = || Arc::new(Semaphore::new(CHECKS_PER_NODE_MAX));
        Arc::clone(nodes.entry(node).or_insert_with(new))
    }

    fn forget_idle(&self, node: Uuid, of_node: Arc<Semaphore>) {
        let mut nodes = lock(&self.nodes);
        drop(of_node);
        if nodes.get(&node).is_some_and(|semaphore| Arc::strong_count(semaphore) == 1) {
            nodes.remove(&node);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_asked_for_many_times_runs_once_more() {
        let (checks, id) = (Checks::default(), Uuid::nil());
        assert!(checks.begin(id));
        assert!(!checks.begin(id) && !checks.begin(id));
        assert!(checks.end(id), "once more");
        assert!(!checks.end(id));
        assert!(checks.begin(id), "and the next is a new one");
    }

    #[tokio::test]
    async fn a_node_whose_checks_hang_delays_only_its_own() {
        let checks = Arc::new(Checks::default());
        let (slow, quick) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let hanging: Vec<_> = (0..CHECKS_PER_NODE_MAX + 1)
            .map(|_| {
                let checks = Arc::clone(&checks);
                tokio::spawn(async move {
                    checks.within_bounds(slow, std::future::pending::<()>()).await;
                })
            })
            .collect();
        tokio::task::yield_now().await;
        checks.within_bounds(quick, async {}).await;
        assert_eq!(lock(&checks.nodes).len(), 1, "an idle node is forgotten");
        hanging.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
