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

use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use bore_api::model::{HealthCheck, Protocol, Publication};
use bore_api::state::{ProbeReport, PublicationState, State, Step, StepName};
use uuid::Uuid;

use crate::clock::now_micros;
use crate::limits::{CHECK_INTERVAL, LIVE_FOR, LOST_LINE_SHOWN};

/// The states of all publications.
#[derive(Debug, Default)]
pub(crate) struct States {
    table: RwLock<HashMap<Uuid, Entry>>,
}

/// What a proof is about; another one needs proofs of its own. Rules, names and lifetimes prove nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    node: Uuid,
    protocol: Protocol,
    ports: (Option<u16>, u16),
    hostnames: Vec<String>,
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
            check: publication.health.check.clone(),
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
        let is_exact = |name: &String| name == hostname;
        let is_above =
            |name: &String| name.strip_prefix("*.").is_some_and(|base| Some(base) == parent);
        self.hostnames
            .iter()
            .position(is_exact)
            .or_else(|| self.hostnames.iter().position(is_above))
    }
}

#[derive(Debug)]
struct Entry {
    subject: Subject,
    base: Base,
    served: bool,
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
    /// What visitors do not get of the service's answers, and when one last did not.
    lost_line: Option<(String, Instant)>,
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

impl States {
    /// Notes what a publication is. Another subject than before has nothing proved; says whether it is one.
    pub(crate) fn declare(&self, publication: &Publication, now: Instant) -> bool {
        let subject = Subject::of(publication);
        let mut table = self.write();
        let same = table.get(&publication.id).is_some_and(|entry| entry.subject == subject);
        if !same {
            table.insert(publication.id, Entry::unknown(subject, now));
        }
        !same
    }

    /// Notes what the relay found of `publication`, and when to look again. Says whether that differs from before; `None` when it is not what is declared.
    pub(crate) fn set(
        &self,
        publication: &Publication,
        base: Base,
        steps: Vec<Step>,
        check_due: Instant,
    ) -> Option<bool> {
        let mut table = self.write();
        let entry = table.get_mut(&publication.id)?;
        if entry.subject != Subject::of(publication) {
            return None;
        }
        let changed = entry.base != base;
        if !matches!(base, Base::Reachable { .. }) {
            (entry.visit, entry.announced) = (None, None);
            entry.taken_at = None;
        }
        (entry.base, entry.steps) = (base, steps);
        (entry.at, entry.check_due) = (now_micros(), check_due);
        Some(changed)
    }

    /// Whether `publication` is what is declared.
    pub(crate) fn is_current(&self, publication: &Publication) -> bool {
        let table = self.read();
        table.get(&publication.id).is_some_and(|entry| entry.subject == Subject::of(publication))
    }

    /// Notes that the agent has said what its target does. It may say so before the relay carries the publication.
    pub(crate) fn note_served(&self, node: Uuid, publication: Uuid) {
        let mut table = self.write();
        if let Some(entry) = table.get_mut(&publication).filter(|entry| entry.subject.node == node)
        {
            entry.served = true;
        }
    }

    /// Whether the agent has said what the target of what is declared does.
    pub(crate) fn is_served(&self, publication: Uuid) -> bool {
        self.read().get(&publication).is_some_and(|entry| entry.served)
    }

    /// From here on a report about a visit counts, once.
    pub(crate) fn expect_visit(&self, publication: Uuid) {
        if let Some(entry) = self.write().get_mut(&publication) {
            entry.announced.get_or_insert_default();
        }
    }

    /// Notes that an announced visit came in at a public address and was carried to its agent.
    pub(crate) fn note_visit_came(&self, publication: Uuid, hostname: Option<&str>, now: Instant) {
        if let Some(entry) = self.write().get_mut(&publication)
            && let Some(address) = entry.subject.address_of(hostname)
            && let Some(announced) = entry.announced.as_mut()
        {
            announced.came.insert(address, now);
        }
    }

    /// Notes the agent's visit from outside. It proves something when it was expected and came, and the target has been reachable all the while.
    pub(crate) fn set_visit(&self, publication: Uuid, report: ProbeReport, now: Instant) {
        if let Some(entry) = self.write().get_mut(&publication)
            && matches!(entry.base, Base::Reachable { .. })
            && let Some(announced) = entry.announced.take()
        {
            let steps = announced.confirmed(report.steps, entry.subject.addresses());
            // A proof is as old as the oldest of its parts.
            let at = announced.came.into_values().min().unwrap_or(now);
            entry.visit = Some(Visit { steps, at });
            entry.at = now_micros();
        }
    }

    /// Notes to which hostnames visitors come by HTTPS. A visit to the other address proves nothing of this one; says whether one is another.
    pub(crate) fn set_secured(&self, publication: Uuid, secured: Vec<String>) -> bool {
        let mut table = self.write();
        let Some(entry) = table.get_mut(&publication).filter(|entry| entry.secured != secured)
        else {
            return false;
        };
        entry.secured = secured;
        (entry.visit, entry.announced) = (None, None);
        true
    }

    /// Takes the proof from outside away: whoever gave it has left.
    pub(crate) fn doubt(&self, publication: Uuid) {
        if let Some(entry) = self.write().get_mut(&publication) {
            (entry.visit, entry.announced) = (None, None);
        }
    }

    /// Notes where the relay sees its names lead; `None` is here. It changes no state: who gets here is served.
    pub(crate) fn note_dns(&self, publication: Uuid, failure: Option<Step>) {
        if let Some(entry) = self.write().get_mut(&publication) {
            entry.dns = failure;
        }
    }

    /// Notes that the target of a node that cannot be asked took a visitor's connection.
    pub(crate) fn note_taken(&self, publication: Uuid, now: Instant) {
        if let Some(entry) = self.write().get_mut(&publication) {
            entry.taken_at = Some(now);
        }
    }

    /// When the target last took a visitor's connection, since it was last down.
    pub(crate) fn taken_at(&self, publication: Uuid) -> Option<Instant> {
        self.read().get(&publication)?.taken_at
    }

    /// Notes that a visitor did not reach the target: it is to be checked, and what it took before proves nothing.
    pub(crate) fn note_not_taken(&self, publication: Uuid, now: Instant) {
        if let Some(entry) = self.write().get_mut(&publication) {
            (entry.check_due, entry.taken_at) = (now, None);
        }
    }

    /// Notes what visitors do not get of a service's answers. Returns its node if that is news.
    pub(crate) fn note_lost_line(
        &self,
        publication: Uuid,
        text: String,
        now: Instant,
    ) -> Option<Uuid> {
        let mut table = self.write();
        let entry = table.get_mut(&publication)?;
        let is_news = entry.lost_line.is_none();
        let (_, at) = entry.lost_line.get_or_insert((text, now));
        *at = now;
        is_news.then_some(entry.subject.node)
    }

    /// Forgets what no visitor has missed lately. Returns the nodes to whom that is news.
    pub(crate) fn forget_lost_lines(&self, now: Instant) -> Vec<Uuid> {
        let mut table = self.write();
        let is_old = |at| now.saturating_duration_since(at) > LOST_LINE_SHOWN;
        let old = table.values_mut().filter_map(|entry| {
            entry.lost_line.take_if(|(_, at)| is_old(*at)).map(|_| entry.subject.node)
        });
        old.collect()
    }

    /// Publications whose check is due; each is taken once.
    pub(crate) fn take_due(&self, now: Instant) -> Vec<Uuid> {
        let mut table = self.write();
        let due = table.iter_mut().filter(|(_, entry)| entry.check_due <= now);
        due.map(|(publication, entry)| {
            entry.check_due = now + CHECK_INTERVAL;
            *publication
        })
        .collect()
    }

    /// Whether the last that was found out is that there is no tunnel.
    pub(crate) fn is_offline(&self, publication: Uuid) -> bool {
        let table = self.read();
        table.get(&publication).is_some_and(|entry| matches!(entry.base, Base::Offline(_)))
    }

    pub(crate) fn forget(&self, publication: Uuid) {
        self.write().remove(&publication);
    }

    /// The state as it is shown.
    pub(crate) fn get(&self, publication: Uuid, now: Instant) -> PublicationState {
        self.read().get(&publication).map_or_else(unknown, |entry| entry.shown(now))
    }

    /// The hostnames of an `http` publication: those that should have a certificate.
    pub(crate) fn web_names(&self, publication: Uuid) -> Vec<String> {
        let table = self.read();
        let subject = table.get(&publication).map(|entry| &entry.subject);
        let web = subject.filter(|subject| subject.protocol == Protocol::Http);
        web.map(|subject| subject.hostnames.clone()).unwrap_or_default()
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Uuid, Entry>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Uuid, Entry>> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn unknown(subject: Subject, now: Instant) -> Self {
        Self {
            subject,
            base: Base::Unknown,
            served: false,
            secured: Vec::new(),
            announced: None,
            steps: Vec::new(),
            visit: None,
            dns: None,
            at: now_micros(),
            check_due: now + CHECK_INTERVAL,
            taken_at: None,
            lost_line: None,
        }
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
        let lost = self.lost_line.as_ref().map(|(text, _)| text.clone());
        steps.extend(lost.clone().map(|detail| Step::failed(StepName::Target, detail)));
        let cause = cause.or(lost);
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

fn unknown() -> PublicationState {
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
