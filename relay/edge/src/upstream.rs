//! One connection to an origin, kept for one visitor connection and never shared with another.
//!
//! Dropping an [`Upstream`] closes the origin connection at once, whatever is under way on it: this
//! is how a visitor that goes away is felt by the origin.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bore_driver::Ending;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::limits::{
    H2_HEADERS_BYTES_MAX, H2_ORIGIN_CONNECTION_WINDOW_BYTES, H2_ORIGIN_STREAM_WINDOW_BYTES,
    H2_SEND_BUFFER_BYTES, HEAD_BYTES_MAX, KEEP_ALIVE_MARGIN, KEPT_MAX, ORIGIN_HEADERS_MAX,
    UNANNOUNCED_IDLE_MAX,
};
use super::origin_stream::{Exchanged, OddLines, OriginStream};
use super::origins::OriginId;
use super::request_body::RequestBody;
use bore_driver::Tasks;

/// See the module.
#[derive(Debug)]
pub(super) struct Upstream {
    origin: OriginId,
    sender: Sender,
    exchanged: Exchanged,
    idleness: Idleness,
    ending: Ending,
    _driver: Tasks,
}

/// How long a connection has been idle, and may be.
#[derive(Debug, Clone, Copy)]
struct Idleness {
    since: Instant,
    /// Until the origin closes, by its own word.
    max: Option<Duration>,
}

impl Idleness {
    /// Whether the origin still takes a request now. One that it does not take is lost if it may not be repeated.
    fn bears(self, is_repeatable: bool, now: Instant) -> bool {
        let idle = now.saturating_duration_since(self.since);
        match self.max {
            Some(max) => idle + KEEP_ALIVE_MARGIN < max,
            None => is_repeatable || idle < UNANNOUNCED_IDLE_MAX,
        }
    }
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    /// One request at a time runs on it as well: a visitor's request and its connection end together, and an answer that waits for its
    /// visitor closes no window to another.
    Http2(http2::SendRequest<RequestBody>),
}

impl Sender {
    fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    async fn ready(&mut self) -> Result<(), hyper::Error> {
        match self {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        }
    }

    async fn try_send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(sender) => sender.try_send_request(request).await,
        }
    }
}

/// Why a request got no response.
#[derive(Debug)]
pub(super) struct SendFailure {
    /// The request, when not a byte of it was sent.
    pub(super) unsent: Option<Request<RequestBody>>,
    /// True when the origin had not sent a byte since the request began.
    pub(super) silent: bool,
    pub(super) cause: hyper::Error,
}

impl Upstream {
    /// Speaks HTTP/2 on `stream`, or HTTP/1.1.
    pub(super) async fn start<S>(
        origin: OriginId,
        (stream, ending): (S, Ending),
        is_http2: bool,
        odd: &OddLines,
    ) -> Result<Self, hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let exchanged = Exchanged::default();
        let stream = OriginStream::new(stream, origin, exchanged.clone(), odd.clone());
        let (sender, driver) =
            if is_http2 { speak_http2(stream).await? } else { speak_http1(stream).await? };
        let idleness = Idleness { since: Instant::now(), max: None };
        Ok(Self { origin, sender, exchanged, idleness, ending, _driver: driver })
    }

    /// The origin closes this connection when it has been idle for so long.
    pub(super) fn announce(&mut self, idle_max: Duration) {
        self.idleness.max = Some(idle_max);
    }

    /// How the connection ends.
    pub(super) fn ending(&self) -> Ending {
        self.ending.clone()
    }

    /// Sends one request and waits for the head of its response.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SendFailure> {
        if let Err(cause) = self.sender.ready().await {
            return Err(SendFailure { unsent: Some(request), silent: true, cause });
        }
        let before = self.exchanged.received();
        if !self.sender.is_http2() {
            self.exchanged.ask();
        }
        self.sender.try_send(request).await.map_err(|mut failure| SendFailure {
            unsent: failure.take_message(),
            silent: self.exchanged.received() == before,
            cause: failure.into_error(),
        })
    }
}

async fn speak_http1<S>(stream: S) -> Result<(Sender, Tasks), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::Builder::new()
        // Lines that decide where an answer ends are beyond the limit.
        .max_headers(ORIGIN_HEADERS_MAX + FRAMING_LINES)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .preserve_header_case(true)
        .handshake(TokioIo::new(stream))
        .await?;
    let driver = Tasks::default();
    drive(&driver, connection.with_upgrades());
    Ok((Sender::Http1(sender), driver))
}

async fn speak_http2<S>(stream: S) -> Result<(Sender, Tasks), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let driver = Tasks::default();
    let (sender, connection) = http2::Builder::new(driver.handle())
        .max_header_list_size(H2_HEADERS_BYTES_MAX)
        .initial_stream_window_size(H2_ORIGIN_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_ORIGIN_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(H2_SEND_BUFFER_BYTES)
        .handshake(TokioIo::new(stream))
        .await?;
    drive(&driver, connection);
    Ok((Sender::Http2(sender), driver))
}

/// The place where a visitor connection keeps its origin connections between requests: one, or over HTTP/2 as many as ran at once. Browsers ask
/// for several hosts of one certificate on one HTTP/2 connection (RFC 9113 §9.1.1), so those may lead to several origins.
#[derive(Debug)]
pub(super) struct Kept {
    upstreams: Mutex<Vec<Upstream>>,
    max: usize,
}

impl Kept {
    /// Of a visitor that speaks HTTP/2, or HTTP/1.1.
    pub(super) fn by(is_http2: bool) -> Self {
        Self { upstreams: Mutex::default(), max: if is_http2 { KEPT_MAX } else { 1 } }
    }

    /// A kept connection that leads to `origin`, the one that was used last; none that might close under the request.
    pub(super) fn take(
        &self,
        (origin, is_http2): (OriginId, bool),
        is_repeatable: bool,
    ) -> Option<Upstream> {
        let now = Instant::now();
        let mut kept = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| !kept.sender.is_closed() && kept.idleness.bears(true, now));
        let fits = |kept: &Upstream| {
            kept.origin == origin
                && kept.sender.is_http2() == is_http2
                && kept.idleness.bears(is_repeatable, now)
        };
        let fit = kept.iter().rposition(fits)?;
        Some(kept.remove(fit))
    }

    /// Keeps a connection on which nothing runs; the one that has waited longest makes room.
    pub(super) fn put(&self, mut upstream: Upstream) {
        upstream.idleness.since = Instant::now();
        let mut kept = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= self.max {
            kept.remove(0);
        }
        kept.push(upstream);
    }
}

/// Moves the bytes of one origin connection, until `driver` is dropped.
fn drive(
    driver: &Tasks,
    connection: impl Future<Output = Result<(), hyper::Error>> + Send + 'static,
) {
    driver.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "origin connection failed");
        }
    });
}

/// A length and an encoding.
const FRAMING_LINES: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_may_not_be_repeated_goes_on_no_connection_that_might_close() {
        let bears = |max: Option<u64>, idle_ms: u64, is_repeatable: bool| {
            let since = Instant::now();
            let idleness = Idleness { since, max: max.map(Duration::from_secs) };
            idleness.bears(is_repeatable, since + Duration::from_millis(idle_ms))
        };
        assert!(bears(None, 999, false) && !bears(None, 1_000, false));
        assert!(bears(None, 60_000, true), "it is sent again if need be");
        for is_repeatable in [true, false] {
            assert!(bears(Some(5), 3_999, is_repeatable) && !bears(Some(5), 4_000, is_repeatable));
            assert!(!bears(Some(1), 0, is_repeatable) && !bears(Some(0), 0, is_repeatable));
        }
    }
}
