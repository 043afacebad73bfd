//! Which run of the agent the relay speaks with: `boot.json`.
//!
//! The relay lets one agent speak for a node and tells runs apart by a boot id. An agent that was killed and starts again on the same
//! folder of the same running machine is the same agent and keeps its id; a copy of the folder elsewhere is a rival and gets its own.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::files;
use crate::agent::error::StateError;
use crate::agent::system;

#[derive(Serialize, Deserialize)]
struct File {
    boot: Uuid,
    /// What only this folder on this running machine has.
    place: String,
}

/// The boot id of an agent that runs on `folder`: the one of before if it ran here, else a new one.
pub(super) fn boot_id(folder: &Path) -> Result<Uuid, StateError> {
    let path = folder.join(NAME);
    let place = place(folder);
    let before = files::read(&path)?.and_then(|text| serde_json::from_str::<File>(&text).ok());
    if let Some(before) = before.filter(|file| Some(&file.place) == place.as_ref()) {
        return Ok(before.boot);
    }
    let boot = Uuid::now_v7();
    if let Some(place) = place {
        let text = serde_json::to_vec(&File { boot, place });
        let text = text.map_err(|error| StateError::io("write", &path, error.into()))?;
        files::replace(&path, &text)?;
    }
    Ok(boot)
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
    use crate::agent::test_support::closed_folder;

    #[test]
    fn an_agent_that_starts_again_on_its_folder_is_the_same_agent() {
        let root = closed_folder();
        assert_eq!(boot_id(root.path()).unwrap(), boot_id(root.path()).unwrap());
    }

    #[test]
    fn a_copy_of_the_folder_is_a_rival() {
        let (root, copy) = (closed_folder(), closed_folder());
        let original = boot_id(root.path()).unwrap();
        std::fs::copy(root.path().join(NAME), copy.path().join(NAME)).unwrap();
        assert_ne!(boot_id(copy.path()).unwrap(), original);
    }

    #[test]
    fn an_agent_that_was_replaced_comes_back_as_another() {
        let root = closed_folder();
        let replaced = boot_id(root.path()).unwrap();
        forget(root.path()).unwrap();
        assert_ne!(boot_id(root.path()).unwrap(), replaced);
        forget(root.path()).unwrap();
        forget(root.path()).unwrap();
    }
}
