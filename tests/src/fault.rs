//! What goes wrong on machines: full disks, files that fail, clocks that jump, memory that is short.

mod breakable_disk;
mod memory_group;
mod small_disk;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::namespace::must_run;

pub use breakable_disk::BreakableDisk;
pub use memory_group::MemoryGroup;
pub use small_disk::SmallDisk;

/// A library that is preloaded into a program: its file operations below one folder fail, or its wall clock is wrong, while a test says so.
#[derive(Debug)]
pub struct Preload {
    folder: TempDir,
    victim: PathBuf,
}

impl Preload {
    /// Compiles the library; files below `victim` are what will fail.
    ///
    /// # Panics
    /// Without a C compiler.
    pub fn new(victim: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let source = folder.path().join("preload.c");
        fs::write(&source, include_str!("fault/preload.c")).expect("a file");
        let flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"];
        let library = folder.path().join("preload.so");
        must_run(Command::new("cc").args(flags).arg(library).arg(source).arg("-ldl"));
        Self { folder, victim: victim.to_owned() }
    }

    /// What a program's environment needs.
    pub fn environment(&self) -> Vec<(String, String)> {
        let pairs = [
            ("LD_PRELOAD", self.folder.path().join("preload.so")),
            ("FAULT_FOLDER", self.victim.clone()),
            ("FAULT_ERRNO_FILE", self.errno_file()),
            ("FAULT_CLOCK_FILE", self.clock_file()),
        ];
        pairs.map(|(name, path)| (name.to_owned(), path.display().to_string())).to_vec()
    }

    /// Makes every write, sync, rename and creation fail with this error number.
    pub fn fail_with(&self, errno: rustix::io::Errno) {
        replace(&self.errno_file(), &errno.raw_os_error().to_string());
    }

    /// Sets the wall clock wrong by so many seconds.
    pub fn shift_clock(&self, seconds: i64) {
        replace(&self.clock_file(), &seconds.to_string());
    }

    /// Everything works again, and the clock is right.
    pub fn mend(&self) {
        for file in [self.errno_file(), self.clock_file()] {
            // What did not fail has no file.
            let _ = fs::remove_file(file);
        }
    }

    fn errno_file(&self) -> PathBuf {
        self.folder.path().join("errno")
    }

    fn clock_file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }
}

/// A reader finds the old text or the new one.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).and_then(|()| fs::rename(&new, path)).expect("a file");
}
