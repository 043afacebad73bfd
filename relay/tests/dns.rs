//! DNS against real programs: `dig` asks the relay, BIND takes its updates, a fake Cloudflare its calls.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "the lab's helpers lie outside the functions that clippy knows as tests"
)]
#![expect(dead_code, reason = "the relay's lab has parts that only other tests need")]

#[path = "dns/authority.rs"]
mod authority;
#[path = "dns/bind.rs"]
mod bind;
#[path = "dns/cloudflare.rs"]
mod cloudflare;
#[path = "dns/dig.rs"]
mod dig;
#[path = "dns/forged.rs"]
mod forged;
#[path = "dns/hook.rs"]
mod hook;
#[path = "dns/published.rs"]
mod published;
#[path = "relay_lab/mod.rs"]
mod relay_lab;
#[path = "dns/rfc2136.rs"]
mod rfc2136;
