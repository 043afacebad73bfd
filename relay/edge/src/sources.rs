//! How many connections each source has open.
//!
//! The table has no entry without an open connection, so the total limit bounds it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::source::source;

/// The table. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    connections_max: u32,
    open: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    source: IpAddr,
    open: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

impl Sources {
    pub(super) fn new(connections_max: u32) -> Self {
        Self { connections_max, open: Arc::default() }
    }

    /// A place for one more connection, unless the source has all it may have.
    pub(super) fn enter(&self, visitor: IpAddr) -> Option<Place> {
        let source = source(visitor);
        let mut open = lock(&self.open);
        let connections = open.get(&source).copied().unwrap_or(0);
        if connections >= self.connections_max {
            return None;
        }
        open.insert(source, connections + 1);
        Some(Place { source, open: Arc::clone(&self.open) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        match open.get_mut(&self.source) {
            Some(connections) if *connections > 1 => *connections -= 1,
            Some(_) | None => {
                open.remove(&self.source);
            }
        }
    }
}

fn lock(open: &Mutex<HashMap<IpAddr, u32>>) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_gets_its_places_back() {
        let sources = Sources::new(2);
        let enter = |text: &str| sources.enter(text.parse().unwrap());
        let first = enter("192.0.2.1").unwrap();
        let _second = enter("::ffff:192.0.2.1").unwrap();
        assert!(enter("192.0.2.1").is_none(), "both spellings are one source");
        assert!(enter("192.0.2.2").is_some());
        drop(first);
        assert!(enter("192.0.2.1").is_some());
    }

    #[test]
    fn an_ipv6_source_is_a_64() {
        let sources = Sources::new(1);
        let _first = sources.enter("2001:db8::1".parse().unwrap()).unwrap();
        assert!(sources.enter("2001:db8::ffff:2".parse().unwrap()).is_none());
        assert!(sources.enter("2001:db8:0:1::1".parse().unwrap()).is_some());
    }

    #[test]
    fn the_table_keeps_no_source_without_connections() {
        let sources = Sources::new(1);
        drop(sources.enter("192.0.2.1".parse().unwrap()));
        assert!(lock(&sources.open).is_empty());
    }
}
