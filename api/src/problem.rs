//! Refusals on the wire: `application/problem+json` of RFC 9457, with a code of bore and what to do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Code;

/// The body of every answer with status 4xx or 5xx. It is read leniently: a proxy, or a newer relay, may say less or more.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error,
)]
#[error("{detail}")]
pub struct Problem {
    /// `about:blank`: the code says which problem it is.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The class, the same for every case.
    #[serde(default)]
    pub title: String,
    /// HTTP status.
    #[serde(default)]
    pub status: u16,
    /// This case.
    #[serde(default)]
    pub detail: String,
    /// What `bore explain` knows it by.
    #[serde(default)]
    pub code: String,
    /// What to do.
    #[serde(default)]
    pub next: String,
    /// Everything that is wrong, where that is more than `detail` says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

impl Problem {
    /// The problem of `code` in one case, with the code's own status and advice.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".to_owned(),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code: code.as_str().to_owned(),
            next: code.next_step().to_owned(),
            errors: Vec::new(),
        }
    }

    /// Returns the code if this version of bore knows it.
    pub fn known_code(&self) -> Option<Code> {
        Code::find(&self.code)
    }
}
