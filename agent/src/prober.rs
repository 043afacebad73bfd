//! Looks after what is published: visits it from outside, and looks again at targets that are down.
//!
//! | publication is | then |
//! |---|---|
//! | `reachable`, not visited since the session opened, since it was `down`, or under its present address | visited at once |
//! | `reachable`, and the last visit failed | visited again after about 2 s, then ever later up to 60 s |
//! | `reachable`, though the last visit proved more: a name got a certificate, or the proof is in doubt | visited again, not sooner than 2 s after that one |
//! | `live` | visited again about every 60 s |
//! | `reachable` or `live`, and its target is checked | the target is checked every 30 s, or as its health interval says |
//! | `down`, or its target failed a visitor | its target is looked at every 2 s; a change is reported |
//! | `offline` | nothing: without the relay there is nothing to prove |
//!
//! Publications take turns: one whose target is slow to fail keeps no other waiting for longer than its turn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bore_api::model::{HealthCheck, Publication};
use bore_api::state::State;
use bore_api::wire::PublicationView;
use rand::Rng;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use uuid::Uuid;

use super::external_probe;
use super::shared::{Link, Online, Shared};
use super::target_watch::check_target;

/// Runs until the agent stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut stopping = shared.stopping();
    let mut changes = shared.changes();
    let (visits, looks) = (JoinSet::new(), JoinSet::new());
    let mut prober = Prober { shared, records: BTreeMap::new(), visits, looks, turn: 0 };
    loop {
        prober.begin_due();
        tokio::select! {
            change = changes.recv() => if matches!(change, Err(RecvError::Closed)) { break },
            Some(ended) = prober.visits.join_next(), if !prober.visits.is_empty() => prober.end(ended),
            Some(_) = prober.looks.join_next(), if !prober.looks.is_empty() => {}
            () = tokio::time::sleep(TICK) => {}
            _ = stopping.wait_for(|stop| *stop) => break,
        }
    }
}

struct Prober {
    shared: Arc<Shared>,
    records: BTreeMap<Uuid, Record>,
    visits: JoinSet<Visited>,
    looks: JoinSet<()>,
    /// Where the next turn begins in the list of publications.
    turn: usize,
}

/// How a visit ended.
#[derive(Debug, Clone, Copy)]
struct Visited {
    publication: Uuid,
    proved: bool,
}

/// What was done for one publication.
#[derive(Debug, Clone, Default)]
struct Record {
    /// The public address that was looked after so far.
    public: String,
    /// The session in which it was last visited.
    visited_in: Option<u64>,
    /// When it is visited again while it is live.
    due_while_live: Option<Instant>,
    /// The same while it is no more than reachable.
    due_while_reachable: Option<Instant>,
    /// Visits that failed in a row.
    failures: u32,
    look_due: Option<Instant>,
    /// The look that began last.
    look: Option<AbortHandle>,
    /// No visit begins before, whatever the relay tells.
    visit_not_before: Option<Instant>,
}

/// What to do for a publication right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Visit,
    Look,
    Nothing,
}

impl Prober {
    fn begin_due(&mut self) {
        let Link::Online(online) = self.shared.link().borrow().clone() else { return };
        let views = self.shared.registry().views();
        self.records.retain(|id, _| views.iter().any(|view| view.publication.id == *id));
        let begins = self.turn;
        for place in (0..views.len()).map(|place| (begins + place) % views.len()) {
            let Some(view) = views.get(place).cloned() else { continue };
            if self.begin(&online, view) {
                self.turn = place + 1;
            }
        }
    }

    /// Begins what is due, if there is room for it. Returns true if it did.
    fn begin(&mut self, online: &Online, view: PublicationView) -> bool {
        let now = Instant::now();
        let failing = self.shared.registry().is_failing(&view.publication.name);
        let state = if failing { State::Down } else { view.state.state };
        let look_every = self.look_every(&view.publication.name, state);
        let record = self.records.entry(view.publication.id).or_default();
        if matches!(state, State::Offline | State::Down) || record.public != view.public {
            record.forget_visits(&view.public);
            record.look_due = record.look_due.map(|due| due.min(now + LOOK_EVERY));
        }
        let due = record.due(state, online.session, look_every.is_some(), now);
        let shared = Arc::clone(&self.shared);
        match due {
            Due::Visit if self.visits.len() < AT_ONCE_MAX => {
                record.begin_visit(online.session, now);
                self.visits.spawn(pay_visit(shared, online.clone(), view));
            }
            Due::Look if self.looks.len() < AT_ONCE_MAX => {
                record.look_due = look_every.map(|every| now + every);
                let look = self.looks.spawn(look_at_target(shared, view.publication.name));
                record.look = Some(look);
            }
            Due::Visit | Due::Look | Due::Nothing => return false,
        }
        true
    }

    /// The time between two looks at a target; `None` for one that is not checked.
    fn look_every(&self, name: &str, state: State) -> Option<Duration> {
        if state == State::Down {
            return Some(LOOK_EVERY);
        }
        let registry = self.shared.registry();
        let entry = registry.entry(name)?;
        (entry.health() != HealthCheck::None).then(|| entry.health_interval())
    }

    /// Takes in how a piece of work ended. One that panicked has said nothing: its publication is visited again when the next minute is over.
    fn end(&mut self, ended: Result<Visited, JoinError>) {
        let Ok(Visited { publication, proved }) = ended else { return };
        if let Some(record) = self.records.get_mut(&publication) {
            record.end_visit(proved, Instant::now(), rand::rng().random_range(JITTER));
        }
    }
}

impl Record {
    fn due(&self, state: State, session: u64, is_checked: bool, now: Instant) -> Due {
        let passed = |due: Option<Instant>| due.is_none_or(|due| due <= now);
        let visited = self.visited_in == Some(session);
        let due = match state {
            State::Offline | State::Refused => return Due::Nothing,
            State::Down if self.is_look_due(now) => return Due::Look,
            State::Down => return Due::Nothing,
            State::Reachable => self.due_while_reachable,
            State::Live => self.due_while_live,
        };
        let is_due = !visited || passed(due);
        match is_due && passed(self.visit_not_before) {
            true => Due::Visit,
            false if is_checked && self.is_look_due(now) => Due::Look,
            false => Due::Nothing,
        }
    }

    /// One look at a time: a target that is slow to fail takes longer than the time between two.
    fn is_look_due(&self, now: Instant) -> bool {
        let is_looked_at = self.look.as_ref().is_some_and(|look| !look.is_finished());
        !is_looked_at && self.look_due.is_none_or(|due| due <= now)
    }

    /// Once it is reachable again, or elsewhere, that is to be proved at once.
    fn forget_visits(&mut self, public: &str) {
        self.visited_in = None;
        self.failures = 0;
        public.clone_into(&mut self.public);
    }

    /// The next visit waits for this one, or, should this one never end, for a minute.
    fn begin_visit(&mut self, session: u64, now: Instant) {
        if self.visited_in != Some(session) {
            self.failures = 0;
        }
        self.visited_in = Some(session);
        self.visit_not_before = Some(now + VISITS_APART);
        self.due_while_live = Some(now + VISIT_EVERY);
        self.due_while_reachable = Some(now + VISIT_EVERY);
    }

    fn end_visit(&mut self, proved: bool, now: Instant, jitter: f64) {
        self.failures = if proved { 0 } else { self.failures.saturating_add(1) };
        self.due_while_live = Some(now + VISIT_EVERY.mul_f64(jitter));
        self.due_while_reachable = Some(now + pause_after(self.failures).mul_f64(jitter));
    }
}

/// How long after so many failed visits in a row the next one is.
fn pause_after(failures: u32) -> Duration {
    let grown = RETRY_GROWTH.powf(f64::from(failures.saturating_sub(1).min(RETRIES_TO_GROW_MAX)));
    RETRY_FIRST.mul_f64(grown).min(VISIT_EVERY)
}

async fn pay_visit(shared: Arc<Shared>, online: Online, view: PublicationView) -> Visited {
    let Publication { id, name, .. } = &view.publication;
    let proved = match external_probe::run(&shared, &online, &view).await {
        Ok(state) => {
            let proved = state.state == State::Live;
            shared.set_state(name, state);
            proved
        }
        Err(error) => {
            tracing::debug!(%name, %error, "no visit from outside");
            false
        }
    };
    Visited { publication: *id, proved }
}

async fn look_at_target(shared: Arc<Shared>, name: String) {
    // What it found is reported by itself.
    check_target(&shared, &name).await;
}

const TICK: Duration = Duration::from_secs(1);
const VISIT_EVERY: Duration = Duration::from_secs(60);
/// Two visits to a publication begin no closer than this: a relay that tells ever new states makes no flood.
const VISITS_APART: Duration = Duration::from_secs(1);
/// What is not there yet, a certificate or a record of DNS, often comes within seconds.
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_GROWTH: f64 = 1.75;
/// By then the pause has long reached [`VISIT_EVERY`].
const RETRIES_TO_GROW_MAX: u32 = 16;
/// Spreads what many agents do.
const JITTER: std::ops::Range<f64> = 0.75..1.25;
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Visits at the same time, and looks.
const AT_ONCE_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_is_visited_once_it_is_reachable_and_again_a_minute_later() {
        let now = Instant::now();
        let mut record = Record::default();
        assert_eq!(record.due(State::Offline, 1, false, now), Due::Nothing);
        assert_eq!(record.due(State::Reachable, 1, false, now), Due::Visit);

        record.begin_visit(1, now);
        assert_eq!(record.due(State::Reachable, 1, false, now), Due::Nothing, "one at a time");
        record.end_visit(true, now, 1.0);
        assert_eq!(record.due(State::Live, 1, false, now), Due::Nothing);
        assert_eq!(record.due(State::Live, 1, false, now + VISIT_EVERY), Due::Visit);
    }

    #[test]
    fn a_visit_that_failed_is_repeated_soon_and_ever_later_up_to_a_minute() {
        let mut now = Instant::now();
        let mut record = Record::default();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            record.begin_visit(1, now);
            record.end_visit(false, now, 1.0);
            let due = record.due_while_reachable.unwrap();
            assert_eq!(record.due(State::Reachable, 1, false, due - TICK), Due::Nothing);
            assert_eq!(record.due(State::Reachable, 1, false, due), Due::Visit);
            pauses.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(pauses, [2, 3, 6, 10, 18, 32, 57, 60, 60]);

        record.begin_visit(1, now);
        record.end_visit(true, now, 1.0);
        record.begin_visit(1, now);
        record.end_visit(false, now, 1.0);
        assert_eq!(
            record.due(State::Reachable, 1, false, now + RETRY_FIRST),
            Due::Visit,
            "from anew"
        );
    }

    #[test]
    fn what_was_proved_and_is_reachable_only_is_proved_again_soon() {
        let now = Instant::now();
        let mut record = Record::default();
        record.begin_visit(1, now);
        record.end_visit(true, now, 1.0);
        assert_eq!(record.due(State::Reachable, 1, false, now), Due::Nothing, "no two at once");
        assert_eq!(record.due(State::Reachable, 1, false, now + RETRY_FIRST), Due::Visit);
    }

    #[test]
    fn a_new_session_or_another_address_is_proved_anew_and_at_once() {
        let now = Instant::now();
        let mut record = Record::default();
        for _ in 0..5 {
            record.begin_visit(1, now);
            record.end_visit(false, now, 1.0);
        }
        assert_eq!(
            record.due(State::Reachable, 2, false, now),
            Due::Nothing,
            "not one on the other"
        );
        let now = now + VISITS_APART;
        assert_eq!(record.due(State::Reachable, 2, false, now), Due::Visit);
        record.forget_visits("https://app.t.example.org/");
        assert_eq!(record.due(State::Reachable, 1, false, now), Due::Visit);
        record.begin_visit(1, now);
        record.end_visit(false, now, 1.0);
        assert_eq!(record.due(State::Reachable, 1, false, now + RETRY_FIRST), Due::Visit);
    }

    #[test]
    fn a_checked_target_is_looked_at_between_visits() {
        let now = Instant::now();
        let mut record = Record::default();
        record.begin_visit(1, now);
        record.end_visit(true, now, 1.0);
        assert_eq!(record.due(State::Live, 1, true, now), Due::Look);
        record.look_due = Some(now + LOOK_EVERY);
        assert_eq!(record.due(State::Live, 1, true, now), Due::Nothing);
        assert_eq!(record.due(State::Live, 1, true, now + LOOK_EVERY), Due::Look);
        assert_eq!(record.due(State::Live, 1, false, now + LOOK_EVERY), Due::Nothing);
    }

    #[tokio::test]
    async fn a_target_is_not_looked_at_again_before_the_last_look_has_ended() {
        let (now, mut looks) = (Instant::now(), JoinSet::new());
        let mut record = Record { look_due: Some(now), ..Record::default() };
        record.look = Some(looks.spawn(std::future::pending::<()>()));
        for state in [State::Down, State::Live] {
            record.visited_in = Some(1);
            (record.due_while_live, record.visit_not_before) = (Some(now + TICK), Some(now + TICK));
            assert_eq!(record.due(state, 1, true, now), Due::Nothing);
        }
        looks.shutdown().await;
        assert_eq!(record.due(State::Down, 1, true, now), Due::Look);
    }

    #[test]
    fn a_target_that_is_down_is_looked_at_and_not_visited() {
        let now = Instant::now();
        let mut record = Record::default();
        assert_eq!(record.due(State::Down, 1, false, now), Due::Look);
        record.look_due = Some(now + LOOK_EVERY);
        assert_eq!(record.due(State::Down, 1, false, now), Due::Nothing);
    }
}
