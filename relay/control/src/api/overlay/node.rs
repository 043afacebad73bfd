//! The node itself, its session, and the names around it.

use axum::Json;
use axum::extract::State;
use bore_api::Code;
use bore_api::model::{Node, NodeKind};
use bore_api::wire::{Page, SelfView, SessionRequest};
use http::StatusCode;
use serde::Serialize;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::caller::SelfNode;
use crate::api::input::{Input, Params};
use crate::api::page::PageParams;
use crate::control::Control;
use crate::limits::VERSION_CHARS_MAX;
use crate::refusal::Refusal;
use crate::session::{Claim, Refused};
use crate::text::check_text;

/// Another node of the network.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Neighbour {
    /// Identity.
    id: Uuid,
    /// DNS label.
    name: String,
    /// Overlay IPv4 address.
    #[schema(value_type = String)]
    overlay_v4: Ipv4Addr,
    /// Overlay IPv6 address.
    #[schema(value_type = String)]
    overlay_v6: Ipv6Addr,
}

/// Lists names and addresses in the network.
#[utoipa::path(get, path = "/v1/nodes", tag = "overlay", params(PageParams), responses((status = 200, body = Page<Neighbour>)))]
pub(in crate::api) async fn list_neighbours(
    caller: SelfNode,
    State(control): State<Control>,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<Neighbour>>, Refusal> {
    page.page(control.nodes().list(caller.0.network)?, |node| node.name.clone(), neighbour)
}

/// Shows what the calling node is to its relay.
#[utoipa::path(get, path = "/v1/nodes/self", tag = "overlay", responses((status = 200, body = SelfView)))]
pub(in crate::api) async fn show(
    caller: SelfNode,
    State(control): State<Control>,
) -> Result<Json<SelfView>, Refusal> {
    control.nodes().self_view(caller.0).map(Json)
}

/// Asks to speak for the node. 409 while another agent's watch is open, unless `takeover`: B5106 while that agent is asked, B5105 once it has answered.
#[utoipa::path(put, path = "/v1/nodes/self/session", tag = "overlay", request_body = SessionRequest, responses((status = 200, body = SelfView)))]
pub(in crate::api) async fn claim_session(
    caller: SelfNode,
    State(control): State<Control>,
    Input(request): Input<SessionRequest>,
) -> Result<(StatusCode, Json<SelfView>), Refusal> {
    check_text("version", &request.version, VERSION_CHARS_MAX)?;
    only_agents(&caller.0)?;
    let Node { id, network, .. } = caller.0;
    let SessionRequest { boot, takeover, version } = &request;
    let claim = Claim { network, node: id, boot: *boot, version, takeover: *takeover };
    if let Err(Refused { refusal, ask }) =
        control.directory().sessions().claim(claim, Instant::now())
    {
        if let Some(holder) = ask {
            tokio::spawn(ask_holder(control.clone(), id, holder));
        }
        return Err(*refusal);
    }
    Ok((StatusCode::OK, Json(control.nodes().self_view(caller.0)?)))
}

async fn ask_holder(control: Control, node: Uuid, holder: Uuid) {
    let answers = control.doors().tunnels.call_back(node).await;
    tracing::info!(%node, answers, "a second agent with this identity came, the first was asked");
    control.directory().sessions().settle(node, holder, answers, Instant::now());
}

/// A stock WireGuard client has addresses, nothing more: what runs behind it may be a whole network of browsers.
pub(in crate::api) fn only_agents(node: &Node) -> Result<(), Refusal> {
    match node.kind {
        NodeKind::Agent => Ok(()),
        NodeKind::Wireguard => {
            let detail =
                "only an agent can ask this; a WireGuard node is administered with an API key";
            Err(Refusal::new(Code::SCOPE_MISSING, detail)
                .next("bore publish on a machine that runs the agent"))
        }
    }
}

fn neighbour(node: Node) -> Neighbour {
    let Node { id, name, overlay_v4, overlay_v6, .. } = node;
    Neighbour { id, name, overlay_v4, overlay_v6 }
}
