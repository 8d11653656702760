//! HubSpot object types, their properties and what a fresh account has of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    /// The allowed values of an enumeration; any when empty.
    #[serde(default)]
    pub options: Vec<String>,
    /// Whether a write of it is refused.
    #[serde(default, rename = "readOnly")]
    pub read_only: bool,
    /// Whether two records cannot share a value; such a property can be an `idProperty`.
    #[serde(default, rename = "hasUniqueValue")]
    pub unique: bool,
    /// Whether an administrator's rule demands it on create (enforced from API version 2026-09 on).
    #[serde(default)]
    pub required: bool,
}

fn string_type() -> String {
    "string".to_owned()
}

/// One object type of an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectType {
    /// The name in paths, such as `contacts`.
    pub name: String,
    /// The type id, such as `0-1`; a new custom object gets `2-…` when absent.
    #[serde(default, rename = "objectTypeId")]
    pub type_id: String,
    /// The singular, such as `contact`; the name when absent.
    #[serde(default)]
    pub singular: String,
    /// The properties by name.
    #[serde(default)]
    pub properties: BTreeMap<String, Property>,
}

impl ObjectType {
    /// `CONTACT`.
    pub fn legacy_name(&self) -> String {
        self.singular.to_ascii_uppercase()
    }

    /// `Contact`.
    pub fn title(&self) -> String {
        let mut chars = self.singular.chars();
        chars
            .next()
            .map(|c| c.to_ascii_uppercase().to_string() + chars.as_str())
            .unwrap_or_default()
    }

    /// `lastmodifieddate` for contacts, `hs_lastmodifieddate` for all others.
    pub fn modified_property(&self) -> &'static str {
        if self.type_id == "0-1" {
            "lastmodifieddate"
        } else {
            "hs_lastmodifieddate"
        }
    }

    /// Fills in what was left out and adds the system properties.
    pub fn complete(&mut self, number: usize) {
        if self.singular.is_empty() {
            self.singular.clone_from(&self.name);
        }
        if self.type_id.is_empty() {
            self.type_id = format!("2-{}", 7700 + number);
        }
        for name in ["hs_object_id", "createdate", self.modified_property()] {
            let kind = if name == "hs_object_id" {
                "number"
            } else {
                "datetime"
            };
            self.properties
                .entry(name.to_owned())
                .or_insert_with(|| property(name, kind, true));
        }
        for (name, property) in &mut self.properties {
            property.name.clone_from(name);
            if property.label.is_empty() {
                property.label.clone_from(name);
            }
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

/// A property of that type with nothing special.
pub(crate) fn property(name: &str, kind: &str, read_only: bool) -> Property {
    let field_type = match kind {
        "number" => "number",
        "bool" => "booleancheckbox",
        "date" | "datetime" => "date",
        "enumeration" => "select",
        _ => "text",
    };
    Property {
        name: name.to_owned(),
        label: name.to_owned(),
        kind: kind.to_owned(),
        field_type: field_type.to_owned(),
        options: Vec::new(),
        read_only,
        unique: false,
        required: false,
    }
}

const CONTACTS: &str = "firstname lastname phone mobilephone fax jobtitle company website address city \
    state zip country industry salutation twitterhandle linkedinbio message notes status hs_lead_status:enumeration hs_language \
    hs_persona date_of_birth gender degree school seniority work_email numemployees annualrevenue:number \
    hubspot_owner_id:number hubspotscore:number hs_priority hs_marketable_status closedate:datetime";
const CONTACTS_READ_ONLY: &str = "hs_all_contact_vids hs_email_domain hs_is_contact hs_is_unworked \
    hs_object_source hs_object_source_id hs_object_source_label hs_calculated_full_name";
const COMPANIES: &str = "name domain website phone address address2 city state zip country industry type \
    description about_us lifecyclestage numberofemployees:number annualrevenue:number founded_year \
    hubspot_owner_id:number linkedin_company_page timezone is_public:bool";
const DEALS: &str = "dealname amount:number pipeline dealtype:enumeration description closedate:datetime \
    hubspot_owner_id:number hs_priority hs_next_step closed_lost_reason closed_won_reason numlicences:number";
const TICKETS: &str = "subject content hs_pipeline hs_pipeline_stage hs_ticket_category source_type \
    hubspot_owner_id:number hs_resolution";

/// What every activity has.
const ACTIVITY: &str = "hs_timestamp:datetime hubspot_owner_id:number hs_attachment_ids";
const ACTIVITIES: &[&str] = &["notes", "meetings", "calls", "emails", "tasks"];

/// Name, type id, singular, properties.
const DEFAULTS: &[(&str, &str, &str, &str)] = &[
    ("contacts", "0-1", "contact", CONTACTS),
    ("companies", "0-2", "company", COMPANIES),
    ("deals", "0-3", "deal", DEALS),
    ("tickets", "0-5", "ticket", TICKETS),
    (
        "products",
        "0-7",
        "product",
        "name description price:number hs_sku hs_cost_of_goods_sold:number",
    ),
    (
        "line_items",
        "0-8",
        "line_item",
        "name quantity:number price:number amount:number hs_product_id",
    ),
    (
        "leads",
        "0-136",
        "lead",
        "hs_lead_name hs_lead_type hs_lead_label hubspot_owner_id:number",
    ),
    (
        "quotes",
        "0-14",
        "quote",
        "hs_title hs_expiration_date:date hs_status hs_language",
    ),
    ("notes", "0-46", "note", "hs_note_body"),
    (
        "meetings",
        "0-47",
        "meeting_event",
        "hs_meeting_title hs_meeting_body hs_meeting_start_time:datetime hs_meeting_end_time:datetime \
         hs_meeting_outcome hs_meeting_location hs_internal_meeting_notes",
    ),
    (
        "calls",
        "0-48",
        "call",
        "hs_call_title hs_call_body hs_call_duration:number hs_call_status hs_call_disposition \
         hs_call_direction hs_call_from_number hs_call_to_number hs_call_recording_url",
    ),
    (
        "emails",
        "0-49",
        "email",
        "hs_email_subject hs_email_text hs_email_html hs_email_status hs_email_direction hs_email_headers",
    ),
    (
        "tasks",
        "0-27",
        "task",
        "hs_task_subject hs_task_body hs_task_status hs_task_priority hs_task_type",
    ),
];

/// The object types of a fresh account.
pub(crate) fn defaults() -> BTreeMap<String, ObjectType> {
    let mut types = BTreeMap::new();
    for &(name, type_id, singular, properties) in DEFAULTS {
        let mut object = ObjectType {
            name: name.to_owned(),
            type_id: type_id.to_owned(),
            singular: singular.to_owned(),
            properties: BTreeMap::new(),
        };
        let common = if ACTIVITIES.contains(&name) { ACTIVITY } else { "" };
        for word in properties.split_whitespace().chain(common.split_whitespace()) {
            let (property_name, kind) = word.split_once(':').unwrap_or((word, "string"));
            object
                .properties
                .insert(property_name.to_owned(), property(property_name, kind, false));
        }
        object.complete(0);
        types.insert(name.to_owned(), object);
    }
    if let Some(contacts) = types.get_mut("contacts") {
        for name in CONTACTS_READ_ONLY.split_whitespace() {
            contacts
                .properties
                .insert(name.to_owned(), property(name, "string", true));
        }
        contacts
            .properties
            .insert("hs_pipeline".to_owned(), property("hs_pipeline", "string", false));
        let email = Property {
            unique: true,
            ..property("email", "string", false)
        };
        contacts.properties.insert("email".to_owned(), email);
        let stages = [
            "subscriber",
            "lead",
            "marketingqualifiedlead",
            "salesqualifiedlead",
            "opportunity",
            "customer",
            "evangelist",
            "other",
        ];
        contacts
            .properties
            .insert("lifecyclestage".to_owned(), select("lifecyclestage", &stages));
    }
    if let Some(deals) = types.get_mut("deals") {
        let stages = [
            "appointmentscheduled",
            "qualifiedtobuy",
            "presentationscheduled",
            "decisionmakerboughtin",
            "contractsent",
            "closedwon",
            "closedlost",
        ];
        deals
            .properties
            .insert("dealstage".to_owned(), select("dealstage", &stages));
    }
    if let Some(tickets) = types.get_mut("tickets") {
        let priorities = select("hs_ticket_priority", &["LOW", "MEDIUM", "HIGH", "URGENT"]);
        tickets
            .properties
            .insert("hs_ticket_priority".to_owned(), priorities);
    }
    types
}

fn select(name: &str, options: &[&str]) -> Property {
    let options = options.iter().map(|&o| o.to_owned()).collect();
    Property {
        options,
        ..property(name, "enumeration", false)
    }
}
