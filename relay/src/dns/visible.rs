//! Waiting until a zone's servers show a TXT record: a certificate authority asks them, and does not ask twice.

use std::time::Instant;

use hickory_proto::rr::RecordType;

use super::limits::{VISIBLE_POLL, VISIBLE_TIMEOUT};
use super::lookups::{Cut, Lookups, Seen, Server};
use super::txt::TxtError;

/// Returns when every server of the zone shows `value` under `name`.
///
/// # Errors
/// After [`VISIBLE_TIMEOUT`], with what each server shows instead.
pub async fn wait(
    lookups: &Lookups,
    provider: &'static str,
    name: &str,
    value: &str,
) -> Result<(), TxtError> {
    let end = Instant::now() + VISIBLE_TIMEOUT;
    loop {
        let Err(cause) = look(lookups, name, value).await else { return Ok(()) };
        if Instant::now() + VISIBLE_POLL > end {
            return Err(TxtError::NotVisible { provider, name: name.to_owned(), cause });
        }
        tokio::time::sleep(VISIBLE_POLL).await;
    }
}

/// Whether every server shows it; else what they show.
async fn look(lookups: &Lookups, name: &str, value: &str) -> Result<(), String> {
    let Cut { zone, servers } = lookups.cut(name).await.map_err(|error| error.to_string())?;
    if servers.is_empty() {
        return Err(format!("no server of the zone {zone} has an address"));
    }
    let mut without = Vec::new();
    for server in &servers {
        if let Err(instead) = shows(lookups, server, name, value).await {
            without.push(format!("{} ({}) {instead}", server.name, server.address));
        }
    }
    if without.is_empty() { Ok(()) } else { Err(without.join("; ")) }
}

async fn shows(lookups: &Lookups, server: &Server, name: &str, value: &str) -> Result<(), String> {
    let answer = lookups.ask(server.address, name, RecordType::TXT).await;
    let answer = answer.map_err(|error| error.to_string())?;
    let seen = Seen::in_answer(&answer, name, RecordType::TXT);
    if seen.records.iter().any(|record| record == value) {
        return Ok(());
    }
    Err(match (seen.records.len(), seen.alias) {
        (_, Some(alias)) => format!("has a CNAME to {alias}"),
        (0, None) => format!("has no TXT record ({})", answer.response_code),
        (others, None) => format!("has {others} other values"),
    })
}
