//! Orders that a relay placed before it was killed.

use std::sync::Arc;

use bore_api::model::{Actor, Micros};
use bore_api::state::CertificateStatus;
use bore_control::certificate::{CertificateOrder, StandingOrder};
use bore_control::sealing::Column;
use bore_control::store::{OrderClaim, OrderClaimed};
use rcgen::KeyPair;
use uuid::Uuid;

use super::fake_ca::{DIRECTORY, FakeCa, Manners};
use super::lab::{DAY, Lab, one, until_some};

const HOST: &str = "app.example.com";

async fn lab() -> (FakeCa, Lab) {
    let challenges = Arc::default();
    let ca = FakeCa::new(Arc::clone(&challenges));
    let lab = Lab::with_challenges(DIRECTORY, Arc::new(ca.clone()), challenges).await;
    ca.set_clock(Arc::clone(&lab.settings.clock));
    (ca, lab)
}

/// Begins an order, as a relay does that is killed while it waits.
async fn claim(lab: &Lab) -> (CertificateOrder, OrderClaim) {
    let claim = OrderClaim {
        id: Uuid::now_v7(),
        network: None,
        subject: HOST.to_owned(),
        holder: lab.settings.holder.clone(),
        is_urgent: false,
        at: lab.now(),
        until: lab.now() + 60_000_000,
    };
    match lab.store.certificate_orders().claim(&claim).await.unwrap() {
        OrderClaimed::Yours(order) => (*order, claim),
        claimed @ (OrderClaimed::Held | OrderClaimed::Early(_)) => panic!("{claimed:?}"),
    }
}

/// Leaves an order at `url`.
async fn leave(lab: &Lab, url: &str) {
    let (order, claim) = claim(lab).await;
    let key = KeyPair::generate().unwrap().serialize_pem();
    let place = Column::OrderKey.of(order.id);
    let private_key = lab.sealer().seal(place, key.as_bytes()).unwrap();
    let standing = StandingOrder { url: url.to_owned(), private_key };
    lab.store.certificate_orders().keep(order.id, &claim, Some(&standing)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_secrets_are_made_anew() {
    let (ca, lab) = lab().await;
    let elsewhere = Uuid::from_u128(1);
    let damaged = |column: Column| lab.sealer().seal(column.of(elsewhere), b"canary").unwrap();
    let account = lab.store.acme_accounts().of_directory(DIRECTORY, lab.now()).await.unwrap();
    let credentials = damaged(Column::AccountCredentials);
    let kept =
        lab.store.acme_accounts().keep(account.id, &credentials, &Actor::System, lab.now()).await;
    kept.unwrap();
    let (order, claim) = claim(&lab).await;
    let url = "https://ca.example/order/0".to_owned();
    let standing = StandingOrder { url, private_key: damaged(Column::OrderKey) };
    lab.store.certificate_orders().keep(order.id, &claim, Some(&standing)).await.unwrap();

    let running = lab.run(vec![one(HOST)]).await;

    running.until(HOST, |state| state.status == CertificateStatus::Valid).await;
    assert_eq!((ca.asked("/account"), ca.asked("/new-order")), (1, 1));
}

async fn standing(lab: &Lab) -> Option<CertificateOrder> {
    let orders = lab.store.certificate_orders().list().await.unwrap();
    orders.into_iter().find(|order| order.standing.is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_at_another_ca_is_not_asked_for() {
    let (ca, lab) = lab().await;
    leave(&lab, "https://old-ca.example/order/0").await;
    let running = lab.run(vec![one(HOST)]).await;
    running.until(HOST, |state| state.status == CertificateStatus::Valid).await;
    assert_eq!(ca.asked("/new-order"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_certificate_expired_meanwhile_gives_way_to_another() {
    let (ca, lab) = lab().await;
    ca.behave(Manners { withholds_chains: true, ..Manners::default() });
    let running = lab.run(vec![one(HOST)]).await;
    until_some("a request for the chain", || async { (ca.asked("/chain") > 0).then_some(()) })
        .await;
    assert_eq!(running.until_problem(HOST).await, "B5408");
    assert!(standing(&lab).await.is_some());
    drop(running);

    lab.shift(100 * Micros::try_from(DAY.as_micros()).unwrap());
    ca.behave(Manners::default());
    let again = lab.run(vec![one(HOST)]).await;

    let state = again.until(HOST, |state| state.status == CertificateStatus::Valid).await;
    assert_eq!((ca.asked("/new-order"), state.problem), (2, None));
    let account = lab.store.acme_accounts().of_directory(DIRECTORY, lab.now()).await.unwrap();
    assert!(account.paused_until < Some(lab.now() - 1_000_000), "no other name had to wait");
}
