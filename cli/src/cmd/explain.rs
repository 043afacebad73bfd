//! `bore explain CODE`: the catalogue, offline.

use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::explain::{Entry, entries, find, nearest};

/// What an error code means and what to do.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bore explain B2104\n  bore explain            every code with its title"
)]
pub(crate) struct Explain {
    /// The code, as an error shows it; without it all codes are listed
    code: Option<String>,
}

impl Explain {
    /// Prints one entry, or the list.
    pub(crate) fn run(self, context: &Context<'_>) -> CliResult {
        let Some(code) = self.code else {
            let show =
                |entry: &Entry| context.output.result("error_code", &fields(entry), &line(entry));
            return entries().try_for_each(show);
        };
        let entry = find(&code).ok_or_else(|| unknown(&code))?;
        context.output.result("error_code", &fields(entry), &entry.text())
    }
}

fn line(entry: &Entry) -> String {
    format!("{}  {}", entry.code, entry.title)
}

fn fields(entry: &Entry) -> serde_json::Value {
    json!({
        "code": entry.code,
        "title": entry.title,
        "meaning": entry.meaning,
        "causes": entry.causes,
        "next": entry.next,
        "exit": entry.exit.number(),
    })
}

fn unknown(code: &str) -> CliError {
    let error = CliError::usage(format!("there is no error code `{code}`"));
    match nearest(code) {
        Some(near) => error.next(format!("bore explain {near}")),
        None => error.next("bore explain, for a list"),
    }
}
