//! What can be set for a Salesforce org: limits, rules, its state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A duplicate rule: records that agree in all of `match_on` are duplicates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DuplicateRule {
    /// The object it is for.
    pub object: String,
    /// Its name, as in `duplicateRule`.
    pub name: String,
    /// The matching rule's name, as in `matchResults[].rule`.
    #[serde(default)]
    pub match_rule: String,
    /// The fields that have to agree, none of them empty.
    pub match_on: Vec<String>,
    /// Whether it refuses the record for good; otherwise the header `allowSave=true` lets it through.
    #[serde(default)]
    pub block: bool,
    /// The text people see.
    #[serde(default = "duplicate_text")]
    pub message: String,
}

fn duplicate_text() -> String {
    "Use one of these records?".to_owned()
}

/// A validation rule: a record whose fields are all as in `when` (null for empty) is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationRule {
    /// The object it is for.
    pub object: String,
    /// The values that make a record wrong.
    pub when: Map<String, Value>,
    /// The administrator's text.
    pub message: String,
    /// The fields the error shows at.
    #[serde(default)]
    pub fields: Vec<String>,
}

/// A trigger that throws on every insert (or update) of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// The object it is for.
    pub object: String,
    /// Its name.
    pub name: String,
    /// `BeforeInsert`, `AfterInsert`, `BeforeUpdate` or `AfterUpdate`.
    pub event: String,
    /// What it throws.
    pub exception: String,
}

/// What can be set for one Salesforce org.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SalesforceSettings {
    /// Whether unknown fields and objects are made on first use instead of refused.
    pub lenient: bool,
    /// Whether the daily limit is enforced, or only told.
    pub enforce_limits: bool,
    /// Calls per 24 hours.
    pub daily: u64,
    /// Whether the org's edition has no API.
    pub api_disabled: bool,
    /// Whether no more records fit.
    pub storage_full: bool,
    /// Whether the instance is read-only for maintenance.
    pub read_only: bool,
    /// Ids of users that cannot own records.
    pub inactive_users: Vec<String>,
    /// Duplicate rules in force.
    pub duplicate_rules: Vec<DuplicateRule>,
    /// Validation rules in force.
    pub validation_rules: Vec<ValidationRule>,
    /// Triggers that throw.
    pub triggers: Vec<Trigger>,
    /// The owner an active assignment rule gives, by object.
    pub assignment: BTreeMap<String, String>,
    /// The integration user's id: the owner of new records.
    pub user_id: String,
    /// The org's id.
    pub org_id: String,
    /// The instance in force: requests must come below `/salesforce/~<instance>`, others get 420.
    pub instance: Option<String>,
    /// The `instance_url` that token answers give; the simulator's own address when absent.
    pub instance_url: Option<String>,
}

impl Default for SalesforceSettings {
    fn default() -> Self {
        Self {
            lenient: false,
            enforce_limits: false,
            daily: 100_000,
            api_disabled: false,
            storage_full: false,
            read_only: false,
            inactive_users: Vec::new(),
            duplicate_rules: Vec::new(),
            validation_rules: Vec::new(),
            triggers: Vec::new(),
            assignment: BTreeMap::new(),
            user_id: "005Hs000006BBBBIA0".to_owned(),
            org_id: "00DHs00000AAAAAEA0".to_owned(),
            instance: None,
            instance_url: None,
        }
    }
}
