//! Salesforce objects, their fields and what a fresh account has of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One field of an object, with the keys of a describe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Field {
    /// The API name.
    pub name: String,
    /// The name people see; the API name when absent.
    #[serde(default)]
    pub label: String,
    /// `string`, `textarea`, `int`, `double`, `currency`, `percent`, `boolean`, `date`, `datetime`, `email`,
    /// `phone`, `url`, `picklist`, `multipicklist`, `reference` or `id`.
    #[serde(rename = "type", default = "string_type")]
    pub kind: String,
    /// The longest text; 255 when absent, 0 for no limit.
    #[serde(default = "usual_length")]
    pub length: usize,
    /// Whether it may be empty.
    #[serde(default = "yes")]
    pub nillable: bool,
    /// Whether a create may give it.
    #[serde(default = "yes")]
    pub createable: bool,
    /// Whether an update may give it.
    #[serde(default = "yes")]
    pub updateable: bool,
    /// Whether Salesforce fills it in when a create does not.
    #[serde(default)]
    pub defaulted_on_create: bool,
    /// Whether two records cannot share a value.
    #[serde(default)]
    pub unique: bool,
    /// Whether an upsert can go by it.
    #[serde(default)]
    pub external_id: bool,
    /// Whether only the listed picklist values are taken.
    #[serde(default)]
    pub restricted_picklist: bool,
    /// The picklist's values.
    #[serde(default)]
    pub picklist_values: Vec<String>,
    /// The objects a reference may point to.
    #[serde(default)]
    pub reference_to: Vec<String>,
}

fn string_type() -> String {
    "string".to_owned()
}

const fn usual_length() -> usize {
    255
}

const fn yes() -> bool {
    true
}

impl Field {
    /// A field of that type with nothing special.
    pub fn new(name: &str, kind: &str) -> Self {
        Self {
            name: name.to_owned(),
            label: label(name),
            kind: kind.to_owned(),
            length: if kind == "textarea" { 32_000 } else { 255 },
            nillable: true,
            createable: true,
            updateable: true,
            defaulted_on_create: false,
            unique: false,
            external_id: false,
            restricted_picklist: false,
            picklist_values: Vec::new(),
            reference_to: Vec::new(),
        }
    }

    fn system(name: &str, kind: &str) -> Self {
        Self {
            createable: false,
            updateable: false,
            nillable: false,
            defaulted_on_create: true,
            ..Self::new(name, kind)
        }
    }

    /// The name under which a create can name the target by an external id: `Account` for `AccountId`.
    pub fn relationship(&self) -> Option<String> {
        if self.kind != "reference" {
            return None;
        }
        match self.name.strip_suffix("__c") {
            Some(custom) => Some(format!("{custom}__r")),
            None => self.name.strip_suffix("Id").map(str::to_owned),
        }
    }
}

/// `Account ID` for `AccountId`, `Loss Reason` for `Loss_Reason__c`, `Last Name` for `LastName`.
fn label(name: &str) -> String {
    let plain = name.strip_suffix("__c").unwrap_or(name).replace('_', " ");
    let plain = match plain.strip_suffix("Id") {
        Some(start) if !start.is_empty() && !name.ends_with("__c") => format!("{start}ID"),
        _ => plain,
    };
    let mut words = String::new();
    let mut before = ' ';
    for c in plain.chars() {
        if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
            words.push(' ');
        }
        words.push(c);
        before = c;
    }
    words
}

/// One object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Object {
    /// The API name.
    pub name: String,
    /// The first three characters of its ids; made up when absent.
    #[serde(default)]
    pub key_prefix: String,
    /// The fields; system fields are added.
    #[serde(default)]
    pub fields: Vec<Field>,
}

impl Object {
    /// The field of that name, in any case.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name.eq_ignore_ascii_case(name))
    }

    /// Fills in what was left out and adds the system fields.
    pub fn complete(&mut self, number: usize) {
        if self.key_prefix.len() != 3 {
            self.key_prefix = format!("a{:02}", number % 100);
        }
        for field in &mut self.fields {
            if field.label.is_empty() {
                field.label = label(&field.name);
            }
        }
        if self.field("Name").is_none() {
            // A custom object's name may be left out: it is numbered.
            let name = Field {
                nillable: false,
                defaulted_on_create: true,
                length: 80,
                ..Field::new("Name", "string")
            };
            self.fields.insert(0, name);
        }
        let system = [
            ("Id", "id"),
            ("IsDeleted", "boolean"),
            ("CreatedDate", "datetime"),
            ("LastModifiedDate", "datetime"),
            ("SystemModstamp", "datetime"),
            ("CreatedById", "reference"),
            ("LastModifiedById", "reference"),
        ];
        for (name, kind) in system {
            if self.field(name).is_none() {
                self.fields.push(Field::system(name, kind));
            }
        }
        if self.field("OwnerId").is_none() {
            let owner = Field {
                nillable: false,
                defaulted_on_create: true,
                reference_to: vec!["User".to_owned()],
                ..Field::new("OwnerId", "reference")
            };
            self.fields.push(owner);
        }
    }
}

/// `Name:type(length)!>Target`: `!` for required, `-` for not writable, `>` for what it refers to.
fn read_field(word: &str) -> Field {
    let (word, target) = word.split_once('>').map_or((word, None), |(w, t)| (w, Some(t)));
    let (name, kind) = word.split_once(':').unwrap_or((word, "string"));
    let (required, fixed) = (kind.contains('!'), kind.contains('-'));
    let kind = kind.trim_end_matches(['!', '-']);
    let (kind, length) = match kind.split_once('(') {
        Some((kind, length)) => (kind, length.trim_end_matches(')').parse().ok()),
        None => (kind, None),
    };
    let mut field = Field::new(name, kind);
    field.length = length.unwrap_or(field.length);
    field.nillable = !required;
    field.createable = !fixed;
    field.updateable = !fixed;
    field.reference_to = target.into_iter().map(str::to_owned).collect();
    field
}

const DEFAULTS: &[(&str, &str, &str)] = &[
    (
        "Account",
        "001",
        "Name:string(255)! Type:picklist ParentId:reference>Account BillingStreet:textarea BillingCity BillingState \
         BillingPostalCode BillingCountry ShippingStreet:textarea ShippingCity ShippingState ShippingPostalCode \
         ShippingCountry Phone:phone(40) Fax:phone(40) AccountNumber:string(40) Website:url Sic:string(20) \
         Industry:picklist AnnualRevenue:currency NumberOfEmployees:int Ownership:picklist TickerSymbol:string(20) \
         Description:textarea Rating:picklist Site:string(80) AccountSource:picklist MasterRecordId:reference->Account",
    ),
    (
        "Contact",
        "003",
        "LastName:string(80)! FirstName:string(40) Salutation:picklist AccountId:reference>Account \
         Name:string(121)- MailingStreet:textarea MailingCity MailingState MailingPostalCode MailingCountry \
         Phone:phone(40) Fax:phone(40) MobilePhone:phone(40) HomePhone:phone(40) OtherPhone:phone(40) \
         ReportsToId:reference>Contact Email:email(80) Title:string(128) Department:string(80) \
         LeadSource:picklist Birthdate:date Description:textarea HasOptedOutOfEmail:boolean DoNotCall:boolean",
    ),
    (
        "Lead",
        "00Q",
        "LastName:string(80)! FirstName:string(40) Salutation:picklist Name:string(121)- Title:string(128) \
         Company:string(255)! Street:textarea City State PostalCode Country Phone:phone(40) MobilePhone:phone(40) \
         Fax:phone(40) Email:email(80) Website:url Description:textarea LeadSource:picklist Status:picklist \
         Industry:picklist Rating:picklist AnnualRevenue:currency NumberOfEmployees:int HasOptedOutOfEmail:boolean \
         DoNotCall:boolean IsConverted:boolean-",
    ),
    (
        "Opportunity",
        "006",
        "Name:string(120)! StageName:picklist! CloseDate:date! AccountId:reference>Account Description:textarea \
         Amount:currency Probability:percent ExpectedRevenue:currency- TotalOpportunityQuantity:double \
         Type:picklist NextStep:string(255) LeadSource:picklist ForecastCategoryName:picklist IsClosed:boolean- \
         IsWon:boolean- CampaignId:reference>Campaign Pricebook2Id:reference ContactId:reference>Contact",
    ),
    (
        "Case",
        "500",
        "Subject:string(255) Description:textarea Status:picklist Priority:picklist Origin:picklist Type:picklist \
         Reason:picklist ContactId:reference>Contact AccountId:reference>Account SuppliedName:string(80) \
         SuppliedEmail:email(80) SuppliedPhone:string(40) SuppliedCompany:string(80)",
    ),
    (
        "Task",
        "00T",
        "Subject:string(255) Description:textarea Status:picklist Priority:picklist ActivityDate:date \
         WhoId:reference WhatId:reference Type:picklist CallDurationInSeconds:int CallType:picklist CallDisposition \
         TaskSubtype:picklist IsReminderSet:boolean ReminderDateTime:datetime",
    ),
    (
        "Event",
        "00U",
        "Subject:string(255) Description:textarea StartDateTime:datetime EndDateTime:datetime \
         DurationInMinutes:int ActivityDate:date ActivityDateTime:datetime Location:string(255) WhoId:reference \
         WhatId:reference IsAllDayEvent:boolean ShowAs:picklist",
    ),
    (
        "Campaign",
        "701",
        "Name:string(80)! Type:picklist Status:picklist StartDate:date EndDate:date IsActive:boolean \
         Description:textarea BudgetedCost:currency ActualCost:currency ExpectedRevenue:currency",
    ),
    (
        "CampaignMember",
        "00v",
        "CampaignId:reference!>Campaign ContactId:reference>Contact LeadId:reference>Lead Status:picklist",
    ),
    (
        "Product2",
        "01t",
        "Name:string(255)! ProductCode:string(255) Description:textarea IsActive:boolean Family:picklist",
    ),
    (
        "Note",
        "002",
        "Title:string(80)! Body:textarea ParentId:reference! IsPrivate:boolean",
    ),
    (
        "User",
        "005",
        "Username:string(80)! LastName:string(80)! FirstName:string(40) Email:email(128)! Alias:string(8) IsActive:boolean",
    ),
    (
        "Touchpoints__c",
        "a00",
        "Name:string(80) Contact__c:reference>Contact Account__c:reference>Account Lead__c:reference>Lead \
         Channel__c Source__c Medium__c Campaign__c Type__c Status__c Subject__c Description__c:textarea(32768) \
         Url__c:url Email__c:email Amount__c:currency Score__c:double Occurred_At__c:datetime Date__c:date",
    ),
];

/// The objects of a fresh account, by lower-case name.
pub(crate) fn defaults() -> BTreeMap<String, Object> {
    let mut objects = BTreeMap::new();
    for (number, (name, prefix, fields)) in DEFAULTS.iter().enumerate() {
        let fields = fields.split_whitespace().map(read_field).collect();
        let mut object = Object {
            name: (*name).to_owned(),
            key_prefix: (*prefix).to_owned(),
            fields,
        };
        object.complete(number);
        objects.insert(name.to_ascii_lowercase(), object);
    }
    if let Some(external) = objects.get_mut("touchpoints__c") {
        let id = Field {
            external_id: true,
            unique: true,
            ..Field::new("External_Id__c", "string")
        };
        external.fields.push(id);
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_words() {
        assert_eq!(label("AccountId"), "Account ID");
        assert_eq!(label("Loss_Reason__c"), "Loss Reason");
        assert_eq!(label("LastName"), "Last Name");
    }

    #[test]
    fn a_contact_needs_a_last_name_only() {
        let objects = defaults();
        let needed: Vec<&str> = objects["contact"]
            .fields
            .iter()
            .filter(|f| f.createable && !f.nillable && !f.defaulted_on_create)
            .map(|f| f.name.as_str())
            .collect();
        assert_eq!(needed, ["LastName"]);
    }
}
