//! What can be done, one file by resource: check, store, enter in memory, tell. The REST API and whatever else faces people call the same.
//!
//! Services know the actor for the audit trail. Whether it may is asked before, in one place: `Principal::may` in [`crate::api`].

mod audit;
mod domains;
mod draft;
mod groups;
mod hosts;
mod housekeeping;
mod join;
mod join_rates;
mod join_refusals;
mod keys;
mod loading;
mod networks;
mod nodes;
mod place;
mod policies;
mod publications;
mod publish;
mod steady_clock;
mod visit;

pub(crate) use audit::AuditQuery;
pub use housekeeping::Absences;
pub(crate) use join::JoinForm;
pub(crate) use join_rates::JoinRates;
pub(crate) use join_refusals::RefusalBook;
pub(crate) use loading::load;

use bore_api::Code;
use bore_policy::Label;

use crate::refusal::Refusal;

/// Reads a name of anything.
fn label(text: &str) -> Result<Label, Refusal> {
    Label::parse(text).map_err(|error| Refusal::new(Code::NAME_NOT_LABEL, error.to_string()))
}

/// Refuses one more of `what` when there are `most`.
fn below_quota(what: &str, already: usize, most: usize) -> Result<(), Refusal> {
    if already < most { Ok(()) } else { Err(Refusal::quota(what, most)) }
}
