//! `bore up` and `bore down`: make what is published what a file says.
//!
//! With an agent running they change it and return. Without one, `up` is the agent until Ctrl-C; what it published stays declared on this
//! machine, and the next agent serves it again.

use std::path::{Path, PathBuf};

use bore_api::Code;

use super::publish::{VERIFY_TIMEOUT, declare, follow, settle_all};
use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::file::{File, Kind};
use crate::link::Link;
use crate::project::{Change, Owned, plan};
use crate::signal::Interrupt;

/// Publish what bore.toml says.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bore up\n  bore up -f services.toml --dry-run\n\n  # bore.toml\n  [publish.app]\n  http = 3000\n  [publish.game]\n  udp = \"27000-27050\"\n  allow = [\"10.0.0.0/8\", \"group:friends\"]"
)]
pub(crate) struct Up {
    /// The file [default: bore.toml]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Take back what bore.toml says.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  bore down\n  bore down -f services.toml")]
pub(crate) struct Down {
    /// The file [default: bore.toml]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// A project's file: its canonical path and what it says.
pub(super) fn load_project(named: Option<&Path>) -> CliResult<(PathBuf, File)> {
    let path = named.unwrap_or_else(|| Path::new("bore.toml"));
    let missing = || {
        let error = CliError::new(Code::CONFIGURATION, format!("there is no {}", path.display()));
        error.next("write one (bore up --help shows how), or name it: -f FILE")
    };
    let file = File::load(path, Kind::Project)?.ok_or_else(missing)?;
    let path = path
        .canonicalize()
        .map_err(|error| CliError::io(format!("cannot find {}", path.display()), &error))?;
    Ok((path, file))
}

impl Up {
    /// Makes it so.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        let (path, file) = load_project(self.file.as_deref())?;
        let mut interrupt = Interrupt::listen()?;
        let link = interrupt.or(Link::open(context)).await?;
        let done = self.reconcile(context, &link, &path, file, &mut interrupt).await;
        link.close().await;
        done
    }

    async fn reconcile(
        &self,
        context: &Context<'_>,
        link: &Link,
        path: &Path,
        file: File,
        interrupt: &mut Interrupt,
    ) -> CliResult {
        let mut owned = Owned::load(&context.state()?)?;
        let changes = plan(&file.publish, &link.publications().await?, owned.of(path));
        for change in &changes {
            context.output.result("change", &change.fields(), &change.line())?;
        }
        if changes.is_empty() {
            context.output.note("everything is as the file says");
        }
        if self.dry_run {
            return Ok(());
        }
        let names: Vec<String> = file.publish.iter().filter_map(|each| each.name.clone()).collect();
        // Before anything is published, so that nothing is ever published without an owner.
        owned.set(path, union(owned.of(path), &names))?;
        interrupt.or(apply(context, link, changes)).await?;
        owned.set(path, names.clone())?;
        if link.is_own() { stay(context, link, &names, interrupt).await } else { Ok(()) }
    }
}

async fn apply(context: &Context<'_>, link: &Link, changes: Vec<Change>) -> CliResult {
    let mut events = link.changes().await?;
    let mut declared = Vec::new();
    for change in changes {
        let declaration = match change {
            Change::Remove(name) => {
                link.withdraw(&name).await?;
                continue;
            }
            Change::Add(declaration) | Change::Update(declaration, _) => declaration,
        };
        declared.push(declare(link, declaration).await?);
    }
    settle_all(context.output, &mut events, declared, context.timeout_or(VERIFY_TIMEOUT)).await
}

async fn stay(
    context: &Context<'_>,
    link: &Link,
    names: &[String],
    interrupt: &mut Interrupt,
) -> CliResult {
    context.output.note("no agent runs here, so this one stays until Ctrl-C; bore service install has one run always");
    let mut changes = link.changes().await?;
    tokio::select! {
        ended = follow(context.output, &mut changes, names) => ended,
        () = interrupt.wait() => Ok(()),
    }
}

impl Down {
    /// Takes back what the file owns.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        let (path, file) = load_project(self.file.as_deref())?;
        let link = Link::running(context).await?;
        let mut owned = Owned::load(&context.state()?)?;
        let names: Vec<String> = file.publish.into_iter().filter_map(|each| each.name).collect();
        let names = union(owned.of(&path), &names);
        let published = link.publications().await?.into_iter().map(|view| view.publication.name);
        let published: Vec<String> = published.filter(|name| names.contains(name)).collect();
        for name in &published {
            link.withdraw(name).await?;
            let fields = serde_json::json!({ "name": name });
            context.output.result("removed", &fields, &format!("- {name}"))?;
        }
        if published.is_empty() {
            context.output.note("nothing that the file names is published");
        }
        owned.set(&path, Vec::new())
    }
}

fn union(some: &[String], others: &[String]) -> Vec<String> {
    let mut all = some.to_vec();
    all.extend(others.iter().filter(|name| !some.contains(name)).cloned());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_says_how_to_name_one() {
        let error = load_project(Some(Path::new("/nowhere/bore.toml"))).unwrap_err();
        assert_eq!((error.code(), error.exit().number()), ("B1003", 2));
        assert!(error.next_step().unwrap().contains("-f FILE"));
    }

    #[test]
    fn names_are_listed_once() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(union(&names(&["a", "b"]), &names(&["b", "c"])), names(&["a", "b", "c"]));
    }
}
