//! A disk that is full soon.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

/// A file system of two mebibytes in memory; unmounted when dropped.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    pub(crate) folder: PathBuf,
    _parent: tempfile::TempDir,
}

impl SmallDisk {
    pub(crate) fn mount() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("disk");
        std::fs::create_dir(&folder).unwrap();
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(&folder).status();
        assert!(
            mounted.is_ok_and(|status| status.success()),
            "this test mounts a small tmpfs: run it as root"
        );
        Self { folder, _parent: parent }
    }

    pub(crate) fn grow(&self) {
        self.remount("size=16m");
    }

    /// Writes a file until nothing more fits, and returns its path.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.folder.join("filler");
        let mut file = std::fs::File::create(&path).unwrap();
        let full = std::iter::repeat_with(|| file.write_all(&[0; 4_096])).find_map(Result::err);
        assert_eq!(full.unwrap().kind(), std::io::ErrorKind::StorageFull);
        path
    }

    pub(crate) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let done = Command::new("mount").arg("-o").arg(options).arg(&self.folder).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: connections of a dropped store close in the background.
        drop(Command::new("umount").arg("--lazy").arg(&self.folder).status());
    }
}
