//! The catalogue of providers, and a manifest that does not fit it.

use serde_json::{Value, json};

use crate::connectors::schema::check;
use crate::harness::{Kind, Service, shared};

/// `GET` without a key.
async fn get(service: &Service, path: &str) -> crate::harness::client::Answer {
    let client = &service.client;
    client
        .send(client.http.get(format!("{}{path}", client.url)))
        .await
}

#[tokio::test]
async fn the_catalogue_is_open_to_all_and_says_what_works() {
    let service = Service::empty(Kind::Sqlite).await;
    let all = get(&service, "/v1/providers").await.expect(200).json();
    assert_eq!(all.as_object().unwrap().len(), 139);
    let hubspot = get(&service, "/v1/providers/hubspot").await.expect(200).json();
    assert_eq!(all["hubspot"], hubspot);
    assert_eq!(
        (&hubspot["name"], &hubspot["authType"], &hubspot["baseURL"]),
        (
            &json!("hubspot"),
            &json!("oauth2"),
            &json!("https://api.hubapi.com")
        )
    );
    assert_eq!(hubspot["defaultModule"], "crm");
    assert_eq!(hubspot["oauth2Opts"]["grantType"], "authorizationCode");
    assert_eq!(
        hubspot["support"],
        json!({
            "bulkWrite": {"insert": true, "update": true, "upsert": false, "delete": false},
            "proxy": false, "read": false, "subscribe": false, "write": true, "delete": true,
            "search": {"operators": {"equals": false}}
        })
    );
    let bulk = |support: &serde_json::Value| support["bulkWrite"]["insert"] == true;
    let modules = &all["salesforce"]["modules"];
    assert!(bulk(&modules["crm"]["support"]) && !bulk(&modules["account-engagement"]["support"]));
    assert!(!bulk(&all["stripe"]["support"]));
    let salesforce = &all["salesforce"];
    assert_eq!(salesforce["baseURL"], "https://{{.workspace}}.my.salesforce.com");
    assert_eq!(
        salesforce["modules"]["account-engagement"]["baseURL"],
        "https://pi.pardot.com"
    );
    let workspace = &salesforce["metadata"]["input"][0];
    assert_eq!(workspace["name"], "workspace");
    assert_eq!(workspace["moduleDependencies"]["crm"], json!({}));
    // One of each kind of credential.
    assert_eq!(
        all["stripe"]["apiKeyOpts"]["header"],
        json!({"name": "Authorization", "valuePrefix": "Bearer "})
    );
    assert_eq!(
        all["ashby"]["basicOpts"]["docsURL"],
        "https://developers.ashbyhq.com/reference"
    );
    assert_eq!(all["gitlab"]["customOpts"]["inputs"][0]["name"], "token");
    assert_eq!(
        all["gitlab"]["customOpts"]["headers"][0]["valueTemplate"],
        "{{ .token }}"
    );
    assert_eq!(all["salesfinity"]["support"]["delete"], true);
    assert_eq!(all["gong"]["support"]["delete"], false);
    for (name, inputs) in [
        ("netsuiteM2M", vec!["clientId", "certificateId", "privateKey"]),
        ("salesforceJWT", vec!["clientId", "username", "privateKey"]),
        ("googleWorkspaceDelegation", vec!["serviceAccountKey", "scopes"]),
        ("microsoftAdminConsent", vec!["clientId", "clientSecret"]),
        ("aws", vec!["access_key_id", "secret_access_key", "session_token"]),
    ] {
        let asked: Vec<&str> = all[name]["customOpts"]["inputs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|input| input["name"].as_str().unwrap())
            .collect();
        assert_eq!((all[name]["authType"].as_str(), asked), (Some("custom"), inputs));
        // What carries the token is not for the customer to fill.
        assert!(all[name]["customOpts"].get("headers").is_none(), "{name}");
    }
    let inputs = &all["salesforceJWT"]["customOpts"]["inputs"];
    assert_eq!(inputs[1]["fieldType"], "fieldTypeText");
    assert!(inputs[2].get("fieldType").is_none(), "a secret is masked");
    let cannot = all
        .as_object()
        .unwrap()
        .values()
        .filter(|provider| provider["support"]["write"] != true);
    assert_eq!(
        cannot.map(|provider| &provider["name"]).collect::<Vec<_>>(),
        Vec::<&Value>::new()
    );
}

#[tokio::test]
async fn an_unknown_provider_is_a_problem() {
    let service = Service::empty(Kind::Sqlite).await;
    for path in [
        "/v1/providers/nobody",
        "/v1/providers/HubSpot",
        "/v1/providers/..%2Fhubspot",
    ] {
        let problem = get(&service, path).await.problem(404);
        assert!(
            problem["remedy"].as_str().unwrap().contains("GET /v1/providers"),
            "{problem}"
        );
    }
}

/// Keys that the schema does not know, and nulls.
fn strangers(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let schema = match schema["$ref"].as_str() {
        Some(name) => root.pointer(name.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    match value {
        Value::Null => found.push(format!("{at} is null")),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                strangers(root, &schema["items"], item, &format!("{at}[{i}]"), found);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                let here = format!("{at}.{key}");
                match (schema["properties"].get(key), schema.get("additionalProperties")) {
                    (Some(own), _) => strangers(root, own, item, &here, found),
                    (None, Some(others)) => strangers(root, others, item, &here, found),
                    (None, None) => found.push(format!("{here} is not in the specification")),
                }
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn every_provider_has_the_shape_of_the_specification() {
    let Some(file) = shared::recorded("openapi/catalog/catalog.yaml") else {
        return;
    };
    let root: Value = serde_yaml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let schema = &root["components"]["schemas"]["CatalogType"];
    let service = Service::empty(Kind::Sqlite).await;
    let all = get(&service, "/v1/providers").await.expect(200).json();
    let mut found = check(&root, schema, &all, "$");
    // The schema has dropped `providerOpts`; its examples and the clients made from older versions still require it.
    let mut all = all;
    for (name, provider) in all.as_object_mut().unwrap() {
        let opts = provider.as_object_mut().unwrap().remove("providerOpts");
        assert_eq!(opts, Some(json!({})), "{name}");
    }
    strangers(&root, schema, &all, "$", &mut found);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test]
async fn a_manifest_that_the_catalogue_cannot_serve_is_422_with_every_problem() {
    let service = Service::empty(Kind::Sqlite).await;
    let manifest = "specVersion: 1.0.0
integrations:
  - {name: a, provider: hubspott, write: {objects: [{objectName: contacts}]}}
  - {name: b, provider: pylon, write: {objects: [{objectName: accounts}, {objectName: nonsense}]}}
  - {name: c, provider: zoho, module: nowhere, write: {objects: [{objectName: Leads}]}}
  - {name: d, provider: zendeskSupport, write: {objects: [{objectName: ticket_events}]}}
  - {name: e, provider: hubspot, module: crm, write: {objects: [{objectName: anything}]}}
";
    let problem = service
        .client
        .put("/integrations:batch", json!({"sourceYaml": manifest}))
        .await
        .problem(422);
    let issues: Vec<(&str, &str)> = problem["issues"]
        .as_array()
        .unwrap()
        .iter()
        .map(|issue| (issue["name"].as_str().unwrap(), issue["detail"].as_str().unwrap()))
        .collect();
    let expected = [
        ("$.integrations[0].provider", "`hubspott` is not in the catalogue"),
        ("$.integrations[1].write.objects[1].objectName", "`nonsense`"),
        ("$.integrations[2].module", "no module `nowhere`"),
        (
            "$.integrations[3].write.objects[0].objectName",
            "cannot be written",
        ),
    ];
    assert_eq!(issues.len(), expected.len(), "{issues:?}");
    for ((path, detail), (expected_path, part)) in issues.iter().zip(expected) {
        assert!(
            *path == expected_path && detail.contains(part),
            "{path}: {detail}"
        );
    }
}

#[tokio::test]
async fn an_action_that_the_provider_does_not_have_is_refused_before_anything_is_stored() {
    let service = Service::empty(Kind::Sqlite).await;
    let manifest = "specVersion: 1.0.0
integrations:
  - {name: f, provider: fathom, write: {objects: [{objectName: webhooks}]}}
";
    service.deploy(manifest).await;
    let connection =
        json!({"provider": "fathom", "groupRef": "g", "consumerRef": "c", "apiKey": "k-12345678"});
    service
        .client
        .post("/connections:generate", connection)
        .await
        .expect(201);
    service.install("f", "g", json!({"provider": "fathom"})).await;
    let update =
        json!({"groupRef": "g", "type": "update", "record": {"id": "1", "url": "https://a.example"}});
    let problem = service.client.write("f", "webhooks", update).await.problem(400);
    assert!(
        problem["detail"].as_str().unwrap().contains("update"),
        "{problem}"
    );
}
