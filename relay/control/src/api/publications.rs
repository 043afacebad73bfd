//! Publications, as administrators see them. An agent's are declared on the agent; here they can be looked at and taken back.

use axum::Json;
use axum::extract::State;
use bore_api::Code;
use bore_api::model::NodeKind;
use bore_api::wire::{Page, PublicationView, PublishRequest};
use http::StatusCode;

use super::input::{Input, Params};
use super::page::PageParams;
use super::principal::{InNetwork, Right, Subject};
use crate::control::Control;
use crate::refusal::Refusal;

/// Lists the publications by name, with their states.
#[utoipa::path(get, path = "/v1/networks/{network}/publications", tag = "publications", params(PageParams), responses((status = 200, body = Page<PublicationView>)))]
pub(super) async fn list(
    scope: InNetwork,
    State(control): State<Control>,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<PublicationView>>, Refusal> {
    scope.may(Right::ReadPublications)?;
    let publications = control.publications().list(scope.id())?;
    page.page(
        publications,
        |publication| publication.name.clone(),
        |publication| control.publications().view(publication),
    )
}

/// Publishes a port of a WireGuard node, or changes what is published under this name.
#[utoipa::path(post, path = "/v1/networks/{network}/publications", tag = "publications", request_body = PublishRequest, responses((status = 201, body = PublicationView)))]
pub(super) async fn create(
    scope: InNetwork,
    State(control): State<Control>,
    Input(request): Input<PublishRequest>,
) -> Result<(StatusCode, Json<PublicationView>), Refusal> {
    scope.may(Right::WritePublications)?;
    let missing =
        || Refusal::new(Code::BAD_REQUEST, "`node` is missing: the WireGuard node that serves it");
    let node =
        control.directory().member(scope.id(), request.node.as_deref().ok_or_else(missing)?)?;
    if node.node.kind == NodeKind::Agent {
        let detail =
            format!("node {} is an agent: it dials only what was declared on it", node.name);
        return Err(Refusal::new(Code::TARGET_NOT_DECLARED, detail));
    }
    let view =
        control.publications().publish(scope.id(), node.node.id, &request, scope.actor()).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// Shows a publication, by id or name.
#[utoipa::path(get, path = "/v1/networks/{network}/publications/{publication}", tag = "publications", responses((status = 200, body = PublicationView)))]
pub(super) async fn show(
    scope: InNetwork,
    subject: Subject,
    State(control): State<Control>,
) -> Result<Json<PublicationView>, Refusal> {
    scope.may(Right::ReadPublications)?;
    let served = control.directory().served(scope.id(), &subject.0)?;
    Ok(Json(control.publications().view(served.publication.clone())))
}

/// Takes a publication back.
#[utoipa::path(delete, path = "/v1/networks/{network}/publications/{publication}", tag = "publications", responses((status = 204)))]
pub(super) async fn delete(
    scope: InNetwork,
    subject: Subject,
    State(control): State<Control>,
) -> Result<StatusCode, Refusal> {
    scope.may(Right::WritePublications)?;
    control.publications().delete(scope.id(), None, &subject.0, scope.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
