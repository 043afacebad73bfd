//! The audit trail: read, verified and kept short. The store writes a row with each change; what changes nothing in the store is noted here.

use bore_api::model::{Actor, AuditRow, Micros};
use bore_api::state::CertificateState;
use bore_api::wire::AuditReport;
use uuid::Uuid;

use crate::clock;
use crate::control::Control;
use crate::limits::SEARCH_CHARS_MAX;
use crate::refusal::Refusal;
use crate::store::{AuditEvent, AuditVerdict, AuditWalk};
use crate::text::check_text;

/// Which rows.
#[derive(Debug)]
pub(crate) struct AuditQuery<'a> {
    pub(crate) network: Option<Uuid>,
    pub(crate) text: Option<&'a str>,
    pub(crate) after: i64,
    pub(crate) limit: u32,
}

impl Control {
    pub(crate) async fn audit(&self, query: AuditQuery<'_>) -> Result<Vec<AuditRow>, Refusal> {
        if let Some(text) = query.text {
            check_text("text", text, SEARCH_CHARS_MAX)?;
        }
        Ok(self.store().audit().list(query.network, query.text, query.after, query.limit).await?)
    }

    /// Recomputes the chain, a bounded number of rows at a time.
    ///
    /// # Errors
    /// The store's.
    pub async fn verify_audit(&self, walk: &AuditWalk) -> Result<AuditReport, Refusal> {
        Ok(match self.store().audit().verify(walk).await? {
            AuditVerdict::Intact { rows, head } => AuditReport {
                intact: true,
                rows: Some(rows),
                head: Some(head.to_string()),
                ..AuditReport::default()
            },
            AuditVerdict::Continues { rows, last } => AuditReport {
                intact: true,
                rows: Some(rows),
                next: Some(last.to_string()),
                ..AuditReport::default()
            },
            AuditVerdict::Broken { sequence, why } => {
                AuditReport { sequence: Some(sequence), why: Some(why), ..AuditReport::default() }
            }
        })
    }

    /// Removes rows that are older than the trail is kept.
    pub(super) async fn trim_audit(&self) {
        let Some(kept) = self.audit_retention() else { return };
        let now = clock::now();
        let kept = Micros::try_from(kept.as_micros()).unwrap_or(Micros::MAX);
        match self.store().audit().trim(now.saturating_sub(kept), now).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "old audit rows removed"),
            Err(error) => tracing::warn!(%error, "old audit rows could not be removed"),
        }
    }

    /// Writes down what an administrator does to the relay itself. It is done meanwhile, and even when it cannot be written: a relay whose disk is full or
    /// whose database does not answer can be drained.
    async fn note(&self, action: &'static str, subject: String, by: &Actor) {
        let event = AuditEvent { network: None, action, subject, at: clock::now() };
        if let Err(error) = self.store().audit().note(&event, by).await {
            tracing::error!(action, actor = ?by, %error, "this is not in the audit trail");
        }
    }

    /// Drains the relay, as an administrator wants it.
    pub(crate) async fn drain_by(&self, by: &Actor) {
        tokio::join!(self.drain(), self.note("relay.drain", self.runtime().relay_info().host, by));
    }

    /// Takes a drain back, as an administrator wants it.
    pub(crate) async fn undrain_by(&self, by: &Actor) {
        let host = self.runtime().relay_info().host;
        tokio::join!(self.undrain(), self.note("relay.undrain", host, by));
    }

    /// Has a certificate replaced, as an administrator wants it; `None` when the relay wants none for `name`.
    pub(crate) async fn renew_certificate_by(
        &self,
        name: &str,
        by: &Actor,
    ) -> Option<CertificateState> {
        let state = self.runtime().renew_certificate(name)?;
        self.note("certificate.renew", name.to_owned(), by).await;
        Some(state)
    }
}
