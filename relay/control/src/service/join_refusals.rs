//! Refused joins in the audit trail: one row for each key, cause and hour, whatever the number of attempts.
//!
//! The first refusal is written at once. Those of the hour after it are counted, and their row is written when the hour is over; it opens the next
//! hour. So is a row that could not be written. Only a caller that proved the key's secret gets here, so that the table has at most an entry for each key and cause; it is bounded all the same.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use uuid::Uuid;

use super::nodes::Nodes;
use crate::limits::{JOIN_REFUSAL_ROW_INTERVAL, JOIN_REFUSALS_REMEMBERED_MAX};
use crate::store::{JoinError, JoinRefusals, JoinRequest};

/// Refusals that were written lately, and those that were not.
#[derive(Debug, Default)]
pub(crate) struct JoinRefusalBook(Mutex<HashMap<(Uuid, &'static str), Hour>>);

#[derive(Debug)]
struct Hour {
    began_at: Instant,
    /// The newest refusal without a row; its count is of all of them.
    unwritten: Option<JoinRefusals>,
}

impl JoinRefusalBook {
    /// Counts a refusal, and returns it if its row has to be written now.
    fn note(
        &self,
        cause: &'static str,
        refusal: JoinRefusals,
        now: Instant,
    ) -> Option<JoinRefusals> {
        let mut hours = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hour) = hours.get_mut(&(refusal.key, cause)) {
            let already = hour.unwritten.as_ref().map_or(0, |unwritten| unwritten.count);
            hour.unwritten = Some(JoinRefusals { count: already + refusal.count, ..refusal });
            return None;
        }
        if hours.len() >= JOIN_REFUSALS_REMEMBERED_MAX {
            return None;
        }
        hours.insert((refusal.key, cause), Hour { began_at: now, unwritten: None });
        Some(refusal)
    }

    /// Counts refusals again whose row could not be written: it is due when their hour is over.
    fn keep(&self, cause: &'static str, refusals: JoinRefusals) {
        let mut hours = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hour) = hours.get_mut(&(refusals.key, cause)) {
            let since = hour.unwritten.take().unwrap_or(JoinRefusals { count: 0, ..refusals });
            hour.unwritten = Some(JoinRefusals { count: since.count + refusals.count, ..since });
        }
    }

    /// Takes the rows that are due with their causes, and forgets hours in which nothing more happened.
    fn take_due(&self, now: Instant) -> Vec<(&'static str, JoinRefusals)> {
        let mut hours = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        hours.retain(|(_, cause), hour| {
            if now.saturating_duration_since(hour.began_at) < JOIN_REFUSAL_ROW_INTERVAL {
                return true;
            }
            hour.began_at = now;
            let unwritten = hour.unwritten.take();
            let goes_on = unwritten.is_some();
            due.extend(unwritten.map(|unwritten| (*cause, unwritten)));
            goes_on
        });
        due
    }
}

impl Nodes {
    /// Counts a refused join, and writes it down if it is the first of its hour. A trail that cannot be written changes nothing for the joiner.
    pub(super) async fn note_join_refusal(&self, request: &JoinRequest, error: &JoinError) {
        let Some(cause) = error.cause_of_key() else { return };
        let refusal = JoinRefusals {
            key: request.key,
            why: error.to_string(),
            name: request.name.clone(),
            public_key: request.public_key.clone(),
            count: 1,
            at: request.at,
        };
        if let Some(due) = self.refusals.note(cause, refusal, Instant::now()) {
            self.write_join_refusals(cause, due).await;
        }
    }

    /// Writes the rows of the hours that are over.
    pub(super) async fn write_due_join_refusals(&self) {
        for (cause, due) in self.refusals.take_due(Instant::now()) {
            self.write_join_refusals(cause, JoinRefusals { at: self.core.now(), ..due }).await;
        }
    }

    async fn write_join_refusals(&self, cause: &'static str, refusals: JoinRefusals) {
        if let Err(error) = self.core.store.nodes().note_join_refusals(&refusals).await {
            tracing::warn!(key = %refusals.key, count = refusals.count, %error, "refused joins are not in the audit trail yet");
            self.refusals.keep(cause, refusals);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_hour_of_refusals_has_two_rows_and_loses_no_count() {
        let (book, start) = (JoinRefusalBook::default(), Instant::now());
        let written: Vec<_> =
            (0..100_000).filter_map(|_| book.note("revoked", refusal(1), start)).collect();
        assert_eq!(written.len(), 1, "the first is told at once");
        assert!(book.take_due(start + Duration::from_secs(3_599)).is_empty());

        let hour = start + Duration::from_secs(3_600);
        let due = book.take_due(hour);
        assert_eq!(due.iter().map(|(_, each)| each.count).collect::<Vec<_>>(), [99_999]);
        assert!(book.note("revoked", refusal(1), hour).is_none(), "its row opened the next hour");
        assert_eq!(book.take_due(hour + Duration::from_secs(3_600)).len(), 1);
        assert!(book.take_due(hour + Duration::from_secs(7_200)).is_empty());
        assert!(book.note("revoked", refusal(1), hour).is_some(), "a quiet hour is forgotten");
    }

    #[test]
    fn refusals_that_could_not_be_written_are_not_forgotten() {
        let (book, start) = (JoinRefusalBook::default(), Instant::now());
        let first = book.note("revoked", refusal(1), start).unwrap();
        book.keep("revoked", first);
        assert!(book.note("revoked", refusal(1), start).is_none());
        let hour = start + Duration::from_secs(3_600);
        let [(cause, due)] = book.take_due(hour).try_into().unwrap();
        assert_eq!((cause, due.count), ("revoked", 2));

        book.keep(cause, due);
        let [(_, due)] = book.take_due(hour + Duration::from_secs(3_600)).try_into().unwrap();
        assert_eq!(due.count, 2);
    }

    #[test]
    fn keys_and_causes_are_told_apart_and_bounded() {
        let (book, now) = (JoinRefusalBook::default(), Instant::now());
        assert!(book.note("revoked", refusal(1), now).is_some());
        assert!(book.note("expired", refusal(1), now).is_some());
        let keys = 2..JOIN_REFUSALS_REMEMBERED_MAX as u128 * 2;
        let written = keys.filter_map(|key| book.note("spent", refusal(key), now)).count();
        assert_eq!(written, JOIN_REFUSALS_REMEMBERED_MAX - 2);
    }

    fn refusal(key: u128) -> JoinRefusals {
        JoinRefusals {
            key: Uuid::from_u128(key),
            why: "the join key was revoked".to_owned(),
            name: "laptop".to_owned(),
            public_key: String::new(),
            count: 1,
            at: 0,
        }
    }
}
