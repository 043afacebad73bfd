//! What the end to end tests share: a network made of namespaces, and real programs in it, `bore` among them.
//!
//! Nothing here is part of the product, and nothing here asks the product's code: it sees what an operator and a visitor see.
//! Traffic goes only to loopback and to addresses inside namespaces that the test itself made.
//!
//! A harness that cannot go on ends the test: every function panics, with what was tried in its text.
#![forbid(unsafe_code)]

pub mod attempts;
pub mod authority;
pub mod blob;
pub mod bore;
pub mod curl;
pub mod fault;
pub mod lab;
pub mod length;
pub mod machine;
pub mod memory;
pub mod metrics;
pub mod name_server;
pub mod names;
pub mod namespace;
pub mod origins;
pub mod overlay_end;
pub mod pebble;
pub mod process;
pub mod secured;
pub mod service;
pub mod simulator;
pub mod visitor;
pub mod wait;
