//! A whole agent whose relay is a second shard on loopback: visitors come through a tunnel, and nothing is asked of control.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::target_watch::check_target;
use crate::test_lab::{Lab, VISITOR, within};

#[tokio::test]
async fn a_visitor_comes_as_a_stream_with_its_address_and_each_side_closes_by_itself() {
    let lab = Lab::build().await;
    let mut listener = lab.listen("web").await;
    let mut visitor = lab.visit().await;
    visitor.write_all(b"question").await.unwrap();
    visitor.shutdown().await.unwrap();

    let (mut stream, from) = within(listener.accept()).await.unwrap();
    assert_eq!(from.ip(), VISITOR);
    let mut heard = Vec::new();
    within(stream.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, b"question");
    let answer = vec![7; 300_000];
    let answering = async {
        stream.write_all(&answer).await.unwrap();
        drop(stream);
    };
    let mut came = Vec::new();
    let reading = visitor.read_to_end(&mut came);
    let (_, ended) = within(async { tokio::join!(answering, reading) }).await;
    ended.unwrap();
    assert!(came == answer, "{} bytes of an answer that was written before the drop", came.len());
    assert_eq!(lab.agent.status().counters.flows_opened, 1);
}

#[tokio::test]
async fn a_visitor_beyond_the_queue_is_refused_and_counted_and_no_place_is_lost() {
    let lab = Lab::build().await;
    let mut listener = lab.listen("web").await;
    let mut waiting = Vec::new();
    for _ in 0..STREAMS_WAITING_MAX {
        waiting.push(lab.visit().await);
    }
    let counted = || lab.agent.status().counters;
    assert_eq!(counted().streams_refused_by_limit, 0);
    lab.visit_refused().await;
    assert!(counted().streams_refused_by_limit > 0);
    assert_eq!(counted().flows_opened, STREAMS_WAITING_MAX as u64);

    for _ in 0..STREAMS_WAITING_MAX {
        drop(within(listener.accept()).await.unwrap());
    }
    // The netstack repeats a call that is refused, which may have taken one of the places.
    let visited = async { while lab.relay.connect(lab.dial()).await.is_err() {} };
    within(visited).await;
}

#[tokio::test]
async fn a_dropped_listener_takes_its_publication_back_and_resets_who_waits() {
    let lab = Lab::build().await;
    let listener = lab.listen("web").await;
    assert!(check_target(&lab.agent.shared, "web").await.unwrap().ok);
    let mut visitor = lab.visit().await;
    drop(listener);
    let error = within(visitor.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    lab.is_withdrawn("web").await;
    lab.visit_refused().await;
}

#[tokio::test]
async fn closing_lets_open_connections_end_and_takes_no_more() {
    let lab = Lab::build().await;
    let mut listener = lab.listen("web").await;
    let mut visitor = lab.visit().await;
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    let closing = tokio::spawn(listener.close());
    let is_down = async {
        while check_target(&lab.agent.shared, "web").await.unwrap().ok {
            tokio::task::yield_now().await;
        }
    };
    within(is_down).await;
    lab.visit_refused().await;
    assert!(!closing.is_finished(), "a connection is still open");

    stream.write_all(b"goodbye").await.unwrap();
    drop(stream);
    let mut heard = Vec::new();
    within(visitor.read_to_end(&mut heard)).await.unwrap();
    drop(visitor);
    within(closing).await.unwrap();
    assert_eq!(heard, b"goodbye");
    assert!(lab.agent.shared.registry().entry("web").is_none());
}

#[tokio::test]
async fn a_listener_that_was_replaced_ends_and_takes_nothing_of_the_next_one() {
    let lab = Lab::build().await;
    let mut replaced = lab.listen("web").await;
    let mut listener = lab.listen("web").await;
    assert!(within(replaced.accept()).await.is_none());
    assert!(replaced.publication().is_none() && listener.publication().is_some());
    within(replaced.end()).await.unwrap();
    drop(replaced);

    let _visitor = lab.visit().await;
    assert!(within(listener.accept()).await.is_some());
    lab.agent.stop().await;
    assert!(within(listener.accept()).await.is_none(), "the agent has ended");
    assert!(listener.publication().is_none() && within(listener.live()).await.is_none());
}

#[tokio::test]
async fn a_publication_that_the_relay_refuses_for_now_stays_the_listeners() {
    let lab = Lab::build().await;
    let listener = lab.listen("web").await;
    lab.agent.shared.refuse("web", bore_api::Problem::default());
    let shown = listener.publication().expect("it is asked for again");
    assert_eq!(shown.state.state, State::Refused);
}

#[tokio::test]
async fn a_listener_refuses_what_it_cannot_keep() {
    let lab = Lab::build().await;
    let tcp = || Declaration::in_process(Protocol::Tcp);
    let refused = async |declaration| lab.agent.listen(declaration).await.unwrap_err();
    let mut checked_by_http = Declaration::in_process(Protocol::Http);
    checked_by_http.options.health.check = "http:/up".parse().ok();
    for unsuitable in [
        Declaration::new(Protocol::Tcp, "3000"),
        Declaration::in_process(Protocol::Udp),
        Declaration { lifetime: Lifetime::Persistent, ..tcp() },
        checked_by_http,
    ] {
        assert_eq!(refused(unsuitable).await.code(), "B1001");
    }
    assert_eq!(lab.agent.publish(tcp()).await.unwrap_err().code(), "B1001");

    let _listener = lab.listen("web").await;
    for second in [tcp(), Declaration { name: Some("web".to_owned()), ..tcp() }] {
        assert!(matches!(refused(second).await, AgentError::Listening { .. }));
    }
}
