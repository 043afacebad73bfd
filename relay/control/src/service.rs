//! What can be done, one file by resource: check, then store: the directory follows the store. The REST API and whatever else faces people call the same.
//!
//! Services know the actor for the audit trail. Whether it may is asked before, in one place: `Principal::may` in [`crate::api`].

mod api_keys;
mod audit;
mod certificates;
mod domains;
mod draft;
mod groups;
mod hosts;
mod housekeeping;
mod join;
mod join_keys;
mod join_rates;
mod join_refusals;
mod key_life;
mod loading;
mod networks;
mod nodes;
mod place;
mod policies;
mod publications;
mod publish;
mod steady_clock;
mod visit;

pub use api_keys::ApiKeys;
pub use audit::Audit;
pub(crate) use audit::AuditQuery;
pub use certificates::Certificates;
pub use domains::Domains;
pub use groups::Groups;
pub use housekeeping::Absences;
pub(crate) use join::JoinForm;
pub use join_keys::JoinKeys;
pub(crate) use loading::load;
pub use networks::Networks;
pub use nodes::Nodes;
pub use policies::Policies;
pub use publications::Publications;

use bore_api::Code;
use bore_policy::Label;
use uuid::Uuid;

use crate::directory::Directory;
use crate::limits::GROUPS_NAMED_MAX;
use crate::refusal::Refusal;

/// Reads a name of anything.
fn label(text: &str) -> Result<Label, Refusal> {
    Label::parse(text).map_err(|error| Refusal::new(Code::NAME_NOT_LABEL, error.to_string()))
}

/// Groups that a node or a key names must exist.
fn check_groups(directory: &Directory, network: Uuid, groups: &[String]) -> Result<(), Refusal> {
    if groups.len() > GROUPS_NAMED_MAX {
        return Err(Refusal::quota("groups named at once", GROUPS_NAMED_MAX));
    }
    let memory = directory.read();
    let known = memory.tenant(network).map(|tenant| &tenant.groups);
    let unknown =
        groups.iter().find(|group| !known.is_some_and(|known| known.contains_key(*group)));
    unknown.map_or(Ok(()), |group| Err(Refusal::not_here("group", group)))
}

/// Refuses one more of `what` when there are `most`.
fn below_quota(what: &str, already: usize, most: usize) -> Result<(), Refusal> {
    if already < most { Ok(()) } else { Err(Refusal::quota(what, most)) }
}
