//! The one place where a transaction ends: it tells a commit that certainly did not happen from one of which nobody knows.

use std::time::Duration;

use sqlx::{Database, Transaction};

use super::{Result, StoreError};

/// How long a commit may take before the transaction counts as undecided. It may still come about: a synchronous standby that
/// is gone holds a commit up for as long as it is gone.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Commits.
///
/// # Errors
/// [`StoreError::Undecided`] when the answer is lost or late; any other error says that nothing was committed.
pub(crate) async fn commit<DB: Database>(transaction: Transaction<'_, DB>) -> Result<()> {
    match tokio::time::timeout(COMMIT_TIMEOUT, transaction.commit()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(failed(error)),
        Err(_) => Err(StoreError::Undecided(sqlx::Error::Protocol(
            "the commit was not answered in time".to_owned(),
        ))),
    }
}

/// What an error means that answers a commit.
fn failed(error: sqlx::Error) -> StoreError {
    let undecided = match &error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            // Postgres: 57 somebody ends the connection, 08 connection, 58 system, XX internal. Any other is a rollback.
            // SQLite: 1034 and 1290, what was written could not be made durable.
            if code.len() == 5 {
                ["57", "08", "58", "XX"]
                    .iter()
                    .any(|class| code.starts_with(class))
            } else {
                matches!(&*code, "1034" | "1290")
            }
        }
        // Anything but an answer of the database: the connection broke, or what came was no answer.
        _ => true,
    };
    if undecided {
        StoreError::Undecided(error)
    } else {
        error.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_without_an_answer_is_undecided() {
        for error in [
            sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into()),
            sqlx::Error::Protocol("half a message".to_owned()),
            sqlx::Error::WorkerCrashed,
        ] {
            assert!(matches!(failed(error), StoreError::Undecided(_)));
        }
    }
}
