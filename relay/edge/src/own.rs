//! What the edge answers before it looks for an origin: certificate authorities, probes, the way to HTTPS.

use std::net::IpAddr;

use bore_api::visit::VISIT_PATH;
use bore_policy::AuthorityHost;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Response, StatusCode, Uri};
use tokio::time::timeout;

use super::access::Outcome;
use super::body::EdgeBody;
use super::door::Secured;
use super::limits::TOKEN_BYTES_MAX;
use super::origins::{Origins, Route};
use super::pages::Notice;
use super::service::{Answer, Visit, down};
use super::settings::Scheme;
use crate::tls::TlsMinimum;

impl<O: Origins> Visit<O> {
    /// An answer of the edge's own, where the request asks for one.
    pub(super) async fn own_answer(
        &self,
        host: &AuthorityHost,
        uri: &Uri,
    ) -> Result<Option<Answer>, Notice> {
        if let Some(response) = self.challenged(host, uri.path()) {
            return Ok(Some((Outcome::Challenged, response)));
        }
        if self.secured.as_ref().is_some_and(|secured| !self.serves(secured, host)) {
            return Err(Notice::Misdirected);
        }
        if let Some(response) = self.probed(host, uri.path()).await? {
            return Ok(Some((Outcome::Probed, response)));
        }
        Ok(self.sent_to_https(host, uri).map(|response| (Outcome::Redirected, response)))
    }

    /// What was decided in the handshake for one name has to do for another as well (RFC 9110 §7.4).
    fn serves(&self, secured: &Secured, host: &AuthorityHost) -> bool {
        let is_new = secured.version == TlsMinimum::Tls13;
        let suffices = || {
            let minimum = match host {
                AuthorityHost::Name(name) => self.origins.tls_minimum(name),
                AuthorityHost::Address(_) => None,
            };
            self.tls.configs.suffices(secured.version, minimum)
        };
        secured.covers(host) && (is_new || suffices())
    }

    /// Why nothing is served for `host`. Browsers send requests for every name of a certificate through one connection (RFC 9113 §9.1.1),
    /// and one whose TLS is passed through needs a connection of its own.
    pub(super) fn nobody(&self, host: &AuthorityHost) -> Notice {
        let is_passed_through = match host {
            AuthorityHost::Name(name) if self.secured.is_some() => {
                self.origins.passthrough(name, self.visitor) != Route::Unknown
            }
            AuthorityHost::Name(_) | AuthorityHost::Address(_) => false,
        };
        if is_passed_through { Notice::Misdirected } else { Notice::Unknown }
    }

    /// A certificate authority looks whether the name leads here (RFC 8555 §8.3).
    fn challenged(&self, host: &AuthorityHost, path: &str) -> Option<Response<EdgeBody>> {
        let token = path.strip_prefix(CHALLENGE_PATH).filter(|token| is_token(token))?;
        let authorization = self.tls.challenges.http01(&plain(host), token)?;
        Some(self.text(authorization))
    }

    async fn probed(
        &self,
        host: &AuthorityHost,
        path: &str,
    ) -> Result<Option<Response<EdgeBody>>, Notice> {
        let Some(token) = path.strip_prefix(VISIT_PATH).filter(|token| is_token(token)) else {
            return Ok(None);
        };
        let Some(answer) = self.origins.probe(host, token) else { return Ok(None) };
        let body = timeout(self.settings.open_max, answer).await.ok().flatten();
        let body = body.ok_or_else(|| down("The agent did not answer the probe."))?;
        Ok(Some(self.text(body)))
    }

    /// Plain HTTP for a name that has a certificate. 308 keeps method and body (RFC 9110 §15.4.9).
    fn sent_to_https(&self, host: &AuthorityHost, uri: &Uri) -> Option<Response<EdgeBody>> {
        let port = self.settings.https_port.filter(|_| self.settings.scheme == Scheme::Http)?;
        self.tls.certificates.entry_of(&plain(host))?;
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path } else { "/" };
        let host = match host {
            AuthorityHost::Address(IpAddr::V6(v6)) => format!("[{v6}]"),
            AuthorityHost::Address(IpAddr::V4(_)) | AuthorityHost::Name(_) => plain(host),
        };
        let location = HeaderValue::from_str(&format!("https://{host}{port}{path}")).ok()?;
        let mut response = self.text(String::new());
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        response.headers_mut().insert(LOCATION, location);
        Some(response)
    }

    fn text(&self, text: String) -> Response<EdgeBody> {
        let mut response = Response::new(EdgeBody::own(Bytes::from(text), self.rendezvous.clone()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Without brackets, as certificates and orders name it.
fn plain(host: &AuthorityHost) -> String {
    match host {
        AuthorityHost::Name(name) => name.to_string(),
        AuthorityHost::Address(address) => address.to_string(),
    }
}

fn is_token(text: &str) -> bool {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.len() <= TOKEN_BYTES_MAX && text.bytes().all(is_token_byte)
}

const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";
