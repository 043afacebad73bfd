//! The state folder: who this node is, and what was declared on it. Nothing else of the agent is on disk.
//!
//! | file | holds |
//! |---|---|
//! | `identity.json` | the node's private key, its membership, where its relay is (0600) |
//! | `publications.json` | persistent publications as declared here, and the relay's last answer to each |
//! | `boot.json` | which run the relay speaks with |
//! | `lock` | held by the agent that runs |
//! | `agent.sock` | the local API of the agent that runs (0600) |
//!
//! A file is replaced whole (temporary file, fsync, rename, fsync of the folder), so that a crash leaves the old or the new one.
//! The folder must be closed to other users: it is created 0700 and refused otherwise.

mod boot;
mod files;
mod identity;

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use bore_api::Problem;
use bore_api::wire::PublicationView;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::declaration::Declaration;
use super::error::StateError;
pub use files::give_to_owner_of_folder;
pub(crate) use identity::{Identity, Membership};

/// A state folder that exists and that other users cannot read.
#[derive(Debug, Clone)]
pub struct StateFolder {
    path: PathBuf,
    owner: u32,
}

/// Held while an agent runs on the folder; the kernel lets go of it when the process ends.
#[derive(Debug)]
pub(crate) struct StateLock {
    _folder: File,
    _file: Option<File>,
}

/// A declared publication as it is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredPublication {
    /// What was declared. The only place that names a target.
    pub(crate) declaration: Declaration,
    /// What the relay answered last, so that a restarted agent serves before control answers.
    pub(crate) view: Option<PublicationView>,
    /// Why the relay refuses it; it is asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<Problem>,
}

#[derive(Serialize, Deserialize)]
struct PublicationsFile {
    version: u32,
    publications: Vec<StoredPublication>,
}

impl StateFolder {
    /// The folder of the system's agent.
    pub const SYSTEM: &str = "/var/lib/bore-agent";
    /// Where it was when relay and agent ran as one user.
    pub const SYSTEM_BEFORE: &str = "/var/lib/bore/agent";

    /// `$BORE_STATE`, or the place that fits the user: [`Self::SYSTEM`] for root, else below the home folder.
    ///
    /// # Errors
    /// There is neither `BORE_STATE` nor a home folder.
    pub fn default_path() -> Result<PathBuf, StateError> {
        if let Some(path) = variable("BORE_STATE") {
            return Ok(path);
        }
        if super::system::user_is_root() {
            return Ok(system_path(Path::new(Self::SYSTEM), Path::new(Self::SYSTEM_BEFORE)));
        }
        if let Some(state) = variable("XDG_STATE_HOME") {
            return Ok(state.join("bore"));
        }
        variable("HOME").map(|home| home.join(".local/state/bore")).ok_or(StateError::NoHome)
    }

    /// Opens the folder, creating it closed to others.
    ///
    /// # Errors
    /// Others may read it (`B6105`), or it cannot be created.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
        created.map_err(|source| StateError::io("create", path, source))?;
        let owner = files::refuse_exposed(path)?.uid();
        Ok(Self { path: path.to_owned(), owner })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The socket of the local API.
    pub fn socket(&self) -> PathBuf {
        self.path.join("agent.sock")
    }

    /// The user that owns the folder.
    pub(crate) fn owner(&self) -> u32 {
        self.owner
    }

    /// Claims the folder for one running agent.
    ///
    /// # Errors
    /// Another agent has it (`B6104`).
    pub(crate) fn lock(&self) -> Result<StateLock, StateError> {
        // An agent that could make no file holds the folder alone, also once a file can be made.
        let folder = File::open(&self.path);
        let folder = folder.map_err(|source| StateError::io("read", &self.path, source))?;
        let held = match self.claim(&folder, &self.path) {
            Err(in_use @ StateError::InUse(_)) => return Err(in_use),
            // Not every file system locks folders.
            held => held,
        };
        let path = self.path.join("lock");
        let file = match files::open_lock(&path) {
            Ok(file) => {
                self.claim(&file, &path)?;
                Some(file)
            }
            Err(error) if takes_no_file(&error) => {
                held?;
                None
            }
            Err(source) => return Err(StateError::io("create", &path, source)),
        };
        Ok(StateLock { _folder: folder, _file: file })
    }

    fn claim(&self, file: &File, path: &Path) -> Result<(), StateError> {
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StateError::InUse(self.path.clone()),
            TryLockError::Error(source) => StateError::io("lock", path, source),
        })
    }

    /// The boot id of the agent that runs on the folder; the same again after a crash, another one in a copy of the folder.
    pub(crate) fn boot_id(&self) -> Uuid {
        boot::boot_id(&self.path)
    }

    /// The agent on the folder was replaced: the next one is another.
    ///
    /// # Errors
    /// The file system says no.
    pub(crate) fn forget_boot(&self) -> Result<(), StateError> {
        boot::forget(&self.path)
    }

    /// Returns true if the folder holds the identity of a node that has joined.
    ///
    /// # Errors
    /// The identity cannot be read, or is damaged.
    pub fn has_joined(&self) -> Result<bool, StateError> {
        Ok(self.identity()?.is_some_and(|identity| identity.membership.is_some()))
    }

    /// Who this node is; `None` before it joined.
    ///
    /// # Errors
    /// The file is exposed, damaged or unreadable.
    pub(crate) fn identity(&self) -> Result<Option<Identity>, StateError> {
        let path = self.identity_path();
        let Some(text) = files::read(&path)? else { return Ok(None) };
        Identity::decode(&text).map(Some).map_err(|cause| StateError::Damaged { path, cause })
    }

    /// Replaces the identity. It is on disk when this returns.
    ///
    /// # Errors
    /// The disk is full or the file system says no.
    pub(crate) fn write_identity(&self, identity: &Identity) -> Result<(), StateError> {
        self.write_identity_text(&identity.encode())
    }

    /// Replaces the identity by one that is [encoded](Identity::encode).
    ///
    /// # Errors
    /// The disk is full or the file system says no.
    pub(crate) fn write_identity_text(&self, text: &str) -> Result<(), StateError> {
        files::replace(&self.identity_path(), text.as_bytes())
    }

    /// Persistent publications as declared on this agent.
    ///
    /// # Errors
    /// The file is damaged or unreadable.
    pub(crate) fn publications(&self) -> Result<Vec<StoredPublication>, StateError> {
        let path = self.publications_path();
        let Some(text) = files::read(&path)? else { return Ok(Vec::new()) };
        let file: PublicationsFile = serde_json::from_str(&text).map_err(|error| {
            StateError::Damaged { path: path.clone(), cause: error.to_string() }
        })?;
        if file.version != FILE_VERSION {
            let cause = format!("version {} is not {FILE_VERSION}", file.version);
            return Err(StateError::Damaged { path, cause });
        }
        Ok(file.publications)
    }

    /// Replaces the declared publications. They are on disk when this returns.
    ///
    /// # Errors
    /// The disk is full or the file system says no.
    pub(crate) fn write_publications(
        &self,
        publications: Vec<StoredPublication>,
    ) -> Result<(), StateError> {
        let path = self.publications_path();
        let file = PublicationsFile { version: FILE_VERSION, publications };
        let text = serde_json::to_vec_pretty(&file)
            .map_err(|error| StateError::io("write", &path, error.into()))?;
        files::replace(&path, &text)
    }

    fn identity_path(&self) -> PathBuf {
        self.path.join("identity.json")
    }

    fn publications_path(&self) -> PathBuf {
        self.path.join("publications.json")
    }
}

fn takes_no_file(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::StorageFull)
}

/// Where the system's agent is: an identity that root made when the agent lived in the relay's folder is used there until the service is installed anew. One
/// that belongs to a service's user is not: a relay that was taken over could have planted it, and root would publish what it declares.
fn system_path(path: &Path, before: &Path) -> PathBuf {
    let joined = |folder: &Path| folder.join("identity.json").exists();
    let is_by_root = |folder: &Path| {
        std::fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir() && found.uid() == ROOT)
    };
    if joined(before) && is_by_root(before) && !joined(path) {
        before.to_owned()
    } else {
        path.to_owned()
    }
}

const ROOT: u32 = 0;

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

const FILE_VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::test_support::closed_folder;

    #[test]
    fn a_new_folder_is_closed_to_others() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("deep/state");
        StateFolder::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_folder_that_others_may_read_is_refused_with_the_command_that_closes_it() {
        let root = tempfile::tempdir().unwrap();
        std::fs::set_permissions(root.path(), PermissionsExt::from_mode(0o750)).unwrap();

        let error = StateFolder::open(root.path()).unwrap_err();
        assert_eq!(error.code(), bore_api::Code::STATE_FOLDER_EXPOSED);
        assert_eq!(error.next_step(), format!("chmod 700 {}", root.path().display()));
    }

    #[test]
    fn an_identity_in_the_folder_of_before_is_used_until_there_is_one_in_the_new() {
        let root = tempfile::tempdir().unwrap();
        let [path, before] = ["new", "before"].map(|name| root.path().join(name));
        assert_eq!(system_path(&path, &before), path);
        for folder in [&before, &path] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("identity.json"), "{}").unwrap();
            assert_eq!(&system_path(&path, &before), folder);
        }
    }

    #[test]
    fn an_identity_that_a_service_could_have_planted_is_not_root_s() {
        let root = tempfile::tempdir().unwrap();
        let [path, before, planted] = ["new", "before", "link"].map(|name| root.path().join(name));
        std::fs::create_dir(&before).unwrap();
        std::fs::write(before.join("identity.json"), "{}").unwrap();
        std::os::unix::fs::symlink(&before, &planted).unwrap();
        assert_eq!(system_path(&path, &planted), path);
        std::os::unix::fs::chown(&before, Some(4_711), None)
            .expect("needs root: sudo cargo xtask test");
        assert_eq!(system_path(&path, &before), path);
    }

    #[test]
    fn only_one_agent_holds_the_folder() {
        let root = closed_folder();
        let folder = StateFolder::open(root.path()).unwrap();
        let held = folder.lock().unwrap();
        assert_eq!(folder.lock().unwrap_err().code(), bore_api::Code::STATE_FOLDER_IN_USE);

        drop(held);
        folder.lock().unwrap();
    }

    #[test]
    fn an_agent_that_could_make_no_lock_keeps_the_next_one_out() {
        let root = closed_folder();
        let folder = StateFolder::open(root.path()).unwrap();
        let held = File::open(root.path()).unwrap();
        held.try_lock().unwrap();
        assert_eq!(folder.lock().unwrap_err().code(), bore_api::Code::STATE_FOLDER_IN_USE);
        drop(held);
        folder.lock().unwrap();
    }

    #[test]
    fn without_files_there_is_no_identity_and_nothing_is_published() {
        let root = closed_folder();
        let folder = StateFolder::open(root.path()).unwrap();
        assert!(folder.identity().unwrap().is_none());
        assert!(folder.publications().unwrap().is_empty());
    }

    #[test]
    fn a_publications_file_of_another_version_is_named_and_not_guessed_at() {
        let root = closed_folder();
        let folder = StateFolder::open(root.path()).unwrap();
        files::replace(&folder.publications_path(), br#"{"version":2,"publications":[]}"#).unwrap();
        assert!(folder.publications().unwrap_err().to_string().contains("version 2"));
    }
}
