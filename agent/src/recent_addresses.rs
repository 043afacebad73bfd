//! The addresses of a UDP target, looked up at most once a second for each port, and once for all who ask meanwhile.
//!
//! Every visitor's flow needs them, and a lookup may read the kernel's whole table of sockets: that table grows with the flows, so a lookup
//! for each flow makes a burst of new visitors cost the square of their number. A name whose server is silent takes a thread for each lookup:
//! a burst with a lookup for each flow takes the threads that everything else on this machine's disk waits for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use super::targets::{DialError, Place};

/// What was found of late, by overlay port.
#[derive(Debug)]
pub(crate) struct RecentAddresses {
    ports: RefCell<HashMap<u16, Rc<Port>>>,
    lookups: Semaphore,
}

/// Held while it is looked up.
type Port = Mutex<Option<Found>>;

#[derive(Debug)]
struct Found {
    at: Instant,
    addresses: Result<Vec<SocketAddr>, Arc<DialError>>,
}

impl Default for RecentAddresses {
    fn default() -> Self {
        Self { ports: RefCell::default(), lookups: Semaphore::new(LOOKUPS_MAX) }
    }
}

impl RecentAddresses {
    /// The addresses of `place`, which `port` leads to, in the order in which they are tried.
    ///
    /// # Errors
    /// The name does not resolve, or not in time.
    pub(crate) async fn of(&self, port: u16, place: &Place) -> Result<Vec<SocketAddr>, DialError> {
        self.found(port, place.udp_addresses()).await
    }

    async fn found(
        &self,
        port: u16,
        lookup: impl Future<Output = Result<Vec<SocketAddr>, DialError>>,
    ) -> Result<Vec<SocketAddr>, DialError> {
        let port = self.port(port);
        let mut found = port.lock().await;
        let recent = found.as_ref().filter(|found| found.at.elapsed() < FRESH);
        if let Some(recent) = recent {
            return recent.addresses.clone().map_err(DialError::Earlier);
        }
        let _permit = self.lookups.acquire().await;
        let addresses = lookup.await.map_err(Arc::new);
        *found = Some(Found { at: Instant::now(), addresses: addresses.clone() });
        addresses.map_err(DialError::Earlier)
    }

    fn port(&self, port: u16) -> Rc<Port> {
        let mut ports = self.ports.borrow_mut();
        if ports.len() >= PORTS_MAX && !ports.contains_key(&port) {
            ports.clear();
        }
        Rc::clone(ports.entry(port).or_default())
    }
}

/// How long what was found, or that nothing was, is used.
const FRESH: Duration = Duration::from_secs(1);
/// Ports of a range whose addresses are kept.
const PORTS_MAX: usize = 1024;
/// Lookups for one publication at the same time.
const LOOKUPS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn visitors_who_come_together_wait_for_one_lookup_and_share_its_failure() {
        let (recent, lookups) = (RecentAddresses::default(), Cell::new(0));
        let silent = |seconds| {
            let lookups = &lookups;
            async move {
                lookups.set(lookups.get() + 1);
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                Err(DialError::TimedOut { target: "nas.test:53".to_owned() })
            }
        };
        let began = Instant::now();
        let visitors = (0..1_000).map(|_| recent.found(7_000, silent(5)));
        let found = futures_util::future::join_all(visitors).await;
        assert!(found.iter().all(|found| {
            found.as_ref().is_err_and(|error| error.to_string().contains("nas.test"))
        }));
        assert_eq!((lookups.get(), began.elapsed()), (1, Duration::from_secs(5)));

        tokio::time::advance(FRESH).await;
        recent.found(7_000, silent(0)).await.unwrap_err();
        assert_eq!(lookups.get(), 2, "what was found is a second old");
    }

    #[tokio::test(start_paused = true)]
    async fn a_range_looks_up_a_few_ports_at_once() {
        let (recent, at_once, most) = (RecentAddresses::default(), Cell::new(0), Cell::new(0));
        let visitors = (0..100).map(|port| {
            recent.found(port, async {
                at_once.set(at_once.get() + 1);
                most.set(at_once.get().max(most.get()));
                tokio::time::sleep(Duration::from_secs(1)).await;
                at_once.set(at_once.get() - 1);
                Ok(Vec::new())
            })
        });
        futures_util::future::join_all(visitors).await;
        assert_eq!(most.get(), LOOKUPS_MAX);
    }
}
