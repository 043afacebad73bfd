//! `bore relay init`: the relay's keys and configuration, and the line that joins the first machine.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bore_relay::dns::records::Wanted;
use bore_relay::{Config, InitOptions, InitSettings, Initialised};
use serde_json::json;

use super::{ConfigFlag, dns, failure};
use crate::context::Context;
use crate::error::{CliError, CliResult};

/// `bore relay init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// Public name or address of this machine [default: the domain]
    #[arg(long, value_name = "NAME", required_unless_present = "domain")]
    host: Option<String>,
    /// Domain under which hostnames are given out; its wildcard must point here, or its NS record with --dns built-in
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Who answers for the domain: this relay, which one NS record then delegates to
    #[arg(long, value_name = "PROVIDER", requires = "domain")]
    dns: Option<Provider>,
    /// Where it answers [default: [::]:53]
    #[arg(long, value_name = "ADDRESS", requires = "dns")]
    dns_listen: Option<SocketAddr>,
    /// Directory of the CA that certificates come from [default: Let's Encrypt]
    #[arg(long, value_name = "URL")]
    acme_directory: Option<String>,
    /// Mail address for the CA
    #[arg(long, value_name = "ADDRESS")]
    acme_contact: Option<String>,
    /// Roots, PEM, to trust beside the machine's when the CA is asked
    #[arg(long, value_name = "FILE")]
    acme_ca_file: Option<PathBuf>,
    /// Run it here at once, as relay run does
    #[arg(long)]
    run: bool,
    /// Wait until the DNS records are there [default: on a terminal]
    #[arg(long, overrides_with = "no_wait")]
    wait: bool,
    /// Do not wait for them
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    config: ConfigFlag,
    /// Folder for keys and database
    #[arg(long, value_name = "DIR")]
    relay_state: Option<PathBuf>,
    /// Make a new, empty database for a relay whose database is lost; all its nodes have to join again
    #[arg(long)]
    new_database: bool,
    /// Overlay socket (UDP) [default: [::]:443]
    #[arg(long, value_name = "ADDRESS")]
    overlay_listen: Option<SocketAddr>,
    /// Shared port of http publications [default: [::]:80]
    #[arg(long, value_name = "ADDRESS")]
    http_listen: Option<SocketAddr>,
    /// Shared port of HTTPS [default: [::]:443]
    #[arg(long, value_name = "ADDRESS")]
    https_listen: Option<SocketAddr>,
    /// REST API [default: 127.0.0.1:7400]
    #[arg(long, value_name = "ADDRESS")]
    api_listen: Option<SocketAddr>,
    /// Metrics [default: 127.0.0.1:7401]
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
    /// File with the postgres:// URL of a database, - for standard input [default: embedded]
    #[arg(long, value_name = "FILE")]
    database_url_file: Option<PathBuf>,
}

/// Who answers for the domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Provider {
    /// This relay.
    BuiltIn,
}

impl Init {
    /// Sets up, or makes another join key where a relay exists.
    pub(super) async fn run(self, context: &Context<'_>) -> CliResult {
        // The configuration holds no secret, and the service that reads it is not root.
        crate::systemd::open_to_services();
        let wait = self.wait || (!self.no_wait && std::io::stderr().is_terminal());
        let run = self.run;
        let options = self.options()?;
        let made = bore_relay::init(&options)
            .await
            .map_err(|error| failure::init(&options.config, &error))?;
        let wanted = Wanted::of(&made.config);
        let fields = json!({
            "join_key": made.join_key,
            "config": options.config,
            "admin_key_file": made.admin_key,
            "existed": made.existed,
            "dns_records": dns::fields(&wanted),
        });
        context.output.result("relay_initialised", &fields, &made.join_key)?;
        context.output.note(&notes(&options, &made, &wanted, run));
        let waits = wait && !wanted.records().is_empty();
        match (run, waits) {
            (true, true) => run_and_tell(context, made.config, &wanted).await,
            (true, false) => super::run(context, made.config, GRACE).await,
            (false, true) => dns::wait(context, &wanted).await,
            (false, false) => Ok(()),
        }
    }

    fn options(self) -> CliResult<InitOptions> {
        let config = self.config.for_new();
        let database_url =
            self.database_url_file.as_deref().map(crate::secret::Secret::read).transpose()?;
        let host = self.host.or_else(|| self.domain.clone());
        let settings = InitSettings {
            host: host.ok_or_else(|| CliError::usage("--host or --domain is needed"))?,
            domain: self.domain,
            state: self.relay_state.or_else(|| beside(&config)),
            overlay_listen: self.overlay_listen,
            http_listen: self.http_listen,
            https_listen: self.https_listen,
            api_listen: self.api_listen,
            metrics_listen: self.metrics_listen,
            database_url: database_url.map(|url| url.expose().to_owned()),
            built_in_dns: self.dns == Some(Provider::BuiltIn),
            dns_listen: self.dns_listen,
            acme_directory: self.acme_directory,
            acme_contact: self.acme_contact,
            acme_ca_file: self.acme_ca_file,
        };
        Ok(InitOptions { config, settings, new_database: self.new_database })
    }
}

/// An ordinary user cannot write below /var/lib: the state goes beside their configuration.
fn beside(config: &std::path::Path) -> Option<PathBuf> {
    let user = !rustix::process::geteuid().is_root();
    config.parent().filter(|_| user).map(|folder| folder.join("relay"))
}

/// The relay does not wait for its records, and goes on without them.
async fn run_and_tell(context: &Context<'_>, config: Config, wanted: &Wanted) -> CliResult {
    let telling = async {
        if let Err(error) = dns::tell_until_right(context, wanted, true).await {
            context.output.warn(&format!("the DNS records are looked at no more: {error}"));
        }
        std::future::pending().await
    };
    tokio::select! {
        ended = super::run(context, config, GRACE) => ended,
        never = telling => never,
    }
}

fn notes(options: &InitOptions, made: &Initialised, wanted: &Wanted, runs: bool) -> String {
    let config = &made.config;
    let head =
        if made.existed { existing(options, config) } else { "the relay is set up".to_owned() };
    let run = format!(
        "  bore relay run --config {}     (or: sudo bore relay install)",
        options.config.display()
    );
    let lines = [
        head,
        format!(
            "  configuration {}, keys and database {}",
            options.config.display(),
            config.state.display()
        ),
        format!("open to the world: {}", ports(config)),
        dns::text(config, wanted),
        if runs { String::new() } else { format!("next, here:\n{run}") },
        "on the machine with the service, with the key above (one machine, one day):".to_owned(),
        "  bore join -          (then paste the key)".to_owned(),
        "  bore 3000".to_owned(),
    ];
    lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// What is said of a relay that exists: flags change nothing of it.
fn existing(options: &InitOptions, config: &Config) -> String {
    let head = "this relay exists: nothing was replaced, the key above is a new one";
    let unlike = options.settings.unlike(config);
    if unlike.is_empty() {
        return head.to_owned();
    }
    format!(
        "{head}\nnot changed, edit {} and start the relay again for: {}",
        options.config.display(),
        unlike.join(", ")
    )
}

/// How long open connections may take to end after Ctrl-C.
const GRACE: Duration = Duration::from_secs(5);

fn ports(config: &Config) -> String {
    let (first, last) = (config.public_ports.start(), config.public_ports.end());
    let dns = if dns::is_built_in(config) { ", 53/udp and 53/tcp (dns)" } else { "" };
    format!(
        "{}/udp (overlay), {}/tcp (http), {}/tcp (https){dns}, {first}-{last} tcp and udp (publications)",
        config.overlay_listen.port(),
        config.http_listen.port(),
        config.https_listen.port()
    )
}
