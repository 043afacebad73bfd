//! What is proved about each publication: offline, down, reachable, live.
//!
//! | from | to | by |
//! |---|---|---|
//! | any | offline | the agent's tunnel went down |
//! | any | down | the agent could not reach its target, or the relay could not open the port |
//! | any | reachable | a check went through the tunnel to the target |
//! | reachable | live | the agent reached the public address from its own network, and this relay saw it come |
//! | live | reachable | the visit that proved it is too old, or a later one failed |
//! | live | reachable | its name got a certificate or lost it: the public address is another one |
//! | any | not checked yet | it was declared with another target or another public address |
//!
//! Invariant: what is shown was proved of what is declared now. A proof names its [`Subject`]; one of another subject is dropped.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bore_api::model::{HealthCheck, Protocol, Publication, PublishedHost};
use bore_api::state::{ProbeReport, PublicationState, State, Step, StepName};
use bore_edge::now_micros;
use uuid::Uuid;

use crate::limits::{CHECK_INTERVAL, LIVE_FOR, LOSS_SHOWN, REPORT_PATIENCE};

/// What a proof is about; another one needs proofs of its own. Rules, names and lifetimes prove nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    node: Uuid,
    protocol: Protocol,
    ports: (Option<u16>, u16),
    hostnames: Vec<PublishedHost>,
    target: String,
    check: Option<HealthCheck>,
}

impl Subject {
    pub(crate) fn of(publication: &Publication) -> Self {
        Self {
            node: publication.node,
            protocol: publication.protocol,
            ports: (publication.public_port, publication.port_count),
            hostnames: publication.hostnames.clone(),
            target: publication.target.clone(),
            check: publication.options.health.check.clone(),
        }
    }

    /// How many public addresses it has.
    fn addresses(&self) -> usize {
        self.hostnames.len().max(1)
    }

    /// The one of its public addresses that a visit to `hostname` shows; `None` for a name that is none of them.
    fn address_of(&self, hostname: Option<&str>) -> Option<usize> {
        if self.addresses() == 1 {
            return Some(0);
        }
        let (hostname, parent) = (hostname?, hostname?.split_once('.').map(|(_, parent)| parent));
        let is_exact = |host: &PublishedHost| host.to_string() == hostname;
        let is_above = |host: &PublishedHost| {
            host.wildcard_base().is_some_and(|base| Some(base.as_str()) == parent)
        };
        self.hostnames
            .iter()
            .position(is_exact)
            .or_else(|| self.hostnames.iter().position(is_above))
    }
}

/// What is known of one subject.
#[derive(Debug)]
pub(crate) struct Evidence {
    subject: Subject,
    found: Mutex<Found>,
}

#[derive(Debug)]
struct Found {
    base: Base,
    /// The hostnames that visitors come to by HTTPS.
    secured: Vec<String>,
    /// Visits that are announced and not reported yet.
    announced: Option<Announced>,
    steps: Vec<Step>,
    visit: Option<Visit>,
    /// Why a name under a custom domain leads elsewhere, as the relay sees it.
    dns: Option<Step>,
    at: i64,
    check_due: Instant,
    taken_at: Option<Instant>,
    /// What visitors did not get lately; at most one of each step.
    losses: Vec<Loss>,
}

/// What the relay itself found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    /// Declared, and nothing found out.
    Unknown,
    /// No tunnel to the node.
    Offline(String),
    /// The target, or the public port, does not work.
    Down(String),
    /// Visitors are led through the tunnel to the target.
    Reachable {
        /// What of the target was not proved, as `service silent`.
        note: Option<String>,
    },
}

/// What came of the visits of an agent that was given tokens for them.
#[derive(Debug, Default)]
struct Announced {
    /// Public addresses where a token came in that was carried to the agent, and when one last did.
    came: BTreeMap<usize, Instant>,
}

impl Announced {
    /// The steps of a visit to so many public addresses. An agent's word that all hold is not enough where one of them did not see it.
    fn confirmed(&self, mut steps: Vec<Step>, addresses: usize) -> Vec<Step> {
        let came = self.came.len();
        if came < addresses && steps.iter().all(|step| step.ok) {
            let detail = format!("{came} of {addresses} visits came in at this relay");
            steps.push(Step::failed(StepName::Edge, detail));
        }
        steps
    }
}

/// The agent's last visit from outside.
#[derive(Debug)]
struct Visit {
    steps: Vec<Step>,
    at: Instant,
}

/// What visitors do not get, although they reach the service.
#[derive(Debug)]
struct Loss {
    step: StepName,
    text: String,
    /// When one last did not get it.
    at: Instant,
}

/// Whether visitors can be served, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// There is no tunnel to the node, or nothing was found out yet.
    Offline,
    /// The target, or the public port, does not work.
    Down,
    /// Visitors are led to the target.
    Up,
}

impl Evidence {
    /// Nothing is known of `subject` yet.
    pub(crate) fn none(subject: Subject, now: Instant) -> Self {
        Self { subject, found: Mutex::new(Found::nothing(now)) }
    }

    /// What it is about.
    pub(crate) fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Notes what the relay found, and when to look again. Returns true when it differs from before.
    pub(crate) fn conclude(&self, base: Base, steps: Vec<Step>, check_due: Instant) -> bool {
        let mut found = self.found();
        let changed = found.base != base;
        if !matches!(base, Base::Reachable { .. }) {
            found.forget_visit();
            found.taken_at = None;
        }
        (found.base, found.steps) = (base, steps);
        (found.at, found.check_due) = (now_micros(), check_due);
        changed
    }

    /// From here on a report about a visit counts, once.
    pub(crate) fn expect_visit(&self) {
        self.found().announced.get_or_insert_default();
    }

    /// Notes that an announced visit came in at a public address and was carried to its agent.
    pub(crate) fn note_visit_came(&self, hostname: Option<&str>, now: Instant) {
        let Some(address) = self.subject.address_of(hostname) else { return };
        if let Some(announced) = self.found().announced.as_mut() {
            announced.came.insert(address, now);
        }
    }

    /// Notes the agent's visit from outside. It proves something when it was expected and came, and the target has been reachable all the while.
    pub(crate) fn set_visit(&self, report: ProbeReport, now: Instant) {
        let mut found = self.found();
        if matches!(found.base, Base::Reachable { .. })
            && let Some(announced) = found.announced.take()
        {
            let steps = announced.confirmed(report.steps, self.subject.addresses());
            // A proof is as old as the oldest of its parts.
            let at = announced.came.into_values().min().unwrap_or(now);
            found.visit = Some(Visit { steps, at });
            found.at = now_micros();
        }
    }

    /// Notes to which hostnames visitors come by HTTPS. Where that differs from before it returns true: a visit to the other address proves
    /// nothing of this one.
    pub(crate) fn set_secured(&self, secured: Vec<String>) -> bool {
        let mut found = self.found();
        let differs = found.secured != secured;
        if differs {
            found.secured = secured;
            found.forget_visit();
        }
        differs
    }

    /// Takes the proof from outside away: who gave it has left.
    pub(crate) fn doubt(&self) {
        self.found().forget_visit();
    }

    /// Notes where the relay sees its names lead; `None` is here. It changes no state: who gets here is served.
    pub(crate) fn note_dns(&self, failure: Option<Step>) {
        self.found().dns = failure;
    }

    /// Notes that the target of a node that cannot be asked took a visitor's connection.
    pub(crate) fn note_taken(&self, now: Instant) {
        self.found().taken_at = Some(now);
    }

    /// When the target last took a visitor's connection, since it was last down.
    pub(crate) fn taken_at(&self) -> Option<Instant> {
        self.found().taken_at
    }

    /// Notes that a visitor did not reach the target: it is to be checked, and what it took before proves nothing.
    pub(crate) fn note_not_taken(&self, now: Instant) {
        let mut found = self.found();
        (found.check_due, found.taken_at) = (now, None);
    }

    /// Notes what a visitor did not get, and at which step. Returns true if that is news.
    pub(crate) fn note_loss(&self, step: StepName, text: String, now: Instant) -> bool {
        let mut found = self.found();
        if let Some(loss) = found.losses.iter_mut().find(|loss| loss.step == step) {
            loss.at = now;
            return false;
        }
        found.losses.push(Loss { step, text, at: now });
        true
    }

    /// Forgets what no visitor has missed lately. Returns true if that is news.
    pub(crate) fn forget_losses(&self, now: Instant) -> bool {
        let is_recent = |loss: &Loss| now.saturating_duration_since(loss.at) <= LOSS_SHOWN;
        let mut found = self.found();
        let before = found.losses.len();
        found.losses.retain(is_recent);
        found.losses.len() < before
    }

    /// Whether a check is due; it is taken once.
    pub(crate) fn take_due(&self, now: Instant) -> bool {
        let mut found = self.found();
        let is_due = found.check_due <= now;
        if is_due {
            found.check_due = now + CHECK_INTERVAL;
        }
        is_due
    }

    /// Whether the last that was found out is that there is no tunnel.
    pub(crate) fn is_offline(&self) -> bool {
        matches!(self.found().base, Base::Offline(_))
    }

    /// What visitors meet.
    pub(crate) fn service(&self) -> Service {
        match self.found().base {
            Base::Unknown | Base::Offline(_) => Service::Offline,
            Base::Down(_) => Service::Down,
            Base::Reachable { .. } => Service::Up,
        }
    }

    /// The state as it is shown.
    pub(crate) fn shown(&self, now: Instant) -> PublicationState {
        self.found().shown(now)
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Found {
    fn nothing(now: Instant) -> Self {
        Self {
            base: Base::Unknown,
            secured: Vec::new(),
            announced: None,
            steps: Vec::new(),
            visit: None,
            dns: None,
            at: now_micros(),
            check_due: now + REPORT_PATIENCE,
            taken_at: None,
            losses: Vec::new(),
        }
    }

    fn forget_visit(&mut self) {
        (self.visit, self.announced) = (None, None);
    }

    fn shown(&self, now: Instant) -> PublicationState {
        let (state, cause) = match &self.base {
            Base::Unknown => (State::Offline, Some(NOT_CHECKED.to_owned())),
            Base::Offline(cause) => (State::Offline, Some(cause.clone())),
            Base::Down(cause) => (State::Down, Some(cause.clone())),
            Base::Reachable { note } => self.seen_from_outside(note.as_ref(), now),
        };
        let mut steps = self.steps.clone();
        steps.extend(self.dns.clone());
        steps.extend(self.visit.iter().flat_map(|visit| visit.steps.clone()));
        steps.extend(self.losses.iter().map(|loss| Step::failed(loss.step, loss.text.clone())));
        let cause = cause.or_else(|| self.losses.first().map(|loss| loss.text.clone()));
        PublicationState { state, cause, steps, at: self.at, awaits_certificate: false }
    }

    fn seen_from_outside(&self, note: Option<&String>, now: Instant) -> (State, Option<String>) {
        let Some(visit) = &self.visit else {
            return (State::Reachable, Some("not yet visited from outside".to_owned()));
        };
        if let Some(failed) = visit.steps.iter().find(|step| !step.ok) {
            return (State::Reachable, Some(format!("{}: {}", failed.name, failed.detail)));
        }
        if visit.steps.is_empty() || now.saturating_duration_since(visit.at) > LIVE_FOR {
            return (State::Reachable, Some("not visited from outside lately".to_owned()));
        }
        (State::Live, note.cloned())
    }
}

/// The state of what this relay knows nothing of.
pub(crate) fn not_checked() -> PublicationState {
    PublicationState {
        state: State::Offline,
        cause: Some(NOT_CHECKED.to_owned()),
        steps: Vec::new(),
        at: now_micros(),
        awaits_certificate: false,
    }
}

const NOT_CHECKED: &str = "not checked yet";

#[cfg(test)]
pub(crate) mod tests;
