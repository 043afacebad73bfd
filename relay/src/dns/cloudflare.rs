//! Cloudflare's API, version 4: find the zone, make a record, find it again, delete it.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::limits::{API_ANSWER_BYTES_MAX, API_TIMEOUT};
use super::lookups::Lookups;
use super::txt::{TxtError, TxtRecords};
use super::visible;
use crate::config::{Cloudflare as Settings, ConfigError};

/// A zone at Cloudflare.
#[derive(Debug)]
pub struct Cloudflare {
    settings: Settings,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    lookups: Lookups,
}

/// Every answer of the API has this form.
#[derive(Debug, Deserialize)]
struct Answer {
    success: bool,
    #[serde(default)]
    errors: Vec<Fault>,
    #[serde(default)]
    result: Value,
}

#[derive(Debug, Deserialize)]
struct Fault {
    code: i64,
    message: String,
}

impl Cloudflare {
    /// Trusts what the system trusts.
    ///
    /// # Errors
    /// When the system has no roots.
    pub fn new(settings: &Settings, lookups: Lookups) -> Result<Self, ConfigError> {
        let connector = HttpsConnectorBuilder::new().with_native_roots().map_err(|error| {
            let why = format!("the system has no trusted certificates: {error}");
            ConfigError::Value { key: "dns.provider", why }
        })?;
        let connector = connector.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { settings: settings.clone(), client, lookups })
    }

    /// The id of the zone, which may change with its owner, so it is asked for each time.
    async fn zone(&self) -> Result<String, String> {
        let path = format!("/zones?name={}", self.settings.zone);
        let found = self.call(Method::GET, &path, None).await?;
        first_id(&found).ok_or_else(|| {
            format!(
                "the token sees no zone {}: set dns.zone, or widen the token",
                self.settings.zone
            )
        })
    }

    async fn add(&self, name: &str, value: &str) -> Result<(), String> {
        let path = format!("/zones/{}/dns_records", self.zone().await?);
        let record =
            json!({ "type": "TXT", "name": name, "content": quoted(value), "ttl": TTL_SECONDS });
        match self.call(Method::POST, &path, Some(&record)).await {
            Err(fault) if !fault.contains(IDENTICAL) => Err(fault),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn remove(&self, name: &str, value: &str) -> Result<(), String> {
        let records = format!("/zones/{}/dns_records", self.zone().await?);
        let found =
            self.call(Method::GET, &format!("{records}?type=TXT&name={name}"), None).await?;
        let listed = found.as_array().map(Vec::as_slice).unwrap_or_default();
        let ours = listed.iter().filter(|record| {
            record
                .get("content")
                .and_then(Value::as_str)
                .is_some_and(|is| is.trim_matches('"') == value)
        });
        for id in ours.filter_map(|record| record.get("id")?.as_str()) {
            self.call(Method::DELETE, &format!("{records}/{id}"), None).await?;
        }
        Ok(())
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, String> {
        let called = format!("{method} {}{path}", self.settings.api);
        let failed = |cause: String| format!("{called}: {cause}");
        let bytes = body.map(ToString::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.settings.api))
            .header("authorization", format!("Bearer {}", self.settings.token.expose()))
            .header("content-type", "application/json")
            .header("user-agent", concat!("bore/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::from(bytes)))
            .map_err(|error| failed(error.to_string()))?;
        let answer = timeout(API_TIMEOUT, self.exchange(request)).await;
        let (status, body) = answer
            .map_err(|_| failed(format!("no answer after {} s", API_TIMEOUT.as_secs())))?
            .map_err(failed)?;
        judge(status, &body).map_err(failed)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(u16, Bytes), String> {
        let answer = self.client.request(request).await.map_err(|error| chain(&error))?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), API_ANSWER_BYTES_MAX).collect().await;
        Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
    }

    fn failed(name: &str, cause: String) -> TxtError {
        TxtError::Provider { provider: PROVIDER, name: name.to_owned(), cause }
    }
}

#[async_trait]
impl TxtRecords for Cloudflare {
    async fn publish(&self, name: &str, value: &str) -> Result<(), TxtError> {
        self.add(name, value).await.map_err(|cause| Self::failed(name, cause))?;
        visible::wait(&self.lookups, PROVIDER, name, value).await
    }

    async fn withdraw(&self, name: &str, value: &str) -> Result<(), TxtError> {
        self.remove(name, value).await.map_err(|cause| Self::failed(name, cause))
    }
}

fn judge(status: u16, body: &[u8]) -> Result<Value, String> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|_| format!("status {status}, and not an answer of Cloudflare's API"))?;
    if answer.success {
        return Ok(answer.result);
    }
    let faults: Vec<_> =
        answer.errors.iter().map(|fault| format!("{} ({})", fault.message, fault.code)).collect();
    Err(format!("status {status}: {}", faults.join(", ")))
}

fn first_id(found: &Value) -> Option<String> {
    Some(found.get(0)?.get("id")?.as_str()?.to_owned())
}

/// The API takes TXT content as in a zone file. What is published here has no quotes and no backslashes in it.
fn quoted(value: &str) -> String {
    format!("\"{value}\"")
}

/// hyper's own errors say nothing without their causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

const PROVIDER: &str = "Cloudflare";
/// The least that the API takes.
const TTL_SECONDS: u32 = 60;
/// "An identical record already exists": what was wanted is there.
const IDENTICAL: &str = "(81058)";
