//! The walled garden: where a key that is no peer's may stay for a few seconds, to join.

mod pending;

pub(crate) use pending::Pending;
