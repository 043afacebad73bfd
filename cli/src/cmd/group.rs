//! `bore group`: named sets of nodes, for policies and `--allow group:NAME`.

use bore_api::model::{Group as Stored, Node};
use bore_api::wire::{GroupNodes, NewGroup};
use uuid::Uuid;

use super::shared::{find, listed};
use crate::api::Api;
use crate::context::Context;
use crate::error::CliResult;
use crate::output::Table;

/// Named sets of nodes.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "Examples:\n  bore group create friends\n  bore group add friends laptop nas\n  bore publish udp 7777 --allow group:friends"
)]
pub(crate) enum Group {
    /// List groups with their nodes
    Ls,
    /// Make a group
    Create {
        /// A DNS label
        name: String,
    },
    /// Put nodes into a group
    Add {
        /// The group
        name: String,
        /// Nodes, by name or id
        #[arg(required = true, value_name = "NODE")]
        nodes: Vec<String>,
    },
    /// Take nodes out of a group
    Remove {
        /// The group
        name: String,
        /// Nodes, by name or id
        #[arg(required = true, value_name = "NODE")]
        nodes: Vec<String>,
    },
    /// Remove a group; its nodes stay
    Rm {
        /// The group
        name: String,
    },
}

/// What happens to the nodes named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Add,
    Remove,
}

impl Group {
    /// Does one of the five.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        let api = context.api()?;
        let network = context.network(&api).await?;
        let room = Room { context, api: &api, network: &network };
        match self {
            Self::Ls => room.list().await,
            Self::Create { name } => room.create(&name).await,
            Self::Add { name, nodes } => room.change(&name, &nodes, Change::Add).await,
            Self::Remove { name, nodes } => room.change(&name, &nodes, Change::Remove).await,
            Self::Rm { name } => room.remove(&name).await,
        }
    }
}

/// The groups of one network.
struct Room<'a> {
    context: &'a Context<'a>,
    api: &'a Api,
    network: &'a str,
}

impl Room<'_> {
    async fn list(&self) -> CliResult {
        let (groups, nodes) = (self.groups().await?, self.nodes().await?);
        let mut table = Table::new(["name", "nodes"]);
        for group in &groups {
            let members = nodes.iter().filter(|node| group.nodes.contains(&node.id));
            let members: Vec<_> = members.map(|node| node.name.clone()).collect();
            table.row([group.name.clone(), listed(&members)]);
        }
        self.context.output.list("group", &groups, &table, "no groups: bore group create NAME")
    }

    async fn create(&self, name: &str) -> CliResult {
        let path = format!("{}/groups", self.network);
        let group: Stored =
            self.api.post(&path, &NewGroup { name: name.to_owned(), nodes: Vec::new() }).await?;
        self.context.output.result("group_created", &group, &format!("made group {name}"))
    }

    async fn change(&self, name: &str, named: &[String], change: Change) -> CliResult {
        let (groups, nodes) = (self.groups().await?, self.nodes().await?);
        let group = find(&groups, "group", "bore group ls", name, |group| (group.id, &group.name))?;
        let mut members = group.nodes.clone();
        for wanted in named {
            let node = find(&nodes, "node", "bore node ls", wanted, |node| (node.id, &node.name))?;
            apply(&mut members, node.id, change);
        }
        let path = format!("{}/groups/{}", self.network, group.id);
        let body = GroupNodes { nodes: members.iter().map(Uuid::to_string).collect() };
        let group: Stored = self.api.put(&path, &body).await?;
        let text = format!("group {name} has {} nodes", group.nodes.len());
        self.context.output.result("group_changed", &group, &text)
    }

    async fn remove(&self, name: &str) -> CliResult {
        let groups = self.groups().await?;
        let group = find(&groups, "group", "bore group ls", name, |group| (group.id, &group.name))?;
        self.api.delete(&format!("{}/groups/{}", self.network, group.id)).await?;
        self.context.output.result("group_removed", group, &format!("removed group {name}"))
    }

    async fn groups(&self) -> CliResult<Vec<Stored>> {
        self.api.list(&format!("{}/groups", self.network)).await
    }

    async fn nodes(&self) -> CliResult<Vec<Node>> {
        self.api.list(&format!("{}/nodes", self.network)).await
    }
}

fn apply(members: &mut Vec<Uuid>, node: Uuid, change: Change) {
    members.retain(|member| *member != node);
    if change == Change::Add {
        members.push(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_twice_keeps_one_and_removing_leaves_the_others() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut members = vec![one];
        apply(&mut members, one, Change::Add);
        apply(&mut members, two, Change::Add);
        assert_eq!(members, [one, two]);
        apply(&mut members, one, Change::Remove);
        assert_eq!(members, [two]);
    }
}
