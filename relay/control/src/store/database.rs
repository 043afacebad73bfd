//! The pools of one database, and how a transaction is begun, ended and tried again.
//!
//! SQLite has one writer connection and a few readers. On PostgreSQL a write is serializable and first
//! takes the lock of the chain's head: changes of the whole cluster happen one after the other, so that the
//! audit chain is linear and a lost race is an exception, not the rule. Reads see one snapshot and block nobody.

use std::time::Duration;

use rand::Rng;
use sqlx::{PgPool, SqlitePool};

use super::StoreError;
use super::failure;
use super::group_sync::GroupSync;
use super::sql::Transaction;

/// An open database.
#[derive(Debug)]
pub(super) enum Database {
    /// The embedded engine.
    Sqlite {
        /// One connection.
        writer: SqlitePool,
        /// A few, read-only.
        readers: SqlitePool,
        /// Brings commits to the disk.
        group: GroupSync,
    },
    /// The cluster's engine.
    Postgres {
        /// Few, because writers take turns anyway; readers never queue behind them.
        writers: PgPool,
        /// The rest.
        readers: PgPool,
    },
}

impl Database {
    /// Begins a transaction that may change things.
    pub(super) async fn begin_write(&self) -> Result<Transaction, StoreError> {
        match self {
            Self::Sqlite { writer, .. } => {
                writer.begin_with("BEGIN IMMEDIATE").await.map(Transaction::Sqlite)
            }
            Self::Postgres { writers, .. } => {
                begin_write_postgres(writers).await.map(Transaction::Postgres)
            }
        }
        .map_err(failure::of)
    }

    /// Counts a commit.
    pub(super) fn note_commit(&self) {
        match self {
            Self::Sqlite { group, .. } => group.note_commit(),
            // PostgreSQL answers a commit when it is on disk.
            Self::Postgres { .. } => {}
        }
    }

    /// Waits until everything committed so far is on disk.
    pub(super) async fn settle(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite { group, .. } => group.settle().await.map_err(failure::of_file),
            Self::Postgres { .. } => Ok(()),
        }
    }

    /// Begins a transaction that sees one state of the database.
    pub(super) async fn begin_read(&self) -> Result<Transaction, StoreError> {
        match self {
            Self::Sqlite { readers, .. } => readers.begin().await.map(Transaction::Sqlite),
            Self::Postgres { readers, .. } => readers
                .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                .await
                .map(Transaction::Postgres),
        }
        .map_err(failure::of)
    }
}

/// The lock comes before the first query, because that query fixes the snapshot: taken after it, every writer that had to
/// wait would hold a stale one and fail.
async fn begin_write_postgres(
    pool: &PgPool,
) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, sqlx::Error> {
    let mut open = pool.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE").await?;
    sqlx::query("LOCK TABLE audit_head IN EXCLUSIVE MODE").execute(&mut *open).await?;
    Ok(open)
}

/// Runs `$body` in a write transaction and commits it; after a lost race everything is run again.
macro_rules! write {
    ($database:expr, $open:ident => $body:expr) => {{
        let mut attempts = $crate::store::database::Attempts::default();
        loop {
            let result = async {
                let mut $open = $database.begin_write().await?;
                let answer = $body.await?;
                $open.commit().await?;
                $database.note_commit();
                Ok::<_, $crate::store::StoreError>(answer)
            }
            .await;
            match result {
                Err(error) if attempts.may_repeat_after(&error).await => {}
                Ok(_) | Err(_) => break result,
            }
        }
    }};
}
pub(super) use write;

/// Runs `$body` in a transaction that sees one state of the database.
macro_rules! read {
    ($database:expr, $open:ident => $body:expr) => {{
        let mut $open = $database.begin_read().await?;
        let answer = $body.await?;
        $open.commit().await?;
        Ok(answer)
    }};
}
pub(super) use read;

/// How often one transaction was begun.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    failed: u32,
}

impl Attempts {
    /// Whether `error` allows another try; waits a moment (full jitter, doubling) before it says yes.
    pub(super) async fn may_repeat_after(&mut self, error: &StoreError) -> bool {
        self.failed += 1;
        if self.failed == ATTEMPTS_MAX || !failure::is_transient(error) {
            return false;
        }
        let longest = RETRY_PAUSE.saturating_mul(1 << self.failed);
        let pause = longest.mul_f64(rand::rng().random::<f64>());
        tokio::time::sleep(pause).await;
        true
    }
}

/// Tries of one transaction before a lost race is the caller's.
const ATTEMPTS_MAX: u32 = 8;
const RETRY_PAUSE: Duration = Duration::from_millis(2);
