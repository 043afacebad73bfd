//! `bore demo`: relay, agent and a small service in one process on loopback, published over HTTP, TCP and UDP.
//!
//! The parts are the real ones, with real sockets; only the folder is temporary. Each publication is visited through its public side, as
//! a stranger would, and only then called live.

mod folder;
mod origin;
mod visit;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bore_api::Code;
use bore_api::model::Protocol;
use bore_api::wire::PublicationView;
use bore_overlay::JoinKey;
use bore_relay::{InitOptions, InitSettings, Relay};
use serde_json::json;

use self::folder::TemporaryFolder;
use self::origin::Origin;
use super::publish::{declare, follow, settle};
use super::relay::failure;
use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::link::{Feed, Link};
use crate::signal::Interrupt;
use bore_agent::{Agent, Declaration, JoinOptions, StartOptions, StateFolder};

/// How long one publication may take to be proved.
const LIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long open connections may take to end.
const GRACE: Duration = Duration::from_millis(200);
/// Hostnames below it are this machine for every resolver that follows RFC 6761.
const DOMAIN: &str = "localhost";

/// Relay, agent and a service in one process on this machine.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bore demo                    stays up: open the address it prints\n  bore demo --check            verifies, says what, and exits"
)]
pub(crate) struct Demo {
    /// Exit after the verification
    #[arg(long)]
    check: bool,
}

/// What runs.
struct Stage {
    relay: Relay,
    link: Link,
    origin: Origin,
    _folder: TemporaryFolder,
}

impl Demo {
    /// Builds, verifies, and stays until Ctrl-C.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        let mut interrupt = Interrupt::listen()?;
        let stage = interrupt.or(Box::pin(Stage::build(context))).await?;
        let shown = interrupt.or(stage.show(context)).await;
        let done = match shown {
            Ok(mut feed) if !self.check => stage.stay(context, &mut feed, &mut interrupt).await,
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        stage.end().await;
        done
    }
}

impl Stage {
    async fn build(context: &Context<'_>) -> CliResult<Self> {
        let folder = TemporaryFolder::make()?;
        let origin = Origin::start()
            .await
            .map_err(|error| CliError::io("cannot start the demo's service", &error))?;
        let relay = start_relay(folder.path()).await?;
        let at = relay.addresses();
        context.output.step(
            true,
            "relay",
            &format!("overlay {}/udp, http {}", at.overlay, at.http),
        );
        let link = match start_agent(&relay, folder.path()).await {
            Ok(link) => link,
            Err(error) => {
                relay.stop(GRACE).await;
                return Err(error);
            }
        };
        context.output.step(true, "agent", "joined through the walled garden, tunnel up");
        Ok(Self { relay, link, origin, _folder: folder })
    }

    /// Publishes all three, proves each, visits each.
    async fn show(&self, context: &Context<'_>) -> CliResult<Feed> {
        let mut feed = self.link.changes().await?;
        for (name, protocol) in
            [("demo", Protocol::Http), ("demo-tcp", Protocol::Tcp), ("demo-udp", Protocol::Udp)]
        {
            let declared = declare(&self.link, self.declaration(name, protocol)).await?;
            let settled =
                settle(context.output, &mut feed, declared, context.timeout_or(LIVE_TIMEOUT))
                    .await?;
            let view = settled.demand_live()?;
            self.visit(context, &view).await?;
        }
        let verified = json!({ "publications": 3 });
        context.output.result(
            "demo_live",
            &verified,
            "live: http, tcp and udp, each visited through its public side",
        )?;
        Ok(feed)
    }

    fn declaration(&self, name: &str, protocol: Protocol) -> Declaration {
        Declaration {
            name: Some(name.to_owned()),
            any_port: protocol.has_port(),
            hostnames: (!protocol.has_port()).then(|| name.to_owned()).into_iter().collect(),
            ..Declaration::new(protocol, self.origin.address(protocol).to_string())
        }
    }

    async fn visit(&self, context: &Context<'_>, view: &PublicationView) -> CliResult {
        let publication = &view.publication;
        let port = publication.public_port.unwrap_or_else(|| self.relay.addresses().http.port());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let hostname = publication.hostnames.first().map(ToString::to_string).unwrap_or_default();
        let visit = visit::visit(publication.protocol, address, &hostname);
        match tokio::time::timeout(LIVE_TIMEOUT, visit).await {
            Ok(Ok(seen)) => {
                context.output.step(true, "visitor", &format!("{}: {seen}", view.public))
            }
            Ok(Err(cause)) => return Err(not_visited(view).cause(cause.to_string())),
            Err(_) => return Err(not_visited(view).cause("no answer in time")),
        }
        Ok(())
    }

    async fn stay(
        &self,
        context: &Context<'_>,
        feed: &mut Feed,
        interrupt: &mut Interrupt,
    ) -> CliResult {
        context.output.note("stays up until Ctrl-C");
        tokio::select! {
            ended = follow(context.output, feed, &[]) => ended,
            () = interrupt.wait() => Ok(()),
        }
    }

    async fn end(self) {
        self.link.close().await;
        self.relay.stop(GRACE).await;
    }
}

fn not_visited(view: &PublicationView) -> CliError {
    CliError::new(Code::NOT_VERIFIED, format!("{} does not answer a visitor", view.public))
}

/// A relay on loopback, every port chosen by the kernel but the public ones.
async fn start_relay(folder: &Path) -> CliResult<Relay> {
    let any = || Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let settings = InitSettings {
        host: Ipv4Addr::LOCALHOST.to_string(),
        domain: Some(DOMAIN.to_owned()),
        state: Some(folder.join("relay")),
        overlay_listen: any(),
        http_listen: any(),
        https_listen: any(),
        api_listen: any(),
        metrics_listen: any(),
        ..InitSettings::default()
    };
    let config = folder.join("relay.toml");
    let options = InitOptions { config: config.clone(), settings, new_database: false };
    let made = bore_relay::init(&options).await.map_err(|error| failure::init(&config, &error))?;
    let mut config = made.config;
    config.public_addresses = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    Relay::start(config).await.map_err(|error| failure::start(&error))
}

/// Joins with a key made now, which names the port that the kernel chose.
async fn start_agent(relay: &Relay, folder: &Path) -> CliResult<Link> {
    let key = bore_relay::first_join_key(relay.control().core()).await;
    let key = key.map_err(|refusal| CliError::wrap(Code::STORE_UNAVAILABLE, &refusal))?;
    let key = JoinKey::parse(&key).map_err(|error| CliError::wrap(Code::INTERNAL, &error))?;
    let state = StateFolder::open(&folder.join("agent"))?;
    let join = JoinOptions { key, name: "demo".to_owned(), ephemeral: true };
    let agent = Agent::start(state, StartOptions { join: Some(join), takeover: false }).await?;
    Link::connected(agent, LIVE_TIMEOUT).await
}
