//! The relay's state folder: private, locked by one process, and where its keys are.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use bore_control::store::AuditKey;
use bore_overlay::{ClusterKey, PrivateKey};
use zeroize::Zeroizing;

/// A state folder that this process alone uses. Dropping it unlocks.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    _lock: File,
}

/// Why a state folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another process has it.
    #[error("the state folder {0} is used by another relay")]
    InUse(PathBuf),
    /// Others may read it, and with it the keys.
    #[error("the state folder {path} is open to others (mode {mode:o}): run chmod 700 {path}", path = .path.display())]
    ReadableByOthers {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// No relay was set up here.
    #[error("there is no relay in {0}: run `bore relay init` first")]
    Empty(PathBuf),
    /// A key file is not 32 bytes.
    #[error("the key file {0} is damaged: restore it from a backup")]
    DamagedKey(PathBuf),
    /// The file system.
    #[error("cannot use {path}", path = .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl StateFolder {
    /// Makes the folder if it is absent, and locks it.
    ///
    /// # Errors
    /// It is in use, open to others, or not writable.
    pub fn create(path: &Path) -> Result<Self, StateError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|source| io_error(path, source))?;
        Self::open(path)
    }

    /// Locks an existing folder.
    ///
    /// # Errors
    /// It is absent, in use, or open to others.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        check_mode(path)?;
        let lock_path = path.join("lock");
        let lock = open_lock(&lock_path).map_err(|source| io_error(&lock_path, source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(StateError::InUse(path.to_owned())),
            Err(fs::TryLockError::Error(source)) => Err(io_error(&lock_path, source)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether keys were made here.
    pub fn is_set_up(&self) -> bool {
        self.path.join(RELAY_KEY).exists() && self.path.join(CLUSTER_KEY).exists()
    }

    /// Reads the relay's keys.
    ///
    /// # Errors
    /// They are absent or damaged.
    pub fn keys(&self) -> Result<RelayKeys, StateError> {
        Ok(RelayKeys {
            relay: PrivateKey::from_bytes(*self.read_key(RELAY_KEY)?),
            cluster: ClusterKey::from_bytes(*self.read_key(CLUSTER_KEY)?),
        })
    }

    /// Makes the relay's keys. Existing ones are never replaced.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn make_keys(&self) -> Result<RelayKeys, StateError> {
        if !self.is_set_up() {
            let mut random = rand::rng();
            self.write_private(RELAY_KEY, PrivateKey::generate(&mut random).expose_bytes())?;
            self.write_private(CLUSTER_KEY, ClusterKey::generate(&mut random).expose_bytes())?;
        }
        self.keys()
    }

    /// Writes a file that only its owner can read, whole or not at all.
    ///
    /// # Errors
    /// The file system refuses, as when the disk is full; the old file stays.
    pub fn write_private(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, StateError> {
        let path = self.path.join(name);
        write_private(&path, bytes).map_err(|source| io_error(&path, source))?;
        Ok(path)
    }

    /// Removes keys that nothing was made with.
    pub(crate) fn remove_keys(&self) {
        for name in [RELAY_KEY, CLUSTER_KEY] {
            // What stays is told by the next set-up.
            drop(fs::remove_file(self.path.join(name)));
        }
    }

    fn read_key(&self, name: &str) -> Result<Zeroizing<[u8; 32]>, StateError> {
        read_key(&self.path, name)
    }
}

/// What the audit trail of the relay in `folder` is signed with. Works beside a relay that runs.
///
/// # Errors
/// The key is absent or damaged.
pub(crate) fn audit_key(folder: &Path) -> Result<AuditKey, StateError> {
    read_key(folder, CLUSTER_KEY).map(|bytes| AuditKey::from_cluster_key(&bytes))
}

fn read_key(folder: &Path, name: &str) -> Result<Zeroizing<[u8; 32]>, StateError> {
    let path = folder.join(name);
    let mut file = File::open(&path).map_err(|source| {
        if source.kind() == io::ErrorKind::NotFound {
            StateError::Empty(folder.to_owned())
        } else {
            io_error(&path, source)
        }
    })?;
    let mut key = Zeroizing::new([0; 32]);
    let mut rest = [0; 1];
    let whole = file.read_exact(&mut *key).is_ok() && matches!(file.read(&mut rest), Ok(0));
    if whole { Ok(key) } else { Err(StateError::DamagedKey(path)) }
}

impl RelayKeys {
    /// What the audit trail is signed with.
    pub fn audit_key(&self) -> AuditKey {
        AuditKey::from_cluster_key(self.cluster.expose_bytes())
    }
}

/// The keys that make a relay this relay.
#[derive(Debug)]
pub struct RelayKeys {
    /// Its own, for tunnels.
    pub relay: PrivateKey,
    /// The cluster's, which signs the relay's.
    pub cluster: ClusterKey,
}

fn check_mode(path: &Path) -> Result<(), StateError> {
    let metadata = fs::metadata(path).map_err(|source| {
        if source.kind() == io::ErrorKind::NotFound {
            StateError::Empty(path.to_owned())
        } else {
            io_error(path, source)
        }
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(StateError::ReadableByOthers { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Writes a file that only its owner can read, whole or not at all, and lasting. What root writes belongs to whom the folder belongs to: a service that
/// runs as another user has to read it. That user may have planted links in its folder, so the file is always a new one (`O_EXCL` follows none).
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    write_synced(Path::new(&new), bytes, fs::metadata(folder)?)?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

fn write_synced(path: &Path, bytes: &[u8], folder: fs::Metadata) -> io::Result<()> {
    // Left by a crash, or planted.
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = private_options().write(true).create_new(true).open(path)?;
    let is_by_root = file.metadata()?.uid() == ROOT;
    if is_by_root && folder.uid() != ROOT {
        fchown(&file, Some(folder.uid()), Some(folder.gid()))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// Opens the lock, or makes it. A link in its place is neither followed nor made use of.
fn open_lock(path: &Path) -> io::Result<File> {
    match private_options().write(true).create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    if fs::symlink_metadata(path)?.is_symlink() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a link"));
    }
    private_options().write(true).open(path)
}

fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn io_error(path: &Path, source: io::Error) -> StateError {
    StateError::Io { path: path.to_owned(), source }
}

const ROOT: u32 = 0;
const RELAY_KEY: &str = "relay.key";
const CLUSTER_KEY: &str = "cluster.key";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_private() {
        let parent = tempfile::tempdir().unwrap();
        let folder = StateFolder::create(&parent.path().join("state")).unwrap();
        let first = folder.make_keys().unwrap().relay.public();
        assert_eq!(folder.make_keys().unwrap().relay.public(), first);
        let mode = fs::metadata(folder.path().join(RELAY_KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_root_writes_belongs_to_the_folders_owner() {
        let parent = tempfile::tempdir().unwrap();
        let folder = StateFolder::create(&parent.path().join("state")).unwrap();
        std::os::unix::fs::chown(folder.path(), Some(4_711), Some(4_712))
            .expect("needs root: sudo cargo xtask test");
        let file = fs::metadata(folder.write_private("a.key", b"secret").unwrap()).unwrap();
        assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (4_711, 4_712, 0o600));
    }

    #[test]
    fn a_planted_link_is_replaced_and_its_target_is_untouched() {
        let parent = tempfile::tempdir().unwrap();
        let folder = StateFolder::create(&parent.path().join("state")).unwrap();
        let victim = parent.path().join("victim");
        fs::write(&victim, "root's").unwrap();
        std::os::unix::fs::chown(folder.path(), Some(4_711), Some(4_712))
            .expect("needs root: sudo cargo xtask test");
        for planted in ["seal.next.key.new", "seal.next.key"] {
            std::os::unix::fs::symlink(&victim, folder.path().join(planted)).unwrap();
        }
        folder.write_private("seal.next.key", b"secret").unwrap();

        assert_eq!(fs::read_to_string(&victim).unwrap(), "root's");
        assert_eq!(fs::metadata(&victim).unwrap().uid(), ROOT);
        let written = fs::symlink_metadata(folder.path().join("seal.next.key")).unwrap();
        assert!(written.is_file() && written.uid() == 4_711);
    }

    #[test]
    fn a_lock_that_is_a_link_is_refused_and_makes_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("state");
        drop(StateFolder::create(&folder).unwrap());
        let victim = parent.path().join("victim");
        fs::remove_file(folder.join("lock")).unwrap();
        std::os::unix::fs::symlink(&victim, folder.join("lock")).unwrap();
        assert!(matches!(StateFolder::open(&folder), Err(StateError::Io { .. })));
        assert!(!victim.exists());
    }

    #[test]
    fn a_folder_serves_one_relay_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("state");
        let _held = StateFolder::create(&path).unwrap();
        assert!(matches!(StateFolder::open(&path), Err(StateError::InUse(_))));
    }

    #[test]
    fn a_folder_open_to_others_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let refused = StateFolder::open(parent.path()).unwrap_err();
        assert!(refused.to_string().contains("chmod 700"), "{refused}");
    }

    #[test]
    fn a_short_key_file_is_damage_and_not_another_key() {
        let parent = tempfile::tempdir().unwrap();
        let folder = StateFolder::create(&parent.path().join("state")).unwrap();
        folder.make_keys().unwrap();
        fs::write(folder.path().join(RELAY_KEY), b"short").unwrap();
        assert!(matches!(folder.keys(), Err(StateError::DamagedKey(_))));
    }
}
