//! Attacks on certificates, by their numbers.

use std::sync::Arc;

use bore_api::state::CertificateStatus;
use bore_edge::tls::Challenges;

use super::fake_ca::{DIRECTORY, FakeCa};
use super::lab::{Lab, one};

#[tokio::test]
async fn attack_23_a_token_is_answered_for_the_host_of_its_order_alone() {
    let challenges = Arc::new(Challenges::default());
    let standing = challenges.answer_http01("a.example.com", "token", "token.print".to_owned());
    assert_eq!(challenges.http01("a.example.com", "token").as_deref(), Some("token.print"));
    for (host, token) in [("b.example.com", "token"), ("a.example.com", "other"), ("", "")] {
        assert_eq!(challenges.http01(host, token), None, "{host} {token}");
    }
    assert!(challenges.tls_alpn01("a.example.com").is_none());
    drop(standing);
    assert_eq!(challenges.http01("a.example.com", "token"), None, "with the order it is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_23_who_answers_for_a_name_in_the_relays_place_gets_nothing_issued() {
    // The CA asks whoever the name points at: a tenant, who does not have the relay's answer.
    let ca = FakeCa::new(Arc::default());
    let lab = Lab::start(DIRECTORY, Arc::new(ca.clone())).await;
    ca.set_clock(Arc::clone(&lab.settings.clock));
    let running = lab.run(vec![one("b.example.com")]).await;
    assert_eq!(running.until_problem("b.example.com").await, "B5405");
    assert!(lab.certificate("b.example.com").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_25_ten_thousand_names_that_visitors_ask_for_order_nothing() {
    let challenges: Arc<Challenges> = Arc::default();
    let ca = FakeCa::new(Arc::clone(&challenges));
    let lab = Lab::with_challenges(DIRECTORY, Arc::new(ca.clone()), challenges).await;
    ca.set_clock(Arc::clone(&lab.settings.clock));
    let running = lab.run(vec![one("app.example.com")]).await;
    running.until("app.example.com", |state| state.status == CertificateStatus::Valid).await;

    for number in 0..10_000 {
        let sni = format!("n{number}.example.com");
        assert!(lab.certificates.for_name(&sni).is_none());
        assert!(lab.challenges.tls_alpn01(&sni).is_none());
        assert!(lab.challenges.http01(&sni, "token").is_none());
    }
    running.nudge();

    running.until("app.example.com", |state| state.status == CertificateStatus::Valid).await;
    assert_eq!(ca.asked("/new-order"), 1, "the one that is published");
    assert_eq!(running.issuer.states().len(), 1);
}
