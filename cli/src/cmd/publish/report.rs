//! What a publication is, in words: the public address, who may visit, and each step of its proof.
//!
//! The address is the result and goes to stdout, once, when it is settled: reachable, down, or not proved in time. Nothing is called
//! live that the agent has not visited from outside.

use std::collections::BTreeMap;
use std::time::Duration;

use bore_api::model::{Micros, Protocol, Publication, PublishedHost};
use bore_api::printable;
use bore_api::state::{PublicationState, State, Step};
use bore_api::wire::PublicationView;
use bore_api::{Code, Problem};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::error::{CliError, CliResult};
use crate::hostname::both_forms;
use crate::link::{Feed, Link};
use crate::output::Output;
use bore_agent::{Declaration, StateChange};

/// A publication that the relay has acknowledged.
pub(crate) struct Declared {
    /// As it was acknowledged.
    pub(crate) view: PublicationView,
    /// States up to here, on the relay's clock, are of the target or the address before.
    stale_until: Option<Micros>,
}

impl Declared {
    fn is_proved_by(&self, news: &PublicationView) -> bool {
        let fresh = self.stale_until.is_none_or(|at| news.state.at > at);
        fresh && news.publication.id == self.view.publication.id
    }

    /// Takes in what was heard. Fails when it is published no more.
    fn take(&mut self, change: &StateChange) -> CliResult {
        let ours = |name: &String| *name == self.view.publication.name;
        match change {
            StateChange::Publication { publication } if self.is_proved_by(publication) => {
                self.view = (**publication).clone();
            }
            StateChange::Stopped { code, cause } => {
                return Err(CliError::of_text(code.clone(), cause.clone()));
            }
            StateChange::Refused { name, problem } if ours(name) => {
                return Err(CliError::from_problem(problem.status, problem.clone()));
            }
            StateChange::Withdrawn { name, cause } if ours(name) => {
                return Err(withdrawn(name, cause));
            }
            StateChange::Publication { .. }
            | StateChange::Connected { .. }
            | StateChange::Disconnected { .. }
            | StateChange::Refused { .. }
            | StateChange::Withdrawn { .. }
            | StateChange::Draining
            | StateChange::Unsaved { .. }
            | StateChange::Saved => {}
        }
        Ok(())
    }
}

/// A publication after the wait for its proof.
pub(crate) struct Settled {
    /// The last that was heard of it.
    pub(crate) view: PublicationView,
    limit: Duration,
}

impl Settled {
    /// The publication, if it is live.
    pub(crate) fn demand_live(self) -> CliResult<PublicationView> {
        let state = &self.view.state;
        let name = &self.view.publication.name;
        let error = match state.state {
            State::Live => return Ok(self.view),
            State::Down => {
                CliError::new(Code::TARGET_REFUSED, format!("the target of {name} does not answer"))
            }
            State::Refused => {
                CliError::new(Code::DISPLACED, format!("{name} is refused by the relay"))
            }
            State::Offline | State::Reachable => CliError::new(
                Code::NOT_VERIFIED,
                format!("{name} was not reached from outside within {:?}", self.limit),
            ),
        };
        Err(error.cause(state.cause.clone().unwrap_or_else(|| failed_step(&state.steps))))
    }
}

/// Publishes, and answers without a proof that was of another target: an update keeps the state of what it replaces until it is
/// checked anew.
pub(crate) async fn declare(link: &Link, declaration: Declaration) -> CliResult<Declared> {
    let before = link.publications().await?;
    let mut view = link.declare(declaration).await?;
    let same = |old: &&PublicationView| old.publication.id == view.publication.id;
    let changed = |old: &&PublicationView| way(&old.publication) != way(&view.publication);
    let stale_until = before.iter().find(same).filter(changed).map(|old| old.state.at);
    if stale_until.is_some_and(|at| view.state.at <= at) {
        view.state.state = State::Offline;
        view.state.cause = Some("not checked since it changed".to_owned());
        view.state.steps.clear();
    }
    Ok(Declared { view, stale_until })
}

/// What visitors and their bytes go by: what was proved of another is no proof.
fn way(publication: &Publication) -> (Protocol, Option<u16>, &[PublishedHost], &str) {
    let Publication { protocol, public_port, hostnames, target, .. } = publication;
    (*protocol, *public_port, hostnames, target)
}

/// Waits until `declared` is settled, announces it, then waits for the proof from outside and tells its steps; at most `limit` in all.
pub(crate) async fn settle(
    output: &Output,
    changes: &mut Feed,
    declared: Declared,
    limit: Duration,
) -> CliResult<Settled> {
    let mut pending = [Pending::new(declared)];
    settle_pending(output, changes, &mut pending, limit).await?;
    let [Pending { declared, .. }] = pending;
    Ok(Settled { view: declared.view, limit })
}

/// Does the same for several at a time: none waits for another.
pub(crate) async fn settle_all(
    output: &Output,
    changes: &mut Feed,
    declared: Vec<Declared>,
    limit: Duration,
) -> CliResult {
    let mut pending: Vec<_> = declared.into_iter().map(Pending::new).collect();
    settle_pending(output, changes, &mut pending, limit).await
}

async fn settle_pending(
    output: &Output,
    changes: &mut Feed,
    pending: &mut [Pending],
    limit: Duration,
) -> CliResult {
    let deadline = Instant::now() + limit;
    pending.iter_mut().try_for_each(|each| each.tell_progress(output))?;
    while pending.iter().any(|each| !each.is_settled) {
        let Ok(change) = timeout_at(deadline, changes.next()).await else { break };
        let change = change?;
        for each in pending.iter_mut().filter(|each| !each.is_settled) {
            each.declared.take(&change)?;
            each.tell_progress(output)?;
        }
    }
    let late = pending.iter_mut().filter(|each| !each.is_settled);
    for each in late {
        each.tell_end(output)?;
    }
    Ok(())
}

/// A publication whose proof is waited for.
struct Pending {
    declared: Declared,
    /// The address that was printed.
    announced: Option<String>,
    is_settled: bool,
}

impl Pending {
    fn new(declared: Declared) -> Self {
        Self { declared, announced: None, is_settled: false }
    }

    fn tell_progress(&mut self, output: &Output) -> CliResult {
        let view = &self.declared.view;
        if self.announced.is_none() && has_address(&view.state) {
            announce(output, view)?;
            self.announced = Some(view.public.clone());
        }
        let is_proved = matches!(view.state.state, State::Live | State::Down);
        if self.announced.is_some() && is_proved { self.tell_end(output) } else { Ok(()) }
    }

    fn tell_end(&mut self, output: &Output) -> CliResult {
        let view = &self.declared.view;
        if self.announced.as_ref() != Some(&view.public) {
            announce(output, view)?;
        }
        steps(output, view);
        self.is_settled = true;
        Ok(())
    }
}

/// Whether the address is the one that it will have: a certificate on its way makes it another.
fn has_address(state: &PublicationState) -> bool {
    match state.state {
        State::Reachable | State::Live => !state.awaits_certificate,
        State::Down => true,
        State::Offline | State::Refused => false,
    }
}

/// Prints the address: the result. Another one, as when a certificate has come, is printed again.
pub(crate) fn announce(output: &Output, view: &PublicationView) -> CliResult {
    let text = format!("{} → {}", printable(&view.public), printable(&view.publication.target));
    output.result("published", &fields(view), &text)?;
    for name in noteworthy(view) {
        output.note(&format!("  {}", printable(&both_forms(&name))));
    }
    for note in &view.access_notes {
        output.note(&format!("  {}", printable(note)));
    }
    Ok(())
}

/// Hostnames that the address does not show: others than its own, and its own in the script that people read.
fn noteworthy(view: &PublicationView) -> impl Iterator<Item = String> {
    let shown =
        |name: &String| view.public.contains(&format!("://{name}")) && both_forms(name) == *name;
    view.publication.hostnames.iter().map(ToString::to_string).filter(move |name| !shown(name))
}

/// Prints every step of the proof, and what the whole amounts to.
fn steps(output: &Output, view: &PublicationView) {
    for step in &view.state.steps {
        output.step(step.ok, step.name.as_str(), &step.detail);
    }
    output.note(&standing(view));
}

/// One line about a state: `app is live`, `app is down: connection refused`.
pub(crate) fn standing(view: &PublicationView) -> String {
    let state = match view.state.state {
        State::Offline => "offline",
        State::Refused => "refused",
        State::Down => "down",
        State::Reachable => "reachable through the relay, not yet proved from outside",
        State::Live => "live",
    };
    let cause = view.state.cause.as_deref().map(|cause| format!(": {cause}")).unwrap_or_default();
    printable(&format!("{} is {state}{cause}", view.publication.name))
}

/// What programs are told of a publication.
pub(crate) fn fields(view: &PublicationView) -> Value {
    let fields = json!({
        "name": view.publication.name,
        "id": view.publication.id,
        "url": view.public,
        "target": view.publication.target,
        "protocol": view.publication.protocol,
        "hostnames": view.publication.hostnames,
        "state": view.state.state,
        "cause": view.state.cause,
        "verified": view.state.state == State::Live,
        "steps": view.state.steps,
        "access": view.publication.access,
        "access_notes": view.access_notes,
        "lifetime": view.publication.lifetime,
    });
    view.publication.options.beside(fields)
}

/// Tells what happens to a publication whose address was printed.
pub(crate) async fn follow_announced(
    output: &Output,
    changes: &mut Feed,
    view: &PublicationView,
) -> CliResult {
    let name = view.publication.name.clone();
    let announced = BTreeMap::from([(name.clone(), view.public.clone())]);
    follow_from(output, changes, &[name], announced).await
}

/// Tells what happens to the publications of these names; every one's for an empty list. Ends when the agent does, or when one of the named is gone.
pub(crate) async fn follow(output: &Output, changes: &mut Feed, names: &[String]) -> CliResult {
    follow_from(output, changes, names, BTreeMap::new()).await
}

/// `announced` are addresses that were printed, by name.
async fn follow_from(
    output: &Output,
    changes: &mut Feed,
    names: &[String],
    mut announced: BTreeMap<String, String>,
) -> CliResult {
    let ours = |name: &str| names.is_empty() || names.iter().any(|each| each == name);
    let mut last = String::new();
    loop {
        let line = match changes.next().await? {
            StateChange::Publication { publication } if ours(&publication.publication.name) => {
                let PublicationView { publication: Publication { name, .. }, public, .. } =
                    &*publication;
                let before = announced.insert(name.clone(), public.clone());
                if before.is_some_and(|before| before != *public) {
                    // It is published, whether its address can be printed or not.
                    let _ = announce(output, &publication);
                }
                let line = standing(&publication);
                if line != last {
                    tell(output, &publication, &line);
                    last = line;
                }
                continue;
            }
            StateChange::Withdrawn { name, cause } if ours(&name) => {
                if !names.is_empty() {
                    return Err(withdrawn(&name, &cause));
                }
                format!("{name} is published no more: {cause}")
            }
            StateChange::Refused { name, problem } if ours(&name) => {
                output.warn(&refused(&name, &problem));
                continue;
            }
            StateChange::Connected { relay, .. } => format!("connected to {relay}"),
            StateChange::Disconnected { code, cause } => {
                format!("lost the relay ({code}): {cause}; trying again")
            }
            StateChange::Draining => "the relay stops soon".to_owned(),
            StateChange::Unsaved { code, cause } => {
                output.warn(&format!("the state cannot be saved ({code}): {cause}; trying again"));
                continue;
            }
            StateChange::Saved => "the state is saved again".to_owned(),
            StateChange::Stopped { code, cause } => return Err(CliError::of_text(code, cause)),
            StateChange::Publication { .. }
            | StateChange::Withdrawn { .. }
            | StateChange::Refused { .. } => continue,
        };
        output.note(&printable(&line));
    }
}

fn tell(output: &Output, view: &PublicationView, line: &str) {
    if output.json() {
        // A reader that went away is noticed when the command ends.
        let _ = output.result("state", &fields(view), line);
    } else {
        output.note(line);
    }
}

fn refused(name: &str, problem: &Problem) -> String {
    let next = if problem.next.is_empty() { "" } else { "; " };
    format!("{name} is refused ({}): {problem}{next}{}", problem.code, problem.next)
}

fn withdrawn(name: &str, cause: &str) -> CliError {
    CliError::new(Code::PUBLICATION_NOT_FOUND, format!("{name} is published no more"))
        .cause(cause.to_owned())
}

fn failed_step(steps: &[Step]) -> String {
    let failed = steps.iter().find(|step| !step.ok);
    failed.map_or_else(
        || "no answer yet".to_owned(),
        |step| format!("{}: {}", step.name, step.detail),
    )
}

#[cfg(test)]
mod tests {
    use bore_api::state::StepName;

    use super::*;
    use crate::output::Style;
    use crate::output::tests::captured;
    use crate::test_support::view;

    #[tokio::test]
    async fn the_address_is_printed_once_and_live_only_with_its_proof() {
        let (output, streams) = captured(Style::default());
        let (sender, mut feed) = feed();
        let mut live = view("web", Protocol::Tcp);
        live.state.state = State::Live;
        live.state.steps = vec![Step::held(StepName::Port, "accepted")];
        sender.send(StateChange::Publication { publication: Box::new(live) }).unwrap();

        let settled = settle(&output, &mut feed, declared(None), LIMIT).await.unwrap();
        assert!(settled.demand_live().is_ok());
        assert_eq!(streams.stdout(), "tcp://203.0.113.5:7777 → localhost:3000\n");
        assert_eq!(streams.stderr(), "✓ port accepted\nweb is live\n");
    }

    #[tokio::test]
    async fn a_publication_without_a_proof_holds_no_other_up() {
        let (output, streams) = captured(Style::default());
        let (sender, mut feed) = feed();
        let named = |name: &str, id: u128, state| {
            let mut view = view(name, Protocol::Tcp);
            view.publication.id = uuid::Uuid::from_u128(id);
            view.state.state = state;
            view
        };
        let declared = [("dead", 1), ("web", 2)].map(|(name, id)| Declared {
            view: named(name, id, State::Offline),
            stale_until: None,
        });
        let live = Box::new(named("web", 2, State::Live));
        sender.send(StateChange::Publication { publication: live }).unwrap();
        settle_all(&output, &mut feed, declared.into(), Duration::ZERO).await.unwrap();
        let told = streams.stderr();
        let [web, dead] = ["web is live", "dead is offline"].map(|text| told.find(text).unwrap());
        assert!(web < dead, "{told}");
    }

    #[tokio::test]
    async fn without_a_proof_in_time_it_is_called_unverified() {
        let (output, streams) = captured(Style::default());
        let (_sender, mut feed) = feed();
        let settled = settle(&output, &mut feed, declared(None), Duration::ZERO).await.unwrap();
        assert_eq!(settled.demand_live().unwrap_err().code(), "B8101");
        assert!(streams.stderr().contains("not yet proved from outside"), "{}", streams.stderr());
    }

    #[tokio::test]
    async fn an_address_that_a_certificate_is_on_its_way_for_is_waited_for() {
        let (output, streams) = captured(Style::default());
        let (sender, mut feed) = feed();
        let tell = |state: PublicationState, public: &str| {
            let mut news = view("web", Protocol::Http);
            (news.state, news.public) = (state, public.to_owned());
            sender.send(StateChange::Publication { publication: Box::new(news) }).unwrap();
        };
        let state = |state, awaits_certificate| PublicationState {
            state,
            awaits_certificate,
            ..view("web", Protocol::Http).state
        };
        tell(state(State::Live, true), "http://web.t.example/");
        tell(state(State::Live, false), "https://web.t.example/");
        let mut waiting = declared(None);
        waiting.view.state.awaits_certificate = true;
        let settled = settle(&output, &mut feed, waiting, LIMIT).await.unwrap();
        assert_eq!(streams.stdout(), "https://web.t.example/ → localhost:3000\n");

        // Should it be lost, or come late, the other address is printed too.
        tell(state(State::Reachable, false), "http://web.t.example/");
        sender
            .send(StateChange::Withdrawn { name: "web".into(), cause: "the relay".into() })
            .unwrap();
        follow_announced(&output, &mut feed, &settled.view).await.unwrap_err();
        assert!(streams.stdout().ends_with("http://web.t.example/ → localhost:3000\n"));
    }

    #[tokio::test]
    async fn a_proof_of_the_target_before_proves_nothing() {
        let (output, _streams) = captured(Style::default());
        let (sender, mut feed) = feed();
        let mut stale = view("web", Protocol::Tcp);
        stale.state.state = State::Live;
        stale.state.at = 5;
        sender.send(StateChange::Publication { publication: Box::new(stale) }).unwrap();
        let settled = settle(&output, &mut feed, declared(Some(5)), Duration::ZERO).await.unwrap();
        assert!(settled.demand_live().is_err());
    }

    #[tokio::test]
    async fn a_publication_that_is_down_has_the_exit_code_of_a_dead_target() {
        let (output, streams) = captured(Style { json: true, ..Style::default() });
        let (sender, mut feed) = feed();
        let mut down = view("web", Protocol::Tcp);
        down.state.state = State::Down;
        down.state.cause = Some("connection refused".into());
        sender.send(StateChange::Publication { publication: Box::new(down) }).unwrap();

        let mut declared = declared(None);
        declared.view.state.state = State::Offline;
        let settled = settle(&output, &mut feed, declared, LIMIT).await.unwrap();
        let error = settled.demand_live().unwrap_err();
        assert_eq!((error.exit().number(), error.reason()), (7, Some("connection refused")));
        assert!(streams.stdout().contains("\"verified\":false"), "{}", streams.stdout());
    }

    #[tokio::test]
    async fn what_a_person_should_change_is_told_also_with_quiet() {
        let (output, streams) = captured(Style { quiet: true, ..Style::default() });
        let (sender, mut feed) = feed();
        let problem = Problem {
            status: 409,
            detail: "taken".into(),
            code: "B2104".into(),
            next: "try: --port 0".into(),
            ..Problem::default()
        };
        let (code, cause) = ("B6101".to_owned(), "the disk is full".to_owned());
        for change in [
            StateChange::Refused { name: "web".into(), problem },
            StateChange::Unsaved { code, cause },
            StateChange::Stopped { code: "B5104".into(), cause: "replaced".into() },
        ] {
            sender.send(change).unwrap();
        }
        follow(&output, &mut feed, &[]).await.unwrap_err();
        assert_eq!(
            streams.stderr(),
            "warning: web is refused (B2104): taken; try: --port 0\n\
             warning: the state cannot be saved (B6101): the disk is full; trying again\n"
        );
    }

    #[tokio::test]
    async fn an_agent_that_was_replaced_ends_the_wait_with_its_code() {
        let (output, _streams) = captured(Style::default());
        let (sender, mut feed) = feed();
        sender
            .send(StateChange::Stopped { code: "B5104".into(), cause: "replaced".into() })
            .unwrap();
        let error = follow(&output, &mut feed, &[]).await.unwrap_err();
        assert_eq!((error.code(), error.exit().number()), ("B5104", 6));
    }

    const LIMIT: Duration = Duration::from_secs(10);

    fn feed() -> (tokio::sync::broadcast::Sender<StateChange>, Feed) {
        let (sender, receiver) = tokio::sync::broadcast::channel(8);
        (sender, Feed::Own(receiver))
    }

    fn declared(stale_until: Option<Micros>) -> Declared {
        Declared { view: view("web", Protocol::Tcp), stale_until }
    }
}
