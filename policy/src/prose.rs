//! Who can reach a publication, in sentences, which the command line prints after publishing.
//!
//! [`describe_access`] speaks of the publication's own lists, [`describe_policy`] of how the
//! administrator's policy narrows them.

use crate::access::Access;
use crate::compile::Policy;
use crate::model::{DefaultAccess, Protocol};
use crate::network::Network;
use crate::question::PublicationRef;
use crate::selector::Source;
use crate::text::listed;

/// Says who can reach a publication of `protocol`, and what somebody may expect wrongly.
pub fn describe_access(access: &Access, protocol: Protocol) -> Vec<String> {
    let mut sentences = vec![admitted(&access.allow)];
    if !access.deny.is_empty() {
        sentences
            .push(format!("never {}, not even where an allow names them", listed(&access.deny)));
    }
    sentences.extend(private_ranges(&access.allow));
    if protocol == Protocol::Udp
        && networks(access.allow.iter().chain(&access.deny)).next().is_some()
    {
        sentences.push(FORGED_SENDERS.to_owned());
    }
    sentences
}

/// Says how `policy` narrows what the publication's own lists admit; nothing where it does not.
pub fn describe_policy(policy: &Policy, publication: &PublicationRef<'_>) -> Vec<String> {
    let mut sentences: Vec<String> = policy
        .visit_deny
        .about(publication)
        .map(|named| {
            format!("rule {} of the policy refuses {}", named.name, listed(&named.rule.from))
        })
        .collect();
    let admitting: Vec<String> = policy
        .visit_allow
        .about(publication)
        .map(|named| format!("{} (rule {})", listed(&named.rule.from), named.name))
        .collect();
    if !admitting.is_empty() {
        sentences.push(format!("of these, the policy admits only {}", listed(&admitting)));
    } else if policy.defaults.visit == DefaultAccess::Closed {
        sentences.push(CLOSED.to_owned());
    }
    sentences
}

fn admitted(allow: &[Source]) -> String {
    if allow.is_empty() || allow.contains(&Source::Any) {
        return "open to anyone".to_owned();
    }
    format!("only {}, nobody else", listed(allow))
}

/// What a private range means, unless anyone is admitted anyway.
fn private_ranges(allow: &[Source]) -> Option<String> {
    let private: Vec<&Network> = networks(allow.iter()).filter(|each| each.is_private()).collect();
    if private.is_empty() || allow.contains(&Source::Any) {
        return None;
    }
    let (ranges, are, lies) = match private.as_slice() {
        [_] => (listed(&private), "is private and admits", "in it"),
        _ => (listed(&private), "are private and admit", "in them"),
    };
    Some(format!(
        "{ranges} {are} visitors on the relay's own networks whose address lies {lies}; \
         overlay nodes are named by `--allow overlay` or `--allow group:NAME`"
    ))
}

fn networks<'a>(sources: impl Iterator<Item = &'a Source>) -> impl Iterator<Item = &'a Network> {
    sources.filter_map(|source| match source {
        Source::Network(network) => Some(network),
        Source::Any | Source::Overlay | Source::Group(_) => None,
    })
}

const CLOSED: &str = "nobody is admitted: the policy is closed by default, and no allow rule \
                      of it is about this publication";

const FORGED_SENDERS: &str = "a UDP sender can forge its address: the lists decide who gets \
                              answers, and single datagrams under a forged address may arrive";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use uuid::Uuid;

    use super::*;
    use crate::groups::Groups;
    use crate::label::Label;

    #[test]
    fn without_lists_a_publication_is_open_to_anyone() {
        assert_eq!(describe(&[], &[], Protocol::Udp), ["open to anyone"]);
        assert_eq!(describe(&["10.0.0.0/8", "any"], &[], Protocol::Tcp), ["open to anyone"]);
    }

    #[test]
    fn an_allow_list_means_these_and_nobody_else() {
        assert_eq!(
            describe(&["203.0.113.0/24", "overlay"], &[], Protocol::Http),
            ["only 203.0.113.0/24, overlay, nobody else"]
        );
    }

    #[test]
    fn a_private_range_says_whom_it_admits_and_how_overlay_nodes_are_named() {
        assert_eq!(
            describe(&["10.0.0.0/8"], &[], Protocol::Tcp),
            [
                "only 10.0.0.0/8, nobody else",
                "10.0.0.0/8 is private and admits visitors on the relay's own networks whose \
                 address lies in it; overlay nodes are named by `--allow overlay` or `--allow group:NAME`",
            ]
        );
        let two = describe(&["10.0.0.0/8", "fd00::/8"], &[], Protocol::Tcp);
        assert!(two[1].starts_with("10.0.0.0/8, fd00::/8 are private and admit"), "{two:?}");
    }

    #[test]
    fn a_deny_list_is_told_beside_what_is_open() {
        assert_eq!(
            describe(&[], &["198.51.100.0/24"], Protocol::Tls),
            ["open to anyone", "never 198.51.100.0/24, not even where an allow names them"]
        );
    }

    #[test]
    fn udp_says_that_senders_can_be_forged_when_addresses_matter() {
        assert_eq!(
            describe(&["198.51.100.0/24"], &[], Protocol::Udp).last().unwrap(),
            FORGED_SENDERS
        );
        assert_eq!(describe(&["overlay"], &[], Protocol::Udp), ["only overlay, nobody else"]);
    }

    #[test]
    fn the_policy_says_how_it_narrows_the_lists() {
        const RULES: &str = r#"
            [[visit]]
            name = "lan"
            effect = "allow"
            from = ["10.0.0.0/8", "overlay"]
            to = ["game"]
            [[visit]]
            name = "bots"
            effect = "deny"
            from = ["203.0.113.0/24"]
            to = ["any"]
            [defaults]
            visit = "closed"
        "#;
        assert_eq!(
            narrowed(RULES, "game"),
            [
                "rule bots of the policy refuses 203.0.113.0/24",
                "of these, the policy admits only 10.0.0.0/8, overlay (rule lan)",
            ]
        );
        assert_eq!(narrowed(RULES, "web").last().unwrap(), CLOSED);
        assert_eq!(narrowed("", "web"), [""; 0]);
    }

    fn narrowed(document: &str, publication: &str) -> Vec<String> {
        let document = toml::from_str(document).unwrap();
        let policy = Policy::compile(&[document], &Groups::default()).unwrap();
        let publication = PublicationRef {
            name: &Label::parse(publication).unwrap(),
            protocol: Protocol::Udp,
            node: Uuid::nil(),
            node_groups: &BTreeSet::new(),
        };
        describe_policy(&policy, &publication)
    }

    fn describe(allow: &[&str], deny: &[&str], protocol: Protocol) -> Vec<String> {
        let parse = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        describe_access(&Access { allow: parse(allow), deny: parse(deny) }, protocol)
    }
}
