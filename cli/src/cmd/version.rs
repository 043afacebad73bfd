//! `bore version`.

use serde_json::json;

use crate::context::Context;
use crate::error::CliResult;

/// Version of bore.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  bore version\n  bore version --json")]
pub(crate) struct Version {}

impl Version {
    /// Prints it.
    pub(crate) fn run(self, context: &Context<'_>) -> CliResult {
        let version = env!("CARGO_PKG_VERSION");
        context.output.result("version", &json!({ "version": version }), &format!("bore {version}"))
    }
}
