//! Client of the relay's REST API: plain HTTP, one connection a request, an API key as bearer.
//!
//! The relay's API listens on loopback; from elsewhere it is reached through a tunnel or a proxy of one's own. Every answer is
//! bounded in size and time. The key appears in no message.

use std::time::Duration;

use bore_control::wire::Page;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use crate::agent::Problem;
use crate::error::{CliError, CliResult};
use crate::secret::Secret;

/// Longest answer that is read, bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Most pages of one list that are fetched.
const PAGES_MAX: usize = 10_000;

/// Where the API is, and who asks.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    authority: String,
    key: Option<Secret>,
    timeout: Duration,
}

/// Every mistake, where there is more than one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Mistakes {
    errors: Vec<String>,
}

impl Api {
    /// A client of `url`, `http://HOST:PORT`.
    pub(crate) fn new(url: &str, key: Option<Secret>, timeout: Duration) -> CliResult<Self> {
        let authority = parse_url(url)?;
        Ok(Self { authority, key, timeout })
    }

    /// Reads one thing.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> CliResult<T> {
        decode(&self.send(Method::GET, path, None).await?)
    }

    /// Reads a whole list, page by page.
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &str) -> CliResult<Vec<T>> {
        let mut items = Vec::new();
        let mut from = path.to_owned();
        for _ in 0..PAGES_MAX {
            let page: Page<T> = self.get(&from).await?;
            items.extend(page.items);
            let Some(cursor) = page.next else { break };
            let joint = if path.contains('?') { '&' } else { '?' };
            from = format!("{path}{joint}after={}", encode(&cursor));
        }
        Ok(items)
    }

    /// Makes something, or asks something that takes a body.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> CliResult<T> {
        decode(&self.send(Method::POST, path, Some(encode_body(body)?)).await?)
    }

    /// Asks for something to be done that answers nothing.
    pub(crate) async fn command(&self, path: &str) -> CliResult {
        self.send(Method::POST, path, None).await.map(drop)
    }

    /// Replaces something.
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> CliResult<T> {
        decode(&self.send(Method::PUT, path, Some(encode_body(body)?)).await?)
    }

    /// Changes part of something.
    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> CliResult<T> {
        decode(&self.send(Method::PATCH, path, Some(encode_body(body)?)).await?)
    }

    /// Removes something.
    pub(crate) async fn delete(&self, path: &str) -> CliResult {
        self.send(Method::DELETE, path, None).await.map(drop)
    }

    /// When the relay says it is, from the `Date` of its health answer.
    pub(crate) async fn date(&self) -> CliResult<Option<String>> {
        let response = self.bounded(self.request(Method::GET, "/v1/health", None)?).await?;
        Ok(response.date)
    }

    async fn send(&self, method: Method, path: &str, body: Option<Bytes>) -> CliResult<Bytes> {
        let answer = self.bounded(self.request(method, path, body)?).await?;
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        Err(refusal(answer.status, &answer.body))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> CliResult<Request<Full<Bytes>>> {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(HOST, &self.authority).header(ACCEPT, "application/json");
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, bearer(key)?);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body.unwrap_or_default()));
        request.map_err(|error| CliError::wrap("B1000", &error))
    }

    async fn bounded(&self, request: Request<Full<Bytes>>) -> CliResult<Answer> {
        match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.unreachable(format!("no answer within {:?}", self.timeout))),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> CliResult<Answer> {
        let failed = |cause: &dyn std::error::Error| self.unreachable(cause.to_string());
        let stream = TcpStream::connect(&self.authority).await.map_err(|error| failed(&error))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| failed(&error))?;
        let connection = tokio::spawn(connection);
        let answer =
            read(sender.send_request(request).await.map_err(|error| failed(&error))?).await;
        connection.abort();
        answer.map_err(|cause| self.unreachable(cause))
    }

    fn unreachable(&self, cause: String) -> CliError {
        let error = CliError::new(
            "B5101",
            format!("the relay's API at http://{} does not answer", self.authority),
        );
        error.cause(cause).next("bore relay run there, or name it: --api-url http://HOST:PORT")
    }
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    date: Option<String>,
    body: Bytes,
}

async fn read(response: hyper::Response<hyper::body::Incoming>) -> Result<Answer, String> {
    let (head, body) = response.into_parts();
    let date = head.headers.get(http::header::DATE);
    let date = date.and_then(|date| date.to_str().ok()).map(str::to_owned);
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    Ok(Answer { status: head.status, date, body })
}

/// One path segment, or one value of a query, percent-encoded (RFC 3986, unreserved characters stay).
pub(crate) fn encode(segment: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encoded =
        |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    segment.bytes().map(encoded).collect()
}

/// `HOST:PORT` out of `http://HOST[:PORT]`; the port defaults to 7400.
fn parse_url(url: &str) -> CliResult<String> {
    let wrong =
        |why: &str| Err(CliError::usage(format!("`{url}` is not the URL of a relay's API: {why}")));
    let Some(rest) = url.strip_prefix("http://") else {
        return wrong(
            "it starts with http:// (put a proxy or an ssh tunnel in front for encryption)",
        );
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    match authority.parse::<http::uri::Authority>() {
        Ok(parsed) if parsed.as_str().contains('@') => {
            wrong("it has no user part; give the key by --api-key-file")
        }
        Ok(parsed) if parsed.port().is_some() => Ok(authority.to_owned()),
        Ok(_) => Ok(format!("{authority}:7400")),
        Err(_) => wrong("what follows http:// is HOST:PORT, with no path"),
    }
}

fn bearer(key: &Secret) -> CliResult<HeaderValue> {
    let header = HeaderValue::try_from(format!("Bearer {}", key.expose()));
    let mut header =
        header.map_err(|_| CliError::new("B3202", "the API key has characters that no key has"))?;
    header.set_sensitive(true);
    Ok(header)
}

fn encode_body(body: &impl Serialize) -> CliResult<Bytes> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|error| CliError::wrap("B1000", &error))
}

/// An empty answer reads as `null`.
fn decode<T: DeserializeOwned>(body: &Bytes) -> CliResult<T> {
    let body: &[u8] = if body.is_empty() { b"null" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        let error = CliError::new("B5103", "the relay's answer is not what this version expects")
            .cause(error.to_string());
        error.next("compare bore version here and on the relay")
    })
}

fn refusal(status: StatusCode, body: &Bytes) -> CliError {
    let problem = serde_json::from_slice(body).unwrap_or_else(|_| Problem {
        title: String::new(),
        status: status.as_u16(),
        detail: String::new(),
        code: String::new(),
        next: String::new(),
    });
    let error = CliError::from_problem(status.as_u16(), problem);
    match serde_json::from_slice::<Mistakes>(body).unwrap_or_default().errors {
        mistakes if mistakes.is_empty() => error,
        mistakes => error.cause(mistakes.join("\n         ")),
    }
}

#[cfg(test)]
mod tests;
