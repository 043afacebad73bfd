//! Refusals on the wire: `application/problem+json` of RFC 9457, with a code of bore and what to do. Causes stay in the log.

use std::error::Error;

use crate::refusal::Refusal;
use axum::Json;
use axum::response::{IntoResponse, Response};
pub use bore_api::Problem;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self {
            kind: "about:blank".to_owned(),
            title: refusal.code.title().to_owned(),
            status: refusal.status.as_u16(),
            detail: refusal.detail,
            code: refusal.code.as_str().to_owned(),
            next: refusal.next.into_owned(),
            errors: refusal.errors,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        log(&self);
        let (status, retry_after) = (self.status, self.retry_after_seconds);
        let mut response = (status, Json(Problem::from(self))).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(RETRY_AFTER, HeaderValue::from(retry_after));
        }
        response
    }
}

/// What is the relay's fault is an error; what is the caller's is a detail for whoever looks for it.
fn log(refusal: &Refusal) {
    let (code, causes) = (refusal.code.as_str(), causes(refusal));
    if refusal.status.is_server_error() {
        tracing::error!(code, detail = ?refusal.detail, ?causes, "request failed");
    } else {
        tracing::debug!(code, detail = ?refusal.detail, "request refused");
    }
}

fn causes(refusal: &Refusal) -> Vec<String> {
    let first: Option<&dyn Error> = refusal.source();
    std::iter::successors(first, |cause| (*cause).source()).map(ToString::to_string).collect()
}
