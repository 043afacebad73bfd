//! Flows that start one after the other find equal shares.

use crate::ours::Ours;
use crate::outcome::measure;

/// Shares of the second half of the run; the last flow starts three seconds after the first.
const JAIN_MIN: f64 = 0.9;

#[test]
fn four_flows_share_a_short_queue() {
    // A link of another length is also one of other random numbers.
    for queue_ms in [18, 20, 22] {
        assert_shared(queue_ms);
    }
}

#[test]
fn four_flows_share_a_long_queue() {
    for queue_ms in [180, 200, 220] {
        assert_shared(queue_ms);
    }
}

fn assert_shared(queue_ms: u64) {
    let name = format!("100M/20ms/q{queue_ms}ms/l0%/r0%/x4");
    let outcome = measure::<Ours>(&name.parse().unwrap());
    assert!(outcome.fairness >= JAIN_MIN, "{} in {name}", outcome.fairness);
    assert!(outcome.steady >= 95.0, "{} % carried in {name}", outcome.steady);
}
