//! Which checks run: at most one of a publication, few of a node, not all of a network, bounded in all.
//!
//! A check that is asked for while one of the same publication runs is done once more after it, however often it was asked for. One of a publication
//! that is gone ends at once, so that its place is another's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

use crate::limits::{CHECKS_MAX, CHECKS_PER_NETWORK_MAX, CHECKS_PER_NODE_MAX};

/// The checks of one relay.
#[derive(Debug)]
pub(crate) struct Checks {
    /// Publications under check.
    running: Mutex<HashMap<Uuid, Running>>,
    /// Places of nodes and networks.
    places: Mutex<HashMap<Uuid, Arc<Semaphore>>>,
    all: Semaphore,
}

#[derive(Debug, Default)]
struct Running {
    /// Whether to check once more.
    again: bool,
    gone: Arc<Notify>,
}

impl Default for Checks {
    fn default() -> Self {
        let all = Semaphore::new(CHECKS_MAX);
        Self { running: Mutex::default(), places: Mutex::default(), all }
    }
}

impl Checks {
    /// Says whether the caller has to run the check; if not, whoever runs one does it again.
    pub(crate) fn begin(&self, publication: Uuid) -> bool {
        let mut running = lock(&self.running);
        let is_free = !running.contains_key(&publication);
        running.entry(publication).or_default().again = !is_free;
        is_free
    }

    /// Says whether the caller has to check once more.
    pub(crate) fn end(&self, publication: Uuid) -> bool {
        let mut running = lock(&self.running);
        match running.get_mut(&publication) {
            Some(check) if check.again => {
                *check = Running::default();
                true
            }
            Some(_) | None => {
                running.remove(&publication);
                false
            }
        }
    }

    /// Nobody wants to know any more what is true of a publication.
    pub(crate) fn forget(&self, publication: Uuid) {
        if let Some(check) = lock(&self.running).get(&publication) {
            check.gone.notify_one();
        }
    }

    /// Runs `check` of a publication unless that is forgotten meanwhile.
    pub(crate) async fn unless_forgotten<T>(
        &self,
        publication: Uuid,
        check: impl Future<Output = T>,
    ) -> Option<T> {
        let gone = lock(&self.running).get(&publication).map(|check| Arc::clone(&check.gone))?;
        tokio::select! {
            found = check => Some(found),
            () = gone.notified() => None,
        }
    }

    /// Runs `check` when `node`, its network and the relay have room for one more.
    pub(crate) async fn within_bounds<T>(
        &self,
        (network, node): (Uuid, Uuid),
        check: impl Future<Output = T>,
    ) -> T {
        let of_relay = async {
            // The semaphores are never closed: a missing permit cannot be.
            let _place = self.all.acquire().await.ok();
            check.await
        };
        // What waits for a place of its node takes none of the network's.
        let of_network = self.within(network, CHECKS_PER_NETWORK_MAX, of_relay);
        self.within(node, CHECKS_PER_NODE_MAX, of_network).await
    }

    async fn within<T>(&self, owner: Uuid, most: usize, check: impl Future<Output = T>) -> T {
        let places = self.of(owner, most);
        let place = places.acquire().await.ok();
        let done = check.await;
        drop(place);
        self.forget_idle(owner, places);
        done
    }

    fn of(&self, owner: Uuid, most: usize) -> Arc<Semaphore> {
        let mut places = lock(&self.places);
        Arc::clone(places.entry(owner).or_insert_with(|| Arc::new(Semaphore::new(most))))
    }

    fn forget_idle(&self, owner: Uuid, of_owner: Arc<Semaphore>) {
        let mut places = lock(&self.places);
        drop(of_owner);
        if places.get(&owner).is_some_and(|semaphore| Arc::strong_count(semaphore) == 1) {
            places.remove(&owner);
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
    async fn a_check_of_what_is_gone_ends_and_what_is_asked_for_next_is_a_new_one() {
        let (checks, id) = (Checks::default(), Uuid::nil());
        assert!(checks.begin(id));
        let looked = checks.unless_forgotten(id, std::future::pending::<()>());
        let (looked, ()) = tokio::join!(looked, async { checks.forget(id) });
        assert_eq!(looked, None);
        assert!(!checks.end(id));
        assert!(checks.begin(id));
        assert_eq!(checks.unless_forgotten(id, async { 7 }).await, Some(7));
    }

    #[tokio::test]
    async fn a_node_whose_checks_hang_delays_only_its_own() {
        let checks = Arc::new(Checks::default());
        let network = Uuid::from_u128(9);
        let hanging = hang(&checks, network, [1; CHECKS_PER_NETWORK_MAX + 1]);
        tokio::task::yield_now().await;
        checks.within_bounds((network, Uuid::from_u128(2)), async {}).await;
        assert_eq!(lock(&checks.places).len(), 2, "an idle node is forgotten");
        hanging.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test]
    async fn networks_whose_checks_hang_delay_only_their_own() {
        let checks = Arc::new(Checks::default());
        let nodes: [u128; CHECKS_MAX] = std::array::from_fn(|number| 100 + number as u128);
        let networks = (1_000..).take(CHECKS_MAX / CHECKS_PER_NETWORK_MAX - 1);
        let hanging: Vec<_> =
            networks.flat_map(|network| hang(&checks, Uuid::from_u128(network), nodes)).collect();
        tokio::task::yield_now().await;
        checks.within_bounds((Uuid::from_u128(10), Uuid::from_u128(2)), async {}).await;
        hanging.iter().for_each(tokio::task::JoinHandle::abort);
    }

    /// A check that never ends, of each of these nodes.
    fn hang<const COUNT: usize>(
        checks: &Arc<Checks>,
        network: Uuid,
        nodes: [u128; COUNT],
    ) -> Vec<tokio::task::JoinHandle<()>> {
        let hang = |node| {
            let checks = Arc::clone(checks);
            tokio::spawn(async move {
                let never = std::future::pending::<()>();
                checks.within_bounds((network, Uuid::from_u128(node)), never).await;
            })
        };
        nodes.map(hang).into()
    }
}
