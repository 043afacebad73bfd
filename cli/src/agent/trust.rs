//! TLS as a client: what this machine trusts, and what a handshake that fails means.
//!
//! The system's roots are read for each use, so that a root that is added or removed counts from then on.

use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Why there is no TLS with somebody.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TrustError {
    /// Nothing to check a certificate by.
    #[error("this machine has no root certificates ({0}): install ca-certificates")]
    NoRoots(String),
    /// Not a name that a certificate could have.
    #[error("{0} is no name that a certificate could have")]
    Name(String),
    /// The certificate, or the handshake.
    #[error("{0}")]
    Handshake(String),
    /// The provider cannot do it: a fault of the build.
    #[error("TLS cannot be spoken here: {0}")]
    Tls(#[from] rustls::Error),
}

/// Speaks TLS with `host` on `stream`, and HTTP/1.1 inside, if this machine trusts its certificate.
pub(crate) async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &str,
) -> Result<TlsStream<S>, TrustError> {
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| TrustError::Name(host.to_owned()))?;
    let config = trusting(roots().await?)?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    connecting.await.map_err(|error| TrustError::Handshake(in_words(&error)))
}

fn trusting(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// What the system trusts; single certificates that cannot be read do not matter.
async fn roots() -> Result<RootCertStore, TrustError> {
    let loading = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs);
    let loaded = loading.await.map_err(|error| TrustError::NoRoots(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(loaded.certs);
    if added == 0 {
        let cause = loaded.errors.first().map(ToString::to_string);
        return Err(TrustError::NoRoots(cause.unwrap_or_else(|| "none found".to_owned())));
    }
    Ok(roots)
}

fn in_words(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(cause)) => of_certificate(cause),
        Some(rustls::Error::AlertReceived(AlertDescription::UnrecognisedName)) => {
            "nobody there has a certificate for this name".to_owned()
        }
        Some(other) => other.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the connection was closed during the handshake".to_owned()
        }
        None => error.to_string(),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rustls may find more, and says by itself what it is"
)]
fn of_certificate(cause: &CertificateError) -> String {
    let words = match cause {
        CertificateError::UnknownIssuer => {
            "this machine does not trust who issued it; is the chain complete?"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired; is this machine's clock right?"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet; is this machine's clock right?"
        }
        other => return other.to_string(),
    };
    words.to_owned()
}
