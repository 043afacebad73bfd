//! The schema's history: one list, the same numbers for both engines.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};

use super::{Presence, StoreError, failure};

/// One step of the schema, in both dialects.
struct Step {
    number: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

const STEPS: [Step; 13] = [
    Step {
        number: 1,
        name: "initial",
        sqlite: include_str!("../../migrations/sqlite/0001_initial.sql"),
        postgres: include_str!("../../migrations/postgres/0001_initial.sql"),
    },
    Step {
        number: 2,
        name: "certificates",
        sqlite: include_str!("../../migrations/sqlite/0002_certificates.sql"),
        postgres: include_str!("../../migrations/postgres/0002_certificates.sql"),
    },
    Step {
        number: 3,
        name: "names",
        sqlite: include_str!("../../migrations/sqlite/0003_names.sql"),
        postgres: include_str!("../../migrations/postgres/0003_names.sql"),
    },
    Step {
        number: 4,
        name: "web",
        sqlite: include_str!("../../migrations/sqlite/0004_web.sql"),
        postgres: include_str!("../../migrations/postgres/0004_web.sql"),
    },
    Step {
        number: 5,
        name: "renewals",
        sqlite: include_str!("../../migrations/sqlite/0005_renewals.sql"),
        postgres: include_str!("../../migrations/postgres/0005_renewals.sql"),
    },
    Step {
        number: 6,
        name: "write_probe",
        sqlite: include_str!("../../migrations/sqlite/0006_write_probe.sql"),
        postgres: include_str!("../../migrations/postgres/0006_write_probe.sql"),
    },
    Step {
        number: 7,
        name: "health",
        sqlite: include_str!("../../migrations/sqlite/0007_health.sql"),
        postgres: include_str!("../../migrations/postgres/0007_health.sql"),
    },
    Step {
        number: AUDIT_SIGNATURES,
        name: "audit_signatures",
        sqlite: include_str!("../../migrations/sqlite/0008_audit_signatures.sql"),
        postgres: include_str!("../../migrations/postgres/0008_audit_signatures.sql"),
    },
    Step {
        number: 9,
        name: "key_makers",
        sqlite: include_str!("../../migrations/sqlite/0009_key_makers.sql"),
        postgres: include_str!("../../migrations/postgres/0009_key_makers.sql"),
    },
    Step {
        number: 10,
        name: "resting_hostnames",
        sqlite: include_str!("../../migrations/sqlite/0010_resting_hostnames.sql"),
        postgres: include_str!("../../migrations/postgres/0010_resting_hostnames.sql"),
    },
    Step {
        number: 11,
        name: "network_addresses",
        sqlite: include_str!("../../migrations/sqlite/0011_network_addresses.sql"),
        postgres: include_str!("../../migrations/postgres/0011_network_addresses.sql"),
    },
    Step {
        number: 12,
        name: "resting_hostname_nodes",
        sqlite: include_str!("../../migrations/sqlite/0012_resting_hostname_nodes.sql"),
        postgres: include_str!("../../migrations/postgres/0012_resting_hostname_nodes.sql"),
    },
    Step {
        number: 13,
        name: "publication_options",
        sqlite: include_str!("../../migrations/sqlite/0013_publication_options.sql"),
        postgres: include_str!("../../migrations/postgres/0013_publication_options.sql"),
    },
];

/// The step since which the head of the audit trail is signed.
pub(super) const AUDIT_SIGNATURES: i64 = 8;

/// The newest schema that this version knows.
pub(super) fn newest() -> i64 {
    STEPS.iter().map(|step| step.number).max().unwrap_or_default()
}

/// The steps up to number `last` for SQLite.
pub(super) fn sqlite(last: i64) -> Migrator {
    migrator(|step| step.sqlite, last)
}

/// The steps up to number `last` for PostgreSQL.
pub(super) fn postgres(last: i64) -> Migrator {
    migrator(|step| step.postgres, last)
}

/// Brings the database towards the newest schema: each step is one transaction, several relays take turns. Returns the schema that was found, 0 for none;
/// up to [`AUDIT_SIGNATURES`] it ends there, and what is left is for [`apply`] once the head of the audit trail is signed. A relay that dies in between
/// signs at its next start.
pub(super) async fn run<C: Migrate>(
    steps: impl Fn(i64) -> Migrator,
    connection: &mut C,
    presence: Presence,
) -> Result<i64, StoreError> {
    let all = steps(newest());
    let found = found(&all, connection).await?;
    if found == 0 && presence == Presence::Required {
        return Err(StoreError::Missing);
    }
    if found > AUDIT_SIGNATURES {
        return apply(&all, connection).await.map(|()| found);
    }
    let mut first = steps(AUDIT_SIGNATURES);
    // Another relay that starts now may be further.
    first.set_ignore_missing(true);
    apply(&first, connection).await.map(|()| found)
}

/// The newest step that was applied. A database without a table of steps has none.
async fn found<C: Migrate>(steps: &Migrator, connection: &mut C) -> Result<i64, StoreError> {
    match connection.list_applied_migrations(&steps.table_name).await {
        Ok(applied) => Ok(applied.iter().map(|step| step.version).max().unwrap_or_default()),
        Err(MigrateError::Execute(error)) if failure::is_missing_table(&error) => Ok(0),
        Err(MigrateError::Execute(error)) => Err(failure::of(error)),
        Err(error) => Err(StoreError::Database(error.into())),
    }
}

/// Applies those steps that were not.
pub(super) async fn apply<C: Migrate>(
    steps: &Migrator,
    connection: &mut C,
) -> Result<(), StoreError> {
    match steps.run_direct(None, connection, false).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(first)) => Err(newer(steps, connection, first).await),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
            Err(failure::of(error))
        }
        Err(error) => Err(StoreError::Database(error.into())),
    }
}

/// The database has steps that this version lacks, `first` among them.
async fn newer<C: Migrate>(steps: &Migrator, connection: &mut C, first: i64) -> StoreError {
    let applied = connection.list_applied_migrations(&steps.table_name).await.unwrap_or_default();
    let found = applied.iter().map(|step| step.version).max().unwrap_or(first);
    StoreError::Newer { found, known: newest() }
}

fn migrator(dialect: fn(&Step) -> &'static str, last: i64) -> Migrator {
    let step = |step: &Step| {
        let sql = dialect(step).into_sql_str();
        Migration::new(step.number, Cow::Borrowed(step.name), MigrationType::Simple, sql, false)
    };
    let steps = STEPS.iter().filter(|step| step.number <= last);
    Migrator::with_migrations(steps.map(step).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_both_folders_is_a_step() {
        let wanted: Vec<String> =
            STEPS.iter().map(|step| format!("{:04}_{}.sql", step.number, step.name)).collect();
        for folder in ["sqlite", "postgres"] {
            let folder = format!("{}/migrations/{folder}", env!("CARGO_MANIFEST_DIR"));
            let mut found: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .collect();
            found.sort();
            assert_eq!(found, wanted);
        }
    }
}
