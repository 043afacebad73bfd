//! What each route of the local API does.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bore_api::model::Lifetime;
use bore_api::wire::{Page, PublicationView};
use bore_api::{Code, Problem};
use http::{StatusCode, header};
use serde::de::DeserializeOwned;

use super::stream::{Hold, changes};
use crate::limits::HOLD_GRACE;
use crate::publishing::to_the_end;
use crate::registry::Entry;
use crate::{Agent, AgentError, Declaration, Status, in_full};

pub(super) async fn status(State(agent): State<Agent>) -> Json<Status> {
    let path_mtu_bytes = agent.path_mtu_bytes().await;
    Json(Status { path_mtu_bytes, ..agent.status() })
}

pub(super) async fn list(State(agent): State<Agent>) -> Json<Page<PublicationView>> {
    Json(Page { items: agent.publications(), next: None })
}

/// Declares, and answers when the relay has acknowledged. A session publication must be held soon, or it goes again.
pub(super) async fn declare(
    State(agent): State<Agent>,
    body: Bytes,
) -> Result<Json<PublicationView>, Refusal> {
    let declaration: Declaration = read(&body)?;
    // A client that stops waiting, as for Ctrl-C, leaves nothing behind that nobody will hold.
    Ok(Json(to_the_end(declare_to_be_held(agent, declaration)).await?))
}

async fn declare_to_be_held(
    agent: Agent,
    declaration: Declaration,
) -> Result<PublicationView, AgentError> {
    let lifetime = declaration.lifetime;
    let view = agent.publish(declaration).await?;
    if lifetime == Lifetime::Session {
        let name = view.publication.name.clone();
        tokio::spawn(withdraw_unless_held(agent, name));
    }
    Ok(view)
}

pub(super) async fn withdraw(
    State(agent): State<Agent>,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    agent.withdraw(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn hold(
    State(agent): State<Agent>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let hold = Hold::take(&agent, &name).ok_or_else(|| AgentError::NotDeclared(name.clone()))?;
    Ok(changes(&agent, Some(hold)))
}

pub(super) async fn watch(State(agent): State<Agent>) -> Response {
    changes(&agent, None)
}

pub(super) async fn stop(State(agent): State<Agent>) -> StatusCode {
    tokio::spawn(async move { agent.stop().await });
    StatusCode::ACCEPTED
}

async fn withdraw_unless_held(agent: Agent, name: String) {
    tokio::time::sleep(HOLD_GRACE).await;
    if let Err(error) = agent.withdraw_if(&name, Entry::is_let_go).await {
        tracing::debug!(%name, %error, "a publication that nobody holds was not taken back");
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let detail = format!("the request is not understood: {error}");
        Refusal::new(Code::BAD_REQUEST, detail, "are command and agent of one version?")
    })
}

/// An error as the local API answers it (RFC 9457).
#[derive(Debug)]
pub(super) struct Refusal(Box<Problem>);

impl Refusal {
    /// A refusal of the local API's own.
    pub(super) fn new(code: Code, detail: impl Into<String>, next: &str) -> Self {
        let problem = Problem::new(code, detail);
        Self(Box::new(Problem { next: next.to_owned(), ..problem }))
    }
}

impl From<AgentError> for Refusal {
    fn from(error: AgentError) -> Self {
        let problem =
            Problem::new(error.known_code().unwrap_or(Code::BAD_REQUEST), in_full(&error));
        let (code, next) = (error.code().to_owned(), error.next_step());
        Self(Box::new(Problem { code, next, ..problem }))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        (status, kind, Json(self.0)).into_response()
    }
}
