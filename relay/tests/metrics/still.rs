//! Series that this test cannot move, and why. Anything else that stands still is a bug.

/// Series and reason.
pub(crate) const EXCUSED: &[(&str, &str)] = &[];

/// Of these, those that may move on a slow or busy machine.
pub(crate) const MAY_MOVE: &[&str] = &[];
