//! Asks the relay's control, through the tunnel that is the agent's only credential.
//!
//! Every request is a flow of its own: nothing kept open can be stale after a change of network or relay.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bore_api::Problem;
use bore_driver::{Dial, Shard};
use bore_overlay::PeerId;
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answers::{bounded_problem, bounded_text};
use super::error::AgentError;
use super::json_client::{self, Answer};
use super::limits::{CONTROL_BODY_BYTES_MAX, CONTROL_TIMEOUT};

/// Where control is, and how to get there. Clones are cheap.
#[derive(Debug, Clone)]
pub(crate) struct ControlClient {
    shard: Shard,
    peer: PeerId,
    source: IpAddr,
    control: SocketAddr,
    round_trip_us: Arc<AtomicU64>,
}

impl ControlClient {
    /// Control at `control`, asked from `source` through the tunnel of `peer`.
    pub(crate) fn new(shard: Shard, peer: PeerId, source: IpAddr, control: SocketAddr) -> Self {
        Self { shard, peer, source, control, round_trip_us: Arc::default() }
    }

    /// Round trip to the relay through the tunnel, as the last request saw it.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        let microseconds = self.round_trip_us.load(Ordering::Relaxed);
        (microseconds > 0).then(|| Duration::from_micros(microseconds))
    }

    /// Longest IP packet of the tunnel that was shown to reach the relay.
    pub(crate) async fn path_mtu_bytes(&self) -> Option<usize> {
        let peer = self.peer;
        let status = self.shard.run(move |local| async move { local.status(peer) }).await;
        status.ok()??.path_mtu_bytes()
    }

    /// Sends `body` as JSON and reads a JSON answer.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, AgentError> {
        let bytes =
            serde_json::to_vec(body).map_err(|error| AgentError::Internal(error.to_string()))?;
        let answer = self.exchange(method, path, Some(bytes.into())).await?;
        decode(&answer)
    }

    /// Reads a JSON answer.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AgentError> {
        decode(&self.exchange(Method::GET, path, None).await?)
    }

    /// Sends a request whose answer is empty or of no interest.
    pub(crate) async fn order(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<(), AgentError> {
        let bytes = body.map(serde_json::to_vec).transpose();
        let bytes = bytes.map_err(|error| AgentError::Internal(error.to_string()))?;
        self.exchange(method, path, bytes.map(Bytes::from)).await.map(drop)
    }

    /// Opens an answer that goes on for ever.
    pub(crate) async fn stream(&self, path: &str) -> Result<Incoming, AgentError> {
        let opened = tokio::time::timeout(CONTROL_TIMEOUT, self.open(Method::GET, path, None));
        let response = opened.await.map_err(|_| too_slow())??;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let answer = collect(response).await?;
        Err(refusal(answer.status, &answer.body))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Bytes, AgentError> {
        let whole = async { success(collect(self.open(method, path, body).await?).await?) };
        tokio::time::timeout(CONTROL_TIMEOUT, whole).await.map_err(|_| too_slow())?
    }

    async fn open(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Response<Incoming>, AgentError> {
        let request = json_client::request(method, &host_of(self.control), path, body);
        let request = request.map_err(|error| AgentError::Internal(error.to_string()))?;
        json_client::open(self.dial().await?, request).await.map_err(unreachable)
    }

    async fn dial(&self) -> Result<bore_driver::OverlayStream, AgentError> {
        let dial = Dial {
            peer: self.peer,
            source: SocketAddr::new(self.source, 0),
            destination: self.control,
            timeout: CONTROL_TIMEOUT,
        };
        let begun = Instant::now();
        let stream = self.shard.connect(dial).await.map_err(unreachable)?;
        let microseconds = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.round_trip_us.store(microseconds.max(1), Ordering::Relaxed);
        Ok(stream)
    }
}

/// `HOST:PORT` without the port that HTTP implies.
fn host_of(control: SocketAddr) -> String {
    match (control.ip(), control.port()) {
        (IpAddr::V6(v6), 80) => format!("[{v6}]"),
        (IpAddr::V4(v4), 80) => v4.to_string(),
        _ => control.to_string(),
    }
}

async fn collect(response: Response<Incoming>) -> Result<Answer, AgentError> {
    json_client::collect(response, CONTROL_BODY_BYTES_MAX).await.map_err(unreachable)
}

/// The body of an answer that is no refusal.
pub(crate) fn success(answer: Answer) -> Result<Bytes, AgentError> {
    if answer.status.is_success() {
        Ok(answer.body)
    } else {
        Err(refusal(answer.status, &answer.body))
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, AgentError> {
    serde_json::from_slice(bytes).map_err(|error| {
        // It quotes the answer.
        AgentError::NotUnderstood { cause: bounded_text(error.to_string()) }
    })
}

/// What an error answer says, also when it is not a problem document.
pub(crate) fn refusal(status: StatusCode, body: &[u8]) -> AgentError {
    let mut problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    problem.status = status.as_u16();
    if problem.detail.is_empty() {
        problem.detail = format!("the answer was {status}");
    }
    AgentError::Refused(Box::new(bounded_problem(problem)))
}

fn unreachable(error: impl std::error::Error) -> AgentError {
    AgentError::ControlUnreachable { cause: error.to_string() }
}

fn too_slow() -> AgentError {
    let cause = format!("no answer within {} s", CONTROL_TIMEOUT.as_secs());
    AgentError::ControlUnreachable { cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_the_relays_code_and_next_step() {
        let body =
            br#"{"title":"taken","status":409,"detail":"port 7777/udp is held by \"valheim\"",
                        "code":"B2104","next":"try: --port 0"}"#;
        let error = refusal(StatusCode::CONFLICT, body);
        assert_eq!((error.code(), error.next_step().as_str()), ("B2104", "try: --port 0"));
    }

    #[test]
    fn an_answer_that_is_not_understood_is_quoted_in_a_bounded_text() {
        let unknown = format!("\"\x7f{}\"", "x".repeat(1 << 20));
        let error = decode::<bore_api::model::Protocol>(unknown.as_bytes()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("not understood") && text.len() < 2_000, "{} bytes", text.len());
        assert!(!text.contains('\x7f'));
    }

    #[test]
    fn an_answer_that_is_no_problem_document_is_told_by_its_status() {
        let error = refusal(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(error.to_string(), "the answer was 502 Bad Gateway");
    }
}
