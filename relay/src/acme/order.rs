//! One order at the CA, from its beginning, or from where it was left, to the certificate.
//!
//! | state at the CA | what is done |
//! |---|---|
//! | pending | what proves the names is put up, the CA told to look, and then waited for |
//! | ready | the key is certified: its request is sent |
//! | processing | waited for |
//! | valid | the chain is fetched |
//! | invalid | the reason is looked up |
//!
//! The order's address and its key are stored before anything else is done, so that a relay that was killed goes on with the same order,
//! unless that leads nowhere or is another CA's.
//! A nonce that the CA refuses costs only that request.

use bore_control::certificate::{CertificateOrder, StandingOrder};
use bore_control::sealing::{Column, SealError};
use bore_control::store::OrderClaim;
use http::Uri;
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, ChallengeType, Error,
    Identifier, NewOrder, Order, OrderStatus,
};

use super::certified::{Certified, KeyPem};
use super::client::Client;
use super::context::Context;
use super::failure::{Failure, FailureKind};
use super::name::Name;
use super::proof::Proofs;
use super::wanted::Wanted;

/// Runs a request again, signed anew, while the CA refuses its nonce.
macro_rules! insist {
    ($request:expr) => {{
        let mut refused = 0;
        loop {
            match $request.await {
                Err(error)
                    if refused < $crate::acme::limits::NONCES_REFUSED_MAX
                        && $crate::acme::order::is_bad_nonce(&error) =>
                {
                    refused += 1;
                }
                answered => break answered,
            }
        }
    }};
}
pub(super) use insist;

/// One try at a certificate.
pub(super) struct Attempt<'a> {
    pub(super) context: &'a Context,
    pub(super) client: &'a Client,
    pub(super) wanted: &'a Wanted,
    pub(super) claim: &'a OrderClaim,
    pub(super) row: &'a CertificateOrder,
    /// The certificate that the new one takes the place of.
    pub(super) replaces: Option<CertificateIdentifier<'static>>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) chain: String,
    pub(super) key: KeyPem,
    pub(super) certified: Certified,
}

impl Attempt<'_> {
    pub(super) async fn run(&self, account: &Account) -> Result<Issued, Failure> {
        let given_up = |failure: Failure| given_up(failure.unless_in_trouble(self.client));
        match self.resume(account).await.map_err(given_up)? {
            Some((order, key)) => self.finish(order, key).await.map_err(given_up),
            None => {
                let (order, key) = self.begin(account).await?;
                self.finish(order, key).await
            }
        }
    }

    async fn finish(&self, mut order: Order, key: KeyPem) -> Result<Issued, Failure> {
        let request = key.request(self.wanted.names()).map_err(unmade)?;
        let mut proofs = Proofs::default();
        let driving = self.drive(&mut order, &mut proofs, &request);
        let driven = tokio::time::timeout(self.context.settings.pace.order_max, driving).await;
        self.context.means.withdraw(proofs).await;
        let slow = |_| Failure::new(FailureKind::Slow, "the order is not done yet");
        self.check(driven.map_err(slow).flatten()?, key)
    }

    /// The order that stands, if the CA still has it.
    async fn resume(&self, account: &Account) -> Result<Option<(Order, KeyPem)>, Failure> {
        let Some(standing) = &self.row.standing else { return Ok(None) };
        if !is_same_ca(&standing.url, account.id()) {
            return Ok(None);
        }
        let place = Column::OrderKey.of(self.row.id);
        let key = match self.context.sealer.open(place, &standing.private_key) {
            Ok(secret) => KeyPem::of_secret(&secret),
            // Told when the relay started. Its certificate would be of no use.
            Err(SealError::Damaged) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut order = match insist!(account.order(standing.url.clone())) {
            Ok(order) => order,
            Err(Error::Api(problem)) if is_gone(problem.status) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let is_over = order.state().status == OrderStatus::Invalid;
        Ok(key.filter(|_| !is_over).map(|key| (order, key)))
    }

    async fn begin(&self, account: &Account) -> Result<(Order, KeyPem), Failure> {
        let key = KeyPem::generate().map_err(unmade)?;
        let order = self.place(account).await?;
        let place = Column::OrderKey.of(self.row.id);
        let private_key = self.context.sealer.seal(place, key.expose().as_bytes())?;
        let standing = StandingOrder { url: order.url().to_owned(), private_key };
        self.context
            .store
            .certificate_orders()
            .keep(self.row.id, self.claim, Some(&standing))
            .await?;
        Ok((order, key))
    }

    /// Names the certificate that is replaced, unless the CA does not like it.
    async fn place(&self, account: &Account) -> Result<Order, Failure> {
        let identifiers: Vec<Identifier> = self.wanted.names().map(Name::identifier).collect();
        let plain = || {
            let order = NewOrder::new(&identifiers);
            if self.is_short_lived(account) { order.profile(SHORT_LIVED) } else { order }
        };
        if let Some(replaces) = &self.replaces {
            let order = plain().replaces(replaces.clone());
            match insist!(account.new_order(&order)) {
                Ok(order) => return Ok(order),
                Err(error) => match Failure::from(error) {
                    failure if failure.kind.spoils_every_order() => return Err(failure),
                    // Of a certificate of another account, for one.
                    failure => {
                        tracing::debug!(%failure, "the CA takes no word on what is replaced");
                    }
                },
            }
        }
        let order = plain();
        Ok(insist!(account.new_order(&order))?)
    }

    /// CAs vouch for addresses only for some days, by a profile of their own.
    fn is_short_lived(&self, account: &Account) -> bool {
        let has_address = self.wanted.names().any(|name| matches!(name, Name::Address(_)));
        has_address && account.profiles().any(|profile| profile.name == SHORT_LIVED)
    }

    /// Brings the order to its end; the chain comes out.
    async fn drive(
        &self,
        order: &mut Order,
        proofs: &mut Proofs,
        csr: &[u8],
    ) -> Result<String, Failure> {
        let mut is_proved = false;
        loop {
            match order.state().status {
                OrderStatus::Pending if !is_proved => {
                    self.prove(order, proofs).await?;
                    is_proved = true;
                }
                OrderStatus::Pending | OrderStatus::Processing => self.wait(order).await?,
                OrderStatus::Ready => insist!(order.finalize_csr(csr))?,
                OrderStatus::Valid => {
                    let chain = insist!(order.certificate())?;
                    return chain.ok_or_else(|| not_acme("a valid order without a certificate"));
                }
                OrderStatus::Invalid => return Err(why_invalid(order).await),
            }
        }
    }

    async fn prove(&self, order: &mut Order, proofs: &mut Proofs) -> Result<(), Failure> {
        insist!(fetch(order))?;
        let ways = self.put_up(order, proofs).await?;
        let mut authorizations = order.authorizations();
        for way in ways {
            let Some(mut authorization) = authorizations.next().await.transpose()? else { break };
            let Some(mut challenge) = way.and_then(|way| authorization.challenge(way)) else {
                continue;
            };
            // One that the CA looks at since an earlier try is not announced again.
            if challenge.status == ChallengeStatus::Pending {
                insist!(challenge.set_ready())?;
            }
        }
        Ok(())
    }

    /// Puts up everything that the CA will look for, and tells which way each name is proved; `None` for one that is.
    async fn put_up(
        &self,
        order: &mut Order,
        proofs: &mut Proofs,
    ) -> Result<Vec<Option<ChallengeType>>, Failure> {
        let mut ways = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(mut authorization) = authorizations.next().await.transpose()? {
            if authorization.status != AuthorizationStatus::Pending {
                ways.push(None);
                continue;
            }
            let name = self.name_of(&authorization.identifier().to_string())?;
            let offered: Vec<_> =
                authorization.challenges.iter().map(|offered| offered.r#type.clone()).collect();
            let way = self.context.means.choose(&name, &offered, self.row.proof_failures)?;
            if let Some(challenge) = authorization.challenge(way.clone()) {
                self.context.means.stand(proofs, &name, &challenge).await?;
            }
            ways.push(Some(way));
        }
        Ok(ways)
    }

    /// The CA cannot make the relay prove what it did not ask for.
    fn name_of(&self, text: &str) -> Result<Name, Failure> {
        let named = |name: &&Name| Name::parse(text).is_some_and(|parsed| parsed == **name);
        let asked = self.wanted.names().find(named).cloned();
        asked.ok_or_else(|| not_acme(&format!("a proof of {text} is wanted, which is not ordered")))
    }

    async fn wait(&self, order: &mut Order) -> Result<(), Failure> {
        let wish = self.client.take_retry_after().unwrap_or_default();
        tokio::time::sleep(wish.max(self.context.settings.pace.poll)).await;
        insist!(async { order.refresh().await.map(drop) })?;
        Ok(())
    }

    fn check(&self, chain: String, key: KeyPem) -> Result<Issued, Failure> {
        let certified =
            Certified::read(&chain, &key).map_err(|error| not_acme(&error.to_string()))?;
        if let Some(missing) = self.wanted.names().find(|name| !certified.names.contains(name)) {
            return Err(not_acme(&format!("the certificate is not for {missing}")));
        }
        if certified.not_after <= (self.context.settings.clock)() {
            let detail = "by the relay's clock the new certificate has expired already";
            return Err(Failure::new(FailureKind::Clock, detail));
        }
        Ok(Issued { chain, key, certified })
    }
}

/// Asks for every authorization that is not known yet; whoever goes through them then asks nothing.
async fn fetch(order: &mut Order) -> Result<(), Error> {
    let mut authorizations = order.authorizations();
    while authorizations.next().await.transpose()?.is_some() {}
    Ok(())
}

/// What the CA found, by the first proof that failed.
async fn why_invalid(order: &mut Order) -> Failure {
    let of_order = order.state().error.as_ref().map(Failure::from);
    if let Err(error) = insist!(fetch(order)) {
        return of_order.unwrap_or_else(|| error.into());
    }
    let mut authorizations = order.authorizations();
    while let Some(Ok(authorization)) = authorizations.next().await {
        let refused = authorization.challenges.iter().find_map(|tried| tried.error.as_ref());
        if let Some(problem) = refused {
            let failure = Failure::from(problem);
            let detail = format!("{}: {}", authorization.identifier(), failure.detail);
            return Failure { detail, ..failure };
        }
    }
    of_order.unwrap_or_else(|| not_acme("the CA ended the order and does not say why"))
}

pub(super) fn is_bad_nonce(error: &Error) -> bool {
    let Error::Api(problem) = error else { return false };
    problem.r#type.as_deref().is_some_and(|kind| kind.ends_with(":badNonce"))
}

/// A CA that no longer knows an order, or does not show it, has answered; one that is in trouble has not.
fn is_gone(status: Option<u16>) -> bool {
    matches!(status, None | Some(400..=428 | 430..=499))
}

/// An order that another CA was asked for stands at an address of that one.
fn is_same_ca(order: &str, account: &str) -> bool {
    let authority = |url: &str| url.parse::<Uri>().ok()?.into_parts().authority;
    authority(order) == authority(account)
}

/// An order of an earlier try that leads nowhere is not gone on with for ever: its certificate may have expired while the relay was away.
fn given_up(failure: Failure) -> Failure {
    if matches!(failure.kind, FailureKind::Clock | FailureKind::NotAcme) {
        return Failure { kind: FailureKind::Stale, ..failure };
    }
    failure
}

fn not_acme(detail: &str) -> Failure {
    Failure::new(FailureKind::NotAcme, detail)
}

fn unmade(error: rcgen::Error) -> Failure {
    not_acme(&format!("no key or request for it could be made: {error}"))
}

const SHORT_LIVED: &str = "shortlived";
