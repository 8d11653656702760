//! What the simulators do not do they refuse; what they do is what the providers do.

use amp_write::sandbox::{FaultKind, FaultSpec, Options, Sandbox};
use serde_json::{Value, json};

use super::{Answer, Client, contacts, sobject, start};

async fn started() -> (Sandbox, Client) {
    (start(Options::default()).await, Client::new("acme"))
}

async fn post(client: &Client, url: &str, body: Value) -> Answer {
    client.post(url, &body).await.expect("an answer")
}

async fn get(client: &Client, url: &str) -> Answer {
    client.get(url).await.expect("an answer")
}

async fn patch(client: &Client, url: &str, body: Value) -> Answer {
    client.send("PATCH", url, Some(&body)).await.expect("an answer")
}

async fn made(client: &Client, url: &str, body: Value) -> String {
    let answer = post(client, url, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()["id"].as_str().expect("an id").to_owned()
}

fn list(answer: &Answer, pointer: &str, key: &str) -> Vec<String> {
    let body = answer.json();
    let items = body.pointer(pointer).and_then(Value::as_array);
    let items = items.unwrap_or_else(|| panic!("no {pointer}: {}", answer.text));
    items
        .iter()
        .map(|i| i.pointer(key).and_then(Value::as_str).unwrap_or("-").to_owned())
        .collect()
}

#[tokio::test]
async fn a_search_refuses_what_it_does_not_do() {
    let (sandbox, client) = started().await;
    made(
        &client,
        &contacts(&sandbox),
        json!({"properties": {"email": "a@b.co"}}),
    )
    .await;
    let url = format!("{}/search", contacts(&sandbox));
    let filter = |f: Value| json!({"filterGroups": [{"filters": [f]}]});
    let email = |n: usize| vec![json!({"propertyName": "email", "operator": "HAS_PROPERTY"}); n];
    let groups = |groups: usize, filters: usize| json!({"filterGroups": vec![json!({"filters": email(filters)}); groups]});
    for body in [
        json!({"limit": 201}),
        json!({"limit": -1}),
        json!({"limit": 1.5}),
        json!({"limit": "many"}),
        json!({"after": "abc"}),
        json!({"after": -1}),
        json!({"after": 9_901, "limit": 100}),
        json!({"sorts": ["email", "city"]}),
        json!({"sorts": "email"}),
        json!({"sorts": ["nope"]}),
        json!({"sorts": [{"propertyName": "email", "direction": "DOWN"}]}),
        json!({"sorts": [{"propertyName": "email", "order": "DESC"}]}),
        json!({"query": 7}),
        json!({"query": "@@"}),
        json!({"query": "x".repeat(3_001)}),
        json!({"properties": "email"}),
        json!({"filters": email(1)}),
        json!({"filterGroups": {"filters": email(1)}}),
        json!({"filterGroups": [{}]}),
        json!({"filterGroups": [{"filters": email(1), "not": true}]}),
        groups(6, 1),
        groups(1, 7),
        groups(4, 5),
        filter(json!({"propertyName": "email", "operator": "LIKE", "value": "a"})),
        filter(json!({"propertyName": "email", "operator": "eq", "value": "a"})),
        filter(json!({"propertyName": "email", "operator": "EQ"})),
        filter(json!({"propertyName": "email", "operator": "EQ", "values": ["a"]})),
        filter(json!({"propertyName": "email", "operator": "IN", "value": "a"})),
        filter(json!({"propertyName": "email", "operator": "IN", "values": []})),
        filter(json!({"propertyName": "createdate", "operator": "BETWEEN", "value": "1"})),
        filter(json!({"propertyName": "email", "operator": "EQ", "value": "a", "caseSensitive": true})),
        filter(json!({"propertyName": "nope", "operator": "HAS_PROPERTY"})),
        json!({"searchGroups": []}),
    ] {
        let answer = post(&client, &url, body.clone()).await;
        assert_eq!(
            (answer.status, &answer.json()["category"]),
            (400, &json!("VALIDATION_ERROR")),
            "{body}"
        );
    }
    for body in [
        json!({"limit": 200, "after": "0", "query": null, "sorts": [], "filterGroups": []}),
        json!({"limit": "200", "after": ""}),
        groups(3, 6),
        json!({"after": 9_900, "limit": 100}),
    ] {
        assert_eq!(post(&client, &url, body.clone()).await.status, 200, "{body}");
    }
}

#[tokio::test]
async fn a_search_finds_by_words_filters_and_sorts_by_what_values_mean() {
    let (sandbox, client) = started().await;
    let url = contacts(&sandbox);
    for (first, last, revenue, close) in [
        ("Ann", "Holt", "9", "2026-10-05T09:14:22Z"),
        ("Bob", "Holtz", "100", "1790000000123"),
        ("Annika", "Berg", "", ""),
    ] {
        let email = format!("{first}.{last}@x.example").to_lowercase();
        let properties = json!({"firstname": first, "lastname": last, "email": email, "annualrevenue": revenue, "closedate": close});
        made(&client, &url, json!({"properties": properties})).await;
    }
    let search = async |mut body: Value| {
        body["properties"] = json!(["firstname"]);
        let answer = post(&client, &format!("{url}/search"), body).await;
        list(&answer, "/results", "/properties/firstname")
    };
    let filter = |property: &str, operator: &str, value: &str| json!({"filterGroups": [{"filters": [{"propertyName": property, "operator": operator, "value": value}]}]});
    assert_eq!(search(json!({"query": "ann"})).await, ["Ann", "Annika"]);
    assert_eq!(search(json!({"query": "ANN holt"})).await, ["Ann"]);
    assert_eq!(search(json!({"query": "bob.holtz@x.example"})).await, ["Bob"]);
    assert_eq!(search(json!({"query": "olt"})).await, [""; 0]);
    // As numbers: 100 is more than 9. Without a value: last, whatever the direction.
    assert_eq!(
        search(json!({"sorts": ["annualrevenue"]})).await,
        ["Ann", "Bob", "Annika"]
    );
    assert_eq!(
        search(json!({"sorts": ["-annualrevenue"]})).await,
        ["Bob", "Ann", "Annika"]
    );
    assert_eq!(search(filter("annualrevenue", "GT", "10")).await, ["Bob"]);
    // As times: milliseconds and ISO 8601 are one scale.
    assert_eq!(
        search(json!({"sorts": ["-closedate"]})).await,
        ["Ann", "Bob", "Annika"]
    );
    assert_eq!(
        search(filter("closedate", "EQ", "2026-09-21T14:13:20.123Z")).await,
        ["Bob"]
    );
    assert_eq!(search(filter("closedate", "GTE", "1791191662000")).await, ["Ann"]);
    // The system's own properties are there too.
    assert_eq!(search(filter("createdate", "GT", "0")).await.len(), 3);
    assert_eq!(
        search(json!({"sorts": ["-hs_object_id"]})).await,
        ["Annika", "Bob", "Ann"]
    );
    assert_eq!(
        search(filter("firstname", "NOT_CONTAINS_TOKEN", "ann")).await,
        ["Bob"]
    );
    let first = post(
        &client,
        &format!("{url}/search"),
        json!({"sorts": ["-firstname"], "limit": 2}),
    )
    .await
    .json();
    assert_eq!(first["paging"]["next"]["after"], json!("2"));
    assert_eq!(
        search(json!({"sorts": ["-firstname"], "limit": 2, "after": "2"})).await,
        ["Ann"]
    );
}

#[tokio::test]
async fn unknown_parameters_of_a_query_are_refused() {
    let (sandbox, client) = started().await;
    let id = made(
        &client,
        &contacts(&sandbox),
        json!({"properties": {"email": "a@b.co"}}),
    )
    .await;
    let account = made(&client, &sobject(&sandbox, "Account"), json!({"Name": "A"})).await;
    let (hubspot, salesforce) = (sandbox.hubspot_url(), sandbox.salesforce_url());
    for path in [
        "/crm/v3/objects/contacts?limit=101",
        "/crm/v3/objects/contacts?limit=0",
        "/crm/v3/objects/contacts?after=abc",
        "/crm/v3/objects/contacts?sort=email",
        "/crm/v3/objects/contacts?archived=yes",
        &format!("/crm/v3/objects/contacts/{id}?propertiesWithHistory=email"),
        &format!("/crm/v3/objects/contacts/{id}?property=email"),
        &format!("/crm/v3/objects/contacts/{id}?associations=nopes"),
        &format!("/crm/v4/objects/contacts/{id}/associations/companies?limit=501"),
        &format!("/crm/v4/objects/contacts/{id}/associations/companies?after=x"),
        "/crm/v3/properties/contacts?dataSensitivity=sensitive",
        "/crm-object-schemas/v3/schemas?limit=1",
    ] {
        let answer = get(&client, &format!("{hubspot}{path}")).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text);
    }
    for (method, path) in [
        ("GET", format!("/sobjects/Account/{account}?field=Name")),
        ("GET", "/sobjects/Account?limit=5".to_owned()),
        ("GET", "/sobjects/Account/describe?fields=Name".to_owned()),
        ("PATCH", format!("/sobjects/Account/{account}?updateOnly=true")),
        ("POST", "/sobjects/Account?allowSave=true".to_owned()),
        (
            "GET",
            "/query?q=SELECT%20Id%20FROM%20Account&explain=x".to_owned(),
        ),
        ("GET", "/limits?all=true".to_owned()),
        ("POST", "/composite/sobjects?allOrNone=true".to_owned()),
    ] {
        let url = format!("{salesforce}/services/data/v60.0{path}");
        let body = (method != "GET").then(|| json!({"Name": "B"}));
        let answer = client.send(method, &url, body.as_ref()).await.expect("an answer");
        assert_eq!(
            (answer.status, &answer.json()[0]["errorCode"]),
            (400, &json!("INVALID_PARAMETER")),
            "{path}: {}",
            answer.text
        );
    }
    assert_eq!(sandbox.ledger().iter().map(|e| e.changes.len()).sum::<usize>(), 2);
}

#[tokio::test]
async fn properties_come_as_one_list_or_as_several() {
    let (sandbox, client) = started().await;
    let id = made(
        &client,
        &contacts(&sandbox),
        json!({"properties": {"email": "a@b.co", "city": "Graz", "zip": "8010"}}),
    )
    .await;
    for query in [
        "properties=city,zip,email",
        "properties=city&properties=zip,email",
        "properties=city&properties=zip&properties=email",
    ] {
        let read = get(&client, &format!("{}/{id}?{query}", contacts(&sandbox)))
            .await
            .json();
        assert_eq!(read["properties"]["city"], "Graz", "{query}");
        assert_eq!(read["properties"]["zip"], "8010", "{query}");
        assert_eq!(read["properties"]["email"], "a@b.co", "{query}");
    }
}

#[tokio::test]
async fn null_keeps_a_hubspot_property_and_the_empty_text_clears_it() {
    let (sandbox, client) = started().await;
    let url = contacts(&sandbox);
    let properties = json!({"email": "a@b.co", "jobtitle": "CFO", "city": null});
    let id = made(&client, &url, json!({"properties": properties})).await;
    let title = async || {
        let read = get(&client, &format!("{url}/{id}?properties=jobtitle"))
            .await
            .json();
        read["properties"]["jobtitle"].clone()
    };
    let nulled = json!({"jobtitle": null, "zip": "8010"});
    let single = patch(&client, &format!("{url}/{id}"), json!({"properties": nulled})).await;
    assert_eq!(
        (single.status, &single.json()["properties"]["jobtitle"]),
        (200, &json!("CFO"))
    );
    let batch = json!({"inputs": [{"id": id, "properties": nulled}]});
    let batch = post(&client, &format!("{url}/batch/update"), batch).await;
    assert_eq!(
        (batch.status, title().await),
        (200, json!("CFO")),
        "{}",
        batch.text
    );
    let upsert = json!({"inputs": [{"id": "a@b.co", "idProperty": "email", "properties": nulled}]});
    let upsert = post(&client, &format!("{url}/batch/upsert"), upsert).await;
    assert_eq!(
        (upsert.status, title().await),
        (200, json!("CFO")),
        "{}",
        upsert.text
    );
    // Written as text, the ledger has what a write changed: no null among it.
    let changes: Vec<Value> = sandbox
        .ledger()
        .iter()
        .flat_map(|e| e.changes.clone())
        .map(|c| json!(c.values))
        .collect();
    assert_eq!(changes[0], json!({"email": "a@b.co", "jobtitle": "CFO"}));
    assert!(
        changes[1..].iter().all(|c| *c == json!({"zip": "8010"})),
        "{changes:?}"
    );
    let only = patch(
        &client,
        &format!("{url}/{id}"),
        json!({"properties": {"jobtitle": null}}),
    )
    .await;
    assert_eq!((only.status, title().await), (200, json!("CFO")));
    let cleared = patch(
        &client,
        &format!("{url}/{id}"),
        json!({"properties": {"jobtitle": ""}}),
    )
    .await;
    assert_eq!((cleared.status, title().await), (200, Value::Null));
}

#[tokio::test]
async fn a_locked_record_of_a_batch_says_that_it_is_locked() {
    let (sandbox, client) = started().await;
    let url = contacts(&sandbox);
    let mut ids = Vec::new();
    for email in ["a@b.co", "b@b.co"] {
        ids.push(made(&client, &url, json!({"properties": {"email": email}})).await);
    }
    let lock = || FaultSpec {
        record: Some(ids[0].clone()),
        ..FaultSpec::new(FaultKind::RowLock)
    };
    let fault = sandbox.fault(lock()).expect("a fault");
    let inputs: Vec<Value> = ids
        .iter()
        .map(|id| json!({"id": id, "properties": {"city": "Graz"}}))
        .collect();
    let answer = post(&client, &format!("{url}/batch/update"), json!({"inputs": inputs})).await;
    let body = answer.json();
    assert_eq!(
        (answer.status, body["results"][0]["id"].as_str()),
        (207, Some(ids[1].as_str()))
    );
    assert_eq!(
        body["errors"],
        json!([{"status": "error", "category": "RECORD_LOCKED", "message": "Locked", "context": {"ids": [ids[0]]}}])
    );
    let inputs: Vec<Value> = ["a@b.co", "b@b.co"]
        .iter()
        .map(|e| json!({"id": e, "idProperty": "email", "properties": {"city": "Linz"}, "objectWriteTraceId": e}))
        .collect();
    let body = post(&client, &format!("{url}/batch/upsert"), json!({"inputs": inputs}))
        .await
        .json();
    assert_eq!(body["errors"][0]["category"], "RECORD_LOCKED");
    assert_eq!(
        body["errors"][0]["context"]["objectWriteTraceId"],
        json!(["a@b.co"])
    );
    // An archive tells nothing of its items: the call is refused, and nothing is archived.
    let inputs: Vec<Value> = ids.iter().rev().map(|id| json!({"id": id})).collect();
    let archive = post(
        &client,
        &format!("{url}/batch/archive"),
        json!({"inputs": inputs}),
    )
    .await;
    assert_eq!(archive.status, 423);
    assert_eq!(get(&client, &format!("{url}/{}", ids[1])).await.status, 200);
    assert_eq!(fault.hits(), 3);
    // A new record that is associated with the locked one: with trace ids alone, without them with all of its batch.
    let company = url.replace("contacts", "companies");
    let types = json!([{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 280}]);
    let inputs = |traced: bool| -> Vec<Value> {
        let input = |(i, id): (usize, &String)| {
            let mut input =
                json!({"properties": {"name": id}, "associations": [{"to": {"id": id}, "types": types}]});
            if traced {
                input["objectWriteTraceId"] = json!(i.to_string());
            }
            input
        };
        ids.iter().rev().enumerate().map(input).collect()
    };
    let create = format!("{company}/batch/create");
    let traced = post(&client, &create, json!({"inputs": inputs(true)}))
        .await
        .json();
    assert_eq!(traced["errors"][0]["category"], "RECORD_LOCKED");
    assert_eq!(traced["results"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        post(&client, &create, json!({"inputs": inputs(false)}))
            .await
            .status,
        423
    );
    assert_eq!(
        list(&get(&client, &company).await, "/results", "/properties/name").len(),
        1
    );
}

#[tokio::test]
async fn a_datetime_comes_back_in_iso_8601() {
    let (sandbox, client) = started().await;
    let url = contacts(&sandbox).replace("contacts", "deals");
    for (given, wanted) in [
        ("1790000000123", "2026-09-21T14:13:20.123Z"),
        ("2026-09-21T16:13:20+02:00", "2026-09-21T14:13:20.000Z"),
        ("2026-09-21", "2026-09-21T00:00:00.000Z"),
        ("", "-"),
    ] {
        let body = json!({"properties": {"closedate": given, "dealname": given}});
        let id = made(&client, &url, body.clone()).await;
        let read = get(&client, &format!("{url}/{id}?properties=closedate,dealname")).await;
        let body = json!([read.json()]);
        let read = Answer {
            text: json!({"results": body}).to_string(),
            ..read
        };
        assert_eq!(
            list(&read, "/results", "/properties/closedate"),
            [wanted],
            "{given}"
        );
    }
    let inputs = json!({"inputs": [{"properties": {"closedate": "1790000000123"}}]});
    let batch = post(&client, &format!("{url}/batch/create"), inputs).await;
    assert_eq!(
        list(&batch, "/results", "/properties/closedate"),
        ["2026-09-21T14:13:20.123Z"]
    );
    let id = batch.json()["results"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let body = json!({"properties": {"closedate": "1790000000124"}});
    let updated = patch(&client, &format!("{url}/{id}"), body).await.json();
    assert_eq!(updated["properties"]["closedate"], "2026-09-21T14:13:20.124Z");
    // A date is a day.
    let quotes = url.replace("deals", "quotes");
    let quote = post(
        &client,
        &quotes,
        json!({"properties": {"hs_expiration_date": "1789948800000"}}),
    )
    .await
    .json();
    assert_eq!(quote["properties"]["hs_expiration_date"], "2026-09-21");
}

#[tokio::test]
async fn a_schema_keeps_what_it_was_given_and_its_required_properties_are_required() {
    let (sandbox, client) = started().await;
    let hubspot = sandbox.hubspot_url();
    let schema = json!({
        "name": "car",
        "labels": {"singular": "Car", "plural": "Cars"},
        "requiredProperties": ["plate"],
        "properties": [
            {"name": "plate", "label": "Plate", "type": "string", "fieldType": "text"},
            {"name": "seats", "label": "Seats", "type": "number", "fieldType": "number"}
        ],
    });
    for (change, value) in [
        ("requiredProperties", json!(["nope"])),
        ("primaryDisplayProperty", json!("nope")),
        ("associatedObjects", json!(["NOPE"])),
        ("pricing", json!(1)),
    ] {
        let mut wrong = schema.clone();
        wrong[change] = value;
        let answer = post(
            &client,
            &format!("{hubspot}/crm-object-schemas/v3/schemas"),
            wrong,
        )
        .await;
        assert_eq!(answer.status, 400, "{change}: {}", answer.text);
    }
    let answer = post(
        &client,
        &format!("{hubspot}/crm-object-schemas/v3/schemas"),
        schema,
    )
    .await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    for base in ["crm-object-schemas/v3", "crm/v3", "crm-object-schemas/2026-03"] {
        let read = get(&client, &format!("{hubspot}/{base}/schemas/car"))
            .await
            .json();
        assert_eq!(
            read["labels"],
            json!({"singular": "Car", "plural": "Cars"}),
            "{base}"
        );
        assert_eq!(read["requiredProperties"], json!(["plate"]), "{base}");
    }
    let cars = format!("{hubspot}/crm/v3/objects/car");
    for properties in [
        json!({}),
        json!({"seats": "5"}),
        json!({"plate": ""}),
        json!({"plate": null}),
    ] {
        let answer = post(&client, &cars, json!({"properties": properties})).await;
        assert_eq!(answer.status, 400, "{properties}");
        assert_eq!(answer.json()["context"]["properties"], json!(["plate"]));
        let batch = json!({"inputs": [{"properties": properties}]});
        assert_eq!(
            post(&client, &format!("{cars}/batch/create"), batch).await.status,
            400
        );
    }
    made(&client, &cars, json!({"properties": {"plate": "G 1"}})).await;
    // One that still has records stays.
    let gone = client
        .send(
            "DELETE",
            &format!("{hubspot}/crm-object-schemas/v3/schemas/car"),
            None,
        )
        .await;
    assert_eq!(gone.expect("an answer").status, 400);
}

#[tokio::test]
async fn a_property_keeps_its_group_label_and_time() {
    let (sandbox, client) = started().await;
    sandbox.clock().freeze(1_790_000_000_123);
    let url = format!("{}/crm/v3/properties/contacts", sandbox.hubspot_url());
    let property = |name: &str, group: &str| json!({"name": name, "label": "ERP", "type": "string", "fieldType": "textarea", "groupName": group, "description": "d", "hidden": true});
    assert_eq!(
        post(&client, &url, property("a", "erp")).await.status,
        400,
        "there is no such group yet"
    );
    let group = json!({"name": "erp", "label": "From the ERP"});
    assert_eq!(
        post(&client, &format!("{url}/groups"), group.clone())
            .await
            .status,
        201
    );
    assert_eq!(post(&client, &format!("{url}/groups"), group).await.status, 409);
    assert_eq!(post(&client, &url, property("a", "erp")).await.status, 201);
    let read = get(&client, &format!("{url}/a")).await.json();
    for (key, value) in property("a", "erp").as_object().expect("an object") {
        assert_eq!(read[key], *value, "{key}");
    }
    assert_eq!(read["createdAt"], "2026-09-21T14:13:20.123Z");
    assert_eq!(read.get("hubspotDefined"), None);
    let renamed = patch(&client, &format!("{url}/groups/erp"), json!({"label": "ERP"}))
        .await
        .json();
    assert_eq!(renamed["label"], "ERP");
    let remove = async |path: &str| {
        let answer = client.send("DELETE", &format!("{url}/{path}"), None).await;
        answer.expect("an answer").status
    };
    assert_eq!(remove("groups/erp").await, 400, "it still has a property");
    assert_eq!((remove("a").await, remove("groups/erp").await), (204, 204));
    assert_eq!(get(&client, &format!("{url}/groups/erp")).await.status, 404);
    let own = get(&client, &format!("{url}/lifecyclestage")).await.json();
    assert_eq!(
        (&own["hubspotDefined"], &own["label"]),
        (&json!(true), &json!("Lifecycle Stage"))
    );
    assert_eq!(own["options"][2]["label"], "Marketing Qualified Lead");
    for wrong in [
        json!({"name": "b"}),
        json!({"hasUniqueValue": true}),
        json!({"nope": 1}),
        json!({"groupName": "nope"}),
    ] {
        let answer = patch(&client, &format!("{url}/lifecyclestage"), wrong.clone()).await;
        assert_eq!(answer.status, 400, "{wrong}");
    }
    // What was read can be sent back.
    assert_eq!(
        patch(&client, &format!("{url}/lifecyclestage"), own).await.status,
        200
    );
}

fn query(sandbox: &Sandbox, soql: &str) -> String {
    let soql: String = soql.bytes().map(|b| format!("%{b:02x}")).collect();
    format!("{}/services/data/v60.0/query?q={soql}", sandbox.salesforce_url())
}

#[tokio::test]
async fn a_query_is_ordered_by_what_values_mean() {
    let (sandbox, client) = started().await;
    for (name, revenue) in [
        ("b", json!(9)),
        ("C", json!(100)),
        ("a", Value::Null),
        ("D", json!(9.5)),
    ] {
        made(
            &client,
            &sobject(&sandbox, "Account"),
            json!({"Name": name, "AnnualRevenue": revenue}),
        )
        .await;
    }
    let names = async |rest: &str| {
        let answer = get(
            &client,
            &query(&sandbox, &format!("SELECT Name FROM Account {rest}")),
        )
        .await;
        list(&answer, "/records", "/Name").concat()
    };
    for (rest, wanted) in [
        ("", "bCaD"),
        ("ORDER BY Name", "abCD"),
        ("ORDER BY name DESC", "DCba"),
        ("ORDER BY AnnualRevenue", "abDC"),
        ("ORDER BY AnnualRevenue NULLS LAST", "bDCa"),
        ("ORDER BY AnnualRevenue DESC NULLS LAST LIMIT 2", "CD"),
        ("ORDER BY AnnualRevenue DESC", "aCDb"),
        ("ORDER BY CreatedDate DESC, Name DESC LIMIT 1 OFFSET 9", ""),
        ("ORDER BY Name LIMIT 2 OFFSET 1", "bC"),
        ("WHERE AnnualRevenue >= 9.50 ORDER BY Name", "CD"),
        ("WHERE AnnualRevenue = 9.0", "b"),
        ("WHERE AnnualRevenue != 9", "CaD"),
        ("WHERE AnnualRevenue < 1000 AND Name NOT IN ('B')", "CD"),
        ("WHERE CreatedDate < 2020-01-01T00:00:00Z", ""),
        (
            "WHERE CreatedDate > 2020-01-01T00:00:00+01:00 ORDER BY Name LIMIT 1",
            "a",
        ),
    ] {
        assert_eq!(names(rest).await, wanted, "{rest}");
    }
    for (rest, code) in [
        ("ORDER BY Nope", "INVALID_FIELD"),
        ("ORDER BY Description", "MALFORMED_QUERY"),
        ("WHERE AnnualRevenue = '9'", "INVALID_FIELD"),
        ("WHERE Name = 9", "INVALID_FIELD"),
        ("WHERE CreatedDate = '2020-01-01T00:00:00Z'", "INVALID_FIELD"),
        ("WHERE CreatedDate = 2020-01-01", "INVALID_FIELD"),
        ("WHERE CreatedDate = TODAY", "MALFORMED_QUERY"),
        ("WHERE Name LIKE 'a%'", "MALFORMED_QUERY"),
        ("WHERE Name = 'a' OR Name = 'b'", "MALFORMED_QUERY"),
        ("GROUP BY Name", "MALFORMED_QUERY"),
        ("LIMIT 1 FOR VIEW", "MALFORMED_QUERY"),
        ("OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
    ] {
        let answer = get(
            &client,
            &query(&sandbox, &format!("SELECT Name FROM Account {rest}")),
        )
        .await;
        assert_eq!(
            (answer.status, &answer.json()[0]["errorCode"]),
            (400, &json!(code)),
            "{rest}"
        );
    }
}

#[tokio::test]
async fn a_long_query_comes_in_pages() {
    let (sandbox, client) = started().await;
    for at in 0..12 {
        let records: Vec<Value> = (0..200)
            .map(|i| json!({"attributes": {"type": "Lead"}, "LastName": format!("L{:04}", at * 200 + i), "Company": "X"}))
            .collect();
        let url = format!(
            "{}/services/data/v60.0/composite/sobjects",
            sandbox.salesforce_url()
        );
        assert_eq!(post(&client, &url, json!({"records": records})).await.status, 200);
    }
    let pages = async |size: Option<&str>| {
        let mut url = query(&sandbox, "SELECT LastName FROM Lead ORDER BY LastName DESC");
        let mut sizes = Vec::new();
        let mut rows = Vec::new();
        loop {
            let mut request = super::http().get(&url).bearer_auth("test-acme");
            if let Some(size) = size.filter(|_| sizes.is_empty()) {
                request = request.header("Sforce-Query-Options", format!("batchSize={size}"));
            }
            let answer = super::finish(request).await.expect("an answer");
            assert_eq!(
                (answer.status, &answer.json()["totalSize"]),
                (200, &json!(2_400)),
                "{}",
                answer.text
            );
            let page = list(&answer, "/records", "/LastName");
            sizes.push(page.len());
            rows.extend(page);
            let body = answer.json();
            match body["nextRecordsUrl"].as_str() {
                Some(next) => {
                    assert_eq!(body["done"], false);
                    url = format!("{}{next}", sandbox.salesforce_url());
                }
                None => {
                    assert_eq!(body["done"], true);
                    break;
                }
            }
        }
        let wanted: Vec<String> = (0..2_400).rev().map(|i| format!("L{i:04}")).collect();
        assert!(rows == wanted, "each row once, in order");
        sizes
    };
    assert_eq!(pages(None).await, [2_000, 400]);
    assert_eq!(pages(Some("1000")).await, [1_000, 1_000, 400]);
    // Salesforce keeps the size between 200 and 2,000.
    assert_eq!(pages(Some("7")).await, [200; 12]);
    assert_eq!(pages(Some("5000")).await, [2_000, 400]);
    let request = super::http()
        .get(query(&sandbox, "SELECT Id FROM Lead"))
        .bearer_auth("test-acme");
    let answer = super::finish(request.header("Sforce-Query-Options", "batchSize=many"))
        .await
        .expect("an answer");
    assert_eq!(answer.status, 400);
    // A page follows the query that it belongs to: the oldest of more than ten is closed.
    let first = get(&client, &query(&sandbox, "SELECT Id FROM Lead")).await.json();
    let next = format!(
        "{}{}",
        sandbox.salesforce_url(),
        first["nextRecordsUrl"].as_str().expect("a next page")
    );
    assert_eq!(get(&client, &next).await.status, 200);
    for _ in 0..10 {
        get(&client, &query(&sandbox, "SELECT Id FROM Lead")).await;
    }
    for url in [
        next.as_str(),
        &next.replace("-2000", ""),
        &next.replace("-2000", "-9999"),
        &next.replace("-2000", "-x"),
    ] {
        let answer = get(&client, url).await;
        assert_eq!(
            (answer.status, &answer.json()[0]["errorCode"]),
            (400, &json!("INVALID_QUERY_LOCATOR")),
            "{url}"
        );
    }
    let fewer = get(&client, &query(&sandbox, "SELECT Id FROM Lead LIMIT 2000"))
        .await
        .json();
    assert_eq!(
        (&fewer["done"], fewer.get("nextRecordsUrl")),
        (&json!(true), None)
    );
}

#[tokio::test]
async fn query_all_finds_a_deleted_record_by_a_unique_value() {
    let (sandbox, client) = started().await;
    let id = made(
        &client,
        &sobject(&sandbox, "Touchpoints__c"),
        json!({"External_Id__c": "E-1"}),
    )
    .await;
    let gone = client
        .send(
            "DELETE",
            &sobject(&sandbox, &format!("Touchpoints__c/{id}")),
            None,
        )
        .await;
    assert_eq!(gone.expect("an answer").status, 204);
    let url = query(
        &sandbox,
        "SELECT Id, IsDeleted FROM Touchpoints__c WHERE External_Id__c = 'E-1'",
    );
    assert_eq!(get(&client, &url).await.json()["totalSize"], 0);
    let all = get(&client, &url.replace("/query?", "/queryAll?")).await.json();
    assert_eq!(
        (&all["totalSize"], &all["records"][0]["IsDeleted"]),
        (&json!(1), &json!(true))
    );
}

#[tokio::test]
async fn what_is_beside_salesforces_records_has_its_own_answer() {
    let (sandbox, client) = started().await;
    let id = made(&client, &sobject(&sandbox, "Account"), json!({"Name": "A"})).await;
    for path in [
        "Account/describe/layouts",
        "Account/describe/layouts/012000000000000AAA",
        "Account/describe/compactLayouts",
        "Account/listviews",
        "Account/listviews/00B000000000000AAA/results",
        "Account/quickActions",
        "Account/defaultValues",
        "Account/updated/today",
        &format!("Account/{id}/Contacts"),
    ] {
        let answer = get(&client, &sobject(&sandbox, path)).await;
        let body = answer.json();
        assert_eq!(
            (answer.status, &body[0]["errorCode"]),
            (404, &json!("NOT_FOUND")),
            "{path}"
        );
        assert_eq!(
            body[0]["message"], "The requested resource does not exist",
            "{path}"
        );
    }
    // The name of no resource is still taken for one of an external id, as Salesforce does.
    let other = get(&client, &sobject(&sandbox, "Account/nope")).await.json();
    assert_eq!(
        other[0]["message"],
        "Provided external ID field does not exist or is not accessible: nope"
    );
    sandbox.clock().freeze(1_790_000_000_000);
    patch(
        &client,
        &sobject(&sandbox, &format!("Account/{id}")),
        json!({"Name": "B"}),
    )
    .await;
    let span = |what: &str, start: &str, end: &str| {
        sobject(&sandbox, &format!("Account/{what}?start={start}&end={end}"))
    };
    let (before, at, after) = (
        "2026-09-21T14:00:00Z",
        "2026-09-21T14:13:20%2B00:00",
        "2026-09-21T14:13:21%2B00:00",
    );
    let ids = async |url: String| get(&client, &url).await.json()["ids"].clone();
    assert_eq!(ids(span("updated", at, after)).await, json!([id]));
    assert_eq!(
        ids(span("updated", before, at)).await,
        json!([]),
        "the end is not within"
    );
    let none = get(&client, &span("deleted", before, after)).await.json();
    assert_eq!(none["deletedRecords"], json!([]));
    client
        .send("DELETE", &sobject(&sandbox, &format!("Account/{id}")), None)
        .await
        .expect("an answer");
    let one = get(&client, &span("deleted", before, after)).await.json();
    assert_eq!(
        one["deletedRecords"],
        json!([{"id": id, "deletedDate": "2026-09-21T14:13:20.000+0000"}])
    );
    assert_eq!(ids(span("updated", before, after)).await, json!([]));
    for (start, end) in [
        (after, before),
        ("today", after),
        (before, "2026-09-21T14:13:20"),
        ("2026-01-01T00:00:00Z", after),
    ] {
        assert_eq!(
            get(&client, &span("updated", start, end)).await.status,
            400,
            "{start} {end}"
        );
    }
    let bulk = format!("{}/services/async/60.0/job", sandbox.salesforce_url());
    let request = super::http().get(bulk).header("X-SFDC-Session", "test-acme");
    let answer = super::finish(request).await.expect("an answer");
    assert_eq!(
        (answer.status, &answer.json()[0]["errorCode"]),
        (404, &json!("NOT_FOUND"))
    );
    assert!(
        !json!(sandbox.ledger()).to_string().contains("test-acme"),
        "a session is a secret like a token"
    );
}

#[tokio::test]
async fn associations_of_a_wrong_shape_are_refused() {
    let (sandbox, client) = started().await;
    for wrong in [json!({"to": {"id": "1"}}), json!("1"), json!(1), json!(true)] {
        let body = json!({"properties": {"email": "a@b.co"}, "associations": wrong});
        let answer = post(&client, &contacts(&sandbox), body).await;
        assert_eq!(
            (answer.status, &answer.json()["category"]),
            (400, &json!("VALIDATION_ERROR")),
            "{wrong}"
        );
    }
    made(
        &client,
        &contacts(&sandbox),
        json!({"properties": {"email": "a@b.co"}, "associations": null}),
    )
    .await;
}
