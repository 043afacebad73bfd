//! The agent: joins, stays connected, and serves to visitors what was declared on this machine.
//!
//! ```text
//! commands ─▶ local API ─▶ Agent ─▶ Runner: tunnel, session, watch          (tokio)
//!                            │        │
//!                            ▼        ▼
//!                         Registry ─▶ plan ─▶ serve: tcp, udp, probe port   (the shard's thread)
//!                            ▲
//!                          prober: visits from outside, targets that are down
//! ```
//!
//! [`Agent`] is used in-process (`bore join`, `bore demo`, `publish` without a running agent) and through [`LocalClient`] alike.
//!
//! Invariant: an agent never dials what was not declared on it. Declarations enter by [`Agent::declare`] and `publications.json` only;
//! what the relay says can narrow them and never widen them.
#![forbid(unsafe_code)]

mod agent;
mod answers;
mod backoff;
mod connect;
mod control_client;
mod declaration;
mod error;
mod external_probe;
mod happy_eyeballs;
mod health_request;
mod join;
pub mod json_client;
mod limits;
mod local_api;
mod local_client;
mod ndjson;
mod network_watch;
mod probe;
mod prober;
mod public_address;
mod recent_addresses;
mod registry;
mod runner;
mod saving;
mod serve;
mod serve_tcp;
mod serve_tls;
mod serve_udp;
mod session;
mod shared;
pub mod state;
mod system;
mod target_health;
mod target_watch;
mod targets;
#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;
mod tls_client;
mod wire;

pub use agent::{Agent, StartOptions, Status};
pub use declaration::Declaration;
pub use error::{AgentError, StateError, in_full};
pub use join::JoinOptions;
pub use limits::CounterValues;
pub use local_client::{Changes, LocalClient};
pub use shared::StateChange;
pub use state::StateFolder;
pub use target_health::{Found, check as check_target};
pub use targets::DialError;
pub use tls_client::{Inside, TlsClientError};
