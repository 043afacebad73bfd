//! Any schedule of loss, reordering, duplication, corruption and delay ends in bit-exact delivery both ways, or in an error that is
//! reported within a bound: this stack with itself, and with smoltcp on either side.

#[cfg(test)]
mod foreign;
#[cfg(test)]
mod ours;
#[cfg(test)]
mod run;
#[cfg(test)]
mod schedule;

#[cfg(test)]
use proptest::prelude::*;
#[cfg(test)]
use {
    bore_netstack::Congestion,
    foreign::Foreign,
    ours::Ours,
    run::{End, Outcome, Run},
    schedule::{Faults, Schedule},
};

#[cfg(test)]
proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_schedule_between_two_of_ours_delivers_bit_exact_or_says_that_it_failed(
        schedule in any_schedule(),
        is_foreign in any::<bool>(),
    ) {
        let schedule = if is_foreign { schedule } else { schedule.between_own() };
        check::<Ours, Ours>(&schedule)?;
    }
}

#[cfg(test)]
proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn any_schedule_towards_smoltcp_delivers_bit_exact_or_says_that_it_failed(
        schedule in any_schedule(),
    ) {
        check::<Ours, Foreign>(&schedule)?;
    }

    #[test]
    fn any_schedule_from_smoltcp_delivers_bit_exact_or_says_that_it_failed(
        schedule in any_schedule(),
    ) {
        check::<Foreign, Ours>(&schedule)?;
    }
}

#[test]
fn a_lossy_path_to_and_from_smoltcp_delivers_all() {
    let faults = Faults { loss_percent: 3, corrupt_percent: 1, ..Faults::default() };
    for congestion in [Congestion::Model, Congestion::Cubic] {
        for takes_turns in [false, true] {
            let schedule =
                Schedule { congestion, takes_turns, bytes: 200_000, faults, ..Schedule::plain(7) };
            assert_eq!(Run::<Ours, Foreign>::new(&schedule).finish(), Outcome::Delivered);
            assert_eq!(Run::<Foreign, Ours>::new(&schedule).finish(), Outcome::Delivered);
        }
    }
}

#[test]
fn a_clean_path_needs_no_repetition() {
    for congestion in [Congestion::Model, Congestion::Cubic] {
        for takes_turns in [false, true] {
            let schedule =
                Schedule { congestion, takes_turns, bytes: 500_000, ..Schedule::plain(3) };
            let schedule = if takes_turns { schedule } else { schedule.between_own() };
            let mut run = Run::<Ours, Ours>::new(&schedule);
            assert_eq!(run.until_over(), Outcome::Delivered);
            assert_eq!(run.opener.retransmitted_bytes(), 0, "{schedule:?}");
        }
    }
}

#[cfg(test)]
fn check<O: End, A: End>(schedule: &Schedule) -> Result<(), TestCaseError> {
    let outcome = Run::<O, A>::new(schedule).finish();
    let may_fail = schedule.faults.loss_percent + schedule.faults.corrupt_percent > 0;
    prop_assert!(outcome == Outcome::Delivered || (may_fail && outcome == Outcome::Failed));
    Ok(())
}

#[cfg(test)]
fn any_schedule() -> impl Strategy<Value = Schedule> {
    let faults = (0u32..7, 0u32..4, 0u32..12, 0u64..30).prop_map(
        |(loss_percent, corrupt_percent, duplicate_percent, jitter_ms)| Faults {
            loss_percent,
            corrupt_percent,
            duplicate_percent,
            jitter_ms,
        },
    );
    let sizes = (1usize..60_000, prop_oneof![1usize..40, 40usize..4_000], 576usize..9_001);
    let shape = (any::<bool>(), any::<bool>(), any::<bool>(), 1u64..60);
    (any::<u64>(), faults, sizes, shape).prop_map(|(seed, faults, sizes, shape)| {
        let (bytes, piece_bytes, mtu) = sizes;
        let (is_v6, is_cubic, takes_turns, delay_ms) = shape;
        Schedule {
            seed,
            faults,
            delay_ms,
            bytes: bytes.min(piece_bytes * PIECES_MAX),
            piece_bytes,
            // RFC 8200 §5.
            mtu: if is_v6 { mtu.max(1_280) } else { mtu },
            is_v6,
            congestion: if is_cubic { Congestion::Cubic } else { Congestion::Model },
            is_foreign: true,
            takes_turns,
        }
    })
}

/// Tiny writes go on for this long.
#[cfg(test)]
const PIECES_MAX: usize = 400;
