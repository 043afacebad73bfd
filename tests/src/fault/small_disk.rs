//! A disk that is full or read-only when a test says so.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use tempfile::TempDir;

use crate::namespace::must_run;

/// A file system of its own on a folder, unmounted when it is dropped.
///
/// It is mounted twice. `mount -o remount` changes the file system and the one mount that it names, and a program in a network namespace has copies of
/// all mounts: of one that was read-only when the program started, the copy stays so. The mount that is remounted here is not the one that programs use.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    handle: TempDir,
}

impl SmallDisk {
    /// Mounts an empty one of `kibibytes` on a folder that exists.
    ///
    /// # Panics
    /// Without root.
    pub fn mount(path: &Path, kibibytes: u32) -> Self {
        let options = format!("size={kibibytes}k,mode=0700");
        let handle = tempfile::tempdir().expect("a temporary folder");
        let mount = || Command::new("mount");
        must_run(mount().args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(handle.path()));
        must_run(mount().arg("--bind").arg(handle.path()).arg(path));
        Self { path: path.to_owned(), handle }
    }

    /// Takes all room that is left.
    ///
    /// # Panics
    /// When the disk takes more than it can have.
    pub fn fill(&self) {
        let ballast = fs::write(self.ballast(), vec![0; 64 << 20]);
        let full = ballast.expect_err("a small disk").kind();
        assert_eq!(full, io::ErrorKind::StorageFull);
    }

    /// Gives the room back.
    pub fn empty(&self) {
        fs::remove_file(self.ballast()).expect("it was filled");
    }

    /// Nothing can be written until [`Self::make_writable`]. No file may be open for writing.
    pub fn make_read_only(&self) {
        self.remount("remount,ro");
    }

    /// Takes [`Self::make_read_only`] back.
    pub fn make_writable(&self) {
        self.remount("remount,rw");
    }

    fn remount(&self, options: &str) {
        must_run(Command::new("mount").args(["-o", options]).arg(self.handle.path()));
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A program of the test may still be there; the mount goes with its last user then.
        let _ = Command::new("umount")
            .arg("--lazy")
            .args([self.path.as_path(), self.handle.path()])
            .status();
    }
}
