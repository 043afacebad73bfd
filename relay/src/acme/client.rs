//! How a request gets to a CA: one connection each, HTTPS only, with an end to bytes and time.
//!
//! [`Client`] also listens: to a `Retry-After` of any answer, and to a `Date` that tells that the clock of this machine is wrong.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{DATE, HOST, RETRY_AFTER};
use http::response::Parts;
use http::uri::{Authority, PathAndQuery, Uri};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::FailureKind;
use super::limits::{ANSWER_BYTES_MAX, RETRY_AFTER_MAX};

/// Whom the relay trusts to be the CA: the machine's roots, and one file.
#[derive(Clone)]
pub struct CaRoots(Arc<ClientConfig>);

impl std::fmt::Debug for CaRoots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CaRoots")
    }
}

/// Why the roots cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// The file.
    #[error("[acme] ca_file {0} has no certificate in PEM that can be read")]
    File(PathBuf),
    /// The provider cannot do what is asked of it: a fault of the build.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

impl CaRoots {
    /// The machine's roots and those of `file`.
    ///
    /// # Errors
    /// The file. A machine without roots trusts nobody, which is found out when the CA is asked.
    pub fn load(file: Option<&Path>) -> Result<Self, RootsError> {
        let mut roots = RootCertStore::empty();
        let (_, damaged) =
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if damaged > 0 {
            tracing::debug!(damaged, "some of the machine's roots cannot be read");
        }
        if let Some(file) = file {
            add_file(&mut roots, file).ok_or_else(|| RootsError::File(file.to_owned()))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

/// `None` when there is none, or one is not valid.
fn add_file(roots: &mut RootCertStore, file: &Path) -> Option<()> {
    let mut added = 0;
    for certificate in CertificateDer::pem_file_iter(file).ok()? {
        roots.add(certificate.ok()?).ok()?;
        added += 1;
    }
    (added > 0).then_some(())
}

/// Connections to CAs.
#[derive(Debug, Clone)]
pub struct Wire {
    roots: CaRoots,
    answer_max: Duration,
}

/// The requests of one try. Cloning shares what was heard.
#[derive(Clone)]
pub(super) struct Client {
    wire: Arc<dyn HttpClient>,
    heard: Arc<Mutex<Heard>>,
}

/// What answers said beside their content.
#[derive(Debug, Default, Clone, Copy)]
struct Heard {
    retry_after: Option<Duration>,
    clock_off_by: Option<Duration>,
    is_in_trouble: bool,
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("{0} is no https:// address")]
    Address(String),
    #[error("{host} does not resolve")]
    Resolve { host: String, source: std::io::Error },
    #[error("no connection to {host}")]
    Connect { host: String, source: std::io::Error },
    #[error("no TLS with {host}")]
    Tls { host: String, source: std::io::Error },
    #[error("HTTP with {host} broke off")]
    Http { host: String, source: hyper::Error },
    #[error("the answer of {host} broke off, or has more than {ANSWER_BYTES_MAX} bytes")]
    Body { host: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{host} did not answer within {} s", .after.as_secs())]
    Late { host: String, after: Duration },
}

impl ClientError {
    /// A certificate of the CA that is not valid yet, or no more, is a matter of the clock; everything else of the way to it.
    pub(super) fn kind(&self) -> FailureKind {
        let Self::Tls { source, .. } = self else { return FailureKind::CaAway };
        let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            )) => FailureKind::Clock,
            _ => FailureKind::CaAway,
        }
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let this = self.clone();
        Box::pin(async move {
            let answer = this.wire.request(request).await?;
            this.hear(&answer.parts);
            Ok(answer)
        })
    }
}

impl Client {
    pub(super) fn new(wire: Arc<dyn HttpClient>) -> Self {
        Self { wire, heard: Arc::default() }
    }

    /// The last `Retry-After`, once.
    pub(super) fn take_retry_after(&self) -> Option<Duration> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).retry_after.take()
    }

    /// How far this machine's clock is from the CA's, if that is too far.
    pub(super) fn clock_off_by(&self) -> Option<Duration> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clock_off_by
    }

    /// Whether the last answer was that of a server in trouble.
    pub(super) fn is_in_trouble(&self) -> bool {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).is_in_trouble
    }

    fn hear(&self, answer: &Parts) {
        let (now, headers) = (SystemTime::now(), &answer.headers);
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_in_trouble = answer.status.is_server_error();
        if let Some(wait) = text(headers.get(RETRY_AFTER)).and_then(|text| wait(text, now)) {
            heard.retry_after = Some(wait.min(RETRY_AFTER_MAX));
        }
        heard.clock_off_by = text(headers.get(DATE))
            .and_then(|text| httpdate::parse_http_date(text).ok())
            .map(|theirs| apart(theirs, now))
            .filter(|apart| *apart > CLOCK_OFF_MAX);
    }
}

impl HttpClient for Wire {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let this = self.clone();
        Box::pin(async move {
            let answer = this.answer(request).await;
            answer.map_err(|error| Error::Other(Box::new(error)))
        })
    }
}

impl Wire {
    /// Trusts `roots`, and waits for an answer no longer than `answer_max`.
    pub fn new(roots: CaRoots, answer_max: Duration) -> Self {
        Self { roots, answer_max }
    }

    async fn answer(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<BytesResponse, ClientError> {
        let host = authority(request.uri())?.to_string();
        let answering = tokio::time::timeout(self.answer_max, self.exchange(request));
        let late = ClientError::Late { host, after: self.answer_max };
        let (parts, body) = answering.await.map_err(|_| late)??.into_parts();
        Ok(BytesResponse { parts, body: Box::new(body) })
    }

    async fn exchange(
        &self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Bytes>, ClientError> {
        let authority = authority(request.uri())?.clone();
        address_by_origin(&mut request, &authority)?;
        let stream = self.connect(&authority).await?;
        let host = authority.to_string();
        let failed = |source| ClientError::Http { host: authority.to_string(), source };
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let answering = async move {
            // The sender ends with this, and the connection with the sender.
            let mut sender = sender;
            let response = sender.send_request(request).await.map_err(&failed)?;
            collect(response, &host).await
        };
        // What goes wrong on the connection goes wrong with the answer too.
        let (answer, _) = tokio::join!(answering, connection);
        answer
    }

    async fn connect(&self, authority: &Authority) -> Result<TlsStream<TcpStream>, ClientError> {
        let host = authority.to_string();
        let name = server_name(authority).map_err(|_| ClientError::Address(host.clone()))?;
        let port = authority.port_u16().unwrap_or(443);
        let plain = (authority.host().trim_matches(['[', ']']), port);
        let resolved: Vec<_> = tokio::net::lookup_host(plain)
            .await
            .map_err(|source| ClientError::Resolve { host: host.clone(), source })?
            .collect();
        let socket = TcpStream::connect(&*resolved)
            .await
            .map_err(|source| ClientError::Connect { host: host.clone(), source })?;
        TlsConnector::from(Arc::clone(&self.roots.0))
            .connect(name, socket)
            .await
            .map_err(|source| ClientError::Tls { host, source })
    }
}

/// The address of an `https:` request.
fn authority(uri: &Uri) -> Result<&Authority, ClientError> {
    let is_https = uri.scheme_str() == Some("https");
    uri.authority().filter(|_| is_https).ok_or_else(|| ClientError::Address(uri.to_string()))
}

/// HTTP/1.1 names the host in a header and only the path in the first line.
fn address_by_origin(
    request: &mut Request<BodyWrapper<Bytes>>,
    authority: &Authority,
) -> Result<(), ClientError> {
    let wrong = |_| ClientError::Address(authority.to_string());
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong(()))?;
    let path = request.uri().path_and_query().cloned();
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    request.headers_mut().insert(HOST, host);
    Ok(())
}

async fn collect(response: Response<Incoming>, host: &str) -> Result<Response<Bytes>, ClientError> {
    let (parts, body) = response.into_parts();
    let collected = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let failed = |source| ClientError::Body { host: host.to_owned(), source };
    Ok(Response::from_parts(parts, collected.map_err(failed)?.to_bytes()))
}

fn server_name(authority: &Authority) -> Result<ServerName<'static>, InvalidDnsNameError> {
    ServerName::try_from(authority.host().trim_matches(['[', ']']).to_owned())
}

fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value?.to_str().ok().map(str::trim)
}

/// Seconds, or a date (RFC 9110 §10.2.3).
fn wait(text: &str, now: SystemTime) -> Option<Duration> {
    let seconds = text.parse().ok().map(Duration::from_secs);
    let date = || httpdate::parse_http_date(text).ok()?.duration_since(now).ok();
    seconds.or_else(date)
}

fn apart(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|error| error.duration())
}

/// Beyond this a certificate of a day is at risk.
const CLOCK_OFF_MAX: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_retry_after_are_understood() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(wait("120", now), Some(Duration::from_secs(120)));
        let date = "Sun, 06 Nov 1994 08:50:37 GMT";
        assert_eq!(wait(date, now), Some(Duration::from_secs(60)));
        for nonsense in ["", "soon", "-1"] {
            assert_eq!(wait(nonsense, now), None, "{nonsense}");
        }
    }

    #[test]
    fn only_https_is_asked() {
        for address in ["http://ca.example/directory", "/directory", "ftp://ca.example/"] {
            assert!(authority(&address.parse().unwrap()).is_err(), "{address}");
        }
    }

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        assert!(CaRoots::load(Some(&file)).is_err());
        std::fs::write(&file, "no certificate").unwrap();
        let refused = CaRoots::load(Some(&file)).unwrap_err();
        assert!(refused.to_string().contains("ca.pem"), "{refused}");
    }
}
