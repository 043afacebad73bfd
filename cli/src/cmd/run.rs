//! `bore run -- CMD`: publish for as long as a command runs, as in a CI job. Its exit code is the command's.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

use bore_api::Code;
use bore_api::model::{Lifetime, Protocol};
use bore_api::wire::PublicationView;
use bore_policy::Target;
use tokio::process::Command;

use super::publish::announce;
use super::up::load_project;
use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::link::Link;
use crate::open_files::with_first_limit;
use crate::signal::Interrupt;
use crate::wanted::{check, parse_target};
use bore_agent::Declaration;

/// Publish for as long as a command runs.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The command finds the first address in BORE_URL, and each in BORE_URL_NAME.\n\nExamples:\n  bore run --http 3000 -- npm run e2e\n  bore run -- make test        publishes what bore.toml says"
)]
pub(crate) struct Run {
    /// Publish this as http (repeatable)
    #[arg(long, value_name = "TARGET", value_parser = parse_target)]
    http: Vec<Target>,
    /// Publish this as tls, passed through unread (repeatable)
    #[arg(long, value_name = "TARGET", value_parser = parse_target)]
    tls: Vec<Target>,
    /// Publish this as tcp, on any free port (repeatable)
    #[arg(long, value_name = "TARGET", value_parser = parse_target)]
    tcp: Vec<Target>,
    /// Publish this as udp, on any free port (repeatable)
    #[arg(long, value_name = "TARGET", value_parser = parse_target)]
    udp: Vec<Target>,
    /// A file of publications [default: bore.toml, where no flag names any]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The command
    #[arg(required = true, last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl Run {
    /// Publishes, runs, takes back.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult<ExitCode> {
        let declarations = self.declarations()?;
        let mut interrupt = Interrupt::listen()?;
        let link = interrupt.or(Link::open(context)).await?;
        let ended = self.publish_and_run(context, &link, declarations, &mut interrupt).await;
        link.close().await;
        ended.map(exit_code)
    }

    fn declarations(&self) -> CliResult<Vec<Declaration>> {
        let groups = [
            (Protocol::Http, &self.http),
            (Protocol::Tls, &self.tls),
            (Protocol::Tcp, &self.tcp),
            (Protocol::Udp, &self.udp),
        ];
        let targets = groups
            .into_iter()
            .flat_map(|(protocol, targets)| targets.iter().map(move |target| (protocol, target)));
        let mut declarations = targets
            .map(|(protocol, target)| declare(protocol, target))
            .collect::<CliResult<Vec<_>>>()?;
        if declarations.is_empty() || self.file.is_some() {
            let (_, file) = load_project(self.file.as_deref())?;
            declarations.extend(
                file.publish
                    .into_iter()
                    .map(|each| Declaration { lifetime: Lifetime::Session, ..each }),
            );
        }
        Ok(declarations)
    }

    async fn publish_and_run(
        &self,
        context: &Context<'_>,
        link: &Link,
        declarations: Vec<Declaration>,
        interrupt: &mut Interrupt,
    ) -> CliResult<ExitStatus> {
        let mut views = Vec::new();
        let mut holds = Vec::new();
        for declaration in declarations {
            let view = interrupt.or(link.declare(declaration)).await?;
            holds.push(link.hold(&view.publication.name).await?);
            announce(context.output, &view)?;
            views.push(view);
        }
        let status = self.spawn(&views, interrupt).await;
        for view in &views {
            link.withdraw(&view.publication.name).await?;
        }
        status
    }

    /// Ctrl-C reaches the command by itself, as it is in the same process group; bore waits for what it makes of it. A terminating
    /// signal that only bore got is passed on by ending the command.
    async fn spawn(
        &self,
        views: &[PublicationView],
        interrupt: &mut Interrupt,
    ) -> CliResult<ExitStatus> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(CliError::usage("no command after --"));
        };
        let mut command = Command::new(program);
        command.args(arguments).envs(environment(views)).kill_on_drop(true);
        let failed = |error: std::io::Error| {
            let name = program.to_string_lossy();
            CliError::new(Code::COMMAND_NOT_STARTED, format!("cannot start {name}"))
                .cause(error.to_string())
        };
        let mut child = with_first_limit(|| command.spawn()).map_err(failed)?;
        tokio::select! {
            ended = child.wait() => return ended.map_err(failed),
            () = interrupt.wait() => {}
        }
        match tokio::time::timeout(LAST_WORDS, child.wait()).await {
            Ok(ended) => ended.map_err(failed),
            Err(_) => Err(CliError::interrupted()),
        }
    }
}

/// How long the command may take to end after Ctrl-C.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(10);

fn declare(protocol: Protocol, target: &Target) -> CliResult<Declaration> {
    let declaration = Declaration {
        any_port: protocol.has_port(),
        ..Declaration::new(protocol, target.to_string())
    };
    check(&declaration, target).map_err(CliError::usage)?;
    Ok(declaration)
}

fn environment(views: &[PublicationView]) -> Vec<(String, String)> {
    let first = views.first().map(|view| ("BORE_URL".to_owned(), view.public.clone()));
    let named = views.iter().map(|view| {
        let name = view.publication.name.to_ascii_uppercase().replace('-', "_");
        (format!("BORE_URL_{name}"), view.public.clone())
    });
    first.into_iter().chain(named).collect()
}

/// As a shell has it: 128 and the signal for a command that a signal ended.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::view;

    #[test]
    fn the_command_finds_addresses_in_its_environment() {
        let views = [view("my-app", Protocol::Tcp)];
        let address = "tcp://203.0.113.5:7777".to_owned();
        let expected =
            [("BORE_URL".to_owned(), address.clone()), ("BORE_URL_MY_APP".to_owned(), address)];
        assert_eq!(environment(&views), expected);
    }

    #[test]
    fn ports_of_a_job_are_any_free_ones() {
        let target = Target::parse("22").unwrap();
        assert!(declare(Protocol::Tcp, &target).unwrap().any_port);
        assert!(!declare(Protocol::Http, &target).unwrap().any_port);
    }

    #[test]
    fn a_command_ended_by_a_signal_has_the_shells_code() {
        assert_eq!(exit_code(ExitStatus::from_raw(9)), ExitCode::from(137));
        assert_eq!(exit_code(ExitStatus::from_raw(3 << 8)), ExitCode::from(3));
    }
}
