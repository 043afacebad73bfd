//! `bore relay`: set up, run, look at, drain, save and restore the relay of this machine.

mod backup;
mod dns;
pub(super) mod failure;
mod init;

use std::path::PathBuf;
use std::time::Duration;

use bore_api::Code;
use bore_api::state::RelayInfo;
use bore_api::wire::Health;
use bore_relay::Config;
use serde_json::json;

use crate::context::{Context, relay_configs, user_folder};
use crate::duration::parse_duration;
use crate::error::{CliError, CliResult};
use crate::owner::become_owner_of;
use crate::signal::{self, Interrupt};
use crate::systemd;

/// Set up and run a relay.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "Examples:\n  bore relay init --host 203.0.113.5\n  bore relay init --domain t.example.org --host relay.example.org --dns built-in --run\n  bore relay run\n  sudo bore relay install"
)]
pub(crate) enum Relay {
    /// Make keys, configuration and a first join key
    #[command(
        after_help = "Examples:\n  bore relay init --host 203.0.113.5\n  bore relay init --domain t.example.org --host relay.example.org --dns built-in --run"
    )]
    Init(Box<init::Init>),
    /// Run in the foreground
    #[command(
        after_help = "Examples:\n  bore relay run\n  bore relay run --config /etc/bore/relay.toml\n\nSIGINT and SIGTERM drain and end it, a second one at once; SIGHUP reads certificate files again."
    )]
    Run(Run),
    /// Run as a system service: user, systemd unit, CAP_NET_BIND_SERVICE only
    #[command(after_help = "Examples:\n  bore relay install --print\n  sudo bore relay install")]
    Install(Install),
    /// How the relay is
    Status,
    /// Close the public TCP and UDP ports, take no new publications, and tell agents
    Drain,
    /// Take a drain back: open the public ports again
    Undrain,
    /// Seal keys and accounts in the database anew with another key; the relay must be stopped
    #[command(after_help = "Examples:\n  bore relay rotate-sealing-key")]
    RotateSealingKey(RotateSealingKey),
    /// Write a consistent copy of keys, configuration and embedded database into a new folder
    #[command(after_help = "Examples:\n  bore relay backup /srv/backup/bore-monday")]
    Backup(backup::Backup),
    /// Put a backup in the place of a relay that is not there
    #[command(after_help = "Examples:\n  bore relay restore /srv/backup/bore-monday")]
    Restore(backup::Restore),
}

/// Which configuration.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ConfigFlag {
    /// The relay's configuration [default: /etc/bore/relay.toml, else ~/.config/bore/relay.toml]
    #[arg(long, value_name = "FILE", env = "BORE_RELAY_CONFIG")]
    config: Option<PathBuf>,
}

/// `bore relay run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    config: ConfigFlag,
    /// How long open connections may take to end after Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "5s")]
    grace: Duration,
}

/// `bore relay rotate-sealing-key`.
#[derive(Debug, clap::Args)]
pub(crate) struct RotateSealingKey {
    #[command(flatten)]
    config: ConfigFlag,
}

/// `bore relay install`.
#[derive(Debug, clap::Args)]
pub(crate) struct Install {
    #[command(flatten)]
    config: ConfigFlag,
    /// Print the unit and change nothing
    #[arg(long)]
    print: bool,
}

impl Relay {
    /// Does one of them.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        match self {
            Self::Init(init) => Box::pin(init.run(context)).await,
            Self::Run(run) => run.run(context).await,
            Self::Install(install) => install.run(context).await,
            Self::Status => status(context).await,
            Self::Drain => drain(context).await,
            Self::Undrain => undrain(context).await,
            Self::RotateSealingKey(rotate) => rotate.run(context).await,
            Self::Backup(backup) => backup.run(context).await,
            Self::Restore(restore) => restore.run(context),
        }
    }
}

impl ConfigFlag {
    /// The file named, else the first that exists.
    fn existing(&self) -> CliResult<PathBuf> {
        let candidates = self.config.clone().map_or_else(relay_configs, |path| vec![path]);
        candidates.iter().find(|path| path.exists()).cloned().ok_or_else(|| {
            let looked: Vec<_> = candidates.iter().map(|path| path.display().to_string()).collect();
            CliError::new(
                Code::NO_RELAY_HERE,
                format!("there is no relay configuration at {}", looked.join(" or ")),
            )
        })
    }

    /// The file named, else where a new one goes for this user.
    fn for_new(&self) -> PathBuf {
        let of_user = || user_folder().filter(|_| !rustix::process::geteuid().is_root());
        let of_user = || of_user().map(|folder| folder.join("relay.toml"));
        self.config
            .clone()
            .or_else(of_user)
            .unwrap_or_else(|| PathBuf::from("/etc/bore/relay.toml"))
    }

    fn load(&self) -> CliResult<Config> {
        let path = self.existing()?;
        Config::load(&path).map_err(|errors| failure::config(&path, &errors))
    }
}

impl Run {
    async fn run(self, context: &Context<'_>) -> CliResult {
        run(context, self.config.load()?, self.grace).await
    }
}

/// Runs a relay until it is told to stop.
async fn run(context: &Context<'_>, config: Config, grace: Duration) -> CliResult {
    let mut interrupt = Interrupt::listen_in_relay(grace)?;
    let mut hangup = signal::reload()?;
    let mut relay =
        bore_relay::Relay::start(config).await.map_err(|error| failure::start(&error))?;
    let at = relay.addresses();
    let fields = json!({
        "overlay": at.overlay, "http": at.http, "api": at.api, "metrics": at.metrics, "dns": at.dns,
    });
    let dns = at.dns.map(|dns| format!(", dns {dns}")).unwrap_or_default();
    let text = format!(
        "relay runs: overlay {}/udp, http {}, api {}, metrics {}{dns}",
        at.overlay, at.http, at.api, at.metrics
    );
    context.output.tell("relay_running", &fields, &text);
    loop {
        tokio::select! {
            () = relay.wait() => return Err(CliError::new(Code::INTERNAL, "the relay ended by itself")),
            () = interrupt.wait() => break,
            _ = hangup.recv() => relay.reload(),
        }
    }
    context.output.note("stopping: open connections may end");
    relay.stop(grace).await;
    Ok(())
}

impl RotateSealingKey {
    async fn run(self, context: &Context<'_>) -> CliResult {
        let config = self.config.load()?;
        become_owner_of(&config.state)?;
        let rotated = bore_relay::rotate_sealing_key(&config)
            .await
            .map_err(|error| failure::sealing_key(&error))?;
        let text = format!("{} secrets are sealed with the key {}", rotated.secrets, rotated.key);
        let fields = json!({ "secrets": rotated.secrets, "key": rotated.key });
        context.output.result("sealing_key_rotated", &fields, &text)?;
        if let Some(next) = rotated.next {
            context.output.note(next);
        }
        Ok(())
    }
}

impl Install {
    async fn run(self, context: &Context<'_>) -> CliResult {
        let config =
            self.config.config.clone().unwrap_or_else(|| PathBuf::from("/etc/bore/relay.toml"));
        let unit = systemd::relay(&systemd::program()?, &config);
        if self.print {
            return context.output.result(
                "unit",
                &json!({ "name": unit.name, "text": unit.text }),
                unit.text.trim_end(),
            );
        }
        systemd::demand_root("relay install")?;
        let settings = Config::load(&config).map_err(|errors| failure::config(&config, &errors))?;
        unit.install(context.output, |output| {
            systemd::give_to_user(&settings.state, systemd::RELAY_USER)?;
            output.step(true, "state", &settings.state.display().to_string());
            Ok(())
        })?;
        demand_running(context, &settings, unit.name).await?;
        context.output.result(
            "installed",
            &json!({ "unit": unit.name }),
            "the relay runs, and starts with the machine",
        )
    }
}

/// systemd knows that a program was started; only the relay can say that it runs.
async fn demand_running(context: &Context<'_>, relay: &Config, unit: &str) -> CliResult {
    let api = context.api_of(relay)?;
    let answered = async {
        while api.get::<Health>("/v1/health").await.is_err() {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    tokio::time::timeout(START_TIMEOUT, answered).await.map_err(|_| {
        let error = CliError::new(Code::SYSTEM_COMMAND, "the relay is installed, and does not run");
        error
            .cause(systemd::last_line(unit))
            .next(format!("journalctl -u {unit}; once it is mended: systemctl restart {unit}"))
    })
}

async fn status(context: &Context<'_>) -> CliResult {
    let health: Health = context.api_without_key()?.get("/v1/health").await?;
    let info: RelayInfo = context.api()?.get("/v1/relay").await?;
    let state = if info.draining { "draining" } else { "running" };
    let text = format!(
        "{} {state}, bore {}, store {} ({})",
        info.host, info.version, health.store, health.database
    );
    context.output.result("relay_status", &json!({ "health": health, "relay": info }), &text)
}

async fn drain(context: &Context<'_>) -> CliResult {
    context.api()?.command("/v1/relay/drain").await?;
    context.output.result(
        "relay_draining",
        &json!({}),
        "draining: public TCP and UDP ports are closed, no new publication is taken, agents are told; web requests go on until the relay stops; \
         bore relay undrain takes it back",
    )
}

async fn undrain(context: &Context<'_>) -> CliResult {
    context.api()?.command("/v1/relay/undrain").await?;
    context.output.result("relay_running_again", &json!({}), "public ports open again")
}

/// A first start makes keys and a database.
const START_TIMEOUT: Duration = Duration::from_secs(15);
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
