//! A whole relay: names resolve while they are published, and not a moment longer.

use bore_api::model::Actor;
use bore_relay::{BuiltIn, DnsProvider};
use serde_json::json;

use crate::dig::dig;
use crate::relay_lab::{Agent, Lab, within};

/// Attack 27.
#[tokio::test(flavor = "multi_thread")]
async fn attack_27_removing_a_publication_removes_its_name_in_the_same_operation() {
    let lab = lab().await;
    let at = lab.at().dns.unwrap();
    let agent = Agent::join(&lab, "laptop").await;
    assert_eq!(dig(at, "app.test.example A").await.status(), "NXDOMAIN");
    let request = json!({"name": "app", "protocol": "http", "target": "127.0.0.1:9"});
    agent.publish(&lab, request).await;
    let resolves = async { while dig(at, "app.test.example A").await.status() != "NOERROR" {} };
    within("the name", resolves).await;
    let dug = dig(at, "app.test.example A").await;
    assert_eq!(dug.answers(), ["app.test.example. 60 IN A 127.0.0.1"]);

    let by = Actor::Node(agent.node);
    lab.relay.control().publications().delete(agent.network, None, "app", &by).await.unwrap();
    assert_eq!(dig(at, "app.test.example A").await.status(), "NXDOMAIN");
    lab.stop().await;
    agent.shard.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_of_a_name_goes_through_the_relay_into_its_zone() {
    let lab = lab().await;
    let (at, records) = (lab.at().dns.unwrap(), lab.relay.txt_records().unwrap());
    records.publish("_acme-challenge.test.example", "proof").await.unwrap();
    let dug = dig(at, "_acme-challenge.test.example TXT").await;
    assert_eq!(dug.answers(), ["_acme-challenge.test.example. 5 IN TXT \"proof\""]);
    records.withdraw("_acme-challenge.test.example", "proof").await.unwrap();
    assert_eq!(dig(at, "_acme-challenge.test.example TXT").await.status(), "NXDOMAIN");
    let elsewhere = records.publish("_acme-challenge.example.org", "proof").await.unwrap_err();
    assert!(elsewhere.to_string().contains("answers for test.example only"), "{elsewhere}");
    lab.stop().await;
}

async fn lab() -> Lab {
    Lab::start_with(|config| {
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.dns =
            Some(DnsProvider::BuiltIn(BuiltIn { listen, addresses: Vec::new(), caa: true }));
    })
    .await
}
