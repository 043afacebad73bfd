//! What a decision is asked about: a publication, who wants to publish, and what is wanted.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::label::Label;
use crate::model::Protocol;
use crate::ports::PortRange;
use crate::public_host::PublicHost;

/// What is visited.
#[derive(Debug, Clone, Copy)]
pub struct PublicationRef<'a> {
    /// Its name.
    pub name: &'a Label,
    /// Its protocol.
    pub protocol: Protocol,
    /// The node that publishes it.
    pub node: Uuid,
    /// The groups of that node.
    pub node_groups: &'a BTreeSet<Label>,
}

/// Who wants to publish.
#[derive(Debug, Clone, Copy)]
pub struct Publisher<'a> {
    /// The node.
    pub node: Uuid,
    /// Its name.
    pub name: &'a Label,
    /// Its groups, those of its key included.
    pub groups: &'a BTreeSet<Label>,
    /// The key that it joined or calls with.
    pub key: Option<Uuid>,
}

/// What a publisher wants to publish.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The protocol.
    pub protocol: Protocol,
    /// The public ports. `None` for `tcp` and `udp` means that they are not chosen yet, and counts
    /// as every port.
    pub ports: Option<PortRange>,
    /// The hostname or wildcard. `None` for `tls` and `http` means that it is not chosen yet, and
    /// counts as every hostname. Of several, each is asked about by itself.
    pub hostname: Option<&'a PublicHost>,
    /// How many publications the publisher has already, this one not counted.
    pub already: u32,
}
