//! One sync for many commits of the embedded engine.
//!
//! A commit writes to the write-ahead log without waiting for the disk (`synchronous = NORMAL`); [`GroupSync::settle`] then waits for it. All
//! who wait at the same time share one sync, so that a disk which takes 4 ms does not allow 250 changes a second but as many as arrive.
//!
//! Invariant: a sync that *began* after a commit was counted covers that commit. Nothing is told to anybody before it is settled.
//! Source: the SQLite documentation on `PRAGMA synchronous`: in WAL mode NORMAL differs from FULL only in the sync of the log after a commit.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// Counts commits and syncs the log.
#[derive(Debug)]
pub(super) struct GroupSync {
    log: PathBuf,
    committed: AtomicU64,
    /// How many commits are on disk. Held by whoever syncs.
    settled: Mutex<u64>,
}

impl GroupSync {
    /// For the database in `file`, whose log stands beside it.
    pub(super) fn new(file: &Path) -> Self {
        let mut log = file.as_os_str().to_owned();
        log.push("-wal");
        Self { log: log.into(), committed: AtomicU64::new(0), settled: Mutex::new(0) }
    }

    /// Counts a commit that has been written to the log.
    pub(super) fn note_commit(&self) {
        self.committed.fetch_add(1, Ordering::AcqRel);
    }

    /// Waits until all commits counted so far are on disk.
    pub(super) async fn settle(&self) -> io::Result<()> {
        let wanted = self.committed.load(Ordering::Acquire);
        let mut settled = self.settled.lock().await;
        if *settled >= wanted {
            return Ok(());
        }
        let covered = self.committed.load(Ordering::Acquire);
        let log = self.log.clone();
        tokio::task::spawn_blocking(move || sync(&log)).await.map_err(io::Error::other)??;
        *settled = covered;
        Ok(())
    }
}

/// A log that is gone has been written into the database and synced with it.
fn sync(log: &Path) -> io::Result<()> {
    match File::open(log) {
        Ok(file) => file.sync_data(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_settled_is_not_synced_again() {
        let folder = tempfile::tempdir().unwrap();
        let group = GroupSync::new(&folder.path().join("bore.db"));
        File::create(&group.log).unwrap();
        group.note_commit();
        group.settle().await.unwrap();
        assert_eq!(*group.settled.lock().await, 1);

        // A link to itself cannot be opened: settling would fail if it tried.
        std::fs::remove_file(&group.log).unwrap();
        std::os::unix::fs::symlink(&group.log, &group.log).unwrap();
        group.settle().await.unwrap();
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_read_settles_nothing() {
        let group = GroupSync::new(Path::new("/dev/null/bore.db"));
        group.note_commit();
        assert!(group.settle().await.is_err());
        assert_eq!(*group.settled.lock().await, 0);
    }

    #[tokio::test]
    async fn one_sync_covers_all_that_were_committed_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let group = GroupSync::new(&folder.path().join("bore.db"));
        File::create(&group.log).unwrap();
        for _ in 0..5 {
            group.note_commit();
        }
        group.settle().await.unwrap();
        assert_eq!(*group.settled.lock().await, 5);
    }
}
