//! What is proved, and what takes it away.

use std::time::Duration;

use super::*;

#[test]
fn live_needs_a_target_and_a_recent_visit_without_a_failed_step() {
    let lab = Lab::new();
    assert_eq!(lab.shown().state, State::Offline);

    lab.reachable();
    assert_eq!(lab.shown().state, State::Reachable);

    lab.visit(true);
    assert_eq!(lab.shown().state, State::Live);
    let later = lab.now + LIVE_FOR + Duration::from_secs(1);
    assert_eq!(lab.states.get(lab.publication.id, later).state, State::Reachable);

    lab.visit(false);
    assert_eq!(lab.shown().state, State::Reachable);
    assert!(lab.shown().cause.unwrap().contains("port"));
}

#[test]
fn an_agents_word_for_a_visit_that_did_not_come_proves_nothing() {
    let mut lab = Lab::new();
    let shown_after = |lab: &Lab, came: &[Option<&str>]| {
        lab.states.expect_visit(lab.publication.id);
        for hostname in came {
            lab.states.note_visit_came(lab.publication.id, *hostname, lab.now);
        }
        lab.report(true);
        (lab.shown().state, lab.shown().cause.unwrap_or_default())
    };
    lab.reachable();
    let (state, cause) = shown_after(&lab, &[]);
    assert_eq!(state, State::Reachable);
    assert_eq!(cause, "edge: 0 of 1 visits came in at this relay");
    assert_eq!(shown_after(&lab, &[None]).0, State::Live);
    assert_eq!(shown_after(&lab, &[]).0, State::Reachable, "each visit counts once");

    lab.publication.hostnames = ["a.example", "*.b.example"].map(str::to_owned).to_vec();
    lab.states.declare(&lab.publication, lab.now);
    lab.reachable();
    for elsewhere in [None, Some("a.example"), Some("b.example"), Some("x.y.b.example")] {
        let came = [Some("a.example"), elsewhere];
        assert_eq!(shown_after(&lab, &came).0, State::Reachable, "not each address: {elsewhere:?}");
    }
    assert_eq!(shown_after(&lab, &[Some("x.b.example"), Some("a.example")]).0, State::Live);
}

#[test]
fn an_old_visit_proves_nothing_however_late_it_is_reported() {
    let lab = Lab::new();
    lab.reachable();
    lab.states.expect_visit(lab.publication.id);
    lab.states.note_visit_came(lab.publication.id, None, lab.now);
    let later = lab.now + LIVE_FOR + Duration::from_secs(1);
    lab.states.set_visit(lab.publication.id, Lab::said(true), later);
    assert_eq!(lab.states.get(lab.publication.id, later).state, State::Reachable);
}

#[test]
fn an_old_visit_proves_nothing_after_the_agent_was_away() {
    let lab = Lab::new();
    lab.reachable();
    lab.visit(true);
    lab.find(Base::Offline("gone".to_owned()));
    lab.reachable();
    assert_eq!(lab.shown().state, State::Reachable);
}

#[test]
fn what_a_target_took_counts_until_it_refuses_a_visitor() {
    let lab = Lab::new();
    lab.reachable();
    lab.states.note_taken(lab.publication.id, lab.now);
    assert_eq!(lab.states.taken_at(lab.publication.id), Some(lab.now));
    assert!(lab.states.take_due(lab.now).is_empty());
    lab.states.note_not_taken(lab.publication.id, lab.now);
    assert_eq!(lab.states.taken_at(lab.publication.id), None);
    assert_eq!(lab.states.take_due(lab.now), [lab.publication.id], "checked at once");
}

#[test]
fn a_visit_by_plain_http_proves_nothing_of_https() {
    let lab = Lab::new();
    lab.reachable();
    lab.visit(true);
    let secured = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        lab.states.set_secured(lab.publication.id, names)
    };
    assert!(!secured(&[]), "none was before");
    assert_eq!(lab.shown().state, State::Live);
    for names in [["a.example"].as_slice(), &["a.example", "b.example"]] {
        assert!(secured(names));
        assert_eq!(lab.shown().state, State::Reachable, "{names:?}");
        lab.visit(true);
        assert_eq!(lab.shown().state, State::Live);
    }
}

#[test]
fn a_line_that_visitors_do_not_get_is_shown_while_they_do_not() {
    let lab = Lab::new();
    lab.reachable();
    lab.visit(true);
    let note =
        |text: &str, now| lab.states.note_lost_line(lab.publication.id, text.to_owned(), now);
    assert_eq!(note("no X-A", lab.now), Some(lab.publication.node));
    assert_eq!(note("no X-B", lab.now + LOST_LINE_SHOWN), None, "something is told already");
    let shown = lab.shown();
    assert_eq!((shown.state, shown.cause.as_deref()), (State::Live, Some("no X-A")));
    let last = shown.steps.last().map(|step| (step.ok, step.detail.as_str()));
    assert_eq!(last, Some((false, "no X-A")));
    assert!(lab.states.forget_lost_lines(lab.now + LOST_LINE_SHOWN * 2).is_empty());
    let later = lab.now + LOST_LINE_SHOWN * 2 + Duration::from_secs(1);
    assert_eq!(lab.states.forget_lost_lines(later), [lab.publication.node]);
    assert_eq!(lab.shown().cause, None);
}

#[test]
fn a_silent_service_is_live_and_says_so() {
    let lab = Lab::new();
    lab.find(Base::Reachable { note: Some("service silent".to_owned()) });
    lab.visit(true);
    let shown = lab.shown();
    assert_eq!((shown.state, shown.cause.as_deref()), (State::Live, Some("service silent")));
}

#[test]
fn a_name_that_leads_elsewhere_is_shown_and_takes_no_state_away() {
    let lab = Lab::new();
    lab.reachable();
    lab.visit(true);
    let step = Step::failed(StepName::Dns, "elsewhere");
    lab.states.note_dns(lab.publication.id, Some(step.clone()));
    let shown = lab.states.get(lab.publication.id, lab.now);
    assert_eq!(shown.state, State::Live);
    assert!(shown.steps.contains(&step));
    lab.states.note_dns(lab.publication.id, None);
    assert!(!lab.states.get(lab.publication.id, lab.now).steps.contains(&step));
}

#[test]
fn another_target_port_or_hostname_has_nothing_proved() {
    let changes: [fn(&mut Publication); 4] = [
        |publication| publication.target = "127.0.0.1:2".to_owned(),
        |publication| publication.public_port = Some(2),
        |publication| publication.port_count = 2,
        |publication| publication.hostnames = vec!["b.example".to_owned()],
    ];
    for change in changes {
        let mut lab = Lab::new();
        lab.reachable();
        lab.visit(true);
        change(&mut lab.publication);
        assert!(lab.states.declare(&lab.publication, lab.now));
        assert_eq!(lab.shown().cause.as_deref(), Some(NOT_CHECKED));
        assert!(lab.shown().steps.is_empty());
        lab.reachable();
        assert_eq!(lab.shown().state, State::Reachable, "the old visit went elsewhere");
    }
}

#[test]
fn what_an_agent_says_counts_for_its_own_publication_with_this_target() {
    let mut lab = Lab::new();
    let (node, id) = (lab.publication.node, lab.publication.id);
    lab.states.note_served(Uuid::from_u128(99), id);
    assert!(!lab.states.is_served(id), "another node's word");
    lab.states.note_served(node, id);
    assert!(lab.states.is_served(id));
    lab.publication.target = "127.0.0.1:2".to_owned();
    lab.states.declare(&lab.publication, lab.now);
    assert!(!lab.states.is_served(id), "said of another target");
}

#[test]
fn other_rules_leave_what_was_proved() {
    let mut lab = Lab::new();
    lab.reachable();
    lab.visit(true);
    lab.publication.access.deny.push("10.0.0.0/8".parse().unwrap());
    assert!(!lab.states.declare(&lab.publication, lab.now));
    assert_eq!(lab.shown().state, State::Live);
}

#[test]
fn a_late_finding_or_visit_of_the_old_target_is_dropped() {
    let mut lab = Lab::new();
    let old = lab.publication.clone();
    lab.reachable();
    lab.states.expect_visit(old.id);
    lab.states.note_visit_came(old.id, None, lab.now);
    lab.publication.target = "127.0.0.1:2".to_owned();
    lab.states.declare(&lab.publication, lab.now);

    let base = Base::Reachable { note: None };
    assert_eq!(lab.states.set(&old, base, Vec::new(), lab.now + CHECK_INTERVAL), None);
    assert_eq!(lab.shown().state, State::Offline);
    lab.reachable();
    lab.report(true);
    assert_eq!(lab.shown().state, State::Reachable, "that visit was to the old target");
}

/// One publication and what is known of it.
struct Lab {
    states: States,
    publication: Publication,
    now: Instant,
}

impl Lab {
    fn new() -> Self {
        let (states, now, publication) = (States::default(), Instant::now(), publication());
        assert!(states.declare(&publication, now));
        Self { states, publication, now }
    }

    fn reachable(&self) {
        self.find(Base::Reachable { note: None });
    }

    fn find(&self, base: Base) {
        let due = self.now + CHECK_INTERVAL;
        self.states.set(&self.publication, base, Vec::new(), due).unwrap();
    }

    fn visit(&self, ok: bool) {
        self.states.expect_visit(self.publication.id);
        self.states.note_visit_came(self.publication.id, None, self.now);
        self.report(ok);
    }

    fn report(&self, ok: bool) {
        self.states.set_visit(self.publication.id, Self::said(ok), self.now);
    }

    fn said(ok: bool) -> ProbeReport {
        ProbeReport { steps: vec![Step::new(StepName::Port, ok, "refused")] }
    }

    fn shown(&self) -> PublicationState {
        self.states.get(self.publication.id, self.now)
    }
}

pub(crate) fn publication() -> Publication {
    Publication {
        id: Uuid::from_u128(1),
        network: Uuid::from_u128(2),
        node: Uuid::from_u128(3),
        name: "web".to_owned(),
        protocol: Protocol::Tcp,
        public_port: Some(1),
        port_count: 1,
        hostnames: Vec::new(),
        overlay_port: 1024,
        target: "127.0.0.1:1".to_owned(),
        access: bore_policy::Access::default(),
        web: bore_api::model::WebOptions::default(),
        health: bore_api::model::HealthOptions::default(),
        lifetime: bore_api::model::Lifetime::Session,
        created_at: 0,
    }
}
