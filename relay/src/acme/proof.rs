//! How a name is proved to the CA: which way, and what stands while the CA looks.
//!
//! Everything that one order needs stands before the CA is told to look: a wildcard and its apex are proved by two values at one DNS name,
//! of which a resolver that has seen only the first would remember nothing else.

use std::net::IpAddr;
use std::sync::Arc;

use bore_edge::tls::{Challenges, Standing};
use instant_acme::{ChallengeHandle, ChallengeType, KeyAuthorization};

use super::certified::for_challenge;
use super::failure::{Failure, FailureKind};
use super::name::Name;
use super::settings::ChallengeChoice;
use crate::dns::TxtRecords;

/// What the relay can prove names by.
#[derive(Debug, Clone)]
pub(super) struct Means {
    pub(super) challenges: Arc<Challenges>,
    pub(super) txt: Option<Arc<dyn TxtRecords>>,
    pub(super) zone: Option<String>,
    pub(super) choice: ChallengeChoice,
}

/// What stands for one order.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    standing: Vec<Standing>,
    records: Vec<Record>,
}

#[derive(Debug)]
struct Record {
    name: String,
    value: String,
}

impl Means {
    /// Whether there is a way to prove `name`, whatever a CA offers. Without one nothing is asked of a CA.
    pub(super) fn check(&self, name: &Name) -> Result<(), Failure> {
        if !self.ways(name).is_empty() {
            return Ok(());
        }
        let is_foreign = !self.zone.as_deref().is_some_and(|zone| name.is_within(zone));
        let kind = match name {
            Name::Below(_) if is_foreign => FailureKind::ForeignWildcard,
            Name::Below(_) | Name::Host(_) | Name::Address(_) => FailureKind::NoProof,
        };
        Err(Failure::new(kind, name.to_string()))
    }

    /// The ways to prove `name`, the best first. DNS-01 needs the zone; only it proves a wildcard, and it proves no address.
    fn ways(&self, name: &Name) -> Vec<ChallengeType> {
        let has_zone =
            self.txt.is_some() && self.zone.as_deref().is_some_and(|zone| name.is_within(zone));
        let all = match name {
            Name::Below(_) => vec![ChallengeType::Dns01],
            Name::Host(_) if has_zone => {
                vec![ChallengeType::Dns01, ChallengeType::Http01, ChallengeType::TlsAlpn01]
            }
            Name::Host(_) | Name::Address(_) => {
                vec![ChallengeType::Http01, ChallengeType::TlsAlpn01]
            }
        };
        let possible = |way: &ChallengeType| *way != ChallengeType::Dns01 || has_zone;
        all.into_iter().filter(|way| self.choice.admits(way) && possible(way)).collect()
    }

    /// Whether the CA would find the TXT records of these names, if that is how they are proved.
    pub(super) async fn look_for_zone(
        &self,
        names: impl Iterator<Item = &Name>,
    ) -> Result<(), Failure> {
        let Some(txt) = &self.txt else { return Ok(()) };
        let by_dns = |name: &Name| self.ways(name).first() == Some(&ChallengeType::Dns01);
        if names.into_iter().any(by_dns) { Ok(txt.ready().await?) } else { Ok(()) }
    }

    /// The way to take among `offered`: after each of `failures` of the proof another one, if there is one.
    pub(super) fn choose(
        &self,
        name: &Name,
        offered: &[ChallengeType],
        failures: u32,
    ) -> Result<ChallengeType, Failure> {
        let ways: Vec<_> =
            self.ways(name).into_iter().filter(|way| offered.contains(way)).collect();
        let turn = usize::try_from(failures).unwrap_or_default().checked_rem(ways.len());
        let way = turn.and_then(|turn| ways.get(turn)).cloned();
        way.ok_or_else(|| {
            let offered: Vec<String> = offered.iter().map(text).collect();
            let detail = format!("{name}: the CA offers {}", offered.join(", "));
            Failure::new(FailureKind::NoProof, detail)
        })
    }

    /// Puts up what the CA will look for.
    pub(super) async fn stand(
        &self,
        proofs: &mut Proofs,
        name: &Name,
        challenge: &ChallengeHandle<'_>,
    ) -> Result<(), Failure> {
        let authorization = challenge.key_authorization();
        if challenge.r#type == ChallengeType::Dns01 {
            return self.publish(proofs, name, &authorization).await;
        }
        let standing = if challenge.r#type == ChallengeType::TlsAlpn01 {
            let certificate = for_challenge(name, &digest(&authorization)?).map_err(unmade)?;
            self.challenges.answer_tls_alpn01(&sni(name), certificate)
        } else {
            let answer = authorization.as_str().to_owned();
            self.challenges.answer_http01(&name.to_string(), &challenge.token, answer)
        };
        let full = || Failure::new(FailureKind::Slow, "too many orders are under way");
        proofs.standing.push(standing.ok_or_else(full)?);
        Ok(())
    }

    async fn publish(
        &self,
        proofs: &mut Proofs,
        name: &Name,
        authorization: &KeyAuthorization,
    ) -> Result<(), Failure> {
        let txt = self.txt.as_ref().ok_or_else(|| {
            Failure::new(FailureKind::NoProof, "nothing keeps TXT records for the relay")
        })?;
        let record = Record { name: record_name(name), value: authorization.dns_value() };
        // Also what was published only in part has to be taken back.
        proofs.records.push(record);
        for Record { name, value } in proofs.records.iter().rev().take(1) {
            txt.publish(name, value).await?;
        }
        Ok(())
    }

    /// Takes everything back.
    pub(super) async fn withdraw(&self, proofs: Proofs) {
        drop(proofs.standing);
        let Some(txt) = &self.txt else { return };
        for Record { name, value } in proofs.records {
            if let Err(error) = txt.withdraw(&name, &value).await {
                tracing::warn!(%error, "a TXT record stays behind");
            }
        }
    }
}

impl ChallengeChoice {
    /// Whether names may be proved by DNS-01.
    pub(crate) fn admits_dns(self) -> bool {
        self.admits(&ChallengeType::Dns01)
    }

    fn admits(self, way: &ChallengeType) -> bool {
        match self {
            Self::Auto => true,
            Self::Http01 => *way == ChallengeType::Http01,
            Self::TlsAlpn01 => *way == ChallengeType::TlsAlpn01,
            Self::Dns01 => *way == ChallengeType::Dns01,
        }
    }
}

/// RFC 8555 §8.4.
fn record_name(name: &Name) -> String {
    match name {
        Name::Host(host) | Name::Below(host) => format!("_acme-challenge.{host}"),
        Name::Address(address) => format!("_acme-challenge.{address}"),
    }
}

/// What the CA sends as SNI; for an address its name for reverse look-ups (RFC 8738 §6).
fn sni(name: &Name) -> String {
    match name {
        Name::Address(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Name::Address(IpAddr::V6(address)) => {
            let nibbles =
                address.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
        }
        Name::Host(_) | Name::Below(_) => name.to_string(),
    }
}

fn digest(authorization: &KeyAuthorization) -> Result<[u8; 32], Failure> {
    let digest = authorization.digest();
    let wrong = |_| Failure::new(FailureKind::NotAcme, "a digest of another length");
    digest.as_ref().try_into().map_err(wrong)
}

fn unmade(error: rcgen::Error) -> Failure {
    Failure::new(FailureKind::NotAcme, format!("no certificate for the challenge: {error}"))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "CAs may offer what is not known here")]
fn text(way: &ChallengeType) -> String {
    match way {
        ChallengeType::Http01 => "http-01".to_owned(),
        ChallengeType::Dns01 => "dns-01".to_owned(),
        ChallengeType::TlsAlpn01 => "tls-alpn-01".to_owned(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_asked_for_by_its_reverse_name() {
        assert_eq!(sni(&name("203.0.113.5")), "5.113.0.203.in-addr.arpa");
        let v6 = sni(&name("2001:db8::1"));
        assert!(v6.starts_with("1.0.0.0.") && v6.ends_with(".8.b.d.0.1.0.0.2.ip6.arpa"), "{v6}");
        assert_eq!(sni(&name("app.example.com")), "app.example.com");
    }

    #[test]
    fn a_failure_tries_the_other_way() {
        let means = means(ChallengeChoice::Auto);
        let offered = [ChallengeType::Dns01, ChallengeType::TlsAlpn01, ChallengeType::Http01];
        let chosen = |failures| means.choose(&name("app.example.com"), &offered, failures).unwrap();
        assert_eq!(chosen(0), ChallengeType::Http01);
        assert_eq!(chosen(1), ChallengeType::TlsAlpn01);
        assert_eq!(chosen(2), ChallengeType::Http01);
    }

    #[test]
    fn what_cannot_be_proved_is_said() {
        let offered = [ChallengeType::Dns01, ChallengeType::Http01];
        for (choice, asked) in [
            (ChallengeChoice::Auto, "*.example.com"),
            (ChallengeChoice::Dns01, "app.example.com"),
            (ChallengeChoice::TlsAlpn01, "app.example.com"),
        ] {
            let refused = means(choice).choose(&name(asked), &offered, 0).unwrap_err();
            assert_eq!(refused.kind, FailureKind::NoProof);
            assert!(refused.detail.contains("dns-01, http-01"), "{refused}");
        }
    }

    #[test]
    fn a_wildcard_of_somebody_elses_domain_cannot_be_proved() {
        let mut means = means(ChallengeChoice::Auto);
        means.zone = Some("t.example.org".to_owned());
        let kind = |text| means.check(&name(text)).map_err(|failure| failure.kind);
        assert_eq!(kind("*.shop.example.com"), Err(FailureKind::ForeignWildcard));
        assert_eq!(kind("*.t.example.org"), Err(FailureKind::NoProof));
        assert_eq!(kind("shop.example.com"), Ok(()));
        means.choice = ChallengeChoice::Dns01;
        assert_eq!(means.check(&name("203.0.113.5")).unwrap_err().kind, FailureKind::NoProof);
    }

    fn means(choice: ChallengeChoice) -> Means {
        Means { challenges: Arc::default(), txt: None, zone: None, choice }
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }
}
