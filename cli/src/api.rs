//! Client of the relay's REST API: plain HTTP, one connection a request, an API key as bearer.
//!
//! The relay's API listens on loopback; from elsewhere it is reached through a tunnel of one's own that ends on loopback too: nothing else is
//! called, so that no key travels in the clear. Every answer is bounded in size and time. The key appears in no message.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bore_agent::json_client::{self, Answer, JsonRequest};
use bore_api::wire::Page;
use bore_api::{ApiToken, Code, Problem, TokenError};
use bytes::Bytes;
use http::header::{AUTHORIZATION, DATE};
use http::{HeaderValue, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use crate::error::{CliError, CliResult};
use crate::secret::Secret;

/// Longest answer that is read, bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Where the API of a relay listens unless its configuration says otherwise.
const PORT_DEFAULT: u16 = 7400;
/// Most pages of one list that are fetched.
const PAGES_MAX: usize = 10_000;

/// Where the API is: on this machine, since it speaks plain HTTP.
#[derive(Debug, Clone)]
pub(crate) struct ApiAddress {
    authority: String,
    /// Looked up nowhere: no resolver can lead a key astray.
    addresses: Vec<SocketAddr>,
}

/// Where the API is, and who asks.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    address: ApiAddress,
    key: Option<Secret>,
    timeout: Duration,
}

impl Api {
    /// A client of the API at `address`, with a key that is one: whatever else a file holds is not sent.
    pub(crate) fn new(
        address: ApiAddress,
        key: Option<Secret>,
        timeout: Duration,
    ) -> CliResult<Self> {
        if let Some(key) = &key {
            let not_a_key = |error: TokenError| {
                CliError::new(Code::API_KEY_INVALID, "this is no API key").cause(error.to_string())
            };
            ApiToken::parse(key.expose()).map_err(not_a_key)?;
        }
        Ok(Self { address, key, timeout })
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
        let answer = self.bounded(self.request(Method::GET, "/v1/health", None)?).await?;
        let date = answer.headers.get(DATE).and_then(|date| date.to_str().ok());
        Ok(date.map(str::to_owned))
    }

    async fn send(&self, method: Method, path: &str, body: Option<Bytes>) -> CliResult<Bytes> {
        let answer = self.bounded(self.request(method, path, body)?).await?;
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        Err(refusal(&answer))
    }

    fn request(&self, method: Method, path: &str, body: Option<Bytes>) -> CliResult<JsonRequest> {
        let request = json_client::request(method, &self.address.authority, path, body);
        let mut request = request.map_err(|error| CliError::wrap(Code::INTERNAL, &error))?;
        if let Some(key) = &self.key {
            request.headers_mut().insert(AUTHORIZATION, bearer(key)?);
        }
        Ok(request)
    }

    async fn bounded(&self, request: JsonRequest) -> CliResult<Answer> {
        match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.unreachable(format!("no answer within {:?}", self.timeout))),
        }
    }

    async fn exchange(&self, request: JsonRequest) -> CliResult<Answer> {
        let stream = TcpStream::connect(self.address.addresses.as_slice()).await;
        let stream = stream.map_err(|error| self.unreachable(error.to_string()))?;
        let answer = json_client::exchange(stream, request, ANSWER_BYTES_MAX).await;
        answer.map_err(|error| self.unreachable(error.to_string()))
    }

    fn unreachable(&self, cause: String) -> CliError {
        let error = CliError::new(
            Code::RELAY_UNREACHABLE,
            format!("the relay's API at {} does not answer", self.address),
        );
        error.cause(cause).next("bore relay run there, or name it: --api-url http://127.0.0.1:PORT")
    }
}

/// One path segment, or one value of a query, percent-encoded (RFC 3986, unreserved characters stay).
pub(crate) fn encode(segment: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encoded =
        |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    segment.bytes().map(encoded).collect()
}

impl ApiAddress {
    /// Reads `http://HOST[:PORT]`, where the host is loopback; the port defaults to 7400.
    ///
    /// # Errors
    /// Another form, or another machine, to which plain HTTP would carry the key for all to read.
    pub(crate) fn parse(url: &str) -> CliResult<Self> {
        let wrong = |why: &str| {
            let error = CliError::usage(format!("`{url}` is not the URL of a relay's API: {why}"));
            Err(error
                .next("ssh -L 7400:127.0.0.1:7400 RELAY, then --api-url http://127.0.0.1:7400"))
        };
        let Some(rest) = url.strip_prefix("http://") else {
            return wrong("it starts with http://");
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let Ok(parsed) = authority.parse::<http::uri::Authority>() else {
            return wrong("what follows http:// is HOST:PORT, with no path");
        };
        if parsed.as_str().contains('@') {
            return wrong("it has no user part; give the key by --api-key-file");
        }
        let port = match authority.strip_prefix(parsed.host()).unwrap_or_default() {
            "" => Some(PORT_DEFAULT),
            rest => rest.strip_prefix(':').and_then(|port| port.parse().ok()),
        };
        let Some(port) = port else {
            return wrong("its port is no number up to 65535");
        };
        let addresses = loopback(parsed.host(), port);
        if addresses.is_empty() {
            return wrong("it speaks plain HTTP, and is on another machine");
        }
        Ok(Self { authority: format!("{}:{port}", parsed.host()), addresses })
    }

    /// Where the relay on this machine listens.
    pub(crate) fn of(listen: SocketAddr) -> Self {
        Self { authority: listen.to_string(), addresses: vec![listen] }
    }

    /// Returns true if both lead to one listener.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.addresses.iter().any(|address| other.addresses.contains(address))
    }
}

impl fmt::Display for ApiAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

/// The loopback addresses that `host` stands for; none if it stands for something else.
fn loopback(host: &str, port: u16) -> Vec<SocketAddr> {
    if host.eq_ignore_ascii_case("localhost") {
        let both: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return both.map(|ip| SocketAddr::new(ip, port)).to_vec();
    }
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let ip = host.parse::<IpAddr>().ok().filter(|ip| ip.to_canonical().is_loopback());
    ip.map(|ip| SocketAddr::new(ip, port)).into_iter().collect()
}

fn bearer(key: &Secret) -> CliResult<HeaderValue> {
    let header = HeaderValue::try_from(format!("Bearer {}", key.expose()));
    let mut header = header.map_err(|_| {
        CliError::new(Code::API_KEY_INVALID, "the API key has characters that no key has")
    })?;
    header.set_sensitive(true);
    Ok(header)
}

fn encode_body(body: &impl Serialize) -> CliResult<Bytes> {
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|error| CliError::wrap(Code::INTERNAL, &error))
}

/// An empty answer reads as `null`.
fn decode<T: DeserializeOwned>(body: &Bytes) -> CliResult<T> {
    let body: &[u8] = if body.is_empty() { b"null" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        let error = CliError::new(
            Code::VERSION_MISMATCH,
            "the relay's answer is not what this version expects",
        )
        .cause(error.to_string());
        error.next("compare bore version here and on the relay")
    })
}

fn refusal(answer: &Answer) -> CliError {
    let problem: Problem = serde_json::from_slice(&answer.body).unwrap_or_default();
    let mistakes = problem.errors.join("\n         ");
    let error = CliError::from_problem(answer.status.as_u16(), problem);
    if mistakes.is_empty() { error } else { error.cause(mistakes) }
}

#[cfg(test)]
mod tests;
