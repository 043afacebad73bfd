//! What a real CA makes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bore_api::state::{CertificateState, CertificateStatus};
use bore_relay::acme::{ChallengeChoice, Wanted};
use bore_relay::dns::{TxtError, TxtRecords};

use super::lab::{DAY, Lab, one, until_some};
use super::pebble::{Manners, Pebble};
use super::visits::Doors;

const EAB_ID: &str = "kid-1";
const EAB_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// A CA, and a relay that has not started.
async fn lab(manners: &Manners) -> (Pebble, Lab) {
    let challenges = Arc::default();
    let doors = Doors::open(&challenges).await;
    let pebble = Pebble::start(doors, manners).await;
    let lab = Lab::with_challenges(&pebble.directory(), pebble.wire(), challenges).await;
    (pebble, lab)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_certified_by_http_01() {
    let (pebble, mut lab) = lab(&Manners::default()).await;
    lab.settings.challenge = ChallengeChoice::Http01;
    certified_and_kept(&pebble, &lab, vec![one("app.example.com")], &["app.example.com"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_certified_by_tls_alpn_01() {
    let (pebble, mut lab) = lab(&Manners::default()).await;
    lab.settings.challenge = ChallengeChoice::TlsAlpn01;
    certified_and_kept(&pebble, &lab, vec![one("app.example.com")], &["app.example.com"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_and_its_apex_are_certified_by_dns_01() {
    let (pebble, mut lab) = lab(&Manners::default()).await;
    lab.txt = Some(pebble.txt());
    let wanted = vec![Wanted::wildcard("t.example.org")];
    certified_and_kept(&pebble, &lab, wanted, &["app.t.example.org", "t.example.org"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_is_not_delegated_yet_costs_the_ca_nothing_and_goes_on_once_it_is() {
    let (pebble, mut lab) = lab(&Manners::default()).await;
    let zone = Arc::new(Undelegated { inner: pebble.txt(), is_made: AtomicBool::new(false) });
    lab.txt = Some(Arc::clone(&zone) as Arc<_>);
    let running = lab.run(vec![Wanted::wildcard("t.example.org")]).await;
    let subject = "*.t.example.org";
    let problem = running.until(subject, |state| state.problem.is_some()).await.problem.unwrap();
    assert_eq!(problem.code, "B5415", "{problem:?}");
    assert!(problem.cause.contains("make t.example.org NS"), "{problem:?}");
    assert_eq!((pebble.orders(), pebble.count("sign-me-up")), (0, 0));

    zone.is_made.store(true, Ordering::Relaxed);
    let state = running.until(subject, |state| state.status == CertificateStatus::Valid).await;
    assert_eq!(state.problem, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_address_is_certified_by_both_ways_that_there_are() {
    for challenge in [ChallengeChoice::Http01, ChallengeChoice::TlsAlpn01] {
        let (_pebble, mut lab) = lab(&Manners::default()).await;
        lab.settings.challenge = challenge;
        let running = lab.run(vec![one("127.0.0.1")]).await;
        running.until("127.0.0.1", |state| state.status == CertificateStatus::Valid).await;
        assert_eq!(lab.certificate("127.0.0.1").await.unwrap().names, ["127.0.0.1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_bound_to_the_one_at_the_ca() {
    let manners = Manners { eab: Some((EAB_ID, EAB_KEY)), ..Manners::default() };
    let (_pebble, mut lab) = lab(&manners).await;
    let running = lab.run(vec![one("app.example.com")]).await;
    assert_eq!(running.until_problem("app.example.com").await, "B5407");
    drop(running);

    lab.eab(EAB_ID, &data_encoding::BASE64URL_NOPAD.decode(EAB_KEY.as_bytes()).unwrap());
    let running = lab.run(vec![one("app.example.com")]).await;
    running.until("app.example.com", |state| state.status == CertificateStatus::Valid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_points_elsewhere_is_told_and_mended_by_a_later_try() {
    let (pebble, mut lab) = lab(&Manners::default()).await;
    lab.settings.challenge = ChallengeChoice::Http01;
    pebble.resolve("app.example.com", &["127.0.0.77"]).await;
    let running = lab.run(vec![one("app.example.com")]).await;
    let failing = |state: &CertificateState| state.status == CertificateStatus::Failing;
    let problem = running.until("app.example.com", failing).await.problem.unwrap();
    assert_eq!(problem.code, "B5404", "{problem:?}");
    assert!(problem.cause.contains("app.example.com") && problem.remedy.contains("80"));
    until_some("an audit row", || async {
        (lab.audited("certificate.fail").await == 1).then_some(())
    })
    .await;

    pebble.resolve("app.example.com", &["127.0.0.1"]).await;
    let state =
        running.until("app.example.com", |state| state.status == CertificateStatus::Valid).await;
    assert_eq!(state.problem, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_was_killed_goes_on_with_the_same_order() {
    let (pebble, mut lab) = lab(&Manners::default()).await;
    let stalled = Arc::new(Stalling { inner: pebble.txt(), published: AtomicUsize::new(0) });
    lab.txt = Some(Arc::clone(&stalled) as Arc<_>);
    let running = lab.run(vec![Wanted::wildcard("t.example.org")]).await;
    until_some("an order that is under way", || async {
        (stalled.published.load(Ordering::Relaxed) > 0).then_some(())
    })
    .await;
    drop(running);
    let standing = lab.store.certificate_orders().list().await.unwrap().remove(0).standing;
    assert!(standing.is_some(), "the order is remembered");

    lab.txt = Some(pebble.txt());
    let running = lab.run(vec![Wanted::wildcard("t.example.org")]).await;
    running.until("*.t.example.org", |state| state.status == CertificateStatus::Valid).await;
    assert_eq!(pebble.count("order-plz"), 1, "one order for one certificate");
    assert_eq!(pebble.count("sign-me-up"), 1, "one account");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_in_time_and_replaced_in_one_step() {
    let (_pebble, lab) = lab(&Manners::default()).await;
    let running = lab.run(vec![one("app.example.com")]).await;
    running.until("app.example.com", |state| state.status == CertificateStatus::Valid).await;
    let first = lab.certificate("app.example.com").await.unwrap();

    let life = first.not_after - first.not_before;
    let days = u32::try_from(life / 86_400_000_000).unwrap();
    lab.advance(&running, DAY * (days / 2));
    assert_eq!(lab.certificate("app.example.com").await.unwrap().id, first.id);
    lab.advance(&running, DAY * (days / 4));

    let second = until_some("a new certificate", || async {
        assert!(lab.certificates.for_name("app.example.com").is_some(), "never without one");
        lab.certificate("app.example.com").await.filter(|stored| stored.id != first.id)
    })
    .await;
    assert!(second.created_at > first.created_at);
    assert_eq!(lab.store.certificates().list().await.unwrap().len(), 1);
    running.until("app.example.com", |state| state.status == CertificateStatus::Valid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_26_a_ca_that_refuses_nonces_and_is_away_gives_a_certificate_in_the_end() {
    let manners = Manners { nonces_refused: 50, ..Manners::default() };
    let (pebble, lab) = lab(&manners).await;
    pebble.set_reachable(false);
    let running = lab.run(vec![one("app.example.com"), one("b.example.com")]).await;
    assert_eq!(running.until_problem("app.example.com").await, "B5408");
    // Killed while the CA is away, and again while it is asked.
    drop(running);
    let running = lab.run(vec![one("app.example.com"), one("b.example.com")]).await;
    pebble.set_reachable(true);
    until_some("an order that is under way", || async {
        let orders = lab.store.certificate_orders().list().await.unwrap();
        orders.iter().any(|order| order.standing.is_some()).then_some(())
    })
    .await;
    drop(running);

    let running = lab.run(vec![one("app.example.com"), one("b.example.com")]).await;
    for name in ["app.example.com", "b.example.com"] {
        running.until(name, |state| state.status == CertificateStatus::Valid).await;
        assert!(lab.certificates.for_name(name).is_some());
    }
    assert!(lab.store.certificate_orders().list().await.unwrap().is_empty());
    assert_eq!(lab.audited("acme-account.create").await, 1, "one account");
}

/// Waits until the certificate is there, and asks whether a restart finds it without asking the CA.
async fn certified_and_kept(pebble: &Pebble, lab: &Lab, wanted: Vec<Wanted>, hosts: &[&str]) {
    let subject = wanted[0].subject();
    let running = lab.run(wanted.clone()).await;
    let state = running.until(&subject, |state| state.status == CertificateStatus::Valid).await;
    assert!(state.issuer.unwrap().contains("Pebble"));
    assert!(state.next_try_at.unwrap() > lab.now() && state.problem.is_none());
    for host in hosts {
        assert!(lab.certificates.for_name(host).is_some(), "{host}");
    }
    assert!(lab.certificates.for_name("other.example.com").is_none());
    assert_eq!(lab.audited("certificate.issue").await, 1);
    assert!(lab.store.certificate_orders().list().await.unwrap().is_empty());
    let orders = pebble.orders();
    drop(running);

    let again = lab.run(wanted).await;
    assert_eq!(again.state(&subject).unwrap().status, CertificateStatus::Valid, "at once");
    assert_eq!(pebble.orders(), orders, "nothing was ordered");
}

/// A zone that nobody is led to until the record is made.
#[derive(Debug)]
struct Undelegated {
    inner: Arc<dyn TxtRecords>,
    is_made: AtomicBool,
}

#[async_trait]
impl TxtRecords for Undelegated {
    async fn publish(&self, name: &str, value: &str) -> Result<(), TxtError> {
        self.inner.publish(name, value).await
    }

    async fn withdraw(&self, name: &str, value: &str) -> Result<(), TxtError> {
        self.inner.withdraw(name, value).await
    }

    async fn ready(&self) -> Result<(), TxtError> {
        if self.is_made.load(Ordering::Relaxed) {
            return Ok(());
        }
        let subject = "t.example.org NS".to_owned();
        let cause = "missing: make t.example.org NS relay.example.org".to_owned();
        Err(TxtError::NotDelegated { provider: "built-in DNS", subject, cause })
    }
}

/// Takes the record, and never comes back.
#[derive(Debug)]
struct Stalling {
    inner: Arc<dyn TxtRecords>,
    published: AtomicUsize,
}

#[async_trait]
impl TxtRecords for Stalling {
    async fn publish(&self, name: &str, value: &str) -> Result<(), TxtError> {
        self.inner.publish(name, value).await?;
        self.published.fetch_add(1, Ordering::Relaxed);
        std::future::pending().await
    }

    async fn withdraw(&self, name: &str, value: &str) -> Result<(), TxtError> {
        self.inner.withdraw(name, value).await
    }
}
