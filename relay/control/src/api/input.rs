//! What callers send, read strictly: bounded, JSON only, unknown fields refused, errors that name the field.

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use bore_api::Code;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::control::Control;
use crate::limits::{BODY_BYTES_MAX, REQUEST_TIME_MAX};
use crate::refusal::Refusal;

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Input<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Control> for Input<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &Control) -> Result<Self, Refusal> {
        if !is_json(&request) {
            let refusal = Refusal::new(
                Code::BAD_REQUEST,
                "the body must have `Content-Type: application/json`",
            );
            return Err(refusal.status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let body =
            tokio::time::timeout(REQUEST_TIME_MAX, to_bytes(request.into_body(), BODY_BYTES_MAX))
                .await;
        let late = Refusal::new(Code::BAD_REQUEST, "the body did not arrive in time")
            .status(StatusCode::REQUEST_TIMEOUT);
        parse(&body.map_err(|_| late)?.map_err(|_| too_large())?).map(Self)
    }
}

fn is_json(request: &Request) -> bool {
    let kind =
        request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn too_large() -> Refusal {
    let detail = format!("the body is larger than {BODY_BYTES_MAX} bytes, or ended early");
    Refusal::new(Code::BAD_REQUEST, detail).status(StatusCode::PAYLOAD_TOO_LARGE)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        Refusal::new(Code::BAD_REQUEST, format!("`{field}`: {}", error.inner()))
    })?;
    json.end().map_err(|_| Refusal::new(Code::BAD_REQUEST, "something follows the JSON value"))?;
    Ok(value)
}

/// The query of the address.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Control> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Control) -> Result<Self, Refusal> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query
            .map(|Query(query)| Self(query))
            .map_err(|error| Refusal::new(Code::BAD_REQUEST, error.body_text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bore_api::wire::PublishRequest;

    #[test]
    fn an_error_names_its_field() {
        let detail = |body: &str| parse::<PublishRequest>(body.as_bytes()).unwrap_err().detail;
        let rest = r#""protocol": "tcp", "target": "3000""#;
        assert!(
            detail(&format!(r#"{{{rest}, "access": {{"allow": [7]}}}}"#))
                .starts_with("`access.allow[0]`: invalid type")
        );
        assert!(detail(&format!(r#"{{{rest}, "prot": 7}}"#)).contains("unknown field `prot`"));
        assert!(detail(&format!(r#"{{{rest}, "port": 70000}}"#)).starts_with("`port`: "));
        assert!(
            detail(&format!(r#"{{{rest}, "port": 1, "port": 2}}"#))
                .contains("duplicate field `port`")
        );
        assert!(detail(&format!("{{{rest}}} {{}}")).contains("follows"));
    }
}
