//! `bore doctor`: what usually stands in the way, checked one by one, each with what to do.

mod dns;
mod machine;
mod relay;

use bore_api::Code;
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, CliResult};

/// Find out why it does not work.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  bore doctor\n  bore doctor --json")]
pub(crate) struct Doctor {}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
    next: Option<String>,
}

impl Check {
    fn good(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, ok: true, detail: detail.into(), next: None }
    }

    fn bad(name: &'static str, detail: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name, ok: false, detail: detail.into(), next: Some(next.into()) }
    }

    fn failed(name: &'static str, error: &CliError) -> Self {
        let cause = error.reason().map(|cause| format!(": {cause}")).unwrap_or_default();
        let detail = format!("{}{cause} ({})", error.message(), error.code());
        Self { name, ok: false, detail, next: error.next_step().map(str::to_owned) }
    }
}

impl Doctor {
    /// Checks everything; fails when one thing does.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        let state = context.state()?;
        let mut checks =
            vec![machine::program(), machine::open_files(), machine::state_folder(&state)];
        checks.extend(relay::checks(context, &state).await);
        checks.extend(dns::checks().await);
        for check in &checks {
            let Check { name, ok, detail, next } = check;
            context.output.check(check, (*ok, name, detail), next.as_deref())?;
        }
        match checks.iter().filter(|check| !check.ok).count() {
            0 => Ok(()),
            1 => Err(CliError::new(Code::DOCTOR_CHECK_FAILED, "one check failed")),
            failed => {
                Err(CliError::new(Code::DOCTOR_CHECK_FAILED, format!("{failed} checks failed")))
            }
        }
    }
}
