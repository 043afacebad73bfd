//! `bore audit`: the trail of every change, and whether it is whole.

use bore_control::model::AuditRow;
use bore_control::wire::AuditReport;

use super::shared::time;
use crate::api::{Api, encode};
use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::output::Table;

/// The trail of every change.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Audit {
    /// List changes, oldest first
    #[command(after_help = "Examples:\n  bore audit ls\n  bore audit ls --search laptop")]
    Ls {
        /// Only rows that contain this text
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
    },
    /// Recompute the hash chain of the whole trail
    #[command(after_help = "Examples:\n  bore audit verify")]
    Verify,
}

impl Audit {
    /// Lists or verifies.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        let api = context.api()?;
        match self {
            Self::Ls { search } => list(context, &api, search.as_deref()).await,
            Self::Verify => verify(context, &api).await,
        }
    }
}

async fn list(context: &Context<'_>, api: &Api, search: Option<&str>) -> CliResult {
    let query = search.map(|text| format!("?text={}", encode(text))).unwrap_or_default();
    let path = format!("{}/audit{query}", context.network(api).await?);
    let rows: Vec<AuditRow> = api.list(&path).await?;
    let mut table = Table::new(["#", "when", "who", "what", "subject", "detail"]);
    for row in &rows {
        table.row([
            row.sequence.to_string(),
            time(Some(row.at)),
            row.actor.clone(),
            row.action.clone(),
            row.subject.clone(),
            row.detail.to_string(),
        ]);
    }
    context.output.list("audit_row", &rows, &table, "no rows")
}

async fn verify(context: &Context<'_>, api: &Api) -> CliResult {
    let verdict: AuditReport = api.get("/v1/audit/verify").await?;
    if verdict.intact {
        let text = format!(
            "intact: {} rows, each follows from the one before",
            verdict.rows.unwrap_or_default()
        );
        return context.output.result("audit_verified", &verdict, &text);
    }
    let row = verdict.sequence.unwrap_or_default();
    let error = CliError::new("B6102", format!("the audit trail is broken at row {row}"));
    Err(error.cause(verdict.why.unwrap_or_default()))
}
