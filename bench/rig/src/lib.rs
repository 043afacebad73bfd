//! Our TCP against that of Linux, in real time over one userspace link, at any end.
//!
//! ```text
//! namespace "left"                                                   namespace "right"
//! kernel socket ── TUN ─┐    ┌── queue ▶ rate ▶ delay, loss ──┐    ┌─ TUN ── kernel socket
//!                       ├────┤                                ├────┤
//! our Stack ────────────┘    └── delay, loss ◀ rate ◀ queue ──┘    └──────────── our Stack
//! ```
//!
//! Data goes from left to right. One thread runs the link and our stacks; every kernel socket has a
//! thread of its own. A packet goes to the kernel or to our stack by its destination address, so both
//! can share the link. **Invariant:** whatever the ends are, their packets pass the same code between
//! entry and delivery.
//!
//! Never: traffic outside the two namespaces; anything of the product but its netstack.
#![forbid(unsafe_code)]

pub mod cells;
mod conditions;
mod content;
mod direction;
mod flag;
mod headers;
mod kernel;
mod lateness;
mod ledger;
mod link;
mod measured;
mod ours;
mod plan;
mod privileges;
mod punctual;
pub mod report;
mod run;
mod side;
mod sink;
mod statistics;
mod targets;

pub use conditions::Conditions;
pub use lateness::Lateness;
pub use measured::Measured;
pub use plan::{Amount, Congestion, Ends, Plan, Receiver, Sender};
pub use privileges::demand_privileges;
pub use run::{FlowOutcome, Outcome, run};

/// Whatever stops a measurement, in words for the person who started it.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
