//! Leases of overlay IPv4 addresses from 100.64.0.0/10, one pool for the whole cluster.
//!
//! A cursor walks the pool, so that the next address is nearly always free at once; after the wrap a run of held addresses is skipped
//! by one query. A released address rests, so that nobody reaches a new node by an old address. Each network has a share of the pool, in which addresses
//! at rest count: networks that add and remove nodes all the time take none from the others. `network_leases` keeps the counts, because counting the rows
//! of a large network takes 10 ms, in which no other change is made.

use std::net::Ipv4Addr;

use bore_api::model::{Micros, Node};
use uuid::Uuid;

use super::rest::REST;
use super::sql::{Row, Transaction, values};
use super::{ShareTaken, StoreError};

/// What stands against another address for a network that may have `most`, if anything does.
pub(super) async fn share_taken(
    open: &mut Transaction,
    network: Uuid,
    most: usize,
) -> Result<Option<ShareTaken>, StoreError> {
    let count = "SELECT leases FROM network_leases WHERE network = $1";
    let row = open.one(count, values![network]).await?;
    let leases: i64 = row.map_or(Ok(0), |row| row.get("leases"))?;
    if usize::try_from(leases).is_ok_and(|leases| leases < most) {
        return Ok(None);
    }
    let oldest = "SELECT released_at FROM leases WHERE network = $1 AND released_at IS NOT NULL \
                  ORDER BY released_at LIMIT 1";
    let row = open.one(oldest, values![network]).await?;
    let released_at: Option<Micros> = row.map(|row| row.get("released_at")).transpose()?;
    let free_at = released_at.map(|at| at.saturating_add(REST));
    Ok(Some(ShareTaken { most, free_at }))
}

/// Leases the next free address to a node; `None` when all are held or rest.
pub(super) async fn take(
    open: &mut Transaction,
    network: Uuid,
    node: Uuid,
) -> Result<Option<Ipv4Addr>, StoreError> {
    let pool = pool(open).await?;
    let free = match first_free(open, pool.next, pool.last).await? {
        Some(free) => Some(free),
        None => first_free(open, pool.first, pool.next - 1).await?,
    };
    let Some(free) = free else {
        return Ok(None);
    };
    hold(open, free, (network, node), &pool).await?;
    u32::try_from(free).map(|bits| Some(Ipv4Addr::from(bits))).map_err(|_| outside())
}

/// Lets the address of a node rest. That of an ephemeral one, which nobody has written down, rests for a day: it counts as released that much earlier.
pub(super) async fn release(
    open: &mut Transaction,
    node: &Node,
    at: Micros,
) -> Result<(), StoreError> {
    let released_at = if node.ephemeral { at.saturating_sub(REST - EPHEMERAL_REST) } else { at };
    let rest = "UPDATE leases SET node = NULL, released_at = $1 WHERE node = $2";
    open.execute(rest, values![released_at, node.id]).await?;
    Ok(())
}

/// Forgets addresses that were released until then, those longest at rest first, and returns how many.
pub(super) async fn forget(
    open: &mut Transaction,
    released_until: Micros,
    most: u32,
) -> Result<u64, StoreError> {
    let count_down = "UPDATE network_leases SET leases = network_leases.leases - rested.leases FROM \
                      (SELECT network, COUNT(*) AS leases FROM \
                       (SELECT network FROM leases WHERE released_at <= $1 ORDER BY released_at, address LIMIT $2) AS due \
                       GROUP BY network) AS rested \
                      WHERE network_leases.network = rested.network";
    open.execute(count_down, values![released_until, most]).await?;
    let forget = "DELETE FROM leases WHERE address IN \
                  (SELECT address FROM leases WHERE released_at <= $1 ORDER BY released_at, address LIMIT $2)";
    open.execute(forget, values![released_until, most]).await
}

struct Pool {
    first: i64,
    last: i64,
    next: i64,
}

async fn pool(open: &mut Transaction) -> Result<Pool, StoreError> {
    let find = "SELECT first_address, last_address, next_address FROM lease_pool WHERE id = 1";
    let row = open.one(find, &[]).await?.ok_or_else(outside)?;
    Ok(Pool {
        first: row.get("first_address")?,
        last: row.get("last_address")?,
        next: row.get("next_address")?,
    })
}

/// The first address of `from..=to` that nobody holds: `from` itself, or the one behind a run of held ones.
async fn first_free(open: &mut Transaction, from: i64, to: i64) -> Result<Option<i64>, StoreError> {
    if from > to {
        return Ok(None);
    }
    let held = "SELECT address FROM leases WHERE address = $1";
    if open.one(held, values![from]).await?.is_none() {
        return Ok(Some(from));
    }
    let behind_run = "SELECT held.address + 1 AS address FROM leases held \
                      WHERE held.address >= $1 AND held.address < $2 \
                      AND NOT EXISTS (SELECT 1 FROM leases other WHERE other.address = held.address + 1) \
                      ORDER BY held.address LIMIT 1";
    let row: Option<Row> = open.one(behind_run, values![from, to]).await?;
    row.map(|row| row.get("address")).transpose()
}

async fn hold(
    open: &mut Transaction,
    address: i64,
    (network, node): (Uuid, Uuid),
    pool: &Pool,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO leases (address, network, node) VALUES ($1, $2, $3)";
    open.execute(insert, values![address, network, node]).await?;
    let count_up = "INSERT INTO network_leases (network, leases) VALUES ($1, 1) \
                    ON CONFLICT (network) DO UPDATE SET leases = network_leases.leases + 1";
    open.execute(count_up, values![network]).await?;
    let next = if address == pool.last { pool.first } else { address + 1 };
    open.execute("UPDATE lease_pool SET next_address = $1 WHERE id = 1", values![next]).await?;
    Ok(())
}

fn outside() -> StoreError {
    StoreError::Corrupt("the pool of overlay addresses is missing or no IPv4 range".to_owned())
}

const EPHEMERAL_REST: Micros = 24 * 60 * 60 * 1_000_000;
