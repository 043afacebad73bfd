//! WHO and IAM.

use std::time::Duration;

use bore_overlay::{ClusterKey, DropReason, Event, UnknownKeys};

use crate::lab::{AGENT, Datagram, Lab, RELAY, address, cluster};

#[test]
fn a_relay_tells_its_key_and_the_cluster_vouches_for_it() {
    let mut lab = asking(cluster());
    lab.settle();
    let told = Event::RelayIdentity { from: address(RELAY), key: lab.key(RELAY) };
    assert_eq!(lab.end(AGENT).events, [told]);
    assert_eq!(lab.end(AGENT).overlay.poll_timeout(), None, "nothing more is asked");
}

#[test]
fn a_relay_of_another_cluster_is_not_believed_and_asked_again() {
    let mut lab = asking(ClusterKey::from_bytes([1; 32]));
    lab.advance(Duration::from_millis(1_600), true);
    assert!(lab.end(AGENT).events.is_empty());
    assert_eq!(lab.dropped(AGENT, DropReason::InvalidIdentity), 4, "at 0, 500, 1,000 and 1,500 ms");
}

#[test]
fn asking_ends_when_it_is_told_to() {
    let mut lab = asking(cluster());
    lab.end(AGENT).overlay.cancel_identity_requests();
    lab.settle();
    assert!(lab.end(AGENT).events.is_empty(), "a late answer is to nothing that is asked");
}

#[test]
fn who_is_no_relay_does_not_answer() {
    let mut lab = asking(cluster());
    let question = lab.intercept().remove(0);
    lab.add_nobody("192.0.2.5:1");
    lab.deliver(&Datagram { to: address("192.0.2.5:1"), ..question });
    assert_eq!(lab.dropped("192.0.2.5:1", DropReason::NotARelay), 1);
    assert!(lab.intercept().is_empty());
}

#[test]
fn attack_33_an_identity_is_shorter_than_its_question_and_told_so_often_only() {
    let mut lab = asking(cluster());
    let question = lab.intercept().remove(0);
    for _ in 0..5_000 {
        lab.deliver(&question);
    }
    let answers = lab.intercept();
    assert!((1..=1_500).contains(&answers.len()), "{}", answers.len());
    assert!(answers.iter().all(|answer| answer.bytes.len() < question.bytes.len()));
}

#[test]
fn an_answer_with_another_nonce_or_a_changed_key_is_not_believed() {
    let mut lab = asking(cluster());
    let question = lab.intercept().remove(0);
    lab.deliver(&question);
    let answer = lab.intercept().remove(0);
    for position in [4, 12, 50] {
        let mut forged = answer.clone();
        forged.bytes[position] ^= 1;
        lab.deliver(&forged);
    }
    lab.collect();
    assert!(lab.end(AGENT).events.is_empty());
    assert_eq!(lab.dropped(AGENT, DropReason::InvalidIdentity), 3);
}

fn asking(cluster: ClusterKey) -> Lab {
    let mut lab = Lab::new();
    lab.add(RELAY, 1, UnknownKeys::Garden);
    lab.add(AGENT, 2, UnknownKeys::Refuse);
    let now = lab.now;
    lab.end(AGENT).overlay.request_identity(address(RELAY), cluster.public(), now);
    lab
}
