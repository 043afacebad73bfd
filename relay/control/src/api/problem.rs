//! Refusals on the wire: `application/problem+json` of RFC 9457, with a code of bore and what to do. Causes stay in the log.

use std::error::Error;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::refusal::Refusal;

/// The body of every answer with status 4xx or 5xx.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `about:blank`: the code says which problem it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The class, the same for every case.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// This case.
    pub detail: String,
    /// What `bore explain` knows it by.
    pub code: String,
    /// What to do.
    pub next: String,
    /// Everything that is wrong, where that is more than `detail` says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let row = refusal.code.row();
        Self {
            kind: "about:blank".to_owned(),
            title: row.title.to_owned(),
            status: refusal.status.as_u16(),
            detail: refusal.detail,
            code: row.text.to_owned(),
            next: refusal.next.into_owned(),
            errors: refusal.errors,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        log(&self);
        let status = self.status;
        let mut response = (status, Json(Problem::from(self))).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// What is the relay's fault is an error; what is the caller's is a detail for whoever looks for it.
fn log(refusal: &Refusal) {
    let (code, causes) = (refusal.code.row().text, causes(refusal));
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
