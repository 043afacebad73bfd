//! Certificates, as a caller sees them.

use bore_api::model::Scope;
use bore_api::state::CertificateProblem;
use bore_api::state::{CertificateState, CertificateStatus};
use http::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use crate::lab::Lab;

#[tokio::test]
async fn a_key_sees_the_certificates_of_its_network_and_the_administrator_all() {
    let lab = Lab::new().await;
    let (home, other) = (lab.network("home").await, lab.network("other").await);
    *lab.relay.certificates.lock().unwrap() = vec![
        state("b.example.com", Some(other)),
        state("a.example.com", Some(home)),
        state("*.t.example.org", None),
    ];
    let names = |body: &Value| -> Vec<String> {
        let items = body["items"].as_array().unwrap().iter();
        items.map(|item| item["names"][0].as_str().unwrap().to_owned()).collect()
    };

    let all = lab.admin("GET", "/v1/certificates", Value::Null).await.ok();
    assert_eq!(names(&all), ["*.t.example.org", "a.example.com", "b.example.com"]);
    assert_eq!(all["items"][0]["status"], "failing");
    assert_eq!(all["items"][0]["problem"]["code"], "B5401");

    let key = lab.key(home, &[Scope::Read]).await;
    let own = lab.tcp("GET", "/v1/certificates", Some(&key), Value::Null).await.ok();
    assert_eq!(names(&own), ["a.example.com"]);

    let key = lab.key(home, &[Scope::AuditRead]).await;
    let refused = lab.tcp("GET", "/v1/certificates", Some(&key), Value::Null).await;
    assert_eq!(refused.refusal(), (403, "B3204"));
    let page = lab.admin("GET", "/v1/certificates?limit=1", Value::Null).await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.body["next"], "*.t.example.org");
}

#[tokio::test]
async fn only_an_administrator_of_the_relay_renews() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    let names = ["a.example.com", "*.t.example.org"];
    *lab.relay.certificates.lock().unwrap() =
        vec![state(names[0], Some(home)), state(names[1], None)];
    let path = |name: &str| format!("/v1/certificates/{}/renew", name.replace('*', "%2A"));

    for name in names {
        let answer = lab.admin("POST", &path(name), Value::Null).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        assert_eq!(
            (&answer.body["names"][0], &answer.body["status"]),
            (&name.into(), &"ordering".into())
        );
    }
    let nothing = lab.admin("POST", &path("b.example.com"), Value::Null).await;
    assert_eq!(nothing.status, StatusCode::NOT_FOUND, "{}", nothing.text);
    let key = lab.key(home, &[Scope::Read, Scope::PublicationsWrite]).await;
    let refused = lab.tcp("POST", &path(names[0]), Some(&key), Value::Null).await;
    assert_eq!(refused.refusal(), (403, "B3204"));
}

pub(crate) fn state(name: &str, network: Option<Uuid>) -> CertificateState {
    CertificateState {
        names: vec![name.to_owned()],
        network,
        status: CertificateStatus::Failing,
        issuer: None,
        not_after: None,
        next_try_at: Some(1),
        problem: Some(CertificateProblem {
            code: "B5401".to_owned(),
            cause: "CAA".to_owned(),
            remedy: "change it".to_owned(),
        }),
    }
}
