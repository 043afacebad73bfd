//! When to order, to renew, to ask the CA, and to wait. Pure: what is known and `now` in, an action out.
//!
//! A certificate is renewed at a point inside the window that its CA names (RFC 9773 §4.2), else when two thirds of its life are over. The point
//! is drawn from its id, so that a restart changes nothing and certificates of one day are not renewed all at once. Whatever the
//! window says, it is renewed before the last twentieth of its life; and whatever the clock says, not in the first hour after it came, so that
//! a clock that is wrong by years does not order one after the other.

use std::time::Duration;

use bore_api::model::Micros;
use bore_control::certificate::RenewalWindow;
use bore_control::limits::ORDER_WAIT_MAX;
use uuid::Uuid;

/// How fast things are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Longest pause before the second try after what passes by itself; doubles from there.
    pub passing: Duration,
    /// Its end.
    pub passing_max: Duration,
    /// The same after what a person has to mend, such as a wrong DNS record.
    pub refused: Duration,
    /// Its end.
    pub refused_max: Duration,
    /// Between two looks at an order that the CA works on.
    pub poll: Duration,
    /// How long one order may take; it is gone on with later.
    pub order_max: Duration,
    /// How long a CA may take for one answer.
    pub answer_max: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        Self {
            passing: Duration::from_secs(20),
            passing_max: minutes(60),
            refused: minutes(4),
            refused_max: minutes(60),
            poll: Duration::from_secs(2),
            order_max: minutes(15),
            answer_max: Duration::from_secs(30),
        }
    }
}

/// What is known of one subject.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Its certificate.
    pub(super) held: Option<Held>,
    /// No try before this, because one failed, or because somebody else works on it.
    pub(super) next_try_at: Option<Micros>,
    /// The CA is not asked about the renewal before this: it does not answer such questions, or did not.
    pub(super) ask_after: Option<Micros>,
}

/// A certificate as the schedule sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) id: Uuid,
    pub(super) not_before: Micros,
    pub(super) not_after: Micros,
    pub(super) created_at: Micros,
    pub(super) renewal: Option<RenewalWindow>,
    /// It is to be replaced whatever its age: it is from another CA, or an administrator wants it.
    pub(super) is_unwanted: bool,
}

/// What is to be done about a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Order a certificate, the first or the next.
    Order,
    /// Ask the CA when it wants the certificate renewed.
    AskRenewal,
    /// Nothing before this.
    Wait(Micros),
}

/// What is to be done `now`, when the CA does not want to be asked before `paused_until`.
pub(super) fn decide(known: &Known, paused_until: Option<Micros>, now: Micros) -> Action {
    let Some(held) = &known.held else {
        return not_before(known.next_try_at, paused_until, now, Action::Order);
    };
    let due = held.due();
    if due <= now {
        return not_before(known.next_try_at, paused_until, now, Action::Order);
    }
    let asked_again = held.renewal.map_or(held.not_before, |window| window.ask_again_at);
    let ask_at = waiting(Some(asked_again), now).max(waiting(known.ask_after, now));
    let Some(ask_at) = ask_at else {
        return match not_before(None, paused_until, now, Action::AskRenewal) {
            Action::Wait(until) => Action::Wait(until.min(due)),
            action @ (Action::Order | Action::AskRenewal) => action,
        };
    };
    Action::Wait(due.min(ask_at))
}

/// `pause` after `now`.
pub(super) fn later(now: Micros, pause: Duration) -> Micros {
    now.saturating_add(Micros::try_from(pause.as_micros()).unwrap_or(Micros::MAX))
}

/// What is still to be waited for. A time further away than any wait comes from a clock that was ahead, and does not count: once the clock is
/// right, certificates are.
pub(super) fn waiting(until: Option<Micros>, now: Micros) -> Option<Micros> {
    until.filter(|until| *until > now && *until <= later(now, ORDER_WAIT_MAX))
}

impl Held {
    /// When it is renewed.
    pub(super) fn due(&self) -> Micros {
        if self.is_unwanted {
            return self.created_at;
        }
        let life = self.not_after.saturating_sub(self.not_before).max(0);
        let latest = self.not_after.saturating_sub(life / 20);
        let wanted = match self.renewal {
            Some(window) => {
                let length = window.end.saturating_sub(window.start).max(0);
                window.start.saturating_add(self.share_of(length))
            }
            None => self.not_before.saturating_add(life / 3 * 2),
        };
        let rest = (life / 3).min(REST);
        wanted.min(latest).max(self.created_at.saturating_add(rest))
    }

    /// A part of `length` that is the same whenever it is asked for.
    fn share_of(&self, length: Micros) -> Micros {
        // The last bytes of a UUIDv7 are random.
        let [.., high, low] = *self.id.as_bytes();
        length / 0x1_0000 * i64::from(u16::from_be_bytes([high, low]))
    }
}

fn not_before(
    next_try_at: Option<Micros>,
    paused_until: Option<Micros>,
    now: Micros,
    action: Action,
) -> Action {
    waiting(next_try_at, now).max(waiting(paused_until, now)).map_or(action, Action::Wait)
}

impl Pace {
    /// How long to wait after the `failures`th failure in a row: capped exponential, with full jitter from `roll` in 0..1.
    pub(super) fn pause(&self, failures: u32, needs_person: bool, roll: f64) -> Duration {
        let (first, max) = if needs_person {
            (self.refused, self.refused_max)
        } else {
            (self.passing, self.passing_max)
        };
        let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(20));
        doubled.min(max).mul_f64(roll.clamp(0.0, 1.0))
    }
}

/// One hour.
const REST: Micros = 60 * 60 * 1_000_000;

#[cfg(test)]
mod tests {
    use bore_control::limits::ORDER_LEASE_MAX;

    use super::super::limits::RETRY_AFTER_MAX;
    use super::*;

    #[test]
    fn a_subject_without_a_certificate_is_ordered_when_it_may_be() {
        let mut known = Known::default();
        assert_eq!(decide(&known, None, NOW), Action::Order);
        known.next_try_at = Some(NOW + 5);
        assert_eq!(decide(&known, None, NOW), Action::Wait(NOW + 5));
        assert_eq!(decide(&known, Some(NOW + 9), NOW), Action::Wait(NOW + 9));
        assert_eq!(decide(&known, None, NOW + 5), Action::Order);
    }

    #[test]
    fn without_a_window_two_thirds_of_the_life_are_waited_for() {
        let known = Known { ask_after: Some(NOW + 60 * DAY), ..known(None) };
        assert_eq!(decide(&known, None, NOW + 59 * DAY), Action::Wait(NOW + 60 * DAY));
        assert_eq!(decide(&known, None, NOW + 60 * DAY), Action::Order);
        let refused = Known { next_try_at: Some(NOW + 61 * DAY), ..known };
        assert_eq!(decide(&refused, None, NOW + 60 * DAY), Action::Wait(NOW + 61 * DAY));
    }

    #[test]
    fn the_ca_is_asked_at_once_and_whenever_it_wants_to_be() {
        assert_eq!(decide(&known(None), None, NOW), Action::AskRenewal);
        let known = known(Some(window(30, 40, 1)));
        assert_eq!(decide(&known, None, NOW), Action::Wait(NOW + DAY));
        assert_eq!(decide(&known, None, NOW + DAY), Action::AskRenewal);
        let unanswered = Known { ask_after: Some(NOW + 2 * DAY), ..known };
        assert_eq!(decide(&unanswered, None, NOW + DAY), Action::Wait(NOW + 2 * DAY));
    }

    #[test]
    fn a_renewal_lies_inside_the_window_and_stays_where_it_is() {
        let held = known(Some(window(30, 40, 1))).held.unwrap();
        let due = held.due();
        assert!((NOW + 30 * DAY..NOW + 40 * DAY).contains(&due));
        assert_eq!(held.due(), due);
        let past = known(Some(window(-2, -1, 1)));
        assert_eq!(decide(&past, None, NOW + REST), Action::Order, "a window in the past is now");
    }

    #[test]
    fn no_window_makes_a_certificate_expire() {
        let late = known(Some(window(100, 200, 300))).held.unwrap();
        assert!(late.due() < late.not_after - DAY);
    }

    #[test]
    fn a_clock_that_is_wrong_by_years_orders_once_an_hour_at_most() {
        let mut known = known(None);
        let held = known.held.as_mut().unwrap();
        held.created_at = NOW + 3_000 * DAY;
        assert_eq!(held.due(), held.created_at + REST);
        assert_eq!(decide(&known, None, NOW + 3_000 * DAY + REST), Action::Order);
    }

    #[test]
    fn one_of_another_ca_is_replaced_at_once() {
        let mut known = known(Some(window(30, 40, 1)));
        known.held.as_mut().unwrap().is_unwanted = true;
        assert_eq!(decide(&known, None, NOW), Action::Order);
        known.next_try_at = Some(NOW + 5);
        assert_eq!(decide(&known, None, NOW), Action::Wait(NOW + 5));
    }

    #[test]
    fn what_a_clock_that_was_ahead_wrote_does_not_count() {
        let year = Some(NOW + 365 * DAY);
        let none = Known { next_try_at: year, ..Known::default() };
        assert_eq!(decide(&none, year, NOW), Action::Order);
        assert_eq!(decide(&none, Some(NOW + 7 * DAY), NOW), Action::Wait(NOW + 7 * DAY));
        let one = Known { ask_after: year, ..known(Some(window(30, 40, 365))) };
        assert_eq!(decide(&one, year, NOW), Action::AskRenewal);
    }

    #[test]
    fn every_wait_of_our_own_counts() {
        let pace = Pace::default();
        let longest = RETRY_AFTER_MAX + pace.passing_max.max(pace.refused_max);
        assert!(longest <= ORDER_WAIT_MAX && pace.order_max * 2 <= ORDER_LEASE_MAX);
    }

    #[test]
    fn pauses_double_up_to_a_cap_and_jitter_covers_all_of_them() {
        let pace = Pace::default();
        assert_eq!(pace.pause(1, false, 1.0), Duration::from_secs(20));
        assert_eq!(pace.pause(3, false, 0.5), Duration::from_secs(40));
        assert_eq!(pace.pause(u32::MAX, false, 1.0), pace.passing_max);
        assert_eq!(pace.pause(u32::MAX, true, 1.0), pace.refused_max);
        assert_eq!(pace.pause(9, true, 0.0), Duration::ZERO);
    }

    fn known(renewal: Option<RenewalWindow>) -> Known {
        let (not_before, not_after) = (NOW, NOW + 90 * DAY);
        let id = Uuid::from_u128(0x4321);
        let held =
            Some(Held { id, not_before, not_after, created_at: NOW, renewal, is_unwanted: false });
        Known { held, ..Known::default() }
    }

    fn window(start: i64, end: i64, again: i64) -> RenewalWindow {
        let [start, end, ask_again_at] = [start, end, again].map(|days| NOW + days * DAY);
        RenewalWindow { start, end, ask_again_at }
    }

    const NOW: Micros = 1_767_225_600_000_000;
    const DAY: Micros = 24 * 60 * 60 * 1_000_000;
}
