//! Answers the relay on the probe port: whether a target answers right now, and whether this agent expects a visit.
//!
//! | line from the relay | line back |
//! |---|---|
//! | `{"check":"<publication id>"}` | `{"ok":true,"detail":"took a connection in 2 ms"}`, `note` beside it where something is unproved |
//! | `{"echo":"<token>"}`, expected | `{"echo":"<token>"}`, once |
//! | anything else | `{"ok":false,"detail":"…"}` |
//!
//! Only the relay's tunnel reaches this port. It can have a declared target dialled, as any visitor can, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use bore_api::limits::PROBE_LINE_BYTES_MAX;
use bore_api::state::TargetReport;
use bore_driver::{Local, pipe};
use bore_netstack::Incoming;
use bore_overlay::{PROBE_PORT, PeerId};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::serve_tcp::Listeners;
use super::shared::Shared;
use super::target_watch::check_target;

/// Answers until dropped.
pub(crate) async fn run(local: Local, shared: Arc<Shared>, relay: PeerId) {
    let addresses = shared.membership.addresses();
    let listeners = match Listeners::open(&local, addresses, PROBE_PORT..=PROBE_PORT, relay) {
        Ok(listeners) => listeners,
        Err(error) => {
            tracing::error!(%error, "cannot answer the relay's probes");
            return;
        }
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            incoming = listeners.accept() => {
                connections.spawn_local(serve(Arc::clone(&shared), incoming));
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn serve(shared: Arc<Shared>, incoming: Incoming) {
    let Some(_permit) = shared.room.probe() else { return incoming.reject_reset() };
    let Ok(flow) = incoming.accept() else { return };
    if let Err(error) = converse(&shared, pipe(flow)).await {
        tracing::debug!(%error, "probe connection ended");
    }
}

async fn converse(
    shared: &Arc<Shared>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::new(reader);
    while let Some(line) = next_line(&mut reader).await? {
        let answer = answer(shared, &line).await;
        writer.write_all(&answer_line(&answer)?).await?;
        writer.flush().await?;
    }
    writer.shutdown().await
}

/// The relay takes the publication for reachable only if packets of full length are carried both ways, so an answer is no shorter. JSON does not mind
/// spaces.
fn answer_line(answer: &Answer) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(answer)?;
    text.resize(text.len().max(ANSWER_BYTES_MIN), b' ');
    text.push(b'\n');
    Ok(text)
}

/// One line within the limit; `None` at the end, and for a line that goes on and on.
async fn next_line(
    reader: &mut (impl AsyncBufReadExt + Unpin),
) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut limited = reader.take(PROBE_LINE_BYTES_MAX as u64);
    let read = tokio::time::timeout(IDLE_MAX, limited.read_until(b'\n', &mut line)).await;
    read.unwrap_or(Ok(0))?;
    Ok(line.ends_with(b"\n").then_some(line))
}

async fn answer(shared: &Arc<Shared>, line: &[u8]) -> Answer {
    let answer = match serde_json::from_slice(line) {
        Ok(Question::Check(id)) => check(shared, id).await,
        Ok(Question::Echo(token)) => echo(shared, token),
        Err(error) => Answer::not_ok(format!("the question is not understood: {error}")),
    };
    match &answer {
        Answer::Report(TargetReport { ok: false, .. }) => shared.counters.probes_refused.add_one(),
        Answer::Report(_) | Answer::Echo { .. } => shared.counters.probes_answered.add_one(),
    }
    answer
}

async fn check(shared: &Arc<Shared>, id: Uuid) -> Answer {
    let found = shared.registry().by_id(id).map(|(name, _)| name.clone());
    let report = match &found {
        Some(name) => check_target(shared, name).await,
        None => None,
    };
    let undeclared = || Answer::not_ok("not declared on this agent (B7103)".to_owned());
    report.map_or_else(undeclared, Answer::Report)
}

fn echo(shared: &Shared, token: String) -> Answer {
    match shared.registry().take_visit(&token) {
        Some(_) => Answer::Echo { echo: token },
        None => Answer::not_ok("this visit is not expected here".to_owned()),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Question {
    Check(Uuid),
    Echo(String),
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Answer {
    Report(TargetReport),
    Echo { echo: String },
}

impl Answer {
    fn not_ok(detail: String) -> Self {
        Self::Report(TargetReport { ok: false, detail, note: None })
    }
}

/// More than a packet of the tunnel holds.
const ANSWER_BYTES_MIN: usize = 1_300;
/// The relay asks more often than this, or opens a new connection.
const IDLE_MAX: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_read_as_the_relay_writes_them() {
        let check = format!(r#"{{"check":"{}"}}"#, Uuid::nil());
        assert!(
            matches!(serde_json::from_str(&check).unwrap(), Question::Check(id) if id.is_nil())
        );
        let echo: Question = serde_json::from_str(r#"{"echo":"abc"}"#).unwrap();
        assert!(matches!(echo, Question::Echo(token) if token == "abc"));

        let answer = serde_json::to_string(&Answer::Echo { echo: "abc".into() }).unwrap();
        assert_eq!(answer, r#"{"echo":"abc"}"#);
        let answer = serde_json::to_string(&Answer::not_ok("no".into())).unwrap();
        assert_eq!(answer, r#"{"ok":false,"detail":"no"}"#);
    }

    #[test]
    fn an_answer_is_one_line_and_takes_more_than_a_packet() {
        let line = answer_line(&Answer::Echo { echo: "abc".into() }).unwrap();
        assert_eq!(line.len(), ANSWER_BYTES_MIN + 1);
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(ANSWER_BYTES_MIN));
        assert!(line.starts_with(br#"{"echo":"abc"} "#));
    }

    #[tokio::test]
    async fn a_line_without_end_is_not_read_for_ever() {
        let endless = vec![b'x'; PROBE_LINE_BYTES_MAX * 2];
        let mut reader = BufReader::new(endless.as_slice());
        assert_eq!(next_line(&mut reader).await.unwrap(), None);

        let mut reader = BufReader::new(&b"{\"a\":1}\nrest"[..]);
        assert_eq!(next_line(&mut reader).await.unwrap().unwrap(), b"{\"a\":1}\n");
        assert_eq!(next_line(&mut reader).await.unwrap(), None, "the rest is no whole line");
    }
}
