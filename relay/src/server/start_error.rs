//! What keeps a relay from starting.

use std::net::SocketAddr;

use bore_control::store::StoreError;
use bore_edge::tls::FileError;

use crate::acme::RootsError;
use crate::dns::DnsError;
use crate::sealing_keys::SealingKeyError;
use crate::state_folder::StateError;

/// Why a relay did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The state folder.
    #[error("the state folder cannot be used")]
    State(#[from] StateError),
    /// The database.
    #[error("the database cannot be opened")]
    Store(#[source] StoreError),
    /// A listener.
    #[error("cannot listen on {address} ({what})")]
    Listen {
        /// Which listener.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// The kernel's reason.
        source: std::io::Error,
    },
    /// A certificate from files.
    #[error("a certificate cannot be served")]
    Certificate(#[from] FileError),
    /// TLS itself.
    #[error("TLS cannot be spoken")]
    Tls(#[from] rustls::Error),
    /// The key that secrets in the database are sealed with.
    #[error("the sealed secrets cannot be opened")]
    SealingKey(#[from] SealingKeyError),
    /// Whom to trust to be the CA.
    #[error("the CA's roots cannot be read")]
    CaRoots(#[source] RootsError),
    /// The overlay.
    #[error("the overlay cannot start")]
    Overlay(#[source] bore_driver::StartError),
    /// DNS.
    #[error("the zone of the relay's domain cannot be kept")]
    Dns(#[source] DnsError),
}
