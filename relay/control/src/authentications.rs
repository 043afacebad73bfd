//! How often one source may show API keys that do not hold.
//!
//! A secret of 160 bits is not guessed; what is limited is the work. Many callers may share a source, as behind a reverse proxy on the relay's own
//! machine, so that a key that held lately is looked at however many wrong ones come from there.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::limits::{AUTHENTICATION_FAILURES_OF_SOURCE, RATE_CALLERS_MAX};
use crate::rate::{Rates, source_prefix};
use crate::token::ApiToken;

/// Failures by source, and keys that held.
#[derive(Debug)]
pub(crate) struct Authentications {
    failures: Rates<IpAddr>,
    /// Hashes of secrets.
    held: Mutex<HashSet<[u8; 32]>>,
}

impl Default for Authentications {
    fn default() -> Self {
        let failures = Rates::new(AUTHENTICATION_FAILURES_OF_SOURCE, RATE_CALLERS_MAX);
        Self { failures, held: Mutex::default() }
    }
}

impl Authentications {
    /// Returns true if the token is worth a look.
    pub(crate) fn admits(&self, token: &ApiToken, source: IpAddr, now: Instant) -> bool {
        self.failures.has_token(&source_prefix(source), now)
            || self.held.lock().unwrap_or_else(PoisonError::into_inner).contains(&token.hash())
    }

    /// Remembers that a token holds.
    pub(crate) fn succeeded(&self, token: &ApiToken) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= RATE_CALLERS_MAX {
            held.clear();
        }
        held.insert(token.hash());
    }

    /// Counts a token that does not hold.
    pub(crate) fn failed(&self, token: &ApiToken, source: IpAddr, now: Instant) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&token.hash());
        self.failures.charge(&source_prefix(source), now);
    }
}
