//! What travels between the agent and the relay's control, as far as the agent reads or writes it in a form of its own.
//!
//! Answers are read leniently: a newer relay may say more.

use bore_control::model::Lifetime;
use bore_control::runtime::RelayInfo;
pub(crate) use bore_control::wire::PublicationView;
pub(crate) use bore_control::wire::{
    AccessLists, Displaced, Joined, Page, PublishRequest, SelfView, SessionRequest,
};
use bore_policy::Label;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A refusal of the relay (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Problem {
    /// Short name of the kind.
    #[serde(default)]
    pub(crate) title: String,
    /// HTTP status.
    #[serde(default)]
    pub(crate) status: u16,
    /// What is wrong, for people.
    #[serde(default)]
    pub(crate) detail: String,
    /// `B2104` and so on.
    #[serde(default)]
    pub(crate) code: String,
    /// What to do.
    #[serde(default)]
    pub(crate) next: String,
}

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

/// One line of `GET /v1/nodes/self/watch`.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum WatchEvent {
    /// First line.
    Hello {
        /// The relay as it is now.
        relay: RelayInfo,
    },
    /// All publications of this node, on every change.
    Publications {
        /// The whole list.
        publications: Vec<PublicationView>,
        /// What another node took.
        #[serde(default)]
        displaced: Vec<Displaced>,
    },
    /// The relay stops soon.
    Draining,
    /// Another agent took this identity over.
    Replaced,
    /// Heartbeat, and whatever a newer relay says.
    #[serde(other)]
    Other,
}

/// This program's version, as the relay is told.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_a_newer_relay_is_not_an_error() {
        let event: WatchEvent = serde_json::from_str(r#"{"event":"confetti","n":3}"#).unwrap();
        assert!(matches!(event, WatchEvent::Other));
    }

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
