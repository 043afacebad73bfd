//! `bore node`: members of the network, and stock WireGuard clients among them.

mod wireguard;

use bore_api::model::NodeKind;
use bore_api::wire::{Named, NodeView};
use serde_json::json;

use super::shared::{find, listed};
use crate::api::Api;
use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::output::Table;
use crate::wanted::parse_name;

/// Members of the network.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "Examples:\n  bore node ls\n  bore node add phone --wireguard\n  bore node rename laptop desk"
)]
pub(crate) enum Node {
    /// List nodes
    Ls,
    /// Add a stock WireGuard client: prints its wg-quick file and a QR code, once
    #[command(
        after_help = "The private key is made here and sent nowhere.\n\nExamples:\n  bore node add phone --wireguard\n  bore node add nas --wireguard --out nas.conf"
    )]
    Add(wireguard::Add),
    /// Remove a node and its publications
    Rm {
        /// Name or id
        node: String,
    },
    /// Give a node another name
    Rename {
        /// Name or id
        node: String,
        /// A DNS label
        #[arg(value_parser = parse_name)]
        name: String,
    },
}

impl Node {
    /// Does one of the four.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        let api = context.api()?;
        let nodes = format!("{}/nodes", context.network(&api).await?);
        match self {
            Self::Ls => list(context, &api, &nodes).await,
            Self::Add(add) => add.run(context, &api, &nodes).await,
            Self::Rm { node } => remove(context, &api, &nodes, &node).await,
            Self::Rename { node, name } => rename(context, &api, &nodes, &node, name).await,
        }
    }
}

async fn list(context: &Context<'_>, api: &Api, path: &str) -> CliResult {
    let nodes: Vec<NodeView> = api.list(path).await?;
    let mut table = Table::new(["name", "state", "overlay", "endpoint", "kind", "groups"]);
    for NodeView { node, state, .. } in &nodes {
        table.row([
            node.name.clone(),
            if state.online { "online" } else { "offline" }.to_owned(),
            format!("{} {}", node.overlay_v4, node.overlay_v6),
            state.endpoint.map_or_else(|| "-".to_owned(), |endpoint| endpoint.to_string()),
            kind(node.kind).to_owned(),
            listed(&node.groups),
        ]);
    }
    context.output.list(
        "node",
        &nodes,
        &table,
        "no nodes: bore key create, then bore join on the other machine",
    )
}

async fn remove(context: &Context<'_>, api: &Api, path: &str, wanted: &str) -> CliResult {
    let view = named(api, path, wanted).await?;
    api.delete(&format!("{path}/{}", view.node.id)).await?;
    let name = &view.node.name;
    context.output.result("node_removed", &view, &format!("removed node {name}"))?;
    if let Some(rules) = rules(&view) {
        context.output.note(&format!("{rules}, and stays: {}", how_named(name)));
    }
    Ok(())
}

async fn rename(
    context: &Context<'_>,
    api: &Api,
    path: &str,
    wanted: &str,
    name: String,
) -> CliResult {
    let before = named(api, path, wanted).await?;
    let path = format!("{path}/{}", before.node.id);
    let renamed: NodeView = api.patch(&path, &Named { name: name.clone() }).await?;
    let was = &before.node.name;
    let text = format!("{was} is now {name}");
    context.output.result("node_renamed", &json!({ "was": was, "node": renamed }), &text)?;
    if let Some(rules) = rules(&before).filter(|_| *was != name) {
        context.output.note(&format!("{rules}, and does not apply to this node any more"));
    }
    if let Some(rules) = rules(&renamed) {
        context.output.note(&format!("{rules}, and applies to this node"));
    }
    Ok(())
}

/// Which rules name a node; `None` if none does.
fn rules(view: &NodeView) -> Option<String> {
    let (name, rules) = (&view.node.name, view.named_by.join(", "));
    (!rules.is_empty()).then(|| format!("publish rule {rules} names node:{name}"))
}

/// How a node comes by a name that a rule speaks of.
pub(super) fn how_named(name: &str) -> String {
    format!("no node gets this name by joining, only by bore node rename NODE {name}")
}

async fn named(api: &Api, path: &str, wanted: &str) -> CliResult<NodeView> {
    let nodes: Vec<NodeView> = api.list(path).await?;
    let view =
        find(&nodes, "node", "bore node ls", wanted, |view| (view.node.id, &view.node.name))?;
    Ok(view.clone())
}

const fn kind(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Agent => "agent",
        NodeKind::Wireguard => "wireguard",
    }
}

/// A network has a name, a node has one: only `--wireguard` nodes are added from here.
fn demand_wireguard(wireguard: bool) -> CliResult {
    if wireguard {
        return Ok(());
    }
    let error = CliError::usage("only WireGuard clients are added here; agents add themselves");
    Err(error.next(
        "bore node add NAME --wireguard; for an agent: bore key create, then bore join there",
    ))
}
