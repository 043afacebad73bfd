//! Reading and replacing one private file.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::StateError;
use crate::limits::STATE_FILE_BYTES_MAX;

/// Fails when `path` can be read or written by anybody but its owner.
pub(super) fn refuse_exposed(path: &Path) -> Result<Metadata, StateError> {
    let metadata =
        std::fs::metadata(path).map_err(|source| StateError::io("read", path, source))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(StateError::Exposed { path: path.to_owned(), mode });
    }
    Ok(metadata)
}

/// The text of a private file; `None` when it does not exist. The text is wiped from memory when dropped.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, StateError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StateError::io("read", path, error)),
    };
    refuse_exposed(path)?;
    let mut text = Zeroizing::new(String::new());
    let read = file.take(STATE_FILE_BYTES_MAX + 1).read_to_string(&mut text);
    let read = read.and_then(|bytes| refuse_too_large(bytes as u64));
    read.map_err(|source| StateError::io("read", path, source))?;
    Ok(Some(text))
}

/// Replaces `path` by a private file of these bytes: the old or the new one survives a crash, never a part.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let temporary = temporary_of(path);
    let written = refuse_too_large(bytes.len() as u64)
        .and_then(|()| write_through(&temporary, bytes))
        .and_then(|()| std::fs::rename(&temporary, path))
        .and_then(|()| sync_folder_of(path));
    written.map_err(|source| StateError::io("write", path, source))
}

fn refuse_too_large(bytes: u64) -> std::io::Result<()> {
    if bytes <= STATE_FILE_BYTES_MAX {
        return Ok(());
    }
    let cause = format!("it takes more than {STATE_FILE_BYTES_MAX} bytes");
    Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, cause))
}

fn write_through(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // A leftover of a crash could have other rights; a file made here has ours from its first byte.
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = make(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a private file that belongs to the owner of its folder, also when root makes it: root may speak for a service that runs as another user.
fn make(path: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    give_to_owner_of_folder(&file, path)?;
    Ok(file)
}

/// Opens the lock, or makes it. A link in its place is not followed: the folder may be another user's.
pub(super) fn open_lock(path: &Path) -> std::io::Result<File> {
    match make(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    if std::fs::symlink_metadata(path)?.is_symlink() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is a link"));
    }
    // flock(2) needs no right to write.
    OpenOptions::new().write(true).open(path).or_else(|_| File::open(path))
}

fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn temporary_of(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// As root, gives a file that was just made to whom its folder belongs to, so that a service that runs as another user can read it.
pub fn give_to_owner_of_folder(file: &File, path: &Path) -> std::io::Result<()> {
    let Some(folder) = path.parent().filter(|_| rustix::process::geteuid().is_root()) else {
        return Ok(());
    };
    let folder = std::fs::metadata(folder)?;
    fchown(file, Some(folder.uid()), Some(folder.gid()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_replaced_file_is_private_whole_and_leaves_no_temporary() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("identity.json");
        replace(&path, b"first, and longer").unwrap();
        replace(&path, b"second").unwrap();

        assert_eq!(read(&path).unwrap().unwrap().as_str(), "second");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("identity.json");
        replace(&path, b"old").unwrap();
        // The temporary's place is taken by a folder, which cannot be removed as a file.
        std::fs::create_dir(temporary_of(&path)).unwrap();

        assert!(replace(&path, b"new").is_err());
        assert_eq!(read(&path).unwrap().unwrap().as_str(), "old");
    }

    #[test]
    fn a_file_that_could_not_be_read_again_is_not_written() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("publications.json");
        replace(&path, b"old").unwrap();
        let bytes = vec![b' '; usize::try_from(STATE_FILE_BYTES_MAX).unwrap() + 1];
        let error = replace(&path, &bytes).unwrap_err();
        assert!(error.next_step().contains("bore rm"), "{}", error.next_step());
        assert_eq!(read(&path).unwrap().unwrap().as_str(), "old");
        replace(&path, bytes.get(1..).unwrap()).unwrap();
        assert_eq!(read(&path).unwrap().unwrap().len() as u64, STATE_FILE_BYTES_MAX);
    }

    #[test]
    fn a_leftover_of_a_crash_does_not_lend_its_rights_to_the_next_file() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("identity.json");
        std::fs::write(temporary_of(&path), "half").unwrap();
        std::fs::set_permissions(temporary_of(&path), PermissionsExt::from_mode(0o644)).unwrap();

        replace(&path, b"whole").unwrap();
        assert_eq!(refuse_exposed(&path).unwrap().len(), 5);
    }

    #[test]
    fn what_root_makes_in_the_folder_of_another_user_is_that_user_s() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(root.path(), Some(4_711), Some(4_712))
            .expect("needs root: sudo cargo xtask test");
        let [identity, lock] = ["identity.json", "lock"].map(|name| root.path().join(name));
        replace(&identity, b"{}").unwrap();
        drop(open_lock(&lock).unwrap());
        for path in [identity, lock] {
            let made = std::fs::metadata(&path).unwrap();
            assert_eq!((made.uid(), made.gid()), (4_711, 4_712), "{}", path.display());
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("identity.json");
        replace(&path, b"{}").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();

        let error = read(&path).unwrap_err();
        assert_eq!(error.code(), bore_api::Code::STATE_FOLDER_EXPOSED);
        assert!(error.next_step().starts_with("chmod 600"));
    }
}
