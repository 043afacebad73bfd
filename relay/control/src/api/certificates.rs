//! Certificates: how they are. Their keys are shown to nobody.

use axum::Json;
use axum::extract::State;

use super::input::Params;
use super::page::PageParams;
use super::principal::{Principal, Right};
use crate::control::Control;
use crate::refusal::Refusal;
use crate::runtime::CertificateState;
use crate::wire::Page;

/// Lists certificates by name: all of them for a key of the cluster, those of its network for any other.
#[utoipa::path(get, path = "/v1/certificates", tag = "certificates", params(PageParams), responses((status = 200, body = Page<CertificateState>)))]
pub(super) async fn list(
    principal: Principal,
    State(control): State<Control>,
    Params(params): Params<PageParams>,
) -> Result<Json<Page<CertificateState>>, Refusal> {
    principal.may(Right::ReadPublications)?;
    let sees = |state: &CertificateState| {
        principal.network.is_none() || state.network == principal.network
    };
    let subject = |state: &CertificateState| state.names.first().cloned().unwrap_or_default();
    let mut states = control.runtime().certificates();
    states.retain(sees);
    states.sort_by_key(subject);
    params.page(states, subject, |state| state)
}
