//! Who may publish what, and who may visit it: model, parse, compile, decide, explain.
//!
//! A [`PolicyDocument`] is what people write (TOML and JSON, one model). [`Policy::compile`] turns
//! documents into prefix tries and bit sets; [`Policy::decide_visit`] and [`Policy::decide_publish`]
//! answer, and name the rule that made the answer; [`Policy::explain_visit`] and
//! [`Policy::explain_publish`] show every step on the way.
//!
//! This room does no IO and reads no clock. A policy is immutable: a change is a new [`Policy`],
//! and the owner of open flows asks again for each of them.
//!
//! Invariant: addresses enter only as [`CanonicalAddress`], names only as [`Label`] or [`Hostname`],
//! so a decision cannot be made on another spelling than the one that is routed by.
#![forbid(unsafe_code)]

mod access;
mod address;
mod authority;
mod bits;
mod compile;
mod decide;
mod destination;
mod error;
mod explain;
mod groups;
mod hostname;
mod label;
pub mod limits;
mod model;
mod network;
mod origin_host;
mod ports;
mod prose;
mod public_host;
mod publish;
mod question;
mod selector;
mod sources;
mod target;
mod text;
mod trie;
mod visit;

pub use access::{Access, CompiledAccess};
pub use address::{CanonicalAddress, Visitor, VisitorNode};
pub use authority::{Authority, AuthorityError, AuthorityHost, parse_host_header};
pub use compile::Policy;
pub use decide::{DecidedBy, Decision};
pub use destination::{
    AdmittedAddress, DestinationGuard, ForbiddenDestination, Reason, is_forbidden_destination,
};
pub use error::{PolicyError, RuleName};
pub use explain::{Explanation, Step};
pub use groups::{Groups, Members};
pub use hostname::{HostPattern, Hostname, HostnameError};
pub use label::{Label, LabelError};
pub use model::{
    DefaultAccess, Defaults, Effect, PolicyDocument, Protocol, PublishRule, UnknownProtocol,
    VisitRule,
};
pub use network::{Network, NetworkError};
pub use origin_host::{OriginHost, OriginHostError};
pub use ports::{PortRange, PortRangeError};
pub use prose::{describe_access, describe_policy};
pub use public_host::PublicHost;
pub use question::{PublicationRef, Publisher, Wanted};
pub use selector::{SelectorError, Source, To, Who};
pub use target::{Target, TargetError, TargetHost, TargetScheme};
