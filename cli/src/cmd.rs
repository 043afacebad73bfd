//! The commands: one file each, one `run` each. What several share is in `cmd/shared.rs`.

mod audit;
mod certificate;
mod completions;
mod demo;
mod doctor;
mod domain;
mod explain;
mod group;
mod join;
mod key;
mod logs;
mod ls;
mod node;
mod policy;
mod publish;
mod relay;
mod rm;
mod run;
mod service;
mod shared;
mod status;
mod up;
mod version;

use std::process::ExitCode;

use crate::context::Context;
use crate::error::CliResult;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Relay, agent and a service in one process on this machine, live at once
    Demo(demo::Demo),
    /// Set up and run a relay
    #[command(subcommand)]
    Relay(relay::Relay),
    /// Join a relay's network and stay as its agent
    Join(join::Join),
    /// Publish a local service on the relay
    #[command(subcommand)]
    Publish(publish::Publish),
    /// Publish for as long as a command runs
    Run(run::Run),
    /// Publish what bore.toml says, and take back what it no longer says
    Up(up::Up),
    /// Take back what bore.toml says
    Down(up::Down),
    /// List publications
    Ls(ls::Ls),
    /// How agent, relay and publications are
    Status(status::Status),
    /// What happens to publications
    Logs(logs::Logs),
    /// Take a publication back
    Rm(rm::Rm),
    /// Join keys, and API keys with --api
    #[command(subcommand)]
    Key(key::Key),
    /// Named sets of nodes
    #[command(subcommand)]
    Group(group::Group),
    /// Names of your own, beside those that the relay gives
    #[command(subcommand)]
    Domain(domain::Domain),
    /// Who may publish what, and who may visit what
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Members of the network
    #[command(subcommand)]
    Node(node::Node),
    /// Certificates of hostnames, and why one is missing
    #[command(subcommand)]
    Certificate(certificate::Certificate),
    /// The trail of every change
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Find out why it does not work
    Doctor(doctor::Doctor),
    /// Run the agent as a system service
    #[command(subcommand)]
    Service(service::Service),
    /// Completions for a shell
    Completions(completions::Completions),
    /// What an error code means and what to do
    Explain(explain::Explain),
    /// Version of bore
    Version(version::Version),
}

/// Runs one command to its end.
pub(crate) async fn run(command: Command, context: &Context<'_>) -> CliResult<ExitCode> {
    let done = match command {
        Command::Run(run) => return run.run(context).await,
        Command::Demo(demo) => demo.run(context).await,
        Command::Relay(relay) => relay.run(context).await,
        Command::Join(join) => join.run(context).await,
        Command::Publish(publish) => publish.run(context).await,
        Command::Up(up) => up.run(context).await,
        Command::Down(down) => down.run(context).await,
        Command::Ls(ls) => ls.run(context).await,
        Command::Status(status) => status.run(context).await,
        Command::Logs(logs) => logs.run(context).await,
        Command::Rm(rm) => rm.run(context).await,
        Command::Key(key) => key.run(context).await,
        Command::Group(group) => group.run(context).await,
        Command::Domain(domain) => domain.run(context).await,
        Command::Policy(policy) => policy.run(context).await,
        Command::Node(node) => node.run(context).await,
        Command::Certificate(certificate) => certificate.run(context).await,
        Command::Audit(audit) => audit.run(context).await,
        Command::Doctor(doctor) => doctor.run(context).await,
        Command::Service(service) => service.run(context),
        Command::Completions(completions) => completions.run(context),
        Command::Explain(explain) => explain.run(context),
        Command::Version(version) => version.run(context),
    };
    done.map(|()| ExitCode::SUCCESS)
}
