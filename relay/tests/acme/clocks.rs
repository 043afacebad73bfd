//! A machine whose clock is wrong for a while.

use std::sync::Arc;

use bore_api::model::Micros;
use bore_api::state::CertificateStatus;

use super::fake_ca::{DIRECTORY, FakeCa};
use super::lab::{DAY, Lab, Running, one, wall};

const HOST: &str = "app.example.com";

/// A relay whose clock is a year ahead, and what it makes of it.
async fn ahead() -> (FakeCa, Lab, Running) {
    let challenges = Arc::default();
    let ca = FakeCa::new(Arc::clone(&challenges));
    ca.set_clock(Arc::new(wall));
    let mut lab = Lab::with_challenges(DIRECTORY, Arc::new(ca.clone()), challenges).await;
    (lab.settings.pace.refused, lab.settings.pace.refused_max) = (DAY, DAY);
    lab.shift(year());
    let running = lab.run(vec![one(HOST)]).await;
    assert_eq!(running.until_problem(HOST).await, "B5409");
    let paused =
        lab.store.acme_accounts().of_directory(DIRECTORY, lab.now()).await.unwrap().paused_until;
    assert!(paused.unwrap() > wall() + year() / 2, "the wrong time is stored");
    (ca, lab, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_right_gets_certificates_at_once() {
    let (_ca, lab, running) = ahead().await;
    lab.shift(-year());
    running.nudge();
    running.until(HOST, |state| state.status == CertificateStatus::Valid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_right_while_the_relay_is_away_does_too() {
    let (_ca, lab, running) = ahead().await;
    drop(running);
    lab.shift(-year());
    let again = lab.run(vec![one(HOST)]).await;
    again.until(HOST, |state| state.status == CertificateStatus::Valid).await;
}

fn year() -> Micros {
    365 * Micros::try_from(DAY.as_micros()).unwrap()
}
