//! Rate limits that are not one name's: when a CA refuses one subject after the other, the orders that would follow wait as well.
//!
//! A CA does not say in a way that could be relied on whether a name, its domain or the whole account is over a limit. So two in a row count, of
//! different subjects, with nothing in between that the CA took on: two of one network hold up the network's new orders, two of
//! different ones hold up all.
//!
//! Invariant: no renewal waits for this, and no network alone holds up another one.

use std::collections::BTreeMap;

use bore_api::model::Micros;
use uuid::Uuid;

use super::schedule::waiting;

/// Whose new orders wait. `None` is the cluster itself.
#[derive(Debug, Default)]
pub(super) struct RateLimits {
    last: Option<(String, Option<Uuid>)>,
    all: Option<Micros>,
    /// At most one entry for each network.
    networks: BTreeMap<Option<Uuid>, Micros>,
}

impl RateLimits {
    /// The CA has refused an order of `subject`: if that is not the first, others need not be placed before `until`. Tells whether they wait.
    pub(super) fn note(
        &mut self,
        subject: &str,
        network: Option<Uuid>,
        until: Micros,
        now: Micros,
    ) -> bool {
        self.networks.retain(|_, until| waiting(Some(*until), now).is_some());
        match self.last.replace((subject.to_owned(), network)) {
            Some((before, _)) if before == subject => false,
            Some((_, before)) if before == network => {
                self.networks.insert(network, until);
                true
            }
            Some(_) => {
                self.all = Some(until);
                true
            }
            None => false,
        }
    }

    /// The CA has taken on an order of `network`: the account is below its limits.
    pub(super) fn clear(&mut self, network: Option<Uuid>) {
        self.last = None;
        self.all = None;
        self.networks.remove(&network);
    }

    /// Until when a new order of `network` has to wait.
    pub(super) fn until(&self, network: Option<Uuid>, now: Micros) -> Option<Micros> {
        let own = self.networks.get(&network).copied();
        waiting(self.all, now).max(waiting(own, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_holds_up_nobody() {
        let mut limits = RateLimits::default();
        assert!(!limits.note("a.example.com", A, NOW + 9, NOW));
        assert!(!limits.note("a.example.com", A, NOW + 9, NOW), "the same again");
        assert_eq!(limits.until(A, NOW), None);
    }

    #[test]
    fn two_names_hold_up_their_network_and_two_networks_all() {
        let mut limits = RateLimits::default();
        limits.note("a.example.com", A, NOW + 9, NOW);
        assert!(limits.note("b.example.com", A, NOW + 9, NOW));
        assert_eq!((limits.until(A, NOW), limits.until(B, NOW)), (Some(NOW + 9), None));
        assert!(limits.note("c.example.com", B, NOW + 7, NOW));
        assert_eq!((limits.until(A, NOW), limits.until(B, NOW)), (Some(NOW + 9), Some(NOW + 7)));
        assert_eq!(limits.until(None, NOW + 7), None);
    }

    #[test]
    fn an_order_that_is_taken_on_ends_it() {
        let mut limits = RateLimits::default();
        for (subject, network) in [("a.example.com", A), ("b.example.com", A), ("c.example.com", B)]
        {
            limits.note(subject, network, NOW + 9, NOW);
        }
        limits.clear(B);
        assert_eq!((limits.until(A, NOW), limits.until(B, NOW)), (Some(NOW + 9), None));
        assert!(!limits.note("d.example.com", B, NOW + 9, NOW), "the first of a row");
    }

    const A: Option<Uuid> = Some(Uuid::from_u128(1));
    const B: Option<Uuid> = Some(Uuid::from_u128(2));
    const NOW: Micros = 1_767_225_600_000_000;
}
