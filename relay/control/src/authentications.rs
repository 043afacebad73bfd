//! How often one source may show API keys that do not hold.
//!
//! A secret of 160 bits is not guessed; what is limited is the work. Many callers may share a source, as behind a reverse proxy on the relay's own
//! machine, so that a key that is there is looked at however many wrong ones come from that source: the id in it is compared with those in memory, and
//! only wrong secrets for that very id use up what it has. An id is not guessed either: it has 74 random bits.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bore_api::ApiToken;
use uuid::Uuid;

use crate::limits::{AUTHENTICATION_FAILURES_OF_SOURCE, RATE_CALLERS_MAX};
use crate::rate::{Rates, source_prefix};

/// Failures by source and by key, and keys that are there.
#[derive(Debug)]
pub(crate) struct Authentications {
    failures: Rates<IpAddr>,
    failures_of_known: Rates<Uuid>,
    /// Ids of keys, at most [`RATE_CALLERS_MAX`]; those beyond share the limit of their source.
    known: Mutex<HashSet<Uuid>>,
}

impl Default for Authentications {
    fn default() -> Self {
        Self {
            failures: Rates::new(AUTHENTICATION_FAILURES_OF_SOURCE, RATE_CALLERS_MAX),
            failures_of_known: Rates::new(AUTHENTICATION_FAILURES_OF_SOURCE, RATE_CALLERS_MAX),
            known: Mutex::default(),
        }
    }
}

impl Authentications {
    /// Notes that there are keys with these ids.
    pub(crate) fn know(&self, keys: impl IntoIterator<Item = Uuid>) {
        let mut known = self.known();
        let room = RATE_CALLERS_MAX.saturating_sub(known.len());
        known.extend(keys.into_iter().take(room));
    }

    /// Returns true if the token is worth a look.
    pub(crate) fn admits(&self, token: &ApiToken, source: IpAddr, now: Instant) -> bool {
        let id = token.id();
        self.failures.has_token(&source_prefix(source), now)
            || (self.known().contains(&id) && self.failures_of_known.has_token(&id, now))
    }

    /// Counts a token that does not hold.
    pub(crate) fn failed(&self, token: &ApiToken, source: IpAddr, now: Instant) {
        self.failures.charge(&source_prefix(source), now);
        if self.known().contains(&token.id()) {
            self.failures_of_known.charge(&token.id(), now);
        }
    }

    fn known(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
