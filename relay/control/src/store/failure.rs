//! What a driver's error means: one table for both engines.

use std::io::ErrorKind;

use super::StoreError;

/// The meaning of `error`; what is not known here stays a [`StoreError::Database`].
pub(super) fn of(error: sqlx::Error) -> StoreError {
    let Some(reason) = error.as_database_error() else {
        return not_from_the_engine(error);
    };
    let code = reason.code().unwrap_or_default().into_owned();
    let message = reason.message().to_owned();
    let meaning = match code.parse::<u32>() {
        Ok(number) if code.len() < SQLSTATE_LENGTH => of_sqlite(number, message),
        Ok(_) | Err(_) => of_sqlstate(&code),
    };
    meaning.unwrap_or(StoreError::Database(error))
}

/// The meaning of an error of COMMIT. A server that answers with an error has made no change; one that goes away may have made it.
pub(super) fn of_commit(error: sqlx::Error) -> StoreError {
    let code = error.as_database_error().and_then(|reason| reason.code());
    let is_answer = code.is_some_and(|code| !leaves_open(&code));
    if is_answer { of(error) } else { StoreError::Unconfirmed(error) }
}

/// Returns true if a server that says `code` to a COMMIT, or a proxy before it, has not said what became of it.
///
/// Source: PostgreSQL documentation, appendix A: 57P, the session is ended; class 08, the connection is lost; 40003, completion unknown.
fn leaves_open(code: &str) -> bool {
    ["57P", "08", "40003"].iter().any(|beginning| code.starts_with(beginning))
}

/// Whether the engine failed, so that its connection may be in any state. What a caller asked wrongly leaves it as it was, and so does a lost race.
pub(super) fn is_of_engine(error: &StoreError) -> bool {
    match error {
        StoreError::DiskFull
        | StoreError::ReadOnly
        | StoreError::Corrupt(_)
        | StoreError::Locked
        | StoreError::Unsettled(_)
        | StoreError::Unconfirmed(_) => true,
        StoreError::Database(_) => !is_transient(error),
        StoreError::NotFound(_)
        | StoreError::Taken { .. }
        | StoreError::Conflict(_)
        | StoreError::AddressesExhausted
        | StoreError::ShareTaken(_)
        | StoreError::MakerEnded
        | StoreError::Unsupported(_)
        | StoreError::Newer { .. }
        | StoreError::Missing
        | StoreError::Sealed { .. } => false,
    }
}

/// Returns true if a statement named a table that does not exist: SQLSTATE 42P01; SQLite has no code of its own for it.
pub(super) fn is_missing_table(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|reason| {
        reason.code().as_deref() == Some("42P01") || reason.message().starts_with("no such table")
    })
}

/// Whether the same transaction may succeed when it is run again.
pub(super) fn is_transient(error: &StoreError) -> bool {
    let StoreError::Database(error) = error else {
        return false;
    };
    let code = error.as_database_error().and_then(|reason| reason.code());
    matches!(code.as_deref(), Some(SERIALIZATION_FAILURE | DEADLOCK_DETECTED))
}

/// Source: <https://www.sqlite.org/rescode.html>. The low byte of an extended code is its class.
fn of_sqlite(code: u32, message: String) -> Option<StoreError> {
    /// No room to grow the shared-memory file of the write-ahead log.
    const IOERR_SHMSIZE: u32 = 4874;
    if code == IOERR_SHMSIZE {
        return Some(StoreError::DiskFull);
    }
    match code & 0xff {
        5 | 6 => Some(StoreError::Locked),
        8 => Some(StoreError::ReadOnly),
        11 | 26 => Some(StoreError::Corrupt(message)),
        13 => Some(StoreError::DiskFull),
        _ => None,
    }
}

/// Source: PostgreSQL documentation, appendix A.
fn of_sqlstate(code: &str) -> Option<StoreError> {
    match code {
        "53100" => Some(StoreError::DiskFull),
        "25006" => Some(StoreError::ReadOnly),
        "XX001" | "XX002" => {
            Some(StoreError::Corrupt("PostgreSQL reports damaged data".to_owned()))
        }
        _ => None,
    }
}

/// A value that does not decode was not written by bore.
fn not_from_the_engine(error: sqlx::Error) -> StoreError {
    if let sqlx::Error::Io(cause) = error {
        return of_file(cause);
    }
    if let sqlx::Error::ColumnDecode { index, .. } = &error {
        return StoreError::Corrupt(format!("column {index} does not decode"));
    }
    StoreError::Database(error)
}

/// The meaning of an error of the file system.
pub(super) fn of_file(error: std::io::Error) -> StoreError {
    if error.kind() == ErrorKind::StorageFull {
        StoreError::DiskFull
    } else if error.kind() == ErrorKind::ReadOnlyFilesystem {
        StoreError::ReadOnly
    } else {
        StoreError::Database(sqlx::Error::Io(error))
    }
}

/// SQLSTATE codes have five characters, SQLite's at most four digits.
const SQLSTATE_LENGTH: usize = 5;
const SERIALIZATION_FAILURE: &str = "40001";
const DEADLOCK_DETECTED: &str = "40P01";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart_in_all_its_forms() {
        for code in [13, 4874] {
            assert!(matches!(of_sqlite(code, String::new()), Some(StoreError::DiskFull)));
        }
        assert!(matches!(of_sqlstate("53100"), Some(StoreError::DiskFull)));
        let io = sqlx::Error::Io(std::io::Error::from(ErrorKind::StorageFull));
        assert!(matches!(of(io), StoreError::DiskFull));
    }

    #[test]
    fn a_server_that_is_lost_at_a_commit_has_not_said_that_nothing_was_changed() {
        for code in ["57P01", "57P02", "57P03", "08006", "08P01", "40003"] {
            assert!(leaves_open(code), "{code}");
        }
        for code in ["40001", "40P01", "53100", "57014", "23505", "13"] {
            assert!(!leaves_open(code), "{code}");
        }
    }

    #[test]
    fn extended_codes_mean_what_their_class_means() {
        assert!(matches!(of_sqlite(5 | (2 << 8), String::new()), Some(StoreError::Locked)));
        assert!(matches!(of_sqlite(8 | (3 << 8), String::new()), Some(StoreError::ReadOnly)));
        assert!(matches!(of_sqlite(11 | (1 << 8), String::new()), Some(StoreError::Corrupt(_))));
        assert!(of_sqlite(19, String::new()).is_none());
    }
}
