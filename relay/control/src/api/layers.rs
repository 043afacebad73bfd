//! What happens around every route.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bore_api::Code;
use http::header::{CACHE_CONTROL, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use http::uri::Authority;
use http::{HeaderValue, Method, StatusCode};

use super::caller::Caller;
use crate::control::Control;
use crate::limits::REQUEST_TIME_MAX;
use crate::refusal::Refusal;

/// Runs a change on a task of its own: the caller may hang up, the change is done or refused as a whole. It is answered once it is on disk.
pub(super) async fn finish_changes(
    State(control): State<Control>,
    request: Request,
    next: Next,
) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    let change = async move {
        let response = next.run(request).await;
        match control.core().settle().await {
            Ok(()) => response,
            Err(error) => Refusal::from(error).into_response(),
        }
    };
    tokio::spawn(change).await.unwrap_or_else(|error| {
        let detail = "the relay failed at this request; what was changed is in the audit trail";
        let refusal =
            Refusal::new(Code::STORE_UNAVAILABLE, detail).status(StatusCode::INTERNAL_SERVER_ERROR);
        refusal.because(error).into_response()
    })
}

/// Answers in time, whatever the database does.
pub(super) async fn limit_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await.unwrap_or_else(|_| {
        let detail = format!(
            "there was no answer within {} s; a change may still be made",
            REQUEST_TIME_MAX.as_secs()
        );
        Refusal::new(Code::STORE_UNAVAILABLE, detail).into_response()
    })
}

/// Answers are for the caller alone, and nothing but what they say they are.
pub(super) async fn mark_answer(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Inside the overlay the tunnel is the right to call; a page in a browser on a node must not have it. A page whose name was made to lead here sends
/// that name (DNS rebinding), so that only the address itself is taken.
pub(super) async fn refuse_browsers(
    State(control): State<Control>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    if headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site") {
        let refusal = Refusal::new(Code::BAD_REQUEST, "web pages cannot call this")
            .status(StatusCode::FORBIDDEN);
        return refusal.into_response();
    }
    if !is_called_by_address(&control, &request) {
        let detail = "`Host` is not the address that is called";
        let refusal =
            Refusal::new(Code::BAD_REQUEST, detail).status(StatusCode::MISDIRECTED_REQUEST);
        return refusal.into_response();
    }
    next.run(request).await
}

/// A node calls the relay by its addresses in the node's network; the walled garden has one address, which no name leads to.
fn is_called_by_address(control: &Control, request: &Request) -> bool {
    let Some(host) = host_address(request) else { return false };
    match request.extensions().get::<Caller>() {
        Some(Caller::Node { network, .. }) => {
            control.core().identity.is_relay_address(*network, host)
        }
        Some(Caller::Pending { .. } | Caller::Tcp { .. }) | None => true,
    }
}

fn host_address(request: &Request) -> Option<IpAddr> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return None };
    let authority: Authority = host.to_str().ok()?.parse().ok()?;
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

pub(super) async fn no_such_route(request: Request) -> Refusal {
    let detail = format!("there is no route {}", request.uri().path());
    Refusal::new(Code::BAD_REQUEST, detail).status(StatusCode::NOT_FOUND)
}

pub(super) async fn no_such_method(request: Request) -> Refusal {
    let detail = format!("{} is not possible on {}", request.method(), request.uri().path());
    Refusal::new(Code::BAD_REQUEST, detail).status(StatusCode::METHOD_NOT_ALLOWED)
}
