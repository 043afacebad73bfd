//! `bore explain CODE`: the registry of codes, offline.

use bore_api::Code;
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::explain::{nearest, page};

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
            let show = |code| context.output.result("error_code", &fields(code), &line(code));
            return Code::all().try_for_each(show);
        };
        let code = Code::find(&code).ok_or_else(|| unknown(&code))?;
        context.output.result("error_code", &fields(code), &page(code))
    }
}

fn line(code: Code) -> String {
    format!("{code}  {}", code.title())
}

fn fields(code: Code) -> serde_json::Value {
    json!({
        "code": code.as_str(),
        "title": code.title(),
        "meaning": code.meaning(),
        "causes": code.causes(),
        "next": code.next_steps(),
        "status": code.status(),
        "exit": code.exit().number(),
    })
}

fn unknown(code: &str) -> CliError {
    let error = CliError::usage(format!("there is no error code `{code}`"));
    match nearest(code) {
        Some(near) => error.next(format!("bore explain {near}")),
        None => error.next("bore explain, for a list"),
    }
}
