//! The control room: resources, store, services and REST API of a relay.
//!
//! It never touches packets: what it needs of the data path comes through [`doors`], and the data path asks [`Directory`], which is memory,
//! never a database.
#![forbid(unsafe_code)]

pub mod api;
mod audit_key;
mod authentications;
pub mod certificate;
mod clock;
mod control;
mod core;
mod counters;
mod directory;
pub mod doors;
pub mod event;
mod health;
mod identity;
pub mod limits;
mod memory;
mod names;
mod rate;
pub mod refusal;
pub mod sealing;
pub mod service;
mod session;
pub mod store;
mod text;
pub mod token;

pub use api::{Caller, garden_router, openapi, overlay_router, tcp_router};
pub use clock::Clock;
pub use control::Control;
pub use core::{Core, Settings};
pub use directory::Directory;
pub use identity::{Identity, OverlayAddressing};
pub use memory::CompiledNetwork;
pub use text::clean_text;
