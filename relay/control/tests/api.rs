//! The REST API over a real SQLite store and a small relay of its own.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops where it fails")]

#[path = "api/audited.rs"]
mod audited;
#[path = "api/certificates.rs"]
mod certificates;
#[path = "api/document.rs"]
mod document;
#[path = "api/domains.rs"]
mod domains;
#[path = "api/health.rs"]
mod health;
#[path = "api/hostile_text.rs"]
mod hostile_text;
#[path = "api/isolation.rs"]
mod isolation;
#[path = "api/join.rs"]
mod join;
#[path = "api/keys.rs"]
mod keys;
#[path = "api/lab.rs"]
mod lab;
#[path = "api/nodes.rs"]
mod nodes;
#[path = "api/policies.rs"]
mod policies;
#[expect(dead_code, reason = "the faults of a server have a test of their own")]
#[path = "support/postgres.rs"]
mod postgres;
#[path = "api/publish.rs"]
mod publish;
#[path = "api/quotas.rs"]
mod quotas;
#[path = "api/relay.rs"]
mod relay;
#[path = "api/secrets.rs"]
mod secrets;
#[path = "support/small_disk.rs"]
#[expect(dead_code, reason = "other suites make a disk larger, or read-only")]
mod small_disk;
#[path = "api/watch.rs"]
mod watch;
