//! Certificates from a CA that speaks ACME: which names, when, by which proof, and what is remembered of it.
//!
//! ```text
//! published hostnames, host, domain ── wanted ──▶ issuer ── schedule (now in, action out)
//!                                                   │ one order in flight per subject, held in the store
//!                                                   ▼
//!                                   order ── account, client ──▶ the CA
//!                                     │ proof: Challenges (HTTP-01, TLS-ALPN-01), TxtRecords (DNS-01)
//!                                     ▼
//!                              store (sealed key), then `Certificates`, which visitors are answered from
//! ```
//!
//! | file | is |
//! |---|---|
//! | `name`, `wanted` | what a certificate can be for, and which certificates the relay wants |
//! | `schedule` | when to order, to renew, to ask, to wait: pure |
//! | `issuer`, `subjects` | the task that acts on it, and what it knows |
//! | `rate_limits` | whose new orders wait when the CA refuses one after the other |
//! | `run`, `retry`, `renewal` | what it does: order, write down a failure, ask when to renew |
//! | `order`, `proof` | one order at the CA from its beginning, or from where it was left, to its certificate |
//! | `admission` | who may issue for the domain, as its zone says it |
//! | `account`, `client` | who asks, and how a request gets to the CA |
//! | `certified` | chain and key, read and checked |
//! | `failure` | why there is no certificate, in words, and what to do |
//!
//! Invariants: names come from what is published and configured, never from what a visitor asks for; a certificate stays until its
//! successor is stored; a CA that is away, or refuses, costs traffic nothing.
//!
//! Source: RFC 8555, RFC 8737 (TLS-ALPN-01), RFC 8738 (IP addresses), RFC 9773 (renewal information).

mod account;
mod admission;
mod certified;
mod client;
mod context;
mod failure;
mod issuer;
pub mod limits;
mod metrics;
mod name;
mod order;
mod proof;
mod rate_limits;
mod renewal;
mod retry;
mod run;
mod schedule;
mod settings;
mod subjects;
mod wanted;

pub use client::{CaRoots, RootsError, Wire};
pub use context::Context;
pub use failure::{Failure, FailureKind};
pub use issuer::Issuer;
pub use metrics::AcmeMetrics;
pub use name::Name;
pub use schedule::Pace;
pub use settings::{AcmeSettings, ChallengeChoice, Clock, EabKey};
pub use wanted::{Wanted, WantedNames};
