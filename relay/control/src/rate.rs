//! How fast one caller may ask: a token bucket by API key or node.
//!
//! The table is bounded; when it is full the bucket that was idle longest is forgotten, which can only favour its caller.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use uuid::Uuid;

use crate::limits::{Quotas, RATE_CALLERS_MAX};

#[derive(Debug)]
pub(crate) struct Rates {
    per_second: f64,
    burst: f64,
    buckets: Mutex<HashMap<Uuid, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl Rates {
    pub(crate) fn new(quotas: &Quotas) -> Self {
        Self {
            per_second: f64::from(quotas.requests_per_second),
            burst: f64::from(quotas.requests_burst),
            buckets: Mutex::default(),
        }
    }

    /// Takes one request from the bucket of `caller`; false when it is empty.
    pub(crate) fn admit(&self, caller: Uuid, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= RATE_CALLERS_MAX && !buckets.contains_key(&caller) {
            forget_idlest(&mut buckets);
        }
        let bucket = buckets.entry(caller).or_insert(Bucket { tokens: self.burst, filled_at: now });
        let waited = now.saturating_duration_since(bucket.filled_at).as_secs_f64();
        bucket.tokens = (bucket.tokens + waited * self.per_second).min(self.burst);
        bucket.filled_at = now;
        let admitted = bucket.tokens >= 1.0;
        if admitted {
            bucket.tokens -= 1.0;
        }
        admitted
    }
}

fn forget_idlest(buckets: &mut HashMap<Uuid, Bucket>) {
    let idlest =
        buckets.iter().min_by_key(|(_, bucket)| bucket.filled_at).map(|(caller, _)| *caller);
    if let Some(idlest) = idlest {
        buckets.remove(&idlest);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn attack_42_a_caller_stops_at_its_rate_and_others_do_not_notice() {
        let quotas = Quotas { requests_per_second: 10, requests_burst: 5, ..Quotas::default() };
        let rates = Rates::new(&quotas);
        let (greedy, modest, now) = (Uuid::from_u128(1), Uuid::from_u128(2), Instant::now());

        let admitted = (0..100_000).filter(|_| rates.admit(greedy, now)).count();
        assert_eq!(admitted, 5);
        assert!(rates.admit(modest, now));
        assert!(rates.admit(greedy, now + Duration::from_millis(100)), "and it may go on later");
    }

    #[test]
    fn the_table_of_callers_is_bounded() {
        let rates = Rates::new(&Quotas::default());
        let now = Instant::now();
        for caller in 0..RATE_CALLERS_MAX as u128 + 10 {
            assert!(rates.admit(Uuid::from_u128(caller), now));
        }
        assert_eq!(rates.buckets.lock().unwrap().len(), RATE_CALLERS_MAX);
    }
}
