//! The names that a certificate speaks for: DNS names, wildcards of one level, addresses.
//!
//! Source: RFC 6125 §6.4.3 (a wildcard is the whole left-most label, and stands for one), RFC 5280 §4.2.1.6.

use std::net::IpAddr;

use bore_policy::CanonicalAddress;
use rustls::pki_types::CertificateDer;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::nom;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::limits::CERTIFICATE_NAMES_MAX;

/// What a certificate is looked up by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Name {
    /// `app.example.org`, in lower case without a trailing dot.
    Exact(Box<str>),
    /// What stands behind `*.`.
    Below(Box<str>),
    /// An address, in its canonical form.
    Address(IpAddr),
}

/// What a leaf certificate says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) names: Vec<Name>,
    /// Seconds since 1970.
    pub(crate) expires_at: i64,
}

/// Why a certificate names nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeafError {
    /// Not X.509.
    #[error("it is no X.509 certificate")]
    Unreadable(#[source] nom::Err<X509Error>),
    /// Its list of names is broken.
    #[error("its list of names is broken")]
    Names(#[source] X509Error),
    /// It names nobody that could be asked for.
    #[error("it names no host: make one with subjectAltName")]
    Nobody,
}

impl Leaf {
    pub(crate) fn read(der: &CertificateDer<'_>) -> Result<Self, LeafError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(LeafError::Unreadable)?;
        let expires_at = certificate.validity().not_after.timestamp();
        let names = names(&certificate).map_err(LeafError::Names)?;
        if names.is_empty() { Err(LeafError::Nobody) } else { Ok(Self { names, expires_at }) }
    }
}

/// What a certificate speaks for, in the order in which it says so.
pub fn names(certificate: &X509Certificate<'_>) -> Result<Vec<Name>, X509Error> {
    let listed = certificate.subject_alternative_name()?;
    let general = listed.map(|extension| extension.value.general_names.as_slice());
    let names = general.unwrap_or_default().iter().filter_map(Name::of);
    Ok(names.take(CERTIFICATE_NAMES_MAX).collect())
}

impl Name {
    /// `None` for what no visitor can ask for.
    fn of(general: &GeneralName<'_>) -> Option<Self> {
        match general {
            GeneralName::DNSName(text) => match text.strip_prefix("*.") {
                Some(parent) => Some(Self::Below(plain(parent))),
                None => Some(Self::Exact(plain(text))),
            },
            GeneralName::IPAddress(bytes) => address(bytes).map(Self::address),
            GeneralName::OtherName(..)
            | GeneralName::RFC822Name(_)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::URI(_)
            | GeneralName::RegisteredID(_)
            | GeneralName::Invalid(..) => None,
        }
    }

    pub(crate) fn address(address: IpAddr) -> Self {
        Self::Address(CanonicalAddress::new(address).ip())
    }

    /// The names that speak for `host`, the nearer one first.
    pub(crate) fn speaking_for(host: &str) -> impl Iterator<Item = Self> {
        let host = plain(host);
        let below = host.split_once('.').map(|(_, parent)| Self::Below(parent.into()));
        std::iter::once(Self::Exact(host)).chain(below)
    }
}

fn plain(text: &str) -> Box<str> {
    text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase().into()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_one_spelling() {
        let leaf =
            Leaf::read(&self_signed(&["App.Example", "*.t.example", "192.0.2.1", "2001:db8::1"]))
                .unwrap();
        let wanted = [
            Name::Exact("app.example".into()),
            Name::Below("t.example".into()),
            Name::address("192.0.2.1".parse().unwrap()),
            Name::address("2001:db8::1".parse().unwrap()),
        ];
        assert_eq!(leaf.names, wanted);
        assert!(leaf.expires_at > 0);
    }

    #[test]
    fn a_certificate_without_names_and_nonsense_are_told_apart() {
        assert!(matches!(Leaf::read(&self_signed(&[])), Err(LeafError::Nobody)));
        let nonsense = CertificateDer::from(vec![0x30, 0x03, 0x02, 0x01]);
        assert!(matches!(Leaf::read(&nonsense), Err(LeafError::Unreadable(_))));
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let asked = |host: &str| Name::speaking_for(host).collect::<Vec<_>>();
        assert!(asked("A.t.example.").contains(&Name::Below("t.example".into())));
        assert!(!asked("a.b.t.example").contains(&Name::Below("t.example".into())));
        assert!(!asked("t.example").contains(&Name::Below("t.example".into())));
        assert_eq!(asked("localhost"), [Name::Exact("localhost".into())]);
    }

    fn self_signed(names: &[&str]) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        rcgen::generate_simple_self_signed(names).unwrap().cert.der().clone()
    }
}
