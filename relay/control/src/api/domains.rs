//! Custom domains.

use axum::Json;
use axum::extract::State;
use bore_api::wire::{DomainView, NewDomain, Page};
use http::StatusCode;

use super::input::{Input, Params};
use super::page::PageParams;
use super::principal::{InNetwork, Right, Subject};
use crate::control::Control;
use crate::refusal::Refusal;

/// Lists the domains by name, with their records and where they lead.
#[utoipa::path(get, path = "/v1/networks/{network}/domains", tag = "domains", params(PageParams), responses((status = 200, body = Page<DomainView>)))]
pub(super) async fn list(
    scope: InNetwork,
    State(control): State<Control>,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<DomainView>>, Refusal> {
    scope.may(Right::ReadDomains)?;
    page.page(
        control.domains().list(scope.id())?,
        |domain| domain.name.clone(),
        |domain| control.domains().view(domain),
    )
}

/// Asks for a domain, and answers the records that prove it.
#[utoipa::path(post, path = "/v1/networks/{network}/domains", tag = "domains", request_body = NewDomain, responses((status = 201, body = DomainView)))]
pub(super) async fn create(
    scope: InNetwork,
    State(control): State<Control>,
    Input(wanted): Input<NewDomain>,
) -> Result<(StatusCode, Json<DomainView>), Refusal> {
    scope.may(Right::WriteDomains)?;
    let administrator = scope.principal.is_admin();
    let view =
        control.domains().add(scope.id(), &wanted.name, administrator, scope.actor()).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// Shows a domain, by id or name.
#[utoipa::path(get, path = "/v1/networks/{network}/domains/{domain}", tag = "domains", responses((status = 200, body = DomainView)))]
pub(super) async fn show(
    scope: InNetwork,
    subject: Subject,
    State(control): State<Control>,
) -> Result<Json<DomainView>, Refusal> {
    scope.may(Right::ReadDomains)?;
    let domain = control.domains().find(scope.id(), &subject.0)?;
    Ok(Json(control.domains().view(domain)))
}

/// Asks DNS for the proof of a domain, and for where it leads.
#[utoipa::path(post, path = "/v1/networks/{network}/domains/{domain}/verify", tag = "domains", responses((status = 200, body = DomainView)))]
pub(super) async fn verify(
    scope: InNetwork,
    subject: Subject,
    State(control): State<Control>,
) -> Result<Json<DomainView>, Refusal> {
    scope.may(Right::WriteDomains)?;
    Ok(Json(control.domains().verify(scope.id(), &subject.0, scope.actor()).await?))
}

/// Gives a domain back that nothing is published under. One that was proved is refused to other networks for 30 days.
#[utoipa::path(delete, path = "/v1/networks/{network}/domains/{domain}", tag = "domains", responses((status = 204)))]
pub(super) async fn delete(
    scope: InNetwork,
    subject: Subject,
    State(control): State<Control>,
) -> Result<StatusCode, Refusal> {
    scope.may(Right::WriteDomains)?;
    control.domains().release(scope.id(), &subject.0, scope.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
