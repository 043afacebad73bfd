//! Wall time, for what people read.

use std::time::{SystemTime, UNIX_EPOCH};

use bore_api::model::Micros;

/// Microseconds since the Unix epoch.
pub(crate) fn now_micros() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros::try_from(since.as_micros()).unwrap_or(Micros::MAX)
}
