//! Who may issue for the relay's domain: its own account at its CA and nobody else (RFC 8659, RFC 8657), where the relay answers for the zone.
//!
//! The CA says in its directory under which names it looks for itself in CAA records (RFC 8555 §7.1.1). Invariant: nobody is shut out before
//! that is known, and another account is admitted before its first order.

use std::convert::Infallible;
use std::sync::PoisonError;

use bore_control::sealing::Column;
use http::Request;
use instant_acme::{BodyWrapper, HttpClient};
use serde::Deserialize;

use super::failure::{Failure, FailureKind};
use super::issuer::Issuer;
use super::limits::IDENTITIES_MAX;
use crate::dns::zone;

/// What is read of a directory.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Directory {
    meta: Meta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    caa_identities: Vec<String>,
}

/// What is read of an account's credentials.
#[derive(Deserialize)]
struct Credentials {
    id: String,
}

impl Issuer {
    /// Admits the account that the store has, as soon as the CA says what it is called; then there is nothing to do any more.
    pub(super) async fn keep_admission(&self) -> Infallible {
        loop {
            match self.stored_account().await {
                Ok(None) => break,
                Ok(Some(account)) if self.admit(&account).await => break,
                Ok(Some(_)) => {}
                Err(failure) => tracing::debug!(%failure, "who may issue is not said yet"),
            }
            tokio::time::sleep(self.context.settings.pace.passing_max / 60).await;
        }
        std::future::pending().await
    }

    /// Says that `account` alone may issue. Whether it is known how to say that; what was said of another account is taken back all the same.
    pub(super) async fn admit(&self, account: &str) -> bool {
        let Some(txt) = &self.context.means.txt else { return true };
        let settings = &self.context.settings;
        let found = identities(&*settings.wire, &settings.directory).await;
        let mut known = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(found) => *known = Some(found),
            Err(failure) => tracing::debug!(%failure, "the CA does not say what it is called"),
        }
        let issuer = |authority: &String| zone::Issuer {
            authority: authority.clone(),
            account_uri: Some(account.to_owned()),
        };
        let issuers: Vec<_> = known.iter().flatten().map(issuer).collect();
        txt.admit(issuers);
        known.is_some()
    }

    async fn stored_account(&self) -> Result<Option<String>, Failure> {
        let directory = &self.context.settings.directory;
        let row = self.context.store.acme_accounts().of_directory(directory, self.now()).await?;
        let Some(sealed) = &row.credentials else { return Ok(None) };
        let opened = self.context.sealer.open(Column::AccountCredentials.of(row.id), sealed)?;
        let read = serde_json::from_slice::<Credentials>(opened.expose());
        let read = read.map_err(|error| Failure::new(FailureKind::NotAcme, error.to_string()))?;
        Ok(Some(read.id))
    }
}

/// What a CA calls itself in CAA records; nothing where it does not say so.
async fn identities(wire: &dyn HttpClient, directory: &str) -> Result<Vec<String>, Failure> {
    let not_acme = |cause: String| Failure::new(FailureKind::NotAcme, cause);
    let request = Request::get(directory).body(BodyWrapper::default());
    let request = request.map_err(|error| not_acme(error.to_string()))?;
    let mut answer = wire.request(request).await?;
    if !answer.parts.status.is_success() {
        return Err(not_acme(format!("the directory's answer was {}", answer.parts.status)));
    }
    let body = answer.body.into_bytes().await.map_err(|error| not_acme(error.to_string()))?;
    let read: Directory =
        serde_json::from_slice(&body).map_err(|error| not_acme(error.to_string()))?;
    Ok(sound(read.meta.caa_identities))
}

/// A name that no record can hold is left out, so that what is left shuts nobody out by mistake.
fn sound(names: Vec<String>) -> Vec<String> {
    let is_sound =
        |name: &String| zone::Issuer { authority: name.clone(), account_uri: None }.is_sound();
    names.into_iter().filter(is_sound).take(IDENTITIES_MAX).collect()
}
