//! What answers mean where no provider's code decides: the rules that keep a create from being done twice.

use std::collections::BTreeMap;
use std::time::Duration;

use amp_write::action::Action;
use amp_write::connectors::{
    Catalog, Command, ErrorClass, Found, Outcome, ProviderResponse, RetryClass, RetryHint, Step,
};
use serde_json::{Map, Value, json};

fn vars() -> BTreeMap<String, String> {
    BTreeMap::from([("workspace".to_owned(), "acme".to_owned())])
}

fn now() -> jiff::Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn read(provider: &str, action: Action, response: &ProviderResponse, key: Option<&str>) -> Outcome {
    let (record, vars) = (Map::new(), vars());
    let command = Command {
        action,
        object: if provider == "salesforce" {
            "Account"
        } else {
            "contacts"
        },
        record_id: (action != Action::Create).then_some("7"),
        record: &record,
        associations: &[],
        headers: &[],
        vars: &vars,
        idempotency_key: key,
        repeated: false,
    };
    Catalog::builtin()
        .get(provider)
        .unwrap()
        .interpret(&command, response, now())
}

fn answer(status: u16, body: &str) -> ProviderResponse {
    ProviderResponse {
        status,
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
        truncated: false,
    }
}

#[test]
fn a_create_without_a_usable_answer_is_unknown_and_a_change_is_tried_again() {
    let mut cut = answer(201, "{\"id\":\"1");
    cut.truncated = true;
    let answers = [
        answer(500, ""),
        answer(502, "<html></html>"),
        answer(503, "{}"),
        answer(504, "{}"),
        answer(408, ""),
        answer(201, "<html>ok</html>"),
        answer(200, "{\"id\":\"1"),
        cut,
    ];
    for response in &answers {
        let create = read("hubspot", Action::Create, response, None);
        assert!(
            matches!(create, Outcome::Unknown(_)),
            "{} {create:?}",
            response.status
        );
        for action in [Action::Update, Action::Delete] {
            let again = read("hubspot", action, response, None);
            let transient = matches!(
                again,
                Outcome::Retry {
                    class: RetryClass::Transient,
                    ..
                }
            );
            assert!(transient, "{action} {} {again:?}", response.status);
        }
    }
}

#[test]
fn a_create_with_a_native_idempotency_key_is_tried_again() {
    let unknown = read("stripe", Action::Create, &answer(500, ""), None);
    assert!(matches!(unknown, Outcome::Unknown(_)), "{unknown:?}");
    let again = read("stripe", Action::Create, &answer(500, ""), Some("op-1"));
    assert!(matches!(again, Outcome::Retry { .. }), "{again:?}");
    let catalog = Catalog::builtin();
    assert!(
        catalog
            .get("stripe")
            .unwrap()
            .repeat_safe(Action::Create, "customers")
    );
    assert!(
        !catalog
            .get("hubspot")
            .unwrap()
            .repeat_safe(Action::Create, "contacts")
    );
    assert!(
        catalog
            .get("hubspot")
            .unwrap()
            .repeat_safe(Action::Update, "contacts")
    );
}

#[test]
fn refusals_are_final_and_redirects_are_never_followed() {
    for (status, class) in [
        (400, ErrorClass::Validation),
        (422, ErrorClass::Validation),
        (403, ErrorClass::Forbidden),
        (404, ErrorClass::NotFound),
        (409, ErrorClass::Conflict),
        (301, ErrorClass::Config),
        (302, ErrorClass::Config),
    ] {
        match read("hubspot", Action::Update, &answer(status, "{}"), None) {
            Outcome::Rejected(error) => assert_eq!(error.class, class, "{status}"),
            other => panic!("{status}: {other:?}"),
        }
    }
}

#[test]
fn deleting_what_is_not_there_fails_unless_an_earlier_request_may_have_done_it() {
    let (record, vars) = (Map::new(), vars());
    let catalog = Catalog::builtin();
    // HubSpot says it with a status; Fireflies with status 200 and a code.
    let cases = [
        ("hubspot", "contacts", answer(404, "{}")),
        (
            "fireflies",
            "transcripts",
            answer(
                200,
                r#"{"errors":[{"code":"object_not_found","message":"no such transcript"}]}"#,
            ),
        ),
    ];
    for (provider, object, response) in cases {
        let mut command = Command {
            action: Action::Delete,
            object,
            record_id: Some("7"),
            record: &record,
            associations: &[],
            headers: &[],
            vars: &vars,
            idempotency_key: None,
            repeated: false,
        };
        let connector = catalog.get(provider).unwrap();
        match connector.interpret(&command, &response, now()) {
            Outcome::Rejected(error) => assert_eq!(error.class, ErrorClass::NotFound, "{provider}"),
            other => panic!("{provider}: {other:?}"),
        }
        command.repeated = true;
        let done = Outcome::Succeeded {
            record_id: Some("7".into()),
            data: None,
        };
        assert_eq!(
            connector.interpret(&command, &response, now()),
            done,
            "{provider}"
        );
    }
}

#[test]
fn the_record_id_is_repeated_in_the_record_where_the_provider_looks_for_it() {
    let vars = vars();
    let catalog = Catalog::builtin();
    let body = |record: Value| {
        let record = record.as_object().unwrap();
        let command = Command {
            action: Action::Update,
            object: "customer",
            record_id: Some("58"),
            record,
            associations: &[],
            headers: &[],
            vars: &vars,
            idempotency_key: None,
            repeated: false,
        };
        match catalog.get("quickbooks").unwrap().prepare(&command, &[]) {
            Ok(Step::Send(request)) => Ok(String::from_utf8(request.body.unwrap()).unwrap()),
            Ok(Step::Lookup(_)) => panic!("a lookup"),
            Err(refusal) => Err(refusal.message),
        }
    };
    // Without it the same request would make a second customer.
    assert_eq!(
        body(json!({"SyncToken": "0"})).unwrap(),
        r#"{"SyncToken":"0","Id":"58"}"#
    );
    assert_eq!(
        body(json!({"Id": "58", "SyncToken": "0"})).unwrap(),
        r#"{"Id":"58","SyncToken":"0"}"#
    );
    let refused = body(json!({"Id": "59"})).unwrap_err();
    assert!(
        refused.contains("`Id: \"59\"`") && refused.contains("leave `Id` out"),
        "{refused}"
    );
}

#[test]
fn the_provider_says_when_to_come_back() {
    let mut response = answer(429, "{}");
    response.headers.push(("retry-after".into(), "7".into()));
    match read("hubspot", Action::Create, &response, None) {
        Outcome::Retry {
            class: RetryClass::RateLimited,
            after: Some(RetryHint::After(wait)),
            ..
        } => {
            assert_eq!(wait, Duration::from_secs(7));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn several_errors_of_salesforce_are_joined() {
    let body = json!([
        {"message": "Required fields are missing: [LastName]", "errorCode": "REQUIRED_FIELD_MISSING"},
        {"message": "Email: invalid email address: nope", "errorCode": "INVALID_EMAIL_ADDRESS"}
    ]);
    match read(
        "salesforce",
        Action::Create,
        &answer(400, &body.to_string()),
        None,
    ) {
        Outcome::Rejected(error) => {
            let text = "Required fields are missing: [LastName]; Email: invalid email address: nope";
            assert_eq!(error.message, text);
            assert_eq!(error.code.as_deref(), Some("REQUIRED_FIELD_MISSING"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn digits_and_order_of_the_record_reach_the_provider_unchanged() {
    let text = r#"{"z":12345678901234567890,"a":0.10,"m":{"y":1.00,"b":[2.50]}}"#;
    let record: Map<String, Value> = serde_json::from_str(text).unwrap();
    let vars = vars();
    let command = Command {
        action: Action::Create,
        object: "contacts",
        record_id: None,
        record: &record,
        associations: &[],
        headers: &[],
        vars: &vars,
        idempotency_key: None,
        repeated: false,
    };
    let Ok(Step::Send(request)) = Catalog::builtin().get("hubspot").unwrap().prepare(&command, &[]) else {
        panic!("not sent");
    };
    assert_eq!(
        String::from_utf8(request.body.unwrap()).unwrap(),
        format!("{{\"properties\":{text}}}")
    );
}

#[test]
fn current_values_are_read_with_only_the_fields_asked_for() {
    let catalog = Catalog::builtin();
    let hubspot = catalog.get("hubspot").unwrap();
    let request = hubspot
        .read_current("contacts", "7", &["phone", "city"], &vars())
        .unwrap();
    assert_eq!(
        request.url,
        "https://api.hubapi.com/crm/v3/objects/contacts/7?properties=phone%2Ccity"
    );
    let body = r#"{"id":"7","properties":{"phone":null,"city":"Wien"}}"#;
    let read = |status, body: &str| {
        hubspot.interpret_current(
            "contacts",
            "7",
            &["phone", "city"],
            &vars(),
            &answer(status, body),
            now(),
        )
    };
    assert_eq!(read(200, body).unwrap()["city"], "Wien");
    let gone = read(404, r#"{"status":"error","message":"resource not found"}"#);
    assert!(matches!(gone, Err(Outcome::Rejected(e)) if e.class == ErrorClass::NotFound));
    assert!(matches!(read(503, ""), Err(Outcome::Retry { .. })));
    let salesforce = catalog.get("salesforce").unwrap();
    let request = salesforce
        .read_current("Contact", "003", &["Phone"], &vars())
        .unwrap();
    let url = "https://acme.my.salesforce.com/services/data/v60.0/sobjects/Contact/003?fields=Phone";
    assert_eq!(request.url, url);
    assert!(
        catalog
            .get("stripe")
            .unwrap()
            .read_current("customers", "1", &["a"], &vars())
            .is_none()
    );
}

#[test]
fn a_record_is_found_by_its_unique_field() {
    let catalog = Catalog::builtin();
    let hubspot = catalog.get("hubspot").unwrap();
    assert_eq!(hubspot.unique_fields("contacts"), ["email"]);
    assert!(hubspot.unique_fields("deals").is_empty());
    let request = hubspot
        .find_by_unique("contacts", "email", "a/b@x.example", &vars())
        .unwrap();
    let url =
        "https://api.hubapi.com/crm/v3/objects/contacts/a%2Fb%40x.example?idProperty=email&properties=email";
    assert_eq!(request.url, url);
    let body = r#"{"id":"7","createdAt":"2026-10-05T09:14:22.118Z","properties":{"email":"a@x.example"}}"#;
    match hubspot.interpret_found("contacts", &vars(), &answer(200, body), now()) {
        Found::One { id, created_at, .. } => {
            assert_eq!(id, "7");
            assert_eq!(created_at, Some("2026-10-05T09:14:22.118Z".parse().unwrap()));
        }
        other => panic!("{other:?}"),
    }
    let gone = r#"{"status":"error","message":"resource not found","correlationId":"c"}"#;
    assert_eq!(
        hubspot.interpret_found("contacts", &vars(), &answer(404, gone), now()),
        Found::Absent
    );

    let salesforce = catalog.get("salesforce").unwrap();
    let request = salesforce
        .find_by_unique("Account", "Ext_Id__c", "O'Brien", &vars())
        .unwrap();
    assert!(request.url.ends_with("LIMIT%202"), "{}", request.url);
    assert!(request.url.contains("%27O%5C%27Brien%27"), "{}", request.url);
    let one = r#"{"totalSize":1,"records":[{"Id":"001","CreatedDate":"2026-10-05T09:14:22.000+0000"}]}"#;
    match salesforce.interpret_found("Account", &vars(), &answer(200, one), now()) {
        Found::One { id, created_at, .. } => {
            assert_eq!(id, "001");
            assert!(created_at.is_some());
        }
        other => panic!("{other:?}"),
    }
    let two = r#"{"records":[{"Id":"001"},{"Id":"002"}]}"#;
    let found = salesforce.interpret_found("Account", &vars(), &answer(200, two), now());
    assert_eq!(found, Found::Several(vec!["001".into(), "002".into()]));
    let none = r#"{"totalSize":0,"done":true,"records":[]}"#;
    let none = salesforce.interpret_found("Account", &vars(), &answer(200, none), now());
    assert_eq!(none, Found::Absent);
    for field in ["a b", "Id = '1' OR Name", ""] {
        assert!(
            salesforce
                .find_by_unique("Account", field, "x", &vars())
                .is_none(),
            "{field}"
        );
    }
}

#[test]
fn only_an_answer_that_has_the_list_and_nothing_in_it_says_that_a_record_is_not_there() {
    let catalog = Catalog::builtin();
    for (provider, object, status, body) in [
        ("hubspot", "contacts", 200, "{}"),
        ("hubspot", "contacts", 200, "[]"),
        ("hubspot", "contacts", 200, ""),
        ("hubspot", "contacts", 200, "<html>"),
        ("hubspot", "contacts", 200, r#"{"id":"","properties":{}}"#),
        ("hubspot", "contacts", 200, r#"{"id":"\ud83d","properties":{}}"#),
        (
            "hubspot",
            "contacts",
            200,
            r#"{"status":"error","category":"OBJECT_NOT_FOUND","message":"resource not found"}"#,
        ),
        ("hubspot", "contacts", 404, ""),
        ("hubspot", "contacts", 404, "{}"),
        ("hubspot", "contacts", 404, "<html>"),
        ("hubspot", "contacts", 404, r#"{"message":"no Route matched"}"#),
        (
            "hubspot",
            "contacts",
            410,
            r#"{"status":"error","message":"gone"}"#,
        ),
        ("salesforce", "Account", 200, "{}"),
        ("salesforce", "Account", 200, "[]"),
        (
            "salesforce",
            "Account",
            200,
            r#"{"records":null,"totalSize":0,"done":true}"#,
        ),
        (
            "salesforce",
            "Account",
            200,
            r#"{"records":{},"totalSize":0,"done":true}"#,
        ),
        ("salesforce", "Account", 200, r#"{"records":[]}"#),
        (
            "salesforce",
            "Account",
            200,
            r#"{"records":[],"totalSize":1,"done":true}"#,
        ),
        (
            "salesforce",
            "Account",
            200,
            r#"{"records":[],"totalSize":0,"done":false}"#,
        ),
        (
            "salesforce",
            "Account",
            200,
            r#"{"records":[{}],"totalSize":1,"done":true}"#,
        ),
        (
            "salesforce",
            "Account",
            200,
            r#"{"records":[{"Id":"001"},{}],"totalSize":2,"done":true}"#,
        ),
        (
            "salesforce",
            "Account",
            404,
            r#"[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]"#,
        ),
    ] {
        let connector = catalog.get(provider).unwrap();
        let found = connector.interpret_found(object, &vars(), &answer(status, body), now());
        assert!(
            matches!(found, Found::Failed(_)),
            "{provider} {status} {body}: {found:?}"
        );
    }
}

#[test]
fn a_read_that_does_not_show_the_record_and_its_fields_says_nothing() {
    const ID: &str = "003Hs00002AbCdEIAV";
    let catalog = Catalog::builtin();
    let read = |provider: &str, id: &str, status: u16, body: &str| {
        let connector = catalog.get(provider).unwrap();
        connector.interpret_current("Contact", id, &["Phone"], &vars(), &answer(status, body), now())
    };
    for (provider, id, body) in [
        ("hubspot", "7", r#"{"id":"7","properties":{"hs_object_id":"7"}}"#),
        ("hubspot", "007", r#"{"id":7,"properties":{"Phone":""}}"#),
        ("salesforce", ID, r#"{"Id":"003Hs00002AbCdE","phone":null}"#),
        (
            "salesforceJWT",
            &ID[..15],
            r#"{"attributes":{"url":"/services/data/v60.0/sobjects/Contact/003Hs00002AbCdEIAV"},"Phone":null}"#,
        ),
    ] {
        assert!(read(provider, id, 200, body).is_ok(), "{provider} {body}");
    }
    for (provider, id, status, body) in [
        ("hubspot", "7", 200, "{}"),
        ("hubspot", "7", 200, r#"{"properties":{"Phone":null}}"#),
        ("hubspot", "7", 200, r#"{"id":"8","properties":{"Phone":null}}"#),
        ("hubspot", "7", 200, r#"{"id":"7","properties":{}}"#),
        ("hubspot", "7", 200, r#"{"id":"7","properties":[]}"#),
        ("hubspot", "7", 200, r#"{"id":"7"}"#),
        ("hubspot", "7", 404, "<html>"),
        ("salesforce", ID, 200, r#"{"Id":"003Hs00002AbCdEIAV"}"#),
        ("salesforce", ID, 200, r#"{"Phone":null}"#),
        (
            "salesforce",
            ID,
            200,
            r#"{"Id":"003Hs00002AbCdeIAV","Phone":null}"#,
        ),
        (
            "salesforce",
            &ID[..15],
            200,
            r#"{"Id":"003Hs00002AbCdeIAV","Phone":null}"#,
        ),
        (
            "salesforce",
            ID,
            200,
            r#"[{"Id":"003Hs00002AbCdEIAV","Phone":null}]"#,
        ),
        (
            "salesforce",
            ID,
            200,
            r#"[{"errorCode":"INVALID_FIELD","message":"no"}]"#,
        ),
        (
            "salesforce",
            ID,
            404,
            r#"[{"errorCode":"URL_NOT_RESET","message":"no"}]"#,
        ),
    ] {
        match read(provider, id, status, body) {
            Err(Outcome::Retry {
                error,
                class: RetryClass::Transient,
                ..
            }) => {
                assert_eq!(error.class, ErrorClass::Transient, "nothing was written: {body}");
            }
            other => panic!("{provider} {status} {body}: {other:?}"),
        }
    }
    // What passes is waited for as it asks.
    let limited = r#"[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]"#;
    let quota = read("salesforce", ID, 200, limited);
    assert!(
        matches!(
            quota,
            Err(Outcome::Retry {
                class: RetryClass::Quota,
                ..
            })
        ),
        "{quota:?}"
    );
    let expired = read(
        "salesforce",
        ID,
        200,
        r#"[{"errorCode":"INVALID_SESSION_ID","message":"Session expired"}]"#,
    );
    assert!(matches!(expired, Err(Outcome::Unauthorized(_))), "{expired:?}");
}

#[test]
fn a_description_is_one_of_the_object_that_was_asked_for() {
    let catalog = Catalog::builtin();
    for (provider, body, good) in [
        (
            "hubspot",
            r#"{"results":[{"name":"phone","type":"string"}]}"#,
            true,
        ),
        ("hubspot", r#"{"results":[]}"#, true),
        ("hubspot", "{}", false),
        ("hubspot", r#"{"results":null}"#, false),
        (
            "hubspot",
            r#"{"status":"error","category":"OBJECT_NOT_FOUND","message":"no"}"#,
            false,
        ),
        (
            "salesforce",
            r#"{"name":"Contact","fields":[{"name":"Phone","type":"phone"}]}"#,
            true,
        ),
        ("salesforce", r#"{"name":"contact","fields":[]}"#, true),
        ("salesforce", "{}", false),
        ("salesforce", r#"{"name":"Contact"}"#, false),
        ("salesforce", r#"{"name":"Account","fields":[]}"#, false),
        ("salesforce", "[]", false),
    ] {
        let connector = catalog.get(provider).unwrap();
        let told = connector.interpret_description("Contact", &vars(), &answer(200, body), None, now());
        assert_eq!(told.is_ok(), good, "{provider} {body}: {told:?}");
        if let Err(failed) = told {
            assert!(matches!(failed, Outcome::Retry { .. }), "{failed:?}");
        }
    }
    // What should add to it and does not say which fields are required, says nothing about it.
    let main = answer(200, r#"{"results":[{"name":"phone","type":"string"}]}"#);
    let hubspot = catalog.get("hubspot").unwrap();
    let told = hubspot.interpret_description("contacts", &vars(), &main, Some(&answer(200, "{}")), now());
    assert_eq!(told.unwrap().fields[0].required, None);
}

#[test]
fn a_lookup_without_its_list_sends_nothing() {
    let apollo = Catalog::builtin().get("apollo").unwrap();
    let record: Map<String, Value> = serde_json::from_str(r#"{"Region":"EU"}"#).unwrap();
    let vars = BTreeMap::new();
    let command = Command {
        action: Action::Create,
        object: "contacts",
        record_id: None,
        record: &record,
        associations: &[],
        headers: &[],
        vars: &vars,
        idempotency_key: None,
        repeated: false,
    };
    for (body, good) in [
        (r#"{"fields":[{"id":"7","label":"Region"}]}"#, true),
        (r#"{"fields":[]}"#, true),
        ("{}", false),
        ("[]", false),
        (r#"{"fields":null}"#, false),
        (r#"{"error":"try later"}"#, false),
        ("", false),
    ] {
        let told = apollo.interpret_lookup(&command, &answer(200, body), now());
        assert_eq!(told.is_none(), good, "{body}: {told:?}");
        assert!(
            told.is_none_or(|told| matches!(told, Outcome::Retry { .. })),
            "{body}"
        );
    }
}

#[test]
fn an_error_of_which_nothing_is_known_is_not_repeated_for_a_create_and_is_for_a_change() {
    let file = "provider: odd\ndisplay_name: Odd\nauth: {api_key: {in: header, name: X-Key}}\nbase_url: https://api.odd.example\nops: {create: {method: POST, path: \"/{object}\"}, update: {method: PUT, path: \"/{object}/{id}\"}}\nresult: {id: [id]}\nerrors: {code: [code], classify: [{code: [WHO_KNOWS], as: unknown}]}\nopen: true\n";
    let odd = amp_write::connectors::parse("odd.yaml", file, None)
        .unwrap()
        .connectors
        .remove(0);
    let (record, vars) = (Map::new(), BTreeMap::new());
    for (status, body) in [
        (400, r#"{"code":"WHO_KNOWS"}"#),
        (429, r#"{"code":"WHO_KNOWS"}"#),
        (700, "{}"),
        (99, ""),
    ] {
        for action in [Action::Create, Action::Update] {
            let command = Command {
                action,
                object: "contacts",
                record_id: (action == Action::Update).then_some("7"),
                record: &record,
                associations: &[],
                headers: &[],
                vars: &vars,
                idempotency_key: None,
                repeated: false,
            };
            let outcome = odd.interpret(&command, &answer(status, body), now());
            let right = match action {
                Action::Create => {
                    matches!(outcome, Outcome::Unknown(_))
                }
                _ => matches!(
                    outcome,
                    Outcome::Retry {
                        class: RetryClass::Transient,
                        ..
                    }
                ),
            };
            assert!(right, "{action} {status} {body}: {outcome:?}");
        }
    }
}

#[test]
fn a_refusal_that_was_cut_is_read_as_far_as_it_came() {
    let cut = |status, body: &str| ProviderResponse {
        truncated: true,
        ..answer(status, body)
    };
    let lock = cut(
        400,
        r#"[{"message":"unable to obtain","errorCode":"UNABLE_TO_LOCK_ROW","fiel"#,
    );
    for action in [Action::Create, Action::Update] {
        let outcome = read("salesforce", action, &lock, None);
        assert!(
            matches!(
                outcome,
                Outcome::Retry {
                    class: RetryClass::Lock,
                    ..
                }
            ),
            "{outcome:?}"
        );
    }
    // Half of an id is none.
    let taken = cut(
        409,
        r#"{"category":"CONFLICT","message":"Contact already exists. Existing ID: 9021"#,
    );
    match read("hubspot", Action::Create, &taken, None) {
        Outcome::Rejected(error) => assert_eq!(error.existing_id, None, "{error:?}"),
        other => panic!("{other:?}"),
    }
    // A success that was cut proves nothing, whatever came of it.
    let made = read("hubspot", Action::Create, &cut(201, r#"{"id":"7","x":"#), None);
    assert!(matches!(made, Outcome::Unknown(_)), "{made:?}");
}

#[test]
fn an_error_where_the_changed_record_is_due_is_no_success() {
    let body =
        r#"{"status":"error","message":"Service temporarily unavailable","category":"INTERNAL_ERROR"}"#;
    let outcome = read("hubspot", Action::Update, &answer(200, body), None);
    assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    let outcome = read("hubspot", Action::Create, &answer(200, body), None);
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
}

#[test]
fn a_credential_for_one_host_goes_to_no_other() {
    let amplitude = Catalog::builtin().get("amplitude").unwrap();
    let form = amplitude
        .auth()
        .attach
        .iter()
        .find(|attach| attach.name == "api_key")
        .unwrap();
    assert!(form.applies_to("api2.amplitude.com"));
    assert!(!form.applies_to("amplitude.com"));
    let secrets = BTreeMap::from([
        ("username".to_owned(), "k".to_owned()),
        ("password".to_owned(), "s".to_owned()),
    ]);
    assert_eq!(form.value(&secrets).as_deref(), Some("k"));
    let basic = amplitude
        .auth()
        .attach
        .iter()
        .find(|attach| attach.name == "Authorization")
        .unwrap();
    assert_eq!(basic.value(&secrets).as_deref(), Some("Basic azpz"));
    assert!(basic.value(&BTreeMap::new()).is_none());
}
