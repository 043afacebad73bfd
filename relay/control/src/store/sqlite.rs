//! The embedded engine: one file, write-ahead log, one writer, commits synced in groups before they are told.
//!
//! The file belongs to its owner alone. Whether another relay may use it is the relay's lock on the state
//! folder to say; a busy file is refused here after [`BUSY_TIMEOUT`], never waited for.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqlitePool};

use super::database::Engine;
use super::group_sync::GroupSync;
use super::{Presence, StoreError, failure, migrations};

/// Opens `file`, checks it and brings it towards the newest schema, as [`migrations::run`] says. Returns the schema that was found too.
pub(super) async fn open(file: &Path, presence: Presence) -> Result<(Engine, i64), StoreError> {
    match presence {
        Presence::Required => require(file)?,
        Presence::Optional => make(file)?,
    }
    let options = options(file);
    let writer = pool(options.clone().journal_mode(SqliteJournalMode::Wal), 1).await?;
    check(&writer).await?;
    let found = migrate(&writer, presence).await?;
    let readers = pool(options.read_only(true), READERS_MAX).await?;
    let (group, room) = (GroupSync::new(file), beside(file, "-room"));
    Ok((Engine::Sqlite { writer, readers, group, room }, found))
}

/// SQLite would take an absent or empty file for a new database.
fn require(file: &Path) -> Result<(), StoreError> {
    match std::fs::metadata(file) {
        Ok(present) if present.len() > 0 => Ok(()),
        Ok(_) => Err(StoreError::Missing),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(StoreError::Missing),
        Err(error) => Err(failure::of_file(error)),
    }
}

fn make(file: &Path) -> Result<(), StoreError> {
    match create_private(file) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failure::of_file(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes the whole log into the database file and syncs both.
pub(super) async fn checkpoint(writer: &SqlitePool) -> std::io::Result<()> {
    let done = sqlx::query_scalar("PRAGMA wal_checkpoint(FULL)").fetch_one(writer).await;
    let is_busy: bool = done.map_err(std::io::Error::other)?;
    if is_busy { Err(ErrorKind::ResourceBusy.into()) } else { Ok(()) }
}

/// Finds out whether a change still has room: takes [`ROOM_BYTES`] of the disk with a file in `path`, and gives them back.
///
/// The log is written from its beginning again and again, and keeps its length. On a full disk it takes changes until it has to grow.
pub(super) async fn probe_room(path: &Path) -> Result<(), StoreError> {
    let path = path.to_owned();
    let taken = tokio::task::spawn_blocking(move || {
        // Left by a crash.
        remove(&path)?;
        let taken = take_room(&path);
        remove(&path).and(taken)
    });
    taken.await.unwrap_or_else(|error| Err(error.into())).map_err(failure::of_file)
}

/// A file system may promise room that it finds out only while syncing that it has not.
fn take_room(path: &Path) -> std::io::Result<()> {
    let mut file = private_options().open(path)?;
    file.write_all(&[0; ROOM_BYTES])?;
    file.sync_data()
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The file whose name is that of the database and `suffix`.
pub(super) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Writes a consistent copy to `to`, which must not exist, and syncs it.
pub(super) async fn backup(readers: &SqlitePool, to: &Path) -> Result<(), StoreError> {
    let name = to.to_str().ok_or_else(|| {
        StoreError::Unsupported("the backup's path is not valid UTF-8".to_owned())
    })?;
    create_private(to).map_err(|error| {
        if error.kind() == ErrorKind::AlreadyExists {
            StoreError::Conflict(format!("{name} exists; a backup overwrites nothing"))
        } else {
            failure::of_file(error)
        }
    })?;
    let copied = copy(readers, name, to).await;
    if copied.is_err() {
        // A torn copy must not be mistaken for a backup; the first error is the one to tell.
        drop(std::fs::remove_file(to));
    }
    copied
}

async fn copy(readers: &SqlitePool, name: &str, to: &Path) -> Result<(), StoreError> {
    sqlx::query("VACUUM INTO $1").bind(name).execute(readers).await.map_err(failure::of)?;
    sync(to).map_err(failure::of_file)
}

/// Makes a new file last: its content, and its name in the folder.
fn sync(file: &Path) -> std::io::Result<()> {
    File::open(file)?.sync_all()?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .synchronous(SqliteSynchronous::Normal)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

async fn pool(
    options: SqliteConnectOptions,
    connections_max: u32,
) -> Result<SqlitePool, StoreError> {
    SqlitePoolOptions::new()
        .max_connections(connections_max)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .map_err(failure::of)
}

/// Reads every page once: damage is told at start, not in the middle of a day.
async fn check(writer: &SqlitePool) -> Result<(), StoreError> {
    let verdict: String =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(writer).await.map_err(failure::of)?;
    if verdict == "ok" { Ok(()) } else { Err(StoreError::Corrupt(verdict)) }
}

async fn migrate(writer: &SqlitePool, presence: Presence) -> Result<i64, StoreError> {
    let mut connection = writer.acquire().await.map_err(failure::of)?;
    migrations::run(migrations::sqlite, &mut *connection, presence).await
}

/// Applies the steps that are left.
pub(super) async fn finish_schema(writer: &SqlitePool) -> Result<(), StoreError> {
    let mut connection = writer.acquire().await.map_err(failure::of)?;
    migrations::apply(&migrations::sqlite(migrations::newest()), &mut *connection).await
}

/// A new, empty file that only its owner can read. The log beside it gets the same mode.
fn create_private(file: &Path) -> std::io::Result<()> {
    private_options().open(file).map(drop)
}

fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READERS_MAX: u32 = 4;
/// More than one change adds to the log.
const ROOM_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn commits_go_to_a_write_ahead_log_that_is_synced_in_groups_and_references_hold() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bore.db");
        let (engine, _) = open(&file, Presence::Optional).await.unwrap();
        let Engine::Sqlite { writer, readers, .. } = &engine else {
            panic!("SQLite opens SQLite");
        };
        let journal: String =
            sqlx::query_scalar("PRAGMA journal_mode").fetch_one(writer).await.unwrap();
        let normal: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(writer).await.unwrap();
        let keys: i64 = sqlx::query_scalar("PRAGMA foreign_keys").fetch_one(writer).await.unwrap();
        assert_eq!((journal.as_str(), normal, keys), ("wal", 1, 1));

        let write = sqlx::query("DELETE FROM networks").execute(readers).await;
        assert!(matches!(write.map_err(failure::of), Err(StoreError::ReadOnly)));
    }
}
