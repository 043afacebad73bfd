//! The control room: resources, store, services and REST API of a relay.
//!
//! It never touches packets: what it needs of the data path comes through [`runtime`], and the data path asks it ([`Control`]) from memory,
//! never from a database.
#![forbid(unsafe_code)]

pub mod api;
mod audit_key;
mod authentications;
pub mod certificate;
mod clock;
mod control;
mod counters;
mod health;
pub mod limits;
mod memory;
mod names;
mod rate;
pub mod refusal;
pub mod runtime;
pub mod sealing;
mod service;
mod session;
pub mod store;
mod text;
pub mod token;

pub use api::{Caller, garden_router, openapi, overlay_router, tcp_router};
pub use control::{Change, ChangeKind, Control, Settings};
pub use memory::CompiledNetwork;
pub use service::Absences;
pub use text::clean_text;
