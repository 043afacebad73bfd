//! What has passed: one record for each request, and for each TLS connection that was passed through, given to the [`Observer`] when it ends.
//!
//! The fields are those of an access log, and mean what Envoy's mean: bytes are those of bodies, and of a connection that is no HTTP
//! (passed through, or upgraded) all of them. A head that is no request (`bore_edge_requests_malformed`) has no record.
//!
//! Invariant: whatever ends a request, its record is given once, because [`Access`] gives it when it is dropped.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bore_policy::{AuthorityHost, Hostname};
use http::header::HeaderValue;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Version};
use prometheus_client::encoding::EncodeLabelValue;
use tokio::time::Instant;

use super::origins::OriginId;
use super::request_body::Upload;

/// Is told of each request and each connection when it has ended.
pub trait Observer: Debug + Send + Sync + 'static {
    /// Called once with each record, by the task that served it, which waits for the return: this must not block.
    fn observe(&self, record: &AccessRecord);
}

/// One request, or one TLS connection that was passed through, from its beginning to its end.
#[derive(Debug, Clone)]
pub struct AccessRecord {
    /// The visitor's address; behind a trusted load balancer the one that the load balancer names.
    pub visitor: SocketAddr,
    /// The host that was asked for; `None` when the request names none.
    pub host: Option<AuthorityHost>,
    /// The service that it was routed to; `None` when the edge answered without one.
    pub origin: Option<OriginId>,
    /// The request; `None` for TLS that was passed through, of which nothing can be read.
    pub request: Option<RequestRecord>,
    /// What became of it.
    pub outcome: Outcome,
    /// From the complete head, or the ClientHello, to the end.
    pub duration: Duration,
    /// Bytes read from the visitor.
    pub received_bytes: u64,
    /// Bytes given to be sent to the visitor.
    pub sent_bytes: u64,
    /// How it ended.
    pub end: End,
}

/// What only a request has. Path and query may hold secrets.
#[derive(Debug, Clone)]
pub struct RequestRecord {
    /// The version of HTTP that the visitor speaks.
    pub version: Version,
    /// The method.
    pub method: Method,
    /// Path and query as the visitor wrote them; `None` when there is no path.
    pub path_and_query: Option<PathAndQuery>,
    /// `X-Request-Id` as the service got it.
    pub id: Option<HeaderValue>,
    /// The status of the answer, 101 for a connection that was upgraded; `None` when the visitor left before there was one.
    pub status: Option<StatusCode>,
}

/// How a request or a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The whole answer was given to be sent; a connection was closed in order by both sides.
    Complete,
    /// The visitor's side ended first: the visitor left, took its request back or was too slow, or the connection was cut at the end of
    /// draining.
    VisitorClosed,
    /// The service broke off.
    OriginClosed,
    /// One side of a connection had ended, and the other moved nothing for too long.
    TimedOut,
}

/// What became of a request. The values of an `outcome` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// The origin answered; of a connection, took it.
    Answered,
    /// A probe was answered.
    Probed,
    /// A certificate authority got its answer.
    Challenged,
    /// Sent from plain HTTP to HTTPS.
    Redirected,
    /// For a name that the connection's certificate does not speak for.
    Misdirected,
    /// The request itself was at fault.
    Invalid,
    /// No publication has the host.
    Unknown,
    /// The visitor may not see it.
    Denied,
    /// No agent.
    Offline,
    /// The agent or its service failed.
    Down,
    /// A bound on connections was met.
    Full,
    /// The visitor left before there was an answer.
    Abandoned,
}

impl Outcome {
    /// Every value.
    pub const ALL: [Self; 12] = [
        Self::Answered,
        Self::Probed,
        Self::Challenged,
        Self::Redirected,
        Self::Misdirected,
        Self::Invalid,
        Self::Unknown,
        Self::Denied,
        Self::Offline,
        Self::Down,
        Self::Full,
        Self::Abandoned,
    ];
}

/// One request or connection that goes on. Dropping it gives its record to the observer.
#[derive(Debug)]
pub(super) struct Access {
    observer: Arc<dyn Observer>,
    began: Instant,
    /// Without the duration and the bytes, which are known at the end.
    pub(super) record: AccessRecord,
    upload: Option<Upload>,
    transferred: Transferred,
}

/// Bytes that have passed in each direction.
#[derive(Debug, Default)]
pub(super) struct Transferred {
    /// From the visitor, apart from the body of the request.
    pub(super) received: AtomicU64,
    /// To the visitor.
    pub(super) sent: AtomicU64,
}

impl Transferred {
    pub(super) fn bytes(&self) -> u64 {
        self.received.load(Ordering::Relaxed) + self.sent.load(Ordering::Relaxed)
    }
}

impl Access {
    /// A request whose head has come, and whose body comes by `upload`.
    pub(super) fn of_request(
        observer: &Arc<dyn Observer>,
        visitor: SocketAddr,
        parts: &Parts,
        upload: Upload,
    ) -> Self {
        let request = RequestRecord {
            version: parts.version,
            method: parts.method.clone(),
            path_and_query: parts.uri.path_and_query().cloned(),
            id: None,
            status: None,
        };
        let mut this = Self::begin(observer, visitor);
        (this.record.request, this.upload) = (Some(request), Some(upload));
        this
    }

    /// A TLS connection for `name` that goes to `origin`.
    pub(super) fn of_connection(
        observer: &Arc<dyn Observer>,
        visitor: SocketAddr,
        name: Hostname,
        origin: OriginId,
    ) -> Self {
        let mut this = Self::begin(observer, visitor);
        (this.record.host, this.record.origin) = (Some(AuthorityHost::Name(name)), Some(origin));
        this
    }

    fn begin(observer: &Arc<dyn Observer>, visitor: SocketAddr) -> Self {
        let record = AccessRecord {
            visitor,
            host: None,
            origin: None,
            request: None,
            outcome: Outcome::Abandoned,
            duration: Duration::ZERO,
            received_bytes: 0,
            sent_bytes: 0,
            end: End::VisitorClosed,
        };
        let (began, transferred) = (Instant::now(), Transferred::default());
        Self { observer: Arc::clone(observer), began, record, upload: None, transferred }
    }

    /// The request goes to its service under this id.
    pub(super) fn identify(&mut self, id: Option<HeaderValue>) {
        if let Some(request) = &mut self.record.request {
            request.id = id;
        }
    }

    /// There is an answer to the request.
    pub(super) fn answer(&mut self, outcome: Outcome, status: StatusCode) {
        self.record.outcome = outcome;
        if let Some(request) = &mut self.record.request {
            request.status = Some(status);
        }
    }

    /// Returns true if the answer is a head alone.
    pub(super) fn is_head(&self) -> bool {
        self.record.request.as_ref().is_some_and(|request| request.method == Method::HEAD)
    }

    /// So many bytes of the answer are given to be sent.
    pub(super) fn send(&self, bytes: usize) {
        self.transferred.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// So many bytes have come from the visitor, apart from the body of a request.
    pub(super) fn receive(&self, bytes: usize) {
        self.transferred.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What passes both ways is counted here.
    pub(super) fn transferred(&self) -> &Transferred {
        &self.transferred
    }

    /// How it ends, unless something else comes first.
    pub(super) fn end(&mut self, end: End) {
        self.record.end = end;
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        let Transferred { received, sent } = &self.transferred;
        let uploaded = self.upload.as_ref().map_or(0, Upload::received_bytes);
        self.record.duration = self.began.elapsed();
        self.record.received_bytes = uploaded + received.load(Ordering::Relaxed);
        self.record.sent_bytes = sent.load(Ordering::Relaxed);
        self.observer.observe(&self.record);
    }
}
