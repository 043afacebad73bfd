//! A token bucket that holds one second's worth.

use std::time::{Duration, Instant};

/// Allows `per_second` events in a second, all of them at once if need be.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: u32,
    /// When the bucket will be full again.
    full_at: Option<Instant>,
}

impl Bucket {
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second, full_at: None }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.map_or(now, |full_at| full_at.max(now));
        let taken = full_at + Duration::from_secs(1) / self.per_second;
        if taken > now + Duration::from_secs(1) {
            return false;
        }
        self.full_at = Some(taken);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_empties_the_bucket_and_time_fills_it() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10);
        assert_eq!((0..20).filter(|_| bucket.take(start)).count(), 10);
        assert!(bucket.take(start + Duration::from_millis(100)));
        assert!(!bucket.take(start + Duration::from_millis(100)));
    }
}
