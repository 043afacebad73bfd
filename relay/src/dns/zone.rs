//! What the zone of the relay's domain says: the zone that one NS record delegates to this relay.
//!
//! | name | has |
//! |---|---|
//! | the domain | SOA, NS, the relay's addresses, CAA |
//! | the relay's own name, where it lies in the domain | the relay's addresses |
//! | a published name | the relay's addresses |
//! | a name that is being proved to a certificate authority | TXT |
//! | a name above one of these | nothing, but it exists (RFC 8020) |
//! | any other name in the domain | it does not exist |
//! | a name outside | refused: not ours |
//!
//! Published names are asked for at each answer, never copied: a publication that is gone has no record any more.
//!
//! No IO, no clock. Source: RFC 1034 §4.3.2, RFC 2308 (negative answers), RFC 8482 (ANY), RFC 8659 and RFC 8657 (CAA).

use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::caa::{CAA, KeyValue};
use hickory_proto::rr::rdata::{HINFO, NS, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::limits::{
    ADDRESS_TTL_SECONDS, CAA_TTL_SECONDS, NEGATIVE_TTL_SECONDS, TXT_NAMES_MAX, TXT_TTL_SECONDS,
    TXT_VALUE_BYTES_MAX, TXT_VALUES_PER_NAME_MAX, ZONE_TTL_SECONDS,
};
use super::table::{Full, TxtTable};
use super::txt::TxtError;

/// What a name is to the publications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// One has it.
    Published,
    /// One has a name below it.
    Above,
    /// None.
    Absent,
}

/// Says what a name (lower-case, without the last dot) is to the publications at this moment.
pub type Published = Box<dyn Fn(&str) -> Standing + Send + Sync>;

/// A certificate authority that may issue for the domain, wildcards included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// Its name in CAA records, as in `letsencrypt.org`.
    pub authority: String,
    /// The one account of it that may (RFC 8657).
    pub account_uri: Option<String>,
}

/// The zone.
pub struct Zone {
    origin: Name,
    name_server: Name,
    serial: u32,
    published: Published,
    addresses: RwLock<Vec<IpAddr>>,
    issuers: RwLock<Vec<Issuer>>,
    txt: TxtTable,
}

/// What the zone says to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How it went.
    pub code: ResponseCode,
    /// The records asked for.
    pub answers: Vec<Record>,
    /// The SOA of a negative answer: how long it may be kept.
    pub soa: Option<Record>,
}

/// Why there is no zone.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` cannot be a name in DNS: {cause}")]
pub struct ZoneError {
    name: String,
    cause: String,
}

impl Zone {
    /// The zone of `domain` on the relay that is known as `host`. A `host` that is an address has no name, so `ns.` in the domain is it.
    ///
    /// # Errors
    /// When one is no name.
    pub fn new(
        domain: &str,
        host: &str,
        serial: u32,
        published: Published,
    ) -> Result<Self, ZoneError> {
        let name_server = match host.parse::<IpAddr>() {
            Ok(_) => format!("ns.{domain}"),
            Err(_) => host.to_owned(),
        };
        Ok(Self {
            origin: absolute(domain)?,
            name_server: absolute(&name_server)?,
            serial,
            published,
            addresses: RwLock::default(),
            issuers: RwLock::default(),
            txt: TxtTable::default(),
        })
    }

    /// Says where the relay is.
    pub fn set_addresses(&self, addresses: Vec<IpAddr>) {
        *self.addresses.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// Says who may issue certificates. Nobody named means no CAA record: anybody may.
    pub fn set_issuers(&self, issuers: Vec<Issuer>) {
        *self.issuers.write().unwrap_or_else(PoisonError::into_inner) = issuers;
    }

    /// Puts a TXT value under a name of the zone.
    ///
    /// # Errors
    /// When the name is outside, the value too long, or there is no room.
    pub fn publish_txt(&self, name: &str, value: &str) -> Result<(), TxtError> {
        let key = self.own_name(name)?;
        if value.len() > TXT_VALUE_BYTES_MAX {
            return Err(
                self.unfit(name, format!("a value has at most {TXT_VALUE_BYTES_MAX} bytes"))
            );
        }
        self.txt.add(&key, value).map_err(|full| TxtError::Full {
            provider: BUILT_IN,
            name: name.to_owned(),
            cause: match full {
                Full::Names => format!("{TXT_NAMES_MAX} names have one"),
                Full::Values => format!("it has {TXT_VALUES_PER_NAME_MAX} values"),
            },
        })
    }

    /// Takes a TXT value away.
    ///
    /// # Errors
    /// When the name is outside.
    pub fn withdraw_txt(&self, name: &str, value: &str) -> Result<(), TxtError> {
        self.txt.remove(&self.own_name(name)?, value);
        Ok(())
    }

    /// Answers a question of class IN. Owners of records are spelled as in the question, upper and lower case.
    pub fn answer(&self, name: &Name, kind: RecordType) -> Answer {
        if !self.origin.zone_of(name) || matches!(kind, RecordType::AXFR | RecordType::IXFR) {
            return Answer { code: ResponseCode::Refused, answers: Vec::new(), soa: None };
        }
        let Some(records) = self.records(name) else {
            return self.negative(ResponseCode::NXDomain);
        };
        let answers = select(name, kind, records);
        if answers.is_empty() {
            return self.negative(ResponseCode::NoError);
        }
        Answer { code: ResponseCode::NoError, answers, soa: None }
    }

    /// Everything that stands under a name of the zone; `None` when it does not exist.
    fn records(&self, name: &Name) -> Option<Vec<Record>> {
        let key = spelled(name);
        let apex = *name == self.origin;
        let own = apex || *name == self.name_server;
        let standing = if own { Standing::Published } else { (self.published)(&key) };
        let mut records = if apex { self.of_apex() } else { Vec::new() };
        if standing == Standing::Published {
            records.extend(self.located());
        }
        records.extend(self.txt.values(&key).into_iter().map(proof));
        let exists = standing != Standing::Absent
            || !records.is_empty()
            || name.zone_of(&self.name_server)
            || self.txt.has_below(&key);
        let owned = |(seconds, data)| Record::from_rdata(name.clone(), seconds, data);
        exists.then(|| records.into_iter().map(owned).collect())
    }

    fn of_apex(&self) -> Vec<(u32, RData)> {
        let issuers = self.issuers.read().unwrap_or_else(PoisonError::into_inner);
        let caa = issuers.iter().flat_map(Issuer::records).map(|data| (CAA_TTL_SECONDS, data));
        let fixed = [RData::SOA(self.soa()), RData::NS(NS(self.name_server.clone()))];
        fixed.into_iter().map(|data| (ZONE_TTL_SECONDS, data)).chain(caa).collect()
    }

    fn located(&self) -> Vec<(u32, RData)> {
        let addresses = self.addresses.read().unwrap_or_else(PoisonError::into_inner);
        addresses.iter().map(|address| (ADDRESS_TTL_SECONDS, RData::from(*address))).collect()
    }

    /// The time that a negative answer may be kept is the lesser of the SOA's own and its last field (RFC 2308 §5).
    fn negative(&self, code: ResponseCode) -> Answer {
        let soa = RData::SOA(self.soa());
        let soa = Record::from_rdata(self.origin.clone(), NEGATIVE_TTL_SECONDS, soa);
        Answer { code, answers: Vec::new(), soa: Some(soa) }
    }

    /// Nobody transfers this zone, so of these times only the last means anything.
    fn soa(&self) -> SOA {
        let hostmaster = self.origin.prepend_label("hostmaster").unwrap_or_else(|_| Name::root());
        let (refresh, retry, expire) = (3_600, 600, 604_800);
        SOA::new(
            self.name_server.clone(),
            hostmaster,
            self.serial,
            refresh,
            retry,
            expire,
            NEGATIVE_TTL_SECONDS,
        )
    }

    /// A name of the zone as the table spells it.
    fn own_name(&self, name: &str) -> Result<String, TxtError> {
        let parsed = absolute(name).map_err(|error| self.unfit(name, error.cause))?;
        if self.origin.zone_of(&parsed) {
            return Ok(spelled(&parsed));
        }
        Err(self.unfit(name, format!("this relay answers for {} only", spelled(&self.origin))))
    }

    fn unfit(&self, name: &str, cause: String) -> TxtError {
        TxtError::Name { provider: BUILT_IN, name: name.to_owned(), cause }
    }
}

impl std::fmt::Debug for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zone").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Issuer {
    /// Whether its name can stand in a record.
    pub fn is_sound(&self) -> bool {
        !self.records().is_empty()
    }

    /// One for names, and one for wildcards, which would say the same if it were not there (RFC 8659 §4.3): whoever looks need not know that.
    fn records(&self) -> Vec<RData> {
        // Without the last dot: the value of a CAA record has none (RFC 8659 §4.2).
        let Ok(authority) = Name::from_ascii(self.authority.trim_end_matches('.')) else {
            return Vec::new();
        };
        if authority.num_labels() == 0 {
            return Vec::new();
        }
        let account = self.account_uri.as_ref().map(|uri| KeyValue::new("accounturi", uri));
        let account: Vec<KeyValue> = account.into_iter().collect();
        let names = CAA::new_issue(false, Some(authority.clone()), account.clone());
        let wildcards = CAA::new_issuewild(false, Some(authority), account);
        vec![RData::CAA(names), RData::CAA(wildcards)]
    }
}

/// ANY gets one small record (RFC 8482 §4.2), so that it is no lever for floods.
fn select(name: &Name, kind: RecordType, records: Vec<Record>) -> Vec<Record> {
    if kind == RecordType::ANY && !records.is_empty() {
        let minimal = RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new()));
        return vec![Record::from_rdata(name.clone(), ZONE_TTL_SECONDS, minimal)];
    }
    records.into_iter().filter(|record| record.record_type() == kind).collect()
}

fn proof(value: String) -> (u32, RData) {
    (TXT_TTL_SECONDS, RData::TXT(TXT::new(vec![value])))
}

/// The name from the root, lower-case.
pub(super) fn absolute(text: &str) -> Result<Name, ZoneError> {
    let parsed = Name::from_ascii(text.trim_end_matches('.'));
    let mut name = parsed
        .map_err(|error| ZoneError { name: text.to_owned(), cause: error.to_string() })?
        .to_lowercase();
    name.set_fqdn(true);
    Ok(name)
}

/// The name as people and tables spell it: lower-case, without the last dot.
pub(super) fn spelled(name: &Name) -> String {
    let mut text = name.to_lowercase().to_ascii();
    text.truncate(text.trim_end_matches('.').len());
    text
}

pub(super) const BUILT_IN: &str = "built-in DNS";

#[cfg(test)]
mod tests;
