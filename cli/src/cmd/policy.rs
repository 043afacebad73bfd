//! `bore policy`: documents in TOML files, stored by the relay, and why a visitor is let in or not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bore_api::Code;
use bore_api::model::Policy as Stored;
use bore_api::printable;
use bore_api::wire::{ExplainRequest, Explained, ExplainedStep, NodeView, PolicyDraft};
use bore_policy::PolicyDocument;
use serde_json::json;

use super::node::how_named;
use super::shared::time;
use crate::api::{Api, encode};
use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::output::Table;
use crate::wanted::parse_name;

/// Who may publish what, and who may visit what.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "Examples:\n  bore policy apply office.toml\n  bore policy explain --from 10.1.2.3 --to game"
)]
pub(crate) enum Policy {
    /// Store a document; it holds for open connections within a second
    #[command(
        after_help = "Examples:\n  bore policy apply office.toml\n  bore policy apply rules.toml --name office"
    )]
    Apply(Apply),
    /// List stored policies
    Ls,
    /// Print one as TOML
    Show {
        /// Its name
        name: String,
    },
    /// Remove one
    Rm {
        /// Its name
        name: String,
    },
    /// Which rule lets a visitor in, or keeps it out
    #[command(
        after_help = "Examples:\n  bore policy explain --from 10.1.2.3 --to game\n  bore policy explain --from node:laptop --to game"
    )]
    Explain(Explain),
}

/// `bore policy apply`.
#[derive(Debug, clap::Args)]
pub(crate) struct Apply {
    /// A TOML file
    file: PathBuf,
    /// Name to store it under [default: that in the file, else the file's name]
    #[arg(long)]
    name: Option<String>,
}

/// `bore policy explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// The visitor: an address, or node:NAME
    #[arg(long, value_name = "WHO")]
    from: String,
    /// The publication
    #[arg(long, value_name = "NAME")]
    to: String,
}

impl Policy {
    /// Does one of the five.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        let api = context.api()?;
        let network = context.network(&api).await?;
        let policies = format!("{network}/policies");
        match self {
            Self::Apply(apply) => apply.run(context, &api, &network).await,
            Self::Ls => list(context, &api, &policies).await,
            Self::Show { name } => show(context, &api, &policies, &name).await,
            Self::Rm { name } => remove(context, &api, &policies, &name).await,
            Self::Explain(explain) => explain.run(context, &api, &policies).await,
        }
    }
}

impl Apply {
    async fn run(self, context: &Context<'_>, api: &Api, network: &str) -> CliResult {
        let document = read_document(&self.file)?;
        let name = self.chosen_name(&document)?;
        let policies = format!("{network}/policies");
        let stored: Vec<Stored> = api.list(&policies).await?;
        let revision =
            stored.iter().find(|policy| policy.name == name).map_or(0, |policy| policy.revision);
        let document = serde_json::to_value(&document)
            .map_err(|error| CliError::wrap(Code::INTERNAL, &error))?;
        let body = PolicyDraft { document, revision };
        let policy: Stored = api.put(&format!("{policies}/{}", encode(&name)), &body).await?;
        let text = format!("stored {name}, revision {}", policy.revision);
        context.output.result("policy_applied", &policy, &text)?;
        tell_named_nodes(context, api, network, &policy.document).await;
        Ok(())
    }

    fn chosen_name(&self, document: &PolicyDocument) -> CliResult<String> {
        let of_document = || document.name.as_ref().map(ToString::to_string);
        let of_file = || self.file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = self.name.clone().or_else(of_document).or_else(of_file).unwrap_or_default();
        parse_name(&name)
            .map_err(|why| CliError::new(Code::NAME_NOT_LABEL, why).next("--name NAME"))?;
        Ok(name)
    }
}

/// Tells which nodes a document speaks of, and how those that are not there come by their names.
async fn tell_named_nodes(
    context: &Context<'_>,
    api: &Api,
    network: &str,
    document: &PolicyDocument,
) {
    let named: BTreeSet<&str> = document.named_nodes().map(|(name, _)| name.as_str()).collect();
    if named.is_empty() {
        return;
    }
    // A key that may write policies need not be one that may list nodes.
    let Ok(nodes) = api.list::<NodeView>(&format!("{network}/nodes")).await else { return };
    for name in named {
        context.output.note(&match nodes.iter().find(|view| view.node.name == name) {
            Some(view) => {
                format!("rules for node:{name} apply to the node of that name, {}", view.node.id)
            }
            None => format!("there is no node {name} yet: {}", how_named(name)),
        });
    }
}

async fn list(context: &Context<'_>, api: &Api, policies: &str) -> CliResult {
    let stored: Vec<Stored> = api.list(policies).await?;
    let mut table = Table::new(["name", "revision", "publish rules", "visit rules", "changed"]);
    for policy in &stored {
        table.row([
            policy.name.clone(),
            policy.revision.to_string(),
            policy.document.publish.len().to_string(),
            policy.document.visit.len().to_string(),
            time(Some(policy.updated_at)),
        ]);
    }
    let empty = "no policies: anyone may publish, and publications are open to anyone unless they say --allow";
    context.output.list("policy", &stored, &table, empty)
}

async fn show(context: &Context<'_>, api: &Api, policies: &str, name: &str) -> CliResult {
    let policy: Stored = api.get(&format!("{policies}/{}", encode(name))).await?;
    let text = toml::to_string_pretty(&policy.document);
    let text = text.map_err(|error| CliError::wrap(Code::INTERNAL, &error))?;
    context.output.result("policy", &policy, text.trim_end())
}

async fn remove(context: &Context<'_>, api: &Api, policies: &str, name: &str) -> CliResult {
    api.delete(&format!("{policies}/{}", encode(name))).await?;
    context.output.result(
        "policy_removed",
        &json!({ "name": name }),
        &format!("removed policy {name}"),
    )
}

impl Explain {
    async fn run(self, context: &Context<'_>, api: &Api, policies: &str) -> CliResult {
        let body = ExplainRequest { from: self.from, to: self.to };
        let explained: Explained = api.post(&format!("{policies}/explain"), &body).await?;
        let verdict = if explained.allowed { "allowed" } else { "refused" };
        let head =
            format!("{verdict}: {} to {}, by {}", body.from, body.to, printable(&explained.by));
        let steps = explained.steps.iter().map(step_text);
        let text = std::iter::once(head).chain(steps).collect::<Vec<_>>().join("\n");
        context.output.result("policy_explained", &explained, &text)
    }
}

fn step_text(step: &ExplainedStep) -> String {
    let matched = if step.matched { "matches" } else { "does not match" };
    printable(&format!("  {} {matched}: {}", step.considered, step.because))
}

fn read_document(path: &Path) -> CliResult<PolicyDocument> {
    let text = std::fs::read_to_string(path);
    let text =
        text.map_err(|error| CliError::io(format!("cannot read {}", path.display()), &error))?;
    toml::from_str(&text).map_err(|error| {
        let failed =
            CliError::new(Code::POLICY_BROKEN, format!("{} is not a policy", path.display()));
        failed.cause(error.to_string().trim_end().replace('\n', "\n         "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_named_by_flag_then_document_then_file() {
        let apply =
            |name: Option<&str>| Apply { file: "rules.toml".into(), name: name.map(str::to_owned) };
        let named: PolicyDocument = toml::from_str("name = \"office\"").unwrap();
        let unnamed: PolicyDocument = toml::from_str("").unwrap();
        assert_eq!(apply(Some("a")).chosen_name(&named).as_deref(), Ok("a"));
        assert_eq!(apply(None).chosen_name(&named).as_deref(), Ok("office"));
        assert_eq!(apply(None).chosen_name(&unnamed).as_deref(), Ok("rules"));
        assert!(apply(Some("A b")).chosen_name(&unnamed).is_err());
    }

    #[test]
    fn an_unknown_key_of_a_document_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        std::fs::write(&path, "name = \"office\"\nvizit = []\n").unwrap();
        let error = read_document(&path).unwrap_err();
        assert_eq!(error.code(), "B4102");
        assert!(error.reason().unwrap().contains("vizit"), "{error:?}");
    }
}
