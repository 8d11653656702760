//! The batch calls of a module, compiled.

use super::definition::BatchForm;
use super::text::Text;

/// The paths of create, update and read at HubSpot.
const HUBSPOT: [&str; 3] = [
    "/crm/objects/2026-03/{object}/batch/create",
    "/crm/objects/2026-03/{object}/batch/update",
    "/crm/objects/2026-03/{object}/batch/read",
];

/// The paths of create, update and read at Salesforce.
const SALESFORCE: [&str; 3] = [
    "/services/data/v60.0/composite/sobjects",
    "/services/data/v60.0/composite/sobjects",
    "/services/data/v60.0/composite/sobjects/{object}",
];

/// The batch calls of a module, compiled.
#[derive(Debug, Clone)]
pub(in crate::connectors) struct Batch {
    pub(in crate::connectors) form: BatchForm,
    pub(in crate::connectors) create: Text,
    pub(in crate::connectors) update: Text,
    pub(in crate::connectors) read: Text,
}

impl Batch {
    /// The calls of a form; `text` reads a path.
    pub(in crate::connectors) fn of(form: BatchForm, mut text: impl FnMut(&str) -> Text) -> Self {
        let [create, update, read] = match form {
            BatchForm::Hubspot => HUBSPOT,
            BatchForm::Salesforce => SALESFORCE,
        };
        Self {
            form,
            create: text(create),
            update: text(update),
            read: text(read),
        }
    }
}
