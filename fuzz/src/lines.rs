//! Streams of JSON lines between relay and agent. The readers are private to their programs; the same files are read here.

#[path = "../../relay/src/publications/agent_probe.rs"]
#[allow(dead_code, reason = "one of the relay's two questions is asked here")]
mod agent_probe;
#[path = "../../agent/src/limits.rs"]
#[allow(dead_code, reason = "one of the agent's limits is used here")]
mod limits;
#[path = "../../agent/src/ndjson.rs"]
mod ndjson;

use std::convert::Infallible;

use bore_api::wire::WatchEvent;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use crate::choices::Choices;

/// An agent answers the relay's question with these bytes.
pub fn probe_answers(bytes: &[u8]) {
    block_on(async {
        let (mut relay, mut agent) = tokio::io::duplex(64 * 1024);
        let answering = async {
            // A relay that has read enough hangs up.
            let _ = agent.write_all(bytes).await;
            let _ = agent.shutdown().await;
        };
        let question = agent_probe::Question::Check(Uuid::nil());
        let asking = async {
            let answer = agent_probe::ask(&mut relay, &question).await;
            drop(relay);
            answer
        };
        let (answer, ()) = tokio::join!(asking, answering);
        if let Ok(answer) = answer {
            assert!(answer.detail.len() <= bytes.len() * 4);
            let _ = (answer.ok, answer.note, answer.echo);
        }
    });
}

/// A relay sends these bytes to an agent that watches, in pieces.
pub fn watch(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let pieces = usize::from(choices.small()) + 1;
    let frames: Vec<Result<_, Infallible>> = choices
        .rest()
        .chunks(pieces)
        .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    block_on(async {
        let mut lines = ndjson::Lines::new(StreamBody::new(stream::iter(frames)));
        while let Ok(Some(event)) = lines.next::<WatchEvent>().await {
            assert!(!format!("{event:?}").is_empty());
        }
    });
}

fn block_on(story: impl Future<Output = ()>) {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(story));
}
