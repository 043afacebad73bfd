//! Certificates, orders and CA accounts, and the sealed secrets in them.

use bore_api::state::CertificateProblem;
use bore_control::certificate::{Certificate, RenewalWindow, StandingOrder};
use bore_control::sealing::{Column, Sealed, Sealer, SealingKey};
use bore_control::store::{OrderClaim, OrderClaimed, OrderFailure, StoreError};
use uuid::Uuid;

use super::lab::{ADMIN, DAY, Lab, START};

pub(crate) async fn are_replaced_by_their_successor_in_one_step(lab: Lab) {
    let sealer = sealer();
    let old = certificate(&sealer, Some(lab.network), "app.example.com");
    let other = certificate(&sealer, None, "*.t.example.org");
    for item in [&old, &other] {
        lab.store.certificates().put(item, &ADMIN).await.unwrap();
    }
    let renewal = RenewalWindow { start: START, end: START + DAY, ask_again_at: START + 1 };
    lab.store.certificates().set_renewal(old.id, &renewal).await.unwrap();
    let known = Certificate { renewal: Some(renewal), ..old.clone() };
    assert_eq!(lab.store.certificates().list().await.unwrap(), [other.clone(), known.clone()]);

    let claim = claim("app.example.com", "relay-1", START);
    assert!(matches!(
        lab.store.certificate_orders().claim(&claim).await.unwrap(),
        OrderClaimed::Yours(_)
    ));
    assert_eq!(lab.store.certificates().of_subject("app.example.com").await.unwrap(), Some(known));

    let new = certificate(&sealer, Some(lab.network), "app.example.com");
    lab.store.certificates().put(&new, &ADMIN).await.unwrap();
    assert_eq!(lab.store.certificates().list().await.unwrap(), [other, new.clone()]);
    assert!(lab.store.certificate_orders().list().await.unwrap().is_empty());

    lab.store.certificates().delete(new.id, &ADMIN, START).await.unwrap();
    let again = lab.store.certificates().delete(new.id, &ADMIN, START).await;
    assert!(matches!(again, Err(StoreError::NotFound("certificate"))), "{again:?}");
    assert_eq!(
        lab.actions().await[1..],
        ["certificate.issue"; 3]
            .map(str::to_owned)
            .into_iter()
            .chain(["certificate.delete".to_owned()])
            .collect::<Vec<_>>()
    );
    lab.assert_intact().await;
}

pub(crate) async fn go_with_their_network(lab: Lab) {
    let sealer = sealer();
    let cluster = certificate(&sealer, None, "relay.example.org");
    for item in [certificate(&sealer, Some(lab.network), "app.example.com"), cluster.clone()] {
        lab.store.certificates().put(&item, &ADMIN).await.unwrap();
    }
    lab.store.networks().delete(lab.network, &ADMIN, START).await.unwrap();
    assert_eq!(lab.store.certificates().list().await.unwrap(), [cluster]);
}

pub(crate) async fn have_one_order_in_flight_for_each_subject(lab: Lab) {
    let (first, second) =
        (claim("a.example", "relay-1", START), claim("a.example", "relay-2", START));
    let claims = [&first, &second].map(|claim| lab.store.certificate_orders().claim(claim));
    let [one, other] = futures_util::future::join_all(claims).await.try_into().unwrap();
    let (one, other) = (one.unwrap(), other.unwrap());
    let won = |claimed: &OrderClaimed| matches!(claimed, OrderClaimed::Yours(_));
    assert!(won(&one) != won(&other), "{one:?} {other:?}");

    let (winner, loser) = if won(&one) { (first, second) } else { (second, first) };
    assert!(
        won(&lab.store.certificate_orders().claim(&winner).await.unwrap()),
        "a restart goes on at once"
    );
    assert_eq!(lab.store.certificate_orders().claim(&loser).await.unwrap(), OrderClaimed::Held);

    let late = OrderClaim { at: winner.until, until: winner.until + DAY, ..loser };
    let OrderClaimed::Yours(order) = lab.store.certificate_orders().claim(&late).await.unwrap()
    else {
        panic!("a relay that died is not waited for");
    };
    let lost = lab.store.certificate_orders().keep(order.id, &winner, None).await;
    assert!(matches!(lost, Err(StoreError::Conflict(_))), "{lost:?}");
    lab.store.certificate_orders().keep(order.id, &late, None).await.unwrap();

    let other = OrderClaim { at: late.at - 9 * DAY, ..winner };
    let claimed = lab.store.certificate_orders().claim(&other).await.unwrap();
    assert!(won(&claimed), "a holder whose clock was ahead: {claimed:?}");
}

pub(crate) async fn that_fail_remember_why_and_when_the_next_try_is(lab: Lab) {
    let claim = claim("a.example", "relay-1", START);
    let order = yours(lab.store.certificate_orders().claim(&claim).await.unwrap());
    let standing = StandingOrder {
        url: "https://ca/order/1".to_owned(),
        private_key: sealer().seal(Column::OrderKey.of(order), b"key").unwrap(),
    };
    lab.store.certificate_orders().keep(order, &claim, Some(&standing)).await.unwrap();

    let failure = failure("B5304", START + DAY);
    let away = OrderFailure { of_proof: false, ..failure.clone() };
    for failure in [&away, &failure] {
        lab.store.certificate_orders().fail(order, failure, &ADMIN).await.unwrap();
    }
    let stored = lab.store.certificate_orders().list().await.unwrap().remove(0);
    assert_eq!(stored.proof_failures, 1);
    assert_eq!((stored.failures, stored.problem.as_ref()), (2, Some(&failure.problem)));
    assert_eq!((stored.next_try_at, stored.standing), (START + DAY, Some(standing)));
    let early = lab.store.certificate_orders().claim(&claim).await.unwrap();
    assert_eq!(early, OrderClaimed::Early(START + DAY));

    let urgent = OrderClaim { is_urgent: true, ..claim.clone() };
    let wish = OrderFailure { retry_after: Some(START + 5), ..failure.clone() };
    lab.store.certificate_orders().fail(order, &wish, &ADMIN).await.unwrap();
    let early = lab.store.certificate_orders().claim(&urgent).await.unwrap();
    assert_eq!(early, OrderClaimed::Early(START + 5), "what the CA wishes holds for all");
    lab.store.certificate_orders().fail(order, &failure, &ADMIN).await.unwrap();
    let claimed = lab.store.certificate_orders().claim(&urgent).await.unwrap();
    assert!(matches!(claimed, OrderClaimed::Yours(_)), "{claimed:?}");
    let back = OrderClaim { at: START - 8 * DAY, ..claim.clone() };
    let claimed = lab.store.certificate_orders().claim(&back).await.unwrap();
    assert!(matches!(claimed, OrderClaimed::Yours(_)), "the clock was ahead: {claimed:?}");

    let gone = OrderFailure { keep_standing: false, ..failure };
    lab.store.certificate_orders().fail(order, &gone, &ADMIN).await.unwrap();
    assert_eq!(lab.store.certificate_orders().list().await.unwrap()[0].standing, None);
    let told = lab.actions().await.iter().filter(|action| *action == "certificate.fail").count();
    assert_eq!(told, 1, "the same failure is told once");
    lab.store.certificate_orders().delete(order).await.unwrap();
    assert!(lab.store.certificate_orders().list().await.unwrap().is_empty());
}

pub(crate) async fn come_from_an_account_that_is_made_once_and_kept(lab: Lab) {
    let account = lab.store.acme_accounts().of_directory(DIRECTORY, START).await.unwrap();
    assert_eq!((account.credentials.as_ref(), account.paused_until), (None, None));
    assert_eq!(
        lab.store.acme_accounts().of_directory(DIRECTORY, START + 1).await.unwrap(),
        account
    );

    let first = credentials(account.id, b"first");
    let second = credentials(account.id, b"second");
    let kept = lab.store.acme_accounts().keep(account.id, &first, &ADMIN, START).await.unwrap();
    assert_eq!(kept.credentials.as_ref(), Some(&first));
    let kept = lab.store.acme_accounts().keep(account.id, &second, &ADMIN, START).await.unwrap();
    assert_eq!(kept.credentials.as_ref(), Some(&first), "the first account stays");

    lab.store.acme_accounts().pause(account.id, START + DAY).await.unwrap();
    let paused = lab.store.acme_accounts().of_directory(DIRECTORY, START).await.unwrap();
    assert_eq!(paused.paused_until, Some(START + DAY));
    assert_eq!(lab.actions().await[1..], ["acme-account.create"]);
}

pub(crate) async fn are_sealed_anew_all_at_once_and_lose_nothing_with_a_wrong_key(lab: Lab) {
    let old = sealer();
    let item = certificate(&old, None, "relay.example.org");
    lab.store.certificates().put(&item, &ADMIN).await.unwrap();
    let account = lab.store.acme_accounts().of_directory(DIRECTORY, START).await.unwrap();
    let sealed = credentials(account.id, b"account");
    lab.store.acme_accounts().keep(account.id, &sealed, &ADMIN, START).await.unwrap();
    let order = yours(
        lab.store.certificate_orders().claim(&claim("a.example", "relay-1", START)).await.unwrap(),
    );
    let private_key = old.seal(Column::OrderKey.of(order), b"order").unwrap();
    let standing = StandingOrder { url: "https://ca/order/1".to_owned(), private_key };
    let claim = claim("a.example", "relay-1", START);
    lab.store.certificate_orders().keep(order, &claim, Some(&standing)).await.unwrap();
    assert_eq!(lab.store.sealed_secrets().check(&old).await.unwrap(), 3);

    let wrong = Sealer::new(key(9));
    let refused = lab.store.sealed_secrets().check(&wrong).await;
    assert!(matches!(refused, Err(StoreError::Sealed { .. })), "{refused:?}");
    let refused = lab.store.sealed_secrets().reseal(&wrong, &ADMIN, START).await;
    assert!(matches!(refused, Err(StoreError::Sealed { .. })), "{refused:?}");
    assert_eq!(lab.store.sealed_secrets().check(&old).await.unwrap(), 3, "nothing was lost");

    let rotating = Sealer::rotating(key(2), key(1));
    assert_eq!(lab.store.sealed_secrets().reseal(&rotating, &ADMIN, START).await.unwrap(), 3);
    assert_eq!(lab.store.sealed_secrets().check(&Sealer::new(key(2))).await.unwrap(), 3);
    assert!(lab.store.sealed_secrets().check(&old).await.is_err());
    let stored = lab.store.certificates().list().await.unwrap().remove(0);
    let opened = rotating.open(Column::CertificateKey.of(item.id), &stored.private_key).unwrap();
    assert_eq!(opened.expose(), b"certificate");

    let moved =
        "UPDATE certificate_orders SET private_key = (SELECT private_key FROM certificates)";
    lab.tamper(moved).await.unwrap();
    assert_eq!(
        lab.store.sealed_secrets().check(&rotating).await.unwrap(),
        2,
        "one was moved to another row"
    );
    let again = Sealer::rotating(key(3), key(2));
    assert_eq!(lab.store.sealed_secrets().reseal(&again, &ADMIN, START).await.unwrap(), 2);
    assert_eq!(
        lab.store.sealed_secrets().check(&Sealer::new(key(3))).await.unwrap(),
        2,
        "it is forgotten"
    );
    assert_eq!(lab.store.certificate_orders().list().await.unwrap()[0].standing, None);
}

fn certificate(sealer: &Sealer, network: Option<Uuid>, subject: &str) -> Certificate {
    let id = Uuid::now_v7();
    Certificate {
        id,
        network,
        names: vec![subject.to_owned(), "t.example.org".to_owned()],
        chain: "-----BEGIN CERTIFICATE-----".to_owned(),
        private_key: sealer.seal(Column::CertificateKey.of(id), b"certificate").unwrap(),
        issuer: "Pebble".to_owned(),
        directory: network.map(|_| DIRECTORY.to_owned()),
        not_before: START,
        not_after: START + 90 * DAY,
        renewal: None,
        created_at: START,
    }
}

fn claim(subject: &str, holder: &str, at: i64) -> OrderClaim {
    OrderClaim {
        id: Uuid::now_v7(),
        network: None,
        subject: subject.to_owned(),
        holder: holder.to_owned(),
        is_urgent: false,
        at,
        until: at + 60_000_000,
    }
}

fn failure(code: &str, next_try_at: i64) -> OrderFailure {
    OrderFailure {
        problem: CertificateProblem {
            code: code.to_owned(),
            cause: "CAA forbids it".to_owned(),
            remedy: "change the record".to_owned(),
        },
        needs_person: true,
        of_proof: true,
        keep_standing: true,
        next_try_at,
        retry_after: None,
        at: START,
    }
}

fn yours(claimed: OrderClaimed) -> Uuid {
    match claimed {
        OrderClaimed::Yours(order) => order.id,
        OrderClaimed::Held | OrderClaimed::Early(_) => panic!("{claimed:?}"),
    }
}

fn credentials(account: Uuid, text: &[u8]) -> Sealed {
    sealer().seal(Column::AccountCredentials.of(account), text).unwrap()
}

fn sealer() -> Sealer {
    Sealer::new(key(1))
}

fn key(byte: u8) -> SealingKey {
    SealingKey::from_bytes([byte; 32].into())
}

const DIRECTORY: &str = "https://ca.example/directory";
