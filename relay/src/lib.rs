//! The relay: tunnels of agents on one side, public ports and hostnames on the other, policy in between.
//!
//! Who may do what is decided by `bore-policy` on the data that `bore-control` keeps; this room carries it out.
#![forbid(unsafe_code)]

pub mod acme;
mod backup;
mod config;
mod control_listeners;
mod descriptors;
pub mod dns;
mod domains;
mod endpoints;
mod facts;
mod flows;
mod identity;
mod ingress;
mod init;
mod issuing;
mod limits;
mod members;
mod metrics;
mod naming;
mod origins;
mod public_address;
mod publications;
mod recall;
mod sealing_keys;
mod server;
mod state_folder;
mod tunnels;

pub use backup::{BackupError, back_up_database};
pub use bore_control::store::StoreError;
pub use config::{
    Acme, BuiltIn, Cloudflare, Config, ConfigError, Database, DnsProvider, KEYS, Rfc2136, Secret,
    TlsConfig, TsigAlgorithm,
};
pub use init::{InitError, InitOptions, InitSettings, Initialised, first_join_key, init};
pub use sealing_keys::{Rotated, SealingKeyError, rotate_sealing_key};
pub use server::{Addresses, Relay, StartError};
pub use state_folder::{RelayKeys, StateError, StateFolder};
