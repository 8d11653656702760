//! What the store is asked for, and the rows that it gives and takes, by subject. Ids are UUIDs, times UTC, JSON is text that
//! has been validated before.

/// Declares a row of a table (the first, of several) and how it is read from each database, column by column, by name.
macro_rules! row {
    ($(#[$doc:meta])* pub struct $name:ident of $table:literal { $($(#[$fdoc:meta])* pub $field:ident : $ty:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $($(#[$fdoc])* #[doc = concat!("Column `", stringify!($field), "`.")] pub $field: $ty,)* }

        impl<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> for $name {
            fn from_row(row: &'r sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
                use sqlx::Row as _;
                Ok(Self { $($field: $crate::store::rows::read($table, row.try_get(stringify!($field)))?,)* })
            }
        }
        impl<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> for $name {
            fn from_row(row: &'r sqlx::sqlite::SqliteRow) -> Result<Self, sqlx::Error> {
                use sqlx::Row as _;
                Ok(Self { $($field: $crate::store::rows::read($table, row.try_get(stringify!($field)))?,)* })
            }
        }
    };
}

pub(in crate::store) use row;

/// Says of what cannot be read where it lies: `table.column`.
pub(in crate::store) fn read<T>(table: &str, value: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
    value.map_err(|error| match error {
        sqlx::Error::ColumnDecode { index, source } => sqlx::Error::ColumnDecode {
            index: format!("{table}.{}", index.trim_matches('"')),
            source,
        },
        other => other,
    })
}

mod attempts;
mod backlog;
mod claims;
mod connections;
mod flows;
mod gather;
mod grants;
mod installations;
mod integrations;
mod jwt_keys;
mod lanes;
mod lookups;
mod operations;
mod projects;
mod provider_apps;
mod queue;
mod retention;
mod steering;

pub use attempts::*;
pub use backlog::*;
pub use claims::*;
pub use connections::*;
pub use flows::*;
pub use gather::*;
pub use grants::*;
pub use installations::*;
pub use integrations::*;
pub use jwt_keys::*;
pub use lanes::*;
pub use lookups::*;
pub use operations::*;
pub use projects::*;
pub use provider_apps::*;
pub use queue::*;
pub use retention::*;
pub use steering::*;
