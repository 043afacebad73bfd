//! `bore certificate`: the certificates that the relay keeps, and why one is missing.

use std::time::Duration;

use bore_api::model::Micros;
use bore_api::state::{CertificateState, CertificateStatus};
use serde_json::json;

use super::shared::{from_now, time};
use crate::api::{Api, encode};
use crate::context::Context;
use crate::error::CliResult;
use crate::hostname::parse_hostname;
use crate::output::Table;

/// Certificates of published hostnames and of the relay.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Certificate {
    /// List certificates: how they are, and what to do about those that are missing
    #[command(after_help = "Examples:\n  bore certificate ls\n  bore certificate ls --json")]
    Ls,
    /// Replace a certificate now, or try a missing one again without waiting; what the CA wants waited for is
    #[command(after_help = "Examples:\n  bore certificate renew app.example.com")]
    Renew {
        /// One of its names: a hostname, a wildcard, an address
        name: String,
    },
}

impl Certificate {
    /// Does one of the two.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        match self {
            Self::Ls => list(context, &context.api()?).await,
            Self::Renew { name } => renew(context, &context.api()?, &name).await,
        }
    }
}

async fn renew(context: &Context<'_>, api: &Api, wanted: &str) -> CliResult {
    let path = format!("/v1/certificates/{}/renew", encode(&canonical(wanted)));
    let state: CertificateState = api.post(&path, &json!({})).await?;
    let text = begun(&state, from_now(Duration::ZERO));
    context.output.result("certificate_renewal", &state, &text)?;
    context.output.note("bore certificate ls shows what comes of it");
    Ok(())
}

/// A name in whatever spelling; what is none may be an address.
fn canonical(wanted: &str) -> String {
    let parse = |name: &str| parse_hostname(name).ok();
    let wildcard = || Some(format!("*.{}", parse(wanted.strip_prefix("*.")?)?));
    wildcard().or_else(|| parse(wanted)).unwrap_or_else(|| wanted.to_owned())
}

/// What the relay does about it, said at `now`.
fn begun(state: &CertificateState, now: Micros) -> String {
    let names = state.names.join(" ");
    match state.next_try_at.filter(|at| *at > now.saturating_add(SOON)) {
        Some(_) => format!(
            "{names}: the CA does not want to be asked yet; the certificate is ordered at {}",
            time(state.next_try_at)
        ),
        None => format!("{names}: a certificate is being ordered"),
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

/// A minute: by how much the relay's clock may be off without being told of.
const SOON: Micros = 60_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_begun_and_what_has_to_wait_are_told_apart() {
        assert_eq!(begun(&state(5), 5), "a.example.com: a certificate is being ordered");
        let text = begun(&state(3_600_000_000), 5);
        assert!(text.ends_with("ordered at 1970-01-01 01:00:00 UTC"), "{text}");
    }

    #[test]
    fn names_are_taken_in_any_spelling() {
        for (written, name) in [
            ("App.Example.com", "app.example.com"),
            ("*.bücher.example", "*.xn--bcher-kva.example"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(canonical(written), name);
        }
    }

    fn state(next_try_at: Micros) -> CertificateState {
        CertificateState {
            names: vec!["a.example.com".to_owned()],
            network: None,
            status: CertificateStatus::Waiting,
            issuer: None,
            not_after: None,
            next_try_at: Some(next_try_at),
            problem: None,
        }
    }
}
