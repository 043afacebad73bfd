//! What an administrator sets of the CA, as the issuer uses it.

use std::fmt;
use std::sync::Arc;

use bore_api::model::Micros;
use instant_acme::{ExternalAccountKey, HttpClient};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::schedule::Pace;

/// Which CA, as whom, and how.
#[derive(Clone)]
pub struct AcmeSettings {
    /// URL of its directory.
    pub directory: String,
    /// Where it writes to, as `mailto:…`.
    pub contact: Option<String>,
    /// Binds the account to one that exists at the CA.
    pub eab: Option<EabKey>,
    /// How names are proved.
    pub challenge: ChallengeChoice,
    /// The domain whose zone takes TXT records.
    pub zone: Option<String>,
    /// How the CA is reached.
    pub wire: Arc<dyn HttpClient>,
    /// This relay, by a name that it keeps over restarts.
    pub holder: String,
    /// How fast things are tried again.
    pub pace: Pace,
    /// The wall clock.
    pub clock: Clock,
}

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Micros + Send + Sync>;

/// How names are proved to the CA.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChallengeChoice {
    /// DNS-01 where the relay has the zone, else HTTP-01 and TLS-ALPN-01 in turn.
    #[default]
    Auto,
    /// `http-01` alone.
    #[serde(rename = "http-01")]
    Http01,
    /// `tls-alpn-01` alone.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// `dns-01` alone.
    #[serde(rename = "dns-01")]
    Dns01,
}

/// An account that exists at the CA (RFC 8555 §7.3.4). Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct EabKey {
    /// Its id.
    pub id: String,
    key: Zeroizing<Vec<u8>>,
}

impl EabKey {
    /// An id and the bytes of the key.
    pub fn new(id: String, key: Zeroizing<Vec<u8>>) -> Self {
        Self { id, key }
    }

    pub(super) fn binding(&self) -> ExternalAccountKey {
        ExternalAccountKey::new(self.id.clone(), &self.key)
    }
}

impl fmt::Debug for EabKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EabKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for AcmeSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcmeSettings")
            .field("directory", &self.directory)
            .field("challenge", &self.challenge)
            .field("zone", &self.zone)
            .finish_non_exhaustive()
    }
}
