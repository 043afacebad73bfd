//! How fast one caller may ask: token buckets by API key, node, public key or source.
//!
//! Each table is bounded; when it is full the bucket that was idle longest is forgotten, which can only favour its caller.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bore_policy::CanonicalAddress;
use bore_rate::{Bucket, Rate};

/// One bucket for each caller.
#[derive(Debug)]
pub(crate) struct Rates<Caller> {
    rate: Rate,
    callers_max: usize,
    buckets: Mutex<HashMap<Caller, Bucket>>,
}

impl<Caller: Eq + Hash + Clone> Rates<Caller> {
    pub(crate) fn new(rate: Rate, callers_max: usize) -> Self {
        Self { rate, callers_max, buckets: Mutex::default() }
    }

    /// Takes one token from the bucket of `caller`; false when it is empty.
    pub(crate) fn admit(&self, caller: &Caller, now: Instant) -> bool {
        let admitted = self.has_token(caller, now);
        if admitted {
            self.charge(caller, now);
        }
        admitted
    }

    /// Returns true if the bucket of `caller` holds a token, and takes none.
    pub(crate) fn has_token(&self, caller: &Caller, now: Instant) -> bool {
        let buckets = self.lock();
        buckets.get(caller).is_none_or(|bucket| bucket.holds(1, self.rate, now))
    }

    /// Takes a token, if there is one.
    pub(crate) fn charge(&self, caller: &Caller, now: Instant) {
        let mut buckets = self.lock();
        if buckets.len() >= self.callers_max && !buckets.contains_key(caller) {
            forget_idlest(&mut buckets, now);
        }
        buckets.entry(caller.clone()).or_default().charge(1, self.rate, now);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Caller, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget_idlest<Caller: Eq + Hash + Clone>(buckets: &mut HashMap<Caller, Bucket>, now: Instant) {
    let idlest = buckets.iter().min_by_key(|(_, bucket)| bucket.full_at(now));
    if let Some(idlest) = idlest.map(|(caller, _)| caller.clone()) {
        buckets.remove(&idlest);
    }
}

/// What a stranger's address is counted by: an IPv4 address, or an IPv6 /56, which is what one subscriber gets (RFC 6177 section 2).
pub(crate) fn source_prefix(address: IpAddr) -> IpAddr {
    match CanonicalAddress::new(address).ip() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 72)).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RATE: Rate = Rate::per_second(10).with_burst(5);

    #[test]
    fn attack_42_a_caller_stops_at_its_rate_and_others_do_not_notice() {
        let rates = Rates::new(RATE, 16);
        let (greedy, modest, now) = (1, 2, Instant::now());

        let admitted = (0..100_000).filter(|_| rates.admit(&greedy, now)).count();
        assert_eq!(admitted, 5);
        assert!(rates.admit(&modest, now));
        assert!(rates.admit(&greedy, now + Duration::from_millis(100)), "and it may go on later");
    }

    #[test]
    fn only_what_is_charged_empties_a_bucket() {
        let rates = Rates::new(RATE, 16);
        let now = Instant::now();
        assert!((0..100).all(|_| rates.has_token(&1, now)));
        (0..100).for_each(|_| rates.charge(&1, now));
        assert!(!rates.has_token(&1, now));
        assert!(rates.has_token(&1, now + Duration::from_millis(100)), "debt does not pile up");
    }

    #[test]
    fn the_table_of_callers_is_bounded() {
        let rates = Rates::new(RATE, 16);
        let now = Instant::now();
        for caller in 0..26 {
            assert!(rates.admit(&caller, now));
        }
        assert_eq!(rates.lock().len(), 16);
    }

    #[test]
    fn one_subscriber_is_one_source() {
        let prefix = |text: &str| source_prefix(text.parse().unwrap());
        assert_eq!(prefix("::ffff:192.0.2.1"), prefix("192.0.2.1"));
        assert_ne!(prefix("192.0.2.1"), prefix("192.0.2.2"));
        assert_eq!(prefix("2001:db8:0:1ff::1"), prefix("2001:db8:0:100::2"));
        assert_ne!(prefix("2001:db8:0:1ff::1"), prefix("2001:db8:0:200::1"));
    }
}
