//! The embedded migrations: the same numbers and names on both sides.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};

macro_rules! migrations {
    ($side:literal: $($version:literal $name:literal),* $(,)?) => {
        &[$(($version, $name, include_str!(concat!("../../migrations/", $side, "/", $version, "_", $name, ".sql")))),*]
    };
}

type MigrationText = (&'static str, &'static str, &'static str);

const POSTGRES: &[MigrationText] = migrations!("postgres":
    "0001" "base", "0002" "steering", "0003" "queue_deadline", "0004" "limits", "0005" "skipped", "0006" "uploads",
    "0007" "batches", "0008" "record_holds", "0009" "auto_batches", "0010" "checks",
    "0011" "stragglers", "0012" "pause_reason", "0013" "changes", "0014" "oauth", "0015" "jwt_keys");
const SQLITE: &[MigrationText] = migrations!("sqlite":
    "0001" "base", "0002" "steering", "0003" "queue_deadline", "0004" "limits", "0005" "skipped", "0006" "uploads",
    "0007" "batches", "0008" "record_holds", "0009" "auto_batches", "0010" "checks",
    "0011" "stragglers", "0012" "pause_reason", "0013" "changes", "0014" "oauth", "0015" "jwt_keys");

fn migrator(sources: &[MigrationText]) -> Migrator {
    Migrator::with_migrations(
        sources
            .iter()
            .map(|(version, name, sql)| {
                Migration::new(
                    version.parse().expect("migration numbers are digits"),
                    Cow::Borrowed(*name),
                    MigrationType::Simple,
                    AssertSqlSafe(*sql).into_sql_str(),
                    false,
                )
            })
            .collect(),
    )
}

/// The migrations of Postgres; running them takes an advisory lock.
pub(super) fn postgres() -> Migrator {
    migrator(POSTGRES)
}

/// The migrations of SQLite.
pub(super) fn sqlite() -> Migrator {
    migrator(SQLITE)
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_sides_have_the_same_migrations() {
        let names = |sources: &[super::MigrationText]| sources.iter().map(|s| (s.0, s.1)).collect::<Vec<_>>();
        assert_eq!(names(super::POSTGRES), names(super::SQLITE));
    }
}
