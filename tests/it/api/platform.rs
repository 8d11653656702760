//! Contract §3: projects, keys, integrations, connections, installations, operations.

use serde_json::{Value, json};

use crate::harness::service::{GROUP, PLAIN};
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    a_key_is_shown_once_and_masked_ever_after,
    a_deploy_answers_its_integrations_and_is_repeatable,
    a_bad_manifest_is_422_with_every_problem_and_changes_nothing,
    a_deploy_tells_in_a_header_what_is_probably_a_mistake,
    a_plan_tells_what_a_deploy_would_do_and_changes_nothing,
    a_manifest_may_begin_with_a_byte_order_mark,
    a_name_that_no_request_can_reach_is_422_where_it_stands,
    a_connection_never_shows_its_secrets_and_none_lies_in_the_database_in_plain_text,
    bad_connections_are_refused_by_field,
    a_connection_in_use_cannot_be_deleted,
    an_installation_has_a_group_with_a_name_and_the_default_connection,
    a_second_installation_of_a_group_is_409,
    a_config_that_does_not_fit_is_400_with_issues,
    an_update_mask_changes_what_it_names_and_takes_effect_with_the_next_write,
    a_bad_update_mask_is_400_and_changes_nothing,
    a_json_patch_changes_one_object,
    deleting_an_installation_takes_its_connection_along,
    operations_are_listed_in_stable_pages,
    a_frontend_key_cannot_send_somebodys_credentials_elsewhere,
);

async fn a_key_is_shown_once_and_masked_ever_after(kind: Kind) {
    let service = Service::empty(kind).await;
    let client = &service.client;
    let made = client
        .post("/api-keys", json!({"label": "CI", "scopes": ["full"]}))
        .await
        .expect(201)
        .json();
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with("amp_") && key.len() > 40);
    let listed = client.get("/api-keys?active=true").await.expect(200);
    assert!(!listed.body.contains(key) && listed.body.contains("\"label\":\"CI\""));
    let found = client.get(&format!("/api-keys/{key}")).await.expect(200).json();
    assert_eq!(found["id"], made["id"]);
    let path = format!("/api-keys/{}", made["id"].as_str().unwrap());
    let change = json!({"updateMask": ["active", "label"], "apiKey": {"active": false, "label": "old"}});
    let changed = client.patch(&path, change).await.expect(200).json();
    assert_eq!(
        (&changed["active"], &changed["label"]),
        (&json!(false), &json!("old"))
    );
    client
        .patch(&path, json!({"updateMask": ["key"], "apiKey": {}}))
        .await
        .problem(400);
    client
        .patch(&path, json!({"updateMask": ["label"], "apiKey": {}}))
        .await
        .problem(400);
    client.post("/api-keys", json!({"label": ""})).await.problem(400);
    client
        .post("/api-keys", json!({"label": "x", "scopes": ["root"]}))
        .await
        .problem(400);
    client.delete(&path).await.expect(204);
    client.get(&path).await.problem(404);
}

async fn a_deploy_answers_its_integrations_and_is_repeatable(kind: Kind) {
    let service = Service::empty(kind).await;
    let first = service.deploy(PLAIN).await;
    assert_eq!(first[0]["name"], "hs");
    assert_eq!(first[0]["latestRevision"]["specVersion"], "1.0.0");
    assert_eq!(
        first[0]["latestRevision"]["content"]["write"]["objects"][0]["objectName"],
        "contacts"
    );
    assert_eq!(
        service.deploy(PLAIN).await,
        first,
        "an unchanged manifest changes nothing"
    );
    let client = &service.client;
    client.put("/integrations:batch", json!({})).await.problem(400);
    client
        .put(
            "/integrations:batch",
            json!({"sourceYaml": PLAIN, "sourceZipUrl": "gs://x"}),
        )
        .await
        .problem(400);
    let id = first[1]["id"].as_str().unwrap();
    client.delete(&format!("/integrations/{id}")).await.expect(204);
    client.delete("/integrations/sf").await.problem(404);
    assert_eq!(
        client
            .get("/integrations")
            .await
            .expect(200)
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let other = PLAIN.replace("name: hs", "name: other");
    let body = json!({"sourceYaml": other});
    client
        .put("/integrations:batch?destructive=true", body)
        .await
        .expect(200);
    client.get("/integrations/hs").await.problem(404);
}

async fn a_bad_manifest_is_422_with_every_problem_and_changes_nothing(kind: Kind) {
    let service = Service::empty(kind).await;
    let bad = r"
specVersion: 2.0.0
integrations:
  - name: a
    provider: nobody
    write: {objects: [{objectName: x}, {objectName: x}]}
  - name: a
    provider: hubspot
    write: {objects: []}
";
    let problem = service
        .client
        .put("/integrations:batch", json!({"sourceYaml": bad}))
        .await
        .problem(422);
    let names: Vec<&str> = problem["issues"]
        .as_array()
        .unwrap()
        .iter()
        .map(|issue| issue["name"].as_str().unwrap())
        .collect();
    for wanted in [
        "$.specVersion",
        "$.integrations[0].provider",
        "$.integrations[0].write.objects[1].objectName",
        "$.integrations[1].name",
        "$.integrations[1].write.objects",
    ] {
        assert!(names.contains(&wanted), "{wanted} is missing in {names:?}");
    }
    assert!(
        problem["issues"]
            .as_array()
            .unwrap()
            .iter()
            .all(|issue| issue["in"] == "body")
    );
    for source in ["", ":", "[]", "a: &a [*a]", "{{{{"] {
        service
            .client
            .put("/integrations:batch", json!({"sourceYaml": source}))
            .await
            .problem(422);
    }
    let twice = PLAIN.replace("name: sf", "name: HS");
    service
        .client
        .put("/integrations:batch", json!({"sourceYaml": twice}))
        .await
        .problem(422);
    assert_eq!(
        service.client.get("/integrations").await.expect(200).json(),
        json!([])
    );
}

async fn a_deploy_tells_in_a_header_what_is_probably_a_mistake(kind: Kind) {
    let service = Service::empty(kind).await;
    let client = &service.client;
    let misspelt = PLAIN.replace("{objectName: deals}", "{objectName: deals, inheritMaping: true}");
    let body = json!({"sourceYaml": misspelt});
    let answer = client.put("/integrations:batch", &body).await.expect(200);
    let told = "$.integrations[0].write.objects[2].inheritMaping: The key `inheritMaping` is unknown and has no effect. Did \
        you mean `inheritMapping`?";
    assert_eq!(answer.header("amp-warnings"), told);
    assert_eq!(
        answer.json().as_array().unwrap().len(),
        2,
        "the answer is what it was"
    );
    let answer = client.post("/integrations/hs/revisions", &body).await.expect(201);
    assert_eq!(answer.header("amp-warnings"), told);
    let content = json!({"write": {"objects": [{"objectName": "contacts", "inheritMapping": true}]}, "überflüssig, ja": 1});
    let new = json!({"name": "third", "provider": "hubspot", "latestRevision": {"specVersion": "1.0.0", "content": content}});
    let answer = client.post("/integrations", new).await.expect(201);
    let told = answer.header("amp-warnings").to_owned();
    assert!(
        told.contains("nothing to inherit") && told.contains("%C3%BCberfl"),
        "{told}"
    );
    assert_eq!(told.split(", ").count(), 2, "{told}");
    let plain = client
        .put("/integrations:batch", json!({"sourceYaml": PLAIN}))
        .await
        .expect(200);
    assert_eq!(plain.header("amp-warnings"), "");
}

async fn a_plan_tells_what_a_deploy_would_do_and_changes_nothing(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let before = client.get("/integrations").await.expect(200).body;
    let changed = PLAIN
        .replace(
            "{objectName: deals}",
            "{objectName: tickets, inheritMaping: true}",
        )
        .replace("name: sf", "name: other");
    let body = json!({"sourceYaml": changed});
    let plan = client
        .post("/integrations:plan?destructive=true", &body)
        .await
        .expect(200)
        .json();
    let lines: Vec<String> = plan["integrations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            format!(
                "{} {} {} {}",
                one["name"], one["change"], one["installations"], one["queuedWrites"]
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            r#""hs" "update" 1 0"#,
            r#""other" "create" 0 0"#,
            r#""sf" "delete" 1 0"#
        ]
    );
    assert_eq!(
        plan["warnings"][0]["path"],
        "$.integrations[0].write.objects[2].inheritMaping"
    );
    assert!(plan["integrations"][1].get("id").is_none());
    let plan = client.post("/integrations:plan", &body).await.expect(200).json();
    assert_eq!(plan["integrations"][2]["change"], "keep");
    let plan = client
        .post("/integrations:plan", json!({"sourceYaml": PLAIN}))
        .await
        .expect(200)
        .json();
    assert!(
        plan["integrations"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["change"] == "unchanged"),
        "{plan}"
    );
    client
        .post("/integrations:plan", json!({"sourceYaml": "a: 1"}))
        .await
        .problem(422);
    client.post("/integrations:plan", json!({})).await.problem(400);
    assert_eq!(client.get("/integrations").await.expect(200).body, before);
    let frontend = client
        .post("/api-keys", json!({"label": "browser", "scopes": ["frontend"]}))
        .await
        .expect(201)
        .json();
    let mut browser = client.clone();
    browser.key = frontend["key"].as_str().unwrap().to_owned();
    browser.post("/integrations:plan", &body).await.problem(403);
}

async fn a_manifest_may_begin_with_a_byte_order_mark(kind: Kind) {
    let service = Service::empty(kind).await;
    let with_mark = format!("\u{feff}{}", PLAIN.trim_start());
    let put = async |source: &str| {
        service
            .client
            .put("/integrations:batch", json!({"sourceYaml": source}))
            .await
    };
    let deployed = put(&with_mark).await.expect(200).json();
    assert_eq!(
        put(PLAIN).await.expect(200).json(),
        deployed,
        "it is the same manifest"
    );
    let comment = format!("\u{feff}# mine\n{}", PLAIN.trim_start());
    put(&comment).await.expect(200);
    let two = put("\u{feff}a: 1\n---\nb: 2\n").await.problem(422);
    assert!(
        two["issues"][0]["detail"].as_str().unwrap().contains("several"),
        "{two}"
    );
}

async fn a_name_that_no_request_can_reach_is_422_where_it_stands(kind: Kind) {
    let service = Service::empty(kind).await;
    let client = &service.client;
    let of_contacts = "{objectName: contacts, destination: d, schedule: s, requiredFields: [FIELD]}";
    let read = |field: &str| format!("read: {{objects: [{}]}}", of_contacts.replace("FIELD", field));
    let write = "write: {objects: [{objectName: contacts}]}";
    for (name, rest, place) in [
        (r#""a\0b""#, write.to_owned(), "$.integrations[0].name"),
        (r#""\u0000""#, write.to_owned(), "$.integrations[0].name"),
        (
            r#""0192f3c4-8a50-7d2e-9c1b-6b1f0c9d2e11""#,
            write.to_owned(),
            "$.integrations[0].name",
        ),
        (r#"".""#, write.to_owned(), "$.integrations[0].name"),
        (r#""..""#, write.to_owned(), "$.integrations[0].name"),
        (
            "good",
            r#"write: {objects: [{objectName: "a\0b"}]}"#.to_owned(),
            "$.integrations[0].write.objects[0].objectName",
        ),
        (
            "good",
            r#"write: {objects: [{objectName: ".."}]}"#.to_owned(),
            "$.integrations[0].write.objects[0].objectName",
        ),
        (
            "good",
            read(r#"{fieldName: email, mapToName: "a\0b"}"#),
            "$.integrations[0].read.objects[0].requiredFields[0].mapToName",
        ),
        (
            "good",
            read(r#"{fieldName: "a\0b"}"#),
            "$.integrations[0].read.objects[0].requiredFields[0].fieldName",
        ),
        (
            "good",
            format!("{write}\n    displayName: \"a\\0b\""),
            "$.integrations[0].displayName",
        ),
        (
            "good",
            read("email").replace("objectName: contacts", "objectName: contacts, mapToName: '..'"),
            "$.integrations[0].read.objects[0].mapToName",
        ),
    ] {
        let source = format!(
            "specVersion: 1.0.0\nintegrations:\n  - name: {name}\n    provider: hubspot\n    {rest}\n"
        );
        for (path, method) in [("/integrations:batch", "put"), ("/integrations:plan", "post")] {
            let body = json!({"sourceYaml": source});
            let answer = match method {
                "put" => client.put(path, body).await,
                _ => client.post(path, body).await,
            };
            let problem = answer.problem(422);
            let places: Vec<&Value> = problem["issues"]
                .as_array()
                .unwrap()
                .iter()
                .map(|issue| &issue["name"])
                .collect();
            assert!(places.contains(&&json!(place)), "{source}: {problem}");
        }
    }
    for name in ["a\0b", "0192f3c4-8a50-7d2e-9c1b-6b1f0c9d2e11", ".."] {
        let content = json!({"write": {"objects": [{"objectName": "contacts"}]}});
        let new = json!({"name": name, "provider": "hubspot", "latestRevision": {"specVersion": "1.0.0", "content": content}});
        let problem = client.post("/integrations", new).await.problem(422);
        assert_eq!(
            problem["issues"][0]["name"], "$.integrations[0].name",
            "{problem}"
        );
    }
    assert_eq!(client.get("/integrations").await.expect(200).json(), json!([]));
    // What only looks odd can be reached.
    let odd = "specVersion: 1.0.0\nintegrations:\n  - name: \"a/b 'c' ..d\"\n    provider: hubspot\n    write: {objects: [{objectName: contacts}]}\n";
    client
        .put("/integrations:batch", json!({"sourceYaml": odd}))
        .await
        .expect(200);
    client.get("/integrations/a%2Fb%20'c'%20..d").await.expect(200);
}

async fn a_connection_never_shows_its_secrets_and_none_lies_in_the_database_in_plain_text(kind: Kind) {
    let service = Service::empty(kind).await;
    let client = &service.client;
    let secrets = [
        "s3cr3t-api-key",
        "s3cr3t-password",
        "s3cr3t-access",
        "s3cr3t-refresh",
    ];
    let base = json!({"provider": "hubspot", "groupRef": "g", "consumerRef": "c"});
    let with = |more: Value| {
        let mut body = base.clone();
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let mut answers = Vec::new();
    for (more, scheme) in [
        (json!({"apiKey": secrets[0]}), "apiKey"),
        (
            json!({"oauth2AuthorizationCode": {"accessToken": {"token": secrets[2]}, "refreshToken": {"token": secrets[3]}, "scopes": ["a"]}}),
            "oauth2/authorizationCode",
        ),
    ] {
        let answer = client.post("/connections:generate", with(more)).await.expect(201);
        let made = answer.json();
        assert_eq!(
            (made["authScheme"].as_str(), made["status"].as_str()),
            (Some(scheme), Some("created"))
        );
        assert_eq!(made["group"]["groupName"], "g");
        let path = format!("/connections/{}", made["id"].as_str().unwrap());
        answers.push(answer.body);
        answers.push(client.get(&path).await.expect(200).body);
        let row = service.app.store.get_connection(
            client.get("").await.json()["id"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap(),
            made["id"].as_str().unwrap().parse().unwrap(),
        );
        let row = format!("{:?}", row.await.unwrap().unwrap());
        let sealed = row.clone();
        answers.push(sealed);
    }
    let wrong_kind = with(json!({"basicAuth": {"username": "u", "password": secrets[1]}}));
    answers.push(
        client
            .post("/connections:generate", wrong_kind)
            .await
            .problem(400)
            .to_string(),
    );
    answers.push(
        client
            .get("/connections?groupRef=g&provider=hubspot&consumerRef=c")
            .await
            .expect(200)
            .body,
    );
    for answer in &answers {
        for secret in secrets {
            assert!(!answer.contains(secret), "{answer}");
            let bytes = format!("{:?}", secret.as_bytes());
            assert!(!answer.contains(bytes.trim_matches(['[', ']'])), "{answer}");
        }
    }
    assert_eq!(
        client.get("/connections?groupRef=other").await.expect(200).json(),
        json!([])
    );
}

async fn bad_connections_are_refused_by_field(kind: Kind) {
    let service = Service::empty(kind).await;
    let good = json!({"provider": "hubspot", "groupRef": "g", "consumerRef": "c", "apiKey": "k"});
    for (change, field) in [
        (json!({"provider": "nobody"}), "provider"),
        (json!({"groupRef": ""}), "groupRef"),
        (json!({"consumerRef": "x".repeat(1000)}), "consumerRef"),
        (json!({"apiKey": ""}), "apiKey"),
        (json!({"apiKey": "a\nb"}), "apiKey"),
        (json!({"apiKey": 5}), "apiKey"),
        (json!({"basicAuth": {"username": "u", "password": "p"}}), "apiKey"),
        (
            json!({"oauth2ClientCredentials": {"clientId": "a", "clientSecret": "s3cr3t"}}),
            "apiKey",
        ),
        (json!({"providerMetadata": {"a": 5}}), "providerMetadata.a"),
    ] {
        let mut body = good.clone();
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let problem = service
            .client
            .post("/connections:generate", body)
            .await
            .problem(400);
        assert_eq!(problem["issues"][0]["name"], field, "{problem}");
        assert!(!problem.to_string().contains("s3cr3t"));
    }
    let without = json!({"provider": "hubspot", "groupRef": "g", "consumerRef": "c"});
    service
        .client
        .post("/connections:generate", without)
        .await
        .problem(400);
    assert_eq!(
        service.client.get("/connections").await.expect(200).json(),
        json!([])
    );
}

async fn a_connection_in_use_cannot_be_deleted(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let used = client
        .get("/connections?provider=hubspot")
        .await
        .expect(200)
        .json()[0]["id"]
        .clone();
    client
        .delete(&format!("/connections/{}", used.as_str().unwrap()))
        .await
        .problem(409);
    let free = service.connect("free", "hubspot", "t").await;
    let path = format!("/connections/{}", free["id"].as_str().unwrap());
    client.delete(&path).await.expect(204);
    client.delete(&path).await.problem(404);
    client.get("/connections/nonsense").await.problem(404);
}

async fn an_installation_has_a_group_with_a_name_and_the_default_connection(kind: Kind) {
    let service = Service::empty(kind).await;
    service.deploy(PLAIN).await;
    let client = &service.client;
    let body = json!({"groupRef": "g", "config": {"content": {"provider": "hubspot"}}});
    let problem = client
        .post("/integrations/hs/installations", &body)
        .await
        .problem(400);
    assert_eq!(
        problem["issues"][0]["name"], "connectionId",
        "no connection yet: {problem}"
    );
    service.connect("g", "salesforce", "t").await;
    service.connect("g", "hubspot", "first").await;
    let newest = service.connect("g", "hubspot", "second").await;
    let made = client
        .post("/integrations/hs/installations", &body)
        .await
        .expect(201)
        .json();
    assert_eq!(made["connection"]["id"], newest["id"]);
    assert_eq!(made["group"]["groupName"], "g");
    assert_eq!(made["healthStatus"], "healthy");
    assert_eq!(made["createdBy"], "api:create-installation");
    assert_eq!(made["config"]["content"], body["config"]["content"]);
    let path = format!("/integrations/hs/installations/{}", made["id"].as_str().unwrap());
    assert_eq!(client.get(&path).await.expect(200).json(), made);
    assert_eq!(
        client
            .get("/integrations/hs/installations?groupRef=g")
            .await
            .expect(200)
            .json(),
        json!([made])
    );
    assert_eq!(
        client
            .get("/integrations/hs/installations?groupRef=x")
            .await
            .expect(200)
            .json(),
        json!([])
    );
    assert_eq!(
        client
            .get("/integrations/sf/installations")
            .await
            .expect(200)
            .json(),
        json!([])
    );
    client.get(&path.replace("/hs/", "/sf/")).await.problem(404);
    let other = json!({"groupRef": "h", "connectionId": newest["id"], "config": {"content": {"provider": "hubspot"}}});
    client
        .post("/integrations/hs/installations", other)
        .await
        .problem(400);
}

async fn a_second_installation_of_a_group_is_409(kind: Kind) {
    let service = Service::start(kind).await;
    let body = json!({"groupRef": GROUP, "config": {"content": {"provider": "hubspot"}}});
    service
        .client
        .post("/integrations/hs/installations", body)
        .await
        .problem(409);
}

async fn a_config_that_does_not_fit_is_400_with_issues(kind: Kind) {
    let service = Service::empty(kind).await;
    service.deploy(PLAIN).await;
    service.connect("g", "hubspot", "t").await;
    for (content, path) in [
        (json!({"provider": "salesforce"}), "config.content.provider"),
        (
            json!({"provider": "hubspot", "write": {"objects": {"tickets": {"objectName": "tickets"}}}}),
            "config.content.write.objects.tickets",
        ),
        (
            json!({"provider": "hubspot", "write": {"objects": []}}),
            "config.content.write.objects",
        ),
    ] {
        let body = json!({"groupRef": "g", "config": {"content": content}});
        let problem = service
            .client
            .post("/integrations/hs/installations", body)
            .await
            .problem(400);
        let name = problem["issues"][0]["name"].as_str().unwrap();
        assert!(name.starts_with(path), "{problem}");
    }
}

async fn an_update_mask_changes_what_it_names_and_takes_effect_with_the_next_write(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let before = client
        .get("/integrations/hs/installations")
        .await
        .expect(200)
        .json()[0]
        .clone();
    let path = format!(
        "/integrations/hs/installations/{}",
        before["id"].as_str().unwrap()
    );
    let create = json!({"groupRef": GROUP, "type": "create", "record": {"name": "Acme"}});
    client.write("hs", "companies", &create).await.expect(200);
    let default = json!({"objectName": "companies", "selectedFieldSettings": {"domain": {"default": {"stringValue": "acme.example"}}}});
    let change = json!({
        "updateMask": ["config.content.write.objects.companies"],
        "installation": {"connectionId": "ignored", "config": {"content": {"provider": "", "write": {"objects": {"companies": default}}}}}
    });
    let changed = client.patch(&path, change).await.expect(200).json();
    assert_ne!(
        changed["config"]["id"], before["config"]["id"],
        "every change makes a new config"
    );
    assert_eq!(
        changed["config"]["content"]["write"]["objects"]["companies"],
        default
    );
    assert!(
        changed["config"]["content"]["write"]["objects"]["contacts"].is_object(),
        "the rest stays"
    );
    client.write("hs", "companies", &create).await.expect(200);
    assert_eq!(service.reached()[0].2, r#"{"properties":{"name":"Acme"}}"#);
    assert_eq!(
        service.reached()[1].2,
        r#"{"properties":{"name":"Acme","domain":"acme.example"}}"#
    );
    let empty = json!({"updateMask": [], "installation": {}});
    assert_eq!(
        client.patch(&path, empty).await.expect(200).json()["config"]["id"],
        changed["config"]["id"]
    );
}

async fn a_bad_update_mask_is_400_and_changes_nothing(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let before = client
        .get("/integrations/hs/installations")
        .await
        .expect(200)
        .json()[0]
        .clone();
    let path = format!(
        "/integrations/hs/installations/{}",
        before["id"].as_str().unwrap()
    );
    for mask in [
        "config.content.provider",
        "id",
        "",
        "config.content.write.objects.companies",
        "connectionId",
    ] {
        let body = json!({"updateMask": [mask], "installation": {"config": {"content": {}}}});
        client.patch(&path, body).await.problem(400);
    }
    client
        .patch(&path, json!({"updateMask": "x", "installation": {}}))
        .await
        .problem(400);
    assert_eq!(client.get(&path).await.expect(200).json(), before);
}

async fn a_json_patch_changes_one_object(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let body = json!({"groupRef": GROUP, "action": "write", "changes": [{"op": "add", "path": "/deletionSettings", "value": {"enabled": false}}]});
    let changed = client
        .patch("/integrations/hs/objects/contacts/config-content", body)
        .await
        .expect(200)
        .json();
    assert_eq!(
        changed["config"]["content"]["write"]["objects"]["contacts"]["deletionSettings"],
        json!({"enabled": false})
    );
    let delete = json!({"groupRef": GROUP, "type": "delete", "record": {"id": "1"}});
    client.write("hs", "contacts", delete).await.problem(400);
    for (action, changes) in [
        ("write", json!([])),
        ("erase", json!([{"op": "remove", "path": "/x"}])),
        ("write", json!([{"op": "remove", "path": "/nothing"}])),
    ] {
        let body = json!({"groupRef": GROUP, "action": action, "changes": changes});
        client
            .patch("/integrations/hs/objects/contacts/config-content", body)
            .await
            .problem(400);
    }
    let stranger =
        json!({"groupRef": "stranger", "action": "write", "changes": [{"op": "remove", "path": "/x"}]});
    client
        .patch("/integrations/hs/objects/contacts/config-content", stranger)
        .await
        .problem(404);
}

async fn deleting_an_installation_takes_its_connection_along(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let installation = client
        .get("/integrations/hs/installations")
        .await
        .expect(200)
        .json()[0]
        .clone();
    let path = format!(
        "/integrations/hs/installations/{}",
        installation["id"].as_str().unwrap()
    );
    client.delete(&path).await.expect(204);
    client.delete(&path).await.problem(404);
    client
        .get(&format!(
            "/connections/{}",
            installation["connection"]["id"].as_str().unwrap()
        ))
        .await
        .problem(404);
    let create = json!({"groupRef": GROUP, "type": "create", "record": {"name": "x"}});
    client.write("hs", "companies", create).await.problem(404);
}

async fn operations_are_listed_in_stable_pages(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let installation = client
        .get("/integrations/hs/installations")
        .await
        .expect(200)
        .json()[0]["id"]
        .clone();
    let path = format!(
        "/integrations/hs/installations/{}/operations",
        installation.as_str().unwrap()
    );
    let write = async |name: &str| {
        let body = json!({"groupRef": GROUP, "type": "create", "record": {"name": name}});
        client.write("hs", "companies", body).await.expect(200).json()["operationId"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.insert(0, write(name).await);
    }
    let page = client.get(&format!("{path}?pageSize=2")).await.expect(200).json();
    let seen = |page: &Value| -> Vec<String> {
        page["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(seen(&page), ids[..2]);
    assert_eq!(page["pagination"]["done"], false);
    write("d").await;
    let token = page["pagination"]["nextPageToken"].as_str().unwrap();
    let rest = client
        .get(&format!("{path}?pageSize=2&pageToken={token}"))
        .await
        .expect(200)
        .json();
    assert_eq!(seen(&rest), ids[2..]);
    assert_eq!(rest["pagination"], json!({"done": true}));
    for query in ["pageSize=0", "pageSize=1001", "pageSize=x", "pageToken=nonsense"] {
        client.get(&format!("{path}?{query}")).await.problem(400);
    }
}

async fn a_frontend_key_cannot_send_somebodys_credentials_elsewhere(kind: Kind) {
    let service = Service::start(kind).await;
    let made = service
        .client
        .post("/api-keys", json!({"label": "b", "scopes": ["frontend"]}))
        .await
        .expect(201)
        .json();
    let browser = crate::harness::Client {
        key: made["key"].as_str().unwrap().to_owned(),
        ..service.client.clone()
    };
    let connection = browser
        .get("/connections?provider=salesforce")
        .await
        .expect(200)
        .json()[0]["id"]
        .clone();
    let path = format!("/connections/{}", connection.as_str().unwrap());
    for (mask, value) in [
        ("providerWorkspaceRef", json!("attacker")),
        (
            "providerMetadata",
            json!({"instance_url": {"value": "https://attacker.example", "source": "input"}}),
        ),
    ] {
        let body = json!({"updateMask": [mask], "connection": {mask: value}});
        browser.patch(&path, &body).await.problem(403);
    }
    let reconnect = json!({"updateMask": ["oauth2AuthorizationCode"],
        "connection": {"oauth2AuthorizationCode": {"accessToken": {"token": "test-acme"}}}});
    browser.patch(&path, reconnect).await.expect(200);
    let other_kind =
        json!({"updateMask": ["basicAuth"], "connection": {"basicAuth": {"username": "u", "password": "p"}}});
    browser.patch(&path, other_kind).await.problem(400);
}
