//! The pools of one database, and how a transaction is begun, ended and tried again.
//!
//! A transaction that fails in the engine takes its connection along (see [`Transaction`]), so that nothing but the fault itself has to end before
//! changes are possible again. SQLite has one writer connection and a few readers. On PostgreSQL a write is serializable and first
//! takes the lock of the chain's head: changes of the whole cluster happen one after the other, so that the
//! audit chain is linear and a lost race is an exception, not the rule. Reads see one snapshot and block nobody.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::Rng;
use sqlx::{PgPool, SqlitePool};

use super::group_sync::GroupSync;
use super::sql::{Connection, Transaction};
use super::{StoreError, audit, failure, sqlite};
use crate::audit_key::{AuditKey, AuditPoint};
use crate::event::Event;

/// An open database.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) engine: Engine,
    /// What the audit trail is signed with.
    pub(super) audit_key: AuditKey,
    pub(super) followers: Mutex<Vec<Follower>>,
}

/// Hears of each committed event, until it returns false.
pub(super) struct Follower(pub(super) Box<Follow>);

type Follow = dyn Fn(&Arc<Event>) -> bool + Send + Sync;

impl std::fmt::Debug for Follower {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Follower")
    }
}

/// The pools of either engine.
#[derive(Debug)]
pub(super) enum Engine {
    /// The embedded engine.
    Sqlite {
        /// One connection.
        writer: SqlitePool,
        /// A few, read-only.
        readers: SqlitePool,
        /// Brings commits to the disk.
        group: GroupSync,
        /// Where [`sqlite::probe_room`] writes.
        room: PathBuf,
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
        let key = &self.audit_key;
        match &self.engine {
            Engine::Sqlite { writer, .. } => {
                let connection = writer.acquire().await.map_err(failure::of)?;
                Transaction::begin(Connection::Sqlite(connection), "BEGIN IMMEDIATE", key).await
            }
            Engine::Postgres { writers, .. } => begin_write_postgres(writers, key).await,
        }
    }

    /// Makes the changes of a transaction last. When its COMMIT got no answer, asks the database what became of it, for as long as it takes: a caller that
    /// went on without knowing would hold something else for true than the database.
    ///
    /// # Errors
    /// Nothing was changed; or [`StoreError::Unconfirmed`] for a transaction without a row in the audit trail, which nothing is remembered of.
    pub(super) async fn commit(&self, open: Transaction) -> Result<(), StoreError> {
        let appended = open.appended();
        match (open.commit().await, appended) {
            (Err(StoreError::Unconfirmed(error)), Some(point)) => {
                tracing::warn!(%error, "a commit got no answer: the database is asked whether it was made");
                if self.was_committed(&point).await { Ok(()) } else { Err(failure::of(error)) }
            }
            (done, _) => done,
        }
    }

    /// Returns true if the transaction that added `point` to the audit trail was committed.
    async fn was_committed(&self, point: &AuditPoint) -> bool {
        loop {
            match self.holds(point).await {
                Ok(holds) => return holds,
                Err(error) => tracing::debug!(%error, "the database does not say yet"),
            }
            tokio::time::sleep(OUTCOME_PAUSE).await;
        }
    }

    /// In the writers' turn, which a transaction that is still being committed holds: what is seen here is final.
    async fn holds(&self, point: &AuditPoint) -> Result<bool, StoreError> {
        let mut open = self.begin_write().await?;
        let holds = audit::holds(&mut open, point).await?;
        open.rollback().await;
        Ok(holds)
    }

    /// Tells followers what was committed, before the caller of the change has its answer.
    pub(super) fn tell(&self, events: Vec<Event>) {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events.into_iter().map(Arc::new) {
            followers.retain(|Follower(follow)| follow(&event));
        }
    }

    /// Counts a commit.
    pub(super) fn note_commit(&self) {
        match &self.engine {
            Engine::Sqlite { group, .. } => group.note_commit(),
            // PostgreSQL answers a commit when it is on disk.
            Engine::Postgres { .. } => {}
        }
    }

    /// Waits until everything committed so far is on disk.
    pub(super) async fn settle(&self) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite { group, writer, .. } => {
                group.settle(|| sqlite::checkpoint(writer)).await.map_err(StoreError::Unsettled)
            }
            Engine::Postgres { .. } => Ok(()),
        }
    }

    /// Finds out whether the disk has room for a change. Only its server knows that of PostgreSQL's.
    pub(super) async fn probe_room(&self) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite { room, .. } => sqlite::probe_room(room).await,
            Engine::Postgres { .. } => Ok(()),
        }
    }

    /// Begins a transaction that sees one state of the database.
    pub(super) async fn begin_read(&self) -> Result<Transaction, StoreError> {
        let key = &self.audit_key;
        match &self.engine {
            Engine::Sqlite { readers, .. } => {
                let connection = readers.acquire().await.map_err(failure::of)?;
                Transaction::begin(Connection::Sqlite(connection), "BEGIN", key).await
            }
            Engine::Postgres { readers, .. } => {
                let connection = readers.acquire().await.map_err(failure::of)?;
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                Transaction::begin(Connection::Postgres(connection), begin, key).await
            }
        }
    }
}

/// The lock comes before the first query, because that query fixes the snapshot: taken after it, every writer that had to
/// wait would hold a stale one and fail.
///
/// Each session keeps what was set when it began, `default_transaction_read_only` and the server that it reached included. A session that cannot
/// begin is closed, and as many others are tried as the pool may hold, the last of them certainly new.
async fn begin_write_postgres(pool: &PgPool, key: &AuditKey) -> Result<Transaction, StoreError> {
    let mut stale = 0;
    loop {
        let connection = pool.acquire().await.map_err(failure::of)?;
        let connection = Connection::Postgres(connection);
        match Transaction::begin(connection, BEGIN_WRITE_POSTGRES, key).await {
            Err(error) if stale < pool.options().get_max_connections() => {
                tracing::debug!(%error, "a database session could not begin a change");
                stale += 1;
            }
            begun => return begun,
        }
    }
}

/// The last statement changes nothing and is refused where nothing may be changed.
const BEGIN_WRITE_POSTGRES: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE; \
     LOCK TABLE audit_head IN EXCLUSIVE MODE; \
     UPDATE audit_head SET sequence = sequence WHERE FALSE";

/// Ends a transaction whose body failed with `error`. After a fault of the engine there is nothing to roll back and the connection is closed.
pub(super) async fn abandon(open: Transaction, error: &StoreError) {
    if !failure::is_of_engine(error) {
        open.rollback().await;
    }
}

/// Runs `$body` in a write transaction and commits it; after a lost race everything is run again.
macro_rules! write {
    ($database:expr, $open:ident => $body:expr) => {{
        let mut attempts = $crate::store::database::Attempts::default();
        loop {
            let result = async {
                let mut $open = $database.begin_write().await?;
                let answer = $body.await;
                match answer {
                    Ok(answer) => {
                        let events = $open.take_events();
                        $database.commit($open).await?;
                        $database.note_commit();
                        $database.tell(events);
                        Ok::<_, $crate::store::StoreError>(answer)
                    }
                    Err(error) => {
                        $crate::store::database::abandon($open, &error).await;
                        Err(error)
                    }
                }
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
        let answer = $body.await;
        match answer {
            Ok(answer) => {
                $open.commit().await?;
                Ok(answer)
            }
            Err(error) => {
                $crate::store::database::abandon($open, &error).await;
                Err(error)
            }
        }
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
/// Between two questions what became of a commit.
const OUTCOME_PAUSE: Duration = Duration::from_millis(500);
