//! Which handshake initiations are worth a Diffie-Hellman.
//!
//! | mac1 | mac2 (cookie) | permits of its prefix | load | then |
//! |---|---|---|---|---|
//! | wrong | | | | dropped |
//! | right | none | left | below | admitted |
//! | right | none | none left, or | above | a cookie, half the size of what was sent |
//! | right | right | left, or | below | admitted as proven |
//! | right | right | none left | above | dropped |
//!
//! So a flood from forged addresses, a peer's own included, costs that peer one round trip: it proves its address by the cookie, and the
//! permits of proven senders are counted apart.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::counters::DropReason;
use bore_rate::Rate;

use crate::prefix::PrefixLimiter;
use crate::tunnel::{Keys, Proof};

/// What is to become of an initiation.
pub(crate) enum Admission {
    /// It may go on.
    Admitted(Admitted),
    /// The sender is asked to prove its address.
    Cookie(Box<[u8]>),
    /// Nothing.
    Dropped(DropReason),
}

/// How an initiation was admitted.
pub(crate) enum Admitted {
    /// The sender receives at its address.
    Proven,
    /// It may not; this cookie would tell.
    Unproven(Box<[u8]>),
}

/// Counts and judges initiations.
pub(crate) struct AdmissionControl {
    unproven: PrefixLimiter,
    proven: PrefixLimiter,
    per_second_max: u32,
    second: Instant,
    this_second: u32,
}

impl AdmissionControl {
    pub(crate) fn new(per_second_max: u32, seed: u64, now: Instant) -> Self {
        Self {
            unproven: PrefixLimiter::new(UNPROVEN_RATE, UNPROVEN_V6_BITS, seed),
            proven: PrefixLimiter::new(PROVEN_RATE, PROVEN_V6_BITS, !seed),
            per_second_max,
            second: now,
            this_second: 0,
        }
    }

    pub(crate) fn judge(
        &mut self,
        keys: &Keys,
        from: IpAddr,
        initiation: &[u8],
        now: Instant,
    ) -> Admission {
        let under_load = self.is_under_load(now);
        let admission = match keys.check_initiation(from, initiation) {
            Proof::Forged => Admission::Dropped(DropReason::InvalidMac),
            Proof::Proven if self.proven.take(from, now) || !under_load => {
                Admission::Admitted(Admitted::Proven)
            }
            Proof::Proven => Admission::Dropped(DropReason::PrefixRateLimited),
            Proof::Unproven(cookie) if !under_load && self.unproven.take(from, now) => {
                Admission::Admitted(Admitted::Unproven(cookie))
            }
            Proof::Unproven(cookie) => Admission::Cookie(cookie),
        };
        if matches!(admission, Admission::Admitted(_)) {
            self.this_second = self.this_second.saturating_add(1);
        }
        admission
    }

    fn is_under_load(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.second) >= SECOND {
            self.second = now;
            self.this_second = 0;
        }
        self.this_second >= self.per_second_max
    }
}

const SECOND: Duration = Duration::from_secs(1);
const UNPROVEN_RATE: Rate = Rate::per_second(10).with_burst(20);
const UNPROVEN_V6_BITS: u8 = 64;
/// Generous: many nodes may sit behind one address.
const PROVEN_RATE: Rate = Rate::per_second(50).with_burst(200);
/// Wider, since one customer can prove every /64 of its /48.
const PROVEN_V6_BITS: u8 = 48;
