//! Certificates that the relay keeps: how they are, and replaced before they have to be.

use bore_api::model::Actor;
use bore_api::state::CertificateState;

use super::audit::Audit;
use crate::core::Core;
use crate::doors::Doors;

/// Certificates: shown, replaced.
#[derive(Debug)]
pub struct Certificates {
    audit: Audit,
    doors: Doors,
}

impl Certificates {
    pub(crate) fn new(core: Core, doors: Doors) -> Self {
        Self { audit: Audit::new(core), doors }
    }

    /// All of them, by name.
    pub(crate) fn list(&self) -> Vec<CertificateState> {
        self.doors.naming.certificates()
    }

    /// Has a certificate replaced, as an administrator wants it; `None` when the relay wants none for `name`.
    pub(crate) async fn renew(&self, name: &str, by: &Actor) -> Option<CertificateState> {
        let state = self.doors.naming.renew_certificate(name)?;
        self.audit.note("certificate.renew", name.to_owned(), by).await;
        Some(state)
    }
}
