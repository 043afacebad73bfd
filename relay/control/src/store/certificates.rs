//! Certificates: one for each subject, replaced by its successor in one step.

use bore_api::model::{Actor, Micros};
use uuid::Uuid;

use super::StoreError;
use super::audit;
use super::database::{Database, read, write};
use super::sql::{self, Row, Transaction, values};
use crate::certificate::{Certificate, RenewalWindow};
use crate::event::{Change, Event, Subject};

/// The table of certificates.
#[derive(Debug, Clone, Copy)]
pub struct Certificates<'a>(pub(super) &'a Database);

impl Certificates<'_> {
    /// Adds a certificate in the place of the one that its subject has, and forgets the order that it came from.
    pub async fn put(self, certificate: &Certificate, by: &Actor) -> Result<(), StoreError> {
        write!(self.0, open => put(&mut open, certificate, by))
    }

    /// All certificates of all networks and of the cluster, by subject.
    pub async fn list(self) -> Result<Vec<Certificate>, StoreError> {
        read!(self.0, open => list(&mut open))
    }

    /// The certificate of a subject.
    pub async fn of_subject(self, subject: &str) -> Result<Option<Certificate>, StoreError> {
        read!(self.0, open => of_subject(&mut open, subject))
    }

    /// Notes when the CA wants a certificate renewed.
    pub async fn set_renewal(self, id: Uuid, window: &RenewalWindow) -> Result<(), StoreError> {
        write!(self.0, open => set_renewal(&mut open, id, window))
    }

    /// Removes a certificate.
    pub async fn delete(self, id: Uuid, by: &Actor, at: Micros) -> Result<(), StoreError> {
        write!(self.0, open => delete(&mut open, id, by, at))
    }
}

/// Adds a certificate in the place of the one that its subject has; the order that it came from is done.
async fn put(
    open: &mut Transaction,
    certificate: &Certificate,
    by: &Actor,
) -> Result<(), StoreError> {
    let subject = certificate.subject().ok_or_else(nameless)?;
    let before = of_subject(open, subject).await?;
    open.execute("DELETE FROM certificates WHERE subject = $1", values![subject]).await?;
    open.execute("DELETE FROM certificate_orders WHERE subject = $1", values![subject]).await?;
    insert(open, certificate, subject).await?;
    let event = Event {
        network: certificate.network,
        at: certificate.created_at,
        actor: by.clone(),
        subject: Subject::Certificate(Change::became(
            before.as_ref().map(Into::into),
            certificate.into(),
        )),
    };
    audit::append(open, event).await
}

/// All certificates, by subject.
async fn list(open: &mut Transaction) -> Result<Vec<Certificate>, StoreError> {
    let rows = open.all(SELECT_ALL, &[]).await?;
    rows.iter().map(certificate).collect()
}

/// The certificate of a subject.
async fn of_subject(
    open: &mut Transaction,
    subject: &str,
) -> Result<Option<Certificate>, StoreError> {
    let row = open.one(SELECT_OF_SUBJECT, values![subject]).await?;
    row.map(|row| certificate(&row)).transpose()
}

/// Notes when the CA wants a certificate renewed.
async fn set_renewal(
    open: &mut Transaction,
    id: Uuid,
    window: &RenewalWindow,
) -> Result<(), StoreError> {
    let update =
        "UPDATE certificates SET renew_from = $1, renew_to = $2, ask_again_at = $3 WHERE id = $4";
    let values = values![window.start, window.end, window.ask_again_at, id];
    match open.execute(update, values).await? {
        0 => Err(StoreError::NotFound("certificate")),
        _ => Ok(()),
    }
}

/// Removes a certificate.
async fn delete(
    open: &mut Transaction,
    id: Uuid,
    by: &Actor,
    at: Micros,
) -> Result<(), StoreError> {
    let row = open.one(SELECT_ONE, values![id]).await?;
    let stored = certificate(&row.ok_or(StoreError::NotFound("certificate"))?)?;
    open.execute("DELETE FROM certificates WHERE id = $1", values![id]).await?;
    let event = Event {
        network: stored.network,
        at,
        actor: by.clone(),
        subject: Subject::Certificate(Change::went((&stored).into())),
    };
    audit::append(open, event).await
}

async fn insert(
    open: &mut Transaction,
    certificate: &Certificate,
    subject: &str,
) -> Result<(), StoreError> {
    let names = sql::to_json(&certificate.names)?;
    let renewal = certificate.renewal;
    open.execute(
        "INSERT INTO certificates (id, network, subject, names, chain, private_key, issuer, directory, not_before, \
         not_after, renew_from, renew_to, ask_again_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        values![
            certificate.id,
            certificate.network,
            subject,
            &names,
            &certificate.chain,
            &certificate.private_key,
            &certificate.issuer,
            certificate.directory.as_deref(),
            certificate.not_before,
            certificate.not_after,
            renewal.map(|window| window.start),
            renewal.map(|window| window.end),
            renewal.map(|window| window.ask_again_at),
            certificate.created_at,
        ],
    )
    .await?;
    Ok(())
}

fn certificate(row: &Row) -> Result<Certificate, StoreError> {
    Ok(Certificate {
        id: row.get("id")?,
        network: row.get("network")?,
        names: row.json("names")?,
        chain: row.get("chain")?,
        private_key: row.sealed("private_key")?,
        issuer: row.get("issuer")?,
        directory: row.get("directory")?,
        not_before: row.get("not_before")?,
        not_after: row.get("not_after")?,
        renewal: renewal(row)?,
        created_at: row.get("created_at")?,
    })
}

fn renewal(row: &Row) -> Result<Option<RenewalWindow>, StoreError> {
    let window = (row.get("renew_from")?, row.get("renew_to")?, row.get("ask_again_at")?);
    let (Some(start), Some(end), Some(ask_again_at)) = window else { return Ok(None) };
    Ok(Some(RenewalWindow { start, end, ask_again_at }))
}

fn nameless() -> StoreError {
    StoreError::Conflict("a certificate without a name".to_owned())
}

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, network, names, chain, private_key, issuer, directory, not_before, ",
            "not_after, renew_from, renew_to, ask_again_at, created_at FROM certificates ",
            $tail
        )
    };
}
const SELECT_ALL: &str = select!("ORDER BY subject");
const SELECT_ONE: &str = select!("WHERE id = $1");
const SELECT_OF_SUBJECT: &str = select!("WHERE subject = $1");
