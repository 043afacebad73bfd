//! How a node joins: the secret is proved first, then check, spend, lease, add and audit are one transaction.
//!
//! A refused caller costs one read. Refusals are counted elsewhere, and written down in rows about many. An unknown key and a wrong secret are one
//! answer, after the same work.

use bore_api::model::{Actor, JoinKey, Node, NodeKind};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::audit;
use super::database::{read, write};
use super::nodes::Nodes;
use super::sql::{Transaction, values};
use super::{JoinError, JoinRefusals, JoinRequest, StoreError, join_keys, leases, nodes};
use crate::event::{Change, Event, NodeChange, RefusedJoins, Subject};

impl Nodes<'_> {
    /// Checks the secret (constant time) and the key, spends one use, leases an IPv4 address, adds the node, writes the audit row: one
    /// transaction. The same key id with the same public key gets the stored node again and spends nothing. A name that is taken or reserved
    /// gets a numbered suffix (`laptop-2`). A refusal writes nothing.
    pub async fn join(self, request: &JoinRequest) -> Result<Node, JoinError> {
        self.may_join(request).await?;
        write!(self.0, open => join(&mut open, request)).map_err(JoinError::Store)?
    }

    /// Refuses what [`Self::join`] would refuse, at the cost of one read and without the writers' turn. Returns true if a new node would be made.
    pub async fn may_join(self, request: &JoinRequest) -> Result<bool, JoinError> {
        let decided: Result<Result<bool, JoinError>, StoreError> =
            async { read!(self.0, open => may_join(&mut open, request)) }.await;
        decided.map_err(JoinError::Store)?
    }

    /// Writes an audit row about refused joins. A key that is gone has none.
    pub async fn note_join_refusals(self, refusals: &JoinRefusals) -> Result<(), StoreError> {
        write!(self.0, open => note_refusals(&mut open, refusals))
    }
}

/// Whether [`join`] would let the caller in, short of a free address, and whether as a new node.
async fn may_join(
    open: &mut Transaction,
    request: &JoinRequest,
) -> Result<Result<bool, JoinError>, StoreError> {
    Ok(admit(open, request).await?.map(|admitted| matches!(admitted, Admitted::New(_))))
}

/// Lets a caller in that proved the secret.
async fn join(
    open: &mut Transaction,
    request: &JoinRequest,
) -> Result<Result<Node, JoinError>, StoreError> {
    match admit(open, request).await? {
        Ok(Admitted::Again(node)) => Ok(Ok(node)),
        Ok(Admitted::New(key)) => add(open, request, &key).await,
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// Writes an audit row about refused joins.
async fn note_refusals(open: &mut Transaction, refusals: &JoinRefusals) -> Result<(), StoreError> {
    let Some((key, _)) = join_keys::find(open, refusals.key).await? else { return Ok(()) };
    let event = Event {
        network: Some(key.network),
        at: refusals.at,
        actor: Actor::JoinKey(key.id),
        subject: Subject::RefusedJoins(RefusedJoins {
            name: refusals.name.clone(),
            why: refusals.why.clone(),
            public_key: refusals.public_key.clone(),
            count: refusals.count,
        }),
    };
    audit::append(open, event).await
}

/// How a caller gets in.
enum Admitted {
    /// It did before, with the same key.
    Again(Node),
    /// As a new node of this key.
    New(JoinKey),
}

/// The key that the caller names, if it knows its secret.
async fn proved_key(
    open: &mut Transaction,
    request: &JoinRequest,
) -> Result<Option<JoinKey>, StoreError> {
    let (key, stored) = match join_keys::find(open, request.key).await? {
        Some((key, secret_hash)) => (Some(key), secret_hash),
        None => (None, NO_SECRET),
    };
    let is_equal = bool::from(stored.ct_eq(&request.secret_hash));
    Ok(key.filter(|_| is_equal))
}

async fn admit(
    open: &mut Transaction,
    request: &JoinRequest,
) -> Result<Result<Admitted, JoinError>, StoreError> {
    let Some(key) = proved_key(open, request).await? else {
        return Ok(Err(JoinError::Invalid));
    };
    if key.network != request.network {
        return Ok(Err(JoinError::WrongNetwork));
    }
    let known = nodes::by_public_key(open, &request.public_key).await?;
    if let Some(stored) = known.as_ref().filter(|node| node.join_key == Some(key.id)) {
        return Ok(Ok(Admitted::Again(stored.clone())));
    }
    if let Err(refusal) = opens(&key, request.at) {
        return Ok(Err(refusal));
    }
    if let Some(node) = known {
        return Ok(Err(JoinError::AlreadyNode(node.name)));
    }
    if nodes::count(open, request.network).await? >= request.nodes_max {
        return Ok(Err(JoinError::NodesExhausted(request.nodes_max)));
    }
    if let Some(taken) = leases::share_taken(open, request.network, request.addresses_max).await? {
        return Ok(Err(taken.into()));
    }
    Ok(Ok(Admitted::New(key)))
}

/// Whether the key lets anybody in at `at`.
fn opens(key: &JoinKey, at: i64) -> Result<(), JoinError> {
    if key.revoked_at.is_some() {
        Err(JoinError::Revoked)
    } else if key.expires_at.is_some_and(|end| end <= at) {
        Err(JoinError::Expired)
    } else if key.uses_max.is_some_and(|max| key.uses >= max) {
        Err(JoinError::Spent)
    } else {
        Ok(())
    }
}

async fn add(
    open: &mut Transaction,
    request: &JoinRequest,
    key: &JoinKey,
) -> Result<Result<Node, JoinError>, StoreError> {
    let Some(overlay_v4) = leases::take(open, request.network, request.node).await? else {
        return Ok(Err(JoinError::AddressesExhausted));
    };
    let groups = join_keys::groups_of(open, key.id).await?;
    let (group_ids, groups): (Vec<Uuid>, Vec<String>) = groups.into_iter().unzip();
    let node = Node {
        id: request.node,
        network: request.network,
        name: free_name(open, request).await?,
        kind: NodeKind::Agent,
        public_key: request.public_key.clone(),
        overlay_v4,
        overlay_v6: request.overlay_v6,
        groups,
        ephemeral: key.ephemeral || request.ephemeral,
        join_key: Some(key.id),
        created_at: request.at,
    };
    nodes::insert(open, &node, &group_ids).await?;
    open.execute("UPDATE join_keys SET uses = uses + 1 WHERE id = $1", values![key.id]).await?;
    let joined = NodeChange {
        change: Change::came(node.clone()),
        publications: Vec::new(),
        wanted_name: Some(request.name.clone()).filter(|wanted| *wanted != node.name),
    };
    nodes::append(open, joined, &Actor::JoinKey(key.id), request.at).await?;
    Ok(Ok(node))
}

/// The wanted name, or the first of `NAME-2`, `NAME-3` … that no node of the network has and that is not reserved.
async fn free_name(open: &mut Transaction, request: &JoinRequest) -> Result<String, StoreError> {
    let JoinRequest { network, name: wanted, names_reserved: reserved, .. } = request;
    if !reserved.contains(wanted) && !nodes::has_name(open, *network, wanted).await? {
        return Ok(wanted.clone());
    }
    let beginning = shortened(wanted, LABEL_LENGTH_MAX - SUFFIX_LENGTH_MAX);
    let taken = nodes::names_beginning_with(open, *network, beginning).await?;
    (2..u32::MAX)
        .map(|number| numbered(wanted, number))
        .find(|name| !taken.contains(name) && !reserved.contains(name))
        .ok_or_else(|| StoreError::Conflict(format!("no name like {wanted} is left")))
}

/// `wanted-number`, with `wanted` shortened until it is a DNS label again.
fn numbered(wanted: &str, number: u32) -> String {
    let suffix = format!("-{number}");
    format!("{}{suffix}", shortened(wanted, LABEL_LENGTH_MAX - suffix.len()).trim_end_matches('-'))
}

fn shortened(text: &str, bytes_max: usize) -> &str {
    text.get(..bytes_max).unwrap_or(text)
}

/// Compared with when a key is unknown. No SHA-256 of a secret is likely to be it, and there is no key to return anyway.
const NO_SECRET: [u8; 32] = [0; 32];
/// RFC 1035 section 2.3.4.
const LABEL_LENGTH_MAX: usize = 63;
/// A hyphen and ten digits.
const SUFFIX_LENGTH_MAX: usize = 11;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numbered_name_is_still_a_label() {
        assert_eq!(numbered("laptop", 2), "laptop-2");
        let long = "a".repeat(63);
        assert_eq!(numbered(&long, 10), format!("{}-10", "a".repeat(60)));
        let hyphen = format!("{}-{}", "a".repeat(60), "bb");
        assert_eq!(numbered(&hyphen, 2), format!("{}-2", "a".repeat(60)));
    }
}
