//! `bore publish`: from a local service to a public address, said only once it is so.

mod remote;
mod report;

use std::time::Duration;

use bore_api::model::{HealthCheck, Lifetime, Protocol};
use bore_api::wire::PublicationView;
use bore_policy::{Access, Source, Target};

use self::report::Declared;
use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::hostname::parse_hostname;
use crate::link::{Feed, Link};
use crate::options::OptionFlags;
use crate::signal::Interrupt;
use crate::wanted::{check, parse_name, parse_source, parse_target, set_port};
use bore_agent::{Declaration, check_target};

pub(super) use report::{
    announce, declare, fields, follow, follow_announced, settle, settle_all, standing,
};

/// How long a proof from outside may take before it is called missing.
pub(super) const VERIFY_TIMEOUT: Duration = Duration::from_secs(10);

/// Publish a local service on the relay.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "Examples:\n  bore 3000                                  = bore publish http 3000\n  bore publish udp 7777 --allow 10.0.0.0/8\n  bore publish tcp 192.168.1.20:22 --port 0\n  bore publish udp 27000-27050 --bg"
)]
pub(crate) enum Publish {
    /// A web service, by hostname
    #[command(
        after_help = "Examples:\n  bore publish http 3000\n  bore publish http 3000 --name app --host app\n  bore publish http 3000 --host shop.example.com --host *.shop.example.com\n  bore publish http unix:/run/app.sock\n  bore publish http https://192.168.1.1:8443 --insecure-origin --host-header rewrite"
    )]
    Http(Flags),
    /// A service that terminates TLS itself, by hostname: the relay passes it through unread
    #[command(
        after_help = "Examples:\n  bore publish tls 443 --name app\n  bore publish tls 8443 --host shop.example.com --host *.shop.example.com"
    )]
    Tls(Flags),
    /// A TCP port, or a range of ports
    #[command(
        after_help = "Examples:\n  bore publish tcp 22 --port 2222\n  bore publish tcp 192.168.1.20:22 --port 0 --allow 203.0.113.0/24"
    )]
    Tcp(Flags),
    /// A UDP port, or a range of ports
    #[command(
        after_help = "Examples:\n  bore publish udp 7777 --allow 10.0.0.0/8\n  bore publish udp 27000-27050"
    )]
    Udp(Flags),
}

/// What and how.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Flags {
    /// 3000, HOST:PORT, 27000-27050, unix:/path; http also https://HOST:PORT and h2c://HOST:PORT
    #[arg(value_parser = parse_target)]
    target: Target,
    /// Name of the publication, a DNS label [default: one that the relay finds]
    #[arg(long, value_parser = parse_name)]
    name: Option<String>,
    /// Public port, 0 for any free one [default: the target's own]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Hostname, its first label below the relay's domain, or *.NAME under a domain of yours (http, tls; repeatable) [default: the name]
    #[arg(long, value_name = "NAME", value_parser = parse_hostname)]
    host: Vec<String>,
    /// These visitors and nobody else: a network, an address, overlay, group:NAME (repeatable)
    #[arg(long, value_name = "WHO", value_parser = parse_source)]
    allow: Vec<Source>,
    /// Not these visitors, also where --allow names them (repeatable)
    #[arg(long, value_name = "WHO", value_parser = parse_source)]
    deny: Vec<Source>,
    /// Take any certificate of an https:// target
    #[arg(long)]
    insecure_origin: bool,
    #[command(flatten)]
    options: OptionFlags,
    /// Leave it to the running agent and return; it stays until `bore rm NAME`
    #[arg(long)]
    bg: bool,
    /// Fail unless it is proved from outside in time (exit code 7 or 8)
    #[arg(long, conflicts_with = "no_wait")]
    wait: bool,
    /// Do not wait for the proof from outside
    #[arg(long)]
    no_wait: bool,
    /// Take the name over from another node
    #[arg(long)]
    replace: bool,
    /// On this WireGuard node, through the relay's API; the target is a port of it
    #[arg(long, value_name = "NAME", conflicts_with_all = ["bg", "wait", "no_wait"])]
    node: Option<String>,
}

impl Publish {
    /// Publishes; in the foreground it stays until Ctrl-C, takes everything back, and that is exit code 0.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        let (protocol, flags) = match self {
            Self::Http(flags) => (Protocol::Http, flags),
            Self::Tls(flags) => (Protocol::Tls, flags),
            Self::Tcp(flags) => (Protocol::Tcp, flags),
            Self::Udp(flags) => (Protocol::Udp, flags),
        };
        let declaration = flags.declaration(protocol)?;
        if let Some(node) = &flags.node {
            return remote::publish(context, node, declaration, &flags.target).await;
        }
        let mut interrupt = Interrupt::listen()?;
        let health = declaration.options.health.effective(protocol, flags.target.port_count());
        try_target(context, protocol, &flags.dialled()?, &health).await;
        if flags.bg {
            return interrupt.or(flags.in_background(context, declaration)).await;
        }
        flags.in_foreground(context, declaration, &mut interrupt).await
    }
}

impl Flags {
    /// What is dialled, with what was said about its certificate.
    fn dialled(&self) -> CliResult<Target> {
        if !self.insecure_origin {
            return Ok(self.target.clone());
        }
        let verified = || CliError::usage("--insecure-origin is for https:// targets");
        self.target.unverified().ok_or_else(verified)
    }

    fn declaration(&self, protocol: Protocol) -> CliResult<Declaration> {
        let target = self.dialled()?;
        if self.node.is_some() && self.options.rewrites_host() {
            let what = "only an agent knows what its target is called: name it, as in --host-header app.local";
            return Err(CliError::usage(what));
        }
        let mut declaration = Declaration {
            name: self.name.clone(),
            hostnames: self.host.clone(),
            access: Access { allow: self.allow.clone(), deny: self.deny.clone() },
            lifetime: if self.bg { Lifetime::Persistent } else { Lifetime::Session },
            replace: self.replace,
            ..Declaration::new(protocol, target.to_string())
        };
        self.options.apply(&mut declaration, &target);
        set_port(&mut declaration, self.port);
        check(&declaration, &target).map_err(CliError::usage)?;
        Ok(declaration)
    }

    async fn in_background(&self, context: &Context<'_>, declaration: Declaration) -> CliResult {
        let link = Link::running(context).await?;
        let mut changes = link.changes().await?;
        let declared = declare(&link, declaration).await?;
        self.show(context, &mut changes, declared).await?;
        context.output.note("the agent keeps it; bore ls shows it, bore rm takes it back");
        Ok(())
    }

    async fn in_foreground(
        &self,
        context: &Context<'_>,
        declaration: Declaration,
        interrupt: &mut Interrupt,
    ) -> CliResult {
        let link = interrupt.or(Link::open(context)).await?;
        let stayed = self.stay(context, &link, declaration, interrupt).await;
        // An agent of our own takes its publications back as it ends.
        link.close().await;
        stayed
    }

    async fn stay(
        &self,
        context: &Context<'_>,
        link: &Link,
        declaration: Declaration,
        interrupt: &mut Interrupt,
    ) -> CliResult {
        let opened = async {
            let changes = link.changes().await?;
            let declared = declare(link, declaration).await?;
            let hold = link.hold(&declared.view.publication.name).await?;
            Ok((changes, declared, hold))
        };
        let (mut changes, declared, _hold) = interrupt.or(opened).await?;
        let name = declared.view.publication.name.clone();
        let shown_and_followed = async {
            let view = self.show(context, &mut changes, declared).await?;
            follow_announced(context.output, &mut changes, &view).await
        };
        // From here on it is published: an interrupt takes it back, and that is a good end.
        let ended = tokio::select! {
            ended = shown_and_followed => ended,
            () = interrupt.wait() => Ok(()),
        };
        ended?;
        link.withdraw(&name).await?;
        context.output.note(&format!("took {name} back"));
        Ok(())
    }

    /// Prints the result as soon as it is reachable, then the proof.
    async fn show(
        &self,
        context: &Context<'_>,
        changes: &mut Feed,
        declared: Declared,
    ) -> CliResult<PublicationView> {
        if self.no_wait {
            announce(context.output, &declared.view)?;
            return Ok(declared.view);
        }
        let limit = context.timeout_or(VERIFY_TIMEOUT);
        let settled = settle(context.output, changes, declared, limit).await?;
        if self.wait { settled.demand_live() } else { Ok(settled.view) }
    }
}

/// Says at once what the relay would find out later. A dead target is published all the same: it may come.
async fn try_target(
    context: &Context<'_>,
    protocol: Protocol,
    target: &Target,
    health: &HealthCheck,
) {
    match check_target(protocol, target, health).await {
        Ok(found) => context.output.step(true, "local", &found.detail),
        Err(error) => {
            context.output.step(false, "local", &format!("{error} ({})", error.code()));
            context
                .output
                .note(&format!("  try: {}; it is published all the same", error.next_step()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_background_publication_is_persistent_and_a_foreground_one_is_not() {
        let flags = flags("3000");
        assert_eq!(flags.declaration(Protocol::Http).unwrap().lifetime, Lifetime::Session);
        let bg = Flags { bg: true, ..flags };
        assert_eq!(bg.declaration(Protocol::Http).unwrap().lifetime, Lifetime::Persistent);
    }

    #[test]
    fn a_port_for_http_is_refused_before_anything_is_sent() {
        let flags = Flags { port: Some(80), ..flags("3000") };
        let error = flags.declaration(Protocol::Http).unwrap_err();
        assert_eq!((error.code(), error.exit().number()), ("B1001", 2));
    }

    fn flags(target: &str) -> Flags {
        Flags {
            target: Target::parse(target).unwrap(),
            name: None,
            port: None,
            host: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            insecure_origin: false,
            options: OptionFlags::default(),
            bg: false,
            wait: false,
            no_wait: false,
            replace: false,
            node: None,
        }
    }
}
