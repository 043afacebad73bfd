//! What is proved about each publication: offline, down, reachable, live.
//!
//! | from | to | by |
//! |---|---|---|
//! | any | offline | the agent's tunnel went down |
//! | any | down | the agent could not reach its target, or the relay could not open the port |
//! | any | reachable | a check went through the tunnel to the target |
//! | reachable | live | the agent reached the public address from its own network |
//! | live | reachable | the visit that proved it is too old, or a later one failed |

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use bore_control::runtime::{ProbeReport, PublicationState, State, Step};
use uuid::Uuid;

use crate::clock::now_micros;
use crate::limits::{CHECK_INTERVAL, LIVE_FOR, OFFLINE_CHECK_INTERVAL};

/// The states of all publications.
#[derive(Debug, Default)]
pub(crate) struct States {
    table: RwLock<HashMap<Uuid, Entry>>,
}

#[derive(Debug)]
struct Entry {
    base: Base,
    steps: Vec<Step>,
    visit: Option<Visit>,
    at: i64,
    check_due: Instant,
}

/// What the relay itself found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    /// No tunnel to the node.
    Offline(String),
    /// The target, or the public port, does not work.
    Down(String),
    /// The target answered through the tunnel; a silent UDP service has not said a word yet.
    Reachable {
        /// Whether it is silent.
        silent: bool,
    },
}

/// The agent's last visit from outside.
#[derive(Debug)]
struct Visit {
    steps: Vec<Step>,
    at: Instant,
}

impl States {
    /// Notes what the relay found. Says whether that differs from before.
    pub(crate) fn set(
        &self,
        publication: Uuid,
        base: Base,
        steps: Vec<Step>,
        now: Instant,
    ) -> bool {
        let mut table = self.write();
        let visit = match (&base, table.remove(&publication)) {
            (Base::Reachable { .. }, Some(entry)) => (Some(entry.base), entry.visit),
            (_, entry) => (entry.map(|entry| entry.base), None),
        };
        let changed = visit.0.as_ref() != Some(&base);
        let wait =
            if matches!(base, Base::Offline(_)) { OFFLINE_CHECK_INTERVAL } else { CHECK_INTERVAL };
        let entry = Entry { base, steps, visit: visit.1, at: now_micros(), check_due: now + wait };
        table.insert(publication, entry);
        changed
    }

    /// Notes the agent's visit from outside. Without a reachable target it proves nothing.
    pub(crate) fn set_visit(&self, publication: Uuid, report: ProbeReport, now: Instant) {
        if let Some(entry) = self.write().get_mut(&publication) {
            entry.visit = Some(Visit { steps: report.steps, at: now });
            entry.at = now_micros();
        }
    }

    /// Makes a publication due for a check.
    pub(crate) fn make_due(&self, publication: Uuid, now: Instant) {
        if let Some(entry) = self.write().get_mut(&publication) {
            entry.check_due = now;
        }
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

    pub(crate) fn forget(&self, publication: Uuid) {
        self.write().remove(&publication);
    }

    /// The state as it is shown.
    pub(crate) fn get(&self, publication: Uuid, now: Instant) -> PublicationState {
        self.read().get(&publication).map_or_else(unknown, |entry| entry.shown(now))
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Uuid, Entry>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Uuid, Entry>> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn shown(&self, now: Instant) -> PublicationState {
        let (state, cause) = match &self.base {
            Base::Offline(cause) => (State::Offline, Some(cause.clone())),
            Base::Down(cause) => (State::Down, Some(cause.clone())),
            Base::Reachable { silent } => self.seen_from_outside(*silent, now),
        };
        let mut steps = self.steps.clone();
        steps.extend(self.visit.iter().flat_map(|visit| visit.steps.clone()));
        PublicationState { state, cause, steps, at: self.at }
    }

    fn seen_from_outside(&self, silent: bool, now: Instant) -> (State, Option<String>) {
        let Some(visit) = &self.visit else {
            return (State::Reachable, Some("not yet visited from outside".to_owned()));
        };
        if let Some(failed) = visit.steps.iter().find(|step| !step.ok) {
            return (State::Reachable, Some(format!("{}: {}", failed.name, failed.detail)));
        }
        if visit.steps.is_empty() || now.saturating_duration_since(visit.at) > LIVE_FOR {
            return (State::Reachable, Some("not visited from outside lately".to_owned()));
        }
        (State::Live, silent.then(|| "service silent".to_owned()))
    }
}

fn unknown() -> PublicationState {
    PublicationState {
        state: State::Offline,
        cause: Some("not checked yet".to_owned()),
        steps: Vec::new(),
        at: now_micros(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn live_needs_a_target_and_a_recent_visit_without_a_failed_step() {
        let (states, now, id) = (States::default(), Instant::now(), Uuid::nil());
        let shown = |now| states.get(id, now).state;
        assert_eq!(shown(now), State::Offline);

        states.set(id, Base::Reachable { silent: false }, Vec::new(), now);
        assert_eq!(shown(now), State::Reachable);

        states.set_visit(id, visit(true), now);
        assert_eq!(shown(now), State::Live);
        assert_eq!(shown(now + LIVE_FOR + Duration::from_secs(1)), State::Reachable);

        states.set_visit(id, visit(false), now);
        assert_eq!(shown(now), State::Reachable);
        assert!(states.get(id, now).cause.unwrap().contains("port"));
    }

    #[test]
    fn an_old_visit_proves_nothing_after_the_agent_was_away() {
        let (states, now, id) = (States::default(), Instant::now(), Uuid::nil());
        states.set(id, Base::Reachable { silent: false }, Vec::new(), now);
        states.set_visit(id, visit(true), now);
        states.set(id, Base::Offline("gone".to_owned()), Vec::new(), now);
        states.set(id, Base::Reachable { silent: false }, Vec::new(), now);
        assert_eq!(states.get(id, now).state, State::Reachable);
    }

    #[test]
    fn a_silent_service_is_live_and_says_so() {
        let (states, now, id) = (States::default(), Instant::now(), Uuid::nil());
        states.set(id, Base::Reachable { silent: true }, Vec::new(), now);
        states.set_visit(id, visit(true), now);
        let shown = states.get(id, now);
        assert_eq!((shown.state, shown.cause.as_deref()), (State::Live, Some("service silent")));
    }

    fn visit(ok: bool) -> ProbeReport {
        let step = Step { name: "port".to_owned(), ok, detail: "refused".to_owned() };
        ProbeReport { steps: vec![step] }
    }
}
