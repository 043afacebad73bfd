//! What an issuer works with, and how a stored certificate becomes one that is served.

use std::sync::Arc;

use bore_control::certificate::Certificate;
use bore_control::sealing::{Column, Sealer};
use bore_control::store::Store;
use bore_edge::tls::{CertificateOrigin, Certificates, Challenges};

use super::certified::{Certified, KeyPem};
use super::metrics::AcmeMetrics;
use super::proof::Means;
use super::settings::AcmeSettings;
use crate::dns::TxtRecords;

/// What an issuer works with.
#[derive(Debug)]
pub struct Context {
    pub(super) store: Arc<Store>,
    pub(super) sealer: Arc<Sealer>,
    pub(super) settings: AcmeSettings,
    pub(super) certificates: Arc<Certificates>,
    pub(super) means: Means,
    pub(super) metrics: AcmeMetrics,
}

impl Context {
    /// `txt` is what puts TXT records into the zone of the settings, if anything does.
    pub fn new(
        store: Arc<Store>,
        sealer: Arc<Sealer>,
        settings: AcmeSettings,
        certificates: Arc<Certificates>,
        challenges: Arc<Challenges>,
        txt: Option<Arc<dyn TxtRecords>>,
        metrics: AcmeMetrics,
    ) -> Self {
        let (zone, choice) = (settings.zone.clone(), settings.challenge);
        let means = Means { challenges, txt, zone, choice };
        Self { store, sealer, settings, certificates, means, metrics }
    }

    /// Opens a stored certificate; one that cannot be used is as good as none.
    pub(super) fn read(&self, certificate: &Certificate) -> Option<Certified> {
        match self.try_read(certificate) {
            Ok(read) => Some(read),
            Err(cause) => {
                tracing::error!(id = %certificate.id, %cause, "a stored certificate is not used");
                None
            }
        }
    }

    fn try_read(&self, certificate: &Certificate) -> Result<Certified, String> {
        let place = Column::CertificateKey.of(certificate.id);
        let secret = self.sealer.open(place, &certificate.private_key);
        let key = KeyPem::of_secret(&secret.map_err(|error| error.to_string())?);
        let key = key.ok_or_else(|| "the key is not text".to_owned())?;
        Certified::read(&certificate.chain, &key).map_err(|error| error.to_string())
    }

    /// Whether another CA has issued it than the one that is configured.
    pub(super) fn is_foreign(&self, certificate: &Certificate) -> bool {
        let own = &self.settings.directory;
        certificate.directory.as_ref().is_some_and(|directory| directory != own)
    }

    pub(super) fn serve(&self, certificate: &Certificate) -> bool {
        let Some(read) = self.read(certificate) else { return false };
        self.certificates.put(CertificateOrigin::Acme(certificate.id), read.key);
        true
    }
}
