//! What DNS says of custom domains, asked of the system's resolver without a cache: a record that was just set is seen as soon as the
//! resolver sees it.
//!
//! Everything that comes back is somebody else's: it is shown bounded, and never trusted for more than it proves.

use std::net::IpAddr;
use std::time::Duration;

use bore_api::model::DnsRecord;
use bore_api::state::{Step, StepName};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::ResolveHosts;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, Record, RecordType};

use crate::limits::{DNS_TIMEOUT, DNS_TRIES, DNS_VALUE_CHARACTERS_MAX, DNS_VALUES_SHOWN_MAX};

/// Why DNS has no records for a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DnsFault {
    /// Nor of any other kind.
    #[error("the name does not exist (NXDOMAIN)")]
    NoName,
    /// Of this kind.
    #[error("the name has no such record")]
    NoRecord,
    /// The resolver could not find out.
    #[error(
        "the resolver answers SERVFAIL: the zone's name servers, its delegation or its DNSSEC are broken"
    )]
    ServFail,
    /// Another code.
    #[error("the resolver answers {0}")]
    Refused(ResponseCode),
    /// Nothing in time.
    #[error("no answer within {} s", DNS_TIMEOUT.as_secs())]
    TimedOut,
    /// The system's resolver itself.
    #[error("the relay's own resolver does not work: {0}")]
    Resolver(String),
}

/// Addresses of a name, and how long they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) lifetime: Duration,
}

/// Asks whether one of `proofs` stands. The detail says what was found and what was expected.
pub(crate) async fn prove(proofs: &[DnsRecord]) -> Step {
    let mut found = Vec::new();
    for proof in proofs {
        let values = values(&proof.name, record_type(&proof.kind)).await;
        if values.as_ref().is_ok_and(|values| values.contains(&proof.value)) {
            return Step::held(StepName::Proof, format!("{proof} stands"));
        }
        let silent = values == Err(DnsFault::TimedOut);
        // A zone has one of them: that the others are absent is no news beside it.
        match values {
            Err(DnsFault::NoName | DnsFault::NoRecord) if !found.is_empty() => {}
            other => found.push(contrast(proof, other)),
        }
        if silent {
            break;
        }
    }
    Step::failed(StepName::Proof, found.join("; "))
}

/// The addresses of `name`, both families.
pub(crate) async fn addresses(name: &str) -> Result<Addresses, DnsFault> {
    let resolver = resolver()?;
    let (v4, v6) =
        tokio::join!(ask(&resolver, name, RecordType::A), ask(&resolver, name, RecordType::AAAA));
    let records = match (v4, v6) {
        (Ok(v4), Ok(v6)) => [v4, v6].concat(),
        (Ok(records), Err(_)) | (Err(_), Ok(records)) => records,
        (Err(fault), Err(_)) => return Err(fault),
    };
    let lifetime = records.iter().map(|record| record.ttl).min().unwrap_or_default();
    Ok(Addresses {
        addresses: records.iter().filter_map(|record| record.data.ip_addr()).collect(),
        lifetime: Duration::from_secs(lifetime.into()),
    })
}

async fn values(name: &str, kind: RecordType) -> Result<Vec<String>, DnsFault> {
    let records = ask(&resolver()?, name, kind).await?;
    Ok(records.iter().filter_map(text).collect())
}

async fn ask(
    resolver: &TokioResolver,
    name: &str,
    kind: RecordType,
) -> Result<Vec<Record>, DnsFault> {
    // With the dot at the end, the search list of the machine is not tried.
    let asked = resolver.lookup(format!("{name}."), kind);
    let answered = tokio::time::timeout(DNS_TIMEOUT, asked).await;
    let lookup = answered.map_err(|_| DnsFault::TimedOut)?.map_err(|error| fault(&error))?;
    let of_kind = lookup.answers().iter().filter(|record| record.record_type() == kind);
    let records: Vec<Record> = of_kind.cloned().collect();
    if records.is_empty() { Err(DnsFault::NoRecord) } else { Ok(records) }
}

/// A fresh one each time: it has no memory, and follows changes of `/etc/resolv.conf`.
fn resolver() -> Result<TokioResolver, DnsFault> {
    let broken = |error: NetError| DnsFault::Resolver(error.to_string());
    let mut builder = TokioResolver::builder_tokio().map_err(broken)?;
    let options = builder.options_mut();
    options.cache_size = 0;
    options.attempts = DNS_TRIES;
    options.timeout = DNS_TIMEOUT / 3;
    options.use_hosts_file = ResolveHosts::Never;
    builder.build().map_err(broken)
}

fn fault(error: &NetError) -> DnsFault {
    if let NetError::Timeout = error {
        return DnsFault::TimedOut;
    }
    let code = if let NetError::Dns(DnsError::ResponseCode(code)) = error {
        Some(*code)
    } else if let NetError::Dns(DnsError::NoRecordsFound(none)) = error {
        Some(none.response_code)
    } else {
        None
    };
    match code {
        Some(ResponseCode::NoError) => DnsFault::NoRecord,
        Some(ResponseCode::NXDomain) => DnsFault::NoName,
        Some(ResponseCode::ServFail) => DnsFault::ServFail,
        Some(code) => DnsFault::Refused(code),
        None => DnsFault::Resolver(error.to_string()),
    }
}

fn record_type(kind: &str) -> RecordType {
    if kind == "CNAME" { RecordType::CNAME } else { RecordType::TXT }
}

fn text(record: &Record) -> Option<String> {
    if let RData::TXT(txt) = &record.data {
        return Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned());
    }
    let RData::CNAME(name) = &record.data else { return None };
    Some(name.to_string().trim_end_matches('.').to_ascii_lowercase())
}

fn contrast(proof: &DnsRecord, found: Result<Vec<String>, DnsFault>) -> String {
    let DnsRecord { name, kind, value } = proof;
    match found {
        Ok(values) => format!("{name}: found {kind} {}, expected \"{value}\"", shown(&values)),
        Err(fault) => format!("{name} {kind}: {fault}, expected \"{value}\""),
    }
}

/// A few of them, none too long, without what steers a terminal.
fn shown(values: &[String]) -> String {
    let short = |value: &String| {
        let mut text: String = value.chars().take(DNS_VALUE_CHARACTERS_MAX).collect();
        if text.len() < value.len() {
            text.push('…');
        }
        format!("\"{}\"", text.escape_debug())
    };
    let mut list: Vec<String> = values.iter().take(DNS_VALUES_SHOWN_MAX).map(short).collect();
    if values.len() > list.len() {
        list.push(format!("and {} more", values.len() - list.len()));
    }
    list.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_shown_bounded_and_beside_what_was_expected() {
        let proof = DnsRecord {
            name: "_bore-challenge.example.com".to_owned(),
            kind: "TXT".to_owned(),
            value: "bore-domain=1".to_owned(),
        };
        let values = ["bore-domain=2", "v=spf1 \u{1b}[31m"].map(str::to_owned).to_vec();
        let text = contrast(&proof, Ok(values));
        assert!(
            text.contains(
                r#"found TXT "bore-domain=2", "v=spf1 \u{1b}[31m", expected "bore-domain=1""#
            ),
            "{text}"
        );
        let many = contrast(&proof, Ok(vec!["x".repeat(10_000); 100]));
        assert!(many.chars().count() < 500 && many.contains("and 97 more"), "{many}");
        let absent = contrast(&proof, Err(DnsFault::NoName));
        assert!(absent.contains("NXDOMAIN") && absent.contains("bore-domain=1"), "{absent}");
    }

    #[test]
    fn every_fault_is_told_apart() {
        let faults = [
            (NetError::Timeout, DnsFault::TimedOut),
            (NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)), DnsFault::ServFail),
            (
                NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)),
                DnsFault::Refused(ResponseCode::Refused),
            ),
        ];
        for (error, expected) in faults {
            assert_eq!(fault(&error), expected);
        }
    }
}
