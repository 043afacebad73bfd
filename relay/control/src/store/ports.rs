//! Ports of publications: public ones are unique in the whole cluster, overlay ones on their node.

use bore_api::model::{Protocol, Publication};
use uuid::Uuid;

use super::StoreError;
use super::sql::{Transaction, values};

/// Refuses public ports that another publication has, naming the first and its holder.
pub(super) async fn refuse_taken(
    open: &mut Transaction,
    publication: &Publication,
) -> Result<(), StoreError> {
    let Some((first, last)) = public_range(publication)? else {
        return Ok(());
    };
    let find = "SELECT t.port, p.name, p.network FROM public_ports t JOIN publications p ON p.id = t.publication \
                WHERE t.protocol = $1 AND t.port BETWEEN $2 AND $3 AND p.id <> $4 ORDER BY t.port LIMIT 1";
    let protocol = protocol_text(publication.protocol);
    let Some(row) = open.one(find, values![protocol, first, last, publication.id]).await? else {
        return Ok(());
    };
    let port: i64 = row.get("port")?;
    Err(StoreError::Taken {
        what: "port",
        value: format!("{port}/{protocol}"),
        holder: super::holder(row.get("name")?, row.get("network")?, publication.network),
    })
}

/// Makes the public ports of a stored publication exactly those that it names.
pub(super) async fn hold(
    open: &mut Transaction,
    publication: &Publication,
) -> Result<(), StoreError> {
    let release = "DELETE FROM public_ports WHERE publication = $1";
    open.execute(release, values![publication.id]).await?;
    let Some((first, last)) = public_range(publication)? else {
        return Ok(());
    };
    let insert = "WITH RECURSIVE wanted (port) AS \
                  (SELECT $1 UNION ALL SELECT port + 1 FROM wanted WHERE port < $2) \
                  INSERT INTO public_ports (protocol, port, publication) SELECT $3, port, $4 FROM wanted";
    let protocol = protocol_text(publication.protocol);
    open.execute(insert, values![first, last, protocol, publication.id]).await?;
    Ok(())
}

/// First and last public port; `None` for what is routed by hostname.
fn public_range(publication: &Publication) -> Result<Option<(u16, u16)>, StoreError> {
    publication.public_port.map(|first| range(first, publication.port_count)).transpose()
}

/// The lowest run of `count` overlay ports that no publication of the node has.
pub(super) fn free_run(used: &[(u16, u16)], count: u16) -> Result<u16, StoreError> {
    let mut used = used.to_vec();
    used.sort_unstable();
    let mut candidate = OVERLAY_PORT_FIRST;
    for (first, last) in used {
        let (_, end) = range(candidate, count)?;
        if end < first {
            break;
        }
        if last >= candidate {
            candidate = last.checked_add(1).ok_or_else(|| above_the_last(last, count))?;
        }
    }
    range(candidate, count).map(|_| candidate)
}

/// The overlay ports that the other publications of a node have, as (first, last).
pub(super) async fn used_on_node(
    open: &mut Transaction,
    node: Uuid,
    but: Uuid,
) -> Result<Vec<(u16, u16)>, StoreError> {
    let find = "SELECT overlay_port, port_count FROM publications WHERE node = $1 AND id <> $2";
    let rows = open.all(find, values![node, but]).await?;
    rows.iter().map(|row| range(row.number("overlay_port")?, row.number("port_count")?)).collect()
}

/// First and last of `count` ports from `first`.
pub(super) fn range(first: u16, count: u16) -> Result<(u16, u16), StoreError> {
    let more = count.checked_sub(1);
    more.and_then(|more| first.checked_add(more))
        .map(|last| (first, last))
        .ok_or_else(|| above_the_last(first, count))
}

fn above_the_last(first: u16, count: u16) -> StoreError {
    StoreError::Conflict(format!("{count} ports from {first} are none or end above 65535"))
}

/// The protocol as the tables name it.
pub(super) fn protocol_text(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Tls => "tls",
        Protocol::Http => "http",
    }
}

/// Below are the ports that the agent answers itself.
const OVERLAY_PORT_FIRST: u16 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_fill_gaps_and_never_overlap() {
        assert_eq!(free_run(&[], 1).unwrap(), 1024);
        assert_eq!(free_run(&[(1024, 1024)], 1).unwrap(), 1025);
        assert_eq!(free_run(&[(1030, 1039), (1024, 1024)], 5).unwrap(), 1025);
        assert_eq!(free_run(&[(1030, 1039), (1024, 1024)], 6).unwrap(), 1040);
        assert_eq!(free_run(&[(80, 80)], 1).unwrap(), 1024);
    }

    #[test]
    fn a_full_node_is_a_conflict_not_an_overlap() {
        assert!(matches!(free_run(&[(1024, 65_535)], 1), Err(StoreError::Conflict(_))));
        assert!(matches!(free_run(&[(1024, 65_000)], 600), Err(StoreError::Conflict(_))));
        assert_eq!(free_run(&[(1024, 65_534)], 1).unwrap(), 65_535);
    }
}
