//! What the agent reads of the relay's API in a form of its own; all else is [`bore_api::wire`].

use bore_api::model::Lifetime;
use bore_api::wire::{PublicationView, WatchEvent};
use bore_policy::Label;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use uuid::Uuid;

use super::answers::bounded_text;

/// One line of `GET /v1/nodes/self/publications`, as far as it is read.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Stored {
    pub(crate) id: Uuid,
    pub(crate) name: Label,
    pub(crate) lifetime: Lifetime,
}

/// One line of the watch. A publication in it that is not understood is told by its name, and costs no other one.
#[derive(Debug)]
pub(crate) struct WatchLine {
    pub(crate) event: WatchEvent,
    pub(crate) unread: Vec<Unread>,
}

/// A publication of a list that is not understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unread {
    /// Empty when that is not understood either.
    pub(crate) name: String,
    pub(crate) cause: String,
}

impl<'de> Deserialize<'de> for WatchLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut line = Value::deserialize(deserializer)?;
        let mut unread = Vec::new();
        if let Some(list) = line.get_mut("publications").and_then(Value::as_array_mut) {
            list.retain(|publication| match PublicationView::deserialize(publication) {
                Ok(_) => true,
                Err(error) => {
                    unread.push(Unread::of(publication, &error));
                    false
                }
            });
        }
        let event = WatchEvent::deserialize(line).map_err(serde::de::Error::custom)?;
        Ok(Self { event, unread })
    }
}

impl Unread {
    fn of(publication: &Value, error: &serde_json::Error) -> Self {
        let name = publication.get("name").and_then(Value::as_str).unwrap_or_default();
        // The error quotes the answer.
        Self { name: bounded_text(name.to_owned()), cause: bounded_text(error.to_string()) }
    }
}

/// This program's version, as the relay is told.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests {
    use bore_api::model::Protocol;
    use serde_json::json;

    use super::*;
    use crate::test_support::view;

    #[test]
    fn a_publication_that_is_not_understood_costs_no_other_of_the_list() {
        let web = serde_json::to_value(view("web", Protocol::Http)).unwrap();
        let mut odd = web.clone();
        odd["name"] = json!("odd");
        odd["hostnames"] = json!(["no hostname"]);
        let line = json!({"event": "publications", "publications": [odd, web, 7]});
        let line: WatchLine = serde_json::from_value(line).unwrap();
        let WatchEvent::Publications { publications, .. } = line.event else { panic!("{line:?}") };
        assert_eq!(publications, [view("web", Protocol::Http)]);
        let names: Vec<_> = line.unread.iter().map(|unread| unread.name.as_str()).collect();
        assert_eq!(names, ["odd", ""]);
        assert!(serde_json::from_value::<WatchLine>(json!({"event": 1})).is_err());
    }
}
