//! `bore relay backup` and `restore`: what a relay cannot be without, as a folder of plain files.
//!
//! A backup holds private keys: it is made 0700 and never written over. The embedded database is copied by its own engine, so that the
//! copy is consistent while the relay runs; with PostgreSQL its own tool saves it, and only the keys are here.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bore_api::Code;
use bore_relay::Config;
use serde_json::json;

use super::{ConfigFlag, failure};
use crate::context::Context;
use crate::error::{CliError, CliResult};

/// The configuration's name inside a backup.
const CONFIG: &str = "relay.toml";
/// The embedded database, in the state folder as in a backup.
const DATABASE: &str = "bore.db";

/// `bore relay backup`.
#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    /// A folder that does not exist yet
    folder: PathBuf,
    #[command(flatten)]
    config: ConfigFlag,
}

/// `bore relay restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// A folder that `bore relay backup` wrote
    folder: PathBuf,
    #[command(flatten)]
    config: ConfigFlag,
}

impl Backup {
    /// Copies everything, the database last.
    pub(super) async fn run(self, context: &Context<'_>) -> CliResult {
        let path = self.config.existing()?;
        let config = Config::load(&path).map_err(|errors| failure::config(&path, &errors))?;
        make_folder(&self.folder)?;
        copy(&path, &self.folder.join(CONFIG))?;
        for key in keys_in(&config.state)? {
            copy(&config.state.join(&key), &self.folder.join(&key))?;
        }
        if config.is_embedded() {
            copy_database(&config, &self.folder).await?;
        } else {
            context.output.warn("the database is PostgreSQL: save it with pg_dump; this backup has keys and configuration");
        }
        let text = format!("saved to {}; it holds private keys", self.folder.display());
        context.output.result("relay_saved", &json!({ "folder": self.folder }), &text)
    }
}

async fn copy_database(config: &Config, folder: &Path) -> CliResult {
    let database = config.state.join(DATABASE);
    let refused = |error| CliError::io(format!("cannot use {}", database.display()), &error);
    refuse_link_of_others(&database).map_err(refused)?;
    let copied =
        bore_relay::back_up_database(&config.state, &database, &folder.join(DATABASE)).await;
    copied.map_err(|error| failure::backup(&error))
}

impl Restore {
    /// Puts the files where the saved configuration wants them; nothing that exists is replaced.
    pub(super) fn run(self, context: &Context<'_>) -> CliResult {
        let saved = self.folder.join(CONFIG);
        let config = Config::load(&saved).map_err(|errors| failure::config(&saved, &errors))?;
        let path = self.config.for_new();
        refuse_existing(&path)?;
        refuse_existing(&config.state.join(DATABASE))?;
        let state = bore_relay::StateFolder::create(&config.state)
            .map_err(|error| failure::state(&error))?;
        for name in keys_in(&self.folder)?.into_iter().chain([PathBuf::from(DATABASE)]) {
            let from = self.folder.join(&name);
            if from.exists() {
                copy(&from, &state.path().join(&name))?;
            }
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| {
                CliError::io(format!("cannot create {}", parent.display()), &error)
            })?;
        }
        copy(&saved, &path)?;
        let text = format!("restored: {} and {}", path.display(), config.state.display());
        context.output.result(
            "relay_restored",
            &json!({ "config": path, "state": config.state }),
            &text,
        )?;
        context.output.note(
            "start it: bore relay run (a service needs its user again: sudo bore relay install)",
        );
        Ok(())
    }
}

/// `*.key` files by name.
fn keys_in(folder: &Path) -> CliResult<Vec<PathBuf>> {
    let failed = |error| CliError::io(format!("cannot read {}", folder.display()), &error);
    let mut keys = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = PathBuf::from(entry.map_err(failed)?.file_name());
        if name.extension().is_some_and(|extension| extension == "key") {
            keys.push(name);
        }
    }
    Ok(keys)
}

fn make_folder(folder: &Path) -> CliResult {
    refuse_existing(folder)?;
    let made = fs::DirBuilder::new().mode(0o700).create(folder);
    made.map_err(|error| CliError::io(format!("cannot create {}", folder.display()), &error))
}

/// A backup is made by root, of a folder in which the service's user may have planted a link to what only root reads.
fn refuse_link_of_others(path: &Path) -> io::Result<bool> {
    let found = fs::symlink_metadata(path)?;
    if found.is_symlink() && found.uid() != rustix::process::geteuid().as_raw() {
        let cause = "it is a link that another user made: find out why, and put the file itself in its place";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, cause));
    }
    Ok(found.is_symlink())
}

fn refuse_existing(path: &Path) -> CliResult {
    if !path.exists() {
        return Ok(());
    }
    Err(CliError::new(Code::EXISTS_ALREADY, format!("{} exists", path.display()))
        .next("move it away, or name another place"))
}

/// Copies one file, readable by its owner alone, and has it on disk before it returns. Nothing is overwritten.
fn copy(from: &Path, to: &Path) -> CliResult {
    let copied = (|| {
        let follow = if refuse_link_of_others(from)? { 0 } else { libc::O_NOFOLLOW };
        let mut source = fs::OpenOptions::new().read(true).custom_flags(follow).open(from)?;
        if !source.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
        }
        let mut target =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        io::copy(&mut source, &mut target)?;
        target.sync_all()
    })();
    copied.map_err(|error| {
        CliError::io(format!("cannot copy {} to {}", from.display(), to.display()), &error)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn copies_are_private_and_replace_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a.key"), folder.path().join("b.key"));
        fs::write(&from, "secret").unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(copy(&from, &to).is_err());
        assert_eq!(keys_in(folder.path()).unwrap().len(), 2);
        assert_eq!(refuse_existing(&to).unwrap_err().code(), "B1010");
    }

    #[test]
    fn a_link_is_followed_unless_another_user_planted_it() {
        let folder = tempfile::tempdir().unwrap();
        let (secret, link) = (folder.path().join("shadow"), folder.path().join("a.key"));
        fs::write(&secret, "root's").unwrap();
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        copy(&link, &folder.path().join("own")).unwrap();

        std::os::unix::fs::lchown(&link, Some(4_711), Some(4_711))
            .expect("needs root: sudo cargo xtask test");
        let refused = copy(&link, &folder.path().join("planted")).unwrap_err();
        let told = format!("{refused:?}");
        assert!(told.contains("another user"), "{told}");
        assert!(!folder.path().join("planted").exists());
    }
}
