//! Who an API key makes its bearer, and what that may: the one place where rights are asked and networks are found.
//!
//! Invariant: a bearer learns nothing of a network that its key does not see; what is there and what is not get one answer.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, RawPathParams};
use bore_api::model::{Actor, Network, Scope};
use bore_api::{ApiToken, Code, TokenError};
use http::header::AUTHORIZATION;
use http::request::Parts;
use uuid::Uuid;

use super::caller::Caller;
use crate::control::Control;
use crate::refusal::Refusal;

/// The bearer of an API key that holds now.
#[derive(Debug)]
pub struct Principal {
    pub(crate) actor: Actor,
    /// The only network that it sees; all for `None`.
    pub(crate) network: Option<Uuid>,
    pub(crate) scopes: Vec<Scope>,
}

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// To be known at all.
    Any,
    ReadNodes,
    WriteNodes,
    ReadKeys,
    WriteKeys,
    ReadPublications,
    WritePublications,
    ReadDomains,
    WriteDomains,
    ReadRules,
    WriteRules,
    ReadAudit,
    /// The whole cluster's.
    Administer,
}

impl Right {
    /// Scopes of which one is enough beside `admin`. Write includes read.
    fn granted_by(self) -> &'static [Scope] {
        match self {
            Self::Any => &ALL_SCOPES,
            Self::ReadNodes => &[Scope::Read, Scope::NodesWrite],
            Self::WriteNodes => &[Scope::NodesWrite],
            Self::ReadKeys => &[Scope::Read, Scope::KeysWrite],
            Self::WriteKeys => &[Scope::KeysWrite],
            Self::ReadPublications => &[Scope::Read, Scope::PublicationsWrite],
            Self::WritePublications => &[Scope::PublicationsWrite],
            Self::ReadDomains => &[Scope::Read, Scope::DomainsWrite],
            Self::WriteDomains => &[Scope::DomainsWrite],
            Self::ReadRules => &[Scope::Read, Scope::PoliciesWrite],
            Self::WriteRules => &[Scope::PoliciesWrite],
            Self::ReadAudit => &[Scope::AuditRead],
            Self::Administer => &[],
        }
    }
}

impl Principal {
    /// Refuses what the key has no scope for.
    pub(crate) fn may(&self, right: Right) -> Result<(), Refusal> {
        let enough = right.granted_by();
        if self.is_admin() || self.scopes.iter().any(|scope| enough.contains(scope)) {
            return Ok(());
        }
        let names: Vec<&str> =
            enough.iter().chain([&Scope::Admin]).map(|scope| scope.name()).collect();
        Err(Refusal::new(
            Code::SCOPE_MISSING,
            format!("this needs a key with scope {}", names.join(" or ")),
        ))
    }

    /// Refuses to give another key more than this one has.
    pub(crate) fn may_grant(&self, scopes: &[Scope]) -> Result<(), Refusal> {
        self.may(Right::WriteKeys)?;
        match scopes.iter().find(|scope| !self.is_admin() && !self.scopes.contains(scope)) {
            Some(scope) => {
                let detail = format!("a key without scope {} cannot give it away", scope.name());
                Err(Refusal::new(Code::SCOPE_MISSING, detail))
            }
            None => Ok(()),
        }
    }

    /// True when the key sees this network.
    pub(crate) fn sees(&self, network: Uuid) -> bool {
        self.network.is_none_or(|own| own == network)
    }

    /// Refuses a key that sees one network only.
    pub(crate) fn of_cluster(&self) -> Result<(), Refusal> {
        if self.network.is_none() {
            Ok(())
        } else {
            Err(Refusal::not_here("resource of the cluster", "this"))
        }
    }

    /// `admin` counts only on a key of the cluster.
    pub(crate) fn is_admin(&self) -> bool {
        self.network.is_none() && self.scopes.contains(&Scope::Admin)
    }
}

impl FromRequestParts<Control> for Principal {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refusal> {
        let (token, source) = bearer(parts)?;
        let key = control.api_keys().authenticate_from(&token, source).await?;
        control.callers().admit(key.id)?;
        Ok(Self { actor: Actor::ApiKey(key.id), network: key.network, scopes: key.scopes })
    }
}

/// The token, and where it comes from.
fn bearer(parts: &Parts) -> Result<(ApiToken, IpAddr), Refusal> {
    let missing =
        || Refusal::new(Code::API_KEY_MISSING, "there is no `Authorization: Bearer bore_api_…`");
    let Some(Caller::Tcp { peer }) = parts.extensions.get::<Caller>() else {
        return Err(missing());
    };
    let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
    let (Some(header), None) = (headers.next(), headers.next()) else { return Err(missing()) };
    let text = header.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
    let (scheme, token) = text;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    let parsed = ApiToken::parse(token.trim()).map(|token| (token, peer.ip()));
    parsed.map_err(|error| {
        let next = match error {
            TokenError::NotAKey => "give the key as it was printed, beginning with bore_api_",
            TokenError::Mistyped => "copy the key again; the relay was not asked about it",
        };
        Refusal::new(Code::API_KEY_INVALID, error.to_string()).next(next)
    })
}

/// A principal and the network in the path, by id or name, which it sees.
#[derive(Debug)]
pub(crate) struct InNetwork {
    pub(crate) principal: Principal,
    pub(crate) network: Network,
}

impl InNetwork {
    pub(crate) fn id(&self) -> Uuid {
        self.network.id
    }

    pub(crate) fn may(&self, right: Right) -> Result<(), Refusal> {
        self.principal.may(right)
    }

    pub(crate) fn actor(&self) -> &Actor {
        &self.principal.actor
    }
}

impl FromRequestParts<Control> for InNetwork {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refusal> {
        let principal = Principal::from_request_parts(parts, control).await?;
        let wanted = path_parameter(parts, |name| name == NETWORK).await?;
        let found =
            control.directory().read().find_tenant(&wanted).map(|tenant| tenant.network.clone());
        let seen = found.filter(|network| principal.sees(network.id));
        let network = seen.ok_or_else(|| Refusal::not_here("network", &wanted))?;
        Ok(Self { principal, network })
    }
}

/// The thing in the path below the network, by id or name.
#[derive(Debug)]
pub(crate) struct Subject(pub(crate) String);

impl Subject {
    /// A key is named by its id only.
    pub(crate) fn id(&self, what: &str) -> Result<Uuid, Refusal> {
        Uuid::try_parse(&self.0).map_err(|_| Refusal::not_here(what, &self.0))
    }
}

impl FromRequestParts<Control> for Subject {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Control) -> Result<Self, Refusal> {
        path_parameter(parts, |name| name != NETWORK).await.map(Self)
    }
}

async fn path_parameter(
    parts: &mut Parts,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<String, Refusal> {
    let bad = |_| Refusal::new(Code::BAD_REQUEST, "the path is not percent-encoded UTF-8");
    let parameters = RawPathParams::from_request_parts(parts, &()).await.map_err(bad)?;
    let found =
        parameters.iter().find(|(name, _)| is_wanted(name)).map(|(_, value)| value.to_owned());
    found.ok_or_else(|| Refusal::not_here("resource", parts.uri.path()))
}

const NETWORK: &str = "network";

const ALL_SCOPES: [Scope; 8] = [
    Scope::Admin,
    Scope::Read,
    Scope::NodesWrite,
    Scope::KeysWrite,
    Scope::PublicationsWrite,
    Scope::DomainsWrite,
    Scope::PoliciesWrite,
    Scope::AuditRead,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_includes_read_of_the_same_and_nothing_else() {
        let key = principal(Some(1), &[Scope::NodesWrite]);
        assert!(key.may(Right::ReadNodes).is_ok() && key.may(Right::WriteNodes).is_ok());
        for other in [
            Right::ReadKeys,
            Right::WriteRules,
            Right::ReadPublications,
            Right::ReadAudit,
            Right::Administer,
        ] {
            assert_eq!(key.may(other).unwrap_err().code, Code::SCOPE_MISSING, "{other:?}");
        }
    }

    #[test]
    fn admin_is_the_clusters_only() {
        assert!(principal(None, &[Scope::Admin]).may(Right::Administer).is_ok());
        assert!(principal(Some(1), &[Scope::Admin]).may(Right::Administer).is_err());
        assert!(principal(Some(1), &[Scope::Admin]).may(Right::WriteNodes).is_err());
    }

    #[test]
    fn attack_08_no_key_gives_away_what_it_has_not() {
        let key = principal(Some(1), &[Scope::KeysWrite, Scope::Read]);
        assert!(key.may_grant(&[Scope::Read, Scope::KeysWrite]).is_ok());
        for more in [Scope::Admin, Scope::NodesWrite, Scope::PoliciesWrite, Scope::AuditRead] {
            assert_eq!(key.may_grant(&[Scope::Read, more]).unwrap_err().code, Code::SCOPE_MISSING);
        }
        assert!(principal(Some(1), &[Scope::Read]).may_grant(&[Scope::Read]).is_err());
    }

    fn principal(network: Option<u128>, scopes: &[Scope]) -> Principal {
        Principal {
            actor: Actor::System,
            network: network.map(Uuid::from_u128),
            scopes: scopes.to_vec(),
        }
    }
}
