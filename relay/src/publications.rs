//! The publications that this relay carries: what each is, who finds it, and what is proved of it.

pub(crate) mod agent_probe;
pub(crate) mod check_places;
pub(crate) mod hosts;
pub(crate) mod missing_certificate;
pub(crate) mod proof;
pub(crate) mod reconciler;
