//! How a rest ends: hostnames, domains and addresses that were given back are kept from others for a while, and forgotten after it.
//!
//! Whatever is in its table rests, whichever time it is. Only housekeeping takes it out, once the clock is steady: a clock that was ahead for a moment
//! would free everything of every network.

use bore_api::model::Micros;

use super::sql::Transaction;
use super::{StoreError, domains, hostnames, leases};

/// Forgets what has rested at `at`, a bounded number from each table, and returns how much that was.
pub(super) async fn end(open: &mut Transaction, at: Micros) -> Result<u64, StoreError> {
    let released_until = at.saturating_sub(REST);
    let hostnames = hostnames::forget(open, released_until, ROWS_MAX).await?;
    let domains = domains::forget(open, released_until, ROWS_MAX).await?;
    let leases = leases::forget(open, released_until, ROWS_MAX).await?;
    Ok(hostnames + domains + leases)
}

/// Thirty days.
pub(super) const REST: Micros = 30 * 24 * 60 * 60 * 1_000_000;

/// Rows of one table that are forgotten at once. It also bounds what a clock that is wrong for a while can do.
const ROWS_MAX: u32 = 1_000;
