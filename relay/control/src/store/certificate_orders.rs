//! Orders of certificates: one in flight for each subject, also when several relays share the database.
//!
//! Whoever works on an order holds its row for a while. A relay that died is not waited for longer than that; the same relay, started
//! again, goes on at once. What was tried and when the next try may be are kept, so that a restart asks the CA nothing anew.

use std::time::Duration;

use bore_api::model::{Actor, Micros};
use uuid::Uuid;

use super::audit;
use super::database::{Database, read, write};
use super::sql::{self, Row, Transaction, values};
use super::{OrderClaim, OrderClaimed, OrderFailure, StoreError};
use crate::certificate::{CertificateOrder, StandingOrder};
use crate::event::{Event, FailedOrder, Subject};
use crate::limits::{ORDER_LEASE_MAX, ORDER_WAIT_MAX};

/// The table of certificate orders.
#[derive(Debug, Clone, Copy)]
pub struct CertificateOrders<'a>(pub(super) &'a Database);

impl CertificateOrders<'_> {
    /// Takes the order of a subject, of which one is in flight, also among several relays.
    pub async fn claim(self, claim: &OrderClaim) -> Result<OrderClaimed, StoreError> {
        write!(self.0, open => self::claim(&mut open, claim))
    }

    /// Keeps hold of the order `id` until `claim.until`, and notes how far it is; `Conflict` when another relay has taken it.
    pub async fn keep(
        self,
        id: Uuid,
        claim: &OrderClaim,
        standing: Option<&StandingOrder>,
    ) -> Result<(), StoreError> {
        write!(self.0, open => keep(&mut open, id, claim, standing))
    }

    /// Lets go of an order that failed, and remembers why and when it is tried again.
    pub async fn fail(
        self,
        id: Uuid,
        failure: &OrderFailure,
        by: &Actor,
    ) -> Result<(), StoreError> {
        write!(self.0, open => fail(&mut open, id, failure, by))
    }

    /// All orders, by subject.
    pub async fn list(self) -> Result<Vec<CertificateOrder>, StoreError> {
        read!(self.0, open => list(&mut open))
    }

    /// Forgets an order whose subject nobody wants any more.
    pub async fn delete(self, id: Uuid) -> Result<(), StoreError> {
        write!(self.0, open => delete(&mut open, id))
    }
}

/// Takes the order of a subject, adding it if there is none.
async fn claim(open: &mut Transaction, claim: &OrderClaim) -> Result<OrderClaimed, StoreError> {
    if let Some(row) = open.one(SELECT_OF_SUBJECT, values![&claim.subject]).await? {
        if is_held_by_another(&row, claim)? {
            return Ok(OrderClaimed::Held);
        }
        let next_try_at: Micros = row.get("next_try_at")?;
        let retry_after: Option<Micros> = row.get("retry_after")?;
        let earliest = if claim.is_urgent { retry_after } else { Some(next_try_at) };
        if let Some(until) = earliest.filter(|at| is_ahead(*at, claim.at, ORDER_WAIT_MAX)) {
            return Ok(OrderClaimed::Early(until));
        }
    }
    open.execute(
        "INSERT INTO certificate_orders (id, network, subject, holder, held_until, failures, next_try_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, 0, $6, $6) \
         ON CONFLICT (subject) DO UPDATE SET network = $2, holder = $4, held_until = $5, updated_at = $6",
        values![claim.id, claim.network, &claim.subject, &claim.holder, claim.until, claim.at],
    )
    .await?;
    let row = open.one(SELECT_OF_SUBJECT, values![&claim.subject]).await?;
    let order = row.map_or(Err(StoreError::NotFound("order")), |row| order(&row))?;
    Ok(OrderClaimed::Yours(Box::new(order)))
}

/// Keeps hold of an order, and notes how far it is.
async fn keep(
    open: &mut Transaction,
    id: Uuid,
    claim: &OrderClaim,
    standing: Option<&StandingOrder>,
) -> Result<(), StoreError> {
    let changed = open
        .execute(
            "UPDATE certificate_orders SET order_url = $1, private_key = $2, held_until = $3, updated_at = $4 \
             WHERE id = $5 AND holder = $6",
            values![
                standing.map(|order| order.url.as_str()),
                standing.map(|order| &order.private_key),
                claim.until,
                claim.at,
                id,
                &claim.holder,
            ],
        )
        .await?;
    if changed == 0 { Err(lost(&claim.subject)) } else { Ok(()) }
}

/// Lets go of an order that failed. A failure that a person has to mend is audited once.
async fn fail(
    open: &mut Transaction,
    id: Uuid,
    failure: &OrderFailure,
    by: &Actor,
) -> Result<(), StoreError> {
    let row = open.one(SELECT_ONE, values![id]).await?;
    let before = order(&row.ok_or(StoreError::NotFound("order"))?)?;
    let problem = sql::to_json(&failure.problem)?;
    open.execute(
        "UPDATE certificate_orders SET holder = NULL, held_until = NULL, failures = failures + 1, \
         proof_failures = proof_failures + $1, problem = $2, next_try_at = $3, retry_after = $4, updated_at = $5 \
         WHERE id = $6",
        values![
            i64::from(failure.of_proof),
            &problem,
            failure.next_try_at,
            failure.retry_after,
            failure.at,
            id
        ],
    )
    .await?;
    if !failure.keep_standing {
        let forget =
            "UPDATE certificate_orders SET order_url = NULL, private_key = NULL WHERE id = $1";
        open.execute(forget, values![id]).await?;
    }
    let is_known = before.problem.is_some_and(|known| known.code == failure.problem.code);
    if is_known || !failure.needs_person {
        return Ok(());
    }
    let event = Event {
        network: before.network,
        at: failure.at,
        actor: by.clone(),
        subject: Subject::FailedOrder(FailedOrder {
            subject: before.subject,
            code: failure.problem.code.clone(),
            cause: failure.problem.cause.clone(),
        }),
    };
    audit::append(open, event).await
}

/// All orders, by subject.
async fn list(open: &mut Transaction) -> Result<Vec<CertificateOrder>, StoreError> {
    let rows = open.all(SELECT_ALL, &[]).await?;
    rows.iter().map(order).collect()
}

/// Forgets an order; one that is gone already is no error.
async fn delete(open: &mut Transaction, id: Uuid) -> Result<(), StoreError> {
    open.execute("DELETE FROM certificate_orders WHERE id = $1", values![id]).await?;
    Ok(())
}

fn is_held_by_another(row: &Row, claim: &OrderClaim) -> Result<bool, StoreError> {
    let holder: Option<String> = row.get("holder")?;
    let until: Option<Micros> = row.get("held_until")?;
    let is_others = holder.is_some_and(|holder| holder != claim.holder);
    Ok(is_others && until.is_some_and(|until| is_ahead(until, claim.at, ORDER_LEASE_MAX)))
}

/// Whether `time` is still to come, and no further away than anybody who has the right time writes.
fn is_ahead(time: Micros, now: Micros, most: Duration) -> bool {
    let most = Micros::try_from(most.as_micros()).unwrap_or(Micros::MAX);
    time > now && time.saturating_sub(now) <= most
}

fn order(row: &Row) -> Result<CertificateOrder, StoreError> {
    let problem: Option<String> = row.get("problem")?;
    Ok(CertificateOrder {
        id: row.get("id")?,
        network: row.get("network")?,
        subject: row.get("subject")?,
        standing: standing(row)?,
        failures: row.number("failures")?,
        proof_failures: row.number("proof_failures")?,
        problem: problem.map(|_| row.json("problem")).transpose()?,
        next_try_at: row.get("next_try_at")?,
        retry_after: row.get("retry_after")?,
        updated_at: row.get("updated_at")?,
    })
}

fn standing(row: &Row) -> Result<Option<StandingOrder>, StoreError> {
    let url: Option<String> = row.get("order_url")?;
    let key = row.maybe_sealed("private_key")?;
    Ok(url.zip(key).map(|(url, private_key)| StandingOrder { url, private_key }))
}

fn lost(subject: &str) -> StoreError {
    StoreError::Conflict(format!("the order for {subject} was taken over by another relay"))
}

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, network, subject, holder, held_until, order_url, private_key, failures, ",
            "proof_failures, problem, next_try_at, retry_after, updated_at FROM certificate_orders ",
            $tail
        )
    };
}
const SELECT_ALL: &str = select!("ORDER BY subject");
const SELECT_ONE: &str = select!("WHERE id = $1");
const SELECT_OF_SUBJECT: &str = select!("WHERE subject = $1");
