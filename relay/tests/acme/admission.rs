//! Who may issue for the relay's domain, as its zone is told.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bore_api::state::CertificateStatus;
use bore_relay::dns::zone::Issuer;
use bore_relay::dns::{TxtError, TxtRecords};

use super::fake_ca::{FakeCa, Manners, lab};
use super::lab::{one, until_some};

const HOST: &str = "app.example.com";
const NAMED: Manners = Manners {
    is_away: false,
    refuses_orders: None,
    refuses_replaces: None,
    refuses_proofs: None,
    withholds_chains: false,
    renewal: None,
    calls_itself: &["ca.example", "not a name", "other.example"],
    answers_html: false,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_account_at_the_ca_alone_is_admitted_before_its_first_order_and_after_a_restart() {
    let (ca, mut lab) = lab(NAMED).await;
    let zone = Arc::new(Zone { told: Mutex::default(), ca: ca.clone() });
    lab.txt = Some(Arc::clone(&zone) as Arc<_>);
    let running = lab.run(vec![one(HOST)]).await;
    running.until(HOST, |state| state.status == CertificateStatus::Valid).await;
    let wanted = ["ca.example", "other.example"].map(|authority| Issuer {
        authority: authority.to_owned(),
        account_uri: Some("https://ca.example/account/1".to_owned()),
    });
    let first = zone.told.lock().unwrap().first().cloned().unwrap();
    assert_eq!(first, (wanted.to_vec(), 0), "admitted while no order was placed yet");
    drop(running);

    zone.told.lock().unwrap().clear();
    ca.behave(Manners { is_away: true, ..NAMED });
    let _again = lab.run(vec![one(HOST)]).await;
    until_some("the CA to be asked", || async { (ca.asked("/directory") > 3).then_some(()) }).await;
    let shut_out = |told: &(Vec<Issuer>, usize)| !told.0.is_empty();
    assert!(!zone.told.lock().unwrap().iter().any(shut_out), "nobody before the name is known");
    ca.behave(NAMED);
    until_some("the account to be admitted", || async {
        zone.told.lock().unwrap().iter().any(|(told, _)| *told == wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_does_not_name_itself_shuts_nobody_out() {
    let (ca, mut lab) = lab(Manners::default()).await;
    let zone = Arc::new(Zone { told: Mutex::default(), ca });
    lab.txt = Some(Arc::clone(&zone) as Arc<_>);
    let running = lab.run(vec![one(HOST)]).await;
    running.until(HOST, |state| state.status == CertificateStatus::Valid).await;
    assert!(zone.told.lock().unwrap().iter().all(|(told, _)| told.is_empty()));
}

/// Remembers who was admitted, and how many orders the CA had by then.
struct Zone {
    told: Mutex<Vec<(Vec<Issuer>, usize)>>,
    ca: FakeCa,
}

impl std::fmt::Debug for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zone").field("told", &self.told).finish_non_exhaustive()
    }
}

#[async_trait]
impl TxtRecords for Zone {
    async fn publish(&self, _: &str, _: &str) -> Result<(), TxtError> {
        Ok(())
    }

    async fn withdraw(&self, _: &str, _: &str) -> Result<(), TxtError> {
        Ok(())
    }

    fn admit(&self, issuers: Vec<Issuer>) {
        self.told.lock().unwrap().push((issuers, self.ca.asked("/new-order")));
    }
}
