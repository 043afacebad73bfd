//! What follows from a failure: it is written down, told, and tried again later; a CA in trouble is left alone by all subjects.

use std::time::Duration;

use bore_api::model::{Actor, Micros};
use bore_api::state::CertificateProblem;
use bore_control::certificate::CertificateOrder;
use bore_control::store::{OrderClaim, OrderFailure, StoreError};
use rand::Rng as _;
use uuid::Uuid;

use super::failure::{Failure, FailureKind};
use super::issuer::Issuer;
use super::metrics::OrderResult;
use super::schedule::{later, waiting};
use super::wanted::Wanted;

impl Issuer {
    pub(super) fn without_store(&self, subject: &str, error: &StoreError) {
        tracing::warn!(%subject, %error, "no order: the store failed");
        self.postpone(subject, self.context.settings.pace.passing);
    }

    /// Whether the CA is to be left alone, as this relay or another has found.
    pub(super) async fn is_paused(&self) -> Result<bool, StoreError> {
        let directory = &self.context.settings.directory;
        let row = self.context.store.acme_accounts().of_directory(directory, self.now()).await?;
        let until = waiting(row.paused_until, self.now());
        self.subjects().hear_of_pause(until);
        Ok(until.is_some())
    }

    /// Tells why nothing is ordered at all. Only a change of configuration mends it, so that it is not remembered over a restart.
    pub(super) fn give_up(&self, wanted: &Wanted, failure: &Failure) {
        self.context.metrics.count(OrderResult::Failed);
        let (subject, problem) = (wanted.subject(), failure.problem());
        tracing::warn!(%subject, code = %problem.code, cause = %problem.cause, remedy = %problem.remedy, "no certificate");
        let next_try_at = later(self.now(), self.context.settings.pace.refused_max);
        self.subjects().postpone(&subject, next_try_at, Some(problem));
    }

    /// Writes down why, and when the next try is.
    pub(super) async fn fail(
        &self,
        claim: &OrderClaim,
        order: &CertificateOrder,
        failure: &Failure,
    ) {
        self.context.metrics.count(OrderResult::Failed);
        let pause = self.pause_after(failure, order.failures.saturating_add(1));
        let at = self.now();
        let next_try_at = later(at, pause);
        let retry_after = failure.retry_after.map(|wish| later(at, wish));
        let problem = failure.problem();
        let is_known = order.problem.as_ref().is_some_and(|known| known.code == problem.code);
        tell(&claim.subject, &problem, is_known);
        let noted = OrderFailure {
            problem: problem.clone(),
            needs_person: failure.kind.needs_person(),
            of_proof: failure.kind.is_of_proof(),
            keep_standing: failure.kind.keeps_standing(),
            next_try_at,
            retry_after,
            at,
        };
        if let Err(error) =
            self.context.store.certificate_orders().fail(order.id, &noted, &Actor::System).await
        {
            tracing::warn!(%error, "a failed order is remembered until a restart only");
        }
        self.subjects().postpone(&claim.subject, next_try_at, Some(problem));
        self.subjects().set_retry_after(&claim.subject, retry_after);
        self.heed(claim, failure, pause).await;
    }

    /// What a failure means for others.
    async fn heed(&self, claim: &OrderClaim, failure: &Failure, pause: Duration) {
        if failure.kind == FailureKind::RateLimit {
            self.note_rate_limit(claim, pause);
        } else if failure.kind.is_of_proof() {
            // The CA took the order on.
            self.subjects().rate_limits.clear(claim.network);
        }
        if failure.kind.concerns_all() {
            self.pause_ca(failure).await;
        }
        if failure.kind == FailureKind::AccountGone {
            self.forget_account().await;
        }
    }

    /// Not before the CA wants it, and later each time.
    fn pause_after(&self, failure: &Failure, failures: u32) -> Duration {
        let roll = rand::rng().random();
        let pace = &self.context.settings.pace;
        if failure.kind.is_found_at_home() {
            return pace.pause(failures, false, roll).min(AT_HOME_PAUSE_MAX);
        }
        let own = pace.pause(failures, failure.kind.needs_person(), roll);
        failure.retry_after.map_or(own, |wish| wish.saturating_add(own))
    }

    /// Holds up further new orders, though never for long: it may be that only those two were too much.
    fn note_rate_limit(&self, claim: &OrderClaim, pause: Duration) {
        let pace = &self.context.settings.pace;
        let (OrderClaim { subject, network, at, .. }, now) = (claim, self.now());
        let until = later(*at, pause.max(pace.passing).min(pace.passing_max));
        if self.subjects().rate_limits.note(subject, *network, until, now) {
            tracing::warn!(%subject, "the CA limits one name after the other: new orders wait");
        }
    }

    /// Leaves the whole CA alone for a while: what fails for one fails for all.
    async fn pause_ca(&self, failure: &Failure) {
        let failures = {
            let mut subjects = self.subjects();
            subjects.ca_failures = subjects.ca_failures.saturating_add(1);
            subjects.ca_failures
        };
        let now = self.now();
        let until = later(now, self.pause_after(failure, failures));
        self.subjects().pause(Some(until), failure.retry_after.map(|wish| later(now, wish)));
        self.store_pause(until).await;
    }

    async fn store_pause(&self, until: Micros) {
        let paused = async {
            let directory = &self.context.settings.directory;
            let row =
                self.context.store.acme_accounts().of_directory(directory, self.now()).await?;
            self.context.store.acme_accounts().pause(row.id, until).await
        };
        if let Err(error) = paused.await {
            tracing::warn!(%error, "until when the CA is left alone is not stored");
        }
    }

    /// The next try makes another.
    async fn forget_account(&self) {
        let now = self.now();
        let forgotten = async {
            let row = self
                .context
                .store
                .acme_accounts()
                .of_directory(&self.context.settings.directory, now)
                .await?;
            self.context.store.acme_accounts().delete(row.id, &Actor::System, now).await
        };
        if let Err(error) = forgotten.await {
            tracing::warn!(%error, "an account that the CA has forgotten stays");
        }
    }

    /// The CA is well: it has issued something to `network`.
    pub(super) async fn recover(&self, network: Option<Uuid>) {
        let was_paused = {
            let mut subjects = self.subjects();
            let was_paused = subjects.was_paused();
            subjects.rate_limits.clear(network);
            subjects.ca_failures = 0;
            subjects.pause(None, None);
            was_paused
        };
        if was_paused {
            // Also for the other relays, and for whatever reads it again.
            self.store_pause(self.now()).await;
        }
    }
}

/// Of one problem that stays there is one line.
fn tell(subject: &str, problem: &CertificateProblem, is_known: bool) {
    let CertificateProblem { code, cause, remedy } = problem;
    if is_known {
        tracing::debug!(%subject, %code, %cause, %remedy, "still no certificate");
    } else {
        tracing::warn!(%subject, %code, %cause, %remedy, "no certificate");
    }
}

/// Looking again costs the CA nothing, and an operator may be waiting beside the record that was just made.
const AT_HOME_PAUSE_MAX: Duration = Duration::from_secs(15);
