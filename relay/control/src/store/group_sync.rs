//! One sync for many commits of the embedded engine.
//!
//! A commit writes to the write-ahead log without waiting for the disk (`synchronous = NORMAL`); [`GroupSync::settle`] then waits for it. All
//! who wait at the same time share one sync, so that a disk which takes 4 ms does not allow 250 changes a second but as many as arrive.
//!
//! | state | the next settle |
//! |---|---|
//! | the last sync succeeded | syncs the log through the descriptor that is kept |
//! | the last sync failed | checkpoints: the kernel may have dropped the pages that it could not write, and would call a second sync of them a success |
//!
//! Invariant: a sync that *began* after a commit was counted covers that commit. Nothing is told to anybody before it is settled.
//! Source: the SQLite documentation on `PRAGMA synchronous`: in WAL mode NORMAL differs from FULL only in the sync of the log after a commit.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use super::sqlite;

/// Counts commits and syncs the log.
#[derive(Debug)]
pub(super) struct GroupSync {
    path: PathBuf,
    committed: AtomicU64,
    /// Held by the caller that syncs.
    settled: Mutex<Settled>,
}

/// What is on disk.
#[derive(Debug, Default)]
struct Settled {
    /// How many commits.
    commits: u64,
    /// The log, kept open: a sync must not depend on a free descriptor.
    log: Option<File>,
    has_failed: bool,
}

impl GroupSync {
    /// For the database in `file`, whose log stands beside it.
    pub(super) fn new(file: &Path) -> Self {
        let path = sqlite::beside(file, "-wal");
        // A log that cannot be opened here is opened at the first sync, which reports the error.
        let settled = Settled { log: File::open(&path).ok(), ..Settled::default() };
        Self { path, committed: AtomicU64::new(0), settled: Mutex::new(settled) }
    }

    /// Counts a commit that has been written to the log.
    pub(super) fn note_commit(&self) {
        self.committed.fetch_add(1, Ordering::AcqRel);
    }

    /// Waits until all commits counted so far are on disk. `checkpoint` writes the log into the database and syncs both.
    pub(super) async fn settle<C: Future<Output = io::Result<()>>>(
        &self,
        checkpoint: impl FnOnce() -> C,
    ) -> io::Result<()> {
        let wanted = self.committed.load(Ordering::Acquire);
        let mut settled = self.settled.lock().await;
        if settled.commits >= wanted {
            return Ok(());
        }
        let covered = self.committed.load(Ordering::Acquire);
        let has_failed = std::mem::replace(&mut settled.has_failed, true);
        if has_failed {
            checkpoint().await?;
        } else {
            settled.log = self.sync(settled.log.take()).await?;
        }
        settled.has_failed = false;
        settled.commits = covered;
        Ok(())
    }

    /// Syncs the log and returns its descriptor.
    async fn sync(&self, kept: Option<File>) -> io::Result<Option<File>> {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || sync(&path, kept)).await.map_err(io::Error::other)?
    }
}

/// A log that is gone has been written into the database and synced with it.
fn sync(path: &Path, kept: Option<File>) -> io::Result<Option<File>> {
    let present = match std::fs::metadata(path) {
        Ok(present) => present,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let log = match kept {
        Some(log) if is_same_file(&log.metadata()?, &present) => log,
        Some(_) | None => File::open(path)?,
    };
    log.sync_data()?;
    Ok(Some(log))
}

fn is_same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_settled_is_not_synced_again() {
        let (_folder, group) = with_log();
        group.note_commit();
        group.settle(never).await.unwrap();
        assert_eq!(group.settled.lock().await.commits, 1);

        // A link to itself cannot be opened: settling would fail if it tried.
        std::fs::remove_file(&group.path).unwrap();
        std::os::unix::fs::symlink(&group.path, &group.path).unwrap();
        group.settle(never).await.unwrap();
    }

    #[tokio::test]
    async fn one_sync_covers_all_that_were_committed_before_it() {
        let (_folder, group) = with_log();
        for _ in 0..5 {
            group.note_commit();
        }
        group.settle(never).await.unwrap();
        assert_eq!(group.settled.lock().await.commits, 5);
    }

    #[tokio::test]
    async fn the_log_is_opened_again_only_when_it_is_another_file() {
        let (_folder, group) = with_log();
        let inode = async || {
            let settled = group.settled.lock().await;
            settled.log.as_ref().unwrap().metadata().unwrap().ino()
        };
        let first = inode().await;
        group.note_commit();
        group.settle(never).await.unwrap();
        assert_eq!(inode().await, first);

        std::fs::rename(&group.path, group.path.with_extension("old")).unwrap();
        File::create(&group.path).unwrap();
        group.note_commit();
        group.settle(never).await.unwrap();
        assert_ne!(inode().await, first);
    }

    #[tokio::test]
    async fn after_a_failed_sync_only_a_checkpoint_settles() {
        let group = GroupSync::new(Path::new("/dev/null/bore.db"));
        group.note_commit();
        assert!(group.settle(never).await.is_err());
        let full = || async { Err(io::ErrorKind::StorageFull.into()) };
        assert!(group.settle(full).await.is_err());
        assert_eq!(group.settled.lock().await.commits, 0);

        group.settle(|| async { Ok(()) }).await.unwrap();
        assert_eq!(group.settled.lock().await.commits, 1);
    }

    fn with_log() -> (tempfile::TempDir, GroupSync) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bore.db");
        File::create(folder.path().join("bore.db-wal")).unwrap();
        (folder, GroupSync::new(&file))
    }

    async fn never() -> io::Result<()> {
        panic!("no checkpoint is needed");
    }
}
