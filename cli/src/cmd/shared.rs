//! What several commands do alike: write times and lists, find a thing by name or id, suggest a near name, show the agent in a line.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bore_api::Code;
use bore_api::model::{Micros, parse_id};
use bore_api::utc_text;
use uuid::Uuid;

use crate::error::{CliError, CliResult};
use bore_agent::Status;

/// `2026-11-22 18:35:21 UTC`, or `-` for never.
pub(super) fn time(at: Option<Micros>) -> String {
    at.map_or_else(|| "-".to_owned(), utc_text)
}

/// The moment that is `life` ahead.
pub(super) fn from_now(life: Duration) -> Micros {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros::try_from((now + life).as_micros()).unwrap_or(Micros::MAX)
}

/// The thing of a list that is called `wanted`, by name or by id; `list` is the command that shows all.
pub(super) fn find<'t, T>(
    items: &'t [T],
    kind: &str,
    list: &str,
    wanted: &str,
    identity: impl Fn(&T) -> (Uuid, &str),
) -> CliResult<&'t T> {
    let found = match parse_id(wanted) {
        Some(id) => items.iter().find(|item| identity(item).0 == id),
        None => items.iter().find(|item| identity(item).1 == wanted),
    };
    let code =
        if kind == "publication" { Code::PUBLICATION_NOT_FOUND } else { Code::OTHER_NETWORK };
    found.ok_or_else(|| {
        let error = CliError::new(code, format!("there is no {kind} `{wanted}`"));
        error.next(suggestion(items.iter().map(|item| identity(item).1), list, wanted))
    })
}

fn suggestion<'n>(names: impl Iterator<Item = &'n str>, list: &str, wanted: &str) -> String {
    let likeness = |name: &str| strsim::jaro_winkler(name, wanted);
    let best = names.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match best.filter(|name| likeness(name) > 0.8) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{list} shows what there is"),
    }
}

/// `laptop in default, 100.64.0.2, connected to relay.example.org in 12 ms`.
pub(super) fn agent_line(status: &Status) -> String {
    let round_trip = status.round_trip_ms.map(|ms| format!(" in {ms:.1} ms")).unwrap_or_default();
    let cause = status.cause.as_deref().map(|cause| format!(": {cause}")).unwrap_or_default();
    let connected = if status.connected { "connected to" } else { "not connected to" };
    let Status { name, network, overlay_v4, relay, .. } = status;
    format!("{name} in {network}, {overlay_v4}, {connected} {relay}{round_trip}{cause}")
}

/// A comma-separated list, or `-`.
pub(super) fn listed(items: &[String]) -> String {
    if items.is_empty() { "-".to_owned() } else { items.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_utc_and_never_is_a_dash() {
        assert_eq!(time(Some(0)), "1970-01-01 00:00:00 UTC");
        assert_eq!(time(None), "-");
    }

    #[test]
    fn a_mistyped_name_gets_a_suggestion() {
        let nil = Uuid::nil().to_string();
        let items = [(Uuid::max(), nil.clone()), (Uuid::nil(), "laptop".to_owned())];
        let identity = |item: &(Uuid, String)| item.0;
        let look = |wanted: &str| {
            find(&items, "node", "bore node ls", wanted, |item| (identity(item), item.1.as_str()))
        };
        assert!(look("laptop").is_ok());
        assert_eq!(look(&nil).unwrap().1, "laptop", "whatever another one is called");
        let error = look("laptpo").unwrap_err();
        assert_eq!(error.next_step(), Some("did you mean `laptop`?"));
        assert_eq!(look("x").unwrap_err().next_step(), Some("bore node ls shows what there is"));
    }
}
