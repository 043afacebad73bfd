//! What relays tell the store of certificate orders, and hear from it.

use bore_api::model::Micros;
use bore_api::state::CertificateProblem;
use uuid::Uuid;

use crate::certificate::CertificateOrder;

/// A relay wants to work on the order of a subject.
#[derive(Debug, Clone)]
pub struct OrderClaim {
    /// Id for the order if it is new.
    pub id: Uuid,
    /// The network whose hostname it is; `None` for the cluster's own names.
    pub network: Option<Uuid>,
    /// The first name of the certificate.
    pub subject: String,
    /// The relay, by a name that it keeps over restarts.
    pub holder: String,
    /// Now.
    pub at: Micros,
    /// An administrator wants it: only what the CA itself wishes is waited for.
    pub is_urgent: bool,
    /// Without news from the holder the order is anybody's from here on.
    pub until: Micros,
}

/// What became of an [`OrderClaim`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderClaimed {
    /// The caller works on it.
    Yours(Box<CertificateOrder>),
    /// Another relay works on it.
    Held,
    /// It failed, and is not tried before.
    Early(Micros),
}

/// How an order failed.
#[derive(Debug, Clone)]
pub struct OrderFailure {
    /// In words.
    pub problem: CertificateProblem,
    /// Time does not mend it: a person has to.
    pub needs_person: bool,
    /// The proof failed: another way of proving the name may do.
    pub of_proof: bool,
    /// The order at the CA is still good.
    pub keep_standing: bool,
    /// Not before this is it tried again.
    pub next_try_at: Micros,
    /// Before this the CA does not want to be asked, not even when a person wants it urgently.
    pub retry_after: Option<Micros>,
    /// Now.
    pub at: Micros,
}
