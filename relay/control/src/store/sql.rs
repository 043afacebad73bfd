//! One way to run a statement on either engine: text with `$1` placeholders, values, rows.
//!
//! Both engines take the same text; only the type of a value's column differs, which the drivers
//! know. A statement is a constant: no value is ever written into its text.

use std::io::ErrorKind;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::query::Query;
use sqlx::sqlite::SqliteRow;
use sqlx::{Database, Decode, Encode, Postgres, Row as _, Sqlite, Type};
use uuid::Uuid;

use super::StoreError;
use super::failure;
use super::postgres::SILENCE_MAX;
use crate::audit_key::{AuditKey, AuditPoint};
use crate::event::Event;
use crate::sealing::Sealed;

/// An open transaction; dropped without [`Transaction::commit`], it changes nothing.
///
/// Its connection returns to the pool only after a COMMIT or ROLLBACK that succeeded. After anything else the state of the session is not known
/// (SQLite rolls back by itself when the disk is full, a server may have turned read-only), so the connection is closed and the next transaction
/// gets a new one.
#[derive(Debug)]
pub(super) struct Transaction {
    connection: Connection,
    /// The session is outside a transaction again.
    has_ended: bool,
    audit_key: AuditKey,
    /// The last row that this transaction has added to the audit trail.
    appended: Option<AuditPoint>,
    /// What this transaction does.
    events: Vec<Event>,
}

/// A connection of either engine.
#[derive(Debug)]
pub(super) enum Connection {
    /// To the embedded engine.
    Sqlite(PoolConnection<Sqlite>),
    /// To the cluster's engine.
    Postgres(PoolConnection<Postgres>),
}

impl Drop for Transaction {
    fn drop(&mut self) {
        match &mut self.connection {
            Connection::Sqlite(connection) if !self.has_ended => connection.close_on_drop(),
            Connection::Sqlite(_) => {}
            Connection::Postgres(connection) if !self.has_ended => connection.close_on_drop(),
            Connection::Postgres(connection) => give_back(connection),
        }
    }
}

/// The pool asks the server of a session that it gets back, and would wait for ever for one that is gone without a word, its place taken.
fn give_back(connection: &mut PoolConnection<Postgres>) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(tokio::time::timeout(SILENCE_MAX, connection.return_to_pool()));
    }
}

impl Transaction {
    /// Begins a transaction with `statement`.
    pub(super) async fn begin(
        connection: Connection,
        statement: &'static str,
        audit_key: &AuditKey,
    ) -> Result<Self, StoreError> {
        let audit_key = audit_key.clone();
        let mut open =
            Self { connection, has_ended: false, audit_key, appended: None, events: Vec::new() };
        open.run(statement).await.map_err(failure::of)?;
        Ok(open)
    }

    /// What the audit trail is signed with.
    pub(super) fn audit_key(&self) -> &AuditKey {
        &self.audit_key
    }

    /// Remembers the last row of the audit trail, and what it tells of: it is there if, and only if, this transaction is committed.
    pub(super) fn note_appended(&mut self, point: AuditPoint, event: Event) {
        self.appended = Some(point);
        self.events.push(event);
    }

    /// What this transaction does, in order.
    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The last row that this transaction has added to the audit trail.
    pub(super) fn appended(&self) -> Option<AuditPoint> {
        self.appended
    }

    /// Runs a statement that takes no values and answers no rows.
    async fn run(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        match &mut self.connection {
            Connection::Sqlite(open) => {
                sqlx::raw_sql(statement).execute(&mut **open).await.map(drop)
            }
            Connection::Postgres(open) => {
                answered(sqlx::raw_sql(statement).execute(&mut **open)).await.map(drop)
            }
        }
    }

    /// Runs a statement and counts the rows that it changed.
    pub(super) async fn execute(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, StoreError> {
        refuse_nul(values)?;
        match &mut self.connection {
            Connection::Sqlite(open) => bind(sqlx::query(statement), values)
                .execute(&mut **open)
                .await
                .map(|done| done.rows_affected()),
            Connection::Postgres(open) => {
                answered(bind(sqlx::query(statement), values).execute(&mut **open))
                    .await
                    .map(|done| done.rows_affected())
            }
        }
        .map_err(failure::of)
    }

    /// All rows of a query.
    pub(super) async fn all(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        refuse_nul(values)?;
        match &mut self.connection {
            Connection::Sqlite(open) => bind(sqlx::query(statement), values)
                .fetch_all(&mut **open)
                .await
                .map(|rows| rows.into_iter().map(Row::Sqlite).collect()),
            Connection::Postgres(open) => {
                answered(bind(sqlx::query(statement), values).fetch_all(&mut **open))
                    .await
                    .map(|rows| rows.into_iter().map(Row::Postgres).collect())
            }
        }
        .map_err(failure::of)
    }

    /// The only row of a query, if there is one.
    pub(super) async fn one(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, StoreError> {
        refuse_nul(values)?;
        match &mut self.connection {
            Connection::Sqlite(open) => bind(sqlx::query(statement), values)
                .fetch_optional(&mut **open)
                .await
                .map(|row| row.map(Row::Sqlite)),
            Connection::Postgres(open) => {
                answered(bind(sqlx::query(statement), values).fetch_optional(&mut **open))
                    .await
                    .map(|row| row.map(Row::Postgres))
            }
        }
        .map_err(failure::of)
    }

    /// Makes the changes last: PostgreSQL has them on disk when this answers, SQLite once they are settled.
    ///
    /// # Errors
    /// [`StoreError::Unconfirmed`] when the server went away before it answered: then the changes may have been made.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        self.run("COMMIT").await.map_err(failure::of_commit)?;
        self.has_ended = true;
        Ok(())
    }

    /// Undoes the changes.
    pub(super) async fn rollback(mut self) {
        self.has_ended = self.run("ROLLBACK").await.is_ok();
    }
}

/// Waits for a server's answer, but not for ever: one whose machine or network is gone says nothing, and TCP would wait for a quarter of an hour.
async fn answered<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let silent = |_| Err(sqlx::Error::Io(ErrorKind::TimedOut.into()));
    tokio::time::timeout(ANSWER_TIME_MAX, answer).await.unwrap_or_else(silent)
}

/// Longer than the server itself gives a statement (`postgres`).
const ANSWER_TIME_MAX: Duration = Duration::from_secs(35);

/// A value bound to a placeholder.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    /// A row's identity, or none.
    Id(Option<Uuid>),
    /// A number or a time, or none.
    Int(Option<i64>),
    /// Text, or none.
    Text(Option<&'a str>),
    /// Hashes, IPv6 addresses and sealed secrets, or none.
    Bytes(Option<&'a [u8]>),
    /// Yes or no.
    Flag(bool),
}

/// The values of a statement, each converted by `Value::from`.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::store::sql::Value::from($value)),*] };
}
pub(super) use values;

macro_rules! value_from {
    ($($from:ty => |$value:ident| $to:expr;)*) => {
        $(impl<'a> From<$from> for Value<'a> {
            fn from($value: $from) -> Self { $to }
        })*
    };
}

value_from! {
    Uuid => |id| Self::Id(Some(id));
    Option<Uuid> => |id| Self::Id(id);
    i64 => |number| Self::Int(Some(number));
    u16 => |number| Self::Int(Some(i64::from(number)));
    u32 => |number| Self::Int(Some(i64::from(number)));
    Option<i64> => |number| Self::Int(number);
    Option<u16> => |number| Self::Int(number.map(i64::from));
    Option<u32> => |number| Self::Int(number.map(i64::from));
    &'a str => |text| Self::Text(Some(text));
    &'a String => |text| Self::Text(Some(text));
    Option<&'a str> => |text| Self::Text(text);
    &'a [u8; 16] => |bytes| Self::Bytes(Some(bytes));
    &'a [u8; 32] => |bytes| Self::Bytes(Some(bytes));
    &'a [u8; 64] => |bytes| Self::Bytes(Some(bytes));
    &'a Sealed => |sealed| Self::Bytes(Some(sealed.bytes()));
    Option<&'a [u8; 64]> => |bytes| Self::Bytes(bytes.map(<[u8; 64]>::as_slice));
    Option<&'a Sealed> => |sealed| Self::Bytes(sealed.map(Sealed::bytes));
    bool => |flag| Self::Flag(flag);
}

/// U+0000 is text to SQLite and an error to PostgreSQL: here it is one error for both.
fn refuse_nul(values: &[Value<'_>]) -> Result<(), StoreError> {
    let has_nul =
        |value: &Value<'_>| matches!(value, Value::Text(Some(text)) if text.contains('\0'));
    if values.iter().any(has_nul) {
        return Err(StoreError::Conflict("text cannot hold the character U+0000".to_owned()));
    }
    Ok(())
}

/// Binds `values` in order.
fn bind<'q, Engine>(
    query: Query<'q, Engine, <Engine as Database>::Arguments>,
    values: &[Value<'_>],
) -> Query<'q, Engine, <Engine as Database>::Arguments>
where
    Engine: Database,
    Option<Uuid>: for<'t> Encode<'t, Engine> + Type<Engine>,
    Option<i64>: for<'t> Encode<'t, Engine> + Type<Engine>,
    for<'t> Option<&'t str>: Encode<'t, Engine> + Type<Engine>,
    for<'t> Option<&'t [u8]>: Encode<'t, Engine> + Type<Engine>,
    bool: for<'t> Encode<'t, Engine> + Type<Engine>,
{
    values.iter().fold(query, |query, value| match *value {
        Value::Id(id) => query.bind(id),
        Value::Int(number) => query.bind(number),
        Value::Text(text) => query.bind(text),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Flag(flag) => query.bind(flag),
    })
}

/// A row of an answer.
#[derive(Debug)]
pub(super) enum Row {
    /// From the embedded engine.
    Sqlite(SqliteRow),
    /// From the cluster's engine.
    Postgres(PgRow),
}

/// What a column can be read as on both engines.
pub(super) trait Column:
    for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

impl<T> Column for T where
    T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

impl Row {
    /// The column `name`.
    pub(super) fn get<T: Column>(&self, name: &'static str) -> Result<T, StoreError> {
        match self {
            Self::Sqlite(row) => row.try_get(name),
            Self::Postgres(row) => row.try_get(name),
        }
        .map_err(failure::of)
    }

    /// The number in column `name`, as the narrower type that its table's checks promise.
    pub(super) fn number<T: TryFrom<i64>>(&self, name: &'static str) -> Result<T, StoreError> {
        T::try_from(self.get(name)?).map_err(|_| out_of_range(name))
    }

    /// As [`Row::number`], where the column may be empty.
    pub(super) fn maybe_number<T: TryFrom<i64>>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let number: Option<i64> = self.get(name)?;
        number.map(T::try_from).transpose().map_err(|_| out_of_range(name))
    }

    /// The `N` bytes in column `name`.
    pub(super) fn bytes<const N: usize>(&self, name: &'static str) -> Result<[u8; N], StoreError> {
        let bytes: Vec<u8> = self.get(name)?;
        bytes.try_into().map_err(|_| out_of_range(name))
    }

    /// As [`Row::bytes`], where the column may be empty.
    pub(super) fn maybe_bytes<const N: usize>(
        &self,
        name: &'static str,
    ) -> Result<Option<[u8; N]>, StoreError> {
        let bytes: Option<Vec<u8>> = self.get(name)?;
        bytes.map(TryInto::try_into).transpose().map_err(|_| out_of_range(name))
    }

    /// The sealed secret in column `name`.
    pub(super) fn sealed(&self, name: &'static str) -> Result<Sealed, StoreError> {
        self.get::<Vec<u8>>(name).map(Sealed::from_bytes)
    }

    /// As [`Row::sealed`], where the column may be empty.
    pub(super) fn maybe_sealed(&self, name: &'static str) -> Result<Option<Sealed>, StoreError> {
        self.get::<Option<Vec<u8>>>(name).map(|bytes| bytes.map(Sealed::from_bytes))
    }

    /// The JSON in column `name`.
    pub(super) fn json<T: serde::de::DeserializeOwned>(
        &self,
        name: &'static str,
    ) -> Result<T, StoreError> {
        let text: String = self.get(name)?;
        serde_json::from_str(&text)
            .map_err(|error| StoreError::Corrupt(format!("column {name}: {error}")))
    }
}

fn out_of_range(name: &'static str) -> StoreError {
    StoreError::Corrupt(format!("column {name} holds a value that no version of bore writes"))
}

/// `value` as JSON text. Fails only for maps with keys that are not text, which no resource has.
pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Conflict(format!("not JSON: {error}")))
}

/// `text` as plain text of a LIKE pattern whose escape character is `!`.
pub(super) fn escaped(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_given_up() {
        let silence = std::future::pending::<Result<(), sqlx::Error>>();
        let Err(sqlx::Error::Io(error)) = answered(silence).await else { panic!("given up") };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
