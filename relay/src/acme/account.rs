//! The account at the CA: made once, kept sealed, and used ever after.

use bore_control::model::{AcmeAccount, Actor};
use bore_control::sealing::{Column, Sealed};
use instant_acme::{Account, AccountCredentials, Error, NewAccount};
use zeroize::Zeroizing;

use super::client::Client;
use super::failure::{Failure, FailureKind};
use super::order::insist;
use super::parts::Parts;

/// The account that `row` is about, made if the CA has not made it yet.
pub(super) async fn open(
    parts: &Parts,
    row: &AcmeAccount,
    client: &Client,
) -> Result<Account, Failure> {
    if let Some(sealed) = &row.credentials {
        return restore(parts, row, sealed, client).await;
    }
    let (account, credentials) = create(parts, client).await?;
    let sealed = seal(parts, row, &credentials)?;
    let now = (parts.settings.clock)();
    let kept =
        parts.store.keep_acme_account(row.id, &sealed, &Actor::System, now).await?.credentials;
    match kept {
        // Another relay was quicker: its account is the cluster's.
        Some(kept) if kept != sealed => restore(parts, row, &kept, client).await,
        Some(_) | None => Ok(account),
    }
}

async fn create(parts: &Parts, client: &Client) -> Result<(Account, AccountCredentials), Failure> {
    let settings = &parts.settings;
    let contact: Vec<&str> = settings.contact.as_deref().into_iter().collect();
    let wanted = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let binding = settings.eab.as_ref().map(super::settings::EabKey::binding);
    let made = insist!(Account::builder_with_http(Box::new(client.clone())).create(
        &wanted,
        settings.directory.clone(),
        binding.as_ref()
    ));
    made.map_err(|error| match Failure::from(error) {
        // The CA does not know the key that the account is to be bound to.
        failure if failure.kind == FailureKind::WrongAnswer => {
            Failure { kind: FailureKind::AccountRefused, ..failure }
        }
        failure => failure,
    })
}

async fn restore(
    parts: &Parts,
    row: &AcmeAccount,
    sealed: &Sealed,
    client: &Client,
) -> Result<Account, Failure> {
    let opened = parts.sealer.open(Column::AccountCredentials.of(row.id), sealed)?;
    let read =
        || serde_json::from_slice::<AccountCredentials>(opened.expose()).map_err(Error::from);
    let builder = || Account::builder_with_http(Box::new(client.clone()));
    insist!(async { builder().from_credentials(read()?).await }).map_err(Failure::from)
}

fn seal(
    parts: &Parts,
    row: &AcmeAccount,
    credentials: &AccountCredentials,
) -> Result<Sealed, Failure> {
    let text = serde_json::to_vec(credentials)
        .map(Zeroizing::new)
        .map_err(|error| Failure::new(FailureKind::NotAcme, error.to_string()))?;
    Ok(parts.sealer.seal(Column::AccountCredentials.of(row.id), &text)?)
}
