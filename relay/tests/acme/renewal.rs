//! Renewal by what the CA says (RFC 9773), and a CA that is away for long.

use std::sync::Arc;
use std::time::Duration;

use bore_api::state::CertificateStatus;

use super::fake_ca::{DIRECTORY, FakeCa, Manners};
use super::lab::{DAY, Lab, Running, one, until_some};

const HOST: &str = "app.example.com";

/// A CA, and a relay with a certificate of it.
async fn certified(manners: Manners) -> (FakeCa, Lab, Running) {
    let challenges = Arc::default();
    let ca = FakeCa::new(Arc::clone(&challenges));
    let lab = Lab::with_challenges(DIRECTORY, Arc::new(ca.clone()), challenges).await;
    ca.set_clock(Arc::clone(&lab.settings.clock));
    ca.behave(manners);
    let running = lab.run(vec![one(HOST)]).await;
    running.until(HOST, |state| state.status == CertificateStatus::Valid).await;
    (ca, lab, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_when_its_ca_wants_it_and_says_what_it_replaces() {
    let manners = Manners { renewal: Some((10, 12)), ..Manners::default() };
    let (ca, lab, running) = certified(manners).await;
    let first = lab.certificate(HOST).await.unwrap();
    let window = until_some("a window", || async {
        lab.certificate(HOST).await.and_then(|stored| stored.renewal)
    })
    .await;
    assert!(window.start > first.not_before && window.end < first.not_after);
    assert_eq!(ca.asked("/new-order"), 1);

    // The CA changes its mind, and is asked again when it wanted to be.
    ca.behave(Manners { renewal: Some((-2, -1)), ..Manners::default() });
    lab.advance(&running, Duration::from_secs(6 * 60 * 60 + 1));
    let second = until_some("a new certificate", || async {
        lab.certificate(HOST).await.filter(|stored| stored.id != first.id)
    })
    .await;
    assert!(second.not_after > first.not_after);
    let replaced = ca.replaced();
    assert!(replaced[0].is_none());
    assert_eq!(replaced[1].as_deref(), Some("AQIDBA.AQ"), "key identifier and serial number");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_does_not_let_it_be_replaced_gets_a_plain_order() {
    // As Boulder answers for a certificate of another account.
    for refused in [("unauthorized", 403), ("malformed", 400)] {
        let (ca, lab, running) =
            certified(Manners { renewal: Some((10, 12)), ..Manners::default() }).await;
        let first = lab.certificate(HOST).await.unwrap();
        until_some("a window", || async { lab.certificate(HOST).await?.renewal }).await;
        ca.behave(Manners {
            renewal: Some((-2, -1)),
            refuses_replaces: Some(refused),
            ..Manners::default()
        });
        lab.advance(&running, Duration::from_secs(6 * 60 * 60 + 1));
        until_some("a new certificate", || async {
            lab.certificate(HOST).await.filter(|stored| stored.id != first.id)
        })
        .await;
        assert_eq!((ca.asked("/new-order"), ca.replaced()), (3, vec![None, None]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_such_a_word_two_thirds_of_the_life_are_waited_for() {
    let (ca, lab, running) = certified(Manners::default()).await;
    lab.advance(&running, 59 * DAY);
    assert_eq!(ca.asked("/new-order"), 1);
    lab.advance(&running, 2 * DAY);
    until_some("a second order", || async { (ca.asked("/new-order") == 2).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_change_of_ca_the_old_ones_certificate_stays_until_there_is_another() {
    let (ca, mut lab, running) =
        certified(Manners { renewal: Some((10, 12)), ..Manners::default() }).await;
    let first = lab.certificate(HOST).await.unwrap();
    until_some("a window", || async { lab.certificate(HOST).await?.renewal }).await;
    drop(running);

    lab.settings.directory = "https://ca.example/directory?other".to_owned();
    ca.behave(Manners { is_away: true, ..Manners::default() });
    let running = lab.run(vec![one(HOST)]).await;
    let state = running.until(HOST, |state| state.problem.is_some()).await;
    assert_eq!(state.status, CertificateStatus::Valid);
    assert!(lab.certificates.for_name(HOST).is_some());

    ca.behave(Manners::default());
    let second = until_some("one of the new CA", || async {
        lab.certificate(HOST).await.filter(|stored| stored.id != first.id)
    })
    .await;
    assert_eq!(second.directory.as_ref(), Some(&lab.settings.directory));
    assert_eq!(ca.replaced()[1], None, "another CA's certificate is none of its business");
    drop(running);
    let running = lab.run(vec![one(HOST)]).await;
    lab.advance(&running, DAY);
    running.until(HOST, |state| state.status == CertificateStatus::Valid).await;
    assert_eq!(ca.asked("/new-order"), 2, "the new one stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_has_a_certificate_replaced_at_once() {
    let (ca, lab, running) = certified(Manners::default()).await;
    let first = lab.certificate(HOST).await.unwrap();
    assert!(running.issuer.renew("other.example.com").is_none());
    let state = running.issuer.renew(HOST).unwrap();
    assert!(state.next_try_at.unwrap() <= lab.now(), "{state:?}");
    until_some("another certificate", || async {
        lab.certificate(HOST).await.filter(|stored| stored.id != first.id)
    })
    .await;
    running.until(HOST, |state| state.next_try_at > Some(lab.now())).await;
    assert_eq!(ca.asked("/new-order"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_has_a_missing_one_tried_again_when_the_ca_lets_itself_be_asked() {
    let challenges = Arc::default();
    let ca = FakeCa::new(Arc::clone(&challenges));
    let mut lab = Lab::with_challenges(DIRECTORY, Arc::new(ca.clone()), challenges).await;
    ca.set_clock(Arc::clone(&lab.settings.clock));
    let hour = Duration::from_secs(60 * 60);
    (lab.settings.pace.refused, lab.settings.pace.refused_max) = (48 * hour, 48 * hour);
    ca.behave(Manners { refuses_proofs: Some("connection"), ..Manners::default() });
    let running = lab.run(vec![one(HOST)]).await;
    assert_eq!(running.until_problem(HOST).await, "B5404");

    ca.behave(Manners {
        refuses_orders: Some(("rateLimited", 429, Some(3_600))),
        ..Manners::default()
    });
    running.issuer.renew(HOST).unwrap();
    running
        .until(HOST, |state| state.problem.as_ref().is_some_and(|problem| problem.code == "B5402"))
        .await;
    let asked = ca.asked("/new-order");

    ca.behave(Manners::default());
    let state = running.issuer.renew(HOST).unwrap();
    assert!(state.next_try_at.unwrap() > lab.now() + 3_000_000_000, "{state:?}");
    lab.advance(&running, hour / 2);
    assert_eq!(ca.asked("/new-order"), asked, "what the CA wishes holds");
    lab.advance(&running, hour / 2);
    running.until(HOST, |state| state.status == CertificateStatus::Valid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrators_wish_ends_the_pause_of_a_ca_that_is_back() {
    let challenges = Arc::default();
    let ca = FakeCa::new(Arc::clone(&challenges));
    let mut lab = Lab::with_challenges(DIRECTORY, Arc::new(ca.clone()), challenges).await;
    ca.set_clock(Arc::clone(&lab.settings.clock));
    (lab.settings.pace.passing, lab.settings.pace.passing_max) = (DAY, DAY);
    ca.behave(Manners { answers_html: true, ..Manners::default() });
    let names = [HOST, "b.example.com"];
    let running = lab.run(vec![one(HOST)]).await;
    assert_eq!(running.until_problem(HOST).await, "B5408");
    until_some("a pause", || async {
        lab.store.acme_accounts().of_directory(DIRECTORY, lab.now()).await.unwrap().paused_until
    })
    .await;

    ca.behave(Manners::default());
    running.want(names.map(one).to_vec());
    running.until(names[1], |_| true).await;
    running.issuer.renew(HOST).unwrap();
    for name in names {
        running.until(name, |state| state.status == CertificateStatus::Valid).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absence_costs_nothing_but_patience() {
    let (ca, lab, running) = certified(Manners::default()).await;
    ca.behave(Manners { is_away: true, ..Manners::default() });
    let asked = ca.asked_anything();
    lab.advance(&running, 61 * DAY);
    let state = running.until(HOST, |state| state.problem.is_some()).await;
    assert_eq!(state.status, CertificateStatus::Valid, "visitors notice nothing");
    assert!(lab.certificates.for_name(HOST).is_some());
    assert!(ca.asked_anything() > asked);

    // Back after weeks, and the certificate has expired: it is served all the same until there is another.
    lab.advance(&running, 30 * DAY);
    assert!(lab.certificates.for_name(HOST).is_some());
    let old = lab.certificate(HOST).await.unwrap();
    ca.behave(Manners::default());
    lab.advance(&running, DAY);
    running
        .until(HOST, |state| {
            state.status == CertificateStatus::Valid && state.not_after > Some(old.not_after)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_wanted_any_more_is_neither_renewed_nor_kept_for_ever() {
    let (ca, lab, running) = certified(Manners::default()).await;
    running.want(Vec::new());
    lab.advance(&running, 61 * DAY);
    running.until(HOST, |state| state.next_try_at.is_none()).await;
    lab.advance(&running, 30 * DAY);
    until_some("the end of the certificate", || async {
        lab.certificate(HOST).await.is_none().then_some(())
    })
    .await;
    assert!(lab.certificates.for_name(HOST).is_none());
    assert_eq!(ca.asked("/new-order"), 1);
    assert_eq!(lab.audited("certificate.delete").await, 1);
}
