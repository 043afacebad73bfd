//! Accounts at CAs: one for each directory, made once and kept.

use bore_api::model::{Actor, Micros};
use uuid::Uuid;

use super::StoreError;
use super::audit;
use super::database::{Database, write};
use super::sql::{Row, Transaction, values};
use crate::certificate::AcmeAccount;
use crate::event::{AcmeAccountName, Change, Event, Subject};
use crate::sealing::Sealed;

/// The table of accounts at CAs.
#[derive(Debug, Clone, Copy)]
pub struct AcmeAccounts<'a>(pub(super) &'a Database);

impl AcmeAccounts<'_> {
    /// The account of a directory; without credentials while the CA has not made one.
    pub async fn of_directory(
        self,
        directory: &str,
        at: Micros,
    ) -> Result<AcmeAccount, StoreError> {
        let id = Uuid::now_v7();
        write!(self.0, open => of_directory(&mut open, directory, id, at))
    }

    /// Keeps the credentials of an account, and answers the account: the first ones that were kept stay.
    pub async fn keep(
        self,
        id: Uuid,
        credentials: &Sealed,
        by: &Actor,
        at: Micros,
    ) -> Result<AcmeAccount, StoreError> {
        write!(self.0, open => keep(&mut open, id, credentials, by, at))
    }

    /// Forgets an account that its CA does not know any more.
    pub async fn delete(self, id: Uuid, by: &Actor, at: Micros) -> Result<(), StoreError> {
        write!(self.0, open => delete(&mut open, id, by, at))
    }

    /// Notes that a CA does not want to be asked before `until`.
    pub async fn pause(self, id: Uuid, until: Micros) -> Result<(), StoreError> {
        write!(self.0, open => pause(&mut open, id, until))
    }
}

/// The account of a directory; a row without credentials is added if there is none.
async fn of_directory(
    open: &mut Transaction,
    directory: &str,
    id: Uuid,
    at: Micros,
) -> Result<AcmeAccount, StoreError> {
    let insert = "INSERT INTO acme_accounts (id, directory, created_at) VALUES ($1, $2, $3) \
                  ON CONFLICT (directory) DO NOTHING";
    open.execute(insert, values![id, directory, at]).await?;
    let row = open.one(SELECT_OF_DIRECTORY, values![directory]).await?;
    row.map_or(Err(StoreError::NotFound("account")), |row| account(&row))
}

/// Keeps the credentials of an account that a CA has made. The first are kept for good: an account that is there already is answered.
async fn keep(
    open: &mut Transaction,
    id: Uuid,
    credentials: &Sealed,
    by: &Actor,
    at: Micros,
) -> Result<AcmeAccount, StoreError> {
    let update = "UPDATE acme_accounts SET credentials = $1 WHERE id = $2 AND credentials IS NULL";
    let added = open.execute(update, values![credentials, id]).await?;
    let row = open.one(SELECT_ONE, values![id]).await?;
    let stored = account(&row.ok_or(StoreError::NotFound("account"))?)?;
    if added > 0 {
        let event = Event {
            network: None,
            at,
            actor: by.clone(),
            subject: Subject::AcmeAccount(Change::came(named(&stored))),
        };
        audit::append(open, event).await?;
    }
    Ok(stored)
}

/// Forgets an account that its CA does not know any more.
async fn delete(
    open: &mut Transaction,
    id: Uuid,
    by: &Actor,
    at: Micros,
) -> Result<(), StoreError> {
    let row = open.one(SELECT_ONE, values![id]).await?;
    let stored = account(&row.ok_or(StoreError::NotFound("account"))?)?;
    open.execute("DELETE FROM acme_accounts WHERE id = $1", values![id]).await?;
    let event = Event {
        network: None,
        at,
        actor: by.clone(),
        subject: Subject::AcmeAccount(Change::went(named(&stored))),
    };
    audit::append(open, event).await
}

fn named(account: &AcmeAccount) -> AcmeAccountName {
    AcmeAccountName { id: account.id, directory: account.directory.clone() }
}

/// Notes that a CA does not want to be asked before `until`.
async fn pause(open: &mut Transaction, id: Uuid, until: Micros) -> Result<(), StoreError> {
    let update = "UPDATE acme_accounts SET paused_until = $1 WHERE id = $2";
    open.execute(update, values![until, id]).await?;
    Ok(())
}

fn account(row: &Row) -> Result<AcmeAccount, StoreError> {
    Ok(AcmeAccount {
        id: row.get("id")?,
        directory: row.get("directory")?,
        credentials: row.maybe_sealed("credentials")?,
        paused_until: row.get("paused_until")?,
        created_at: row.get("created_at")?,
    })
}

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, directory, credentials, paused_until, created_at FROM acme_accounts ",
            $tail
        )
    };
}
const SELECT_ONE: &str = select!("WHERE id = $1");
const SELECT_OF_DIRECTORY: &str = select!("WHERE directory = $1");
