//! What is declared, acknowledged, refused and expected.

use bore_api::model::Protocol;

use super::*;
use crate::test_support::{declaration, view};

#[test]
fn attack_37_what_the_relay_names_and_nobody_declared_is_ignored() {
    let mut registry = declared("web");
    let mut foreign = view("metadata", Protocol::Tcp);
    foreign.publication.target = "169.254.169.254:80".into();

    let narrowed = registry.narrow(vec![view("web", Protocol::Tcp), foreign.clone()]);

    assert_eq!(narrowed.undeclared, [foreign]);
    assert!(registry.entry("metadata").is_none());
    assert_eq!(registry.views().len(), 1);
}

#[test]
fn attack_37_the_relay_cannot_change_the_target_of_a_declared_publication() {
    let mut registry = declared("web");
    let mut changed = view("web", Protocol::Tcp);
    changed.publication.target = "10.0.0.1:5432".into();
    registry.narrow(vec![changed]);

    let entry = registry.entry("web").unwrap();
    assert_eq!(entry.declaration.target, "127.0.0.1:3000");
    assert_eq!(entry.target, "127.0.0.1:3000".parse().unwrap());
}

#[test]
fn attack_37_a_list_tells_states_and_does_not_move_what_was_acknowledged() {
    let mut registry = declared("web");
    let acknowledged = registry.views().remove(0).publication;
    let mut moved = view("web", Protocol::Tcp);
    moved.publication.public_port = Some(6379);
    moved.publication.hostnames = vec!["intranet.example.org".parse().unwrap()];
    moved.publication.overlay_port = 1;
    moved.state.state = State::Live;

    assert_eq!(registry.narrow(vec![moved.clone()]).changed.len(), 1, "it is live");
    assert_eq!(registry.views().remove(0).publication, acknowledged);

    moved.publication.id = Uuid::from_u128(99);
    moved.state.state = State::Down;
    assert_eq!(registry.narrow(vec![moved]), Narrowed::default(), "another of this name");
}

#[test]
fn an_acknowledged_publication_that_the_list_lacks_is_told_and_kept_until_it_is_certain() {
    let mut registry = declared("web");
    assert_eq!(registry.narrow(Vec::new()).missing, ["web"]);
    assert!(registry.entry("web").is_some());
}

#[test]
fn what_the_relay_refuses_is_kept_shown_and_asked_for_again_without_taking_over() {
    let mut registry = Registry::default();
    let declared = Declaration {
        lifetime: Lifetime::Persistent,
        replace: true,
        ..declaration("web", Protocol::Tcp, "127.0.0.1:3000")
    };
    let target = declared.parse_target().unwrap();
    registry.declare("web", declared, target, Some(view("web", Protocol::Tcp)));
    let problem = Problem {
        status: 409,
        detail: "port 7777/tcp is held by \"other\"".to_owned(),
        code: "B2104".to_owned(),
        ..Problem::default()
    };

    assert!(registry.refuse("web", problem.clone()));
    assert!(!registry.refuse("web", problem.clone()), "no news");
    assert!(registry.views().is_empty(), "it is not served");
    let shown = registry.shown().remove(0);
    assert_eq!(
        (shown.state.state, shown.public.as_str()),
        (State::Refused, "tcp://203.0.113.5:7777")
    );
    assert!(shown.state.cause.unwrap().contains("(B2104)"));
    assert_eq!(registry.persistent()[0].refused, Some(problem));
    assert_eq!(registry.names_to_ask_for(), ["web"]);
    assert!(!registry.entry("web").unwrap().request_again().replace);
    assert!(registry.narrow(Vec::new()).missing.is_empty(), "a list without it is no news");

    registry.acknowledge("web", view("web", Protocol::Tcp));
    assert!(registry.names_to_ask_for().is_empty() && registry.views().len() == 1);
}

#[test]
fn what_the_relay_has_not_answered_to_in_this_session_is_asked_for_and_not_missing() {
    let mut registry = declared("web");
    registry.set_all_due();
    assert_eq!(registry.names_to_ask_for(), ["web"]);
    assert!(registry.narrow(Vec::new()).missing.is_empty(), "it was not asked for yet");
    registry.acknowledge("web", view("web", Protocol::Tcp));
    assert!(registry.names_to_ask_for().is_empty());
    assert_eq!(registry.narrow(Vec::new()).missing, ["web"]);
}

#[test]
fn a_publication_at_another_address_is_another_one_to_the_relay() {
    let mut registry = declared("web");
    let mut answer = view("web", Protocol::Tcp);
    answer.state.state = State::Live;
    assert!(!registry.acknowledge("web", answer.clone()));
    answer.publication.public_port = Some(7778);
    assert!(registry.acknowledge("web", answer));
}

#[test]
fn a_token_is_consumed_once() {
    let mut registry = declared("web");
    let id = Uuid::from_u128(1);
    let mut arrived = registry.expect_visit("token", id).unwrap();
    assert!(arrived.try_recv().is_err());

    assert_eq!(registry.take_visit("token"), Some(id));
    assert!(arrived.try_recv().is_ok());
    assert_eq!(registry.take_visit("token"), None);
    assert_eq!(registry.take_visit("another"), None);
}

#[test]
fn a_target_is_reported_when_it_changes_and_not_again() {
    let mut registry = declared("web");
    let report = |registry: &mut Registry, result| {
        registry.note_target("web", result).map(|(_, report)| report.ok)
    };

    assert_eq!(report(&mut registry, Err("refused".into())), Some(false));
    assert_eq!(report(&mut registry, Err("refused".into())), None);
    assert_eq!(report(&mut registry, Ok(())), Some(true));
    assert_eq!(report(&mut registry, Ok(())), None);
}

#[test]
fn a_proof_holds_for_the_interval_and_no_longer_than_until_the_next_failure() {
    let mut registry = declared("web");
    let now = Instant::now();
    registry.entry_mut("web").unwrap().seen.proof = Some((now, "took a connection"));
    let entry = registry.entry("web").unwrap();
    let soon = now + Duration::from_secs(12);
    assert_eq!(entry.recent_proof(soon).as_deref(), Some("took a connection 12 s ago"));
    assert_eq!(entry.recent_proof(now + entry.health_interval()), None);
    registry.note_target("web", Err("refused".into()));
    assert_eq!(registry.entry("web").unwrap().recent_proof(soon), None);
}

#[test]
fn a_visitor_judges_one_port_and_no_range() {
    let judged = |target: &str, health: &str| {
        let mut registry = Registry::default();
        let mut declaration = declaration("web", Protocol::Tcp, target);
        declaration.options.health.check = health.parse().ok();
        registry.declare("web", declaration, target.parse::<Target>().unwrap(), None);
        registry.entry("web").unwrap().is_judged_by_visitors()
    };
    assert!(judged("3000", "tcp") && judged("3000", "http"));
    assert!(!judged("3000", "none") && !judged("3000-3001", "tcp"));
}

#[test]
fn without_the_relay_nothing_stays_proved() {
    let mut registry = declared("web");
    registry.entry_mut("web").unwrap().view.as_mut().unwrap().state.state = State::Live;
    let changed = registry.set_all_offline("no relay answered");
    assert_eq!(changed[0].state.state, State::Offline);
    assert!(registry.set_all_offline("still").is_empty());
}

#[test]
fn only_persistent_declarations_survive_a_restart() {
    let mut registry = declared("web");
    assert!(registry.persistent().is_empty());
    let persistent =
        Declaration { lifetime: Lifetime::Persistent, ..declaration("db", Protocol::Tcp, "5432") };
    registry.declare("db", persistent, "5432".parse::<Target>().unwrap(), None);
    assert_eq!(registry.persistent().len(), 1);
}

#[test]
fn a_new_proof_changes_nothing_on_disk() {
    let mut registry = Registry::default();
    let persistent =
        Declaration { lifetime: Lifetime::Persistent, ..declaration("db", Protocol::Tcp, "5432") };
    let target = persistent.parse_target().unwrap();
    registry.declare("db", persistent, target, Some(view("db", Protocol::Tcp)));
    let before = registry.persistent();
    let state = &mut registry.entry_mut("db").unwrap().view.as_mut().unwrap().state;
    (state.state, state.at) = (State::Live, 7);
    assert_eq!(registry.persistent(), before);
}

#[test]
fn no_relay_makes_the_list_on_disk_grow_beyond_what_can_be_read() {
    let long = || "\u{fffd}".repeat(crate::limits::TEXT_CHARACTERS_MAX * 2);
    let declaration =
        Declaration { lifetime: Lifetime::Persistent, ..declaration("db", Protocol::Tcp, "7777") };
    let mut answer = view("db", Protocol::Tcp);
    answer.publication.target = long();
    answer.public = long();
    answer.access_notes = vec![long(); 1_000];
    let target = declaration.parse_target().unwrap();
    let answer = crate::answers::acknowledged(answer, &declaration, &target).unwrap();
    let text = serde_json::to_vec_pretty(&stored(&declaration, Some(&answer))).unwrap();
    assert!(text.len() < 16 << 10, "{} bytes", text.len());
}

fn declared(name: &str) -> Registry {
    let mut registry = Registry::default();
    let declaration = declaration(name, Protocol::Tcp, "127.0.0.1:3000");
    let target = declaration.parse_target().unwrap();
    registry.declare(name, declaration, target, Some(view(name, Protocol::Tcp)));
    registry
}
