//! The DNS records that a relay needs: said, and waited for.

use std::time::Duration;

use bore_api::Code;
use bore_relay::dns::lookups::{LookupError, Lookups};
use bore_relay::dns::records::{Finding, Wanted};
use bore_relay::{Config, DnsProvider};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::signal::Interrupt;

/// How often the records are looked at while they are waited for.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How long they are waited for: as long as somebody takes who makes them at once.
const WAIT: Duration = Duration::from_secs(15 * 60);

/// Whether the relay answers for its domain itself.
pub(super) fn is_built_in(config: &Config) -> bool {
    matches!(config.dns, Some(DnsProvider::BuiltIn(_)))
}

/// The records, for programs.
pub(super) fn fields(wanted: &Wanted) -> Value {
    let records = wanted.records();
    let record = records
        .iter()
        .map(|record| json!({ "name": record.name, "type": record.kind, "value": record.value }));
    record.collect()
}

/// The records, for people.
pub(super) fn text(config: &Config, wanted: &Wanted) -> String {
    let records = wanted.records();
    let mut lines = match (&config.domain, records.is_empty()) {
        (None, true) => return ADDRESS_ONLY.to_owned(),
        (None, false) => vec![format!("{NO_DOMAIN}\nDNS record to make:")],
        (Some(_), _) => vec!["DNS records to make:".to_owned()],
    };
    lines.extend(records.iter().map(|record| format!("  {record}")));
    if config.domain.is_some() && config.dns.is_none() {
        lines.push("  (or one NS record only: provider = \"built-in\" in [dns])".to_owned());
    }
    lines.join("\n")
}

/// Looks until everything is right, and tells what changes meanwhile.
///
/// # Errors
/// B8102 in the end; interrupted when told to stop.
pub(super) async fn wait(context: &Context<'_>, wanted: &Wanted) -> CliResult {
    context.output.note("waiting for them (Ctrl-C: the relay is set up all the same)");
    let limit = context.timeout_or(WAIT);
    let looking = tokio::time::timeout(limit, tell_until_right(context, wanted, false));
    let waited = async {
        let late =
            |_| CliError::new(Code::DNS_RECORDS_MISSING, "the DNS records are not there yet");
        looking.await.map_err(late)?.map_err(|error| CliError::wrap(Code::INTERNAL, &error))
    };
    Interrupt::listen()?.or(waited).await
}

/// Looks until everything is right, and tells what changes meanwhile. Without a limit. `running`: the relay should answer by now.
///
/// # Errors
/// When this machine has no resolver.
pub(super) async fn tell_until_right(
    context: &Context<'_>,
    wanted: &Wanted,
    running: bool,
) -> Result<(), LookupError> {
    let mut told: Vec<Finding> = Vec::new();
    loop {
        // Made anew, because the system's resolver may be another one by now.
        let findings = wanted.check(&Lookups::system()?, running).await;
        for finding in findings.iter().filter(|finding| !told.contains(finding)) {
            tell(context, finding);
        }
        if findings.iter().all(|finding| finding.ok) {
            return Ok(());
        }
        told = findings;
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn tell(context: &Context<'_>, finding: &Finding) {
    let next = finding.next.as_ref().map(|next| format!(": {next}")).unwrap_or_default();
    context.output.step(finding.ok, &finding.subject, &format!("{}{next}", finding.seen));
}

/// A relay that is known by its address.
const ADDRESS_ONLY: &str =
    "no domain: tcp, udp and one web service work by address; more need `domain` in relay.toml";
const NO_DOMAIN: &str =
    "no domain: tcp and udp work by address; http needs `domain` in relay.toml, or --host";
