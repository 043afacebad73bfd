//! TLS towards visitors: which certificate, by which rules, and the look at a ClientHello that decides where a connection goes.
//!
//! | file | is |
//! |---|---|
//! | `certificates` | which certificate answers for which name |
//! | `names` | the names inside one certificate |
//! | `challenges` | what an order that is under way has to show |
//! | `files` | certificates that the operator keeps in files, read again when they change |
//! | `configs` | protocol versions, ALPN, resumption |
//! | `hello` | the bounded look at a ClientHello, after which nothing is lost |
//!
//! Invariant: nobody gets a certificate that does not name what was asked for.
//!
//! Source: RFC 8446, RFC 6066 §3 (SNI), RFC 7301 (ALPN), RFC 8737 (`acme-tls/1`).

mod certificates;
mod challenges;
mod configs;
mod files;
mod hello;
mod limits;
mod names;

use std::sync::Arc;

pub(crate) use certificates::Entry;
pub use certificates::{CertificateOrigin, Certificates};
pub use challenges::{Challenges, Standing};
pub use configs::TlsMinimum;
pub(crate) use configs::{ACME_TLS, CARRIER, H2};
pub use files::Files;
pub use files::{CertificateFiles, FileError};
pub(crate) use hello::Hello;
pub use names::{Name as CertifiedName, names as certified_names};

use configs::Configs;

/// Everything about TLS that the doors of one relay share.
#[derive(Debug)]
pub struct Tls {
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) challenges: Arc<Challenges>,
    pub(crate) configs: Configs,
}

impl Tls {
    /// No certificate and no order yet; visitors speak at least `minimum`.
    ///
    /// # Errors
    /// The provider cannot do what is asked of it: a fault of the build.
    pub fn new(minimum: TlsMinimum) -> Result<Self, rustls::Error> {
        let (certificates, challenges) = (Arc::default(), Arc::default());
        Ok(Self { certificates, challenges, configs: Configs::new(minimum)? })
    }

    /// Which certificate answers for which name.
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// What orders that are under way have to show.
    pub fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }
}
