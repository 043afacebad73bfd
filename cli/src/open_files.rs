//! The limit of open files: a relay needs two for each visitor, and the usual 1,024 is a limit for programs that use `select`.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limits that this process was started with.
static FIRST: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit to the hard one, which needs no rights.
pub(crate) fn raise() {
    let first = *FIRST.get_or_init(|| getrlimit(Resource::Nofile));
    set(Rlimit { current: first.maximum, ..first });
}

/// Starts another program with the limit that this one was started with: programs that use `select`, or that close each number below the limit, fail or
/// dawdle with a high one.
pub(crate) fn with_first_limit<T>(start: impl FnOnce() -> T) -> T {
    let raised = getrlimit(Resource::Nofile);
    set(FIRST.get().copied().unwrap_or(raised));
    let started = start();
    set(raised);
    started
}

fn set(limit: Rlimit) {
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
