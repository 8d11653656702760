//! What a change touches, by key: what caches drop when they hear of it.

use uuid::Uuid;

/// What kind of thing was touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// A project, with everything in it.
    Project,
    /// An API key.
    ApiKey,
    /// An integration, with its revisions and installations.
    Integration,
    /// A connection.
    Connection,
    /// An installation.
    Installation,
    /// What the installations of a connection say of its limits; named by the connection.
    Lane,
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
