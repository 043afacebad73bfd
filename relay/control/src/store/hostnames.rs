//! Hostnames and wildcards of publications: each is one publication's in the whole cluster, whatever its protocol.

use std::collections::HashMap;

use uuid::Uuid;

use super::StoreError;
use super::sql::{Transaction, values};
use crate::model::Publication;

/// Refuses hostnames that another publication has, naming the first and its holder.
pub(super) async fn refuse_taken(
    open: &mut Transaction,
    publication: &Publication,
) -> Result<(), StoreError> {
    let find = "SELECT p.name, p.network FROM public_hostnames h JOIN publications p ON p.id = h.publication \
                WHERE h.hostname = $1 AND p.id <> $2";
    for hostname in &publication.hostnames {
        if let Some(row) = open.one(find, values![hostname, publication.id]).await? {
            return Err(StoreError::Taken {
                what: "hostname",
                value: hostname.clone(),
                holder: super::holder(row.get("name")?, row.get("network")?, publication.network),
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
    for (position, hostname) in (0_u32..).zip(&publication.hostnames) {
        open.execute(insert, values![hostname, publication.id, position]).await?;
    }
    Ok(())
}

/// The hostnames of one publication, in their order.
pub(super) async fn of(
    open: &mut Transaction,
    publication: Uuid,
) -> Result<Vec<String>, StoreError> {
    let find = "SELECT hostname FROM public_hostnames WHERE publication = $1 ORDER BY position";
    let rows = open.all(find, values![publication]).await?;
    rows.iter().map(|row| row.get("hostname")).collect()
}

/// The hostnames of all publications of a network, or of all.
pub(super) async fn by_publication(
    open: &mut Transaction,
    network: Option<Uuid>,
) -> Result<HashMap<Uuid, Vec<String>>, StoreError> {
    let rows = match network {
        Some(network) => open.all(SELECT_OF_NETWORK, values![network]).await?,
        None => open.all(SELECT_ALL, &[]).await?,
    };
    let mut hostnames: HashMap<Uuid, Vec<String>> = HashMap::new();
    for row in rows {
        hostnames.entry(row.get("publication")?).or_default().push(row.get("hostname")?);
    }
    Ok(hostnames)
}

const SELECT_OF_NETWORK: &str = "SELECT h.publication, h.hostname FROM public_hostnames h JOIN publications p ON p.id = h.publication \
     WHERE p.network = $1 ORDER BY h.publication, h.position";
const SELECT_ALL: &str =
    "SELECT publication, hostname FROM public_hostnames ORDER BY publication, position";
