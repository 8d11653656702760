//! What a fresh HubSpot account has: the standard object types and their properties, under HubSpot's labels.

use std::collections::BTreeMap;

use super::schema::{Labels, ObjectType, Property, PropertyOption, property};

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

/// Labels that the name alone does not tell, `object.property=label`; the object is left out where all have it.
const LABELS: &str = "firstname=First Name;lastname=Last Name;phone=Phone Number;mobilephone=Mobile Phone Number;\
    fax=Fax Number;jobtitle=Job Title;company=Company Name;website=Website URL;address=Street Address;\
    address2=Street Address 2;state=State/Region;zip=Postal Code;country=Country/Region;\
    twitterhandle=Twitter Username;linkedinbio=LinkedIn Bio;hs_language=Preferred language;\
    date_of_birth=Date of birth;work_email=Work email;numemployees=Number of Employees;\
    annualrevenue=Annual Revenue;hubspotscore=HubSpot Score;hs_marketable_status=Marketing contact status;\
    closedate=Close Date;lifecyclestage=Lifecycle Stage;hs_all_contact_vids=All vids for a contact;\
    hs_email_domain=Email Domain;hs_is_contact=Is a contact;hs_is_unworked=Contact unworked;\
    hs_object_source=Record source;hs_object_source_id=Record source ID;\
    hs_object_source_label=Record source;contacts.hubspot_owner_id=Contact owner;\
    companies.name=Company name;domain=Company Domain Name;companies.hubspot_owner_id=Company owner;\
    about_us=About Us;numberofemployees=Number of Employees;founded_year=Year Founded;\
    linkedin_company_page=LinkedIn Company Page;timezone=Time Zone;is_public=Is Public;dealname=Deal Name;\
    dealstage=Deal Stage;dealtype=Deal Type;deals.description=Deal Description;\
    deals.hubspot_owner_id=Deal owner;hs_next_step=Next step;closed_lost_reason=Closed Lost Reason;\
    closed_won_reason=Closed Won Reason;tickets.subject=Ticket name;content=Ticket description;\
    hs_pipeline_stage=Ticket status;tickets.hubspot_owner_id=Ticket owner;source_type=Source;\
    hs_ticket_priority=Priority;hs_ticket_category=Category;hs_sku=SKU;price=Unit price;\
    hs_cost_of_goods_sold=Unit cost;hs_product_id=Product ID;hs_timestamp=Activity date;\
    hs_attachment_ids=Attached file IDs;hs_title=Name;hubspot_owner_id=Owner";

/// Properties that the account itself has made.
const OWN: &[&str] = &["numlicences"];

/// The label of one of HubSpot's properties.
fn label(object: &str, name: &str) -> String {
    let own = format!("{object}.{name}");
    let pairs = || LABELS.split(';').filter_map(|pair| pair.split_once('='));
    let listed = pairs()
        .find(|(k, _)| *k == own)
        .or_else(|| pairs().find(|(k, _)| *k == name));
    if let Some((_, label)) = listed {
        return label.to_owned();
    }
    let mut words = Vec::new();
    for word in name.strip_prefix("hs_").unwrap_or(name).split('_') {
        let mut chars = word.chars();
        words.extend(
            chars
                .next()
                .map(|c| c.to_ascii_uppercase().to_string() + chars.as_str()),
        );
    }
    words.join(" ")
}

/// The object types of a fresh account.
pub(crate) fn defaults() -> BTreeMap<String, ObjectType> {
    let mut types = BTreeMap::new();
    for &(name, type_id, singular, properties) in DEFAULTS {
        let mut object = ObjectType {
            type_id: type_id.to_owned(),
            singular: singular.to_owned(),
            ..ObjectType::named(name)
        };
        if singular == "meeting_event" {
            object.labels = Labels {
                singular: "Meeting".to_owned(),
                plural: "Meetings".to_owned(),
            };
        }
        let common = if ACTIVITIES.contains(&name) { ACTIVITY } else { "" };
        for word in properties.split_whitespace().chain(common.split_whitespace()) {
            let (property_name, kind) = word.split_once(':').unwrap_or((word, "string"));
            object
                .properties
                .insert(property_name.to_owned(), property(property_name, kind, false));
        }
        if name == "contacts" {
            for name in CONTACTS_READ_ONLY.split_whitespace() {
                object
                    .properties
                    .insert(name.to_owned(), property(name, "string", true));
            }
            object
                .properties
                .insert("hs_pipeline".to_owned(), property("hs_pipeline", "string", false));
            let email = Property {
                unique: true,
                ..property("email", "string", false)
            };
            object.properties.insert("email".to_owned(), email);
        }
        for (_, select, options) in SELECTS.iter().filter(|(of, _, _)| *of == name) {
            let options = options
                .split(';')
                .filter_map(|option| option.split_once('='))
                .map(|(value, label)| PropertyOption::new(value, label))
                .collect();
            let select = Property {
                options,
                ..property(select, "enumeration", false)
            };
            object.properties.insert(select.name.clone(), select);
        }
        for property in object.properties.values_mut() {
            property.hubspot_defined = !OWN.contains(&property.name.as_str());
            property.label = label(name, &property.name);
        }
        object.complete(0);
        types.insert(name.to_owned(), object);
    }
    types
}

/// Object, property and `value=label` of the selects whose options are known.
const SELECTS: &[(&str, &str, &str)] = &[
    (
        "contacts",
        "lifecyclestage",
        "subscriber=Subscriber;lead=Lead;marketingqualifiedlead=Marketing Qualified Lead;\
         salesqualifiedlead=Sales Qualified Lead;opportunity=Opportunity;customer=Customer;evangelist=Evangelist;\
         other=Other",
    ),
    (
        "deals",
        "dealstage",
        "appointmentscheduled=Appointment Scheduled;qualifiedtobuy=Qualified To Buy;\
         presentationscheduled=Presentation Scheduled;decisionmakerboughtin=Decision Maker Bought-In;\
         contractsent=Contract Sent;closedwon=Closed Won;closedlost=Closed Lost",
    ),
    (
        "tickets",
        "hs_ticket_priority",
        "LOW=Low;MEDIUM=Medium;HIGH=High;URGENT=Urgent",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_of_hubspot_say_so_and_have_its_labels() {
        let types = defaults();
        let contacts = &types["contacts"].properties;
        assert!(contacts["firstname"].hubspot_defined && contacts["hs_object_id"].hubspot_defined);
        assert_eq!(contacts["firstname"].label, "First Name");
        assert_eq!(contacts["hubspot_owner_id"].label, "Contact owner");
        assert_eq!(
            types["companies"].properties["hubspot_owner_id"].label,
            "Company owner"
        );
        assert_eq!(contacts["hs_lead_status"].label, "Lead Status");
        assert_eq!(contacts["hs_object_id"].label, "Record ID");
        assert_eq!(contacts["lifecyclestage"].options[0].label, "Subscriber");
        assert_eq!(contacts["email"].group, "contactinformation");
        assert!(!types["deals"].properties["numlicences"].hubspot_defined);
    }
}
