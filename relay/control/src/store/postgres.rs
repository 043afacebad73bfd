//! The cluster's engine: a PostgreSQL server that several relays share.
//!
//! A relay that hangs cannot hold the others up: locks, statements and idle transactions have an end.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool};

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
        .connect_with(options)
        .await
        .map_err(failure::of)
}

/// On a connection of its own, because a migration may take longer than a change is allowed to.
async fn migrate(options: &PgConnectOptions, presence: Presence) -> Result<i64, StoreError> {
    let mut connection = options.connect().await.map_err(failure::of)?;
    let found = migrations::run(migrations::postgres, &mut connection, presence).await?;
    sqlx::Connection::close(connection).await.map_err(failure::of).map(|()| found)
}

/// Applies the steps that are left.
pub(super) async fn finish_schema(url: &str) -> Result<(), StoreError> {
    let mut connection = options(url)?.connect().await.map_err(failure::of)?;
    let steps = migrations::postgres(migrations::newest());
    migrations::apply(&steps, &mut connection).await?;
    sqlx::Connection::close(connection).await.map_err(failure::of)
}

const WRITERS_MAX: u32 = 2;
const READERS_MAX: u32 = 8;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(20);
const TIMEOUTS: [(&str, &str); 3] = [
    ("lock_timeout", "15s"),
    ("statement_timeout", "30s"),
    ("idle_in_transaction_session_timeout", "15s"),
];
