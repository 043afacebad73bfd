//! Certificates from a real CA, Pebble, and from a small one of our own for what Pebble cannot do: to be away for an hour, to want a
//! certificate renewed early, to refuse.
//!
//! Time is the test's: the issuer's clock can be set forward, and what is waited for is a condition.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the lab's helpers lie outside the functions that clippy knows as tests"
)]

#[path = "acme/admission.rs"]
mod admission;
#[path = "acme/attacks.rs"]
mod attacks;
#[path = "acme/clocks.rs"]
mod clocks;
#[path = "acme/fake_ca.rs"]
mod fake_ca;
#[path = "acme/lab.rs"]
mod lab;
#[path = "acme/pebble.rs"]
mod pebble;
#[path = "acme/refusals.rs"]
mod refusals;
#[path = "acme/renewal.rs"]
mod renewal;
#[path = "acme/standing.rs"]
mod standing;
#[path = "acme/visits.rs"]
mod visits;
#[path = "acme/with_pebble.rs"]
mod with_pebble;
