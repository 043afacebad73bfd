//! Open flows of a network.

use axum::Json;
use axum::extract::State;
use bore_api::state::FlowState;
use bore_api::wire::Page;

use super::input::Params;
use super::principal::{InNetwork, Right};
use super::query::FlowParams;
use crate::control::Control;
use crate::limits::PAGE_ROWS_MAX;
use crate::refusal::Refusal;

/// Lists open flows, newest first, at most 1,000.
#[utoipa::path(get, path = "/v1/networks/{network}/flows", tag = "flows", params(FlowParams), responses((status = 200, body = Page<FlowState>)))]
pub(super) async fn list(
    scope: InNetwork,
    State(control): State<Control>,
    Params(params): Params<FlowParams>,
) -> Result<Json<Page<FlowState>>, Refusal> {
    scope.may(Right::ReadPublications)?;
    let publications = match params.publication {
        Some(wanted) => vec![control.directory().served(scope.id(), &wanted)?.publication.id],
        None => control
            .publications()
            .list(scope.id())?
            .into_iter()
            .map(|publication| publication.id)
            .collect(),
    };
    let flows = |id: uuid::Uuid| control.doors().facts.flows(id);
    let mut items: Vec<FlowState> = publications.into_iter().flat_map(flows).collect();
    items.sort_by_key(|flow| std::cmp::Reverse(flow.id));
    items.truncate(PAGE_ROWS_MAX as usize);
    Ok(Json(Page { items, next: None }))
}
