//! Certificates of the relay's own CA account, orders that stand, and the accounts.
//!
//! Secrets are sealed before they come here and stay so; whoever needs one opens it with the relay's sealing key.

use bore_api::model::Micros;
use bore_api::state::CertificateProblem;
use uuid::Uuid;

use crate::sealing::Sealed;

/// A certificate that a CA has issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Identity.
    pub id: Uuid,
    /// The network whose hostname it is for; `None` for the cluster's own names.
    pub network: Option<Uuid>,
    /// Every name that it is for: hostnames, `*.` wildcards, IP addresses. The first is its subject, of which there is one certificate.
    pub names: Vec<String>,
    /// The chain, leaf first, PEM.
    pub chain: String,
    /// Its PKCS #8 key, PEM, sealed at `certificates.private_key`.
    pub private_key: Sealed,
    /// Who issued it, for people.
    pub issuer: String,
    /// URL of the directory of the CA that it was ordered from; `None` when nobody knows any more.
    pub directory: Option<String>,
    /// When it begins.
    pub not_before: Micros,
    /// When it ends.
    pub not_after: Micros,
    /// When the CA wants it renewed, if it says so.
    pub renewal: Option<RenewalWindow>,
    /// When it was stored.
    pub created_at: Micros,
}

impl Certificate {
    /// The first name.
    pub fn subject(&self) -> Option<&str> {
        self.names.first().map(String::as_str)
    }
}

/// When a CA wants a certificate renewed (RFC 9773).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenewalWindow {
    /// From here.
    pub start: Micros,
    /// To here.
    pub end: Micros,
    /// When the CA wants to be asked again.
    pub ask_again_at: Micros,
}

/// A subject without a certificate, or with one that is being renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateOrder {
    /// Identity.
    pub id: Uuid,
    /// The network whose hostname it is; `None` for the cluster's own names.
    pub network: Option<Uuid>,
    /// The first name.
    pub subject: String,
    /// The order at the CA that stands, with the key that its certificate is for.
    pub standing: Option<StandingOrder>,
    /// Tries that failed, one after the other.
    pub failures: u32,
    /// How many of them were the proof's.
    pub proof_failures: u32,
    /// Why the last one failed.
    pub problem: Option<CertificateProblem>,
    /// Not before this is it tried again.
    pub next_try_at: Micros,
    /// Before this the CA does not want to be asked.
    pub retry_after: Option<Micros>,
    /// Last change.
    pub updated_at: Micros,
}

/// An order at the CA, as far as it must survive a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingOrder {
    /// Where the CA keeps it.
    pub url: String,
    /// The PKCS #8 key, PEM, sealed at `certificate_orders.private_key`.
    pub private_key: Sealed,
}

/// The account at one CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeAccount {
    /// Identity.
    pub id: Uuid,
    /// URL of the CA's directory.
    pub directory: String,
    /// Key and URL of the account, JSON, sealed at `acme_accounts.credentials`; `None` until the CA has made it.
    pub credentials: Option<Sealed>,
    /// The CA does not want to be asked before.
    pub paused_until: Option<Micros>,
    /// When the row was made.
    pub created_at: Micros,
}
