//! Every sealed secret of the database, whatever table it lies in: checked against the keys that are here, and sealed anew.

use uuid::Uuid;

use super::StoreError;
use super::audit::{self, Entry};
use super::sql::{Transaction, values};
use crate::model::{Actor, Micros};
use crate::sealing::{Column, Sealed, Sealer};

/// Opens every secret with `sealer`, and counts them; the first that does not open is the error.
pub(super) async fn check(open: &mut Transaction, sealer: &Sealer) -> Result<u64, StoreError> {
    let mut opened = 0;
    for column in &COLUMNS {
        for (row, sealed) in secrets(open, column).await? {
            sealer.open(column.column.of(row), &sealed).map_err(unopened(column, row))?;
            opened += 1;
        }
    }
    Ok(opened)
}

/// Seals every secret with the current key of `sealer`, and counts them.
pub(super) async fn reseal(
    open: &mut Transaction,
    sealer: &Sealer,
    by: &Actor,
    at: Micros,
) -> Result<u64, StoreError> {
    let mut resealed: u64 = 0;
    for column in &COLUMNS {
        for (row, sealed) in secrets(open, column).await? {
            let place = column.column.of(row);
            let sealed = sealer.reseal(place, &sealed).map_err(unopened(column, row))?;
            open.execute(column.update, values![&sealed, row]).await?;
            resealed += 1;
        }
    }
    let entry = Entry {
        network: None,
        at,
        by,
        action: "sealing-key.rotate",
        subject: sealer.current_id().to_string(),
        detail: serde_json::json!({ "secrets": resealed }),
    };
    audit::append(open, entry).await?;
    Ok(resealed)
}

async fn secrets(
    open: &mut Transaction,
    column: &SealedColumn,
) -> Result<Vec<(Uuid, Sealed)>, StoreError> {
    let rows = open.all(column.select, &[]).await?;
    rows.iter().map(|row| Ok((row.get("id")?, row.sealed("sealed")?))).collect()
}

fn unopened(
    column: &SealedColumn,
    row: Uuid,
) -> impl FnOnce(crate::sealing::SealError) -> StoreError {
    let what = column.what;
    move |source| StoreError::Sealed { what, row, source }
}

struct SealedColumn {
    column: Column,
    what: &'static str,
    select: &'static str,
    update: &'static str,
}

const COLUMNS: [SealedColumn; 3] = [
    SealedColumn {
        column: Column::CertificateKey,
        what: "the key of certificate",
        select: "SELECT id, private_key AS sealed FROM certificates ORDER BY id",
        update: "UPDATE certificates SET private_key = $1 WHERE id = $2",
    },
    SealedColumn {
        column: Column::OrderKey,
        what: "the key of order",
        select: "SELECT id, private_key AS sealed FROM certificate_orders WHERE private_key IS NOT NULL ORDER BY id",
        update: "UPDATE certificate_orders SET private_key = $1 WHERE id = $2",
    },
    SealedColumn {
        column: Column::AccountCredentials,
        what: "the ACME account",
        select: "SELECT id, credentials AS sealed FROM acme_accounts WHERE credentials IS NOT NULL ORDER BY id",
        update: "UPDATE acme_accounts SET credentials = $1 WHERE id = $2",
    },
];
