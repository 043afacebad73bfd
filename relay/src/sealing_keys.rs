//! The key that secrets in the database are sealed with: where it is, how it comes to be, how it is replaced.
//!
//! | source | key | the one that a rotation goes to |
//! |---|---|---|
//! | environment | `BORE_SEALING_KEY`, base64 | `BORE_SEALING_KEY_NEXT` |
//! | `sealing_key_file` | 32 bytes, or their base64 | the same name with `.next.key` |
//! | neither | `seal.key` in the state folder, made once | `seal.next.key` |
//!
//! A rotation writes the next key first, seals everything anew in one transaction, and then puts it in the place of the old one. Killed at
//! any moment it leaves both keys, with which everything opens; run again it ends.
//!
//! Invariant: no key is made while the database holds secrets that another one sealed, and none is thrown away before it is needed no more.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bore_api::model::Actor;
use bore_control::sealing::{Sealer, SealingKey};
use bore_control::store::{Store, StoreError};
use bore_edge::now_micros;
use data_encoding::BASE64;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::state_folder::{StateError, StateFolder, write_private};

/// What a rotation did.
#[derive(Debug)]
pub struct Rotated {
    /// Secrets that were sealed anew.
    pub secrets: u64,
    /// Id of the key that seals from here on.
    pub key: String,
    /// What is left to do, if anything.
    pub next: Option<&'static str>,
}

/// Why there is no sealing key, or not the right one. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealingKeyError {
    /// The database holds secrets and the key is gone.
    #[error(
        "the database holds sealed secrets and there is no key at {0}: put the key back from a backup"
    )]
    Missing(PathBuf),
    /// The file that is configured is not there.
    #[error(
        "there is no sealing key at {0}: put one there, for example by `head -c 32 /dev/urandom`"
    )]
    NoFile(PathBuf),
    /// No rotation can be made without the next key.
    #[error(
        "BORE_SEALING_KEY_NEXT is not set: set it to the new key, for example from `head -c 32 /dev/urandom | base64`"
    )]
    NoNext,
    /// Not a key.
    #[error("{0} is no sealing key: it needs 32 bytes, or their base64")]
    NotAKey(String),
    /// The key does not open what is stored.
    #[error("the sealing key is not the one that the database was sealed with")]
    Wrong(#[source] StoreError),
    /// The file system.
    #[error("the sealing key at {path} cannot be used", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The state folder.
    #[error("the state folder cannot be used")]
    State(#[from] StateError),
    /// The database.
    #[error("the database cannot be used")]
    Store(#[source] StoreError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] bore_control::token::RandomError),
}

/// Where keys are.
enum Source {
    Environment,
    /// The administrator's file.
    Configured(PathBuf),
    /// In the state folder.
    Own(PathBuf),
}

/// The keys of this relay. A first one is made if there are no secrets yet.
pub(crate) async fn open(
    config: &Config,
    state: &Path,
    store: &Arc<Store>,
) -> Result<Sealer, SealingKeyError> {
    let source = Source::of(config, state);
    let current = match source.current()? {
        Some(current) => current,
        None => source.make_first(store).await?,
    };
    let sealer = match source.next()? {
        Some(next) => Sealer::rotating(current, next),
        None => Sealer::new(current),
    };
    store.sealed_secrets().check(&sealer).await.map_err(wrong)?;
    Ok(sealer)
}

/// Replaces the sealing key of the relay of `config`, which must not run.
///
/// # Errors
/// See [`SealingKeyError`]. What was sealed opens as before.
pub async fn rotate_sealing_key(config: &Config) -> Result<Rotated, SealingKeyError> {
    let state = StateFolder::open(&config.state)?;
    let url = config.database.url();
    let audit_key = state.keys().map_err(SealingKeyError::State)?.audit_key();
    let store = bore_control::store::open(&url, state.path(), audit_key)
        .await
        .map_err(SealingKeyError::Store)?;
    let source = Source::of(config, state.path());
    let current = source.current()?.ok_or_else(|| source.missing())?;
    let next = match source.next()? {
        Some(next) => next,
        None => source.make_next()?,
    };
    let key = next.id().to_string();
    let sealer = Sealer::rotating(next, current);
    let secrets = store
        .sealed_secrets()
        .reseal(&sealer, &Actor::System, now_micros())
        .await
        .map_err(wrong)?;
    store.settle().await.map_err(SealingKeyError::Store)?;
    Ok(Rotated { secrets, key, next: source.finish()? })
}

impl Source {
    fn of(config: &Config, state: &Path) -> Self {
        match &config.sealing_key_file {
            _ if std::env::var_os(VARIABLE).is_some() => Self::Environment,
            Some(file) => Self::Configured(file.clone()),
            None => Self::Own(state.join(FILE)),
        }
    }

    fn current(&self) -> Result<Option<SealingKey>, SealingKeyError> {
        match self {
            Self::Environment => from_environment(VARIABLE),
            Self::Configured(path) | Self::Own(path) => from_file(path),
        }
    }

    fn next(&self) -> Result<Option<SealingKey>, SealingKeyError> {
        match self {
            Self::Environment => from_environment(VARIABLE_NEXT),
            Self::Configured(path) | Self::Own(path) => from_file(&next_to(path)),
        }
    }

    async fn make_first(&self, store: &Arc<Store>) -> Result<SealingKey, SealingKeyError> {
        let Self::Own(path) = self else { return Err(self.missing()) };
        let made = SealingKey::generate()?;
        // A key that has sealed nothing opens only a database without secrets.
        let probe = Sealer::new(SealingKey::from_bytes(Zeroizing::new(*made.expose_bytes())));
        match store.sealed_secrets().check(&probe).await {
            Ok(_) => {}
            Err(StoreError::Sealed { .. }) => return Err(SealingKeyError::Missing(path.clone())),
            Err(error) => return Err(SealingKeyError::Store(error)),
        }
        write(path, &made)?;
        Ok(made)
    }

    /// On disk before anything is sealed with it.
    fn make_next(&self) -> Result<SealingKey, SealingKeyError> {
        match self {
            Self::Environment => Err(SealingKeyError::NoNext),
            Self::Configured(path) | Self::Own(path) => {
                let made = SealingKey::generate()?;
                write(&next_to(path), &made)?;
                Ok(made)
            }
        }
    }

    /// Puts the next key in the place of the one that nothing is sealed with any more.
    fn finish(&self) -> Result<Option<&'static str>, SealingKeyError> {
        match self {
            Self::Environment => {
                Ok(Some("set BORE_SEALING_KEY to the new key and unset BORE_SEALING_KEY_NEXT"))
            }
            Self::Configured(path) | Self::Own(path) => {
                let failed = |source| SealingKeyError::Io { path: path.clone(), source };
                fs::rename(next_to(path), path).map_err(failed)?;
                Ok(None)
            }
        }
    }

    fn missing(&self) -> SealingKeyError {
        match self {
            Self::Environment => SealingKeyError::NotAKey(VARIABLE.to_owned()),
            Self::Configured(path) => SealingKeyError::NoFile(path.clone()),
            Self::Own(path) => SealingKeyError::Missing(path.clone()),
        }
    }
}

fn from_environment(variable: &str) -> Result<Option<SealingKey>, SealingKeyError> {
    let Some(value) = std::env::var_os(variable) else { return Ok(None) };
    let text = value.into_string().map(Zeroizing::new);
    let key = text.ok().and_then(|text| parse(text.as_bytes()));
    key.map(Some).ok_or_else(|| SealingKeyError::NotAKey(variable.to_owned()))
}

fn from_file(path: &Path) -> Result<Option<SealingKey>, SealingKeyError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SealingKeyError::Io { path: path.to_owned(), source }),
    };
    parse(&bytes).map(Some).ok_or_else(|| SealingKeyError::NotAKey(path.display().to_string()))
}

fn parse(bytes: &[u8]) -> Option<SealingKey> {
    let key = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).ok().map(Zeroizing::new);
    let plain = || key(bytes);
    let encoded = || {
        let decoded = BASE64.decode(bytes.trim_ascii()).ok().map(Zeroizing::new)?;
        key(&decoded)
    };
    plain().or_else(encoded).map(SealingKey::from_bytes)
}

fn write(path: &Path, key: &SealingKey) -> Result<(), SealingKeyError> {
    let failed = |source| SealingKeyError::Io { path: path.to_owned(), source };
    write_private(path, key.expose_bytes()).map_err(failed)
}

/// Ends in `.key`, so that a backup has it.
fn next_to(path: &Path) -> PathBuf {
    path.with_extension("next.key")
}

fn wrong(error: StoreError) -> SealingKeyError {
    if matches!(error, StoreError::Sealed { .. }) {
        SealingKeyError::Wrong(error)
    } else {
        SealingKeyError::Store(error)
    }
}

/// The environment's key, and the one that replaces it.
pub(crate) const VARIABLE: &str = "BORE_SEALING_KEY";
pub(crate) const VARIABLE_NEXT: &str = "BORE_SEALING_KEY_NEXT";
const FILE: &str = "seal.key";

#[cfg(test)]
mod tests {
    use bore_control::sealing::Column;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_key_is_made_once_and_private() {
        let lab = Lab::start().await;
        let first = lab.open().await.unwrap();
        let place = Column::AccountCredentials.of(uuid::Uuid::nil());
        let sealed = first.seal(place, b"canary").unwrap();
        assert_eq!(lab.open().await.unwrap().open(place, &sealed).unwrap().expose(), b"canary");
        let mode = fs::metadata(lab.file(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_missing_or_wrong_key_is_told_and_nothing_is_lost() {
        let lab = Lab::start().await;
        lab.seal_something().await;
        let right = fs::read(lab.file(FILE)).unwrap();

        fs::remove_file(lab.file(FILE)).unwrap();
        let refused = lab.open().await.unwrap_err();
        assert!(matches!(refused, SealingKeyError::Missing(_)), "{refused:?}");
        assert!(!lab.file(FILE).exists(), "no other key is made");

        fs::write(lab.file(FILE), [7; 32]).unwrap();
        let refused = lab.open().await.unwrap_err();
        assert!(matches!(refused, SealingKeyError::Wrong(_)), "{refused:?}");
        fs::write(lab.file(FILE), b"short").unwrap();
        assert!(matches!(lab.open().await.unwrap_err(), SealingKeyError::NotAKey(_)));

        fs::write(lab.file(FILE), BASE64.encode(&right)).unwrap();
        lab.open().await.unwrap();
    }

    #[tokio::test]
    async fn a_rotation_replaces_the_key_and_ends_what_another_began() {
        let mut lab = Lab::start().await;
        lab.seal_something().await;
        let old = fs::read(lab.file(FILE)).unwrap();
        // As a rotation that was killed before its transaction leaves it, and one that was killed after.
        fs::write(lab.file("seal.next.key"), [7; 32]).unwrap();
        lab.open().await.unwrap();

        let rotated = rotate_sealing_key(&lab.release()).await.unwrap();

        assert_eq!(rotated.secrets, 1);
        assert_eq!(fs::read(lab.file(FILE)).unwrap(), [7; 32]);
        assert!(!lab.file("seal.next.key").exists());
        lab.open().await.unwrap();
        fs::write(lab.file("seal.next.key"), [7; 32]).unwrap();
        fs::write(lab.file(FILE), &old).unwrap();
        lab.open().await.unwrap();
        rotate_sealing_key(&lab.release()).await.unwrap();
        let rotated = rotate_sealing_key(&lab.release()).await.unwrap();
        assert_eq!(rotated.secrets, 1);
        assert!(fs::read(lab.file(FILE)).unwrap() != [7; 32], "a fresh key");
        lab.open().await.unwrap();
    }

    #[tokio::test]
    async fn a_damaged_secret_stops_neither_the_relay_nor_a_rotation() {
        let mut lab = Lab::start().await;
        let sealer = lab.open().await.unwrap();
        let account =
            lab.store.acme_accounts().of_directory("https://ca.example/", 1).await.unwrap();
        let elsewhere = Column::AccountCredentials.of(uuid::Uuid::nil());
        let damaged = sealer.seal(elsewhere, b"canary").unwrap();
        lab.store.acme_accounts().keep(account.id, &damaged, &Actor::System, 1).await.unwrap();

        lab.open().await.unwrap();
        let rotated = rotate_sealing_key(&lab.release()).await.unwrap();

        assert_eq!(rotated.secrets, 0);
        let account =
            lab.store.acme_accounts().of_directory("https://ca.example/", 1).await.unwrap();
        assert_eq!(account.credentials, None, "forgotten with the key that it was sealed with");
        lab.open().await.unwrap();
    }

    struct Lab {
        config: Config,
        store: Arc<Store>,
        state: Option<StateFolder>,
        _folder: tempfile::TempDir,
    }

    impl Lab {
        async fn start() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mut config = Config::for_host("127.0.0.1");
            config.state = folder.path().join("state");
            let state = StateFolder::create(&config.state).unwrap();
            let store = bore_control::store::create(
                "sqlite://bore.db",
                &config.state,
                state.make_keys().unwrap().audit_key(),
            )
            .await
            .unwrap();
            Self { config, store, state: Some(state), _folder: folder }
        }

        async fn open(&self) -> Result<Sealer, SealingKeyError> {
            open(&self.config, &self.config.state, &self.store).await
        }

        async fn seal_something(&self) {
            let sealer = self.open().await.unwrap();
            let account =
                self.store.acme_accounts().of_directory("https://ca.example/", 1).await.unwrap();
            let place = Column::AccountCredentials.of(account.id);
            let sealed = sealer.seal(place, b"canary").unwrap();
            self.store.acme_accounts().keep(account.id, &sealed, &Actor::System, 1).await.unwrap();
        }

        /// Unlocks the folder, as a relay that was stopped does.
        fn release(&mut self) -> Config {
            self.state = None;
            self.config.clone()
        }

        fn file(&self, name: &str) -> PathBuf {
            self.config.state.join(name)
        }
    }
}
