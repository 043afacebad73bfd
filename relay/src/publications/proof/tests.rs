//! What is proved, and what takes it away.

use std::sync::Arc;
use std::time::Duration;

use super::super::table::{Entry, Publications};
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
    assert_eq!(lab.evidence().shown(later).state, State::Reachable);

    lab.visit(false);
    assert_eq!(lab.shown().state, State::Reachable);
    assert!(lab.shown().cause.unwrap().contains("port"));
}

#[test]
fn an_agents_word_for_a_visit_that_did_not_come_proves_nothing() {
    let mut lab = Lab::new();
    let shown_after = |lab: &Lab, came: &[Option<&str>]| {
        lab.evidence().expect_visit();
        for hostname in came {
            lab.evidence().note_visit_came(*hostname, lab.now);
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

    lab.publication.hostnames =
        ["a.example", "*.b.example"].map(|host| host.parse().unwrap()).to_vec();
    lab.declare();
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
    lab.evidence().expect_visit();
    lab.evidence().note_visit_came(None, lab.now);
    let later = lab.now + LIVE_FOR + Duration::from_secs(1);
    lab.evidence().set_visit(Lab::said(true), later);
    assert_eq!(lab.evidence().shown(later).state, State::Reachable);
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
    lab.evidence().note_taken(lab.now);
    assert_eq!(lab.evidence().taken_at(), Some(lab.now));
    assert!(!lab.evidence().take_due(lab.now));
    lab.evidence().note_not_taken(lab.now);
    assert_eq!(lab.evidence().taken_at(), None);
    assert!(lab.evidence().take_due(lab.now), "checked at once");
}

#[test]
fn a_visit_by_plain_http_proves_nothing_of_https() {
    let lab = Lab::new();
    lab.reachable();
    lab.visit(true);
    let secured = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        lab.evidence().set_secured(names)
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
    let note = |text: &str, now| lab.evidence().note_loss(StepName::Target, text.to_owned(), now);
    assert!(note("no X-A", lab.now));
    assert!(!note("no X-B", lab.now + LOSS_SHOWN), "something is told already");
    let shown = lab.shown();
    assert_eq!((shown.state, shown.cause.as_deref()), (State::Live, Some("no X-A")));
    let last = shown.steps.last().map(|step| (step.ok, step.detail.as_str()));
    assert_eq!(last, Some((false, "no X-A")));
    assert!(!lab.evidence().forget_losses(lab.now + LOSS_SHOWN * 2));
    let later = lab.now + LOSS_SHOWN * 2 + Duration::from_secs(1);
    assert!(lab.evidence().forget_losses(later));
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
    lab.evidence().note_dns(Some(step.clone()));
    let shown = lab.evidence().shown(lab.now);
    assert_eq!(shown.state, State::Live);
    assert!(shown.steps.contains(&step));
    lab.evidence().note_dns(None);
    assert!(!lab.evidence().shown(lab.now).steps.contains(&step));
}

#[test]
fn another_target_port_or_hostname_has_nothing_proved() {
    let changes: [fn(&mut Publication); 4] = [
        |publication| publication.target = "127.0.0.1:2".to_owned(),
        |publication| publication.public_port = Some(2),
        |publication| publication.port_count = 2,
        |publication| publication.hostnames = vec!["b.example".parse().unwrap()],
    ];
    for change in changes {
        let mut lab = Lab::new();
        lab.reachable();
        lab.visit(true);
        change(&mut lab.publication);
        lab.declare();
        assert_eq!(lab.shown().cause.as_deref(), Some(NOT_CHECKED));
        assert!(lab.shown().steps.is_empty());
        lab.reachable();
        assert_eq!(lab.shown().state, State::Reachable, "the old visit went elsewhere");
    }
}

#[test]
fn other_rules_leave_what_was_proved() {
    let mut lab = Lab::new();
    lab.reachable();
    lab.visit(true);
    lab.publication.access.deny.push("10.0.0.0/8".parse().unwrap());
    lab.declare();
    assert_eq!(lab.shown().state, State::Live);
}

#[test]
fn a_late_finding_or_visit_of_the_old_target_is_dropped() {
    let mut lab = Lab::new();
    lab.reachable();
    lab.evidence().expect_visit();
    lab.evidence().note_visit_came(None, lab.now);
    let old = lab.entry();
    assert!(lab.publications.is_current(&old));
    lab.publication.target = "127.0.0.1:2".to_owned();
    lab.declare();

    assert!(!lab.publications.is_current(&old));
    assert_eq!(lab.shown().state, State::Offline);
    lab.reachable();
    lab.report(true);
    assert_eq!(lab.shown().state, State::Reachable, "that visit was to the old target");
}

#[test]
fn what_ports_were_claimed_for_and_could_not_be_stored_is_looked_at_again() {
    let lab = Lab::new();
    lab.reachable();
    let old = lab.entry();
    let wanted = Publication { public_port: Some(2), ..lab.publication.clone() };
    assert!(lab.publications.note_claim(&wanted, lab.now).is_none(), "it is not stored yet");
    assert!(!lab.publications.is_current(&old), "its ports are others now");
    assert!(!lab.publications.is_current(&lab.entry()), "and these are not what is published");
    assert_eq!(lab.shown().cause.as_deref(), Some(NOT_CHECKED));

    let again = lab.publications.note_claim(&lab.publication, lab.now).unwrap();
    assert!(lab.publications.is_current(&again));
    assert!(lab.publications.note_claim(&lab.publication, lab.now).is_none(), "nothing moved");
}

#[test]
fn what_was_claimed_and_stored_keeps_what_was_proved_since() {
    let mut lab = Lab::new();
    lab.publication.public_port = Some(2);
    lab.publications.note_claim(&lab.publication, lab.now);
    lab.evidence().note_taken(lab.now);
    lab.declare();
    assert!(lab.publications.is_current(&lab.entry()));
    assert_eq!(lab.evidence().taken_at(), Some(lab.now));
}

/// One publication and what is known of it.
struct Lab {
    publications: Publications,
    publication: Publication,
    now: Instant,
}

impl Lab {
    fn new() -> Self {
        let publications = Publications::default();
        let lab = Self { publications, publication: publication(), now: Instant::now() };
        lab.declare();
        lab
    }

    fn declare(&self) {
        assert!(self.publications.put(self.publication.clone(), self.now).is_some());
        assert!(self.publications.put(self.publication.clone(), self.now).is_none());
    }

    fn entry(&self) -> Arc<Entry> {
        self.publications.get(self.publication.id).unwrap()
    }

    fn evidence(&self) -> Arc<Evidence> {
        Arc::clone(&self.entry().evidence)
    }

    fn reachable(&self) {
        self.find(Base::Reachable { note: None });
    }

    fn find(&self, base: Base) {
        assert!(self.publications.is_current(&self.entry()));
        self.evidence().conclude(base, Vec::new(), self.now + CHECK_INTERVAL);
    }

    fn visit(&self, ok: bool) {
        self.evidence().expect_visit();
        self.evidence().note_visit_came(None, self.now);
        self.report(ok);
    }

    fn report(&self, ok: bool) {
        self.evidence().set_visit(Self::said(ok), self.now);
    }

    fn said(ok: bool) -> ProbeReport {
        ProbeReport { steps: vec![Step::new(StepName::Port, ok, "refused")] }
    }

    fn shown(&self) -> PublicationState {
        self.evidence().shown(self.now)
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
        options: bore_api::model::PublicationOptions::default(),
        lifetime: bore_api::model::Lifetime::Session,
        created_at: 0,
    }
}
