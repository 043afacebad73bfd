//! A request to publish, checked for form: existing means that every field can be meant.
//!
//! What is taken or forbidden is not known here.

use bore_api::Code;
use bore_api::limits::{HOSTNAMES_PER_PUBLICATION_MAX, PORT_COUNT_MAX};
use bore_api::model::{HealthCheck, Lifetime, NodeKind, Protocol, PublicationOptions, WebOptions};
use bore_api::wire::{AccessLists, PublishRequest};
use bore_policy::{Access, CompiledAccess, Groups, Label, Source, Target, TargetScheme};
use uuid::Uuid;

use super::label;
use crate::limits::{ACCESS_ENTRIES_MAX, TARGET_CHARS_MAX};
use crate::names::readable_label;
use crate::refusal::Refusal;
use crate::text::check_text;

/// A request that makes sense.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: Option<Label>,
    pub(super) protocol: Protocol,
    pub(super) wish: PortWish,
    pub(super) port_count: u16,
    pub(super) hostnames: Vec<String>,
    pub(super) target: String,
    /// The port on a WireGuard node; an agent's is the store's to choose.
    pub(super) overlay_port: Option<u16>,
    pub(super) access: Access,
    pub(super) options: PublicationOptions,
    pub(super) lifetime: Lifetime,
    pub(super) replace: bool,
}

/// Which public port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PortWish {
    /// None: visitors name a host.
    Host,
    /// This one or none.
    Exact(u16),
    /// Any that is free.
    Any,
}

impl Draft {
    pub(super) fn check(
        request: &PublishRequest,
        kind: NodeKind,
        groups: &Groups,
    ) -> Result<Self, Refusal> {
        check_text("target", &request.target, TARGET_CHARS_MAX)?;
        let access = parse_access(&request.access)?;
        check_access(&access, groups)?;
        Ok(Self {
            name: request.name.as_deref().map(label).transpose()?,
            protocol: request.protocol,
            wish: port_wish(request)?,
            port_count: port_count(request)?,
            hostnames: hostname_wishes(request)?,
            target: request.target.clone(),
            overlay_port: overlay_port(request, kind)?,
            access,
            options: options(request, kind)?,
            lifetime: request.lifetime,
            replace: request.replace,
        })
    }

    /// Returns true if both name and hostname are made up here.
    pub(super) fn names_itself(&self) -> bool {
        self.name.is_none() && self.hostnames.is_empty()
    }

    /// The name that was given, or one that stays the same for this node, protocol and target.
    pub(super) fn name_for(&self, node: Uuid, attempt: u32) -> String {
        let protocol = self.protocol.to_string();
        let seed: [&[u8]; 3] = [node.as_bytes(), protocol.as_bytes(), self.target.as_bytes()];
        self.name.as_ref().map_or_else(|| readable_label(&seed, attempt), ToString::to_string)
    }
}

fn check_access(access: &Access, groups: &Groups) -> Result<(), Refusal> {
    CompiledAccess::new(access, groups).map(drop).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Refusal::new(Code::BAD_ACCESS, errors.join("; ")).errors(errors)
    })
}

fn parse_access(lists: &AccessLists) -> Result<Access, Refusal> {
    if lists.allow.len() + lists.deny.len() > ACCESS_ENTRIES_MAX {
        return Err(Refusal::new(
            Code::BAD_ACCESS,
            format!("an access list has at most {ACCESS_ENTRIES_MAX} entries"),
        ));
    }
    let mut errors = Vec::new();
    let mut parse = |list: &str, texts: &[String]| -> Vec<Source> {
        let entry = |text: &String| {
            text.parse().map_err(|error| errors.push(format!("`{list}`: {error}"))).ok()
        };
        texts.iter().filter_map(entry).collect()
    };
    let access = Access { allow: parse("allow", &lists.allow), deny: parse("deny", &lists.deny) };
    if errors.is_empty() {
        return Ok(access);
    }
    Err(Refusal::new(Code::BAD_ACCESS, errors.join("; ")).errors(errors))
}

fn port_wish(request: &PublishRequest) -> Result<PortWish, Refusal> {
    let bad = |why: &str| Err(Refusal::new(Code::BAD_REQUEST, why));
    if !request.protocol.has_port() {
        return if request.port.is_some() {
            bad("`port`: http and tls have no port of their own")
        } else {
            Ok(PortWish::Host)
        };
    }
    match (request.port, request.any_port, request.preferred_port) {
        (Some(0), ..) | (None, false, Some(0)) => {
            bad("`port` is 0: say `any_port` for any free port")
        }
        (Some(port), ..) | (None, false, Some(port)) => Ok(PortWish::Exact(port)),
        (None, true, _) => Ok(PortWish::Any),
        (None, false, None) => bad("`port`, `preferred_port` or `any_port` is needed"),
    }
}

fn port_count(request: &PublishRequest) -> Result<u16, Refusal> {
    let count = request.port_count;
    let most = if request.protocol.has_port() { PORT_COUNT_MAX } else { 1 };
    if (1..=most).contains(&count) {
        return Ok(count);
    }
    Err(Refusal::new(
        Code::BAD_REQUEST,
        format!(
            "`port_count` is {count}: it goes from 1 to {most} here; publish more as a second range"
        ),
    ))
}

fn hostname_wishes(request: &PublishRequest) -> Result<Vec<String>, Refusal> {
    let bad = |why: String| Err(Refusal::new(Code::BAD_REQUEST, format!("`hostnames`: {why}")));
    match request.hostnames.len() {
        0 => Ok(Vec::new()),
        _ if request.protocol.has_port() => bad("tcp and udp are reached by port".to_owned()),
        1..=HOSTNAMES_PER_PUBLICATION_MAX => Ok(request.hostnames.clone()),
        _ => bad(format!("a publication has at most {HOSTNAMES_PER_PUBLICATION_MAX}")),
    }
}

fn options(request: &PublishRequest, kind: NodeKind) -> Result<PublicationOptions, Refusal> {
    if request.protocol != Protocol::Http && request.options.web != WebOptions::default() {
        return Err(Refusal::new(Code::BAD_REQUEST, "`web`: only http services are spoken for"));
    }
    check_health(request, kind)?;
    Ok(request.options.clone())
}

fn check_health(request: &PublishRequest, kind: NodeKind) -> Result<(), Refusal> {
    let bad = |why: &str| Err(Refusal::new(Code::BAD_REQUEST, format!("`health`: {why}")));
    match (&request.options.health.check, request.protocol, kind) {
        (Some(HealthCheck::Tcp | HealthCheck::Http(_)), Protocol::Udp, _) => {
            bad("a udp service answers no check: leave it out, or say `none`")
        }
        (Some(HealthCheck::Http(_)), Protocol::Tls, _) => {
            bad("what is inside tls is not spoken here: `tcp` or `none`")
        }
        (Some(HealthCheck::Http(_)), _, NodeKind::Wireguard) => {
            bad("the relay checks a WireGuard node by `tcp` or not at all")
        }
        (Some(HealthCheck::Http(_)), ..) if request.port_count > 1 => {
            bad("a range is checked by `tcp` or not at all")
        }
        _ => Ok(()),
    }
}

/// On a WireGuard node the target is a port of its overlay address, and nothing else can be dialled.
fn overlay_port(request: &PublishRequest, kind: NodeKind) -> Result<Option<u16>, Refusal> {
    let target = Target::parse(&request.target)
        .map_err(|error| Refusal::new(Code::BAD_REQUEST, format!("`target`: {error}")))?;
    if target.port_count() != request.port_count {
        let detail =
            format!("`port_count` is {}, `target` has {}", request.port_count, target.port_count());
        return Err(Refusal::new(Code::BAD_REQUEST, detail));
    }
    if target.scheme() != TargetScheme::Plain && request.protocol != Protocol::Http {
        return Err(Refusal::new(Code::BAD_REQUEST, "`target`: only http services have a scheme"));
    }
    match kind {
        NodeKind::Agent => Ok(None),
        NodeKind::Wireguard => {
            let first = request.target.split('-').next().and_then(|port| port.parse().ok());
            let refused = || {
                Refusal::new(
                    Code::BAD_REQUEST,
                    "`target`: with a WireGuard node it is a port on its overlay address",
                )
            };
            first.map(Some).ok_or_else(refused)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_wished_exactly_or_freely() {
        let wish = |fields: &str| {
            Draft::check(&request(fields), NodeKind::Agent, &Groups::default())
                .map(|draft| draft.wish)
        };
        assert_eq!(wish(r#""port": 7777, "any_port": true"#).unwrap(), PortWish::Exact(7777));
        assert_eq!(wish(r#""preferred_port": 3000"#).unwrap(), PortWish::Exact(3000));
        assert_eq!(wish(r#""preferred_port": 3000, "any_port": true"#).unwrap(), PortWish::Any);
        for nonsense in [
            "\"port\": 0",
            "\"any_port\": false",
            "\"any_port\": true, \"hostname\": \"a\"",
            "\"any_port\": true, \"port_count\": 0",
        ] {
            assert_eq!(wish(nonsense).unwrap_err().code, Code::BAD_REQUEST, "{nonsense}");
        }
    }

    #[test]
    fn options_of_a_web_service_are_for_web_services() {
        let web = r#""any_port": true, "web": {"tls_min": "1.2"}"#;
        let refused = Draft::check(&request(web), NodeKind::Agent, &Groups::default());
        assert_eq!(refused.unwrap_err().code, Code::BAD_REQUEST);
        let asked = PublishRequest { protocol: Protocol::Http, ..request(web) };
        let asked = PublishRequest { any_port: false, ..asked };
        let draft = Draft::check(&asked, NodeKind::Agent, &Groups::default()).unwrap();
        assert_eq!(draft.options, asked.options);
    }

    #[test]
    fn a_range_may_be_as_wide_as_one_of_16_384_ports() {
        let check = |count: u16| {
            let fields = format!(r#""preferred_port": 10000, "port_count": {count}"#);
            let target = format!("10000-{}", 9_999 + count);
            let request = PublishRequest { target, ..request(&fields) };
            Draft::check(&request, NodeKind::Agent, &Groups::default())
        };
        assert_eq!(check(10_001).unwrap().port_count, 10_001, "Asterisk: 10000-20000");
        assert!(check(16_384).is_ok());
        let refusal = check(16_385).unwrap_err();
        assert!(refusal.detail.contains("second range"), "{refusal}");
    }

    #[test]
    fn a_check_is_of_a_kind_that_can_be_done() {
        let check = |protocol, kind, check: &str| {
            let health = format!(r#""preferred_port": 1, "health": {{"check": "{check}"}}"#);
            let request = PublishRequest { protocol, target: "80".to_owned(), ..request(&health) };
            Draft::check(&request, kind, &Groups::default()).map(|draft| draft.options.health.check)
        };
        let agent = NodeKind::Agent;
        assert!(check(Protocol::Tcp, agent, "http:/up").unwrap().is_some());
        assert!(check(Protocol::Udp, agent, "none").is_ok());
        for (protocol, kind, text) in
            [(Protocol::Udp, agent, "tcp"), (Protocol::Tcp, NodeKind::Wireguard, "http")]
        {
            let refusal = check(protocol, kind, text).unwrap_err();
            assert_eq!(refusal.code, Code::BAD_REQUEST, "{protocol:?} {text}");
        }
    }

    #[test]
    fn every_bad_entry_of_an_access_list_is_named() {
        let request = request(
            r#""any_port": true, "access": {"allow": ["10.0.0.0/33", "10.1.0.0/8"], "deny": ["nonsense"]}"#,
        );
        let refusal = Draft::check(&request, NodeKind::Agent, &Groups::default()).unwrap_err();
        assert_eq!((refusal.code, refusal.errors.len()), (Code::BAD_ACCESS, 3), "{refusal}");
    }

    #[test]
    fn hostnames_are_wished_where_there_is_no_port_and_up_to_a_bound() {
        let wish = |protocol, hostnames: Vec<String>| {
            let request = PublishRequest {
                protocol,
                hostnames,
                any_port: false,
                ..request(r#""any_port": true"#)
            };
            Draft::check(&request, NodeKind::Agent, &Groups::default())
                .map(|draft| (draft.wish, draft.hostnames.len()))
                .map_err(|refusal| refusal.code)
        };
        let names = |count| vec!["a".to_owned(); count];
        assert_eq!(wish(Protocol::Tls, names(2)), Ok((PortWish::Host, 2)));
        assert_eq!(wish(Protocol::Http, names(64)), Ok((PortWish::Host, 64)));
        assert_eq!(wish(Protocol::Http, names(65)), Err(Code::BAD_REQUEST));
        assert_eq!(wish(Protocol::Udp, names(1)), Err(Code::BAD_REQUEST));
    }

    #[test]
    fn one_hostname_may_be_a_text_and_is_read_under_its_old_name() {
        for fields in [r#""hostname": "a""#, r#""hostnames": "a""#, r#""hostnames": ["a"]"#] {
            assert_eq!(request(fields).hostnames, ["a"], "{fields}");
        }
        assert!(request(r#""hostname": null"#).hostnames.is_empty());
    }

    #[test]
    fn a_wireguard_node_is_dialled_on_a_port_of_its_own() {
        let check = |target: &str| {
            let request =
                PublishRequest { target: target.to_owned(), ..request(r#""any_port": true"#) };
            Draft::check(&request, NodeKind::Wireguard, &Groups::default())
                .map(|draft| draft.overlay_port)
        };
        assert_eq!(check("8080").unwrap(), Some(8080));
        assert_eq!(check("10.0.0.1:8080").unwrap_err().code, Code::BAD_REQUEST);
    }

    fn request(fields: &str) -> PublishRequest {
        let comma = if fields.is_empty() { "" } else { "," };
        serde_json::from_str(&format!(
            r#"{{"protocol": "tcp", "target": "127.0.0.1:3000"{comma} {fields}}}"#
        ))
        .unwrap()
    }
}
