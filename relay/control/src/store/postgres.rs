//! The cluster's engine: a PostgreSQL server that several relays share.
//!
//! A relay that hangs cannot hold the others up: locks, statements and idle transactions have an end. Nor can a server that hangs, or is gone without a
//! word, hold this relay up: each of its answers has an end (`sql`), sessions that fall silent are replaced, and who waits for a session is told so.

use std::io::ErrorKind;
use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{ConnectOptions, Connection as _, PgPool};

use super::database::Engine;
use super::{Presence, StoreError, failure, migrations};

/// Connects to the server of `url` and brings its database towards the newest schema, as [`migrations::run`] says. Returns the schema that was found too.
pub(super) async fn open(url: &str, presence: Presence) -> Result<(Engine, i64), StoreError> {
    let options = options(url)?;
    let found = migrate(&options, presence).await?;
    let options = options.options(TIMEOUTS);
    let writers = pool(options.clone(), WRITERS_MAX).await?;
    let readers = pool(options, READERS_MAX).await?;
    Ok((Engine::Postgres { writers, readers }, found))
}

fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options: PgConnectOptions = url.parse().map_err(failure::of)?;
    Ok(options.application_name("bore").disable_statement_logging())
}

async fn pool(options: PgConnectOptions, connections_max: u32) -> Result<PgPool, StoreError> {
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|session, _| is_answered(session).map(Ok).boxed())
        .connect_with(options)
        .await
        .map_err(failure::of)
}

/// Returns true if the server still answers in this session. One that says nothing is replaced, within the same wait for a session.
async fn is_answered(session: &mut PgConnection) -> bool {
    tokio::time::timeout(SILENCE_MAX, session.ping()).await.is_ok_and(|answer| answer.is_ok())
}

/// On a connection of its own, because a migration may take longer than a change is allowed to.
async fn migrate(options: &PgConnectOptions, presence: Presence) -> Result<i64, StoreError> {
    let mut connection = connect(options).await?;
    let found = migrations::run(migrations::postgres, &mut connection, presence).await?;
    connection.close().await.map_err(failure::of).map(|()| found)
}

/// A server that takes the connection and says nothing ends the start, which is to be heard of.
async fn connect(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let silent = |_| Err(sqlx::Error::Io(ErrorKind::TimedOut.into()));
    let connected = tokio::time::timeout(ACQUIRE_TIMEOUT, options.connect()).await;
    connected.unwrap_or_else(silent).map_err(failure::of)
}

/// Applies the steps that are left.
pub(super) async fn finish_schema(url: &str) -> Result<(), StoreError> {
    let mut connection = connect(&options(url)?).await?;
    let steps = migrations::postgres(migrations::newest());
    migrations::apply(&steps, &mut connection).await?;
    connection.close().await.map_err(failure::of)
}

const WRITERS_MAX: u32 = 2;
const READERS_MAX: u32 = 8;
/// Less than the command line waits for an answer (10 s), so that the cause is heard. A server that starts is asked again after a fifth of it at most.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(8);
/// How long an idle session may take to answer before another takes its place. Less than health waits for all (2 s).
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(1);
const TIMEOUTS: [(&str, &str); 3] = [
    ("lock_timeout", "15s"),
    ("statement_timeout", "30s"),
    ("idle_in_transaction_session_timeout", "15s"),
];
