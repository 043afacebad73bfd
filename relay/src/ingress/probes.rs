//! Visits that agents announced: an agent reaches its own publication from outside to prove that the world can.
//!
//! The visit begins with a one-time token. Ingress looks for it only while one is expected, and takes it once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::Rng;
use uuid::Uuid;

use crate::limits::{PROBE_EXPECTED, PROBES_EXPECTED_MAX};

/// The visits that are expected.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    by_publication: Mutex<HashMap<Uuid, Visit>>,
}

#[derive(Debug, Clone)]
struct Visit {
    token: String,
    until: Instant,
}

/// Characters in a token.
pub(crate) const TOKEN_BYTES: usize = 32;

impl Expected {
    /// Expects a visit to `publication`; returns its token and how long it is good for. `None` when too many are expected.
    pub(crate) fn expect(&self, publication: Uuid, now: Instant) -> Option<(String, Duration)> {
        let mut visits = self.visits();
        visits.retain(|_, visit| visit.until > now);
        if visits.len() >= PROBES_EXPECTED_MAX {
            return None;
        }
        let token = format!("{:032x}", rand::rng().random::<u128>());
        let visit = Visit { token: token.clone(), until: now + PROBE_EXPECTED };
        visits.insert(publication, visit);
        Some((token, PROBE_EXPECTED))
    }

    /// Whether a visit to `publication` is expected.
    pub(crate) fn is_expected(&self, publication: Uuid, now: Instant) -> bool {
        self.visits().get(&publication).is_some_and(|visit| visit.until > now)
    }

    /// Takes the visit if `bytes` begin with its token.
    pub(crate) fn take(&self, publication: Uuid, bytes: &[u8], now: Instant) -> Option<String> {
        let mut visits = self.visits();
        let visit = visits.get(&publication).filter(|visit| visit.until > now)?;
        if !bytes.starts_with(visit.token.as_bytes()) {
            return None;
        }
        visits.remove(&publication).map(|visit| visit.token)
    }

    fn visits(&self) -> MutexGuard<'_, HashMap<Uuid, Visit>> {
        self.by_publication.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_is_taken_once() {
        let (expected, now) = (Expected::default(), Instant::now());
        let (token, _) = expected.expect(Uuid::nil(), now).unwrap();
        assert_eq!(token.len(), TOKEN_BYTES);
        assert_eq!(expected.take(Uuid::nil(), b"GET / HTTP/1.1", now), None);
        assert_eq!(
            expected.take(Uuid::nil(), format!("{token}\n").as_bytes(), now),
            Some(token.clone())
        );
        assert_eq!(expected.take(Uuid::nil(), token.as_bytes(), now), None);
    }

    #[test]
    fn a_late_visit_is_a_visitor_like_any_other() {
        let (expected, now) = (Expected::default(), Instant::now());
        let (token, good_for) = expected.expect(Uuid::nil(), now).unwrap();
        assert!(!expected.is_expected(Uuid::nil(), now + good_for));
        assert_eq!(expected.take(Uuid::nil(), token.as_bytes(), now + good_for), None);
    }
}
