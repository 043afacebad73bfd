//! The account at the CA: made once, kept sealed, and used ever after.

use bore_api::model::Actor;
use bore_control::certificate::AcmeAccount;
use bore_control::sealing::{Column, SealError, Sealed};
use instant_acme::{Account, AccountCredentials, Error, NewAccount};
use zeroize::Zeroizing;

use super::client::Client;
use super::context::Context;
use super::failure::{Failure, FailureKind};
use super::order::insist;

/// The account that `row` is about, made if the CA has not made it yet.
pub(super) async fn open(
    context: &Context,
    row: &AcmeAccount,
    client: &Client,
) -> Result<Account, Failure> {
    match &row.credentials {
        None => make(context, row, client).await,
        Some(sealed) => match restore(context, row, sealed, client).await? {
            Some(account) => Ok(account),
            None => make(context, &replaced(context, row).await?, client).await,
        },
    }
}

async fn make(context: &Context, row: &AcmeAccount, client: &Client) -> Result<Account, Failure> {
    let (account, credentials) = create(context, client).await?;
    let sealed = seal(context, row, &credentials)?;
    let now = (context.settings.clock)();
    let kept =
        context.store.acme_accounts().keep(row.id, &sealed, &Actor::System, now).await?.credentials;
    match kept {
        // Another relay was quicker: its account is the cluster's.
        Some(kept) if kept != sealed => {
            let others = restore(context, row, &kept, client).await?;
            others.ok_or_else(|| Failure::new(FailureKind::Store, "the account is damaged"))
        }
        Some(_) | None => Ok(account),
    }
}

/// A row for another account in the place of one whose key is lost.
async fn replaced(context: &Context, row: &AcmeAccount) -> Result<AcmeAccount, Failure> {
    tracing::error!(account = %row.id, "the ACME account is damaged: another one is made");
    let now = (context.settings.clock)();
    context.store.acme_accounts().delete(row.id, &Actor::System, now).await?;
    Ok(context.store.acme_accounts().of_directory(&row.directory, now).await?)
}

async fn create(
    context: &Context,
    client: &Client,
) -> Result<(Account, AccountCredentials), Failure> {
    let settings = &context.settings;
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

/// `None` when what is stored is damaged.
async fn restore(
    context: &Context,
    row: &AcmeAccount,
    sealed: &Sealed,
    client: &Client,
) -> Result<Option<Account>, Failure> {
    let opened = match context.sealer.open(Column::AccountCredentials.of(row.id), sealed) {
        Err(SealError::Damaged) => return Ok(None),
        opened => opened?,
    };
    let read =
        || serde_json::from_slice::<AccountCredentials>(opened.expose()).map_err(Error::from);
    let builder = || Account::builder_with_http(Box::new(client.clone()));
    let restored = insist!(async { builder().from_credentials(read()?).await });
    Ok(Some(restored?))
}

fn seal(
    context: &Context,
    row: &AcmeAccount,
    credentials: &AccountCredentials,
) -> Result<Sealed, Failure> {
    let text = serde_json::to_vec(credentials)
        .map(Zeroizing::new)
        .map_err(|error| Failure::new(FailureKind::NotAcme, error.to_string()))?;
    Ok(context.sealer.seal(Column::AccountCredentials.of(row.id), &text)?)
}
