//! What is accepted of a relay's answers: what was declared here and nothing else, in texts of bounded length that steer no terminal.
//!
//! | answer | is accepted when |
//! |---|---|
//! | to a declaration | name, protocol, public port and hostnames are those that were declared; the overlay port is one of publications; of target, access and options the declaration's are kept |
//! | to a join | network, name and overlay address are this node's, as key and join key have them |
//! | list of the watch | taken for the states that it tells; what was acknowledged stays as it was acknowledged |

use std::net::IpAddr;

use bore_api::Problem;
use bore_api::model::{Publication, PublishedHost};
use bore_api::printable;
use bore_api::state::{PublicationState, Step};
use bore_api::wire::{Joined, PublicationView};
use bore_overlay::{JoinKey, PublicKey, is_overlay, overlay_v6};
use bore_policy::{Hostname, Label, PublicHost, Target};

use super::declaration::Declaration;
use super::error::AgentError;
use super::limits::{ACCESS_NOTES_MAX, STEPS_MAX, TEXT_CHARACTERS_MAX};
use super::targets;

/// Takes the relay's answer to `declaration`.
///
/// # Errors
/// It is about something else (`B7106`).
pub(crate) fn acknowledged(
    view: PublicationView,
    declaration: &Declaration,
    target: &Target,
) -> Result<PublicationView, AgentError> {
    let Publication { name, protocol, overlay_port, .. } = &view.publication;
    let is_name = declaration
        .name
        .as_ref()
        .map_or_else(|| Label::parse(name).is_ok(), |wanted| wanted == name);
    let checks = [
        ("name", is_name),
        ("protocol", *protocol == declaration.protocol),
        ("overlay port", *overlay_port >= OVERLAY_PORT_MIN),
        ("public port", is_port(&view.publication, declaration, target)),
        ("hostnames", are_hostnames(&view.publication, declaration)),
    ];
    match checks.iter().find(|(_, holds)| !holds) {
        Some((what, _)) => Err(AgentError::Distrusted { what }),
        None => Ok(bounded(as_declared(view, declaration))),
    }
}

/// What the relay repeats of a declaration is taken from the declaration: it is kept on disk, and shown.
fn as_declared(view: PublicationView, declaration: &Declaration) -> PublicationView {
    let Declaration { target, access, options, lifetime, .. } = declaration.clone();
    let publication = Publication { target, access, options, lifetime, ..view.publication.clone() };
    PublicationView { publication, ..view }
}

fn is_port(answer: &Publication, declaration: &Declaration, target: &Target) -> bool {
    if !declaration.protocol.has_port() {
        return true;
    }
    let own = targets::ports(target).map(|ports| *ports.start());
    let wanted = declaration.port.or_else(|| own.filter(|_| !declaration.any_port));
    answer.public_port.is_some_and(|port| port > 0 && wanted.is_none_or(|wanted| port == wanted))
}

fn are_hostnames(answer: &Publication, declaration: &Declaration) -> bool {
    if declaration.protocol.has_port() {
        return true;
    }
    let given = &answer.hostnames;
    if declaration.hostnames.is_empty() {
        let is_given = |host: &PublishedHost| is_host(host, &answer.name) || host.name().is_none();
        return matches!(given.as_slice(), [only] if is_given(only));
    }
    let declared =
        |host: &PublishedHost| declaration.hostnames.iter().any(|name| is_host(host, name));
    !given.is_empty() && given.len() <= declaration.hostnames.len() && given.iter().all(declared)
}

/// Returns true if `host` is what `declared` means: that name, or a label directly below the relay's domain.
fn is_host(host: &PublishedHost, declared: &str) -> bool {
    let declared = declared.strip_suffix('.').unwrap_or(declared);
    if declared.contains('.') {
        return PublicHost::parse(declared).is_ok_and(|declared| host.name() == Some(&declared));
    }
    let Some(PublicHost::Exact(name)) = host.name() else { return false };
    let first = name.as_str().split('.').next();
    first.is_some_and(|first| first.eq_ignore_ascii_case(declared))
}

/// Takes the relay's answer to a join with `key` by the node of `public_key`.
///
/// # Errors
/// It is about another node or network (`B7106`).
pub(crate) fn joined(
    answer: Joined,
    key: &JoinKey,
    public_key: &PublicKey,
) -> Result<Joined, AgentError> {
    let Joined { node, network, relay, .. } = &answer;
    let is_host = relay.host.parse::<IpAddr>().is_ok() || Hostname::parse(&relay.host).is_ok();
    let checks = [
        ("network", *network.id.as_bytes() == key.network.0 && node.network == network.id),
        ("overlay address", node.overlay_v6 == overlay_v6(key.network, public_key)),
        ("overlay address", is_overlay(node.overlay_v4.into())),
        ("name", Label::parse(&node.name).is_ok() && Label::parse(&network.name).is_ok()),
        ("relay's host", is_host),
    ];
    match checks.iter().find(|(_, holds)| !holds) {
        Some((what, _)) => Err(AgentError::Distrusted { what }),
        None => Ok(answer),
    }
}

/// The same with texts and lists no longer than a person reads.
pub(crate) fn bounded(view: PublicationView) -> PublicationView {
    let notes = view.access_notes.into_iter().take(ACCESS_NOTES_MAX);
    PublicationView {
        state: bounded_state(view.state),
        public: bounded_text(view.public),
        access_notes: notes.map(bounded_text).collect(),
        publication: view.publication,
    }
}

/// The same for a state.
pub(crate) fn bounded_state(state: PublicationState) -> PublicationState {
    let steps = state
        .steps
        .into_iter()
        .take(STEPS_MAX)
        .map(|step| Step { detail: bounded_text(step.detail), ..step });
    PublicationState { cause: state.cause.map(bounded_text), steps: steps.collect(), ..state }
}

/// The same for a refusal. What has not the form of a code is none.
pub(crate) fn bounded_problem(problem: Problem) -> Problem {
    let is_code = |text: &str| {
        text.strip_prefix('B').is_some_and(|digits| {
            digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    Problem {
        kind: bounded_text(problem.kind),
        title: bounded_text(problem.title),
        status: problem.status,
        detail: bounded_text(problem.detail),
        code: if is_code(&problem.code) { problem.code } else { String::new() },
        next: bounded_text(problem.next),
        errors: Vec::new(),
    }
}

/// A text no longer than a person reads, of one line. What could steer a terminal is shown instead.
pub(crate) fn bounded_text(text: String) -> String {
    match text.char_indices().nth(TEXT_CHARACTERS_MAX) {
        None => printable(&text),
        Some((end, _)) => format!("{}…", printable(text.get(..end).unwrap_or_default())),
    }
}

/// Lower ones are the overlay's own: probes, control.
const OVERLAY_PORT_MIN: u16 = 1024;

#[cfg(test)]
mod tests {
    use bore_api::model::Protocol;
    use bore_api::state::StepName;

    use super::*;
    use crate::test_support::{declaration, view};

    #[test]
    fn an_answer_is_about_what_was_declared_or_refused() {
        let shell = declaration("shell", Protocol::Tcp, "7777");
        assert_eq!(refused(&shell, |_| ()), None);
        assert_eq!(refused(&shell, |answer| answer.name = "other".into()), Some("name"));
        assert_eq!(refused(&shell, |answer| answer.protocol = Protocol::Udp), Some("protocol"));
        assert_eq!(refused(&shell, |answer| answer.overlay_port = 1), Some("overlay port"));
        assert_eq!(refused(&shell, |answer| answer.public_port = Some(22)), Some("public port"));
        assert_eq!(refused(&shell, |answer| answer.public_port = None), Some("public port"));

        let unnamed = Declaration { name: None, any_port: true, ..shell };
        assert_eq!(refused(&unnamed, |answer| answer.public_port = Some(20_123)), None);
        assert_eq!(refused(&unnamed, |answer| answer.name = "\x1b[2J".into()), Some("name"));
    }

    #[test]
    fn hostnames_are_those_that_were_declared() {
        let given = |declared: &[&str], given: &[&str]| {
            let declared = declared.iter().map(|name| (*name).to_owned()).collect();
            let app =
                Declaration { hostnames: declared, ..declaration("app", Protocol::Http, "1") };
            let given = given.iter().map(|name| name.parse().unwrap()).collect();
            refused(&app, |answer| (answer.hostnames, answer.public_port) = (given, None)).is_none()
        };
        assert!(given(&[], &["app.t.example.org"]) && given(&[], &["203.0.113.5"]));
        assert!(given(&["Shop"], &["shop.t.example.org"]));
        assert!(given(&["*.Shop.example.com.", "a.b"], &["*.shop.example.com", "a.b"]));
        for (declared, hostile) in [
            (&[][..], &["metadata.internal"][..]),
            (&[], &["app.t.example.org", "intranet.example.org"]),
            (&["shop"], &["intranet.example.org"]),
            (&["shop"], &["203.0.113.5"]),
            (&["shop.example.com"], &["shop.example.org"]),
            (&["shop.example.com"], &[]),
        ] {
            assert!(!given(declared, hostile), "{hostile:?}");
        }
    }

    #[test]
    fn what_was_declared_is_taken_from_the_declaration_alone() {
        let shell = declaration("shell", Protocol::Tcp, "7777");
        let mut answer = view("shell", Protocol::Tcp);
        answer.publication.target = "\x1b[2J".repeat(1 << 20);
        answer.publication.access.allow = vec!["10.0.0.0/8".parse().unwrap(); 1 << 10];
        answer.publication.lifetime = bore_api::model::Lifetime::Persistent;
        let taken = acknowledged(answer, &shell, &shell.parse_target().unwrap()).unwrap();
        let Publication { target, access, lifetime, .. } = taken.publication;
        assert_eq!((target, access, lifetime), (shell.target, shell.access, shell.lifetime));
    }

    #[test]
    fn no_text_of_a_relay_steers_a_terminal_or_makes_a_line() {
        let hostile = "ok\x1b]0;owned\x07\r\n✓ web is live\u{202e}";
        let shown = "ok\\u{1b}]0;owned\\u{7}\\r\\n✓ web is live\\u{202e}";
        let mut told = view("web", Protocol::Tcp);
        told.public = hostile.to_owned();
        told.state.cause = Some(hostile.to_owned());
        told.state.steps = vec![Step::held(StepName::Unknown, hostile)];
        told.access_notes = vec![hostile.to_owned()];
        let PublicationView { public, state, access_notes, .. } = bounded(told);
        let texts = [public, state.cause.unwrap(), access_notes.concat()];
        assert_eq!(texts, [shown; 3]);
        assert!(state.steps.iter().all(|step| step.detail == shown));
        assert_eq!(bounded_text(hostile.repeat(TEXT_CHARACTERS_MAX)).find('\x1b'), None);
    }

    #[test]
    fn long_texts_are_cut_and_what_is_no_code_is_none() {
        let long = "é".repeat(TEXT_CHARACTERS_MAX * 3);
        let problem = Problem {
            status: 409,
            detail: long.clone(),
            code: "B3104\nB1".to_owned(),
            next: "try".to_owned(),
            errors: vec![long.clone(); 10_000],
            ..Problem::default()
        };
        let problem = bounded_problem(problem);
        assert_eq!(problem.detail.chars().count(), TEXT_CHARACTERS_MAX + 1);
        assert_eq!((problem.code.as_str(), problem.next.as_str()), ("", "try"));
        assert!(problem.errors.is_empty());

        let mut told = view("web", Protocol::Tcp);
        told.access_notes = vec![long; ACCESS_NOTES_MAX * 2];
        assert_eq!(bounded(told).access_notes.len(), ACCESS_NOTES_MAX);
    }

    fn refused(
        declaration: &Declaration,
        change: impl FnOnce(&mut Publication),
    ) -> Option<&'static str> {
        let mut answer = view(declaration.name.as_deref().unwrap_or("any"), declaration.protocol);
        change(&mut answer.publication);
        match acknowledged(answer, declaration, &declaration.parse_target().unwrap()) {
            Err(AgentError::Distrusted { what }) => Some(what),
            Err(error) => panic!("{error}"),
            Ok(_) => None,
        }
    }
}
