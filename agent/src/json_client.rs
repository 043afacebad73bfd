//! One request in JSON and its answer, on an HTTP/1.1 connection of its own: to the relay's control, to an agent's socket, to the relay's API.
//!
//! Callers open the stream, bound the time, and say what a failure means to them.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// A request with its body in memory.
pub type JsonRequest = Request<Full<Bytes>>;

/// An answer of any status.
#[derive(Debug)]
pub struct Answer {
    /// Of the answer, and not looked at here.
    pub status: StatusCode,
    /// All fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The path or host cannot be written as HTTP.
    #[error(transparent)]
    Request(#[from] http::Error),
    /// The other side does not speak HTTP, or went away.
    #[error(transparent)]
    Connection(#[from] hyper::Error),
    /// The answer broke off, or is longer than allowed.
    #[error("{0}")]
    Body(String),
}

/// Makes a request to `host`.
///
/// # Errors
/// `host` or `path` cannot be written as HTTP.
pub fn request(
    method: Method,
    host: &str,
    path: &str,
    body: Option<Bytes>,
) -> Result<JsonRequest, ExchangeError> {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, host);
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    Ok(request
        .header(header::ACCEPT, "application/json")
        .body(Full::new(body.unwrap_or_default()))?)
}

/// Sends a request and returns the answer's head with a body that is still coming.
///
/// # Errors
/// The connection failed.
pub async fn open<S>(stream: S, request: JsonRequest) -> Result<Response<Incoming>, ExchangeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer, or when nobody reads it.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::trace!(%error, "connection ended");
        }
    });
    Ok(sender.send_request(request).await?)
}

/// Reads the rest of an answer, at most `body_bytes_max`.
///
/// # Errors
/// It broke off, or is longer.
pub async fn collect(
    response: Response<Incoming>,
    body_bytes_max: usize,
) -> Result<Answer, ExchangeError> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, body_bytes_max).collect().await;
    let body = body.map_err(|error| ExchangeError::Body(error.to_string()))?.to_bytes();
    Ok(Answer { status: head.status, headers: head.headers, body })
}

/// Sends a request and reads the whole answer, at most `body_bytes_max`.
///
/// # Errors
/// See [`open`] and [`collect`].
pub async fn exchange<S>(
    stream: S,
    request: JsonRequest,
    body_bytes_max: usize,
) -> Result<Answer, ExchangeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    collect(open(stream, request).await?, body_bytes_max).await
}
