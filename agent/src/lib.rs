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
//! [`Agent`] is used in-process (`bore join`, `bore demo`, `publish` without a running agent) and through [`LocalClient`] alike. Another program may run
//! it as well, publish local services by [`Agent::publish`], or take visitors itself by [`Agent::listen`]:
//!
//! ```no_run
//! use bore_agent::{Agent, Declaration, JoinKey, JoinOptions, Protocol, StateFolder};
//!
//! # async fn example(key: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let folder = StateFolder::open("/var/lib/greeter".as_ref())?;
//! let join = JoinOptions { key: JoinKey::parse(key)?, name: "greeter".to_owned(), ephemeral: false };
//! let agent = Agent::join(folder, join).await?;
//!
//! let mut listener = agent.listen(Declaration::in_process(Protocol::Tcp)).await?;
//! while let Some((mut stream, visitor)) = listener.accept().await {
//!     tokio::spawn(async move {
//!         let greeting = format!("hello, {visitor}\n");
//!         tokio::io::AsyncWriteExt::write_all(&mut stream, greeting.as_bytes()).await
//!     });
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `examples/echo.rs` is a whole program.
//!
//! A visitor's stream is an `AsyncRead + AsyncWrite` of tokio, so that a server such as hyper speaks on it; `examples/web.rs` is one. Everything that these
//! calls take and give is exported here.
//!
//! Invariant: an agent never dials what was not declared on it. Declarations enter by [`Agent::publish`], [`Agent::listen`] and `publications.json` only;
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
mod listener;
mod local_api;
mod local_client;
mod ndjson;
mod network_watch;
mod probe;
mod prober;
mod public_address;
mod publishing;
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
mod test_lab;
#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;
mod tls_client;
mod turns;
mod wire;

pub use agent::{Agent, StartOptions, Status};
pub use bore_api::model::{
    HealthCheck, HealthInterval, HealthOptions, Lifetime, Protocol, Publication,
    PublicationOptions, PublishedHost, TlsVersion, WebOptions,
};
pub use bore_api::state::{PublicationState, State, Step, StepName};
pub use bore_api::wire::PublicationView;
pub use bore_api::{Code, Problem};
pub use bore_driver::{Ending, OverlayStream};
pub use bore_overlay::JoinKey;
pub use bore_policy::{Access, Source, Target};
pub use declaration::Declaration;
pub use error::{AgentError, StateError, in_full};
pub use join::JoinOptions;
pub use limits::CounterValues;
pub use listener::Listener;
pub use local_client::{Changes, LocalClient};
pub use shared::StateChange;
pub use state::StateFolder;
pub use target_health::{Found, check as check_target};
pub use targets::DialError;
pub use tls_client::{Inside, TlsClientError};
