//! What the agent reads of the relay's API in a form of its own; all else is [`bore_api::wire`].

use bore_api::model::Lifetime;
use bore_policy::Label;
use serde::Deserialize;
use uuid::Uuid;

/// One line of `GET /v1/nodes/self/publications`, as far as it is read.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Stored {
    pub(crate) id: Uuid,
    pub(crate) name: Label,
    pub(crate) lifetime: Lifetime,
}

/// This program's version, as the relay is told.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
