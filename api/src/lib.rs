//! What relay, agent and command line say to each other, once: resources, messages, live states, problems, and the registry of error
//! codes. Pure: no clock, no socket, no file.
#![forbid(unsafe_code)]

mod audit_point;
pub mod code;
pub mod limits;
pub mod model;
pub mod problem;
pub mod state;
mod text;
mod time_text;
mod token;
pub mod visit;
pub mod wire;

pub use audit_point::{AuditPoint, AuditPointError};
pub use code::{Code, Exit};
pub use problem::Problem;
pub use text::{printable, printable_lines};
pub use time_text::utc_text;
pub use token::{ApiToken, TokenError};
