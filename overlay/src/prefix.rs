//! Rates per source prefix, in a table of fixed size.
//!
//! A prefix is hashed, with a seed that senders do not know, to one of [`PREFIX_BUCKETS`] buckets; prefixes that meet share one. So a flood
//! from everywhere makes the limit stricter, never the table larger.

use std::hash::{DefaultHasher, Hasher};
use std::net::IpAddr;
use std::time::Instant;

use bore_rate::{Bucket, Rate};

use crate::limits::PREFIX_BUCKETS;

/// A rate for every source prefix.
pub(crate) struct PrefixLimiter {
    buckets: Vec<Bucket>,
    seed: u64,
    rate: Rate,
    v6_bits: u8,
}

impl PrefixLimiter {
    pub(crate) fn new(rate: Rate, v6_bits: u8, seed: u64) -> Self {
        Self { buckets: vec![Bucket::default(); PREFIX_BUCKETS], seed, rate, v6_bits }
    }

    /// Takes a permit of the prefix of `from` if there is one.
    pub(crate) fn take(&mut self, from: IpAddr, now: Instant) -> bool {
        let position = self.position(prefix(from, self.v6_bits));
        self.buckets.get_mut(position).is_some_and(|bucket| bucket.take(1, self.rate, now))
    }

    fn position(&self, prefix: u64) -> usize {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed);
        hasher.write_u64(prefix);
        usize::try_from(hasher.finish() & POSITION_MASK).unwrap_or_default()
    }
}

/// An IPv4 address, or the first `v6_bits` (at most 64) of an IPv6 address.
pub(crate) fn prefix(ip: IpAddr, v6_bits: u8) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(v4) => V4_MARK | u64::from(v4.to_bits()),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            let high = [a, b, c, d].iter().fold(0, |bits, part| bits << 16 | u64::from(*part));
            high & !u64::MAX.checked_shr(v6_bits.into()).unwrap_or(0)
        }
    }
}

/// No IPv6 address in use begins with these bits.
const V4_MARK: u64 = 0x0000_FFFF_0000_0000;
const POSITION_MASK: u64 = PREFIX_BUCKETS as u64 - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noisy_prefix_does_not_spend_anothers_permits() {
        let now = Instant::now();
        let mut limiter = PrefixLimiter::new(Rate::per_second(1), 64, 1);
        assert!(limiter.take("2001:db8::1".parse().unwrap(), now));
        assert!(!limiter.take("2001:db8::2".parse().unwrap(), now), "same /64");
        assert!(limiter.take("2001:db8:0:1::1".parse().unwrap(), now), "another /64");
        assert!(limiter.take("192.0.2.1".parse().unwrap(), now));
        assert!(!limiter.take("::ffff:192.0.2.1".parse().unwrap(), now), "the same address");
    }

    #[test]
    fn prefixes_have_the_bits_that_were_asked_for() {
        let ip = "2001:db8:1:2ff::1".parse().unwrap();
        assert_eq!(prefix(ip, 64), 0x2001_0db8_0001_02ff);
        assert_eq!(prefix(ip, 56), 0x2001_0db8_0001_0200);
        assert_eq!(prefix(ip, 48), 0x2001_0db8_0001_0000);
    }
}
