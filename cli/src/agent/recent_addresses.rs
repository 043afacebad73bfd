//! The addresses of a UDP target, looked up at most once a second for each port.
//!
//! Every visitor's flow needs them, and a lookup may read the kernel's whole table of sockets: that table grows with the flows, so a lookup
//! for each flow makes a burst of new visitors cost the square of their number.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::targets::{DialError, Place};

/// What was found of late, by overlay port.
#[derive(Debug, Default)]
pub(crate) struct RecentAddresses(RefCell<HashMap<u16, Found>>);

#[derive(Debug)]
struct Found {
    at: Instant,
    addresses: Vec<SocketAddr>,
}

impl RecentAddresses {
    /// The addresses of `place`, which `port` leads to, in the order in which they are tried.
    ///
    /// # Errors
    /// The name does not resolve, or not in time.
    pub(crate) async fn of(&self, port: u16, place: &Place) -> Result<Vec<SocketAddr>, DialError> {
        if let Some(addresses) = self.fresh(port) {
            return Ok(addresses);
        }
        let addresses = place.udp_addresses().await?;
        let mut found = self.0.borrow_mut();
        if found.len() >= PORTS_MAX {
            found.clear();
        }
        found.insert(port, Found { at: Instant::now(), addresses: addresses.clone() });
        Ok(addresses)
    }

    fn fresh(&self, port: u16) -> Option<Vec<SocketAddr>> {
        let found = self.0.borrow();
        let found = found.get(&port).filter(|found| found.at.elapsed() < FRESH)?;
        Some(found.addresses.clone())
    }
}

/// How long what was found is used.
const FRESH: Duration = Duration::from_secs(1);
/// Ports of a range whose addresses are kept.
const PORTS_MAX: usize = 1024;
