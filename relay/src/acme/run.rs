//! One subject from its turn to its certificate: the order is claimed, gone through, and what it gave is stored and served.

use std::sync::Arc;
use std::time::Duration;

use bore_api::model::Actor;
use bore_control::certificate::{Certificate, CertificateOrder};
use bore_control::sealing::Column;
use bore_control::store::{OrderClaim, OrderClaimed, StoreError};
use bore_edge::tls::CertificateOrigin;
use instant_acme::{Account, CertificateIdentifier};
use uuid::Uuid;

use super::account;
use super::client::Client;
use super::failure::Failure;
use super::issuer::Issuer;
use super::metrics::OrderResult;
use super::order::{Attempt, Issued};
use super::schedule::later;
use super::wanted::Wanted;

impl Issuer {
    pub(super) async fn order(&self, wanted: &Wanted, is_urgent: bool) {
        if let Err(failure) = wanted.names().try_for_each(|name| self.context.means.check(name)) {
            return self.give_up(wanted, &failure);
        }
        let claim = self.claim(wanted, is_urgent);
        match self.is_paused().await {
            Ok(is_paused) if is_urgent || !is_paused => {}
            Ok(_) => return,
            Err(error) => return self.without_store(&claim.subject, &error),
        }
        match self.context.store.certificate_orders().claim(&claim).await {
            Ok(OrderClaimed::Yours(order)) => self.run_order(wanted, &claim, &order).await,
            Ok(OrderClaimed::Held) => self.postpone(&claim.subject, OTHERS_PAUSE),
            Ok(OrderClaimed::Early(until)) => self.subjects().postpone(&claim.subject, until, None),
            Err(error) => self.without_store(&claim.subject, &error),
        }
    }

    async fn run_order(&self, wanted: &Wanted, claim: &OrderClaim, order: &CertificateOrder) {
        match self.adopt(&claim.subject).await {
            Ok(false) => {}
            Ok(true) => {
                // Another relay has done it.
                let _ = self.context.store.certificate_orders().delete(order.id).await;
                return;
            }
            Err(error) => return self.fail(claim, order, &error.into()).await,
        }
        let client = Client::new(Arc::clone(&self.context.settings.wire));
        let tried = match self.attempt(&client, wanted, claim, order).await {
            Ok(issued) => self.keep(wanted, &issued).await,
            Err(failure) => Err(failure.with_what_was_heard(&client)),
        };
        match tried {
            Ok(()) => {
                self.context.metrics.count(OrderResult::Issued);
                self.recover(wanted.network).await;
            }
            Err(failure) => self.fail(claim, order, &failure).await,
        }
    }

    async fn attempt(
        &self,
        client: &Client,
        wanted: &Wanted,
        claim: &OrderClaim,
        row: &CertificateOrder,
    ) -> Result<Issued, Failure> {
        self.context.means.look_for_zone(wanted.names()).await?;
        let account = self.open_account(client).await?;
        // Not knowing how to say it shuts nobody out.
        let _ = self.admit(account.id()).await;
        let replaces = self.replaced(&claim.subject).await?;
        let attempt = Attempt { context: &self.context, client, wanted, claim, row, replaces };
        attempt.run(&account).await
    }

    pub(super) async fn open_account(&self, client: &Client) -> Result<Account, Failure> {
        let _turn = self.account.lock().await;
        let directory = &self.context.settings.directory;
        let row = self.context.store.acme_accounts().of_directory(directory, self.now()).await?;
        account::open(&self.context, &row, client).await
    }

    /// The certificate that is to be replaced, where the CA has said when: such a CA wants to know.
    async fn replaced(
        &self,
        subject: &str,
    ) -> Result<Option<CertificateIdentifier<'static>>, Failure> {
        let has_window = self.subjects().held(subject).is_some_and(|held| held.renewal.is_some());
        let is_own = |stored: &Certificate| !self.context.is_foreign(stored);
        let stored = self.context.store.certificates().of_subject(subject).await?;
        let stored = stored.filter(|stored| has_window && is_own(stored));
        Ok(stored.and_then(|stored| self.context.read(&stored)).and_then(|read| read.identifier()))
    }

    /// Takes in a certificate that another relay has stored since.
    async fn adopt(&self, subject: &str) -> Result<bool, StoreError> {
        let held = self.subjects().held(subject);
        let stored = self.context.store.certificates().of_subject(subject).await?;
        let newer = stored.filter(|stored| held.is_none_or(|held| held.id != stored.id));
        let Some(newer) = newer.filter(|newer| self.context.serve(newer)) else { return Ok(false) };
        self.replace(held.map(|held| held.id), &newer);
        Ok(true)
    }

    /// Stores what was issued, and then serves it in the place of what was there.
    async fn keep(&self, wanted: &Wanted, issued: &Issued) -> Result<(), Failure> {
        let id = Uuid::now_v7();
        let place = Column::CertificateKey.of(id);
        let certificate = Certificate {
            id,
            network: wanted.network,
            names: wanted.names().map(ToString::to_string).collect(),
            chain: issued.chain.clone(),
            private_key: self.context.sealer.seal(place, issued.key.expose().as_bytes())?,
            issuer: issued.certified.issuer.clone(),
            directory: Some(self.context.settings.directory.clone()),
            not_before: issued.certified.not_before,
            not_after: issued.certified.not_after,
            renewal: None,
            created_at: self.now(),
        };
        self.context.store.certificates().put(&certificate, &Actor::System).await?;
        self.context.store.settle().await?;
        let before = self.subjects().held(&wanted.subject()).map(|held| held.id);
        let key = Arc::clone(&issued.certified.key);
        self.context.certificates.put(CertificateOrigin::Acme(id), key);
        self.replace(before, &certificate);
        tracing::info!(subject = %wanted.subject(), issuer = %certificate.issuer, "certificate issued");
        Ok(())
    }

    fn replace(&self, before: Option<Uuid>, certificate: &Certificate) {
        self.subjects().enter(certificate, self.context.is_foreign(certificate));
        if let Some(before) = before {
            self.context.certificates.remove(&CertificateOrigin::Acme(before));
        }
    }

    fn claim(&self, wanted: &Wanted, is_urgent: bool) -> OrderClaim {
        let at = self.now();
        OrderClaim {
            id: Uuid::now_v7(),
            network: wanted.network,
            subject: wanted.subject(),
            holder: self.context.settings.holder.clone(),
            is_urgent,
            at,
            until: later(at, self.context.settings.pace.order_max.saturating_add(OTHERS_PAUSE)),
        }
    }
}

/// Between two looks at an order that another relay works on.
const OTHERS_PAUSE: Duration = Duration::from_secs(30);
