//! A CA that refuses: why, in words, and when it is asked again.

use std::time::Duration;

use bore_api::state::CertificateStatus;
use bore_relay::acme::{Name, Wanted};

use super::fake_ca::{DIRECTORY, Manners, lab};
use super::lab::{one, until_some};

const HOST: &str = "app.example.com";
const HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_is_remembered_over_a_restart() {
    let manners =
        Manners { refuses_orders: Some(("rateLimited", 429, Some(3_600))), ..Manners::default() };
    let (ca, lab) = lab(manners).await;
    let running = lab.run(vec![one(HOST)]).await;
    let state = running.until(HOST, |state| state.problem.is_some()).await;
    assert_eq!(state.problem.unwrap().code, "B5402");
    assert!(state.next_try_at.unwrap() >= lab.now() + 3_590_000_000);
    drop(running);

    ca.behave(Manners::default());
    let again = lab.run(vec![one(HOST)]).await;
    for _ in 0..3 {
        lab.advance(&again, Duration::from_secs(600));
    }
    assert_eq!(again.until_problem(HOST).await, "B5402", "the reason is still known");
    assert_eq!(ca.asked("/new-order"), 1, "the CA is left alone");

    lab.advance(&again, Duration::from_secs(3_600));
    again.until(HOST, |state| state.status == CertificateStatus::Valid).await;
    assert_eq!(ca.asked("/new-order"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_is_remembered_while_nobody_wants_the_name() {
    let manners =
        Manners { refuses_orders: Some(("rateLimited", 429, Some(3_600))), ..Manners::default() };
    let (ca, lab) = lab(manners).await;
    let running = lab.run(vec![one(HOST)]).await;
    running.until_problem(HOST).await;
    running.want(Vec::new());
    until_some("no name", || async { running.state(HOST).is_none().then_some(()) }).await;
    drop(running);

    ca.behave(Manners::default());
    let again = lab.run(Vec::new()).await;
    again.want(vec![one(HOST)]);
    assert_eq!(again.until_problem(HOST).await, "B5402");
    assert_eq!(ca.asked("/new-order"), 1, "the CA is left alone");

    again.want(Vec::new());
    until_some("no name", || async { again.state(HOST).is_none().then_some(()) }).await;
    assert_eq!(lab.store.certificate_orders().list().await.unwrap().len(), 1);
    lab.advance(&again, Duration::from_secs(7_200));
    until_some("the end of it", || async {
        lab.store.certificate_orders().list().await.unwrap().is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_networks_over_a_limit_hold_up_new_orders() {
    let manners =
        Manners { refuses_orders: Some(("rateLimited", 429, None)), ..Manners::default() };
    let (ca, mut lab) = lab(manners).await;
    (lab.settings.pace.passing, lab.settings.pace.passing_max) = (HOUR, HOUR);
    let running = lab.run(Vec::new()).await;
    let mut wanted = Vec::new();
    for name in ["a.example.com", "b.example.com"] {
        let network = lab.network(&name[..1]).await;
        wanted.push(Wanted::one(Name::parse(name).unwrap(), Some(network)));
        running.want(wanted.clone());
        running.until(name, |state| state.problem.is_some()).await;
    }

    wanted.push(one(HOST));
    running.want(wanted);

    let state = running.until(HOST, |_| true).await;
    assert!(state.next_try_at.unwrap() > lab.now() + 3_000_000_000, "{state:?}");
    assert_eq!((state.problem, ca.asked("/new-order")), (None, 2));
    lab.advance(&running, 2 * HOUR);
    until_some("an order", || async { (ca.asked("/new-order") > 2).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ca_finds_wrong_is_told_with_a_remedy() {
    for (found, code, word) in [
        ("caa", "B5401", "CAA record"),
        ("dns", "B5403", "A or AAAA"),
        ("connection", "B5404", "ports 80 and 443"),
        ("unauthorized", "B5405", "point the name"),
        ("rejectedIdentifier", "B5406", "public DNS"),
    ] {
        let (_ca, lab) = lab(Manners { refuses_proofs: Some(found), ..Manners::default() }).await;
        let running = lab.run(vec![one(HOST)]).await;
        let state = running.until(HOST, |state| state.problem.is_some()).await;
        let problem = state.problem.unwrap();
        assert_eq!(problem.code, code, "{problem:?}");
        assert!(problem.cause.contains("it says no"), "{problem:?}");
        assert!(problem.remedy.contains(word), "{problem:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxys_error_page_is_an_absent_ca() {
    let (_ca, lab) = lab(Manners { answers_html: true, ..Manners::default() }).await;
    let running = lab.run(vec![one(HOST)]).await;
    assert_eq!(running.until_problem(HOST).await, "B5408");
    until_some("a pause", || async {
        lab.store.acme_accounts().of_directory(DIRECTORY, lab.now()).await.unwrap().paused_until
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_proof_that_failed_is_tried_in_another_way() {
    let manners =
        Manners { refuses_orders: Some(("rateLimited", 429, Some(3_600))), ..Manners::default() };
    let (ca, lab) = lab(manners).await;
    let running = lab.run(vec![one(HOST)]).await;
    assert_eq!(running.until_problem(HOST).await, "B5402");
    ca.behave(Manners { refuses_proofs: Some("connection"), ..Manners::default() });
    lab.advance(&running, Duration::from_secs(7_200));
    until_some("another way", || async { (ca.asked("/tls-alpn-01") > 0).then_some(()) }).await;
    let ways = ca.heard().into_iter().filter(|path| path.contains("-01/"));
    let first = ways.map(|path| path[..8].to_owned()).next();
    assert_eq!(first.as_deref(), Some("/http-01"), "the rate limit is no reason for another way");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_without_dns_says_what_is_missing() {
    let (ca, lab) = lab(Manners::default()).await;
    let running = lab.run(vec![Wanted::wildcard("t.example.org")]).await;
    let state = running.until("*.t.example.org", |state| state.problem.is_some()).await;
    let problem = state.problem.unwrap();
    assert_eq!(problem.code, "B5411");
    assert!(problem.remedy.contains("[dns]"), "{problem:?}");
    assert_eq!(ca.asked_anything(), 0, "no order that cannot be proved");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_of_a_domain_of_ones_own_says_what_else_there_is() {
    let (ca, lab) = lab(Manners::default()).await;
    let running = lab.run(vec![one("*.shop.example.com"), one(HOST)]).await;
    let state = running.until("*.shop.example.com", |state| state.problem.is_some()).await;
    let problem = state.problem.unwrap();
    assert_eq!(problem.code, "B5411");
    for word in ["exact names", "bore publish tls", "certificate_files"] {
        assert!(problem.remedy.contains(word), "{problem:?}");
    }
    running.until(HOST, |state| state.status == CertificateStatus::Valid).await;
    assert_eq!(ca.asked("/new-order"), 1, "the other's");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_takes_the_profile_that_the_ca_has_for_it() {
    let (_ca, lab) = lab(Manners::default()).await;
    let running = lab.run(vec![one("203.0.113.5")]).await;
    running.until("203.0.113.5", |state| state.status == CertificateStatus::Valid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_name_that_fails_does_not_hold_up_the_others() {
    let (ca, lab) = lab(Manners::default()).await;
    let names: Vec<Wanted> = (0..20).map(|number| one(&format!("n{number}.example.com"))).collect();
    let wanted = [vec![Wanted::wildcard("t.example.org")], names.clone()].concat();
    let running = lab.run(wanted).await;
    for name in &names {
        let subject = name.subject();
        running.until(&subject, |state| state.status == CertificateStatus::Valid).await;
    }
    assert!(running.state("*.t.example.org").unwrap().problem.is_some());
    assert_eq!(ca.asked("/account"), 1, "one account for all");
    until_some("rest", || async {
        lab.store.certificate_orders().list().await.unwrap().is_empty().then_some(())
    })
    .await;
}
