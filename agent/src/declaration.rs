//! What is published, as it was declared on this agent. Only a declaration names a target; nothing that the relay says can.

use bore_api::model::{Lifetime, Protocol, PublicationOptions};
use bore_api::wire::{AccessLists, PublicationView, PublishRequest};
use bore_policy::{Access, Source, Target};
use serde::{Deserialize, Serialize};

use super::error::AgentError;
use super::targets;

/// One publication as a command, a file or the local API declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// DNS label, unique in the network. `None` lets the relay find one.
    #[serde(default)]
    pub name: Option<String>,
    /// What travels.
    pub protocol: Protocol,
    /// What is dialled: `3000`, `HOST:PORT`, `27000-27050`, `unix:/path`; or `in-process`.
    pub target: String,
    /// Exactly this public port. `None`: the target's own first port.
    #[serde(default)]
    pub port: Option<u16>,
    /// Any free public port will do.
    #[serde(default)]
    pub any_port: bool,
    /// Hostnames (http, tls): labels below the relay's domain, whole names, wildcards.
    #[serde(default, alias = "hostname", deserialize_with = "bore_api::wire::one_or_many")]
    pub hostnames: Vec<String>,
    /// Who may visit.
    #[serde(default)]
    pub access: Access,
    /// How it is served.
    #[serde(flatten, serialize_with = "PublicationOptions::serialize_chosen")]
    pub options: PublicationOptions,
    /// How long it stays.
    pub lifetime: Lifetime,
    /// Take the name over from another node.
    #[serde(default)]
    pub replace: bool,
}

impl Declaration {
    /// A publication of `target` for as long as the agent runs: on the target's own port or under a name that the relay finds, open to all.
    pub fn new(protocol: Protocol, target: impl Into<String>) -> Self {
        Self {
            name: None,
            protocol,
            target: target.into(),
            port: None,
            any_port: false,
            hostnames: Vec::new(),
            access: Access::default(),
            options: PublicationOptions::default(),
            lifetime: Lifetime::Session,
            replace: false,
        }
    }

    /// A publication whose visitors a program takes itself, for [`crate::Agent::listen`]: under a name that the relay finds, by `tcp` on any free port, open
    /// to all.
    pub fn in_process(protocol: Protocol) -> Self {
        Self::new(protocol, Target::InProcess.to_string())
    }

    /// The target, read.
    ///
    /// # Errors
    /// The text is none.
    pub fn parse_target(&self) -> Result<Target, AgentError> {
        self.target.parse().map_err(|error: bore_policy::TargetError| AgentError::BadTarget {
            target: self.target.clone(),
            cause: error.to_string(),
        })
    }

    /// What the relay is asked for the first time.
    pub fn request(&self, target: &Target) -> PublishRequest {
        let ports = targets::ports(target);
        let preferred_port = ports.as_ref().map(|ports| *ports.start());
        PublishRequest {
            node: None,
            name: self.name.clone(),
            protocol: self.protocol,
            port: self.port,
            preferred_port,
            // A target without a port prefers none.
            any_port: self.any_port || (self.port.is_none() && preferred_port.is_none()),
            port_count: target.port_count(),
            hostnames: self.hostnames.clone(),
            target: self.target.clone(),
            access: lists(&self.access),
            options: self.options.clone(),
            lifetime: self.lifetime,
            replace: self.replace,
        }
    }

    /// What the relay is asked again after a reconnection: the public address that it gave, so that it stays.
    pub fn renewal(&self, target: &Target, view: &PublicationView) -> PublishRequest {
        let publication = &view.publication;
        PublishRequest {
            name: Some(publication.name.clone()),
            port: publication.public_port,
            any_port: false,
            hostnames: publication.hostnames.iter().map(ToString::to_string).collect(),
            // Taking over is for the moment when a person asked for it.
            replace: false,
            ..self.request(target)
        }
    }
}

fn lists(access: &Access) -> AccessLists {
    let texts = |sources: &[Source]| sources.iter().map(ToString::to_string).collect();
    AccessLists { allow: texts(&access.allow), deny: texts(&access.deny) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{declaration, view};

    #[test]
    fn without_a_port_the_targets_own_is_preferred_and_not_demanded() {
        let declared = declaration("web", Protocol::Tcp, "127.0.0.1:3000");
        let request = declared.request(&declared.parse_target().unwrap());
        assert_eq!(
            (request.port, request.preferred_port, request.any_port),
            (None, Some(3000), false)
        );
    }

    #[test]
    fn a_relay_that_knows_no_checks_is_told_of_none() {
        let mut declared = declaration("web", Protocol::Tcp, "127.0.0.1:3000");
        let said = |declared: &Declaration| {
            let request = declared.request(&declared.parse_target().unwrap());
            serde_json::to_value(request).unwrap().get("health").cloned()
        };
        assert_eq!(said(&declared), None);
        declared.options.health.check = Some("none".parse().unwrap());
        assert_eq!(said(&declared), Some(serde_json::json!({"check": "none"})));
    }

    #[test]
    fn a_range_asks_for_as_many_public_ports() {
        let declared = declaration("game", Protocol::Udp, "27000-27050");
        let request = declared.request(&declared.parse_target().unwrap());
        assert_eq!((request.preferred_port, request.port_count), (Some(27000), 51));
    }

    #[test]
    fn a_unix_socket_has_no_port_to_prefer_and_takes_any() {
        let declared = declaration("db", Protocol::Tcp, "unix:/run/db.sock");
        let request = declared.request(&declared.parse_target().unwrap());
        assert!(request.any_port && request.preferred_port.is_none());
    }

    #[test]
    fn a_renewal_asks_for_the_address_that_was_given() {
        let declared = Declaration { any_port: true, ..declaration("web", Protocol::Tcp, "3000") };
        let mut given = view("web", Protocol::Tcp);
        given.publication.public_port = Some(20_123);
        let request = declared.renewal(&declared.parse_target().unwrap(), &given);
        assert_eq!((request.port, request.any_port), (Some(20_123), false));
    }

    #[test]
    fn an_unknown_key_is_an_error_and_not_ignored() {
        let read = |more: &str| {
            let text = format!(r#"{{"protocol":"tcp","target":"22","lifetime":"session"{more}}}"#);
            serde_json::from_str::<Declaration>(&text)
        };
        assert!(read(r#","web":{"tls_min":"1.2"}"#).unwrap().options.web.tls_min.is_some());
        assert!(read(r#","prot":1"#).is_err() && read(r#","web":{"tls":1}"#).is_err());
    }
}
