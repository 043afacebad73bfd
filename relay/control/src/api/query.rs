//! What can stand behind the question mark, beside pages.

use bore_api::limits::AUDIT_WALK_ROWS_MAX;
use bore_api::{AuditPoint, Code};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::refusal::Refusal;
use crate::store::AuditWalk;

/// Which flows.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FlowParams {
    /// Only of this publication, by id or name.
    #[serde(default)]
    pub(super) publication: Option<String>,
}

/// Which rows.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditParams {
    /// Only rows that contain this text.
    #[serde(default)]
    pub(super) text: Option<String>,
    /// Only rows after this sequence number: `next` of the page before.
    #[serde(default)]
    pub(super) after: i64,
    /// How many rows, at most 1,000. Default 1,000.
    #[serde(default)]
    pub(super) limit: Option<u32>,
}

/// What goes with a key.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RevokeParams {
    /// Every join key and API key that it made too, and those that these made.
    #[serde(default)]
    pub(super) made: bool,
}

/// Whose stream.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WatchParams {
    /// Boot id of the session.
    pub(super) boot: Uuid,
}

/// Where a look at the trail begins, and what must be in it.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AuditWalkParams {
    /// `next` of the answer before.
    after: Option<String>,
    /// A row that must be in the trail, as `SEQ:HASH`.
    expect: Option<String>,
    /// How many rows, at most 20,000. Default 20,000.
    limit: Option<u32>,
}

impl AuditWalkParams {
    pub(super) fn walk(&self) -> Result<AuditWalk, Refusal> {
        Ok(AuditWalk {
            after: self.after.as_deref().map(|text| point("after", text)).transpose()?,
            expected: self.expect.as_deref().map(|text| point("expect", text)).transpose()?,
            rows_max: self.limit.unwrap_or(AUDIT_WALK_ROWS_MAX).max(1),
        })
    }
}

fn point(parameter: &str, text: &str) -> Result<AuditPoint, Refusal> {
    let bad = |error| Refusal::new(Code::BAD_REQUEST, format!("`{parameter}` is {error}"));
    text.parse().map_err(bad)
}
