//! The way to a peer.

mod capacity;

pub(crate) use capacity::{Capacity, LONGEST_PART, Order, SHORT_PART, SINGLE_PART};
