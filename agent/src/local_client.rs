//! How a command speaks to the agent that runs: the other end of [`super::local_api`].

use std::path::{Path, PathBuf};

use bore_api::wire::{Page, PublicationView};
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::control_client::refusal;
use super::error::AgentError;
use super::limits::{CONTROL_BODY_BYTES_MAX, LOCAL_CHANGE_TIMEOUT, LOCAL_LOOK_TIMEOUT};
use super::local_api::HOST;
use super::ndjson::Lines;
use super::{Declaration, StateChange, Status};

/// The agent of a state folder.
#[derive(Debug, Clone)]
pub struct LocalClient {
    socket: PathBuf,
}

/// Changes as they happen. Dropping it lets go of what it holds.
#[derive(Debug)]
pub struct Changes(Lines);

impl LocalClient {
    /// The agent that runs on `socket`.
    ///
    /// # Errors
    /// No agent runs there (`B1009`).
    pub async fn connect(socket: &Path) -> Result<Self, AgentError> {
        let client = Self { socket: socket.to_owned() };
        client.dial().await?;
        Ok(client)
    }

    /// How the agent is.
    pub async fn status(&self) -> Result<Status, AgentError> {
        self.json(Method::GET, "/v1/status", Bytes::new()).await
    }

    /// What is declared on the agent and acknowledged by the relay.
    pub async fn publications(&self) -> Result<Vec<PublicationView>, AgentError> {
        let list: Page<PublicationView> =
            self.json(Method::GET, "/v1/publications", Bytes::new()).await?;
        Ok(list.items)
    }

    /// Publishes, and answers when the relay has acknowledged. A session publication must be held soon.
    pub async fn declare(&self, declaration: &Declaration) -> Result<PublicationView, AgentError> {
        let body = serde_json::to_vec(declaration);
        let body = body.map_err(|error| AgentError::Internal(error.to_string()))?;
        self.json(Method::POST, "/v1/publications", body.into()).await
    }

    /// Takes a publication back.
    pub async fn withdraw(&self, name: &str) -> Result<(), AgentError> {
        self.exchange(Method::DELETE, &format!("/v1/publications/{name}"), Bytes::new())
            .await
            .map(drop)
    }

    /// Follows a publication. A session publication goes when its last follower is dropped, also because its process was killed.
    pub async fn hold(&self, name: &str) -> Result<Changes, AgentError> {
        self.lines(&format!("/v1/publications/{name}/hold")).await.map(Changes)
    }

    /// Follows everything.
    pub async fn watch(&self) -> Result<Changes, AgentError> {
        self.lines("/v1/watch").await.map(Changes)
    }

    async fn lines(&self, path: &str) -> Result<Lines, AgentError> {
        let opened = self.open(Method::GET, path, Bytes::new());
        let silent =
            |_| AgentError::AgentSilent { socket: self.socket.clone(), waited: LOCAL_LOOK_TIMEOUT };
        let response = tokio::time::timeout(LOCAL_LOOK_TIMEOUT, opened).await.map_err(silent)??;
        let status = response.status();
        if status.is_success() {
            return Ok(Lines::new(response.into_body()));
        }
        Err(refusal(status, &collect(response.into_body()).await?))
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, AgentError> {
        let bytes = self.exchange(method, path, body).await?;
        serde_json::from_slice(&bytes).map_err(|error| AgentError::Internal(error.to_string()))
    }

    /// An agent that was stopped (SIGSTOP), or whose machine is out of breath, takes connections and answers nothing.
    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, AgentError> {
        let limit = if method == Method::GET { LOCAL_LOOK_TIMEOUT } else { LOCAL_CHANGE_TIMEOUT };
        let whole = async {
            let response = self.open(method, path, body).await?;
            let status = response.status();
            let bytes = collect(response.into_body()).await?;
            if status.is_success() { Ok(bytes) } else { Err(refusal(status, &bytes)) }
        };
        let silent = |_| AgentError::AgentSilent { socket: self.socket.clone(), waited: limit };
        tokio::time::timeout(limit, whole).await.map_err(silent)?
    }

    async fn open(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, AgentError> {
        let stream = TokioIo::new(self.dial().await?);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(stream).await.map_err(broken)?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, HOST)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(broken)?;
        sender.send_request(request).await.map_err(broken)
    }

    async fn dial(&self) -> Result<UnixStream, AgentError> {
        let dialled = UnixStream::connect(&self.socket).await;
        dialled.map_err(|source| AgentError::NoAgent { socket: self.socket.clone(), source })
    }
}

impl Changes {
    /// The next change; `None` when the agent has ended. Cancel-safe.
    ///
    /// # Errors
    /// The agent went away without a word.
    pub async fn next(&mut self) -> Result<Option<StateChange>, AgentError> {
        self.0.next().await.map_err(broken)
    }
}

async fn collect(body: Incoming) -> Result<Bytes, AgentError> {
    let collected = Limited::new(body, CONTROL_BODY_BYTES_MAX).collect().await;
    collected
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| AgentError::Internal(error.to_string()))
}

fn broken(error: impl std::fmt::Display) -> AgentError {
    AgentError::Internal(format!("the agent's answer broke off: {error}"))
}
