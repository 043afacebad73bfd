//! Looks after what is published: visits it from outside, and looks again at targets that are down.
//!
//! | publication is | then |
//! |---|---|
//! | `reachable`, not visited since the session opened, since it was `down`, or under its present address | visited at once |
//! | `reachable` or `live`, visited | visited again about every 60 s |
//! | `down`, or its target failed a visitor | its target is looked at every 2 s; a change is reported |
//! | `tls` | never visited: the target terminates TLS, so it is `reachable` at most |
//! | `offline` | nothing: without the relay there is nothing to prove |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bore_control::model::Protocol;
use bore_control::runtime::State;
use rand::Rng;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use super::shared::{Link, Online, Shared};
use super::wire::PublicationView;
use super::{targets, visit};

/// Runs until the agent stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut stopping = shared.stopping();
    let mut changes = shared.changes();
    let mut care = Care { shared, records: BTreeMap::new(), work: JoinSet::new() };
    loop {
        care.begin_due();
        tokio::select! {
            change = changes.recv() => if matches!(change, Err(RecvError::Closed)) { break },
            Some(_) = care.work.join_next(), if !care.work.is_empty() => {}
            () = tokio::time::sleep(TICK) => {}
            _ = stopping.wait_for(|stop| *stop) => break,
        }
    }
}

struct Care {
    shared: Arc<Shared>,
    records: BTreeMap<String, Record>,
    work: JoinSet<()>,
}

/// What was done for one publication.
#[derive(Debug, Clone, Default)]
struct Record {
    /// The public address that was looked after so far.
    public: String,
    /// The session in which it was last visited.
    visited_in: Option<u64>,
    visit_due: Option<Instant>,
    look_due: Option<Instant>,
}

/// What to do for a publication right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Visit,
    Look,
    Nothing,
}

impl Care {
    fn begin_due(&mut self) {
        let Link::Online(online) = self.shared.link().borrow().clone() else { return };
        let views = self.shared.registry().views();
        self.records.retain(|name, _| views.iter().any(|view| view.publication.name == *name));
        for view in views {
            self.begin(&online, view);
        }
    }

    fn begin(&mut self, online: &Online, view: PublicationView) {
        let now = Instant::now();
        let record = self.records.entry(view.publication.name.clone()).or_default();
        let failing = self.shared.registry().is_failing(&view.publication.name);
        let state = if failing { State::Down } else { view.state.state };
        if matches!(state, State::Offline | State::Down) || record.public != view.public {
            // Once it is reachable again, or elsewhere, that is to be proved at once.
            record.visited_in = None;
            record.public.clone_from(&view.public);
        }
        let due = record.due(state, online.session, now);
        // A visit's token cannot be read inside TLS that the target terminates.
        let unreadable = due == Due::Visit && view.publication.protocol == Protocol::Tls;
        if due == Due::Nothing || unreadable || self.work.len() >= AT_ONCE_MAX {
            return;
        }
        let shared = Arc::clone(&self.shared);
        match due {
            Due::Nothing => {}
            Due::Visit => {
                let jitter = rand::rng().random_range(0.75..1.25);
                record.visit_due = Some(now + VISIT_EVERY.mul_f64(jitter));
                record.visited_in = Some(online.session);
                self.work.spawn(pay_visit(shared, online.clone(), view));
            }
            Due::Look => {
                record.look_due = Some(now + LOOK_EVERY);
                self.work.spawn(look_at_target(shared, view.publication.name));
            }
        }
    }
}

impl Record {
    fn due(&self, state: State, session: u64, now: Instant) -> Due {
        let passed = |due: Option<Instant>| due.is_none_or(|due| due <= now);
        match state {
            State::Offline => Due::Nothing,
            State::Down if passed(self.look_due) => Due::Look,
            State::Down => Due::Nothing,
            State::Reachable | State::Live
                if self.visited_in != Some(session) || passed(self.visit_due) =>
            {
                Due::Visit
            }
            State::Reachable | State::Live => Due::Nothing,
        }
    }
}

async fn pay_visit(shared: Arc<Shared>, online: Online, view: PublicationView) {
    let name = &view.publication.name;
    match visit::visit(&shared, &online.control, &view).await {
        Ok(state) => shared.set_state(name, state),
        Err(error) => tracing::debug!(%name, %error, "no visit from outside"),
    }
}

async fn look_at_target(shared: Arc<Shared>, name: String) {
    let declared = shared
        .registry()
        .entry(&name)
        .map(|entry| (entry.declaration.protocol, entry.target.clone()));
    let Some((protocol, target)) = declared else { return };
    let result = targets::check(protocol, &target).await;
    shared.note_target(&name, result.map_err(|error| error.to_string()));
}

const TICK: Duration = Duration::from_secs(1);
const VISIT_EVERY: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Visits and looks at the same time.
const AT_ONCE_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_is_visited_once_it_is_reachable_and_again_a_minute_later() {
        let now = Instant::now();
        let mut record = Record::default();
        assert_eq!(record.due(State::Offline, 1, now), Due::Nothing);
        assert_eq!(record.due(State::Reachable, 1, now), Due::Visit);

        record.visited_in = Some(1);
        record.visit_due = Some(now + VISIT_EVERY);
        assert_eq!(record.due(State::Live, 1, now), Due::Nothing);
        assert_eq!(record.due(State::Live, 1, now + VISIT_EVERY), Due::Visit);
    }

    #[test]
    fn a_new_session_is_proved_anew() {
        let now = Instant::now();
        let record =
            Record { visited_in: Some(1), visit_due: Some(now + VISIT_EVERY), ..Record::default() };
        assert_eq!(record.due(State::Reachable, 2, now), Due::Visit);
    }

    #[test]
    fn a_target_that_is_down_is_looked_at_and_not_visited() {
        let now = Instant::now();
        let mut record = Record::default();
        assert_eq!(record.due(State::Down, 1, now), Due::Look);
        record.look_due = Some(now + LOOK_EVERY);
        assert_eq!(record.due(State::Down, 1, now), Due::Nothing);
    }
}
