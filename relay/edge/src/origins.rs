//! The door between the edge and what lies behind it: who serves a hostname, may this visitor see
//! it, and how is it reached. The relay answers from its tables and opens overlay flows; tests
//! answer with plain TCP.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use bore_driver::Ending;
use bore_policy::{AuthorityHost, Hostname, OriginHost};
use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderValue};
use http::{Method, Uri};
use tokio::io::{AsyncRead, AsyncWrite};
use uuid::Uuid;

use super::settings::Scheme;
use crate::tls::TlsMinimum;

/// What the edge needs from the rest of the relay.
pub trait Origins: Send + Sync + 'static {
    /// One connection to a service.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Where `request` goes, decided for its visitor. Called once for each request, with the same
    /// canonical values that the request is then routed and logged by.
    fn route(&self, request: &RouteRequest<'_>) -> Route;

    /// Who gets the TLS connections for `sni` as they come, decided for this visitor like
    /// [`Self::route`]. [`Route::Unknown`]: nobody, TLS ends here.
    fn passthrough(&self, sni: &Hostname, visitor: SocketAddr) -> Route;

    /// The oldest TLS that visitors of `host` may speak, if whoever publishes it has said so.
    fn tls_minimum(&self, host: &Hostname) -> Option<TlsMinimum>;

    /// Opens one connection to `origin` on behalf of `visitor`.
    fn open(
        &self,
        origin: OriginId,
        visitor: SocketAddr,
    ) -> impl Future<Output = Result<Self::Stream, Unopened>> + Send;

    /// Notes, for the publisher of `origin`, what visitors do not get of its answers, and why.
    fn note_lost_line(&self, origin: OriginId, text: String);

    /// How `stream` ends when it is dropped.
    fn ending(stream: &Self::Stream) -> Ending;

    /// The answer to a probe of `host`, when one with this token is expected: a future that gives
    /// the body, or `None` when the way to the agent is broken. `None` at once makes it an
    /// ordinary request. Asked before [`Self::route`], because a probe passes visit rules.
    fn probe(
        &self,
        host: &AuthorityHost,
        token: &str,
    ) -> Option<impl Future<Output = Option<String>> + Send>;

    /// The same of `sni`, whose TLS connections are passed through. Asked when [`Self::passthrough`] has found that somebody has
    /// the name, whether or not this visitor may come to it.
    fn passthrough_probe(
        &self,
        sni: &Hostname,
        token: &str,
    ) -> Option<impl Future<Output = Option<String>> + Send + 'static>;
}

/// What a decision about a request may look at. All of it is borrowed from the request: nothing is copied or parsed for a decision that does
/// not ask for it.
#[derive(Debug, Clone, Copy)]
pub struct RouteRequest<'r> {
    /// The host that is asked for.
    pub host: &'r AuthorityHost,
    /// The visitor's address; behind a trusted load balancer the one that the load balancer names.
    pub visitor: SocketAddr,
    /// What the visitor speaks to the edge.
    pub scheme: Scheme,
    /// The method.
    pub method: &'r Method,
    /// The target: path and query, over HTTP/2 with scheme and authority.
    pub uri: &'r Uri,
    /// By what the visitor may prove who it is.
    pub credentials: Credentials<'r>,
}

/// The fields of a request by which a visitor may prove who it is (RFC 9110 §11.6.2, RFC 6265 §5.4). `Debug` does not print them.
#[derive(Clone, Copy)]
pub struct Credentials<'r>(&'r HeaderMap);

impl<'r> Credentials<'r> {
    /// Those among `headers`.
    pub fn of(headers: &'r HeaderMap) -> Self {
        Self(headers)
    }

    /// The value of `Authorization`: a scheme and what belongs to it.
    pub fn authorization(self) -> Option<&'r HeaderValue> {
        self.0.get(AUTHORIZATION)
    }

    /// The values of `Cookie`: each has one cookie or several. Over HTTP/2 there may be many (RFC 9113 §8.2.3).
    pub fn cookies(self) -> impl Iterator<Item = &'r HeaderValue> {
        self.0.get_all(COOKIE).iter()
    }
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

/// Names what a request goes to; two requests with the same one may share an origin connection
/// when they come from the same visitor connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OriginId(pub Uuid);

/// How requests are put to an origin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpstreamConfig {
    /// In what.
    pub protocol: UpstreamProtocol,
    /// By which name it is called; `None`: as the visitor called it.
    pub host: Option<OriginHost>,
}

/// In what an origin is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpstreamProtocol {
    /// HTTP/1.1, but HTTP/2 for gRPC, which knows nothing else.
    #[default]
    Plain,
    /// HTTP/2 from the first byte on.
    H2c,
}

/// What is done with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// It goes to this origin, and is put to it so.
    To(OriginId, Arc<UpstreamConfig>),
    /// This visitor may not see it.
    Denied {
        /// What kind of rule said so; names stay inside.
        by: DenialKind,
    },
    /// It is published, and cannot be reached.
    Unavailable(Outage),
    /// Nobody publishes it.
    Unknown,
}

/// The kind of rule that refused a visitor: all that a stranger learns about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenialKind {
    /// A visit rule of a policy.
    Rule,
    /// The publication's own deny list.
    DenyList,
    /// The publication's own allow list, which this visitor is not on.
    AllowList,
    /// The administrator's default.
    Default,
}

/// Why no connection to an origin was opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    /// This visitor may not see it: the rules have changed since it was routed.
    #[error("the visitor is refused")]
    Denied {
        /// What kind of rule said so.
        by: DenialKind,
    },
    /// A bound on connections is met; which one is counted, and nobody's business.
    #[error("too many connections are open")]
    Full,
    /// It cannot be reached.
    #[error(transparent)]
    Away(#[from] Outage),
}

/// Why a published service cannot be reached, as far as it concerns visitors: causes name what lies inside, and are the owner's to see
/// (`bore ls`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Outage {
    /// No agent is there to carry it.
    #[error("the agent is offline")]
    Offline,
    /// The agent is there and cannot reach the service.
    #[error("the service is down")]
    Down,
}
