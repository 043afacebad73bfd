//! `bore audit`: the trail of every change, and whether it is whole.

use bore_api::limits::AUDIT_WALK_ROWS_MAX;
use bore_api::model::AuditRow;
use bore_api::wire::AuditReport;
use bore_api::{AuditPoint, Code};

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
    /// Recompute the hash chain of the whole trail and check the signature of its last row
    ///
    /// Prints the last row as SEQ:HASH. A person who can write the database can put all of it back to an earlier state; that is found by expecting
    /// the last row that was printed before.
    #[command(
        after_help = "Examples:\n  bore audit verify\n  bore audit verify --expect 1465:5f2c…"
    )]
    Verify {
        /// A row that must be in the trail, as printed by an earlier verification
        #[arg(long, value_name = "SEQ:HASH")]
        expect: Option<AuditPoint>,
    },
}

impl Audit {
    /// Lists or verifies.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        let api = context.api()?;
        match self {
            Self::Ls { search } => list(context, &api, search.as_deref()).await,
            Self::Verify { expect } => verify(context, &api, expect).await,
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

async fn verify(context: &Context<'_>, api: &Api, expect: Option<AuditPoint>) -> CliResult {
    let expect = expect.map(|point| format!("&expect={point}")).unwrap_or_default();
    let (mut rows, mut after) = (0, String::new());
    loop {
        let path = format!("/v1/audit/verify?limit={AUDIT_WALK_ROWS_MAX}{expect}{after}");
        let report: AuditReport = api.get(&path).await?;
        if !report.intact {
            return Err(broken(report));
        }
        rows += report.rows.unwrap_or_default();
        match &report.next {
            Some(next) => after = format!("&after={next}"),
            None => return intact(context, &AuditReport { rows: Some(rows), ..report }),
        }
    }
}

fn intact(context: &Context<'_>, report: &AuditReport) -> CliResult {
    let (rows, head) = (report.rows.unwrap_or_default(), report.head.as_deref().unwrap_or("?"));
    let text = format!("intact: {rows} rows, head {head}");
    context.output.result("audit_verified", report, &text)?;
    context.output.note(&format!(
        "each row follows from the one before, and the cluster's key signed the last\n\
         keep the head on another machine; later: bore audit verify --expect {head}"
    ));
    Ok(())
}

fn broken(report: AuditReport) -> CliError {
    let row = report.sequence.unwrap_or_default();
    let error =
        CliError::new(Code::AUDIT_TRAIL_BROKEN, format!("the audit trail is broken at row {row}"));
    error.cause(report.why.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_trail_is_not_called_a_database_that_cannot_be_read() {
        let why = Some("it is not signed".to_owned());
        let error = broken(AuditReport { sequence: Some(7), why, ..AuditReport::default() });
        assert_eq!(
            (error.code(), error.message()),
            ("B6110", "the audit trail is broken at row 7")
        );
        let advice = error.known_code().unwrap().next_steps();
        assert!(advice.iter().any(|step| step.contains("--expect")), "{advice:?}");
    }
}
