//! A disk whose file system finds an error while programs use it, and turns read-only under their open files, as ext4 does when a drive fails.
//!
//! The kernel's own way to test this: `trigger_fs_error` in sysfs, with `errors=remount-ro`. It needs a free loop device. A drive that answers EIO
//! itself would need the device mapper (dm-error, dm-flakey), which many kernels of virtual machines are built without; files that fail with any
//! error, and work again, are made by [`Preload`](super::Preload).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::namespace::must_run;
use crate::wait::{SOON, until};

/// An ext4 on a folder, unmounted when it is dropped.
#[derive(Debug)]
pub struct BreakableDisk {
    path: PathBuf,
    folder: TempDir,
}

impl BreakableDisk {
    /// Mounts an empty one on a folder that exists.
    ///
    /// # Panics
    /// Without root, e2fsprogs, or a free loop device.
    pub fn mount(path: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let this = Self { path: path.to_owned(), folder };
        fs::File::create(this.image())
            .and_then(|image| image.set_len(IMAGE_BYTES))
            .expect("an image");
        must_run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(this.image()));
        this.attach();
        this
    }

    /// Nothing can be written from here on, also by programs that have files open.
    ///
    /// # Panics
    /// When the kernel does not let it.
    pub fn turn_read_only(&self) {
        fs::write(self.kernels().join("trigger_fs_error"), "1")
            .expect("an error of the file system");
        fs::write(self.path.join("probe"), "").expect_err("a file system that is read-only");
    }

    /// As an operator does, once no program uses it: checked, and mounted again.
    ///
    /// # Panics
    /// When a program uses it, or it cannot be repaired.
    pub fn repair(&self) {
        let kernels = self.kernels();
        must_run(Command::new("umount").arg(&self.path));
        // Copies of the mount, which every program in a namespace has, go a moment after their programs.
        until("the disk to be let go", SOON, || (!kernels.exists()).then_some(()));
        // 1: errors were found and corrected.
        let checked = Command::new("e2fsck").arg("-fy").arg(self.image()).output().expect("e2fsck");
        assert!(checked.status.code() <= Some(1), "{checked:?}");
        self.attach();
    }

    /// What the kernel tells about it.
    fn kernels(&self) -> PathBuf {
        let columns = ["--noheadings", "--output", "SOURCE"];
        let device = must_run(Command::new("findmnt").args(columns).arg(&self.path));
        let device = Path::new(device.trim()).file_name().expect("a loop device");
        Path::new("/sys/fs/ext4").join(device)
    }

    fn attach(&self) {
        let options = "loop,errors=remount-ro";
        must_run(Command::new("mount").args(["-o", options]).arg(self.image()).arg(&self.path));
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }
}

impl Drop for BreakableDisk {
    fn drop(&mut self) {
        // A program of the test may still be there; the mount and its device go with their last user then.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
    }
}

const IMAGE_BYTES: u64 = 32 << 20;
