//! `bore ls`: publications of this machine's agent, or, with a network named, of the whole network.

use bore_api::model::Node;
use bore_api::state::StepName;
use bore_api::wire::NodeView;
use bore_api::wire::PublicationView;

use super::publish::fields;
use crate::context::Context;
use crate::error::CliResult;
use crate::hostname::in_own_script;
use crate::link::Link;
use crate::output::Table;

/// List publications.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bore ls                      of this machine\n  bore ls --all                of the network, through the relay's API\n  bore ls --json"
)]
pub(crate) struct Ls {
    /// Everybody's, through the relay's API
    #[arg(long)]
    all: bool,
}

impl Ls {
    /// Prints the table.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        if self.all || context.names_network() {
            return list_all(context).await;
        }
        let views = Link::running(context).await?.publications().await?;
        show(context, &views, &[])
    }
}

async fn list_all(context: &Context<'_>) -> CliResult {
    let api = context.api()?;
    let network = context.network(&api).await?;
    let views: Vec<PublicationView> = api.list(&format!("{network}/publications")).await?;
    let nodes: Vec<NodeView> = api.list(&format!("{network}/nodes")).await?;
    let nodes: Vec<Node> = nodes.into_iter().map(|view| view.node).collect();
    show(context, &views, &nodes)
}

/// The address, and how many other hostnames lead there.
fn public(view: &PublicationView) -> String {
    let names = &view.publication.hostnames;
    let shown = names.iter().find(|name| view.public.contains(&format!("://{name}")));
    let script = shown.and_then(|name| in_own_script(&name.to_string()));
    let script = script.map(|name| format!(" ({name})")).unwrap_or_default();
    let more = if names.len() > 1 { format!(" +{}", names.len() - 1) } else { String::new() };
    format!("{}{script}{more}", view.public)
}

/// What was last measured of the target, and how.
fn checked(view: &PublicationView) -> String {
    let step = view.state.steps.iter().find(|step| step.name == StepName::Target);
    step.map(|step| step.detail.clone()).unwrap_or_default()
}

fn show(context: &Context<'_>, views: &[PublicationView], nodes: &[Node]) -> CliResult {
    let mut table = Table::new(["name", "state", "public", "target", "node", "cause", "checked"]);
    for view in views {
        let node = nodes.iter().find(|node| node.id == view.publication.node);
        table.row([
            view.publication.name.clone(),
            format!("{:?}", view.state.state).to_lowercase(),
            public(view),
            view.publication.target.clone(),
            node.map_or_else(|| "this one".to_owned(), |node| node.name.clone()),
            view.state.cause.clone().unwrap_or_default(),
            checked(view),
        ]);
    }
    let items: Vec<_> = views.iter().map(fields).collect();
    context.output.list("publication", &items, &table, "nothing is published: bore 3000")
}

#[cfg(test)]
mod tests {
    use bore_api::model::Protocol;
    use bore_api::state::Step;

    use super::*;
    use crate::test_support;

    #[test]
    fn an_address_shows_its_script_and_how_many_more_there_are() {
        let mut view = test_support::view("shop", Protocol::Tls);
        view.public = "tls://xn--bcher-kva.example:443".to_owned();
        view.publication.hostnames = vec!["xn--bcher-kva.example".parse().unwrap()];
        assert_eq!(public(&view), "tls://xn--bcher-kva.example:443 (bücher.example)");
        view.publication.hostnames.push("*.shop.example".parse().unwrap());
        assert_eq!(public(&view), "tls://xn--bcher-kva.example:443 (bücher.example) +1");
        assert_eq!(public(&test_support::view("ssh", Protocol::Tcp)), "tcp://203.0.113.5:7777");
    }

    #[test]
    fn what_was_measured_of_the_target_is_shown() {
        let mut view = test_support::view("ssh", Protocol::Tcp);
        assert_eq!(checked(&view), "");
        view.state.steps = vec![
            Step::held(StepName::Tunnel, "the agent answers"),
            Step::held(StepName::Target, "not checked"),
        ];
        assert_eq!(checked(&view), "not checked");
    }
}
