//! Hostnames and wildcards of publications: each is one publication's in the whole cluster, whatever its protocol.
//!
//! One that is given back rests for other networks, because visitors, their cookies and their bookmarks still belong to the one that had it. A name below
//! a domain that the network has proved is that network's, whichever network had it: domains rest by themselves.

use std::collections::{BTreeMap, BinaryHeap, HashMap};

use bore_api::model::{Micros, Publication, PublishedHost};
use uuid::Uuid;

use super::sql::{Row, Transaction, values};
use super::{StoreError, domains};
use crate::limits::HOSTNAMES_RESTING_MAX;

/// Refuses hostnames that another publication has, naming the first and its holder.
pub(super) async fn refuse_taken(
    open: &mut Transaction,
    publication: &Publication,
) -> Result<(), StoreError> {
    let find = "SELECT p.name, p.network FROM public_hostnames h JOIN publications p ON p.id = h.publication \
                WHERE h.hostname = $1 AND p.id <> $2";
    for hostname in publication.hostnames.iter().map(ToString::to_string) {
        if let Some(row) = open.one(find, values![&hostname, publication.id]).await? {
            return Err(StoreError::Taken {
                what: "hostname",
                value: hostname,
                holder: super::holder(row.get("name")?, row.get("network")?, publication.network),
            });
        }
    }
    Ok(())
}

/// Refuses hostnames that another network gave back and that still rest.
pub(super) async fn refuse_resting(
    open: &mut Transaction,
    publication: &Publication,
) -> Result<(), StoreError> {
    let find = "SELECT hostname FROM resting_hostnames WHERE hostname = $1 AND network <> $2";
    let network = publication.network;
    for hostname in publication.hostnames.iter().map(ToString::to_string) {
        let rests = open.one(find, values![&hostname, network]).await?.is_some();
        if rests && !domains::covers(open, network, &hostname).await? {
            return Err(StoreError::Taken {
                what: "hostname",
                value: hostname,
                holder: GAVE_IT_BACK.to_owned(),
            });
        }
    }
    Ok(())
}

/// Makes the hostnames of a stored publication exactly those that it names.
pub(super) async fn hold(
    open: &mut Transaction,
    publication: &Publication,
) -> Result<(), StoreError> {
    let release = "DELETE FROM public_hostnames WHERE publication = $1";
    open.execute(release, values![publication.id]).await?;
    let insert =
        "INSERT INTO public_hostnames (hostname, publication, position) VALUES ($1, $2, $3)";
    let wake = "DELETE FROM resting_hostnames WHERE hostname = $1";
    for (position, hostname) in (0_u32..).zip(&publication.hostnames) {
        let hostname = hostname.to_string();
        open.execute(insert, values![&hostname, publication.id, position]).await?;
        open.execute(wake, values![&hostname]).await?;
    }
    Ok(())
}

/// Lets hostnames rest that `publication` gives back. The address of a relay without a name stays free for all: there is no other one.
pub(super) async fn rest(
    open: &mut Transaction,
    publication: &Publication,
    released: &[PublishedHost],
    at: Micros,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO resting_hostnames (hostname, network, node, released_at) VALUES ($1, $2, $3, $4) \
                  ON CONFLICT (hostname) DO UPDATE SET network = $2, node = $3, released_at = $4";
    let (network, node) = (publication.network, publication.node);
    let mut resting = 0;
    for hostname in released.iter().filter_map(PublishedHost::name) {
        let hostname = hostname.to_string();
        resting += open.execute(insert, values![&hostname, network, node, at]).await?;
    }
    if resting > 0 { forget_beyond(open, network, node).await } else { Ok(()) }
}

/// Lets all hostnames of a node rest that is removed: some thousand by one statement, because every other change waits meanwhile.
pub(super) async fn rest_of_node(
    open: &mut Transaction,
    network: Uuid,
    node: Uuid,
    at: Micros,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO resting_hostnames (hostname, network, node, released_at) \
                  SELECT h.hostname, $2, $1, $3 FROM public_hostnames h JOIN publications p ON p.id = h.publication WHERE p.node = $1 \
                  ON CONFLICT (hostname) DO UPDATE SET network = $2, node = $1, released_at = $3";
    let resting = open.execute(insert, values![node, network, at]).await?;
    for address in of_node(open, node).await?.iter().filter(|host| host.name().is_none()) {
        let free = "DELETE FROM resting_hostnames WHERE hostname = $1";
        open.execute(free, values![&address.to_string()]).await?;
    }
    if resting > 0 { forget_beyond(open, network, node).await } else { Ok(()) }
}

/// Forgets names that were released until then, those longest at rest first, and returns how many.
pub(super) async fn forget(
    open: &mut Transaction,
    released_until: Micros,
    most: u32,
) -> Result<u64, StoreError> {
    let forget = "DELETE FROM resting_hostnames WHERE hostname IN \
                  (SELECT hostname FROM resting_hostnames WHERE released_at <= $1 ORDER BY released_at LIMIT $2)";
    open.execute(forget, values![released_until, most]).await
}

/// Forgets names of a network that are too many, now that `node` gave some back: of the nodes that have most at rest, the ones longest at rest.
async fn forget_beyond(
    open: &mut Transaction,
    network: Uuid,
    node: Uuid,
) -> Result<(), StoreError> {
    let count =
        "SELECT node, COUNT(*) AS names FROM resting_hostnames WHERE network = $1 GROUP BY node";
    let rows = open.all(count, values![network]).await?;
    let names: Vec<(Uuid, i64)> = rows
        .iter()
        .map(|row| Ok((row.get("node")?, row.get("names")?)))
        .collect::<Result<_, StoreError>>()?;
    let forget = "DELETE FROM resting_hostnames WHERE hostname IN (SELECT hostname FROM resting_hostnames \
                  WHERE network = $1 AND node = $2 ORDER BY released_at LIMIT $3)";
    for (node, lost) in beyond(&names, node, HOSTNAMES_RESTING_MAX) {
        open.execute(forget, values![network, node, lost]).await?;
        tracing::warn!(%network, %node, lost, "too many hostnames of a node rest: the oldest are free for other networks again");
    }
    Ok(())
}

/// How many names each node loses so that no more than `most` are left: one after the other the node that has most, among equals `releasing`.
fn beyond(names: &[(Uuid, i64)], releasing: Uuid, most: i64) -> BTreeMap<Uuid, i64> {
    let too_many = names.iter().map(|(_, names)| names).sum::<i64>() - most;
    let most_first = names.iter().map(|(node, names)| (*names, *node == releasing, *node));
    let mut most_first: BinaryHeap<(i64, bool, Uuid)> = most_first.collect();
    let mut lost = BTreeMap::new();
    for _ in 0..too_many {
        let Some((names, is_releasing, node)) = most_first.pop() else { break };
        most_first.push((names - 1, is_releasing, node));
        *lost.entry(node).or_default() += 1;
    }
    lost
}

/// The hostname of a row.
fn hostname(row: &Row) -> Result<PublishedHost, StoreError> {
    let text: String = row.get("hostname")?;
    text.parse().map_err(|_| StoreError::Corrupt(format!("hostname {text}")))
}

/// The hostnames of one publication, in their order.
pub(super) async fn of(
    open: &mut Transaction,
    publication: Uuid,
) -> Result<Vec<PublishedHost>, StoreError> {
    let find = "SELECT hostname FROM public_hostnames WHERE publication = $1 ORDER BY position";
    let rows = open.all(find, values![publication]).await?;
    rows.iter().map(hostname).collect()
}

/// The hostnames of all publications of a node.
pub(super) async fn of_node(
    open: &mut Transaction,
    node: Uuid,
) -> Result<Vec<PublishedHost>, StoreError> {
    let find = "SELECT h.hostname FROM public_hostnames h JOIN publications p ON p.id = h.publication \
                WHERE p.node = $1 ORDER BY h.hostname";
    let rows = open.all(find, values![node]).await?;
    rows.iter().map(hostname).collect()
}

/// The hostnames of all publications of a network, or of all.
pub(super) async fn by_publication(
    open: &mut Transaction,
    network: Option<Uuid>,
) -> Result<HashMap<Uuid, Vec<PublishedHost>>, StoreError> {
    let rows = match network {
        Some(network) => open.all(SELECT_OF_NETWORK, values![network]).await?,
        None => open.all(SELECT_ALL, &[]).await?,
    };
    let mut hostnames: HashMap<Uuid, Vec<PublishedHost>> = HashMap::new();
    for row in rows {
        hostnames.entry(row.get("publication")?).or_default().push(hostname(&row)?);
    }
    Ok(hostnames)
}

/// Who holds a name that rests.
const GAVE_IT_BACK: &str = "another network, which gave it back: names rest for 30 days";

const SELECT_OF_NETWORK: &str = "SELECT h.publication, h.hostname FROM public_hostnames h JOIN publications p ON p.id = h.publication \
     WHERE p.network = $1 ORDER BY h.publication, h.position";
const SELECT_ALL: &str =
    "SELECT publication, hostname FROM public_hostnames ORDER BY publication, position";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_that_has_most_loses_first_and_among_equals_the_one_that_gives_back() {
        let [a, b, c] = [1, 2, 3].map(Uuid::from_u128);
        let names = [(a, 10), (b, 4), (c, 5)];
        assert!(beyond(&names, a, 19).is_empty());
        assert_eq!(beyond(&names, b, 15), BTreeMap::from([(a, 4)]));
        assert_eq!(beyond(&names, b, 12), BTreeMap::from([(a, 6), (c, 1)]));
        assert_eq!(beyond(&[(a, 5), (b, 5)], a, 9), BTreeMap::from([(a, 1)]));
        assert_eq!(beyond(&[(a, 5), (b, 5)], b, 9), BTreeMap::from([(b, 1)]));
        assert_eq!(beyond(&[(a, 2)], a, 0), BTreeMap::from([(a, 2)]));
    }
}
