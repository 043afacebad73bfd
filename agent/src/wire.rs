//! What the agent reads or writes of the relay's API in a form of its own; all else is [`bore_api::wire`].

use bore_api::model::Lifetime;
use bore_policy::Label;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `POST /v1/join`. Holds the join secret: never logged.
#[derive(Serialize)]
pub(crate) struct JoinBody {
    pub(crate) key_id: Uuid,
    pub(crate) secret: String,
    pub(crate) network: Uuid,
    pub(crate) name: String,
    pub(crate) version: &'static str,
    pub(crate) ephemeral: bool,
}

impl std::fmt::Debug for JoinBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinBody").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// One line of `GET /v1/nodes/self/publications`, as far as it is read.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Stored {
    pub(crate) id: Uuid,
    pub(crate) name: Label,
    pub(crate) lifetime: Lifetime,
}

/// This program's version, as the relay is told.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_request_does_not_show_its_secret() {
        let request = JoinBody {
            key_id: Uuid::nil(),
            secret: "hush".into(),
            network: Uuid::nil(),
            name: "laptop".into(),
            version: VERSION,
            ephemeral: false,
        };
        assert!(!format!("{request:?}").contains("hush"));
    }
}
