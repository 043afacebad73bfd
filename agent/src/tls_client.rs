//! TLS as a client: what this machine trusts, and what a handshake that fails means.
//!
//! The system's roots are read again after a minute, so that one that is added or removed counts.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, ConfigBuilder,
    DigitallySignedStruct, RootCertStore, SignatureScheme, WantsVerifier,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Why there is no TLS with somebody.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsClientError {
    /// Nothing to check a certificate by.
    #[error("this machine has no root certificates ({0}): install ca-certificates")]
    NoRoots(String),
    /// Not a name that a certificate could have.
    #[error("{0} is no name that a certificate could have")]
    Name(String),
    /// It has the right certificate, or might have, and speaks something else.
    #[error("it does not speak {0} inside TLS")]
    Protocol(Inside),
    /// The certificate, or the handshake.
    #[error("{0}")]
    Handshake(String),
    /// The provider cannot do it: a fault of the build.
    #[error("TLS cannot be spoken here: {0}")]
    Tls(#[from] rustls::Error),
}

/// Which certificates are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certificates {
    /// Those of the right name that this machine trusts.
    Trusted,
    /// All of them: somebody said that it does not matter.
    Any,
}

/// What is to be spoken inside TLS; both sides agree on it during the handshake (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inside {
    /// Also with who agrees on nothing, as servers did before there was a choice.
    Http11,
    /// Only with who agrees on it (RFC 9113 §3.2).
    Http2,
}

impl Inside {
    fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http11 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }

    fn is_spoken(self, agreed: Option<&[u8]>) -> bool {
        agreed == Some(self.alpn()) || (self == Self::Http11 && agreed.is_none())
    }
}

impl std::fmt::Display for Inside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        })
    }
}

/// Speaks TLS with `host` on `stream`, and `inside` in it, if its certificate is accepted.
pub(crate) async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &str,
    certificates: Certificates,
    inside: Inside,
) -> Result<TlsStream<S>, TlsClientError> {
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| TlsClientError::Name(host.to_owned()))?;
    let config = match certificates {
        Certificates::Trusted => trusting().await?,
        Certificates::Any => Arc::new(accepting_any()?),
    };
    let connector = TlsConnector::from(speaking(config, inside));
    let stream = connector.connect(name, stream).await.map_err(|error| failed(&error, inside))?;
    if inside.is_spoken(stream.get_ref().1.alpn_protocol()) {
        return Ok(stream);
    }
    Err(TlsClientError::Protocol(inside))
}

fn failed(error: &io::Error, inside: Inside) -> TlsClientError {
    match of_tls(error) {
        Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            TlsClientError::Protocol(inside)
        }
        Some(_) | None => TlsClientError::Handshake(in_words(error)),
    }
}

/// The first message of a client that asks for `host` and speaks `protocol` alone. Nothing is trusted by it: nothing comes of the handshake.
pub(crate) fn client_hello(host: &str, protocol: Vec<u8>) -> Result<Vec<u8>, TlsClientError> {
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| TlsClientError::Name(host.to_owned()))?;
    let nobody = RootCertStore::empty();
    let mut config = builder()?.with_root_certificates(nobody).with_no_client_auth();
    config.alpn_protocols = vec![protocol];
    let mut connection = ClientConnection::new(Arc::new(config), name)?;
    let mut hello = Vec::new();
    while connection.wants_write() {
        connection
            .write_tls(&mut hello)
            .map_err(|error| TlsClientError::Handshake(error.to_string()))?;
    }
    Ok(hello)
}

/// The configuration that was made last, while it is young.
static TRUSTING: Mutex<Option<(Instant, Arc<ClientConfig>)>> = Mutex::new(None);

async fn trusting() -> Result<Arc<ClientConfig>, TlsClientError> {
    let made = TRUSTING.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some((_, config)) = made.filter(|(at, _)| at.elapsed() < ROOTS_FOR) {
        return Ok(config);
    }
    let config = builder()?.with_root_certificates(roots().await?).with_no_client_auth();
    let config = Arc::new(config);
    let made = Some((Instant::now(), Arc::clone(&config)));
    *TRUSTING.lock().unwrap_or_else(PoisonError::into_inner) = made;
    Ok(config)
}

fn accepting_any() -> Result<ClientConfig, rustls::Error> {
    let any = Arc::new(AcceptAny(default_provider()));
    let config = builder()?.dangerous().with_custom_certificate_verifier(any);
    Ok(config.with_no_client_auth())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
}

/// The memory of sessions stays shared.
fn speaking(mut config: Arc<ClientConfig>, inside: Inside) -> Arc<ClientConfig> {
    Arc::make_mut(&mut config).alpn_protocols = vec![inside.alpn().to_vec()];
    config
}

/// Takes any certificate; that the other side has its key is still proved.
#[derive(Debug)]
struct AcceptAny(CryptoProvider);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What the system trusts; single certificates that cannot be read do not matter.
async fn roots() -> Result<RootCertStore, TlsClientError> {
    let loading = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs);
    let loaded = loading.await.map_err(|error| TlsClientError::NoRoots(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(loaded.certs);
    if added == 0 {
        let cause = loaded.errors.first().map(ToString::to_string);
        return Err(TlsClientError::NoRoots(cause.unwrap_or_else(|| "none found".to_owned())));
    }
    Ok(roots)
}

fn of_tls(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
}

fn in_words(error: &io::Error) -> String {
    match of_tls(error) {
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
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
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

const ROOTS_FOR: Duration = Duration::from_secs(60);
