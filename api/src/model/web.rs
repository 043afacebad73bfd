//! What is particular to web services.

use std::fmt;
use std::str::FromStr;

use bore_policy::OriginHost;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a web service's visitors and the service itself get to see of each other (http). Default: nothing particular.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WebOptions {
    /// The `Host` that the service sees: `NAME`, `NAME:PORT` or an address. Default: as the visitor wrote it, who stays in `X-Forwarded-Host`.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_header: Option<OriginHost>,
    /// The oldest TLS that visitors may speak. Default: what the relay says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_min: Option<TlsVersion>,
}

/// A version of TLS.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

/// Why a text is no [`TlsVersion`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this TLS is not spoken here: write 1.3, or 1.2 for old visitors")]
pub struct TlsVersionError;

impl TlsVersion {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TlsVersion {
    type Err = TlsVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Tls12, Self::Tls13]
            .into_iter()
            .find(|version| version.as_str() == text)
            .ok_or(TlsVersionError)
    }
}
