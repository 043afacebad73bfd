//! `bore domain`: names of one's own, proved by a record in their DNS.

use bore_api::model::DnsRecord;
use bore_api::printable;
use bore_api::wire::{DomainView, NewDomain};
use serde::Serialize;
use serde_json::json;

use super::shared::{find, time};
use crate::api::{Api, encode};
use crate::context::Context;
use crate::error::CliResult;
use crate::hostname::{both_forms, parse_hostname};
use crate::output::{Output, Table};

/// Domains of your own.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "Examples:\n  bore domain add example.com          prints the record that proves it\n  bore domain verify example.com\n  bore publish http 3000 --host app.example.com"
)]
pub(crate) enum Domain {
    /// Ask for a domain: prints the record that proves it, and those that lead visitors to the relay
    Add {
        /// It stands for itself and every name below it
        #[arg(value_parser = parse_hostname)]
        name: String,
    },
    /// Have the relay look for the proof, and for where the domain leads
    Verify {
        /// Name or id
        domain: String,
    },
    /// List domains, and where they lead
    Ls,
    /// Give a domain back; for 30 days no other network gets it
    Rm {
        /// Name or id
        domain: String,
    },
}

impl Domain {
    /// Does one of the four.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        let api = context.api()?;
        let domains = format!("{}/domains", context.network(&api).await?);
        match self {
            Self::Add { name } => add(context, &api, &domains, name).await,
            Self::Verify { domain } => verify(context, &api, &domains, &domain).await,
            Self::Ls => list(context, &api, &domains).await,
            Self::Rm { domain } => remove(context, &api, &domains, &domain).await,
        }
    }
}

async fn add(context: &Context<'_>, api: &Api, path: &str, name: String) -> CliResult {
    let view: DomainView = api.post(path, &NewDomain { name }).await?;
    context.output.result("domain_added", &Fields::of(&view), &instructions(&view))?;
    if view.domain.verified_at.is_none() {
        context.output.note(&format!("then: bore domain verify {}", view.domain.name));
    }
    Ok(())
}

async fn verify(context: &Context<'_>, api: &Api, path: &str, wanted: &str) -> CliResult {
    let name = canonical(wanted);
    let view: DomainView =
        api.post(&format!("{path}/{}/verify", encode(&name)), &json!({})).await?;
    let text = format!("{} is this network's", both_forms(&view.domain.name));
    context.output.result("domain_verified", &Fields::of(&view), &text)?;
    pointing(context.output, &view);
    Ok(())
}

async fn list(context: &Context<'_>, api: &Api, path: &str) -> CliResult {
    let views: Vec<DomainView> = api.list(path).await?;
    let mut table = Table::new(["name", "state", "verified", "cause"]);
    for view in &views {
        let cause = view.pointing.as_ref().filter(|step| !step.ok);
        table.row([
            both_forms(&view.domain.name),
            state(view).to_owned(),
            time(view.domain.verified_at),
            cause.map(|step| step.detail.clone()).unwrap_or_default(),
        ]);
    }
    let items: Vec<_> = views.iter().map(Fields::of).collect();
    context.output.list(
        "domain",
        &items,
        &table,
        "no domains of your own: bore domain add example.com",
    )
}

async fn remove(context: &Context<'_>, api: &Api, path: &str, wanted: &str) -> CliResult {
    let views: Vec<DomainView> = api.list(path).await?;
    let name = canonical(wanted);
    let view = find(&views, "domain", "bore domain ls", &name, |view| {
        (view.domain.id, &view.domain.name)
    })?;
    api.delete(&format!("{path}/{}", view.domain.id)).await?;
    let text = format!("gave {} back", both_forms(&view.domain.name));
    context.output.result("domain_removed", &Fields::of(view), &text)
}

/// A name in whatever spelling; what is none may be an id.
fn canonical(wanted: &str) -> String {
    parse_hostname(wanted).unwrap_or_else(|_| wanted.to_owned())
}

/// What a domain is, in a word.
fn state(view: &DomainView) -> &'static str {
    match (view.domain.verified_at, &view.pointing) {
        (None, _) => "pending",
        (Some(_), Some(step)) if !step.ok => "elsewhere",
        (Some(_), _) => "verified",
    }
}

/// Which records to set, for people to copy.
fn instructions(view: &DomainView) -> String {
    let name = both_forms(&view.domain.name);
    let proof = match view.domain.verified_at {
        Some(_) => format!("{name} is this network's."),
        None => format!("To prove {name}, set:\n{}", either(view.proofs.chunks(1))),
    };
    let by_kind =
        |one: &DnsRecord, next: &DnsRecord| (one.kind == "CNAME") == (next.kind == "CNAME");
    let visitors = either(view.visitors.chunk_by(by_kind));
    if visitors.is_empty() {
        return proof;
    }
    format!(
        "{proof}\nFor visitors, the same for each name that is published under it (a CNAME not at a zone's top):\n{visitors}"
    )
}

/// Groups of records of which one is enough.
fn either<'r>(groups: impl Iterator<Item = &'r [DnsRecord]>) -> String {
    let line = |record: &DnsRecord| format!("  {}", printable(&record.to_string()));
    let groups = groups.map(|group| group.iter().map(line).collect::<Vec<_>>().join("\n"));
    groups.collect::<Vec<_>>().join("\n  or\n")
}

fn pointing(output: &Output, view: &DomainView) {
    match &view.pointing {
        Some(step) => output.step(step.ok, step.name.as_str(), &step.detail),
        None => {
            output.note("nothing is published under it yet: bore publish http 3000 --host NAME")
        }
    }
}

/// What programs are told of a domain.
#[derive(Debug, Serialize)]
struct Fields<'v> {
    #[serde(flatten)]
    view: &'v DomainView,
    state: &'static str,
}

impl<'v> Fields<'v> {
    fn of(view: &'v DomainView) -> Self {
        Self { view, state: state(view) }
    }
}

#[cfg(test)]
mod tests {
    use bore_api::state::{Step, StepName};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_records_are_printed_as_a_zone_file_has_them() {
        let text = instructions(&view(None, None));
        assert_eq!(
            text,
            "To prove xn--bcher-kva.example (bücher.example), set:\n\
             \x20 _bore-challenge.xn--bcher-kva.example. TXT \"bore-domain=abc\"\n\
             \x20 or\n\
             \x20 _bore-challenge.xn--bcher-kva.example. CNAME abc._bore-domain.relay.example.org.\n\
             For visitors, the same for each name that is published under it (a CNAME not at a zone's top):\n\
             \x20 xn--bcher-kva.example. A 203.0.113.1\n\
             \x20 xn--bcher-kva.example. AAAA 2001:db8::1\n\
             \x20 or\n\
             \x20 xn--bcher-kva.example. CNAME relay.example.org."
        );
        assert!(
            instructions(&view(Some(5), None))
                .starts_with("xn--bcher-kva.example (bücher.example) is this network's.")
        );
    }

    #[test]
    fn a_state_is_one_word() {
        let step = |ok| Some(Step::new(StepName::Dns, ok, ""));
        let table = [
            (None, None, "pending"),
            (Some(5), None, "verified"),
            (Some(5), step(true), "verified"),
            (Some(5), step(false), "elsewhere"),
        ];
        for (verified_at, pointing, expected) in table {
            assert_eq!(state(&view(verified_at, pointing)), expected);
        }
        let json = serde_json::to_value(Fields::of(&view(None, None))).unwrap();
        assert_eq!(
            (&json["state"], &json["name"]),
            (&"pending".into(), &"xn--bcher-kva.example".into())
        );
    }

    fn view(verified_at: Option<i64>, pointing: Option<Step>) -> DomainView {
        let name = "xn--bcher-kva.example";
        let record = |name: &str, kind: &str, value: &str| DnsRecord {
            name: name.to_owned(),
            kind: kind.to_owned(),
            value: value.to_owned(),
        };
        let challenge = format!("_bore-challenge.{name}");
        DomainView {
            domain: bore_api::model::Domain {
                id: Uuid::from_u128(1),
                network: Uuid::from_u128(2),
                name: name.to_owned(),
                created_at: 1,
                verified_at,
            },
            proofs: vec![
                record(&challenge, "TXT", "bore-domain=abc"),
                record(&challenge, "CNAME", "abc._bore-domain.relay.example.org"),
            ],
            visitors: vec![
                record(name, "A", "203.0.113.1"),
                record(name, "AAAA", "2001:db8::1"),
                record(name, "CNAME", "relay.example.org"),
            ],
            pointing,
        }
    }
}
