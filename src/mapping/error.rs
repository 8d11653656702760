//! Why a record cannot be written.

use crate::action::Action;

/// Why a plan refuses a record. Nothing was changed anywhere; the text is for the app's developer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// An update or delete does not say which record it is about: `id` is absent, `null` or `""`.
    #[error("record.id is missing; {0} needs the id of the record at the provider")]
    MissingRecordId(Action),
    /// The id is there but cannot be one. Holds what it is instead, such as `the number 1.5`.
    #[error("record.id must be text or a whole number; it is {0}")]
    InvalidRecordId(String),
    /// Two fields of the record lead to one provider field.
    #[error("`{first}` and `{second}` both write `{target}`; send one of them")]
    Conflict {
        /// The field that came first.
        first: String,
        /// The other field.
        second: String,
        /// The provider's field.
        target: String,
    },
    /// A nested field cannot be read or written because what holds it is not an object.
    #[error("`{path}` must be an object, since `{field}` lies inside it; it is {found}")]
    NotAnObject {
        /// Where the object should be.
        path: String,
        /// The nested field.
        field: String,
        /// What is there: `text`, `null` and so on.
        found: &'static str,
    },
    /// `strict` was asked for, and these fields would be dropped.
    #[error("strict: these fields would be dropped: {}", fields.join(", "))]
    Dropped {
        /// The fields as the app wrote them, in its order.
        fields: Vec<String>,
    },
}
