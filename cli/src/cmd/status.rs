//! `bore status`: the agent of this machine, its relay, and what it publishes.

use super::publish::standing;
use super::shared::agent_line;
use crate::context::Context;
use crate::error::CliResult;
use crate::link::Link;

/// How agent, relay and publications are.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  bore status\n  bore status --json")]
pub(crate) struct Status {}

impl Status {
    /// Prints it.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        let link = Link::running(context).await?;
        let status = link.status().await?;
        let mut lines = vec![agent_line(&status)];
        lines.extend(status.unsaved.iter().map(|cause| format!("  not saved: {cause}")));
        lines.extend(
            status.publications.iter().map(|view| format!("  {}  {}", standing(view), view.public)),
        );
        context.output.result("status", &status, &lines.join("\n"))
    }
}
