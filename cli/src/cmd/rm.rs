//! `bore rm NAME`: take a publication back.

use bore_api::model::Publication;
use serde_json::json;

use super::shared::find;
use crate::context::Context;
use crate::error::CliResult;
use crate::link::Link;
use crate::wanted::parse_name;

/// Take a publication back.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bore rm app\n  bore rm app --all            anybody's, through the relay's API"
)]
pub(crate) struct Rm {
    /// Names
    #[arg(required = true, value_name = "NAME", value_parser = parse_name)]
    names: Vec<String>,
    /// Anybody's, through the relay's API
    #[arg(long)]
    all: bool,
}

impl Rm {
    /// Removes each.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        if self.all || context.names_network() {
            return self.through_api(context).await;
        }
        let link = Link::running(context).await?;
        for name in &self.names {
            link.withdraw(name).await?;
            removed(context, name)?;
        }
        Ok(())
    }

    async fn through_api(&self, context: &Context<'_>) -> CliResult {
        let api = context.api()?;
        let path = format!("{}/publications", context.network(&api).await?);
        let stored: Vec<Publication> = api.list(&path).await?;
        for name in &self.names {
            let publication =
                find(&stored, "publication", "bore ls --all", name, |each| (each.id, &each.name))?;
            api.delete(&format!("{path}/{}", publication.id)).await?;
            removed(context, name)?;
        }
        Ok(())
    }
}

fn removed(context: &Context<'_>, name: &str) -> CliResult {
    context.output.result("removed", &json!({ "name": name }), &format!("took {name} back"))
}
