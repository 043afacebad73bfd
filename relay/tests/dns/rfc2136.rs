//! Signed updates that BIND takes, and those that it does not.

use bore_relay::dns::lookups::Lookups;
use bore_relay::dns::rfc2136::Rfc2136;
use bore_relay::dns::{TxtError, TxtRecords};
use bore_relay::{Config, ConfigError, DnsProvider, Rfc2136 as Settings};

use crate::bind::{Bind, SECRET};
use crate::dig::dig;

#[tokio::test]
async fn values_come_and_go_one_by_one_and_are_visible_when_publish_returns() {
    let bind = Bind::start();
    let records = client(&bind, "bore-key", SECRET).unwrap();
    records.publish(NAME, "apex").await.unwrap();
    assert_eq!(values(&bind).await, ["apex"]);
    records.publish(NAME, "wildcard").await.unwrap();
    assert_eq!(values(&bind).await, ["apex", "wildcard"]);
    records.withdraw(NAME, "apex").await.unwrap();
    assert_eq!(values(&bind).await, ["wildcard"]);
    records.withdraw(NAME, "apex").await.unwrap();
    records.withdraw(NAME, "wildcard").await.unwrap();
    assert_eq!(values(&bind).await, [""; 0]);
}

#[tokio::test]
async fn a_silent_server_of_the_zone_holds_nothing_up() {
    let bind = Bind::start_with_a_silent_sibling();
    let records = client(&bind, "bore-key", SECRET).unwrap();
    records.publish(NAME, "proof").await.unwrap();
    assert_eq!(values(&bind).await, ["proof"]);
}

#[tokio::test]
async fn what_bind_refuses_is_told_with_the_key_to_look_at() {
    let bind = Bind::start();
    let wrong = client(&bind, "bore-key", "d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3I=").unwrap();
    let error = wrong.publish(NAME, "v").await.unwrap_err().to_string();
    assert!(error.contains(&bind.at.to_string()), "{error}");
    let unknown = client(&bind, "other-key", SECRET).unwrap();
    assert!(matches!(unknown.publish(NAME, "v").await, Err(TxtError::Provider { .. })));

    let good = client(&bind, "bore-key", SECRET).unwrap();
    let error = good.publish("www.t.example.org", "v").await.unwrap_err().to_string();
    assert!(error.contains("REFUSED: its update policy must let the key bore-key."), "{error}");
    let error = good.publish("_acme-challenge.example.com", "v").await.unwrap_err().to_string();
    assert!(error.contains("the zone is t.example.org"), "{error}");
    assert_eq!(values(&bind).await, [""; 0], "nothing was changed");
}

#[tokio::test]
async fn a_secret_that_is_not_base64_is_told_at_the_start() {
    let bind = Bind::start();
    let error = client(&bind, "bore-key", "not base64!").unwrap_err();
    assert!(error.to_string().contains("a TSIG secret is base64"), "{error}");
    assert!(!error.to_string().contains("not base64"), "the secret stays a secret: {error}");
}

fn client(bind: &Bind, key: &str, secret: &str) -> Result<Rfc2136, ConfigError> {
    Rfc2136::new(&settings(bind, key, secret), lookups(bind))
}

fn lookups(bind: &Bind) -> Lookups {
    Lookups::through(bind.at, bind.at.port()).unwrap()
}

/// As the relay has them from its configuration.
fn settings(bind: &Bind, key: &str, secret: &str) -> Settings {
    let file = bind.file("tsig", secret);
    let text = format!(
        "host = \"relay.example.org\"\ndomain = \"t.example.org\"\n[dns]\nprovider = \"rfc2136\"\n\
         server = \"{}\"\ntsig_key_name = \"{key}\"\ntsig_key_file = \"{}\"\n",
        bind.at,
        file.display()
    );
    let Some(DnsProvider::Rfc2136(settings)) = Config::parse(&text).unwrap().dns else { panic!() };
    settings
}

async fn values(bind: &Bind) -> Vec<String> {
    let dug = dig(bind.at, &format!("{NAME} TXT")).await;
    let value = |line: &String| line.split('"').nth(1).unwrap().to_owned();
    let mut values: Vec<String> = dug.answers().iter().map(value).collect();
    values.sort();
    values
}

const NAME: &str = "_acme-challenge.t.example.org";
