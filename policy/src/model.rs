//! Policies as people write them, the same in TOML and JSON.
//!
//! ```toml
//! name = "office"
//!
//! [[publish]]
//! name = "students"
//! effect = "allow"
//! who = ["group:students"]
//! protocols = ["udp"]
//! ports = ["20000-29999", 7777]
//! publications_max = 3
//!
//! [[visit]]
//! name = "lan-only"
//! effect = "allow"
//! from = ["10.0.0.0/8", "overlay"]
//! to = ["game"]
//!
//! [defaults]
//! visit = "closed"
//! ```
//!
//! An unknown key is an error that lists the known ones. What needs other documents or the groups
//! to be checked is checked by [`crate::Policy::compile`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::RuleName;
use crate::hostname::HostPattern;
use crate::label::Label;
use crate::ports::PortRange;
use crate::selector::{Source, To, Who};
use crate::text::quoted;

/// One document of rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyDocument {
    /// Its name, which decisions show in front of a rule's. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Label>,
    /// Who may publish what. Default: no rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<PublishRule>,
    /// Who may visit what. Default: no rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub visit: Vec<VisitRule>,
    /// What holds where no rule speaks. Default: open.
    #[serde(default)]
    pub defaults: Defaults,
}

impl PolicyDocument {
    /// Each entry `node:NAME` of its publish rules, with the rule that it stands in.
    pub fn named_nodes(&self) -> impl Iterator<Item = (&Label, RuleName)> {
        self.publish.iter().flat_map(|rule| {
            let named = rule.who.iter().filter_map(Who::node);
            named
                .map(|node| (node, RuleName { policy: self.name.clone(), name: rule.name.clone() }))
        })
    }
}

/// Who may publish what.
///
/// `ports` and `hostnames` name public addresses: with both empty the rule is about every address,
/// otherwise about the listed ports and the listed hostnames and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishRule {
    /// Its name, unique in the document.
    pub name: Label,
    /// What it does.
    pub effect: Effect,
    /// Whom it is about; at least one entry.
    pub who: Vec<Who>,
    /// Which protocols it is about. Default, and when empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protocols: Vec<Protocol>,
    /// Which public ports it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortRange>,
    /// Which hostnames it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<HostPattern>,
    /// How many publications one publisher may hold by this rule. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publications_max: Option<u32>,
    /// Whether a publication that another node of the network has gives way to one that the rule permits and that asks for it (`--replace`).
    /// The rule has to fit all that the other publication has. Only in an allow rule. Default: no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
}

/// Who may visit what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisitRule {
    /// Its name, unique in the document.
    pub name: Label,
    /// What it does.
    pub effect: Effect,
    /// Whom it is about; at least one entry.
    pub from: Vec<Source>,
    /// Which publications it is about; at least one entry.
    pub to: Vec<To>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Permits, and so refuses everyone else what it is about.
    Allow,
    /// Refuses; no allow rule can undo it.
    Deny,
}

/// What holds where no rule speaks. Of several documents, one that closes is enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    /// For visitors. Default: open.
    pub visit: DefaultAccess,
    /// For publishers. Default: open.
    pub publish: DefaultAccess,
}

/// One of the [`Defaults`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DefaultAccess {
    /// What no rule speaks of is permitted.
    #[default]
    Open,
    /// Nothing is permitted but by an allow rule.
    Closed,
}

/// How visitors speak to a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// A public TCP port.
    Tcp,
    /// A public UDP port.
    Udp,
    /// A hostname, routed by SNI and passed through.
    Tls,
    /// A hostname, routed by `Host`.
    Http,
}

/// A text that is no [`Protocol`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text} is none of tcp, udp, tls and http")]
pub struct UnknownProtocol {
    /// The text, quoted.
    text: String,
}

impl Protocol {
    /// True when visitors name a port; false when they name a host.
    pub fn has_port(self) -> bool {
        match self {
            Self::Tcp | Self::Udp => true,
            Self::Tls | Self::Http => false,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Tls => "tls",
            Self::Http => "http",
        })
    }
}

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "tls" => Ok(Self::Tls),
            "http" => Ok(Self::Http),
            _ => Err(UnknownProtocol { text: quoted(text) }),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = r#"
        name = "office"

        [[publish]]
        name = "students"
        effect = "allow"
        who = ["group:students", "node:nas"]
        protocols = ["udp"]
        ports = ["20000-29999", 7777]
        hostnames = ["*.dev.example.org"]
        publications_max = 3
        replace = true

        [[visit]]
        name = "lan-only"
        effect = "deny"
        from = ["10.0.0.0/8", "overlay", "group:dev", "any"]
        to = ["game", "udp", "group:dev", "any"]

        [defaults]
        visit = "closed"
    "#;

    #[test]
    fn toml_and_json_are_one_model() {
        let document: PolicyDocument = toml::from_str(TOML).unwrap();
        assert_eq!(
            document.defaults,
            Defaults { visit: DefaultAccess::Closed, ..Defaults::default() }
        );

        let json = serde_json::to_string(&document).unwrap();
        assert_eq!(serde_json::from_str::<PolicyDocument>(&json).unwrap(), document);
        let again = toml::to_string(&document).unwrap();
        assert_eq!(toml::from_str::<PolicyDocument>(&again).unwrap(), document);
    }

    #[test]
    fn a_document_tells_which_nodes_its_rules_name() {
        let document: PolicyDocument = toml::from_str(TOML).unwrap();
        let named: Vec<String> =
            document.named_nodes().map(|(node, rule)| format!("{node} by {rule}")).collect();
        assert_eq!(named, ["nas by office/students"]);
    }

    #[test]
    fn an_empty_document_is_open_and_has_no_rule() {
        let document: PolicyDocument = toml::from_str("").unwrap();
        assert_eq!(document, PolicyDocument::default());
        assert_eq!(document.defaults.visit, DefaultAccess::Open);
        assert_eq!(document.defaults.publish, DefaultAccess::Open);
    }

    #[test]
    fn an_unknown_key_is_an_error_everywhere_that_lists_the_known_ones() {
        let table = [
            (
                "nmae = 'x'",
                "unknown field `nmae`, expected one of `name`, `publish`, `visit`, `defaults`",
            ),
            (
                "[defaults]\nvisits = 'open'",
                "unknown field `visits`, expected `visit` or `publish`",
            ),
            (
                "[[visit]]\nname='a'\neffect='allow'\nfrom=['any']\nto=['any']\nform=[]",
                "unknown field `form`, expected one of `name`, `effect`, `from`, `to`",
            ),
            (
                "[[publish]]\nname='a'\neffect='allow'\nwho=['any']\nport=[1]",
                "unknown field `port`, expected one of `name`, `effect`, `who`, `protocols`, `ports`, `hostnames`, `publications_max`, `replace`",
            ),
        ];
        for (text, expected) in table {
            let error = toml::from_str::<PolicyDocument>(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(serde_json::from_str::<PolicyDocument>("{\"rules\": []}").is_err());
    }

    #[test]
    fn wrong_values_keep_their_helpful_text() {
        let visit = |from: &str| {
            format!("[[visit]]\nname='a'\neffect='allow'\nfrom=['{from}']\nto=['any']")
        };
        let error = toml::from_str::<PolicyDocument>(&visit("10.1.2.3/8")).unwrap_err().to_string();
        assert!(error.contains("write 10.0.0.0/8 for the network"), "{error}");

        for text in [
            "[[visit]]\nname='a'\neffect='permit'\nfrom=['any']\nto=['any']",
            "[[visit]]\nname='A b'\neffect='allow'\nfrom=['any']\nto=['any']",
            "[[visit]]\nname='a'\nfrom=['any']\nto=['any']",
            "[[publish]]\nname='a'\neffect='allow'\nwho=['any']\nprotocols=['sctp']",
            "[[publish]]\nname='a'\neffect='allow'\nwho=['any']\npublications_max=-1",
            "[defaults]\nvisit='maybe'",
        ] {
            assert!(toml::from_str::<PolicyDocument>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn protocols_are_written_as_they_are_read() {
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Tls, Protocol::Http] {
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
            assert_eq!(serde_json::to_string(&protocol).unwrap(), format!("\"{protocol}\""));
        }
        let error = "TCP".parse::<Protocol>().unwrap_err();
        assert_eq!(error.to_string(), "`TCP` is none of tcp, udp, tls and http");
    }
}
