//! What every command has at hand: the output, and settings in their order of precedence.
//!
//! Flags, then `BORE_*` (both through clap), then `config.toml` of the user, `config.toml` of the system, then what the relay on this machine
//! says of itself. `bore.toml` of the project sets nothing.
//!
//! Flags and variables are the caller's own word: a key that they name is sent to whatever address is chosen. A key of a file is sent only to the
//! address that the same file gives, or, where it gives none, to what is chosen without it; the key of this machine's relay only to that relay.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::api::{Api, ApiAddress, encode};
use crate::args::Globals;
use crate::error::{CliError, CliResult};
use crate::file::{File, Kind, Settings, is_closed};
use crate::output::Output;
use crate::secret::Secret;
use bore_agent::StateFolder;
use bore_api::Code;
use bore_api::model::Network;

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
    /// Reads the three files; any mistake in them ends here. Settings of a user or system that this user may not read are passed over.
    pub(crate) fn load(globals: Globals, output: &'o Output) -> CliResult<Self> {
        demand_no_mistake(Path::new("bore.toml"))?;
        let mut files = Vec::new();
        for path in setting_files() {
            if is_closed(&path) {
                let path = path.display();
                output.warn(&format!("{path} may not be read by this user: going on without it"));
                continue;
            }
            files.extend(File::load(&path, Kind::Config)?.map(|file| file.settings));
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

    /// `--timeout`.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.globals.timeout
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
        let address = self.api_address(relay.as_ref())?;
        let key = self.api_key(relay.as_ref(), &address)?;
        Api::new(address, Some(key), self.timeout_or(API_TIMEOUT))
    }

    /// A client for what needs no key.
    pub(crate) fn api_without_key(&self) -> CliResult<Api> {
        self.client(local_relay().as_ref())
    }

    /// The same for the relay of this configuration.
    pub(crate) fn api_of(&self, relay: &bore_relay::Config) -> CliResult<Api> {
        self.client(Some(relay))
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

    fn client(&self, relay: Option<&bore_relay::Config>) -> CliResult<Api> {
        Api::new(self.api_address(relay)?, None, self.timeout_or(API_TIMEOUT))
    }

    fn api_address(&self, relay: Option<&bore_relay::Config>) -> CliResult<ApiAddress> {
        match &self.globals.api_url {
            Some(url) => ApiAddress::parse(url),
            None => self.stored_address(0, relay),
        }
    }

    /// The address that the files give from the `first` on, then the relay on this machine.
    fn stored_address(
        &self,
        first: usize,
        relay: Option<&bore_relay::Config>,
    ) -> CliResult<ApiAddress> {
        let stored = self.files.iter().skip(first).find_map(|file| file.api_url.as_ref());
        match (stored, relay) {
            (Some(url), _) => ApiAddress::parse(url),
            (None, Some(relay)) => Ok(ApiAddress::of(reachable(relay.api_listen))),
            (None, None) => ApiAddress::parse(API_URL),
        }
    }

    fn api_key(
        &self,
        relay: Option<&bore_relay::Config>,
        address: &ApiAddress,
    ) -> CliResult<Secret> {
        if let Some(path) = &self.globals.api_key_file {
            return Secret::read(path);
        }
        let mut stored = self.files.iter().enumerate();
        let stored = stored.find_map(|(number, file)| Some((number, file.api_key_file.as_ref()?)));
        if let Some((number, path)) = stored {
            demand_stored_for(path, &self.stored_address(number, relay)?, address)?;
            return Secret::read(path);
        }
        let Some(relay) = relay else {
            let asked = Secret::ask("API key", self.no_input(), self.output);
            return asked.map_err(|error| match error.known_code() {
                Some(Code::INPUT_NEEDED) => CliError::new(
                    Code::API_KEY_MISSING,
                    "no API key, and no relay is set up on this machine",
                ),
                _ => error,
            });
        };
        let path = relay.admin_key_file();
        demand_stored_for(&path, &ApiAddress::of(reachable(relay.api_listen)), address)?;
        Secret::read(&path).map_err(|error| {
            let missing = CliError::new(
                Code::API_KEY_MISSING,
                format!("the API key of this relay, {}, cannot be read", path.display()),
            );
            missing.cause(error.reason().unwrap_or_default())
        })
    }

    fn setting<T>(&self, pick: impl Fn(&Settings) -> Option<T>) -> Option<T> {
        self.files.iter().find_map(pick)
    }
}

/// Nothing of a project's file is taken for a command that does not ask for it, but what does not belong into it is told before it is missed. One that cannot
/// be read, as in a folder of another user, is left to the commands that need it.
fn demand_no_mistake(project: &Path) -> CliResult {
    match File::load(project, Kind::Project) {
        Err(error) if error.known_code() == Some(Code::CONFIGURATION) => Err(error),
        Ok(_) | Err(_) => Ok(()),
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

fn setting_files() -> Vec<PathBuf> {
    let user = user_folder().map(|folder| folder.join("config.toml"));
    user.into_iter().chain([PathBuf::from("/etc/bore/config.toml")]).collect()
}

/// A key is sent to the address that it was stored with.
fn demand_stored_for(key: &Path, stored: &ApiAddress, chosen: &ApiAddress) -> CliResult {
    if stored.is_same(chosen) {
        return Ok(());
    }
    let text = format!("the API key {} was stored for {stored}, not for {chosen}", key.display());
    let error = CliError::new(Code::API_KEY_OF_OTHER_ADDRESS, text).cause("it was not sent");
    Err(error.next(format!("name the key for {chosen}: --api-key-file FILE")))
}

/// A listener on every address is reached on loopback.
fn reachable(listen: std::net::SocketAddr) -> std::net::SocketAddr {
    let mut address = listen;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Style;

    #[test]
    fn a_stored_key_goes_only_to_the_address_that_it_was_stored_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.key");
        std::fs::write(&path, "bore_api_x\n").unwrap();
        let user = Settings {
            api_url: Some(url(1)),
            api_key_file: Some(path.clone()),
            ..Settings::default()
        };
        let address = |port: u16| Settings { api_url: Some(url(port)), ..Settings::default() };
        let key = || Settings { api_key_file: Some(path.clone()), ..Settings::default() };

        assert_eq!(sent(None, vec![user.clone()]), SENT);
        assert_eq!(sent(Some("http://localhost:1"), vec![user.clone()]), SENT, "the same place");
        assert_eq!(sent(Some("http://127.0.0.1:2"), vec![user]), "B3206");
        assert_eq!(
            sent(None, vec![key(), address(1)]),
            SENT,
            "the system's address, chosen anyway"
        );
        assert_eq!(sent(None, vec![address(1), key()]), "B3206", "the system's key");
    }

    #[test]
    fn a_project_file_that_cannot_be_read_ends_no_command_and_one_with_mistakes_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bore.toml");
        demand_no_mistake(&file).unwrap();
        std::fs::write(&file, "api_key_file = \"/etc/shadow\"\n").unwrap();
        assert_eq!(demand_no_mistake(&file).unwrap_err().code(), "B1003");
        // A folder in its place cannot be read by root either.
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        demand_no_mistake(&file).unwrap();
        demand_no_mistake(&file.join("bore.toml/below/a/file")).unwrap();
    }

    #[test]
    fn a_key_that_the_caller_names_goes_where_the_caller_says() {
        let output = output();
        let globals = Globals {
            api_url: Some(url(2)),
            api_key_file: Some("/nowhere/key".into()),
            ..Globals::default()
        };
        let context = Context { output: &output, globals, files: Vec::new() };
        let address = context.api_address(None).unwrap();
        assert_eq!(
            context.api_key(None, &address).unwrap_err().code(),
            "B1002",
            "it was looked for"
        );
    }

    /// What becomes of the key of `files`: [`SENT`], or the code of the refusal.
    fn sent(api_url: Option<&str>, files: Vec<Settings>) -> String {
        let output = output();
        let globals = Globals { api_url: api_url.map(str::to_owned), ..Globals::default() };
        let context = Context { output: &output, globals, files };
        let address = context.api_address(None).unwrap();
        let key = context.api_key(None, &address);
        key.map_or_else(|error| error.code().to_owned(), |_| SENT.to_owned())
    }

    const SENT: &str = "sent";

    fn url(port: u16) -> String {
        format!("http://127.0.0.1:{port}")
    }

    fn output() -> Output {
        Output::new(Style::detect(false, true, true))
    }
}
