//! The API of document, as a caller sees it.

use serde_json::Value;

use crate::lab::Lab;

#[test]
fn the_committed_document_is_that_of_the_routes() {
    let made = serde_json::to_string_pretty(&bore_control::openapi()).unwrap() + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    if std::env::var_os("BORE_BLESS").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == made,
        "docs/openapi.json is out of date: BORE_BLESS=1 cargo nextest run -p bore-control the_committed_document"
    );
}

#[test]
fn every_operation_has_an_id_of_its_own_its_parameters_and_the_problem() {
    let document = serde_json::to_value(bore_control::openapi()).unwrap();
    let mut ids = std::collections::HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
                "{method} {path}"
            );
            let problem = "/responses/default/content/application~1problem+json/schema/$ref";
            assert_eq!(
                operation.pointer(problem).unwrap(),
                "#/components/schemas/Problem",
                "{method} {path}"
            );
            for response in operation["responses"].as_object().unwrap().values() {
                assert!(response["description"].is_string(), "{method} {path}");
            }
            let named = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|each| each["in"] == "path");
            assert_eq!(named.count(), path.matches('{').count(), "{method} {path}");
        }
    }
    assert!(ids.len() > 40);
}

#[tokio::test]
async fn the_relay_serves_the_document_without_a_key() {
    let lab = Lab::new().await;
    let served = lab.tcp("GET", "/v1/openapi.json", None, Value::Null).await.ok();
    assert_eq!(served, serde_json::to_value(bore_control::openapi()).unwrap());
}
