//! What a change touches, by key: what caches drop when they hear of it.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::enums::words;
use super::{Result, StoredWord as _};
use crate::clock::Time;

/// How long the log of changes is kept.
pub const CHANGES_KEPT: Duration = Duration::from_secs(3600);
/// Who has not read it for so long has perhaps missed something: well below [`CHANGES_KEPT`], as a change is as old as its row,
/// not as its commit.
const READ_WITHIN: Duration = Duration::from_secs(1800);
/// More changes than this are not read one by one.
const READ_AT_ONCE: usize = 5_000;

words! {
    /// What kind of thing was touched.
    "changes.kind",
    pub enum ChangeKind {
        /// A project, with everything in it.
        Project = "project",
        /// An API key.
        ApiKey = "api_key",
        /// A public key that JWTs are verified with.
        JwtKey = "jwt_key",
        /// An integration, with its revisions and installations.
        Integration = "integration",
        /// A connection.
        Connection = "connection",
        /// An installation.
        Installation = "installation",
        /// What the installations of a connection say of its limits; named by the connection.
        Lane = "lane",
    }
}

/// One thing that was touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Change {
    /// Its project.
    pub project_id: Uuid,
    /// What it is.
    pub kind: ChangeKind,
    /// Its id.
    pub id: Uuid,
}

impl Change {
    /// A whole project.
    #[must_use]
    pub const fn project(project_id: Uuid) -> Self {
        Self::of(project_id, ChangeKind::Project, project_id)
    }

    /// One thing of a project.
    #[must_use]
    pub const fn of(project_id: Uuid, kind: ChangeKind, id: Uuid) -> Self {
        Self { project_id, kind, id }
    }
}

/// How far the log of changes has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPosition {
    /// Which server said so: what another says is not comparable.
    pub(super) server: String,
    /// The place, in the server's own terms.
    pub(super) mark: String,
    /// When, by the store's clock.
    pub(super) time: Time,
}

/// What the log of changes says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Where to go on.
    pub position: LogPosition,
    /// What was touched; `None` when that may be anything.
    pub changes: Option<Vec<Change>>,
}

/// A row of the log: server, mark and time of the look, and project, kind and id of what was touched, if anything was.
pub(super) type LogRow = (String, String, Time, Option<Uuid>, Option<String>, Option<Uuid>);

/// As many rows as are read: one more than are told one by one.
pub(super) const LOG_ROWS: usize = READ_AT_ONCE + 1;

/// What the rows that were read after `position` come to.
pub(super) fn news(rows: Vec<LogRow>, position: Option<&LogPosition>) -> Result<News> {
    let Some((server, mark, time, ..)) = rows.last().cloned() else {
        return Err(sqlx::Error::RowNotFound.into());
    };
    let goes_on = position.is_some_and(|from| {
        from.server == server && time.since(from.time) < READ_WITHIN && rows.len() < LOG_ROWS
    });
    // A kind that is not known here, of another version say, may be anything.
    let change = |(_, _, _, project_id, kind, id): LogRow| {
        let kind = ChangeKind::of_word(&kind?);
        Some(kind.and_then(|kind| Some(Change::of(project_id?, kind, id?))))
    };
    Ok(News {
        changes: goes_on
            .then(|| rows.into_iter().filter_map(change).collect())
            .flatten(),
        position: LogPosition { server, mark, time },
    })
}

/// The log of changes.
#[async_trait]
pub trait ChangeStore: Send + Sync {
    /// What was touched by transactions that could not be seen at `position`, whenever they began. Without a position, and when
    /// too much was or it was too long ago, that may be anything.
    async fn changes_since(&self, position: Option<&LogPosition>) -> Result<News>;
    /// Forgets what is older than [`CHANGES_KEPT`]. (One statement for all projects, like every clean-up.)
    async fn forget_changes(&self) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(server: &str, minutes: i64, kind: Option<&str>) -> LogRow {
        let id = kind.map(|_| Uuid::from_u128(7));
        let time = Time::from_micros(minutes * 60_000_000);
        (
            server.to_owned(),
            "mark".to_owned(),
            time,
            id,
            kind.map(str::to_owned),
            id,
        )
    }

    #[test]
    fn another_server_and_a_long_time_may_mean_anything() {
        let position = LogPosition {
            server: "a".to_owned(),
            mark: "mark".to_owned(),
            time: Time::from_micros(0),
        };
        let read = |rows| news(rows, Some(&position)).expect("rows").changes;
        let lane = Change::of(Uuid::from_u128(7), ChangeKind::Lane, Uuid::from_u128(7));
        assert_eq!(read(vec![row("a", 1, None)]), Some(vec![]));
        assert_eq!(read(vec![row("a", 29, Some("lane"))]), Some(vec![lane]));
        assert_eq!(read(vec![row("a", 31, Some("lane"))]), None);
        assert_eq!(
            read(vec![row("b", 1, Some("lane"))]),
            None,
            "it may have lost what this one has seen"
        );
    }
}
