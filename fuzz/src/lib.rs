//! What the fuzz targets do with their bytes.
//!
//! Bytes are read as a sequence of small choices where a parser keeps state (datagrams, packets, streams), so that the fuzzer can
//! make whole stories; the harness adds what a fuzzer cannot guess: sealed datagrams, MACs, checksums, sequence numbers.
//! Beside panics, each target holds the invariants of its room.
#![forbid(unsafe_code)]

pub mod api;
pub mod choices;
pub mod dns;
pub mod edge;
/// Where the relay's files that are read here look for their bounds.
#[path = "../../relay/src/limits.rs"]
#[allow(dead_code, reason = "the bounds of the whole relay")]
mod limits;
pub mod lines;
pub mod netstack;
pub mod overlay;
pub mod policy;
pub mod texts;
pub mod tls;
