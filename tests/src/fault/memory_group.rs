//! A control group whose memory is short: cgroup v2, or the memory controller of v1.

use std::fs;
use std::path::{Path, PathBuf};

/// A group of its own, removed when it is dropped.
#[derive(Debug)]
pub struct MemoryGroup {
    path: PathBuf,
}

impl MemoryGroup {
    /// Makes one that may use so many bytes.
    ///
    /// # Panics
    /// Without root, or without a memory controller.
    pub fn new(bytes: u64) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let v1 = root.join("memory");
        let (parent, limit) = if v1.is_dir() {
            (v1, "memory.limit_in_bytes")
        } else {
            let control = root.join("cgroup.subtree_control");
            fs::write(control, "+memory").expect("the memory controller of cgroup v2");
            (root.to_owned(), "memory.max")
        };
        let path = parent.join(format!("bore-test-{}", std::process::id()));
        fs::create_dir(&path).expect("a control group");
        fs::write(path.join(limit), bytes.to_string()).expect("its limit");
        Self { path }
    }

    /// Moves a process, and what it will start, into the group.
    ///
    /// # Panics
    /// When the process has ended.
    pub fn take_in(&self, process: u32) {
        fs::write(self.path.join("cgroup.procs"), process.to_string()).expect("a process");
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // Its processes may have a moment to live; an empty group that stays harms nothing.
        let _ = fs::remove_dir(&self.path);
    }
}
