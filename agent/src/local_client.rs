//! How a command speaks to the agent that runs: the other end of [`super::local_api`].

use std::path::{Path, PathBuf};

use bore_api::wire::{Page, PublicationView};
use bytes::Bytes;
use http::{Method, Response};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::control_client::{refusal, success};
use super::error::AgentError;
use super::json_client::{self, Answer};
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
        self.json(Method::GET, "/v1/status", None).await
    }

    /// What is declared on the agent and acknowledged by the relay.
    pub async fn publications(&self) -> Result<Vec<PublicationView>, AgentError> {
        let list: Page<PublicationView> = self.json(Method::GET, "/v1/publications", None).await?;
        Ok(list.items)
    }

    /// Publishes, and answers when the relay has acknowledged. A session publication must be held soon.
    pub async fn declare(&self, declaration: &Declaration) -> Result<PublicationView, AgentError> {
        let body = serde_json::to_vec(declaration);
        let body = body.map_err(|error| AgentError::Internal(error.to_string()))?;
        self.json(Method::POST, "/v1/publications", Some(body.into())).await
    }

    /// Takes a publication back.
    pub async fn withdraw(&self, name: &str) -> Result<(), AgentError> {
        self.exchange(Method::DELETE, &format!("/v1/publications/{name}"), None).await.map(drop)
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
        let opened = self.open(Method::GET, path, None);
        let silent =
            |_| AgentError::AgentSilent { socket: self.socket.clone(), waited: LOCAL_LOOK_TIMEOUT };
        let response = tokio::time::timeout(LOCAL_LOOK_TIMEOUT, opened).await.map_err(silent)??;
        if response.status().is_success() {
            return Ok(Lines::new(response.into_body()));
        }
        let answer = collect(response).await?;
        Err(refusal(answer.status, &answer.body))
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<T, AgentError> {
        let bytes = self.exchange(method, path, body).await?;
        serde_json::from_slice(&bytes).map_err(|error| AgentError::Internal(error.to_string()))
    }

    /// An agent that was stopped (SIGSTOP), or whose machine is out of breath, takes connections and answers nothing.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Bytes, AgentError> {
        let limit = if method == Method::GET { LOCAL_LOOK_TIMEOUT } else { LOCAL_CHANGE_TIMEOUT };
        let whole = async { success(collect(self.open(method, path, body).await?).await?) };
        let silent = |_| AgentError::AgentSilent { socket: self.socket.clone(), waited: limit };
        tokio::time::timeout(limit, whole).await.map_err(silent)?
    }

    async fn open(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Response<Incoming>, AgentError> {
        let request = json_client::request(method, HOST, path, body).map_err(broken)?;
        json_client::open(self.dial().await?, request).await.map_err(broken)
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

async fn collect(response: Response<Incoming>) -> Result<Answer, AgentError> {
    let answer = json_client::collect(response, CONTROL_BODY_BYTES_MAX).await;
    answer.map_err(|error| AgentError::Internal(error.to_string()))
}

fn broken(error: impl std::fmt::Display) -> AgentError {
    AgentError::Internal(format!("the agent's answer broke off: {error}"))
}
