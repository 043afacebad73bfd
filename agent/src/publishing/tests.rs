//! The order of what is done to one name, and what becomes of it when its caller gives up.

use bore_api::model::Protocol;

use super::*;
use crate::listener::Listener;
use crate::test_lab::{FOUND, Lab, in_process, within};
use crate::test_support::declaration;

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_the_end_of_a_listener_is_done_after_it_and_no_other_name_waits() {
    let lab = Lab::build().await;
    let listener = lab.listen("web").await;
    lab.control.hold("DELETE web");
    drop(listener);
    let publishing = tokio::spawn({
        let agent = lab.agent.clone();
        async move { agent.publish(port("web")).await }
    });
    lab.control.is_asked("DELETE web").await;
    within(lab.agent.publish(port("other"))).await.unwrap();
    lab.control.let_go();
    within(publishing).await.unwrap().unwrap();

    demand_done_before(&lab, "DELETE web done", "POST web");
    assert_eq!(lab.control.stored(), ["other", "web"]);
    assert!(lab.agent.shared.registry().entry("web").unwrap().acceptor.is_none());
}

#[tokio::test]
async fn a_listener_that_nobody_waits_for_any_more_leaves_nothing_published() {
    let lab = Lab::build().await;
    lab.control.hold("POST web");
    let agent = lab.agent.clone();
    let listening = tokio::spawn(async move { agent.listen(in_process("web")).await });
    lab.control.is_asked("POST web").await;
    listening.abort();
    assert!(listening.await.unwrap_err().is_cancelled());
    lab.control.let_go();
    lab.control.is_asked("DELETE web").await;
    // Its turn comes behind the end of the one that was given up.
    within(lab.agent.publish(port("web"))).await.unwrap();
    assert_eq!(lab.control.stored(), ["web"]);
    assert_eq!(asked(&lab), ["POST web", "DELETE web", "POST web"]);
}

#[tokio::test]
async fn a_publication_and_its_end_are_done_to_the_end_though_nobody_waits() {
    let lab = Lab::build().await;
    lab.control.hold("POST web");
    give_up(lab.agent.publish(port("web"))).await;
    give_up(lab.agent.withdraw("web")).await;
    lab.control.is_asked("POST web").await;
    lab.control.let_go();
    lab.control.is_asked("DELETE web").await;
    within(async { while !lab.control.stored().is_empty() {} }).await;
    assert!(lab.agent.publications().is_empty());
}

#[tokio::test]
async fn closing_ends_in_its_turn_though_nobody_waits() {
    let lab = Lab::build().await;
    let listener = lab.listen("web").await;
    lab.control.hold("DELETE web");
    let closing = tokio::spawn(listener.close());
    lab.control.is_asked("DELETE web").await;
    closing.abort();
    let publishing = tokio::spawn({
        let agent = lab.agent.clone();
        async move { agent.publish(port("web")).await }
    });
    lab.control.let_go();
    within(publishing).await.unwrap().unwrap();
    demand_done_before(&lab, "DELETE web done", "POST web");
    assert_eq!(lab.control.stored(), ["web"]);
}

#[tokio::test]
async fn a_name_that_the_relay_finds_has_turns_too() {
    let lab = Lab::build().await;
    let unnamed = || Declaration { name: None, ..port("any") };
    assert_eq!(within(lab.agent.publish(unnamed())).await.unwrap().publication.name, FOUND);
    // It is found again while it is being taken back: then it is published anew behind that.
    lab.control.hold("DELETE");
    let withdrawing = lab.agent.withdraw(FOUND);
    let publishing = lab.agent.publish(unnamed());
    let letting_go = async {
        lab.control.is_asked("DELETE found").await;
        within(async {
            while asked(&lab).iter().filter(|each| *each == "POST found").count() < 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        lab.control.let_go();
    };
    let (withdrawn, published, ()) =
        within(async { tokio::join!(withdrawing, publishing, letting_go) }).await;
    withdrawn.unwrap();
    assert_eq!(published.unwrap().publication.name, FOUND);
    assert_eq!(lab.control.stored(), [FOUND]);
    assert_eq!(lab.agent.publications().len(), 1);
}

#[tokio::test]
async fn a_name_is_taken_over_from_or_by_a_listener_only_when_that_is_said() {
    let lab = Lab::build().await;
    let mut listener = lab.listen("web").await;
    let refused = within(lab.agent.publish(port("web"))).await.unwrap_err();
    assert_eq!((refused.code(), refused.is_final()), ("B2102", true), "{refused}");
    assert!(refused.next_step().contains("--replace") && listener.publication().is_some());
    let over = |declaration| Declaration { replace: true, ..declaration };
    within(lab.agent.publish(over(port("web")))).await.unwrap();
    assert!(within(listener.accept()).await.is_none(), "it was taken over");
    drop(listener);

    let listen = |declaration| within(lab.agent.listen(declaration));
    let refused = listen(in_process("web")).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), "B2102", "{refused}");
    let _taken: Listener = listen(over(in_process("web"))).await.unwrap();
    // The command that had it lets go of it, and of nothing else.
    within(lab.agent.withdraw_if("web", Entry::is_let_go)).await.unwrap();
    assert!(lab.agent.shared.registry().entry("web").unwrap().is_listened_to());
    assert_eq!(lab.control.stored(), ["web"]);
}

#[tokio::test]
async fn what_the_relay_may_have_without_an_answer_is_looked_for_once() {
    let lab = Lab::build().await;
    lab.control.store("left");
    within(lab.agent.publish(port("web"))).await.unwrap();
    let control = lab.agent.shared.control().unwrap();
    let look = || session::remove_leftovers(&lab.agent.shared, &control);
    within(look()).await.unwrap();
    assert_eq!(lab.control.stored(), ["left", "web"], "there was no doubt");
    lab.agent.shared.doubt_leftovers();
    {
        let _turn = lab.agent.shared.turns.take("left").unwrap();
        within(look()).await.unwrap();
        assert_eq!(
            lab.control.stored(),
            ["left", "web"],
            "the other caller is about to declare it"
        );
    }
    lab.agent.shared.doubt_leftovers();
    within(look()).await.unwrap();
    assert_eq!(lab.control.stored(), ["web"]);
}

fn port(name: &str) -> Declaration {
    declaration(name, Protocol::Tcp, "7777")
}

/// Polls a future once, and drops it.
async fn give_up<T>(future: impl Future<Output = T>) {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        assert!(polled.is_pending(), "there is nothing to give up");
        std::task::Poll::Ready(())
    })
    .await;
}

/// Changes of publications that were asked for.
fn asked(lab: &Lab) -> Vec<String> {
    // Reports and visits are about a part of a publication.
    let is_change = |request: &String| !request.starts_with("GET") && !request.contains('/');
    let is_asked = |request: &String| is_change(request) && !request.ends_with("done");
    lab.control.asked().into_iter().filter(is_asked).collect()
}

/// The last `then` came behind `first`.
fn demand_done_before(lab: &Lab, first: &str, then: &str) {
    let asked = lab.control.asked();
    let last = |wanted: &str| asked.iter().rposition(|each| each == wanted).unwrap();
    assert!(last(first) < last(then), "{asked:?}");
}
