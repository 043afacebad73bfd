//! Which run of the agent the relay speaks with: `boot.json`.
//!
//! The relay lets one agent speak for a node and tells runs apart by a boot id. An agent that was killed and starts again on the same
//! folder of the same running machine is the same agent and keeps its id; a copy of the folder elsewhere is a rival and gets its own.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::files;
use crate::error::StateError;
use crate::system;

#[derive(Serialize, Deserialize)]
struct File {
    boot: Uuid,
    /// What only this folder on this running machine has.
    place: String,
}

/// The boot id of an agent that runs on `folder`: the one of before if it ran here, else a new one.
///
/// A file that cannot be read or written costs no more than that: this agent, once killed, comes back as another one, and the relay asks
/// which of them lives.
pub(super) fn boot_id(folder: &Path) -> Uuid {
    let path = folder.join(NAME);
    let place = place(folder);
    let text = files::read(&path).unwrap_or_else(|error| {
        tracing::warn!(%error, "this agent speaks to the relay as a new one");
        None
    });
    let before = text.and_then(|text| serde_json::from_str::<File>(&text).ok());
    if let Some(before) = before.filter(|file| Some(&file.place) == place.as_ref()) {
        return before.boot;
    }
    let boot = Uuid::now_v7();
    if let Some(Err(error)) = place.map(|place| write(&path, &File { boot, place })) {
        tracing::warn!(%error, "once killed, this agent will speak to the relay as a new one");
    }
    boot
}

fn write(path: &Path, file: &File) -> Result<(), StateError> {
    let text = serde_json::to_vec(file);
    let text = text.map_err(|error| StateError::io("write", path, error.into()))?;
    files::replace(path, &text)
}

/// The next agent on `folder` is another one: this one was replaced.
pub(super) fn forget(folder: &Path) -> Result<(), StateError> {
    let path = folder.join(NAME);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StateError::io("remove", &path, error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// `None` where the machine does not say enough to be told from its copies.
fn place(folder: &Path) -> Option<String> {
    let folder = std::fs::metadata(folder).ok()?;
    Some(format!("{} {}:{}", system::machine_run()?, folder.dev(), folder.ino()))
}

const NAME: &str = "boot.json";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::closed_folder;

    #[test]
    fn an_agent_that_starts_again_on_its_folder_is_the_same_agent() {
        let root = closed_folder();
        assert_eq!(boot_id(root.path()), boot_id(root.path()));
    }

    #[test]
    fn an_agent_that_cannot_write_its_boot_id_has_one() {
        let root = closed_folder();
        // The temporary's place is taken by a folder, which cannot be removed as a file.
        std::fs::create_dir(root.path().join("boot.new")).unwrap();
        assert_ne!(boot_id(root.path()), boot_id(root.path()));
    }

    #[test]
    fn a_copy_of_the_folder_is_a_rival() {
        let (root, copy) = (closed_folder(), closed_folder());
        let original = boot_id(root.path());
        std::fs::copy(root.path().join(NAME), copy.path().join(NAME)).unwrap();
        assert_ne!(boot_id(copy.path()), original);
    }

    #[test]
    fn an_agent_that_was_replaced_comes_back_as_another() {
        let root = closed_folder();
        let replaced = boot_id(root.path());
        forget(root.path()).unwrap();
        assert_ne!(boot_id(root.path()), replaced);
        forget(root.path()).unwrap();
        forget(root.path()).unwrap();
    }
}
