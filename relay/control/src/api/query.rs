//! What can stand behind the question mark, beside pages.

use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

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

/// Whose stream.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WatchParams {
    /// Boot id of the session.
    pub(super) boot: Uuid,
}
