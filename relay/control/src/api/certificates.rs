//! Certificates: how they are. Their keys are shown to nobody.

use axum::Json;
use axum::extract::State;
use bore_api::Code;
use bore_api::state::CertificateState;
use bore_api::wire::Page;
use http::StatusCode;

use super::input::Params;
use super::page::PageParams;
use super::principal::{Principal, Right, Subject};
use crate::control::Control;
use crate::refusal::Refusal;

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
    let mut states = control.certificates().list();
    states.retain(sees);
    states.sort_by_key(subject);
    params.page(states, subject, |state| state)
}

/// Has the certificate of a name replaced, or a missing one tried again, at once: of all pauses only the CA's own wish is kept. For administrators of
/// the relay, whose account at the CA it is.
#[utoipa::path(post, path = "/v1/certificates/{name}/renew", tag = "certificates", responses((status = 202, body = CertificateState)))]
pub(super) async fn renew(
    principal: Principal,
    subject: Subject,
    State(control): State<Control>,
) -> Result<(StatusCode, Json<CertificateState>), Refusal> {
    principal.may(Right::Administer)?;
    let state = control.certificates().renew(&subject.0, &principal.actor).await;
    let none = || {
        let detail = format!("the relay wants no certificate for `{}`", subject.0);
        Refusal::new(Code::OTHER_NETWORK, detail).next("bore certificate ls")
    };
    Ok((StatusCode::ACCEPTED, Json(state.ok_or_else(none)?)))
}
