//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Looks until there is something to see, and returns it.
///
/// # Panics
/// When `limit` has passed, naming `what`.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(began.elapsed() < limit, "waited {} s in vain for {what}", limit.as_secs_f32());
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// Looks again and again for a whole `span`: what must never be seen is told as soon as it is.
///
/// # Panics
/// When `look` returns something.
pub fn never(what: &str, span: Duration, mut look: impl FnMut() -> Option<String>) {
    let began = Instant::now();
    while began.elapsed() < span {
        let seen = look();
        assert!(seen.is_none(), "{what} was seen after {:?}: {seen:?}", began.elapsed());
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// Enough for anything that should be quick, on a machine that others use as well.
pub const SOON: Duration = Duration::from_secs(20);

const LOOK_INTERVAL: Duration = Duration::from_millis(15);
