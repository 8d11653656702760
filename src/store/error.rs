//! What can go wrong in the store, and what the databases' codes mean.

use super::enums::UnknownWord;

/// What can go wrong in the store. Above it, only the kind matters; the cause is for the log.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer, or refuses for now. Nothing was changed.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The database was asked to commit and did not say whether it has: what was asked for may be there, or may come to be
    /// there later.
    #[error("the database does not say whether it has committed")]
    Undecided(#[source] sqlx::Error),
    /// Too many requests wait for the store already.
    #[error("the store has more work queued than it can take")]
    Busy,
    /// Something with the same unique name or role exists.
    #[error("{0}")]
    Conflict(String),
    /// A text that the database cannot keep: it holds a NUL character.
    #[error("a text holds a NUL character, which cannot be stored")]
    Unstorable,
    /// A row holds what this version does not know: another program wrote it, or a later version.
    #[error("`{place}` holds something that this version cannot read")]
    Unreadable {
        /// The table and the column.
        place: String,
        /// What is wrong with it.
        #[source]
        cause: sqlx::Error,
    },
    /// A statement is wrong: a defect.
    #[error("the database answered something unexpected")]
    Defect(#[source] sqlx::Error),
}

impl StoreError {
    /// A store that is known to be down, for this reason.
    #[must_use]
    pub fn down(why: impl Into<String>) -> Self {
        Self::Unavailable(sqlx::Error::Protocol(why.into()))
    }

    /// Whether trying again can help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Undecided(_) | Self::Busy)
    }

    /// Whether only the connection was dead, as those are that were made before the server was restarted: another may live.
    #[must_use]
    pub fn is_dead_connection(&self) -> bool {
        match self {
            Self::Unavailable(cause) | Self::Undecided(cause) => match cause {
                sqlx::Error::Io(_) => true,
                // Postgres: ended by an administrator, or with a crash.
                sqlx::Error::Database(error) => {
                    matches!(error.code().as_deref(), Some("57P01" | "57P02"))
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether the database as a whole is in trouble, not only this transaction, which others were in the way of.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Undecided(_) => true,
            Self::Unavailable(sqlx::Error::Database(error)) => {
                let code = error.code().unwrap_or_default();
                // Locks, deadlocks, serialization; on SQLite busy and locked.
                let lost_a_race = if code.len() == 5 {
                    code.starts_with("40") || code.starts_with("55")
                } else {
                    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6))
                };
                !lost_a_race
            }
            Self::Unavailable(_) => true,
            Self::Busy | Self::Conflict(_) | Self::Unstorable | Self::Unreadable { .. } | Self::Defect(_) => {
                false
            }
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match &error {
            E::ColumnDecode { index, source } => {
                let place = source.downcast_ref::<UnknownWord>().map(|word| word.column);
                Self::Unreadable {
                    place: place.map_or_else(|| index.clone(), str::to_owned),
                    cause: error,
                }
            }
            E::Io(_) | E::Tls(_) | E::Protocol(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed => {
                Self::Unavailable(error)
            }
            E::Database(database) if database.is_foreign_key_violation() => {
                Self::Conflict("something that this needs is gone, or something still needs this".to_owned())
            }
            E::Database(database) if matches!(database.code().as_deref(), Some("22021" | "22P05")) => {
                Self::Unstorable
            }
            E::Database(database) => {
                let code = database.code().unwrap_or_default();
                // Postgres: 08 connection, 53 resources, 57 operator intervention, 55 locks, 40 serialization and deadlock, 25006 read-only.
                // SQLite: 5 busy, 6 locked, 10 I/O, 13 full, 14 cannot open, 8 read-only (low byte of the extended code).
                let postgres = ["08", "53", "57", "40", "55"]
                    .iter()
                    .any(|class| code.len() == 5 && code.starts_with(class))
                    || code == "25006";
                let sqlite = code.len() != 5
                    && code
                        .parse::<u32>()
                        .is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 8 | 10 | 13 | 14));
                if postgres || sqlite {
                    Self::Unavailable(error)
                } else {
                    Self::Defect(error)
                }
            }
            _ => Self::Defect(error),
        }
    }
}

/// The result of a store method.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
