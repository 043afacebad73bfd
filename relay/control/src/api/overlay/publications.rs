//! What an agent publishes, and what it says about it.

use axum::Json;
use axum::extract::State;
use bore_api::Code;
use bore_api::model::Publication;
use bore_api::state::{ProbeOrder, ProbeReport, PublicationState, TargetReport};
use bore_api::wire::{Page, PublicationView, PublishRequest};
use http::StatusCode;

use super::node::only_agents;
use crate::api::caller::SelfNode;
use crate::api::input::{Input, Params};
use crate::api::page::PageParams;
use crate::api::principal::Subject;
use crate::control::Control;
use crate::refusal::Refusal;

/// Lists what the calling node publishes, by name.
#[utoipa::path(get, path = "/v1/nodes/self/publications", tag = "overlay", params(PageParams), responses((status = 200, body = Page<PublicationView>)))]
pub(in crate::api) async fn list_publications(
    caller: SelfNode,
    State(control): State<Control>,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<PublicationView>>, Refusal> {
    let views = control.publications().of_node(caller.0.network, caller.0.id);
    page.page(views, |view| view.publication.name.clone(), |view| view)
}

/// Publishes, or changes what is published under this name. The public port is open when the answer comes.
#[utoipa::path(post, path = "/v1/nodes/self/publications", tag = "overlay", request_body = PublishRequest, responses((status = 200, body = PublicationView)))]
pub(in crate::api) async fn publish(
    caller: SelfNode,
    State(control): State<Control>,
    Input(request): Input<PublishRequest>,
) -> Result<Json<PublicationView>, Refusal> {
    only_agents(&caller.0)?;
    if request.node.is_some() {
        return Err(Refusal::new(Code::BAD_REQUEST, "`node`: a node publishes for itself"));
    }
    let view = control
        .publications()
        .publish(caller.0.network, caller.0.id, &request, &caller.actor())
        .await?;
    Ok(Json(view))
}

/// Takes a publication of the calling node back, by id or name.
#[utoipa::path(delete, path = "/v1/nodes/self/publications/{publication}", tag = "overlay", responses((status = 204)))]
pub(in crate::api) async fn delete_publication(
    caller: SelfNode,
    subject: Subject,
    State(control): State<Control>,
) -> Result<StatusCode, Refusal> {
    only_agents(&caller.0)?;
    control
        .publications()
        .delete(caller.0.network, Some(caller.0.id), &subject.0, &caller.actor())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says what the target does.
#[utoipa::path(put, path = "/v1/nodes/self/publications/{publication}/target", tag = "overlay", request_body = TargetReport, responses((status = 204)))]
pub(in crate::api) async fn report_target(
    caller: SelfNode,
    subject: Subject,
    State(control): State<Control>,
    Input(report): Input<TargetReport>,
) -> Result<StatusCode, Refusal> {
    control.publications().report_target(&own(&control, &caller, &subject)?, report);
    Ok(StatusCode::NO_CONTENT)
}

/// Has the relay expect the agent's own visit from outside.
#[utoipa::path(post, path = "/v1/nodes/self/publications/{publication}/probe", tag = "overlay", responses((status = 200, body = ProbeOrder)))]
pub(in crate::api) async fn expect_probe(
    caller: SelfNode,
    subject: Subject,
    State(control): State<Control>,
) -> Result<Json<ProbeOrder>, Refusal> {
    control.publications().expect_probe(&own(&control, &caller, &subject)?).map(Json)
}

/// Says how the visit from outside went.
#[utoipa::path(put, path = "/v1/nodes/self/publications/{publication}/probe", tag = "overlay", request_body = ProbeReport, responses((status = 200, body = PublicationState)))]
pub(in crate::api) async fn report_probe(
    caller: SelfNode,
    subject: Subject,
    State(control): State<Control>,
    Input(report): Input<ProbeReport>,
) -> Result<Json<PublicationState>, Refusal> {
    Ok(Json(control.publications().report_probe(&own(&control, &caller, &subject)?, report)))
}

fn own(control: &Control, caller: &SelfNode, subject: &Subject) -> Result<Publication, Refusal> {
    only_agents(&caller.0)?;
    control.publications().own(caller.0.network, caller.0.id, &subject.0)
}
