//! `bore join`: make this machine a node, and be its agent for as long as the command runs.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::publish::follow;
use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::link::Link;
use crate::secret::Secret;
use crate::signal::Interrupt;
use crate::wanted::parse_name;
use bore_agent::{Agent, JoinOptions, StartOptions, StateFolder};
use bore_api::Code;
use bore_api::printable;
use bore_overlay::{JoinKey, JoinKeyError};

/// Join a relay's network and stay as its agent.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bore join --key-file key.txt\n  bore join - < key.txt\n  bore join                    joined before: runs the agent\n  bore join --takeover         this machine, and no other with its identity\n\nSIGINT, SIGTERM and a terminal that closes (SIGHUP, unless under nohup) end it in order; a second one at once."
)]
pub(crate) struct Join {
    /// - reads the key from standard input
    #[arg(value_name = "-", value_parser = ["-"], conflicts_with_all = ["key", "key_file"])]
    stdin: Option<String>,
    /// The join key itself; others on this machine can see it in the process list
    #[arg(long, value_name = "KEY", conflicts_with = "key_file")]
    key: Option<String>,
    /// File with the join key
    #[arg(long, value_name = "FILE", env = "BORE_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// Name of this node, a DNS label [default: the host's name]
    #[arg(long, value_parser = parse_name)]
    name: Option<String>,
    /// Forget this node once it has been away for a while
    #[arg(long)]
    ephemeral: bool,
    /// Replace another agent that runs with this identity
    #[arg(long)]
    takeover: bool,
}

impl Join {
    /// Joins, or goes on where it joined before; ends with Ctrl-C (0), or with the agent.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        let folder = StateFolder::open(&context.state()?)?;
        let joined = folder.has_joined()?;
        let key = self.join_key(context, joined)?;
        let mut interrupt = Interrupt::listen()?;
        let link = tokio::select! {
            link = self.start(context, folder, key, joined) => link?,
            // An agent that waits for its network has nothing open.
            () = interrupt.wait() => return if joined { Ok(()) } else { Err(CliError::interrupted()) },
        };
        let ran = self.stay(context, &link, &mut interrupt).await;
        link.close().await;
        ran
    }

    /// The key, checked offline; `None` where the machine has joined and none is given.
    fn join_key(&self, context: &Context<'_>, joined: bool) -> CliResult<Option<JoinKey>> {
        let secret = if let Some(key) = &self.key {
            context.output.warn("a key on the command line can be seen by others on this machine; --key-file FILE or - cannot");
            Secret::new(key)
        } else if self.stdin.is_some() {
            pasted(context)?
        } else if let Some(path) = &self.key_file {
            Secret::read(path)?
        } else if joined {
            return Ok(None);
        } else {
            Secret::ask("join key", context.no_input(), context.output)?
        };
        parse_key(&secret).map(Some)
    }

    async fn start(
        &self,
        context: &Context<'_>,
        folder: StateFolder,
        key: Option<JoinKey>,
        joined: bool,
    ) -> CliResult<Link> {
        let name = || self.name.clone().unwrap_or_else(host_label);
        let options = || StartOptions {
            join: key.clone().map(|key| JoinOptions {
                key,
                name: name(),
                ephemeral: self.ephemeral,
            }),
            takeover: self.takeover,
        };
        if joined && context.timeout().is_none() {
            let agent = started_some_time(context, &folder, options).await?;
            return connected_some_time(context, agent).await;
        }
        let agent = Agent::start(folder, options()).await?;
        Link::connected(agent, context.timeout_or(CONNECT_TIMEOUT)).await
    }

    async fn stay(
        &self,
        context: &Context<'_>,
        link: &Link,
        interrupt: &mut Interrupt,
    ) -> CliResult {
        let mut changes = link.changes().await?;
        let status = link.status().await?;
        let text = format!(
            "joined {} as {} ({}), relay {}",
            status.network, status.name, status.overlay_v4, status.relay
        );
        context.output.tell("joined", &status, &text);
        if let Some(wanted) = self.name.as_ref().filter(|wanted| **wanted != status.name) {
            let name = &status.name;
            context.output.note(&format!(
                "this node is not called {wanted}: another node is, a rule speaks of that name, or this machine joined before as {name}; \
                 an administrator gives it: bore node rename {name} {wanted}"
            ));
        }
        context
            .output
            .note("this machine is a node while this runs; in another terminal: bore 3000");
        tokio::select! {
            ended = follow(context.output, &mut changes, &[]) => ended,
            () = interrupt.wait() => Ok(()),
        }
    }
}

/// The key on standard input; at a terminal it is asked for, and not shown.
fn pasted(context: &Context<'_>) -> CliResult<Secret> {
    if std::io::stdin().is_terminal() {
        return Secret::ask("join key", context.no_input(), context.output);
    }
    Secret::read(Path::new("-"))
}

/// Starts the agent of a machine that has joined, for as long as it takes: descriptors, memory or the disk may lack for a while.
async fn started_some_time(
    context: &Context<'_>,
    folder: &StateFolder,
    options: impl Fn() -> StartOptions,
) -> CliResult<Agent> {
    let mut told = false;
    loop {
        let error = match Agent::start(folder.clone(), options()).await {
            Err(error) if !error.is_final() => CliError::from(error),
            started => return Ok(started?),
        };
        if !std::mem::replace(&mut told, true) {
            let cause = error.reason().map(|cause| format!(": {cause}")).unwrap_or_default();
            let (code, text) = (error.code(), error.message());
            context.output.warn(&format!("not started yet ({code}): {text}{cause}; trying again"));
        }
        tokio::time::sleep(START_AGAIN).await;
    }
}

/// Waits for the relay for as long as it takes: a machine that has joined may start before its network does.
async fn connected_some_time(context: &Context<'_>, agent: Agent) -> CliResult<Link> {
    let mut told = false;
    loop {
        match agent.connected(CONNECT_TIMEOUT).await {
            Ok(()) => return Ok(Link::Own(agent)),
            Err(error) if error.is_final() => {
                agent.stop().await;
                return Err(error.into());
            }
            Err(error) if !std::mem::replace(&mut told, true) => {
                let text = format!("not connected yet ({}): {error}; trying again", error.code());
                context.output.warn(&printable(&text));
            }
            Err(_) => {}
        }
    }
}

/// Tells a typing mistake from a key of something else, with nothing sent.
fn parse_key(secret: &Secret) -> CliResult<JoinKey> {
    JoinKey::parse(secret.expose()).map_err(|error| {
        let mistyped = matches!(error, JoinKeyError::Truncated | JoinKeyError::Checksum);
        let code = if matches!(error, JoinKeyError::Version(_)) {
            Code::VERSION_MISMATCH
        } else if mistyped {
            Code::JOIN_KEY_MISTYPED
        } else {
            Code::NOT_A_JOIN_KEY
        };
        CliError::wrap(code, &error)
    })
}

/// This machine's name as a DNS label, `node` where nothing of it is usable.
fn host_label() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    label_of(&name)
}

fn label_of(host: &str) -> String {
    let first = host.trim().split('.').next().unwrap_or_default().to_ascii_lowercase();
    let plain: String =
        first.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let label: String = plain.trim_matches('-').chars().take(LABEL_CHARS_MAX).collect();
    let label = label.trim_end_matches('-');
    parse_name(label).unwrap_or_else(|_| "node".to_owned())
}

/// RFC 1035 §2.3.4.
const LABEL_CHARS_MAX: usize = 63;
/// How long after a start that failed the next one is tried.
const START_AGAIN: Duration = Duration::from_secs(2);
/// How long the relay may take to answer before joining is called failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_something_else_and_a_mistyped_key_are_told_apart_offline() {
        let code = |text| parse_key(&Secret::new(text)).unwrap_err().code().to_owned();
        assert_eq!(code("bore_api_x"), "B3101");
        assert_eq!(code(""), "B3101");
        assert_eq!(code("bore_join_aebagbaf"), "B3102");
    }

    #[test]
    fn any_host_name_makes_a_label() {
        assert_eq!(label_of("Annas-MacBook.local\n"), "annas-macbook");
        assert_eq!(label_of("my_host"), "my-host");
        assert_eq!(label_of("---"), "node");
        assert_eq!(label_of(&"a".repeat(80)).len(), 63);
    }
}
