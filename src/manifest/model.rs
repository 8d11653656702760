//! The typed view of a manifest.

use serde_json::Value;

use super::Issue;

/// A manifest that broke no rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Always [`super::SPEC_VERSION`].
    pub spec_version: String,
    /// The integrations in source order; never empty.
    pub integrations: Vec<Integration>,
    /// What is probably a mistake but stops nothing: unknown keys, an inherited mapping that does not exist.
    pub warnings: Vec<Issue>,
}

/// One integration: an app's use of one provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Integration {
    /// Its name, unique in the manifest.
    pub name: String,
    /// The provider's name in the catalogue, such as `hubspot`.
    pub provider: String,
    /// A provider's part, such as `crm`, where the provider has several.
    pub module: Option<String>,
    /// The name shown to people.
    pub display_name: Option<String>,
    /// The integration as it was deployed: original keys, order and values. This is what the API serves back.
    pub content: Value,
    /// The objects under `read`. Reading is not done here; writes inherit their mappings.
    pub read: Vec<ReadObject>,
    /// The objects under `write`; `None` when the integration does not write.
    pub write: Option<Vec<WriteObject>>,
}

/// An object under `read.objects`: the source of inherited mappings.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadObject {
    /// The provider's name of the object.
    pub object_name: String,
    /// The app's name of the object.
    pub map_to_name: Option<String>,
    /// `requiredFields`, then `optionalFields`, each in source order.
    pub fields: Vec<ReadField>,
}

/// A field of a read object. At least one of the two names is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadField {
    /// The provider's name, possibly a path (`$['a']['b']`). `None`: the customer chooses the field.
    pub field_name: Option<String>,
    /// The app's name, possibly a path. `None`: the field keeps the provider's name.
    pub map_to_name: Option<String>,
    /// Whether it stands under `requiredFields`.
    pub required: bool,
}

/// An object under `write.objects`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteObject {
    /// The provider's name of the object.
    pub object_name: String,
    /// Whether the mapping of the read object of the same name applies, in reverse.
    pub inherit_mapping: bool,
    /// Whether fields outside the mapping are dropped.
    pub remove_unmapped_fields: bool,
}

impl Integration {
    /// The read object of this provider name.
    #[must_use]
    pub fn read_object(&self, object_name: &str) -> Option<&ReadObject> {
        self.read.iter().find(|object| object.object_name == object_name)
    }

    /// The write object of this provider name.
    #[must_use]
    pub fn write_object(&self, object_name: &str) -> Option<&WriteObject> {
        self.write
            .iter()
            .flatten()
            .find(|object| object.object_name == object_name)
    }
}
