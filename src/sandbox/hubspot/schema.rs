//! HubSpot object types and their properties.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// One property of an object type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Property {
    /// The internal name.
    pub name: String,
    /// The name people see; the internal name when absent.
    #[serde(default)]
    pub label: String,
    /// `string`, `number`, `bool`, `date`, `datetime` or `enumeration`.
    #[serde(rename = "type", default = "string_type")]
    pub kind: String,
    /// HubSpot's field type, such as `text`, `select` or `checkbox` (which takes `a;b`).
    #[serde(rename = "fieldType", default)]
    pub field_type: String,
    /// What people are told about it.
    #[serde(default)]
    pub description: String,
    /// The group it is shown in; the object's first group when absent.
    #[serde(rename = "groupName", default)]
    pub group: String,
    /// The allowed values of an enumeration; any when empty.
    #[serde(default)]
    pub options: Vec<PropertyOption>,
    /// Its place within the group; `-1` for after all others.
    #[serde(rename = "displayOrder", default = "last")]
    pub display_order: i64,
    /// Whether people do not see it.
    #[serde(default)]
    pub hidden: bool,
    /// Whether forms may have it; what can be written, when absent.
    #[serde(rename = "formField", default)]
    pub form_field: Option<bool>,
    /// Whether a write of it is refused.
    #[serde(default, rename = "readOnly")]
    pub read_only: bool,
    /// Whether two records cannot share a value; such a property can be an `idProperty`.
    #[serde(default, rename = "hasUniqueValue")]
    pub unique: bool,
    /// Whether an administrator's rule demands it on create (enforced from API version 2026-09 on).
    #[serde(default)]
    pub required: bool,
    /// Whether HubSpot made it, and not the account.
    #[serde(default, rename = "hubspotDefined")]
    pub hubspot_defined: bool,
    /// When it was made, in milliseconds since 1970; long ago when absent.
    #[serde(default)]
    pub created_ms: Option<i64>,
    /// When it was last changed, in milliseconds since 1970; when it was made, when absent.
    #[serde(default)]
    pub updated_ms: Option<i64>,
}

fn string_type() -> String {
    "string".to_owned()
}

const fn last() -> i64 {
    -1
}

/// One allowed value of an enumeration. Read from its value alone, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PropertyOption {
    /// What records hold.
    pub value: String,
    /// The name people see.
    pub label: String,
    /// What people are told about it.
    pub description: String,
    /// Whether people cannot choose it.
    pub hidden: bool,
}

impl PropertyOption {
    /// An option of that value and label.
    pub fn new(value: &str, label: &str) -> Self {
        Self {
            value: value.to_owned(),
            label: label.to_owned(),
            description: String::new(),
            hidden: false,
        }
    }

    /// Reads `{value, label?, description?, hidden?}` or the value alone.
    pub(super) fn read(value: &Value) -> Option<Self> {
        if let Some(text) = value.as_str() {
            return Some(Self::new(text, text));
        }
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let own = text("value")?;
        Some(Self {
            description: text("description").unwrap_or_default().to_owned(),
            hidden: value.get("hidden") == Some(&Value::Bool(true)),
            ..Self::new(own, text("label").unwrap_or(own))
        })
    }
}

impl<'de> Deserialize<'de> for PropertyOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::read(&value).ok_or_else(|| serde::de::Error::custom("an option is a text or {value, label}"))
    }
}

/// A group of properties, as people see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PropertyGroup {
    /// The internal name.
    pub name: String,
    /// The name people see.
    pub label: String,
    /// Its place among the groups; `-1` for after all others.
    #[serde(default = "last")]
    pub display_order: i64,
}

/// What people call one record of an object type, and many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Labels {
    /// One record; made from the type's singular when empty.
    pub singular: String,
    /// Many records; the type's name when empty.
    pub plural: String,
}

/// One object type of an account.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ObjectType {
    /// The name in paths, such as `contacts`.
    pub name: String,
    /// The type id, such as `0-1`; a new custom object gets `2-…` when absent.
    #[serde(default, rename = "objectTypeId")]
    pub type_id: String,
    /// The singular, such as `contact`; the name when absent.
    #[serde(default)]
    pub singular: String,
    /// What people call it.
    #[serde(default)]
    pub labels: Labels,
    /// What people are told about it.
    #[serde(default)]
    pub description: String,
    /// The properties by name.
    #[serde(default)]
    pub properties: BTreeMap<String, Property>,
    /// The groups by name.
    #[serde(default)]
    pub groups: BTreeMap<String, PropertyGroup>,
    /// The properties that a create must give, in every API version: the schema says so.
    #[serde(default)]
    pub required_properties: Vec<String>,
    /// The properties that a search's `query` looks into, for a custom object.
    #[serde(default)]
    pub searchable_properties: Vec<String>,
    /// The property that names a record.
    #[serde(default)]
    pub primary_display_property: Option<String>,
    /// The properties shown beside its name.
    #[serde(default)]
    pub secondary_display_properties: Vec<String>,
    /// The object types it can be associated with, as the schema named them.
    #[serde(default)]
    pub associated_objects: Vec<String>,
    /// When it was made, in milliseconds since 1970; long ago when absent.
    #[serde(default)]
    pub created_ms: Option<i64>,
}

impl ObjectType {
    /// A type with that name and nothing else yet.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// The type id of custom object type number `number`.
    pub fn custom_id(number: usize) -> String {
        format!("2-{}", 7700 + number)
    }

    /// `CONTACT`.
    pub fn legacy_name(&self) -> String {
        self.singular.to_ascii_uppercase()
    }

    /// `Contact`.
    pub fn title(&self) -> String {
        capitalised(&self.singular)
    }

    /// `lastmodifieddate` for contacts, `hs_lastmodifieddate` for all others.
    pub fn modified_property(&self) -> &'static str {
        if self.type_id == "0-1" {
            "lastmodifieddate"
        } else {
            "hs_lastmodifieddate"
        }
    }

    /// Whether the account made it.
    pub fn is_custom(&self) -> bool {
        self.type_id.starts_with("2-")
    }

    /// Fills in what was left out and adds the system properties.
    pub fn complete(&mut self, number: usize) {
        if self.singular.is_empty() {
            self.singular.clone_from(&self.name);
        }
        if self.type_id.is_empty() {
            self.type_id = Self::custom_id(number);
        }
        if self.labels.singular.is_empty() {
            self.labels.singular = capitalised(&self.singular.replace('_', " "));
        }
        if self.labels.plural.is_empty() {
            self.labels.plural = if self.is_custom() {
                self.name.clone()
            } else {
                capitalised(&self.name.replace('_', " "))
            };
        }
        if self.groups.is_empty() {
            let group = PropertyGroup {
                name: self.usual_group(),
                label: format!("{} information", self.labels.singular),
                display_order: 0,
            };
            self.groups.insert(group.name.clone(), group);
        }
        for (name, label) in [
            ("hs_object_id", "Record ID"),
            ("createdate", "Create Date"),
            (self.modified_property(), "Last Modified Date"),
        ] {
            let kind = if name == "hs_object_id" {
                "number"
            } else {
                "datetime"
            };
            self.properties
                .entry(name.to_owned())
                .or_insert_with(|| Property {
                    label: label.to_owned(),
                    hubspot_defined: true,
                    ..property(name, kind, true)
                });
        }
        let group = self.first_group();
        for (name, property) in &mut self.properties {
            property.name.clone_from(name);
            property.complete(&group);
        }
    }

    /// The group of a property that names none.
    pub fn first_group(&self) -> String {
        let usual = self.usual_group();
        if self.groups.contains_key(&usual) {
            return usual;
        }
        self.groups.keys().next().cloned().unwrap_or_default()
    }

    fn usual_group(&self) -> String {
        match self.type_id.as_str() {
            "0-8" => "lineiteminformation".to_owned(),
            "0-46" | "0-47" | "0-48" | "0-49" | "0-27" => "engagement".to_owned(),
            id if id.starts_with("2-") => format!("{}_information", self.singular),
            _ => format!("{}information", self.singular),
        }
    }

    /// The properties a read gives when none are asked for.
    pub fn default_properties(&self) -> &'static [&'static str] {
        match self.type_id.as_str() {
            "0-1" => &["email", "firstname", "lastname"],
            "0-2" => &["domain", "name"],
            "0-3" => &["amount", "closedate", "dealname", "dealstage", "pipeline"],
            "0-5" => &[
                "content",
                "hs_pipeline",
                "hs_pipeline_stage",
                "hs_ticket_priority",
                "subject",
            ],
            _ => &[],
        }
    }

    /// The properties that a search's `query` looks into (HubSpot's guide to the search API).
    pub fn searchable(&self) -> Vec<&str> {
        let own: &[&str] = match self.type_id.as_str() {
            "0-1" => &[
                "firstname",
                "lastname",
                "email",
                "phone",
                "fax",
                "mobilephone",
                "company",
            ],
            "0-2" => &["website", "phone", "name", "domain"],
            "0-3" => &["dealname", "pipeline", "dealstage", "description", "dealtype"],
            "0-5" => &["subject", "content", "hs_pipeline_stage", "hs_ticket_category"],
            "0-7" => &["name", "description", "price", "hs_sku"],
            "0-46" => &["hs_note_body"],
            "0-47" => &["hs_meeting_title", "hs_meeting_body"],
            "0-48" => &["hs_call_title", "hs_call_body"],
            "0-49" => &["hs_email_subject"],
            "0-27" => &["hs_task_body", "hs_task_subject"],
            "0-136" => &["hs_lead_name", "hs_lead_type", "hs_lead_label"],
            _ => return self.searchable_properties.iter().map(String::as_str).collect(),
        };
        own.to_vec()
    }

    /// The scope a token needs to read or write this type.
    pub fn scope(&self, write: bool) -> String {
        let verb = if write { "write" } else { "read" };
        match self.type_id.as_str() {
            "0-5" => "tickets".to_owned(),
            id if id.starts_with("2-") => format!("crm.objects.custom.{verb}"),
            _ => format!("crm.objects.{}.{verb}", self.name),
        }
    }
}

impl Property {
    /// Fills in what was left out.
    pub fn complete(&mut self, group: &str) {
        if self.label.is_empty() {
            self.label.clone_from(&self.name);
        }
        if self.group.is_empty() {
            group.clone_into(&mut self.group);
        }
        if self.field_type.is_empty() {
            usual_field_type(&self.kind).clone_into(&mut self.field_type);
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|c| c.to_ascii_uppercase().to_string() + chars.as_str())
        .unwrap_or_default()
}

fn usual_field_type(kind: &str) -> &'static str {
    match kind {
        "number" => "number",
        "bool" => "booleancheckbox",
        "date" | "datetime" => "date",
        "enumeration" => "select",
        _ => "text",
    }
}

/// A property of that type with nothing special.
pub(crate) fn property(name: &str, kind: &str, read_only: bool) -> Property {
    Property {
        name: name.to_owned(),
        label: name.to_owned(),
        kind: kind.to_owned(),
        field_type: usual_field_type(kind).to_owned(),
        description: String::new(),
        group: String::new(),
        options: Vec::new(),
        display_order: last(),
        hidden: false,
        form_field: None,
        read_only,
        unique: false,
        required: false,
        hubspot_defined: false,
        created_ms: None,
        updated_ms: None,
    }
}
