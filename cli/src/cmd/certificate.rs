//! `bore certificate`: the certificates that the relay keeps, and why one is missing.

use bore_control::runtime::{CertificateState, CertificateStatus};

use super::shared::time;
use crate::api::Api;
use crate::context::Context;
use crate::error::CliResult;
use crate::output::Table;

/// Certificates of published hostnames and of the relay.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Certificate {
    /// List certificates: how they are, and what to do about those that are missing
    #[command(after_help = "Examples:\n  bore certificate ls\n  bore certificate ls --json")]
    Ls,
}

impl Certificate {
    /// Lists.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        match self {
            Self::Ls => list(context, &context.api()?).await,
        }
    }
}

async fn list(context: &Context<'_>, api: &Api) -> CliResult {
    let states: Vec<CertificateState> = api.list("/v1/certificates").await?;
    let mut table = Table::new(["names", "status", "issuer", "expires", "next try", "problem"]);
    for state in &states {
        let problem = state.problem.as_ref();
        table.row([
            state.names.join(" "),
            status(state.status).to_owned(),
            state.issuer.clone().unwrap_or_default(),
            time(state.not_after),
            time(state.next_try_at),
            problem
                .map(|problem| format!("{} {}; {}", problem.code, problem.cause, problem.remedy))
                .unwrap_or_default(),
        ]);
    }
    context.output.list(
        "certificate",
        &states,
        &table,
        "no certificate is wanted: publish a hostname",
    )
}

fn status(status: CertificateStatus) -> &'static str {
    match status {
        CertificateStatus::Valid => "valid",
        CertificateStatus::Ordering => "ordering",
        CertificateStatus::Failing => "failing",
        CertificateStatus::Waiting => "waiting",
        CertificateStatus::Expired => "expired",
    }
}
