//! The state each scenario starts from, as calls of the control API. `@` stands for the account's path.

use serde_json::{Value, json};

/// What to do before (and to look at after) a scenario's request.
#[derive(Debug)]
pub struct Plan {
    /// Calls of the control API: method, path, body.
    pub steps: Vec<(&'static str, String, Value)>,
    /// The bearer token.
    pub token: String,
    /// Control paths and a text their answer must contain (or, after `!`, must not contain).
    pub afterwards: Vec<(String, String)>,
}

impl Plan {
    fn post(&mut self, path: &str, body: Value) {
        self.steps.push(("POST", path.to_owned(), body));
    }

    fn settings(&mut self, body: Value) {
        self.steps.push(("PATCH", "@".to_owned(), body));
    }

    fn record(&mut self, object: &str, body: Value) {
        self.post(&format!("@/records/{object}"), body);
    }

    fn ids(&mut self, object: &str, ids: Value) {
        self.post(&format!("@/next_ids/{object}"), ids);
    }

    fn fault(&mut self, body: Value) {
        self.post("/faults", body);
    }

    fn after(&mut self, path: &str, text: &str) {
        self.afterwards.push((path.to_owned(), text.to_owned()));
    }
}

/// The plan of a scenario.
pub fn plan(scenario: &Value) -> Plan {
    let mut plan = Plan {
        steps: Vec::new(),
        token: "test-main".to_owned(),
        afterwards: Vec::new(),
    };
    plan.post("/clock", json!({"freeze": "2026-10-05T09:14:22.118Z"}));
    let id = scenario["id"].as_str().expect("an id");
    let headers = &scenario["response"]["headers"];
    let number = |text: &Value| text.as_str().and_then(|t| t.parse::<u64>().ok());
    if scenario["provider"] == json!("hubspot") {
        // As many calls went before as the headers tell.
        let max = number(&headers["X-HubSpot-RateLimit-Max"]).unwrap_or(110);
        let left = number(&headers["X-HubSpot-RateLimit-Remaining"]).unwrap_or(max - 2);
        plan.settings(json!({"burst": max, "hub_id": 4_400_123}));
        plan.post("@/used", json!({"burst": (max - left).saturating_sub(1)}));
        hubspot(id, &mut plan);
    } else {
        let usage = headers["Sforce-Limit-Info"]
            .as_str()
            .and_then(|u| u.strip_prefix("api-usage="));
        let used = usage
            .and_then(|u| u.split('/').next())
            .and_then(|u| u.parse::<u64>().ok())
            .unwrap_or(1);
        plan.settings(json!({"org_id": "00DHs00000AAAAAEA0"}));
        plan.post("@/used", json!({"daily": used - 1}));
        salesforce(id, &mut plan);
    }
    plan
}

fn mira(plan: &mut Plan) {
    let properties = json!({"email": "mira.holt@northpeak.example", "jobtitle": "CTO", "city": "Wien"});
    plan.record("contacts", json!({"id": "90211400017", "properties": properties}));
}

fn contact(plan: &mut Plan, id: &str, email: &str) {
    plan.record("contacts", json!({"id": id, "properties": {"email": email}}));
}

fn company(plan: &mut Plan) {
    plan.record(
        "companies",
        json!({"id": "55120", "properties": {"name": "Northpeak"}}),
    );
}

fn hubspot(id: &str, plan: &mut Plan) {
    let expired = |plan: &mut Plan, more: Value| {
        let mut token = json!({"token": "sim-token", "provider": "hubspot", "account": "main"});
        for (key, value) in more.as_object().expect("an object") {
            token[key.as_str()] = value.clone();
        }
        plan.post("/tokens", token);
        plan.token = "sim-token".to_owned();
    };
    match id {
        "hs-001" => plan.ids("contacts", json!([90211400017u64])),
        "hs-002" => {
            company(plan);
            plan.ids("contacts", json!([90211400018u64]));
            plan.after("@/links", r#""from":90211400018,"to_type":"companies","to":55120,"category":"HUBSPOT_DEFINED","type_id":279"#);
            plan.after("@/links", r#""from":55120,"to_type":"contacts","to":90211400018,"category":"HUBSPOT_DEFINED","type_id":280"#);
        }
        "hs-003" | "hs-017" | "hs-018" | "hs-019" | "hs-027" | "hs-028" | "hs-030" => mira(plan),
        "hs-004" => {
            company(plan);
            plan.ids("companies", json!([55121]));
        }
        "hs-005" => {
            mira(plan);
            company(plan);
            plan.ids("deals", json!([70033001]));
        }
        "hs-011" => {
            plan.post("@/objects/contacts/properties", json!({"name": "erp_id", "hasUniqueValue": true}));
            plan.record("contacts", json!({"id": "90211400017", "properties": {"erp_id": "E-77"}}));
            plan.ids("contacts", json!([90211400020u64]));
        }
        "hs-012" => plan.after("@/records/deals", "!Orphan"),
        "hs-022" | "hs-029" => plan.record(
            "contacts",
            json!({
                "id": "90211400019",
                "properties": {"email": "gone@x.example"},
                "archivedAt": "2026-10-02T08:00:00Z",
            }),
        ),
        "hs-023" => {
            mira(plan);
            plan.record("contacts", json!({"id": "90211400021", "mergedInto": "90211400017"}));
        }
        "hs-024" => plan.record("deals", json!({"id": "70033001"})),
        "hs-025" => {
            plan.record("deals", json!({"id": "70033001"}));
            plan.post("@/objects/deals/properties", json!({"name": "closedate_only", "type": "date"}));
        }
        "hs-026" => {
            mira(plan);
            plan.fault(json!({"fault": "row_lock", "record": "90211400017", "times": 1}));
        }
        "hs-031" => {
            mira(plan);
            plan.after("@/records/contacts", r#""archived_ms":1"#);
        }
        "hs-033" => {
            contact(plan, "90211400018", "jon@kestrel.example");
            plan.after("@/records/contacts", r#""archived_ms":1"#);
        }
        "hs-034" => plan.ids("contacts", json!([90211400030u64, 90211400031u64])),
        "hs-035" => {
            contact(plan, "90211400030", "b1@x.example");
            plan.ids("contacts", json!([90211400032u64]));
        }
        "hs-036" => {
            contact(plan, "90211400030", "b1@x.example");
            plan.ids("contacts", json!([90211400033u64]));
            plan.fault(json!({"fault": "drop_trace_ids", "times": 1}));
        }
        "hs-037" => {
            contact(plan, "90211400030", "b1@x.example");
            plan.after("@/records/contacts", "!b4@x.example");
        }
        "hs-038" => plan.after("@/records/contacts", "!b6@x.example"),
        "hs-039" => plan.ids("contacts", json!([90211400040u64])),
        "hs-041" | "hs-042" => contact(plan, "90211400030", "b1@x.example"),
        "hs-044" => {
            contact(plan, "90211400030", "b1@x.example");
            plan.ids("contacts", json!([90211400050u64]));
        }
        "hs-046" => {
            contact(plan, "90211400030", "b1@x.example");
            company(plan);
        }
        // 2026-10-05T09:14:18.118Z, four seconds ago.
        "hs-047" => expired(plan, json!({"expires_at_ms": 1791191658118u64})),
        "hs-049" => expired(plan, json!({"scopes": ["oauth", "crm.objects.contacts.write"]})),
        "hs-050" => {
            plan.settings(json!({"enforce_limits": true}));
            plan.post("@/used", json!({"burst": 110}));
        }
        "hs-051" => {
            plan.settings(json!({"enforce_limits": true}));
            plan.post("@/used", json!({"search": 5}));
        }
        "hs-052" => {
            plan.settings(json!({"enforce_limits": true, "daily": 625000}));
            plan.post("@/used", json!({"daily": 625000}));
        }
        "hs-053" => plan.fault(json!({"fault": "migrating", "retry_after": 5400})),
        "hs-054" => plan.fault(json!({"fault": "server_error", "status": 502})),
        "hs-055" => {
            let fault = json!({"fault": "error", "status": 504, "message": "Gateway Timeout", "phase": "after_commit"});
            plan.fault(fault);
            plan.after("@/records/contacts", "ghost@x.example");
        }
        "hs-056" => plan.fault(json!({"fault": "server_error", "status": 524})),
        "hs-057" => {
            plan.fault(json!({"fault": "drop_before_commit"}));
            plan.after("@/records/contacts", "!rst@x.example");
        }
        "hs-058" | "hs-059" => {
            let next = if id == "hs-058" { "CPr_sim_2" } else { "CPr_sim_3" };
            plan.post(
                "/grants",
                json!({
                    "provider": "hubspot",
                    "account": "main",
                    "refresh_token": "na1-sim-refresh-1",
                    "scopes": ["oauth", "crm.objects.contacts.write"],
                    "next_access_tokens": [next],
                }),
            );
        }
        "hs-060" => plan.post(
            "/grants",
            json!({"provider": "hubspot", "account": "main", "refresh_token": "na1-sim-dead", "state": "revoked"}),
        ),
        "hs-061" => {
            plan.fault(json!({"fault": "lag_search"}));
            contact(plan, "90211400030", "b1@x.example");
        }
        "hs-062" => plan.post("@/objects/contacts/properties", json!({"name": "phone", "required": true})),
        "hs-063" => {
            plan.post(
                "@/objects",
                json!({
                    "name": "p4400123_subscription",
                    "objectTypeId": "2-7700",
                    "singular": "subscription",
                    "properties": [{"name": "subscription_name"}],
                }),
            );
            plan.ids("p4400123_subscription", json!([8800001]));
        }
        _ => {}
    }
}

const CONTACT: &str = "003Hs00002AbCdEIAV";
const SECOND_CONTACT: &str = "003Hs00002AbCdFIAV";
const DELETED_CONTACT: &str = "003Hs00002AbZzZIAV";
const ACCOUNT: &str = "001Hs00001XyZaBIAV";
const SECOND_ACCOUNT: &str = "001Hs00001XyZaCIAV";

fn external_id(plan: &mut Plan, unique: bool) {
    let field = json!({"name": "Ext_Id__c", "externalId": true, "unique": unique});
    plan.post("@/objects/Account/fields", field);
}

fn sf_contact(plan: &mut Plan) {
    let fields = json!({
        "FirstName": "Mira",
        "LastName": "Holt",
        "Email": "mira.holt@northpeak.example",
        "Title": "CFO",
    });
    plan.record("Contact", json!({"id": CONTACT, "fields": fields}));
}

fn second_contact(plan: &mut Plan) {
    plan.record(
        "Contact",
        json!({"id": SECOND_CONTACT, "fields": {"LastName": "B"}}),
    );
}

fn account(plan: &mut Plan, more: Value) {
    let mut fields = json!({"Name": "Northpeak"});
    for (key, value) in more.as_object().expect("an object") {
        fields[key.as_str()] = value.clone();
    }
    plan.record("Account", json!({"id": ACCOUNT, "fields": fields}));
}

fn duplicate_rule(plan: &mut Plan, block: bool) {
    plan.settings(json!({"duplicate_rules": [{
        "object": "Contact",
        "name": "Standard_Contact_Duplicate_Rule",
        "match_rule": "Standard_Contact_Match_Rule_v1_1",
        "match_on": ["Email"],
        "block": block,
    }]}));
    sf_contact(plan);
}

fn grant(plan: &mut Plan, more: Value) {
    plan.settings(json!({"instance_url": "https://northpeak.my.salesforce.com"}));
    let mut grant = json!({
        "provider": "salesforce",
        "account": "main",
        "refresh_token": "5Aep_sim_1",
        "next_access_tokens": ["00DHs!sim_2"],
    });
    for (key, value) in more.as_object().expect("an object") {
        grant[key.as_str()] = value.clone();
    }
    plan.post("/grants", grant);
}

fn salesforce(id: &str, plan: &mut Plan) {
    match id {
        "sf-001" => plan.ids("Contact", json!([CONTACT])),
        "sf-002" => {
            plan.post(
                "@/objects/Account/fields",
                json!({"name": "IsActive__c", "type": "boolean"}),
            );
            plan.ids("Account", json!([ACCOUNT]));
        }
        "sf-006" => plan.post(
            "@/objects/Lead/fields",
            json!({
                "name": "Grade__c",
                "type": "picklist",
                "restrictedPicklist": true,
                "picklistValues": ["A1", "B2"],
            }),
        ),
        "sf-009" => {
            plan.post("@/objects/Opportunity/fields", json!({"name": "Loss_Reason__c"}));
            plan.settings(json!({"validation_rules": [{
                "object": "Opportunity",
                "when": {"StageName": "Closed Lost", "Loss_Reason__c": null},
                "message": "Give a reason when an opportunity is lost.",
                "fields": ["Loss_Reason__c"],
            }]}));
        }
        "sf-011" => {
            external_id(plan, true);
            account(plan, json!({"Ext_Id__c": "E-77"}));
        }
        "sf-012" | "sf-015" => duplicate_rule(plan, false),
        "sf-013" => {
            duplicate_rule(plan, false);
            plan.ids("Contact", json!([SECOND_CONTACT]));
        }
        "sf-014" => duplicate_rule(plan, true),
        "sf-016" => {
            plan.settings(json!({"assignment": {"Lead": "005Hs000006AsgnIAE"}}));
            plan.ids("Lead", json!(["00QHs00000QrStUMAV"]));
            plan.after("@/records/Lead", r#""OwnerId":"005Hs000006BBBBIA0""#);
        }
        "sf-022" => plan.settings(json!({"triggers": [{
            "object": "Contact",
            "name": "SyncTrigger",
            "event": "BeforeInsert",
            "exception": "System.NullPointerException: Attempt to de-reference a null object",
        }]})),
        "sf-023" => plan.settings(json!({"storage_full": true})),
        "sf-024" => plan.settings(json!({"inactive_users": ["005Hs000006InacIAE"]})),
        "sf-025" | "sf-026" => {
            sf_contact(plan);
            plan.after("@/records/Contact", "+43 1 5550100");
        }
        "sf-027" => {
            sf_contact(plan);
            plan.after("@/records/Contact", "!Title");
        }
        "sf-028" | "sf-058" | "sf-059" | "sf-062" => sf_contact(plan),
        "sf-030" | "sf-038" => {
            plan.record(
                "Contact",
                json!({"id": DELETED_CONTACT, "fields": {"LastName": "Z"}, "deleted": true}),
            );
        }
        "sf-033" => {
            plan.record(
                "Account",
                json!({"id": SECOND_ACCOUNT, "fields": {"Name": "Old"}, "readOnly": true}),
            );
        }
        "sf-034" => {
            let fields = json!({"LastName": "A", "Company": "B", "IsConverted": true});
            plan.record("Lead", json!({"id": "00QHs00000QrStUMAV", "fields": fields}));
        }
        "sf-035" => {
            sf_contact(plan);
            account(plan, json!({}));
            plan.fault(json!({"fault": "row_lock", "record": ACCOUNT}));
        }
        "sf-036" => account(plan, json!({})),
        "sf-037" => {
            sf_contact(plan);
            plan.after("@/records/Contact", r#""deleted":true"#);
        }
        "sf-039" => {
            account(plan, json!({}));
            let fields = json!({"Name": "Won", "StageName": "Closed Won", "AccountId": ACCOUNT});
            plan.record("Opportunity", json!({"fields": fields}));
        }
        "sf-040" => {
            external_id(plan, true);
            plan.ids("Account", json!([SECOND_ACCOUNT]));
            plan.after("@/records/Account", r#""Ext_Id__c":"E-100""#);
        }
        "sf-041" => {
            external_id(plan, true);
            let fields = json!({"Name": "Kestrel", "Ext_Id__c": "E-100"});
            plan.record("Account", json!({"id": SECOND_ACCOUNT, "fields": fields}));
            plan.after("@/records/Account", "Kestrel AG");
        }
        "sf-042" => {
            external_id(plan, false);
            account(plan, json!({"Ext_Id__c": "E-9"}));
            let fields = json!({"Name": "Other", "Ext_Id__c": "E-9"});
            plan.record("Account", json!({"id": SECOND_ACCOUNT, "fields": fields}));
        }
        "sf-044" => external_id(plan, true),
        "sf-045" => {
            external_id(plan, true);
            plan.ids("Account", json!(["001Hs00001XyZaDIAV"]));
            plan.fault(json!({"fault": "upsert_race", "times": 1}));
        }
        "sf-046" => plan.ids("Contact", json!([CONTACT, SECOND_CONTACT])),
        "sf-047" => plan.ids("Contact", json!([CONTACT])),
        "sf-048" => plan.after("@/records/Contact", r#"!"LastName":"B""#),
        "sf-052" => {
            duplicate_rule(plan, false);
            plan.ids("Contact", json!([SECOND_CONTACT]));
        }
        "sf-053" | "sf-055" => second_contact(plan),
        "sf-054" => {
            sf_contact(plan);
            second_contact(plan);
            account(plan, json!({}));
            plan.fault(json!({"fault": "row_lock", "record": ACCOUNT}));
        }
        "sf-056" => {
            external_id(plan, true);
            account(plan, json!({"Ext_Id__c": "E-1"}));
            plan.ids("Account", json!([SECOND_ACCOUNT]));
        }
        "sf-057" => {
            second_contact(plan);
            plan.record(
                "Contact",
                json!({"id": DELETED_CONTACT, "fields": {"LastName": "Z"}, "deleted": true}),
            );
        }
        "sf-060" => {
            sf_contact(plan);
            plan.record(
                "Contact",
                json!({"id": DELETED_CONTACT, "fields": {"LastName": "Z"}, "deleted": true}),
            );
        }
        "sf-061" => plan.post(
            "@/objects/Contact/fields",
            json!({
                "name": "Level__c",
                "type": "picklist",
                "restrictedPicklist": true,
                "picklistValues": ["Primary"],
            }),
        ),
        "sf-063" => {
            let token =
                json!({"token": "narrow", "provider": "salesforce", "account": "main", "scopes": ["id"]});
            plan.post("/tokens", token);
            plan.token = "narrow".to_owned();
        }
        "sf-064" => plan.settings(json!({"api_disabled": true})),
        "sf-065" => {
            plan.settings(json!({"enforce_limits": true}));
            plan.post("@/used", json!({"daily": 100000}));
        }
        "sf-066" => plan.fault(json!({"fault": "rate_limit", "policy": "CONCURRENT_REQUESTS"})),
        "sf-067" => plan.fault(json!({
            "fault": "error",
            "status": 503,
            "code": "SERVER_UNAVAILABLE",
            "message": "Server too busy",
        })),
        "sf-068" => plan.fault(json!({"fault": "server_error", "status": 503})),
        "sf-069" => plan.settings(json!({"read_only": true})),
        "sf-070" => plan.fault(json!({
            "fault": "error",
            "status": 500,
            "code": "UNKNOWN_EXCEPTION",
            "message": "An unexpected error occurred. Please include this ErrorId if you contact support: \
                        123456789-12345 (-1234567890)",
        })),
        "sf-071" => {
            external_id(plan, true);
            plan.fault(json!({"fault": "drop_after_commit"}));
            plan.after("@/records/Account", "E-300");
        }
        "sf-072" => plan.settings(json!({"instance": "moved"})),
        "sf-075" => grant(plan, json!({})),
        "sf-076" => grant(
            plan,
            json!({"rotate": true, "next_refresh_tokens": ["5Aep_sim_2"]}),
        ),
        "sf-077" => {
            grant(plan, json!({}));
            plan.fault(
                json!({"fault": "change_instance_url", "instance": "https://northpeak2.my.salesforce.com"}),
            );
        }
        "sf-078" => grant(plan, json!({"state": "revoked"})),
        "sf-079" => grant(plan, json!({"state": "inactive_user"})),
        _ => {}
    }
    // An expired session, by a token of its own.
    if id == "sf-062" {
        plan.post(
            "/tokens",
            json!({"token": "old", "provider": "salesforce", "account": "main", "expires_at_ms": 1}),
        );
        plan.token = "old".to_owned();
    }
}
