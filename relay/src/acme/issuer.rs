//! The task that keeps a certificate for every name that is wanted.
//!
//! It sleeps until something is due, works on a few subjects at once, and writes down what came of each. What it knows is in its [`Subjects`]; what
//! must survive is in the store: who works on an order, how far it is, why it failed and when the next try may be.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bore_api::model::{Actor, Micros};
use bore_api::state::CertificateState;
use bore_control::store::StoreError;
use bore_edge::tls::CertificateOrigin;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::context::Context;
use super::limits::{ORDERS_MAX, SLEEP_MAX};
use super::name::Name;
use super::schedule::Action;
use super::schedule::later;
use super::subjects::{Subjects, Task};
use super::wanted::Wanted;

/// Keeps certificates.
#[derive(Debug)]
pub struct Issuer {
    pub(super) context: Context,
    subjects: Mutex<Subjects>,
    /// Held while the account is looked up, so that it is made once.
    pub(super) account: tokio::sync::Mutex<()>,
    /// Something is to be done at once.
    hastened: Notify,
    /// What the CA calls itself in CAA records, once it is known.
    pub(super) identities: Mutex<Option<Vec<String>>>,
    changes: watch::Sender<()>,
}

impl Issuer {
    /// An issuer that has taken in what the store has: its certificates are served from here on.
    ///
    /// # Errors
    /// The store's; [`StoreError::Sealed`] when a key does not open.
    pub async fn load(context: Context) -> Result<Arc<Self>, StoreError> {
        context.store.sealed_secrets().check(&context.sealer).await?;
        let now = (context.settings.clock)();
        let mut subjects = Subjects::default();
        let account =
            context.store.acme_accounts().of_directory(&context.settings.directory, now).await?;
        subjects.hear_of_pause(account.paused_until);
        for certificate in context.store.certificates().list().await? {
            if context.serve(&certificate) {
                subjects.enter(&certificate, context.is_foreign(&certificate));
            }
        }
        for order in context.store.certificate_orders().list().await? {
            subjects.remember(&order);
        }
        let (subjects, account) = (Mutex::new(subjects), tokio::sync::Mutex::default());
        let (identities, changes) = (Mutex::default(), watch::Sender::new(()));
        let hastened = Notify::new();
        Ok(Arc::new(Self { context, subjects, account, hastened, identities, changes }))
    }

    /// How every subject is.
    pub fn states(&self) -> Vec<CertificateState> {
        self.subjects().states(self.now())
    }

    /// How the certificate is that a hostname should have, if one is wanted for it.
    pub(crate) fn state_of(&self, hostname: &str) -> Option<CertificateState> {
        self.subjects().state_of(hostname, self.now())
    }

    /// Ready whenever something may have changed.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Has the certificate of `name` replaced, or the first one tried again, at once: only what the CA itself wishes is waited for. How it is
    /// comes out; `None` when the relay wants no certificate for it.
    pub fn renew(&self, name: &str) -> Option<CertificateState> {
        let state = self.subjects().hasten(&Name::parse(name)?, self.now())?;
        self.hastened.notify_one();
        Some(state)
    }

    /// These are wanted beyond the bound. Each is counted once, until there is room for it.
    pub(crate) fn note_refused(&self, names: &[Wanted]) {
        let new = self.subjects().note_refused(names);
        if new > 0 {
            self.context.metrics.subjects_refused.inc_by(new as u64);
            tracing::warn!(new, all = names.len(), "too many names: some get no certificate");
        }
    }

    /// Keeps what is wanted until nobody can want anything any more.
    pub async fn run(self: Arc<Self>, wanted: watch::Receiver<Vec<Wanted>>) {
        tokio::select! {
            () = Arc::clone(&self).go_on(wanted) => {}
            never = self.keep_admission() => match never {},
        }
    }

    async fn go_on(self: Arc<Self>, mut wanted: watch::Receiver<Vec<Wanted>>) {
        let mut tasks = JoinSet::new();
        let first = wanted.borrow_and_update().clone();
        self.subjects().want(&first, self.now());
        loop {
            let next = self.begin_due(&mut tasks);
            self.forget_expired().await;
            self.forget_orders().await;
            self.show();
            tokio::select! {
                changed = wanted.changed() => match changed {
                    Ok(()) => {
                        let now_wanted = wanted.borrow_and_update().clone();
                        self.subjects().want(&now_wanted, self.now());
                    }
                    Err(_) => return,
                },
                Some(_) = tasks.join_next() => {}
                () = self.hastened.notified() => {}
                () = tokio::time::sleep(next) => {}
            }
        }
    }

    /// Starts what is due, and tells how long nothing else will be.
    fn begin_due(self: &Arc<Self>, tasks: &mut JoinSet<()>) -> Duration {
        let now = self.now();
        let room = ORDERS_MAX.saturating_sub(tasks.len());
        let (due, next) = self.subjects().take_due(room, now);
        for task in due {
            tasks.spawn(Arc::clone(self).perform(task));
        }
        let wait = u64::try_from(next.saturating_sub(now)).unwrap_or_default();
        Duration::from_micros(wait).min(SLEEP_MAX)
    }

    async fn perform(self: Arc<Self>, task: Task) {
        let subject = task.wanted.subject();
        let _resting = Resting { issuer: &self, subject: &subject };
        match task.action {
            Action::Order => self.order(&task.wanted, task.is_urgent).await,
            Action::AskRenewal => self.ask_renewal(&subject).await,
            Action::Wait(_) => {}
        }
    }

    /// Serves no longer what has expired and nobody wants.
    async fn forget_expired(&self) {
        let now = self.now();
        let expired = self.subjects().take_expired(now);
        for id in expired {
            self.context.certificates.remove(&CertificateOrigin::Acme(id));
            if let Err(error) =
                self.context.store.certificates().delete(id, &Actor::System, now).await
            {
                tracing::warn!(%error, "an expired certificate stays in the store");
            }
        }
    }

    /// Publishing a name again is no way around the pause after a failure: what failed is remembered until it might be tried again.
    async fn forget_orders(&self) {
        let now = self.now();
        let gone = self.subjects().take_forgotten(now);
        if gone.subjects.is_empty() {
            return;
        }
        self.context.metrics.retries_forgotten.inc_by(gone.early as u64);
        let forgotten = async {
            for order in self.context.store.certificate_orders().list().await? {
                if gone.subjects.contains(&order.subject) {
                    self.context.store.certificate_orders().delete(order.id).await?;
                }
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = forgotten.await {
            tracing::warn!(%error, "orders that nobody needs stay for now");
        }
    }

    fn show(&self) {
        let subjects = self.subjects();
        let failing = i64::try_from(subjects.failing()).unwrap_or(i64::MAX);
        self.context.metrics.subjects_failing.set(failing);
        self.changes.send_replace(());
        let seconds = subjects.soonest_expiry().unwrap_or_default() / 1_000_000;
        self.context.metrics.soonest_expiry.set(u64::try_from(seconds).unwrap_or_default());
    }

    pub(super) fn postpone(&self, subject: &str, pause: Duration) {
        let until = later(self.now(), pause);
        self.subjects().postpone(subject, until, None);
    }

    pub(super) fn now(&self) -> Micros {
        (self.context.settings.clock)()
    }

    pub(super) fn subjects(&self) -> MutexGuard<'_, Subjects> {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody works on a subject until this is dropped, by a panic too.
struct Resting<'a> {
    issuer: &'a Issuer,
    subject: &'a str,
}

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.issuer.postpone(self.subject, self.issuer.context.settings.pace.passing_max);
        }
        self.issuer.subjects().rest(self.subject);
    }
}
