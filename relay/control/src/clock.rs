//! The wall clock, in the unit of the store.

use std::time::{SystemTime, UNIX_EPOCH};

use bore_api::model::Micros;

/// Microseconds since the Unix epoch; 0 on a machine whose clock stands before it.
pub(crate) fn now() -> Micros {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros::try_from(since_epoch.as_micros()).unwrap_or(Micros::MAX)
}
