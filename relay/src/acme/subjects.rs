//! What the issuer knows: of each subject, whether it is wanted, what it has, why it has none, and if an order of it is being worked on.

use std::collections::{BTreeMap, BTreeSet};

use bore_api::model::Micros;
use bore_api::state::CertificateProblem;
use bore_api::state::{CertificateState, CertificateStatus};
use bore_control::certificate::{Certificate, CertificateOrder, RenewalWindow};
use uuid::Uuid;

use super::limits::REMEMBERED_MAX;
use super::name::Name;
use super::rate_limits::RateLimits;
use super::schedule::{Action, Held, Known, decide, waiting};
use super::wanted::Wanted;

/// All subjects.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    entries: BTreeMap<String, Subject>,
    /// The CA is left alone before.
    paused_until: Option<Micros>,
    /// How much of that is its own wish.
    retry_after: Option<Micros>,
    /// How often in a row the CA itself failed.
    pub(super) ca_failures: u32,
    pub(super) rate_limits: RateLimits,
    /// What there is no room for; no more than is published.
    refused: BTreeSet<String>,
}

/// One subject.
#[derive(Debug, Default)]
struct Subject {
    wanted: Option<Wanted>,
    wanted_since: Option<Micros>,
    /// Whose it is, or was when it was last wanted.
    network: Option<Uuid>,
    known: Known,
    /// Before this the CA does not want to be asked about it.
    retry_after: Option<Micros>,
    /// An administrator wants it tried at once.
    is_urgent: bool,
    shown: Option<Shown>,
    problem: Option<CertificateProblem>,
    is_busy: bool,
}

/// What people see of a certificate.
#[derive(Debug, Clone)]
struct Shown {
    names: Vec<String>,
    network: Option<Uuid>,
    issuer: String,
}

/// Something to do, for one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) wanted: Wanted,
    pub(super) action: Action,
    pub(super) is_urgent: bool,
}

/// Something that could be done now.
#[derive(Debug)]
struct Due {
    subject: String,
    network: Option<Uuid>,
    rank: Rank,
    /// Since when.
    at: Micros,
    action: Action,
}

/// What comes first of one network: visitors have a certificate to lose, then a question that takes one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Renewal,
    Question,
    First,
}

/// Subjects whose orders nobody needs any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Forgotten {
    pub(super) subjects: BTreeSet<String>,
    /// How many of them should have been remembered for longer.
    pub(super) early: usize,
}

impl Subjects {
    /// Takes in a certificate of the store; one of another CA is to be replaced.
    pub(super) fn enter(&mut self, certificate: &Certificate, is_foreign: bool) {
        let Some(subject) = certificate.subject() else { return };
        let entry = self.entries.entry(subject.to_owned()).or_default();
        entry.retry_after = None;
        entry.is_urgent = false;
        entry.known = Known { held: Some(held(certificate, is_foreign)), ..Known::default() };
        entry.problem = None;
        entry.shown = Some(Shown {
            names: certificate.names.clone(),
            network: certificate.network,
            issuer: certificate.issuer.clone(),
        });
    }

    /// Takes in what the store remembers of an order.
    pub(super) fn remember(&mut self, order: &CertificateOrder) {
        let entry = self.entries.entry(order.subject.clone()).or_default();
        entry.known.next_try_at = Some(order.next_try_at);
        entry.retry_after = order.retry_after;
        entry.problem.clone_from(&order.problem);
    }

    /// From here on these are wanted and nothing else.
    pub(super) fn want(&mut self, wanted: &[Wanted], now: Micros) {
        self.entries.values_mut().for_each(|entry| entry.wanted = None);
        for one in wanted {
            let entry = self.entries.entry(one.subject()).or_default();
            entry.network = one.network;
            entry.wanted_since = entry.wanted_since.or(Some(now));
            entry.wanted = Some(one.clone());
        }
        let not_wanted = self.entries.values_mut().filter(|entry| entry.wanted.is_none());
        not_wanted.for_each(|entry| entry.wanted_since = None);
        self.entries.retain(|_, entry| entry.is_needed());
    }

    /// Subjects whose orders nobody needs any more come out: nobody wants them, and the time is over for which the CA was to be left alone.
    pub(super) fn take_forgotten(&mut self, now: Micros) -> Forgotten {
        let remembered = self.entries.iter().filter(|(_, entry)| entry.is_remembered());
        let mut forgotten: Vec<(Option<Micros>, String)> = remembered
            .map(|(subject, entry)| (waiting(entry.known.next_try_at, now), subject.clone()))
            .collect();
        forgotten.sort();
        let over = forgotten.iter().take_while(|(until, _)| until.is_none()).count();
        let early = (forgotten.len() - over).saturating_sub(REMEMBERED_MAX);
        forgotten.truncate(over + early);
        for (_, subject) in &forgotten {
            if let Some(entry) = self.entries.get_mut(subject) {
                entry.known.next_try_at = None;
                entry.problem = None;
            }
        }
        self.entries.retain(|_, entry| entry.is_needed());
        Forgotten { subjects: forgotten.into_iter().map(|(_, subject)| subject).collect(), early }
    }

    /// What is to be done now, at most `most` things, each marked as begun; and when to look again.
    pub(super) fn take_due(&mut self, most: usize, now: Micros) -> (Vec<Task>, Micros) {
        let mut next = Micros::MAX;
        let mut due: Vec<Due> = Vec::new();
        for (subject, entry) in self.entries.iter().filter(|(_, entry)| !entry.is_busy) {
            let Some(wanted) = &entry.wanted else { continue };
            match self.action(entry, now) {
                Action::Wait(until) => next = next.min(until),
                action @ (Action::Order | Action::AskRenewal) => {
                    due.push(Due::new(subject.clone(), wanted.network, entry, action));
                }
            }
        }
        // A subject whose order ends makes room, and the issuer looks again.
        let tasks = (0..most).map_while(|_| self.take_next(&mut due)).collect();
        (tasks, next)
    }

    /// Networks take turns, so that one with many names holds up nobody else; the relay's own names come before all.
    fn take_next(&mut self, due: &mut Vec<Due>) -> Option<Task> {
        let busy = self.busy();
        let turns = due.iter().enumerate();
        let (place, _) =
            turns.min_by(|(_, one), (_, other)| one.turn(&busy).cmp(&other.turn(&busy)))?;
        let Due { subject, action, .. } = due.swap_remove(place);
        let entry = self.entries.get_mut(&subject)?;
        entry.is_busy = true;
        let is_urgent = std::mem::take(&mut entry.is_urgent);
        Some(Task { wanted: entry.wanted.clone()?, action, is_urgent })
    }

    /// How many subjects of each network are worked on.
    fn busy(&self) -> BTreeMap<Option<Uuid>, usize> {
        let mut busy = BTreeMap::new();
        for entry in self.entries.values().filter(|entry| entry.is_busy) {
            *busy.entry(entry.network).or_default() += 1;
        }
        busy
    }

    fn action(&self, entry: &Subject, now: Micros) -> Action {
        if entry.is_urgent {
            let wish = waiting(entry.retry_after, now).max(waiting(self.retry_after, now));
            return wish.map_or(Action::Order, Action::Wait);
        }
        match decide(&entry.known, self.paused_until, now) {
            Action::Order if entry.known.held.is_none() => {
                self.rate_limits.until(entry.network, now).map_or(Action::Order, Action::Wait)
            }
            action @ (Action::Order | Action::AskRenewal | Action::Wait(_)) => action,
        }
    }

    /// Certificates that have expired and that nobody wants; they come out and are forgotten.
    pub(super) fn take_expired(&mut self, now: Micros) -> Vec<Uuid> {
        let is_over = |entry: &Subject| {
            entry.wanted.is_none() && entry.known.held.is_some_and(|held| held.not_after <= now)
        };
        let over: Vec<Uuid> =
            self.entries.values().filter(|entry| is_over(entry)).filter_map(Subject::id).collect();
        self.entries.retain(|_, entry| !is_over(entry));
        over
    }

    /// The certificate that a subject has.
    pub(super) fn held(&self, subject: &str) -> Option<Held> {
        self.entries.get(subject)?.known.held
    }

    /// Nobody works on it any more.
    pub(super) fn rest(&mut self, subject: &str) {
        if let Some(entry) = self.entries.get_mut(subject) {
            entry.is_busy = false;
        }
    }

    /// An administrator wants another certificate for `name`, or the first tried again: as soon as the CA lets itself be asked. The state of the
    /// subject that the name belongs to comes out, if there is one that is wanted.
    pub(super) fn hasten(&mut self, name: &Name, now: Micros) -> Option<CertificateState> {
        let is_wanted = |is_meant: &dyn Fn(&Wanted) -> bool| {
            let mut entries = self.entries.iter();
            let found = entries.find(|(_, entry)| entry.wanted.as_ref().is_some_and(is_meant))?;
            Some(found.0.clone())
        };
        let subject = is_wanted(&|wanted| wanted.names().any(|own| own == name))
            .or_else(|| is_wanted(&|wanted| wanted.names().any(|own| own.covers(name))))?;
        let entry = self.entries.get_mut(&subject)?;
        // A try that is under way may fail by what has been mended since: then there is another one.
        entry.is_urgent = true;
        if let Some(held) = &mut entry.known.held {
            held.is_unwanted = true;
        }
        let entry = self.entries.get(&subject)?;
        Some(entry.state(&subject, self.action(entry, now), now))
    }

    /// It is not tried before `until`, and why.
    pub(super) fn postpone(
        &mut self,
        subject: &str,
        until: Micros,
        problem: Option<CertificateProblem>,
    ) {
        // What nobody wants any more too: it may be wanted again before `until`.
        if let Some(entry) = self.entries.get_mut(subject) {
            entry.known.next_try_at = Some(until);
            entry.problem = problem.or_else(|| entry.problem.take());
        }
    }

    /// The CA has said before when it does not want to be asked about a subject, if at all.
    pub(super) fn set_retry_after(&mut self, subject: &str, at: Option<Micros>) {
        if let Some(entry) = self.entries.get_mut(subject) {
            entry.retry_after = at;
        }
    }

    /// The CA has said when it wants a certificate renewed.
    pub(super) fn set_renewal(&mut self, subject: &str, window: RenewalWindow) {
        let held = self.entries.get_mut(subject).and_then(|entry| entry.known.held.as_mut());
        if let Some(held) = held {
            held.renewal = Some(window);
        }
    }

    /// The CA has not said it, and is not asked before.
    pub(super) fn ask_after(&mut self, subject: &str, at: Micros) {
        if let Some(entry) = self.entries.get_mut(subject) {
            entry.known.ask_after = Some(at);
        }
    }

    /// Nothing is asked of the CA before `until`, and nothing at all before `retry_after`, which is its own wish; `None` when it is well.
    pub(super) fn pause(&mut self, until: Option<Micros>, retry_after: Option<Micros>) {
        self.paused_until = until;
        self.retry_after = retry_after;
    }

    /// Whether the CA was left alone, be it in the past.
    pub(super) fn was_paused(&self) -> bool {
        self.paused_until.is_some()
    }

    /// The store says until when the CA is left alone. Whose wish a pause is that is news is not known: it counts as the CA's.
    pub(super) fn hear_of_pause(&mut self, until: Option<Micros>) {
        if self.paused_until != until {
            self.pause(until, until);
        }
    }

    /// For these there is no room. How many of them there was room for before, or nobody wanted, comes out.
    pub(super) fn note_refused(&mut self, names: &[Wanted]) -> usize {
        let refused: BTreeSet<String> = names.iter().map(Wanted::subject).collect();
        let new = refused.difference(&self.refused).count();
        self.refused = refused;
        new
    }

    /// How every subject is, by name.
    pub(super) fn states(&self, now: Micros) -> Vec<CertificateState> {
        let shown = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.wanted.is_some() || entry.shown.is_some());
        shown.map(|(subject, entry)| entry.state(subject, self.action(entry, now), now)).collect()
    }

    /// How the certificate for a hostname is that is wanted: its own, or the wildcard above it.
    pub(super) fn state_of(&self, hostname: &str, now: Micros) -> Option<CertificateState> {
        let above = hostname.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        let subjects = std::iter::once(hostname).chain(above.as_deref());
        let mut entries = subjects.filter_map(|subject| self.entries.get_key_value(subject));
        let (subject, entry) = entries.find(|(_, entry)| entry.wanted.is_some())?;
        Some(entry.state(subject, self.action(entry, now), now))
    }

    /// How many that are wanted fail.
    pub(super) fn failing(&self) -> usize {
        let fails = |entry: &&Subject| entry.wanted.is_some() && entry.problem.is_some();
        self.entries.values().filter(fails).count()
    }

    /// When the first certificate that is wanted expires.
    pub(super) fn soonest_expiry(&self) -> Option<Micros> {
        let wanted = self.entries.values().filter(|entry| entry.wanted.is_some());
        wanted.filter_map(|entry| Some(entry.known.held?.not_after)).min()
    }
}

impl Due {
    fn new(subject: String, network: Option<Uuid>, entry: &Subject, action: Action) -> Self {
        let (rank, at) = match (entry.known.held, action) {
            (_, Action::AskRenewal) => (Rank::Question, entry.known.ask_after),
            (Some(held), _) => {
                (Rank::Renewal, entry.known.next_try_at.or_else(|| Some(held.due())))
            }
            (None, _) => (Rank::First, entry.known.next_try_at.or(entry.wanted_since)),
        };
        Self { subject, network, rank, at: at.unwrap_or(Micros::MIN), action }
    }

    /// What is compared: the least comes first.
    fn turn(&self, busy: &BTreeMap<Option<Uuid>, usize>) -> (usize, bool, Rank, Micros, &str) {
        let of_network = busy.get(&self.network).copied().unwrap_or_default();
        (of_network, self.network.is_some(), self.rank, self.at, &self.subject)
    }
}

impl Subject {
    /// It is not wanted, and when it may be tried again is kept in case it will be wanted.
    fn is_remembered(&self) -> bool {
        self.wanted.is_none() && !self.is_busy && self.known.next_try_at.is_some()
    }

    fn is_needed(&self) -> bool {
        self.wanted.is_some() || self.shown.is_some() || self.is_busy || self.is_remembered()
    }

    fn id(&self) -> Option<Uuid> {
        self.known.held.map(|held| held.id)
    }

    fn state(&self, subject: &str, action: Action, now: Micros) -> CertificateState {
        let (held, shown) = (self.known.held, self.shown.as_ref());
        let wanted_names = || {
            let wanted = self.wanted.iter().flat_map(Wanted::names).map(ToString::to_string);
            Some(wanted.collect()).filter(|names: &Vec<String>| !names.is_empty())
        };
        let names = shown.map(|shown| shown.names.clone()).or_else(wanted_names);
        let next = match action {
            Action::Wait(until) => until,
            Action::Order | Action::AskRenewal => now,
        };
        CertificateState {
            names: names.unwrap_or_else(|| vec![subject.to_owned()]),
            network: match &self.wanted {
                Some(wanted) => wanted.network,
                None => shown.and_then(|shown| shown.network),
            },
            status: self.status(now),
            issuer: shown.map(|shown| shown.issuer.clone()),
            not_after: held.map(|held| held.not_after),
            next_try_at: self.wanted.as_ref().map(|_| match held.filter(|_| !self.is_urgent) {
                Some(held) => {
                    held.due().max(waiting(self.known.next_try_at, now).unwrap_or(Micros::MIN))
                }
                None => next,
            }),
            problem: self.problem.clone(),
        }
    }

    fn status(&self, now: Micros) -> CertificateStatus {
        match self.known.held {
            Some(held) if held.not_after > now => CertificateStatus::Valid,
            _ if self.is_busy => CertificateStatus::Ordering,
            _ if self.problem.is_some() => CertificateStatus::Failing,
            Some(_) => CertificateStatus::Expired,
            None => CertificateStatus::Waiting,
        }
    }
}

fn held(certificate: &Certificate, is_unwanted: bool) -> Held {
    let Certificate { id, not_before, not_after, created_at, renewal, .. } = *certificate;
    Held { id, not_before, not_after, created_at, renewal, is_unwanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_wants_is_remembered_up_to_a_bound() {
        let mut known = Subjects::default();
        let many: Vec<Wanted> =
            (0..REMEMBERED_MAX + 2).map(|number| one(&format!("n{number}.example.com"))).collect();
        known.want(&many, NOW);
        for (number, wanted) in many.iter().enumerate() {
            let until = NOW + Micros::try_from(number).unwrap();
            known.postpone(&wanted.subject(), until, None);
        }
        assert_eq!(known.take_forgotten(NOW), Forgotten::default(), "all are wanted");
        known.want(&[], NOW);
        let subjects = ["n0.example.com", "n1.example.com"].map(str::to_owned);
        let wanted = Forgotten { subjects: BTreeSet::from(subjects), early: 1 };
        assert_eq!(known.take_forgotten(NOW), wanted, "one is over, and one too many");
        assert_eq!(known.take_forgotten(NOW + 2).subjects.len(), 1);
    }

    #[test]
    fn attack_42_a_network_with_many_names_holds_up_nobody_else() {
        let mut known = Subjects::default();
        let greedy = Some(Uuid::from_u128(1));
        let mut wanted: Vec<Wanted> =
            (0..700).map(|number| of(&format!("a{number}.example.com"), greedy)).collect();
        known.want(&wanted, NOW);
        let (first, _) = known.take_due(4, NOW);
        assert_eq!(first.len(), 4, "alone it has all room");
        wanted.push(of("z.example.org", Some(Uuid::from_u128(2))));
        wanted.push(of("relay.example.org", None));
        known.want(&wanted, NOW + 1);
        known.rest(&first[0].wanted.subject());
        assert_eq!(subjects(&known.take_due(1, NOW + 1).0), ["relay.example.org"]);
        known.rest(&first[1].wanted.subject());
        assert_eq!(subjects(&known.take_due(1, NOW + 1).0), ["z.example.org"]);
    }

    #[test]
    fn what_is_due_longest_comes_first_and_a_renewal_before_it() {
        let mut known = Subjects::default();
        known.want(&["a", "b", "c", "d"].map(|name| one(&format!("{name}.example.com"))), NOW);
        for (subject, since) in [("a.example.com", 3), ("b.example.com", 1), ("c.example.com", 2)] {
            known.postpone(subject, NOW + since, None);
        }
        renew(&mut known, "d.example.com");
        let (tasks, _) = known.take_due(9, NOW + 9);
        let wanted = ["d", "b", "c", "a"].map(|name| format!("{name}.example.com"));
        assert_eq!(subjects(&tasks), wanted);
    }

    #[test]
    fn a_rate_limit_of_others_holds_up_new_orders_and_no_renewal() {
        let mut known = Subjects::default();
        known.want(&["a", "b"].map(|name| one(&format!("{name}.example.com"))), NOW);
        renew(&mut known, "b.example.com");
        for subject in ["x.example.com", "y.example.com"] {
            known.rate_limits.note(subject, None, NOW + 9, NOW);
        }
        let (tasks, next) = known.take_due(9, NOW);
        assert_eq!((subjects(&tasks), next), (vec!["b.example.com".to_owned()], NOW + 9));
        let (tasks, _) = known.take_due(9, NOW + 9);
        assert_eq!(subjects(&tasks), ["a.example.com"]);
    }

    #[test]
    fn a_name_without_room_is_counted_once() {
        let mut known = Subjects::default();
        let names = ["a", "b"].map(|name| one(&format!("{name}.example.com")));
        assert_eq!(known.note_refused(&names), 2);
        assert_eq!(known.note_refused(&names), 0, "as they were");
        assert_eq!((known.note_refused(&names[..1]), known.note_refused(&names)), (0, 1));
    }

    /// Gives a subject a certificate that has expired.
    fn renew(known: &mut Subjects, subject: &str) {
        let (not_before, not_after) = (NOW - 100, NOW);
        let held = Held {
            id: Uuid::nil(),
            not_before,
            not_after,
            created_at: not_before,
            renewal: None,
            is_unwanted: false,
        };
        known.entries.get_mut(subject).unwrap().known.held = Some(held);
    }

    fn subjects(tasks: &[Task]) -> Vec<String> {
        tasks.iter().map(|task| task.wanted.subject()).collect()
    }

    fn one(name: &str) -> Wanted {
        of(name, None)
    }

    fn of(name: &str, network: Option<Uuid>) -> Wanted {
        Wanted::one(Name::parse(name).unwrap(), network)
    }

    const NOW: Micros = 1_767_225_600_000_000;
}
