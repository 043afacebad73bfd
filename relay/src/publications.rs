//! The publications that this relay carries: what each is, who finds it, and what is proved of it.
//!
//! | file | is |
//! |---|---|
//! | `table` | one entry for each publication, found by id or hostname |
//! | `hosts` | which publication has which hostname |
//! | `proof` | what is proved of an entry, and what takes it away |
//! | `reconciler` | keeps tunnels, entries and flows in step with the store |
//! | `checker`, `check_places`, `agent_probe` | find out what is true, few at a time |
//! | `ports`, `visits` | what the control room and agents ask of them |
//! | `missing_certificate` | what is told of a certificate that is not there |

pub(crate) mod agent_probe;
mod check_places;
mod checker;
mod hosts;
pub(crate) mod missing_certificate;
mod ports;
mod proof;
mod reconciler;
mod table;
mod visits;

pub(crate) use checker::Checker;
pub(crate) use proof::Service;
pub(crate) use reconciler::Reconciler;
pub(crate) use table::{Entry, Publications};
pub(crate) use visits::Visits;

#[cfg(test)]
pub(crate) use proof::tests::publication;
