//! Waiting until a zone's servers show a TXT record: a certificate authority asks them, and does not ask twice.

use std::time::Instant;

use futures_util::future::join_all;
use hickory_proto::op::DnsResponse;
use hickory_proto::rr::RecordType;

use super::limits::{VISIBLE_POLL, VISIBLE_TIMEOUT};
use super::lookups::{Cut, Lookups, Seen, Server};
use super::txt::TxtError;

/// Returns when every server of the zone that answers shows `value` under `name`.
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

/// Whether every server that answers shows it; else what they show.
///
/// One that is silent is left out while others answer: this machine may have no way to its address (IPv6), and a certificate
/// authority asks another one as well.
async fn look(lookups: &Lookups, name: &str, value: &str) -> Result<(), String> {
    let Cut { zone, servers } = lookups.cut(name).await.map_err(|error| error.to_string())?;
    if servers.is_empty() {
        return Err(format!("no server of the zone {zone} has an address"));
    }
    let asked = servers.iter().map(|server| lookups.ask(server.address, name, RecordType::TXT));
    let answers = join_all(asked).await;
    let (mut is_shown, mut without, mut silent) = (false, Vec::new(), Vec::new());
    for (Server { name: server, address }, answer) in servers.iter().zip(answers) {
        match answer.map(|answer| instead_of(value, name, &answer)) {
            Ok(None) => is_shown = true,
            Ok(Some(instead)) => without.push(format!("{server} ({address}) {instead}")),
            Err(error) => silent.push(format!("{server} ({address}) {error}")),
        }
    }
    match (is_shown, without.is_empty()) {
        (true, true) => Ok(()),
        (_, false) => Err(without.join("; ")),
        (false, true) => Err(silent.join("; ")),
    }
}

/// What a server shows instead of `value`, if it does not show that.
fn instead_of(value: &str, name: &str, answer: &DnsResponse) -> Option<String> {
    let seen = Seen::in_answer(answer, name, RecordType::TXT);
    if seen.records.iter().any(|record| record == value) {
        return None;
    }
    Some(match (seen.records.len(), seen.alias) {
        (_, Some(alias)) => format!("has a CNAME to {alias}"),
        (0, None) => format!("has no TXT record ({})", answer.response_code),
        (others, None) => format!("has {others} other values"),
    })
}
