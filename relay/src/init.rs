//! `bore relay init`: keys, configuration, a first network, a first join key, an administrator's key.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bore_api::ApiToken;
use bore_api::model::{Actor, Scope};
use bore_api::wire::{NewApiKey, NewJoinKey};
use bore_control::limits::API_KEY_LIFE_MAX;
use bore_control::refusal::Refusal;
use bore_control::service::{ApiKeys, JoinKeys, Networks};
use bore_control::store::{Store, StoreError};
use bore_control::{Clock, Core, Settings};

use bore_edge::now_micros;

use crate::config::{Config, ConfigError, Database, DnsProvider};
use crate::identity::{PublicPorts, identity};
use crate::state_folder::{RelayKeys, StateError, StateFolder};

/// What `relay init` is told.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Where the configuration goes.
    pub config: PathBuf,
    /// Settings to write; unset ones keep their defaults and are not written.
    pub settings: InitSettings,
    /// A relay that was set up gets a new database if its own is missing.
    pub new_database: bool,
}

/// Settings that `relay init` writes into `relay.toml`.
#[derive(Debug, Clone, Default)]
pub struct InitSettings {
    /// Public name or address.
    pub host: String,
    /// Domain for hostnames.
    pub domain: Option<String>,
    /// State folder.
    pub state: Option<PathBuf>,
    /// Overlay socket.
    pub overlay_listen: Option<SocketAddr>,
    /// Shared HTTP port.
    pub http_listen: Option<SocketAddr>,
    /// Shared HTTPS port.
    pub https_listen: Option<SocketAddr>,
    /// REST API.
    pub api_listen: Option<SocketAddr>,
    /// Metrics.
    pub metrics_listen: Option<SocketAddr>,
    /// PostgreSQL instead of the embedded database.
    pub database_url: Option<String>,
    /// Whether the relay answers for its domain by DNS.
    pub built_in_dns: bool,
    /// Where.
    pub dns_listen: Option<SocketAddr>,
    /// Address of the CA's directory.
    pub acme_directory: Option<String>,
    /// Mail address for the CA.
    pub acme_contact: Option<String>,
    /// Roots that are trusted when the CA is asked.
    pub acme_ca_file: Option<PathBuf>,
}

/// What `relay init` made.
#[derive(Debug)]
pub struct Initialised {
    /// The configuration.
    pub config: Config,
    /// Whether there was a relay already; then nothing of it was replaced.
    pub existed: bool,
    /// A fresh join key for one node, good for a day.
    pub join_key: String,
    /// The file with the administrator's API key.
    pub admin_key: PathBuf,
}

/// Why a relay could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// The settings do not make a configuration.
    #[error("the settings do not make a configuration: {}", list(.0))]
    Config(Vec<ConfigError>),
    /// The configuration file.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The state folder.
    #[error("the state folder cannot be used")]
    State(#[from] StateError),
    /// The database.
    #[error("the database cannot be set up")]
    Store(#[source] StoreError),
    /// The first keys.
    #[error("the first keys could not be made: {0}")]
    Keys(String),
}

/// Sets a relay up. On one that exists it keeps everything and makes a new join key.
///
/// # Errors
/// See [`InitError`]. What was written stays, and the next run goes on from there.
pub async fn init(options: &InitOptions) -> Result<Initialised, InitError> {
    let existed = options.config.exists();
    let (config, state) = if existed {
        let config = Config::load(&options.config).map_err(InitError::Config)?;
        let state = StateFolder::create(&config.state)?;
        (config, state)
    } else {
        configure(options)?
    };
    let (store, keys) = open_store(options, &config, &state).await?;
    let ports = PublicPorts {
        overlay: config.overlay_listen.port(),
        http: config.http_listen.port(),
        https: config.https_listen.port(),
    };
    let (identity, clock) = (identity(&config, &keys, ports), Clock::new(now_micros));
    let core = Core::load(store, identity, clock, Settings::default());
    let core = core.await.map_err(InitError::Store)?;
    let admin_key = admin_key(&core, &state).await?;
    let join_key = first_join_key(&core).await.map_err(unmade)?;
    core.settle().await.map_err(InitError::Store)?;
    Ok(Initialised { config, existed, join_key, admin_key })
}

/// Opens the store of a relay that was set up, or makes keys and a store. Keys that were made for a store that could not be are removed, so that the next
/// try is a first one too.
async fn open_store(
    options: &InitOptions,
    config: &Config,
    state: &StateFolder,
) -> Result<(Arc<Store>, RelayKeys), InitError> {
    let was_set_up = state.is_set_up();
    let keys = state.make_keys()?;
    let (url, folder) = (config.database.url(), state.path());
    if was_set_up && !options.new_database {
        let store = bore_control::store::open(&url, folder, keys.audit_key()).await;
        return Ok((store.map_err(InitError::Store)?, keys));
    }
    match bore_control::store::create(&url, folder, keys.audit_key()).await {
        Ok(store) => Ok((store, keys)),
        Err(error) => {
            if !was_set_up {
                state.remove_keys();
            }
            Err(InitError::Store(error))
        }
    }
}

/// Writes a first configuration. The database's URL may hold a password and the configuration is for everybody to read: the URL goes into the
/// state folder.
fn configure(options: &InitOptions) -> Result<(Config, StateFolder), InitError> {
    let InitOptions { config: path, settings, .. } = options;
    let url = settings.database_url.as_ref();
    let given = settings.to_toml(url.map(|url| ("database_url", url.clone())));
    let config = Config::parse(&given).map_err(InitError::Config)?;
    let state = StateFolder::create(&config.state)?;
    let kept = url.map(|url| state.write_private(DATABASE_URL, url.as_bytes())).transpose()?;
    let kept = kept.map(|file| ("database_url_file", file.display().to_string()));
    write_config(path, &settings.to_toml(kept))?;
    Ok((config, state))
}

/// The administrator's key in the state folder: the one that is there and holds, or a new one. It is as safe there as the cluster's key beside it, and
/// no key that it makes outlives it: it lives as long as a key can.
async fn admin_key(core: &Core, state: &StateFolder) -> Result<PathBuf, InitError> {
    let path = state.path().join(ADMIN_KEY);
    let keys = ApiKeys::load(core.clone()).await.map_err(InitError::Store)?;
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    if let Ok(token) = ApiToken::parse(stored.trim())
        && keys.holds(&token).await
    {
        return Ok(path);
    }
    let life = i64::try_from(API_KEY_LIFE_MAX.as_micros()).unwrap_or(i64::MAX);
    let wanted = NewApiKey {
        description: "administrator, made by relay init".to_owned(),
        scopes: vec![Scope::Admin],
        expires_at: Some(now_micros() + life),
    };
    let made = keys.create(None, &wanted, &Actor::System).await.map_err(unmade)?;
    Ok(state.write_private(ADMIN_KEY, made.key.as_bytes())?)
}

/// A join key for one node, good for a day, of the first network.
pub async fn first_join_key(core: &Core) -> Result<String, Refusal> {
    let network = match core.directory().networks().into_iter().next() {
        Some(network) => network,
        None => Networks::new(core.clone()).create(FIRST_NETWORK, &Actor::System).await?,
    };
    let wanted = NewJoinKey {
        description: "made by relay init".to_owned(),
        uses_max: Some(1),
        expires_at: Some(now_micros() + JOIN_KEY_LIFE_MICROS),
        ..NewJoinKey::default()
    };
    let made = JoinKeys::new(core.clone()).create(network.id, &wanted, &Actor::System).await?;
    Ok(made.key)
}

fn unmade(refusal: Refusal) -> InitError {
    InitError::Keys(refusal.to_string())
}

impl InitSettings {
    /// Which of these settings a relay that exists does not have, each as the key of `relay.toml` and the value that was asked for.
    pub fn unlike(&self, config: &Config) -> Vec<String> {
        let mut unlike = Vec::new();
        let mut compare = |key: &str, asked: Option<String>, has: String| {
            if let Some(asked) = asked.filter(|asked| *asked != has) {
                unlike.push(format!("{key} = \"{asked}\""));
            }
        };
        let address = |address: &Option<SocketAddr>| address.map(|address| address.to_string());
        compare("host", Some(self.host.clone()), config.host.clone());
        compare("domain", self.domain.clone(), config.domain.clone().unwrap_or_default());
        compare("overlay_listen", address(&self.overlay_listen), config.overlay_listen.to_string());
        compare("http_listen", address(&self.http_listen), config.http_listen.to_string());
        compare("https_listen", address(&self.https_listen), config.https_listen.to_string());
        compare("api_listen", address(&self.api_listen), config.api_listen.to_string());
        compare("metrics_listen", address(&self.metrics_listen), config.metrics_listen.to_string());
        let (acme, ca_file) = (&config.acme, self.acme_ca_file.clone());
        compare("acme.directory", self.acme_directory.clone(), acme.directory.clone());
        // The configuration has it with the scheme before it.
        let contact = acme.contact.as_deref().unwrap_or_default().trim_start_matches("mailto:");
        let asked = self.acme_contact.as_deref().map(|text| text.trim_start_matches("mailto:"));
        compare("acme.contact", asked.map(str::to_owned), contact.to_owned());
        let path = |path: PathBuf| path.display().to_string();
        compare(
            "acme.ca_file",
            ca_file.map(path),
            acme.ca_file.clone().map_or_else(String::new, path),
        );
        let built_in = matches!(config.dns, Some(DnsProvider::BuiltIn(_)));
        if self.built_in_dns && !built_in {
            unlike.push("[dns] provider = \"built-in\"".to_owned());
        }
        unlike
    }

    /// The text of a `relay.toml` with these settings, and with the key that says where the database is.
    fn to_toml(&self, database: Option<(&str, String)>) -> String {
        let mut text = "# bore relay. Every key: docs/config.md\n".to_owned();
        let mut line = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{key} = {}", toml::Value::String(value));
            }
        };
        line("host", Some(self.host.clone()));
        line("domain", self.domain.clone());
        line("state", self.state.as_ref().map(|path| path.display().to_string()));
        line("overlay_listen", self.overlay_listen.map(|address| address.to_string()));
        line("http_listen", self.http_listen.map(|address| address.to_string()));
        line("https_listen", self.https_listen.map(|address| address.to_string()));
        line("api_listen", self.api_listen.map(|address| address.to_string()));
        line("metrics_listen", self.metrics_listen.map(|address| address.to_string()));
        if let Some((key, value)) = database {
            line(key, Some(value));
        }
        if self.built_in_dns {
            text.push_str("\n[dns]\nprovider = \"built-in\"\n");
            if let Some(listen) = self.dns_listen {
                let _ = writeln!(text, "listen = \"{listen}\"");
            }
        }
        text + &self.acme_to_toml()
    }

    fn acme_to_toml(&self) -> String {
        let ca_file = self.acme_ca_file.as_ref().map(|path| path.display().to_string());
        let lines = [
            ("directory", self.acme_directory.clone()),
            ("contact", self.acme_contact.clone()),
            ("ca_file", ca_file),
        ];
        let set = lines.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let lines: String =
            set.map(|(key, value)| format!("{key} = {}\n", toml::Value::String(value))).collect();
        if lines.is_empty() { lines } else { format!("\n[acme]\n{lines}") }
    }
}

/// The file is on disk when this returns, as are the keys and the database that it leads to: a loss of power leaves all of them or none.
fn write_config(path: &Path, text: &str) -> Result<(), InitError> {
    write_synced(path, text).map_err(|source| InitError::Write { path: path.to_owned(), source })
}

fn write_synced(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

fn list(errors: &[ConfigError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Config {
    /// Where the administrator's API key is, if `relay init` made one here.
    pub fn admin_key_file(&self) -> PathBuf {
        self.state.join(ADMIN_KEY)
    }

    /// Whether the store is a file in the state folder.
    pub fn is_embedded(&self) -> bool {
        self.database == Database::Embedded
    }
}

const ADMIN_KEY: &str = "admin.key";
/// A secret like the keys, and in backups like them.
const DATABASE_URL: &str = "database-url.key";
const FIRST_NETWORK: &str = "default";
const JOIN_KEY_LIFE_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_databases_password_is_nobodys_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let url = "postgres://bore:canary@db.example/bore";
        let options = options(
            folder.path(),
            InitSettings { database_url: Some(url.to_owned()), ..InitSettings::default() },
        );
        let (config, _state) = configure(&options).unwrap();
        let text = std::fs::read_to_string(&options.config).unwrap();
        assert!(!text.contains("canary"), "{text}");
        let read_again = Config::load(&options.config).unwrap();
        assert_eq!(read_again.database, Database::Postgresql(url.to_owned()));
        assert_eq!(config.database, read_again.database);
    }

    #[test]
    fn what_an_existing_relay_does_not_have_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let first = options(folder.path(), InitSettings::default());
        let (config, _state) = configure(&first).unwrap();
        assert_eq!(first.settings.unlike(&config), [""; 0]);
        let second = options(
            folder.path(),
            InitSettings {
                domain: Some("t.example.org".to_owned()),
                built_in_dns: true,
                ..InitSettings::default()
            },
        );
        let unlike = second.settings.unlike(&config);
        assert_eq!(unlike, ["domain = \"t.example.org\"", "[dns] provider = \"built-in\""]);
    }

    #[tokio::test]
    async fn a_relay_whose_database_is_lost_starts_anew_only_when_that_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let first = options(folder.path(), InitSettings::default());
        let made = init(&first).await.unwrap();
        let key = std::fs::read_to_string(&made.admin_key).unwrap();
        let again = init(&first).await.unwrap();
        assert_eq!(
            std::fs::read_to_string(&again.admin_key).unwrap(),
            key,
            "a key that holds stays"
        );

        let database = made.config.state.join("bore.db");
        for damage in
            [|file: &Path| std::fs::remove_file(file), |file: &Path| std::fs::write(file, "")]
        {
            damage(&database).unwrap();
            let refused = init(&first).await;
            assert!(matches!(refused, Err(InitError::Store(StoreError::Missing))), "{refused:?}");
            let refused = crate::Relay::start(made.config.clone()).await;
            let missing = crate::StartError::Store(StoreError::Missing);
            assert_eq!(
                refused.err().map(|error| format!("{error:?}")),
                Some(format!("{missing:?}"))
            );

            init(&InitOptions { new_database: true, ..first.clone() }).await.unwrap();
            assert_ne!(std::fs::read_to_string(&made.admin_key).unwrap(), key, "it is of no use");
            init(&first).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_first_set_up_that_failed_can_be_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let unreachable =
            format!("postgres://bore@localhost/bore?host={}", folder.path().display());
        let first = options(
            folder.path(),
            InitSettings { database_url: Some(unreachable), ..InitSettings::default() },
        );
        assert!(matches!(init(&first).await, Err(InitError::Store(_))));
        assert!(!StateFolder::open(&folder.path().join("state")).unwrap().is_set_up());
    }

    fn options(folder: &Path, settings: InitSettings) -> InitOptions {
        let settings = InitSettings {
            host: "relay.example.org".to_owned(),
            state: Some(folder.join("state")),
            ..settings
        };
        InitOptions { config: folder.join("relay.toml"), settings, new_database: false }
    }
}
