//! The limit of open files: a relay needs two for each visitor, and the usual 1,024 is a limit for programs that use `select`.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, which needs no rights.
pub(crate) fn raise() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
