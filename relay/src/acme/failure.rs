//! Why there is no certificate: in words, with a code that `bore explain` knows and what to do.

use std::time::Duration;

use bore_api::Code;
use bore_api::state::CertificateProblem;
use bore_control::clean_text;
use bore_control::sealing::SealError;
use bore_control::store::StoreError;
use instant_acme::{Error, Problem};

use super::client::{Client, ClientError};
use super::limits::DETAIL_CHARS_MAX;
use crate::dns::TxtError;

/// A certificate was not issued.
#[derive(Debug, thiserror::Error)]
#[error("{}: {detail}", .kind.row().what)]
pub struct Failure {
    /// Which kind.
    pub kind: FailureKind,
    /// What the CA or the machine said about it, one clean line.
    pub detail: String,
    /// The CA does not want to be asked again before.
    pub retry_after: Option<Duration>,
}

/// The kinds of a [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// A CAA record admits other CAs only.
    Caa,
    /// Too much was asked of the CA.
    RateLimit,
    /// The name does not resolve, or not to here.
    Dns,
    /// The CA did not get through to the relay.
    Unreachable,
    /// Somebody else answered the CA.
    WrongAnswer,
    /// The CA gives no certificate for such a name.
    NameRefused,
    /// The CA does not accept the account.
    AccountRefused,
    /// The CA does not know the account any more.
    AccountGone,
    /// The CA does not answer.
    CaAway,
    /// The machine's clock and the CA's certificates disagree.
    Clock,
    /// The TXT record could not be put into the zone.
    TxtRecord,
    /// Nobody is led to the zone that the relay keeps: the CA is not asked in vain.
    NotDelegated,
    /// None of the proofs that the CA offers can be given.
    NoProof,
    /// A wildcard of a domain whose zone the relay does not have.
    ForeignWildcard,
    /// The CA answers what ACME does not know.
    NotAcme,
    /// It takes longer than one try may.
    Slow,
    /// The order of an earlier try leads to no certificate that could be used.
    Stale,
    /// The relay's own database or sealing key.
    Store,
}

/// What belongs to a kind.
struct Row {
    code: Code,
    what: &'static str,
    remedy: &'static str,
    /// Waiting alone does not mend it.
    needs_person: bool,
}

impl FailureKind {
    fn row(self) -> Row {
        let (code, what, remedy, needs_person) = match self {
            Self::Caa => (
                Code::CA_REFUSED_BY_CAA,
                "a CAA record of the domain does not admit this CA",
                "add a CAA record that names the CA, or remove the one that excludes it",
                true,
            ),
            Self::RateLimit => (
                Code::CA_RATE_LIMIT,
                "the CA has issued or refused too much lately",
                "wait: the next try is made when the CA allows it; with DNS-01 one wildcard certificate serves all names",
                false,
            ),
            Self::Dns => (
                Code::CA_NAME_UNRESOLVED,
                "the name does not resolve for the CA",
                "point an A or AAAA record of the name at the relay",
                true,
            ),
            Self::Unreachable => (
                Code::CA_CANNOT_REACH_RELAY,
                "the CA cannot connect to the relay",
                "open ports 80 and 443 in every firewall before the relay, or use DNS-01",
                true,
            ),
            Self::WrongAnswer => (
                Code::CA_WRONG_ANSWER,
                "something else than this relay answered the CA",
                "point the name at this relay alone, with no proxy or second address before it",
                true,
            ),
            Self::NameRefused => (
                Code::CA_NAME_REFUSED,
                "the CA gives no certificate for this name",
                "use a name that you own in public DNS, or another CA ([acme] directory)",
                true,
            ),
            Self::AccountRefused => (
                Code::CA_ACCOUNT,
                "the CA does not accept the account",
                "check [acme] contact, eab_key_id and eab_key_file, and the CA's terms",
                true,
            ),
            Self::AccountGone => (
                Code::CA_ACCOUNT,
                "the CA does not know the account any more",
                "nothing: a new account is made at the next try",
                false,
            ),
            Self::CaAway => (
                Code::CA_UNREACHABLE,
                "the CA does not answer",
                "wait: it is asked again; if it lasts, check the relay's way to the Internet and [acme] directory",
                false,
            ),
            Self::Clock => (
                Code::CLOCK_WRONG,
                "the relay's clock is wrong, or the CA's certificate is",
                "set the clock of the relay's machine, with NTP if you can",
                true,
            ),
            Self::TxtRecord => (
                Code::CA_TXT_RECORD,
                "the TXT record for the CA could not be put into DNS",
                "check the [dns] section and the provider's answer",
                true,
            ),
            Self::NotDelegated => (
                Code::DOMAIN_NOT_DELEGATED,
                "the domain is not delegated to this relay",
                "make that record in the zone above the domain; it is looked for again every few seconds",
                true,
            ),
            Self::NoProof => (
                Code::CA_NO_PROOF,
                "the relay has no way to prove the name to the CA",
                "a wildcard needs DNS-01: configure [dns]; else set [acme] challenge to one that the CA offers",
                true,
            ),
            Self::ForeignWildcard => (
                Code::CA_NO_PROOF,
                "the relay has no way to prove a wildcard of a domain that is not its own",
                "publish exact names instead of the wildcard, or pass TLS through with `bore publish tls`, or give the relay a certificate ([tls] certificate_files)",
                true,
            ),
            Self::NotAcme => (
                Code::CA_NOT_ACME,
                "the CA's answer is not what ACME says",
                "check [acme] directory; if it is right, the CA has a fault",
                false,
            ),
            Self::Slow => (
                Code::CA_SLOW,
                "the CA took too long",
                "wait: the same order is gone on with",
                false,
            ),
            Self::Stale => (
                Code::CA_ORDER_STALE,
                "the order of an earlier try is of no use any more",
                "nothing: a new one is placed at the next try",
                false,
            ),
            Self::Store => (
                Code::SEALED_SECRETS,
                "the relay's database or sealing key failed",
                "look at the relay's log",
                false,
            ),
        };
        Row { code, what, remedy, needs_person }
    }

    /// Waiting alone does not mend it.
    pub(super) fn needs_person(self) -> bool {
        self.row().needs_person
    }

    /// The whole CA is at fault, not one name: the others need not be tried now.
    pub(super) fn concerns_all(self) -> bool {
        matches!(self, Self::CaAway | Self::Clock | Self::AccountRefused)
    }

    /// The name was not proved, and another way of proving it may do.
    pub(super) fn is_of_proof(self) -> bool {
        matches!(self, Self::Dns | Self::Unreachable | Self::WrongAnswer | Self::TxtRecord)
    }

    /// Any other order, placed at once, would fail alike.
    pub(super) fn spoils_every_order(self) -> bool {
        matches!(self, Self::RateLimit | Self::CaAway | Self::Clock | Self::AccountGone)
    }

    /// The order at the CA may still be good.
    pub(super) fn keeps_standing(self) -> bool {
        matches!(
            self,
            Self::CaAway
                | Self::Slow
                | Self::Store
                | Self::NotAcme
                | Self::Clock
                | Self::NotDelegated
        )
    }

    /// The CA was not troubled.
    pub(super) fn is_found_at_home(self) -> bool {
        self == Self::NotDelegated
    }
}

impl Failure {
    /// `detail` may be anybody's text: it is cut and cleaned here.
    pub(super) fn new(kind: FailureKind, detail: impl AsRef<str>) -> Self {
        Self { kind, detail: clean_text(detail.as_ref(), DETAIL_CHARS_MAX), retry_after: None }
    }

    /// What a server in trouble, or a proxy before it, says is no fault of ACME's.
    pub(super) fn unless_in_trouble(self, client: &Client) -> Self {
        if self.kind == FailureKind::NotAcme && client.is_in_trouble() {
            return Self { kind: FailureKind::CaAway, ..self };
        }
        self
    }

    /// The same with what the CA's answers said beside it.
    pub(super) fn with_what_was_heard(self, client: &Client) -> Self {
        let mut this = self.unless_in_trouble(client);
        this.retry_after = this.retry_after.or_else(|| client.take_retry_after());
        if let Some(off) = client.clock_off_by() {
            let minutes = off.as_secs() / 60;
            this.detail += &format!("; the relay's clock and the CA's are {minutes} minutes apart");
        }
        this
    }

    /// For the store, the API and people.
    pub(super) fn problem(&self) -> CertificateProblem {
        let row = self.kind.row();
        CertificateProblem {
            code: row.code.as_str().to_owned(),
            cause: self.to_string(),
            remedy: row.remedy.to_owned(),
        }
    }
}

impl From<Error> for Failure {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the client library may add errors")]
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => (&problem).into(),
            Error::Other(cause) => match cause.downcast_ref::<ClientError>() {
                Some(error) => Self::new(error.kind(), chain(error)),
                None => Self::new(FailureKind::NotAcme, chain(&*cause)),
            },
            // A proxy's error page, as a rule.
            Error::Json(error) => Self::new(FailureKind::CaAway, format!("no JSON: {error}")),
            other => Self::new(FailureKind::NotAcme, chain(&other)),
        }
    }
}

/// RFC 8555 §6.7 has the list of types.
impl From<&Problem> for Failure {
    fn from(problem: &Problem) -> Self {
        let first = problem.subproblems.iter().find(|sub| sub.r#type.is_some());
        let own = problem.r#type.as_deref().and_then(|text| text.strip_prefix(URN));
        let of_first = first.and_then(|sub| sub.r#type.as_deref()?.strip_prefix(URN));
        let kind = own
            .filter(|own| *own != "compound")
            .or(of_first)
            .map_or_else(|| of_status(problem.status), |kind| of_type(kind, problem.status));
        let details = [&problem.detail].into_iter().chain(first.map(|sub| &sub.detail));
        let details: Vec<&str> = details.filter_map(Option::as_deref).collect();
        let text = if details.is_empty() { problem.to_string() } else { details.join("; ") };
        Self::new(kind, text)
    }
}

fn of_type(kind: &str, status: Option<u16>) -> FailureKind {
    match kind {
        "caa" => FailureKind::Caa,
        // The CA sheds load: it is the same for every name.
        "rateLimited" if status == Some(503) => FailureKind::CaAway,
        "rateLimited" => FailureKind::RateLimit,
        "dns" => FailureKind::Dns,
        "connection" | "tls" => FailureKind::Unreachable,
        "unauthorized" | "incorrectResponse" => FailureKind::WrongAnswer,
        "rejectedIdentifier" | "unsupportedIdentifier" | "badCSR" | "invalidProfile" => {
            FailureKind::NameRefused
        }
        "externalAccountRequired"
        | "userActionRequired"
        | "invalidContact"
        | "unsupportedContact" => FailureKind::AccountRefused,
        "accountDoesNotExist" => FailureKind::AccountGone,
        "serverInternal" => FailureKind::CaAway,
        _ => of_status(status),
    }
}

fn of_status(status: Option<u16>) -> FailureKind {
    match status {
        Some(429) => FailureKind::RateLimit,
        Some(500..) => FailureKind::CaAway,
        _ => FailureKind::NotAcme,
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(FailureKind::Store, chain(&error))
    }
}

impl From<SealError> for Failure {
    fn from(error: SealError) -> Self {
        Self::new(FailureKind::Store, chain(&error))
    }
}

impl From<TxtError> for Failure {
    fn from(error: TxtError) -> Self {
        let kind = match error {
            TxtError::NotDelegated { .. } => FailureKind::NotDelegated,
            TxtError::Name { .. }
            | TxtError::Full { .. }
            | TxtError::Provider { .. }
            | TxtError::NotVisible { .. } => FailureKind::TxtRecord,
        };
        Self::new(kind, chain(&error))
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

const URN: &str = "urn:ietf:params:acme:error:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_ca_says_is_understood() {
        for (kind, wanted) in [
            ("caa", FailureKind::Caa),
            ("rateLimited", FailureKind::RateLimit),
            ("dns", FailureKind::Dns),
            ("connection", FailureKind::Unreachable),
            ("unauthorized", FailureKind::WrongAnswer),
            ("rejectedIdentifier", FailureKind::NameRefused),
            ("externalAccountRequired", FailureKind::AccountRefused),
            ("serverInternal", FailureKind::CaAway),
            ("somethingNew", FailureKind::NotAcme),
        ] {
            let failure = Failure::from(&problem(&format!("{URN}{kind}"), "\"why\""));
            assert_eq!(failure.kind, wanted, "{kind}");
            let told = failure.problem();
            assert!(told.cause.ends_with(": why") && !told.remedy.is_empty(), "{told:?}");
        }
    }

    #[test]
    fn a_ca_that_sheds_load_is_away_for_all() {
        let text = format!(r#"{{"type":"{URN}rateLimited","detail":"Service busy","status":503}}"#);
        let failure = Failure::from(&serde_json::from_str::<Problem>(&text).unwrap());
        assert_eq!(failure.kind, FailureKind::CaAway);
    }

    #[test]
    fn the_reason_inside_a_compound_problem_is_found() {
        let text = format!(
            r#"{{"type":"{URN}compound","detail":"2 errors","subproblems":[{{"type":"{URN}caa","detail":"CAA says no"}}]}}"#
        );
        let failure = Failure::from(&serde_json::from_str::<Problem>(&text).unwrap());
        assert_eq!(failure.kind, FailureKind::Caa);
        assert_eq!(failure.detail, "2 errors; CAA says no");
    }

    #[test]
    fn attack_45_hostile_words_of_a_ca_become_one_clean_line() {
        let failure = Failure::from(&problem(URN, "\"a\\u001b[31m\\r\\nb\\u202e\""));
        assert!(!failure.detail.chars().any(char::is_control), "{failure:?}");
        let long = Failure::from(&problem(URN, &format!("\"{}\"", "x".repeat(100_000))));
        assert!(long.detail.len() <= DETAIL_CHARS_MAX);
    }

    fn problem(kind: &str, detail: &str) -> Problem {
        serde_json::from_str(&format!(r#"{{"type":"{kind}","detail":{detail}}}"#)).unwrap()
    }
}
