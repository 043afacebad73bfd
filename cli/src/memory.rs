//! Keeps the keys in this process's memory from others: no core dump, and no tracing by processes of the same user.

#[cfg(target_os = "linux")]
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// Closes the memory. Best effort: where the kernel does not do it, the service's unit still forbids core dumps.
pub(crate) fn close() {
    #[cfg(target_os = "linux")]
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::debug!(%error, "this process can be dumped");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::dumpable_behavior;

    use super::*;

    #[test]
    fn a_closed_memory_is_in_no_core_dump() {
        close();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
