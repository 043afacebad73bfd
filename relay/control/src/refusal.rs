//! Why a service refused, with a code that `bore explain` knows and what to do about it.
//!
//! `detail` and `next` are for the caller. The source is for the log, and never leaves the relay.

use std::borrow::Cow;

use bore_api::Code;
use http::StatusCode;

use crate::limits::{DETAIL_CHARS_MAX, NEW_NODE_RETRY_SECONDS};
use crate::store::{JoinError, StoreError};
use crate::text::clean_text;

/// A refusal of a service.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// Which one.
    pub code: Code,
    /// HTTP status; the code's own unless the case is more exact.
    pub status: StatusCode,
    /// What was tried and why not, for this case.
    pub detail: String,
    /// What to do.
    pub next: Cow<'static, str>,
    /// Everything that is wrong, where that is more than one thing.
    pub errors: Vec<String>,
    /// After how many seconds it may be worth another try, where waiting helps (429).
    pub retry_after_seconds: u16,
    /// For the log.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Refusal {
    /// A refusal with the code's own status and advice. `detail` may quote the caller: it is cut and cleaned here.
    pub fn new(code: Code, detail: impl AsRef<str>) -> Self {
        Self {
            code,
            status: StatusCode::from_u16(code.status())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            detail: clean_text(detail.as_ref(), DETAIL_CHARS_MAX),
            next: Cow::Borrowed(code.next_step()),
            errors: Vec::new(),
            retry_after_seconds: 1,
            source: None,
        }
    }

    /// The same with other advice.
    #[must_use]
    pub fn next(mut self, next: impl Into<Cow<'static, str>>) -> Self {
        self.next = next.into();
        self
    }

    /// The same with another status.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with all errors.
    #[must_use]
    pub fn errors(mut self, errors: impl IntoIterator<Item = String>) -> Self {
        self.errors =
            errors.into_iter().map(|error| clean_text(&error, DETAIL_CHARS_MAX)).collect();
        self
    }

    /// The same with another time to wait.
    #[must_use]
    pub fn retry_after(mut self, seconds: u16) -> Self {
        self.retry_after_seconds = seconds;
        self
    }

    /// The same with a cause for the log.
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Nothing of this name or id in the network that the caller sees; the same words whether or not another network has it.
    pub(crate) fn not_here(what: &str, wanted: &str) -> Self {
        let code =
            if what == "publication" { Code::PUBLICATION_NOT_FOUND } else { Code::OTHER_NETWORK };
        Self::new(code, format!("there is no {what} `{wanted}` in a network that you see"))
    }

    /// A quota of the network, the node or the caller.
    pub(crate) fn quota(what: &str, most: usize) -> Self {
        Self::new(Code::QUOTA, format!("the quota is reached: at most {most} {what}"))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let refusal = match &error {
            StoreError::NotFound(what) => Self::not_here(what, "of this id"),
            StoreError::Taken { what, .. } => Self::new(taken(what), error.to_string()),
            StoreError::Conflict(why) => Self::new(Code::REVISION_CONFLICT, why),
            StoreError::AddressesExhausted => {
                Self::new(Code::ADDRESSES_EXHAUSTED, error.to_string())
            }
            StoreError::ShareTaken(_) => {
                Self::new(Code::NETWORK_ADDRESSES_EXHAUSTED, error.to_string())
            }
            StoreError::MakerEnded => Self::new(Code::API_KEY_EXPIRED, error.to_string()),
            StoreError::DiskFull => Self::new(
                Code::DISK_FULL,
                "the disk of the relay's database is full; nothing was written",
            ),
            StoreError::Newer { .. } => Self::new(Code::STORE_NEWER, error.to_string()),
            StoreError::Missing => Self::new(Code::STORE_UNAVAILABLE, error.to_string()),
            StoreError::Corrupt(_) => {
                Self::new(Code::STORE_DAMAGED, "the relay's database is damaged")
            }
            StoreError::Unsupported(why) => Self::new(Code::BAD_REQUEST, why),
            StoreError::Sealed { .. } => Self::new(Code::STORE_UNAVAILABLE, error.to_string()),
            StoreError::ReadOnly => Self::new(Code::STORE_UNAVAILABLE, error.to_string()),
            StoreError::Unsettled(_) | StoreError::Unconfirmed(_) => {
                Self::new(Code::NOT_CONFIRMED, error.to_string())
            }
            StoreError::Locked | StoreError::Database(_) => Self::new(
                Code::STORE_UNAVAILABLE,
                "the relay's database does not answer; nothing was changed",
            ),
        };
        refusal.because(error)
    }
}

impl From<JoinError> for Refusal {
    fn from(error: JoinError) -> Self {
        let code = match error {
            JoinError::Store(error) => return error.into(),
            JoinError::TooManyNew => {
                return Self::new(Code::QUOTA, error.to_string())
                    .next("again in a few seconds: a join key, and a network, make a bounded number of new nodes an hour")
                    .retry_after(NEW_NODE_RETRY_SECONDS);
            }
            JoinError::Invalid => Code::JOIN_KEY_INVALID,
            JoinError::Expired => Code::JOIN_KEY_EXPIRED,
            JoinError::Spent => Code::JOIN_KEY_SPENT,
            JoinError::Revoked => Code::JOIN_KEY_REVOKED,
            JoinError::WrongNetwork => Code::JOIN_KEY_WRONG_NETWORK,
            JoinError::AlreadyNode(_) => Code::ALREADY_NODE,
            JoinError::NodesExhausted(_) => Code::QUOTA,
            JoinError::AddressesExhausted => Code::ADDRESSES_EXHAUSTED,
            JoinError::ShareTaken(_) => Code::NETWORK_ADDRESSES_EXHAUSTED,
        };
        Self::new(code, error.to_string())
    }
}

impl From<crate::token::RandomError> for Refusal {
    fn from(error: crate::token::RandomError) -> Self {
        Self::new(Code::STORE_UNAVAILABLE, "the relay cannot make a secret now").because(error)
    }
}

fn taken(what: &str) -> Code {
    match what {
        "port" => Code::PORT_TAKEN,
        "hostname" => Code::HOSTNAME_TAKEN,
        "domain" => Code::DOMAIN_TAKEN,
        _ => Code::NAME_TAKEN,
    }
}
