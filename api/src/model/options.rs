//! The options of a publication, by kind.

use std::num::NonZeroU32;

use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{HealthOptions, WebOptions};

/// The options of a publication. Each kind is an object, whose name stands beside the other fields of the publication. Default: nothing is chosen.
// The wire, the store and the audit trail name no kind and no option: a new one stands here and where it is used.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PublicationOptions {
    /// What is particular to a web service (http).
    pub web: WebOptions,
    /// How the target is checked. Default: `tcp` for one port of tcp, tls and http, `none` for udp and for ranges.
    pub health: HealthOptions,
    /// How much of it its visitors get. Default: what the relay allows.
    pub limits: LimitOptions,
}

/// How much of a publication its visitors get.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitOptions {
    /// How many connections its service has at once, of all visitors together; further visitors are refused until one ends. Of http that is what the
    /// relay opens to the service: one for each visitor that is connected, and over HTTP/2 one for each request that is under way at once. Of udp it
    /// is how many addresses of visitors are served.
    #[schema(value_type = Option<u32>, minimum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_max: Option<NonZeroU32>,
}

impl PublicationOptions {
    /// Serializes the kinds in which something is chosen, for who refuses a kind that it does not know.
    ///
    /// # Errors
    /// Those of `serializer`.
    pub fn serialize_chosen<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kinds = serde_json::to_value(self).map_err(S::Error::custom)?;
        let is_chosen = |kind: &Value| kind.as_object().is_some_and(|kind| !kind.is_empty());
        let kinds = kinds.as_object().into_iter().flatten();
        serializer.collect_map(kinds.filter(|(_, kind)| is_chosen(kind)))
    }

    /// Adds each kind to the fields of a JSON object.
    pub fn beside(&self, mut fields: Value) -> Value {
        if let (Some(fields), Ok(Value::Object(kinds))) =
            (fields.as_object_mut(), serde_json::to_value(self))
        {
            fields.extend(kinds);
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::{PublicationView, PublishRequest};

    #[test]
    fn kinds_stand_beside_the_other_fields_of_a_request() {
        let asked = json!({
            "protocol": "http", "target": "3000", "web": {"tls_min": "1.3"}, "health": {"check": "none"}
        });
        let request: PublishRequest = serde_json::from_value(asked.clone()).unwrap();
        let sent = serde_json::to_value(&request).unwrap();
        assert_eq!((&sent["web"], &sent["health"]), (&asked["web"], &asked["health"]));
    }

    #[test]
    fn a_kind_in_which_nothing_is_chosen_is_not_sent() {
        let asked = json!({"protocol": "http", "target": "3000"});
        let request: PublishRequest = serde_json::from_value(asked).unwrap();
        let sent = serde_json::to_value(&request).unwrap();
        assert!(sent.get("web").is_none() && sent.get("health").is_none(), "{sent}");
    }

    #[test]
    fn a_bound_of_no_connections_is_none() {
        let read = |text| serde_json::from_str::<LimitOptions>(text);
        assert_eq!(read(r#"{"connections_max":2}"#).unwrap().connections_max, NonZeroU32::new(2));
        assert!(read(r#"{"connections_max":0}"#).is_err());
    }

    // Of serde this is not documented: a field beside a flattened struct that neither of them knows.
    #[test]
    fn a_request_with_an_unknown_field_kind_or_option_is_refused() {
        for unknown in [
            json!({"wep": {}}),
            json!({"web": {"tls": 1}}),
            json!({"health": {"c": 1}}),
            json!({"limits": {"connections": 1}}),
        ] {
            let mut asked = json!({"protocol": "http", "target": "3000"});
            asked.as_object_mut().unwrap().extend(unknown.as_object().unwrap().clone());
            let refused = serde_json::from_value::<PublishRequest>(asked).unwrap_err();
            assert!(refused.to_string().contains("unknown field"), "{unknown}: {refused}");
        }
    }

    #[test]
    fn an_answer_may_have_kinds_that_are_not_known_here() {
        let id = uuid::Uuid::nil();
        let answer = json!({
            "id": id, "network": id, "node": id, "name": "web", "protocol": "http", "public_port": null, "port_count": 1,
            "hostnames": ["a.example"], "overlay_port": 1024, "target": "3000", "access": {}, "lifetime": "session",
            "created_at": 1, "web": {"tls_min": "1.2"}, "colour": {"background": "red"}, "public": "http://a.example",
            "state": {"state": "live", "cause": null, "steps": [], "at": 1}, "access_notes": []
        });
        let view: PublicationView = serde_json::from_value(answer).unwrap();
        let options = &view.publication.options;
        assert!(options.web.tls_min.is_some());
        assert_eq!(options.beside(json!({"a": 1}))["web"], json!({"tls_min": "1.2"}));
    }
}
