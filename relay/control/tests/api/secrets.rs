//! attack_10: planted secrets appear in the answer that shows them once, and nowhere else.

use std::io::Write;
use std::sync::{Arc, Mutex};

use http::StatusCode;
use serde_json::{Value, json};

use crate::lab::{Lab, join_body};

#[tokio::test]
async fn attack_10_secrets_are_in_no_other_answer_no_log_and_no_audit_row() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("trace")
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());

    let lab = Lab::new().await;
    lab.network("home").await;
    let join = lab.admin("POST", "/v1/networks/home/join-keys", json!({})).await.ok();
    let api =
        lab.admin("POST", "/v1/networks/home/api-keys", json!({"scopes": ["read"]})).await.ok();
    let (join_text, api_text) = (join["key"].as_str().unwrap(), api["key"].as_str().unwrap());
    let join_secret = join_text.rsplit('.').next().unwrap();
    let secrets = [join_secret, part(api_text), part(&lab.admin), "CANARYcanaryCANARYcanaryCAN"];

    let mut seen = vec![log.text()];
    let body = join_body(join_text, "laptop");
    seen.push(lab.garden(&lab.machine(), &body).await.text);
    for (field, value) in [
        ("key_id", json!(uuid::Uuid::now_v7())),
        ("name", json!(7)),
        ("secret", json!("CANARYcanaryCANARYcanaryCAN")),
        ("secret", json!(["CANARYcanaryCANARYcanaryCAN"])),
    ] {
        let mut wrong = body.clone();
        wrong[field] = value;
        let answer = lab.garden(&lab.machine(), &wrong).await;
        assert!(answer.status.is_client_error());
        seen.push(answer.text);
    }
    for path in ["join-keys", "api-keys", "audit", "nodes"] {
        seen.push(
            lab.admin("GET", &format!("/v1/networks/home/{path}"), Value::Null)
                .await
                .ok()
                .to_string(),
        );
    }
    seen.push(lab.admin("GET", "/v1/audit", Value::Null).await.ok().to_string());
    seen.push(lab.tcp("GET", "/v1/networks/home/audit", Some(api_text), Value::Null).await.text);
    let forged = api_text.replacen(&api_text[45..50], "00000", 1);
    let refused = lab.tcp("GET", "/v1/relay", Some(&forged), Value::Null).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    seen.push(refused.text);
    seen.push(format!("{:?}", lab.control));
    seen.push(log.text());

    for (index, text) in seen.iter().enumerate() {
        for secret in secrets {
            assert!(!text.contains(secret), "text {index} holds a secret");
        }
    }
    assert!(log.text().contains("node joined"), "the log was captured");
}

/// The secret of an API key's text.
fn part(key: &str) -> &str {
    key.split('_').nth(3).unwrap()
}

/// What was logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().map_err(|_| std::io::Error::other("poisoned"))?.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
