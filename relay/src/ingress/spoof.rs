//! A budget of answer bytes a second per source prefix: of UDP visitors that are not known ([`super::proof`]), and of DNS answers.
//!
//! A forged source address makes a service answer to a victim, so all flows of a prefix (/24, /56) that are believed alike share one budget. The victim's host
//! refuses answers that it did not ask for (ICMP unreachable), and a prefix that refused several keeps to the smallest budget for a while,
//! whatever is known of its visitors.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bore_rate::{Bucket, Rate};

use crate::limits::ONE_SIDED_PREFIX_SLOTS;

/// A bucket for each slot of prefixes. Fixed size, whatever is forged.
#[derive(Debug)]
pub(crate) struct AnswerBudget {
    slots: Vec<Slot>,
    rate: Rate,
    key: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    bytes: Bucket,
    refusals: u8,
    refused_at: Instant,
}

impl AnswerBudget {
    /// Full buckets. `key` keeps outsiders from choosing whom they share a slot with.
    pub(crate) fn new(bytes_per_second: u32, key: u64, now: Instant) -> Self {
        let full = Slot { bytes: Bucket::default(), refusals: 0, refused_at: now };
        let rate = Rate::per_second(bytes_per_second);
        Self { slots: vec![full; ONE_SIDED_PREFIX_SLOTS], rate, key }
    }

    /// Takes `bytes` from the budget of `visitor`'s prefix, or says no.
    pub(crate) fn take(&mut self, visitor: IpAddr, bytes: usize, now: Instant) -> bool {
        let slot = self.slot_of(visitor);
        let Some(slot) = self.slots.get_mut(slot) else { return false };
        u32::try_from(bytes).is_ok_and(|bytes| slot.bytes.take(bytes, self.rate, now))
    }

    /// Notes that an answer was refused in `visitor`'s prefix.
    pub(crate) fn note_refusal(&mut self, visitor: IpAddr, now: Instant) {
        let slot = self.slot_of(visitor);
        let Some(slot) = self.slots.get_mut(slot) else { return };
        let forgotten = now.saturating_duration_since(slot.refused_at) > DISTRUST_FOR;
        slot.refusals = if forgotten { 1 } else { slot.refusals.saturating_add(1) };
        slot.refused_at = now;
    }

    /// Whether `visitor`'s prefix refused several answers lately.
    pub(crate) fn is_distrusted(&self, visitor: IpAddr, now: Instant) -> bool {
        self.slots.get(self.slot_of(visitor)).is_some_and(|slot| {
            slot.refusals >= REFUSALS_DISTRUSTED
                && now.saturating_duration_since(slot.refused_at) <= DISTRUST_FOR
        })
    }

    fn slot_of(&self, visitor: IpAddr) -> usize {
        let mixed = (prefix(visitor) ^ self.key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        usize::try_from(mixed >> 32).unwrap_or_default() % self.slots.len().max(1)
    }
}

fn prefix(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => u64::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => u64::try_from(v6.to_bits() >> 72).unwrap_or_default() | 1 << 63,
    }
}

/// One refusal is a visitor that went away; several are a host that never asked.
const REFUSALS_DISTRUSTED: u8 = 3;
const DISTRUST_FOR: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ONE_SIDED_BYTES_PER_SECOND;

    #[test]
    fn a_prefix_shares_one_budget_that_refills() {
        let now = Instant::now();
        let mut budget = AnswerBudget::new(ONE_SIDED_BYTES_PER_SECOND, 7, now);
        let mut sent = 0;
        for host in 0..=255 {
            let visitor = IpAddr::from([192, 0, 2, host]);
            sent += (0..100).filter(|_| budget.take(visitor, 1200, now)).count() * 1200;
        }
        assert!(sent <= ONE_SIDED_BYTES_PER_SECOND as usize, "{sent}");
        let later = now + Duration::from_secs(1);
        assert!(budget.take(IpAddr::from([192, 0, 2, 9]), 1200, later));
    }

    #[test]
    fn another_prefix_has_its_own() {
        let now = Instant::now();
        let mut budget = AnswerBudget::new(ONE_SIDED_BYTES_PER_SECOND, 7, now);
        while budget.take(IpAddr::from([192, 0, 2, 1]), 1200, now) {}
        assert!(budget.take(IpAddr::from([198, 51, 100, 1]), 1200, now));
    }

    #[test]
    fn a_prefix_that_refuses_answers_is_distrusted_for_a_while() {
        let now = Instant::now();
        let (mut budget, victim) =
            (AnswerBudget::new(ONE_SIDED_BYTES_PER_SECOND, 7, now), IpAddr::from([192, 0, 2, 1]));
        budget.note_refusal(victim, now);
        assert!(!budget.is_distrusted(victim, now), "one visitor that went away");
        budget.note_refusal(victim, now);
        budget.note_refusal(victim, now);
        assert!(budget.is_distrusted(victim, now));
        let later = now + DISTRUST_FOR + Duration::from_secs(1);
        assert!(!budget.is_distrusted(victim, later));
    }
}
