//! Who asks for a use case.

use uuid::Uuid;

use super::{Error, Kind};

/// Who asks. Each use case that changes something takes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// An API key.
    Key {
        /// Its id.
        id: Uuid,
        /// Whether it has the scope `full`. A key without lies in browsers.
        full: bool,
    },
    /// Whoever runs this program on the database itself.
    Operator,
}

impl Actor {
    /// Whom a change is attributed to when nobody is named.
    #[must_use]
    pub fn attribution(&self) -> String {
        match self {
            Self::Key { id, .. } => format!("api:{id}"),
            Self::Operator => "operator".to_owned(),
        }
    }

    /// Lets only those pass who may do everything in the project.
    ///
    /// # Errors
    /// [`Kind::Forbidden`].
    pub fn require_full(&self) -> Result<(), Error> {
        match self {
            Self::Key { full: false, .. } => Err(Error::new(
                Kind::Forbidden,
                "this API key has the scope frontend, which cannot do this",
            )
            .remedy("Use a key with the scope full, from your backend.")),
            Self::Key { full: true, .. } | Self::Operator => Ok(()),
        }
    }
}
