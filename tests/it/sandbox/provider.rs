//! What the recorded scenarios leave out: other endpoints, wrong requests, the echo provider.

use amp_write::sandbox::{EchoRule, LedgerStatus, Options, Sandbox};
use http::Method;
use serde_json::{Value, json};

use super::{Client, contacts, sobject, start};

async fn started() -> (Sandbox, Client) {
    (start(Options::default()).await, Client::new("acme"))
}

async fn made(client: &Client, url: &str, body: Value) -> String {
    let answer = client.post(url, &body).await.expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_missing_or_unknown_token_gets_the_providers_own_401() {
    let (sandbox, _) = started().await;
    let http = super::http();
    for token in [None, Some("nope"), Some("test-")] {
        for (url, mark) in [
            (contacts(&sandbox), "INVALID_AUTHENTICATION"),
            (sobject(&sandbox, "Lead"), "INVALID_SESSION_ID"),
        ] {
            let request = token.map_or(http.get(&url), |t| http.get(&url).bearer_auth(t));
            let answer = super::finish(request).await.expect("an answer");
            assert!(
                answer.status == 401 && answer.text.contains(mark),
                "{token:?}: {}",
                answer.text
            );
        }
    }
    let open = start(Options {
        verify_tokens: false,
        ..Options::default()
    })
    .await;
    let request = http.get(contacts(&open)).bearer_auth("anything");
    assert_eq!(super::finish(request).await.expect("an answer").status, 200);
}

#[tokio::test]
async fn unknown_paths_get_the_providers_own_404() {
    let (sandbox, client) = started().await;
    let hubspot = client
        .get(&format!("{}/crm/v9/objects", sandbox.hubspot_url()))
        .await
        .expect("an answer");
    assert_eq!(
        (hubspot.status, &hubspot.json()["status"]),
        (404, &json!("error"))
    );
    let salesforce = client
        .get(&format!("{}/services/data/v60.0/nope", sandbox.salesforce_url()))
        .await;
    let salesforce = salesforce.expect("an answer");
    assert_eq!(
        (salesforce.status, &salesforce.json()[0]["errorCode"]),
        (404, &json!("NOT_FOUND"))
    );
    let nowhere = client
        .get(&format!("{}/nowhere", sandbox.url()))
        .await
        .expect("an answer");
    assert_eq!(nowhere.status, 404);
}

#[tokio::test]
async fn wrong_shapes_are_refused_and_nothing_panics() {
    let (sandbox, client) = started().await;
    let bodies = [
        "",
        "null",
        "[]",
        "1",
        "\"x\"",
        "{",
        "{\"properties\":1}",
        "{\"properties\":{\"email\":{}}}",
        "{\"inputs\":1}",
        "{\"inputs\":[1,null,{}]}",
        "{\"inputs\":[{\"id\":{}}]}",
        "{\"records\":[1]}",
        "{\"records\":[{\"attributes\":7}]}",
        "{\"properties\":{\"email\":\"ö@é\"},\"associations\":[1]}",
        "{\"associations\":[{\"to\":{\"id\":\"1\"},\"types\":[5]}]}",
        "{\"ids\":[1],\"fields\":[2]}",
        "{\"LastName\":[1]}",
        "{\"LastName\":{\"a\":1}}",
        "{\"AccountId\":\"ä\"}",
        "{\"Id\":\"\u{e9}\"}",
        "{\"filterGroups\":[{\"filters\":[{}]}]}",
    ];
    let hubspot = [
        "/crm/v3/objects/contacts",
        "/crm/v3/objects/contacts/1",
        "/crm/v3/objects/contacts/search",
        "/crm/v3/objects/contacts/merge",
        "/crm/v3/objects/contacts/batch/create",
        "/crm/v3/objects/contacts/batch/update",
        "/crm/v3/objects/contacts/batch/upsert",
        "/crm/v3/objects/contacts/batch/read",
        "/crm/v3/objects/contacts/batch/archive",
        "/crm/v4/associations/contacts/companies/batch/create",
        "/crm/v4/objects/contacts/1/associations/companies/2",
        "/crm/v3/properties/contacts",
        "/crm/v3/schemas",
        "/oauth/v3/token",
    ];
    let salesforce = [
        "/sobjects/Contact",
        "/sobjects/Contact/003Hs00002AbCdEIAV",
        "/sobjects/Contact/Email/x",
        "/composite/sobjects",
        "/composite/sobjects/Contact",
        "/composite/sobjects/Contact/Email",
        "/query?q=%27",
        "/query?q=SELECT",
    ];
    let mut urls: Vec<String> = hubspot
        .iter()
        .map(|p| format!("{}{p}", sandbox.hubspot_url()))
        .collect();
    urls.extend(
        salesforce
            .iter()
            .map(|p| format!("{}/services/data/v60.0{p}", sandbox.salesforce_url())),
    );
    for url in &urls {
        for body in bodies {
            for method in ["POST", "PATCH", "PUT", "DELETE", "GET"] {
                let request = super::http().request(method.parse().expect("a method"), url);
                let request = request
                    .bearer_auth(&client.token)
                    .header("content-type", "application/json");
                let answer = super::finish(request.body(body)).await.expect("an answer");
                // 2xx is possible (`{}` makes an empty company), a failure of the sandbox is not.
                assert!(answer.status < 500, "{method} {url} {body}: {}", answer.text);
            }
        }
    }
}

#[tokio::test]
async fn a_merged_contact_answers_under_both_ids() {
    let (sandbox, client) = started().await;
    let url = contacts(&sandbox);
    let winner = made(&client, &url, json!({"properties": {"email": "a@b.co"}})).await;
    let loser = made(&client, &url, json!({"properties": {"email": "c@b.co"}})).await;
    let body = json!({"primaryObjectId": winner, "objectIdToMerge": loser});
    assert_eq!(
        client
            .post(&format!("{url}/merge"), &body)
            .await
            .expect("an answer")
            .status,
        200
    );
    let read = client
        .get(&format!("{url}/{loser}"))
        .await
        .expect("an answer")
        .json();
    assert_eq!(read["id"], json!(winner));
}

#[tokio::test]
async fn an_archived_contact_frees_its_email() {
    let (sandbox, client) = started().await;
    let url = contacts(&sandbox);
    let id = made(&client, &url, json!({"properties": {"email": "a@b.co"}})).await;
    for _ in 0..2 {
        let gone = client
            .send("DELETE", &format!("{url}/{id}"), None)
            .await
            .expect("an answer");
        assert_eq!(gone.status, 204);
    }
    assert_eq!(
        client
            .get(&format!("{url}/{id}"))
            .await
            .expect("an answer")
            .status,
        404
    );
    assert_ne!(
        made(&client, &url, json!({"properties": {"email": "a@b.co"}})).await,
        id
    );
    let archived = sandbox
        .ledger()
        .iter()
        .flat_map(|e| e.changes.clone())
        .filter(|c| c.id == id)
        .count();
    assert_eq!(archived, 2, "made and archived once, though deleted twice");
}

#[tokio::test]
async fn associations_are_made_read_and_removed() {
    let (sandbox, client) = started().await;
    let contact = made(
        &client,
        &contacts(&sandbox),
        json!({"properties": {"email": "a@b.co"}}),
    )
    .await;
    let companies = contacts(&sandbox).replace("contacts", "companies");
    let company = made(&client, &companies, json!({"properties": {"name": "N"}})).await;
    let base = format!("{}/crm/v4/objects", sandbox.hubspot_url());
    let put = format!("{base}/contacts/{contact}/associations/default/companies/{company}");
    let made = client.send("PUT", &put, None).await.expect("an answer");
    let (shown, ends) = (
        made.json(),
        json!({"from": {"id": contact}, "to": {"id": company}}),
    );
    assert_eq!((made.status, &shown["status"]), (200, &json!("COMPLETE")));
    assert_eq!(shown["results"][0]["from"], ends["from"]);
    assert_eq!(shown["results"][0]["to"], ends["to"]);
    assert_eq!(
        shown["results"][0]["associationSpec"],
        json!({"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279})
    );
    let back = format!("{base}/companies/{company}/associations/contacts");
    let read = client.get(&back).await.expect("an answer").json();
    assert_eq!(read["results"][0]["toObjectId"].to_string(), contact);
    assert_eq!(read["results"][0]["associationTypes"][0]["typeId"], json!(280));
    let gone = format!("{base}/contacts/{contact}/associations/companies/{company}");
    assert_eq!(
        client
            .send("DELETE", &gone, None)
            .await
            .expect("an answer")
            .status,
        204
    );
    assert_eq!(
        client.get(&back).await.expect("an answer").json()["results"],
        json!([])
    );
}

#[tokio::test]
async fn properties_are_made_and_then_taken() {
    let (sandbox, client) = started().await;
    let url = format!("{}/crm/v3/properties/contacts", sandbox.hubspot_url());
    let property = json!({"name": "erp_id", "label": "ERP", "type": "string", "fieldType": "text", "hasUniqueValue": true});
    assert_eq!(client.post(&url, &property).await.expect("an answer").status, 201);
    assert_eq!(client.post(&url, &property).await.expect("an answer").status, 409);
    let read = client
        .get(&format!("{url}/erp_id"))
        .await
        .expect("an answer")
        .json();
    assert_eq!(read["hasUniqueValue"], json!(true));
    let body = json!({"inputs": [{"id": "E-1", "idProperty": "erp_id", "properties": {"city": "Graz"}}]});
    let upsert = format!("{}/batch/upsert", contacts(&sandbox));
    let news: Vec<Value> = [0, 1].map(|_| Value::Null).to_vec();
    let mut seen = Vec::new();
    for _ in news {
        seen.push(client.post(&upsert, &body).await.expect("an answer").json()["results"][0]["new"].clone());
    }
    assert_eq!(seen, [json!(true), json!(false)]);
}

#[tokio::test]
async fn a_batch_without_trace_ids_is_all_or_nothing() {
    let (sandbox, client) = started().await;
    let body = json!({"inputs": [{"properties": {"email": "a@b.co"}}, {"properties": {"email": "A@b.co"}}]});
    let url = format!("{}/batch/create", contacts(&sandbox));
    let answer = client.post(&url, &body).await.expect("an answer");
    assert_eq!(answer.status, 409, "two inputs share an email");
    assert!(sandbox.ledger()[0].changes.is_empty());
}

#[tokio::test]
async fn trace_ids_count_only_when_each_input_has_its_own() {
    let (sandbox, client) = started().await;
    let input = |email: &str| json!({"properties": {"email": email}, "objectWriteTraceId": "same"});
    let body = json!({"inputs": [input("a@b.co"), input("no-address")]});
    let answer = client
        .post(&format!("{}/batch/create", contacts(&sandbox)), &body)
        .await
        .expect("an answer");
    assert_eq!(answer.status, 400, "the whole batch is refused");
    assert!(sandbox.ledger()[0].changes.is_empty());
}

#[tokio::test]
async fn salesforce_names_match_in_any_case_and_values_keep_their_digits() {
    let (sandbox, client) = started().await;
    let body = "{\"name\":\"A\",\"ANNUALREVENUE\":12345678901234567890.10}";
    let request = super::http()
        .post(sobject(&sandbox, "account"))
        .bearer_auth("test-acme");
    let request = request.header("content-type", "application/json").body(body);
    let id = super::finish(request).await.expect("an answer").json()["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let read = client
        .get(&sobject(&sandbox, &format!("Account/{id}?fields=AnnualRevenue")))
        .await;
    assert!(
        read.expect("an answer")
            .text
            .contains("\"AnnualRevenue\":12345678901234567890.10")
    );
    let short = client
        .get(&sobject(&sandbox, &format!("Account/{}", &id[..15])))
        .await
        .expect("an answer");
    assert_eq!(short.status, 200, "15 characters name it too");
    let q = "SELECT%20Id%20FROM%20Account%20WHERE%20Name%20=%20'a'";
    let url = format!("{}/services/data/v60.0/query?q={q}", sandbox.salesforce_url());
    assert_eq!(
        client.get(&url).await.expect("an answer").json()["records"][0]["Id"],
        json!(id)
    );
}

#[tokio::test]
async fn all_or_none_takes_back_updates_too() {
    let (sandbox, client) = started().await;
    let id = made(&client, &sobject(&sandbox, "Contact"), json!({"LastName": "Old"})).await;
    let record = |id: &str| json!({"attributes": {"type": "Contact"}, "id": id, "LastName": "New"});
    let body = json!({"allOrNone": true, "records": [record(&id), record("003Hs00009NopeNIAV")]});
    let url = format!(
        "{}/services/data/v60.0/composite/sobjects",
        sandbox.salesforce_url()
    );
    let answer = client
        .send("PATCH", &url, Some(&body))
        .await
        .expect("an answer")
        .json();
    assert_eq!(
        answer[0]["errors"][0]["statusCode"],
        json!("ALL_OR_NONE_OPERATION_ROLLED_BACK")
    );
    let read = client
        .get(&sobject(&sandbox, &format!("Contact/{id}?fields=LastName")))
        .await;
    assert_eq!(read.expect("an answer").json()["LastName"], json!("Old"));
    assert_eq!(sandbox.ledger()[1].changes, []);
}

#[tokio::test]
async fn an_assignment_rule_gives_the_owner_unless_told_not_to() {
    let (sandbox, client) = started().await;
    let rule = json!({"assignment": {"Lead": "005Hs000006AsgnIAE"}});
    sandbox
        .control(Method::PATCH, "/accounts/salesforce/acme", &rule)
        .await
        .expect("set");
    let id = made(
        &client,
        &sobject(&sandbox, "Lead"),
        json!({"LastName": "A", "Company": "B"}),
    )
    .await;
    let read = client
        .get(&sobject(&sandbox, &format!("Lead/{id}?fields=OwnerId")))
        .await
        .expect("an answer")
        .json();
    assert!(read["OwnerId"].as_str().expect("an owner").starts_with("005Hs"));
    assert_ne!(read["OwnerId"], json!("005Hs000006BBBBIA0"));
}

#[tokio::test]
async fn a_lookup_by_external_id_finds_its_record() {
    let (sandbox, client) = started().await;
    let field = json!({"name": "Ext_Id__c", "externalId": true, "unique": true});
    let path = "/accounts/salesforce/acme/objects/Account/fields";
    sandbox
        .control(Method::POST, path, &field)
        .await
        .expect("a field");
    let account = made(
        &client,
        &sobject(&sandbox, "Account"),
        json!({"Name": "A", "Ext_Id__c": "E-1"}),
    )
    .await;
    let body = json!({"LastName": "B", "Account": {"Ext_Id__c": "E-1"}});
    let contact = made(&client, &sobject(&sandbox, "Contact"), body).await;
    let url = sobject(&sandbox, &format!("Contact/{contact}?fields=AccountId"));
    assert_eq!(
        client.get(&url).await.expect("an answer").json()["AccountId"],
        json!(account)
    );
}

#[tokio::test]
async fn enforced_limits_refuse_and_open_again_with_time() {
    let (sandbox, client) = started().await;
    sandbox.clock().freeze(1_790_000_000_000);
    let settings = json!({"enforce_limits": true, "burst": 2});
    sandbox
        .control(Method::PATCH, "/accounts/hubspot/acme", &settings)
        .await
        .expect("set");
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.get(&contacts(&sandbox)).await.expect("an answer").status);
    }
    sandbox.clock().advance(10_000);
    statuses.push(client.get(&contacts(&sandbox)).await.expect("an answer").status);
    assert_eq!(statuses, [200, 200, 429, 200]);
}

#[tokio::test]
async fn an_authorisation_code_gives_both_tokens() {
    let (sandbox, client) = started().await;
    let form = "grant_type=authorization_code&client_id=c&client_secret=s&code=test-code-acme&redirect_uri=x";
    for url in [
        format!("{}/oauth/v3/token", sandbox.hubspot_url()),
        format!("{}/services/oauth2/token", sandbox.salesforce_url()),
    ] {
        let answer = client.form(&url, form).await.expect("an answer").json();
        assert!(
            answer["access_token"].is_string() && answer["refresh_token"].is_string(),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn echo_answers_by_its_script_and_records_everything() {
    let (sandbox, client) = started().await;
    let rule = EchoRule {
        method: Some("POST".to_owned()),
        path: Some("/v1/people*".to_owned()),
        status: Some(201),
        body: Some(json!({"id": 7})),
        times: Some(1),
        ..EchoRule::default()
    };
    sandbox.script_echo([rule]);
    let url = format!("{}/v1/people?x=1", sandbox.echo_url());
    let first = client.post(&url, &json!({"a": 1})).await.expect("an answer");
    assert_eq!((first.status, first.json()), (201, json!({"id": 7})));
    let second = client.post(&url, &json!({"a": 2})).await.expect("an answer");
    assert_eq!((second.status, second.text.as_str()), (200, "{}"));
    let rules = json!([{"status": 503, "raw": true, "body": "busy", "headers": {"Retry-After": "3"}}]);
    sandbox
        .control(Method::POST, "/echo", &rules)
        .await
        .expect("a script");
    let third = client.send("DELETE", &url, None).await.expect("an answer");
    assert_eq!((third.status, third.text.as_str()), (503, "busy"));
    assert_eq!(third.headers["retry-after"], "3");
    let ledger = sandbox.ledger();
    assert_eq!((ledger.len(), ledger[0].body.as_str()), (3, "{\"a\":1}"));
    assert_eq!(ledger[2].status, LedgerStatus::Answered(503));
    assert_eq!(ledger[0].account.as_deref(), Some("acme"));
}
