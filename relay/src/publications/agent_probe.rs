//! The questions that a relay asks an agent at its probe port: JSON, a line each.

use std::io;
use std::time::Duration;

use bore_api::limits::PROBE_LINE_BYTES_MAX;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use uuid::Uuid;

use crate::limits::DETAIL_CHARACTERS_MAX;

/// What a relay asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Question<'a> {
    /// How is the target of this publication?
    Check(Uuid),
    /// You announced a visit with this token: is it you?
    Echo(&'a str),
}

/// What the agent answers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    /// Whether the target answered.
    pub(crate) ok: bool,
    /// Why not, or what was seen.
    pub(crate) detail: String,
    /// What of the target was not proved.
    pub(crate) note: Option<String>,
    /// The token, if the agent expected it.
    pub(crate) echo: Option<String>,
}

impl Answer {
    /// An agent's words go to logs, terminals and pages: one visible line, no longer than it has to be.
    fn cleaned(self) -> Self {
        let visible = |character: char| {
            if character.is_control() || is_direction_mark(character) {
                char::REPLACEMENT_CHARACTER
            } else {
                character
            }
        };
        let line = |text: String, most: usize| -> String {
            text.chars().take(most).map(visible).collect()
        };
        let detail = line(self.detail, DETAIL_CHARACTERS_MAX);
        let note = self.note.map(|note| line(note, NOTE_CHARACTERS_MAX));
        Self { detail, note, ..self }
    }
}

/// Marks that turn or hide what follows them (UAX 9 section 2).
fn is_direction_mark(character: char) -> bool {
    matches!(character, '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// Asks one question and reads one answer, both bounded.
pub(crate) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    question: &Question<'_>,
) -> io::Result<Answer> {
    let mut text = serde_json::to_vec(question).map_err(io::Error::other)?;
    text.push(b'\n');
    text.resize(text.len().max(QUESTION_BYTES_MIN), b' ');
    let exchange = async {
        stream.write_all(&text).await?;
        let mut answer = String::new();
        BufReader::new(stream).take(PROBE_LINE_BYTES_MAX as u64).read_line(&mut answer).await?;
        serde_json::from_str(&answer).map(Answer::cleaned).map_err(io::Error::other)
    };
    tokio::time::timeout(ANSWER_WAIT, exchange).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// It stands in a column of a table.
const NOTE_CHARACTERS_MAX: usize = 60;
/// More than a packet of the tunnel holds: what is proved by a question and its answer, which the agent makes as long, is proved for packets of full
/// length, both ways. The spaces begin another line, for there are agents that refuse one of more than 1,024 bytes; it never ends.
const QUESTION_BYTES_MIN: usize = 1_300;
const ANSWER_WAIT: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_is_one_line_and_so_is_its_answer() {
        let (mut relay, agent) = tokio::io::duplex(4096);
        let answering = async {
            let mut agent = BufReader::new(agent);
            let mut line = String::new();
            agent.read_line(&mut line).await.unwrap();
            agent.get_mut().write_all(b"{\"echo\":\"abc\"}\n").await.unwrap();
            line
        };
        let (answer, question) = tokio::join!(ask(&mut relay, &Question::Echo("abc")), answering);
        assert_eq!(question, "{\"echo\":\"abc\"}\n");
        assert_eq!(answer.unwrap().echo.as_deref(), Some("abc"));
    }

    #[tokio::test]
    async fn a_question_takes_more_than_a_packet_and_no_long_line() {
        let (mut relay, mut agent) = tokio::io::duplex(4096);
        let id = Uuid::nil();
        let question = Question::Check(id);
        let asking = ask(&mut relay, &question);
        let hearing = async {
            let mut text = [0; QUESTION_BYTES_MIN];
            agent.read_exact(&mut text).await.unwrap();
            drop(agent);
            text
        };
        let (answer, text) = tokio::join!(asking, hearing);
        assert!(answer.is_err(), "nothing was answered");
        let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], format!("{{\"check\":\"{id}\"}}").as_bytes());
        assert!(lines[1].iter().all(|byte| *byte == b' '));
    }

    #[test]
    fn an_agents_words_are_one_short_visible_line() {
        let detail = format!("a\u{1b}[2J\r\n\u{202e}{}", "x".repeat(5_000));
        let cleaned = Answer { detail, ..Answer::default() }.cleaned().detail;
        assert!(!cleaned.chars().any(char::is_control), "{cleaned:?}");
        assert_eq!(cleaned.chars().count(), DETAIL_CHARACTERS_MAX);
        let note = Some("x\n".repeat(5_000));
        let cleaned = Answer { note, ..Answer::default() }.cleaned().note.unwrap();
        assert!(cleaned.chars().count() == NOTE_CHARACTERS_MAX && !cleaned.contains('\n'));
    }
}
