//! A whole network in virtual time: the product's own state machines for a relay and its agents, on links that lose, delay, reorder,
//! duplicate, corrupt and break, behind NAT boxes that forget, with somebody on the way who sends what he likes.
//!
//! | part | is |
//! |---|---|
//! | `host` | `bore_driver::Endpoint`, the loop that ships, with surroundings that take everything |
//! | `network`, `nat`, `weather` | what is between hosts |
//! | `relay`, `node`, `roles` | what the programs on the hosts do |
//! | `flows`, `end`, `content` | flows, and every byte that they ought to carry |
//! | `reference` | the model: what ought to be |
//! | `transitions`, `attacker` | what may happen, drawn from the seed |
//! | `checks` | what must hold at every datagram and deadline |
//!
//! No socket, no thread, no sleeping: a day passes in seconds, and a seed gives the same run again. The tunnel engine alone reads the
//! system's clock and randomness, for its time stamps and ephemeral keys; nothing that is decided or traced follows from them, save one
//! rare case that a run tells of ([`Report::is_exact`]).
//!
//! A rule that is broken ends the run by a panic that says which.

mod attacker;
mod checks;
mod content;
mod end;
mod flows;
mod host;
mod nat;
mod network;
mod node;
mod reference;
mod relay;
mod roles;
mod run;
mod tags;
mod trace;
mod transitions;
mod weather;
mod world;

pub use run::{Plan, RECOVERY_BOUND, Report, run};
