//! What every command has at hand: the output, and settings in their order of precedence.
//!
//! Flags, then `BORE_*` (both through clap), then `bore.toml` of the project, `config.toml` of the user, `config.toml` of the system,
//! then what the relay on this machine says of itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bore_control::model::Network;

use crate::agent::StateFolder;
use crate::api::{Api, encode};
use crate::args::Globals;
use crate::error::{CliError, CliResult};
use crate::file::{File, Kind, Settings};
use crate::output::Output;
use crate::secret::Secret;

/// How long an API call may take unless `--timeout` says otherwise.
const API_TIMEOUT: Duration = Duration::from_secs(10);
/// Where the API of a relay listens unless it is told otherwise.
const API_URL: &str = "http://127.0.0.1:7400";

/// Settings and output of one run.
pub(crate) struct Context<'o> {
    /// Where to print.
    pub(crate) output: &'o Output,
    globals: Globals,
    files: Vec<Settings>,
}

impl<'o> Context<'o> {
    /// Reads the three files; any mistake in them ends here.
    pub(crate) fn load(globals: Globals, output: &'o Output) -> CliResult<Self> {
        let mut files = Vec::new();
        for (path, kind) in setting_files() {
            files.extend(File::load(&path, kind)?.map(|file| file.settings));
        }
        Ok(Self { output, globals, files })
    }

    /// The agent's state folder.
    pub(crate) fn state(&self) -> CliResult<PathBuf> {
        let chosen = self.globals.state.clone();
        let chosen = chosen.or_else(|| self.setting(|settings| settings.state.clone()));
        chosen.map_or_else(|| Ok(StateFolder::default_path()?), Ok)
    }

    /// Whether nobody may be asked.
    pub(crate) const fn no_input(&self) -> bool {
        self.globals.no_input
    }

    /// `--timeout`, or what suits the command.
    pub(crate) fn timeout_or(&self, usual: Duration) -> Duration {
        self.globals.timeout.unwrap_or(usual)
    }

    /// Whether the caller speaks of a relay's network rather than of this machine.
    pub(crate) fn names_network(&self) -> bool {
        self.globals.network.is_some() || self.globals.api_url.is_some()
    }

    /// A client of the relay's API with a key.
    pub(crate) fn api(&self) -> CliResult<Api> {
        let relay = local_relay();
        let key = self.api_key(relay.as_ref())?;
        self.client(relay.as_ref(), Some(key))
    }

    /// A client for what needs no key.
    pub(crate) fn api_without_key(&self) -> CliResult<Api> {
        self.client(local_relay().as_ref(), None)
    }

    /// The same for the relay of this configuration.
    pub(crate) fn api_of(&self, relay: &bore_relay::Config) -> CliResult<Api> {
        self.client(Some(relay), None)
    }

    /// `/v1/networks/{network}`: the one named, else the only one.
    pub(crate) async fn network(&self, api: &Api) -> CliResult<String> {
        let named = self.globals.network.clone();
        if let Some(name) = named.or_else(|| self.setting(|settings| settings.network.clone())) {
            return Ok(format!("/v1/networks/{}", encode(&name)));
        }
        let networks: Vec<Network> = api.list("/v1/networks").await?;
        match networks.as_slice() {
            [only] => Ok(format!("/v1/networks/{}", only.id)),
            [] => Err(CliError::usage("the relay has no network")),
            several => {
                let names: Vec<_> = several.iter().map(|network| network.name.as_str()).collect();
                let error = CliError::usage("the relay has several networks, and none is named");
                Err(error.next(format!("--network NAME, one of {}", names.join(", "))))
            }
        }
    }

    fn client(&self, relay: Option<&bore_relay::Config>, key: Option<Secret>) -> CliResult<Api> {
        let chosen = self.globals.api_url.clone();
        let chosen = chosen.or_else(|| self.setting(|settings| settings.api_url.clone()));
        let local = || relay.map(|relay| format!("http://{}", reachable(relay.api_listen)));
        let url = chosen.or_else(local).unwrap_or_else(|| API_URL.to_owned());
        Api::new(&url, key, self.timeout_or(API_TIMEOUT))
    }

    fn api_key(&self, relay: Option<&bore_relay::Config>) -> CliResult<Secret> {
        let chosen = self.globals.api_key_file.clone();
        let chosen = chosen.or_else(|| self.setting(|settings| settings.api_key_file.clone()));
        if let Some(path) = chosen {
            return Secret::read(&path);
        }
        let Some(relay) = relay else {
            return Secret::ask("API key", self.no_input(), self.output).map_err(|_| {
                CliError::new("B3201", "no API key, and no relay is set up on this machine")
            });
        };
        let path = relay.admin_key_file();
        Secret::read(&path).map_err(|error| {
            let missing = CliError::new(
                "B3201",
                format!("the API key of this relay, {}, cannot be read", path.display()),
            );
            missing.cause(error.reason().unwrap_or_default())
        })
    }

    fn setting<T>(&self, pick: impl Fn(&Settings) -> Option<T>) -> Option<T> {
        self.files.iter().find_map(pick)
    }
}

/// Where a relay's configuration may be, the system's first.
pub(crate) fn relay_configs() -> Vec<PathBuf> {
    let user = user_folder().map(|folder| folder.join("relay.toml"));
    std::iter::once(PathBuf::from("/etc/bore/relay.toml")).chain(user).collect()
}

/// The relay set up on this machine, if there is one whose configuration this user can read.
pub(crate) fn local_relay() -> Option<bore_relay::Config> {
    relay_configs().iter().find_map(|path| bore_relay::Config::load(path).ok())
}

/// `~/.config/bore`.
pub(crate) fn user_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    config.map(|config| config.join("bore"))
}

fn setting_files() -> Vec<(PathBuf, Kind)> {
    let user = user_folder().map(|folder| (folder.join("config.toml"), Kind::Config));
    let project = (PathBuf::from("bore.toml"), Kind::Project);
    let system = (Path::new("/etc/bore/config.toml").to_owned(), Kind::Config);
    std::iter::once(project).chain(user).chain([system]).collect()
}

/// A listener on every address is reached on loopback.
fn reachable(listen: std::net::SocketAddr) -> std::net::SocketAddr {
    let mut address = listen;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}
