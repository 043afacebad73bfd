//! `bore logs`: what happens to the publications of this machine's agent.

use bore_api::Code;
use bore_api::wire::PublicationView;

use super::publish::{follow, standing};
use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::link::Link;
use crate::signal::Interrupt;
use crate::wanted::parse_name;

/// What happens to publications.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bore logs                    how each one is now\n  bore logs app --follow\n\nThe service's own log: journalctl -u bore-agent"
)]
pub(crate) struct Logs {
    /// Only these publications
    #[arg(value_name = "NAME", value_parser = parse_name)]
    names: Vec<String>,
    /// Go on with what happens, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
}

impl Logs {
    /// Prints how it is, and follows.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        let mut interrupt = Interrupt::listen()?;
        let link = Link::running(context).await?;
        let mut changes = link.changes().await?;
        let views = link.publications().await?;
        self.demand_published(context, &views)?;
        for view in views {
            let name = &view.publication.name;
            if self.names.is_empty() || self.names.contains(name) {
                context.output.result("state", &super::publish::fields(&view), &standing(&view))?;
            }
        }
        if !self.follow {
            return Ok(());
        }
        tokio::select! {
            ended = follow(context.output, &mut changes, &self.names) => ended,
            () = interrupt.wait() => Ok(()),
        }
    }

    /// A name that is not published is a mistake, unless it is waited for.
    fn demand_published(&self, context: &Context<'_>, views: &[PublicationView]) -> CliResult {
        let published = |name: &String| views.iter().any(|view| view.publication.name == *name);
        for name in self.names.iter().filter(|name| !published(name)) {
            if !self.follow {
                let error = CliError::new(
                    Code::PUBLICATION_NOT_FOUND,
                    format!("there is no publication `{name}`"),
                );
                return Err(error.next("bore ls shows what there is"));
            }
            context.output.note(&format!("{name} is not published yet"));
        }
        Ok(())
    }
}
