//! Every sealed secret of the database, whatever table it lies in: checked against the keys that are here, and sealed anew.

use bore_api::model::{Actor, Micros};
use uuid::Uuid;

use super::StoreError;
use super::audit;
use super::database::{Database, read, write};
use super::sql::{Transaction, values};
use crate::event::{Event, Resealed, Subject};
use crate::sealing::{Column, SealError, Sealed, Sealer};

/// The sealed secrets of all tables.
#[derive(Debug, Clone, Copy)]
pub struct SealedSecrets<'a>(pub(super) &'a Database);

impl SealedSecrets<'_> {
    /// Opens every sealed secret, and counts them; [`StoreError::Sealed`] names the first that another key sealed. Damaged ones are told in the log.
    pub async fn check(self, sealer: &Sealer) -> Result<u64, StoreError> {
        read!(self.0, open => check(&mut open, sealer))
    }

    /// Seals every secret anew with the current key of `sealer`, in one transaction, and counts them.
    pub async fn reseal(self, sealer: &Sealer, by: &Actor, at: Micros) -> Result<u64, StoreError> {
        write!(self.0, open => reseal(&mut open, sealer, by, at))
    }
}

/// Opens every secret with `sealer`, and counts them; the first that another key sealed is the error. A damaged one is told and passed over:
/// whatever it belongs to is made anew when it is needed.
async fn check(open: &mut Transaction, sealer: &Sealer) -> Result<u64, StoreError> {
    let mut opened = 0;
    for column in &COLUMNS {
        for (row, sealed) in secrets(open, column).await? {
            match sealer.open(column.column.of(row), &sealed) {
                Ok(_) => opened += 1,
                Err(SealError::Damaged) => tell_damaged(column, row),
                Err(error) => return Err(unopened(column, row)(error)),
            }
        }
    }
    Ok(opened)
}

/// Seals every secret with the current key of `sealer`, and counts them. One that is damaged is forgotten: no key opens it, and under a new one
/// nobody could tell that it is not a matter of the key.
async fn reseal(
    open: &mut Transaction,
    sealer: &Sealer,
    by: &Actor,
    at: Micros,
) -> Result<u64, StoreError> {
    let (mut resealed, mut forgotten): (u64, u64) = (0, 0);
    for column in &COLUMNS {
        for (row, sealed) in secrets(open, column).await? {
            match sealer.reseal(column.column.of(row), &sealed) {
                Ok(sealed) => {
                    open.execute(column.update, values![&sealed, row]).await?;
                    resealed += 1;
                }
                Err(SealError::Damaged) => {
                    tell_damaged(column, row);
                    open.execute(column.forget, values![row]).await?;
                    forgotten += 1;
                }
                Err(error) => return Err(unopened(column, row)(error)),
            }
        }
    }
    let event = Event {
        network: None,
        at,
        actor: by.clone(),
        subject: Subject::SealingKey(Resealed {
            key: sealer.current_id().to_string(),
            secrets: resealed,
            forgotten,
        }),
    };
    audit::append(open, event).await?;
    Ok(resealed)
}

async fn secrets(
    open: &mut Transaction,
    column: &SealedColumn,
) -> Result<Vec<(Uuid, Sealed)>, StoreError> {
    let rows = open.all(column.select, &[]).await?;
    rows.iter().map(|row| Ok((row.get("id")?, row.sealed("sealed")?))).collect()
}

fn tell_damaged(column: &SealedColumn, row: Uuid) {
    tracing::error!(what = column.what, %row, "a sealed secret is damaged and not used");
}

fn unopened(column: &SealedColumn, row: Uuid) -> impl FnOnce(SealError) -> StoreError {
    let what = column.what;
    move |source| StoreError::Sealed { what, row, source }
}

struct SealedColumn {
    column: Column,
    what: &'static str,
    select: &'static str,
    update: &'static str,
    forget: &'static str,
}

const COLUMNS: [SealedColumn; 3] = [
    SealedColumn {
        column: Column::CertificateKey,
        what: "the key of certificate",
        select: "SELECT id, private_key AS sealed FROM certificates ORDER BY id",
        update: "UPDATE certificates SET private_key = $1 WHERE id = $2",
        forget: "DELETE FROM certificates WHERE id = $1",
    },
    SealedColumn {
        column: Column::OrderKey,
        what: "the key of order",
        select: "SELECT id, private_key AS sealed FROM certificate_orders WHERE private_key IS NOT NULL ORDER BY id",
        update: "UPDATE certificate_orders SET private_key = $1 WHERE id = $2",
        forget: "UPDATE certificate_orders SET order_url = NULL, private_key = NULL WHERE id = $1",
    },
    SealedColumn {
        column: Column::AccountCredentials,
        what: "the ACME account",
        select: "SELECT id, credentials AS sealed FROM acme_accounts WHERE credentials IS NOT NULL ORDER BY id",
        update: "UPDATE acme_accounts SET credentials = $1 WHERE id = $2",
        forget: "UPDATE acme_accounts SET credentials = NULL WHERE id = $1",
    },
];
