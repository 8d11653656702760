//! Minted tokens.

use std::time::Duration;

use amp_write::action::Action;
use amp_write::connectors::{Catalog, Outcome, parse};
use amp_write::writes::outcome::certainly_not_applied;
use amp_write::writes::request::StoredRequest;
use amp_write::writes::set::WriteSet;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};

use super::{KEY, Provider, connect, create, previewed, service};
use crate::harness::client::PATIENCE;
use crate::harness::service::GROUP;
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    a_token_is_minted_with_a_signed_assertion_and_used_for_many_writes,
    writes_at_the_same_time_mint_once,
    a_token_that_has_ended_is_replaced_once_and_the_write_sent_once_more,
    a_new_token_that_is_refused_is_not_replaced_again,
    refused_credentials_hold_the_lane_until_they_are_replaced,
    a_token_endpoint_that_fails_for_a_while_delays_writes_and_applies_none,
    a_preview_mints_nothing,
    new_variables_mint_a_new_token,
    tokens_and_assertions_are_never_shown,
    a_token_without_a_life_is_used_once,
    every_kind_of_grant_gets_a_token,
    a_customers_own_app_mints_tokens_that_are_kept_and_renewed,
    a_write_is_sent_once_more_only_with_leave,
);

async fn started(kind: Kind, provider: &Provider) -> (Service, String) {
    let service = service(kind, provider, "salesforceJWT", "Account").await;
    let more = json!({"providerWorkspaceRef": "acme", "customAuth": inputs()});
    let path = connect(&service, "salesforceJWT", more).await;
    (service, path)
}

fn inputs() -> Value {
    json!({"clientId": "c1", "username": "mira@northpeak.example", "privateKey": KEY})
}

async fn write(service: &Service) -> crate::harness::client::Answer {
    let body = create(json!({"Name": "Northpeak"}));
    service.client.write("i", "Account", body).await
}

/// An asynchronous write; answers its operation.
async fn accept(service: &Service) -> String {
    let mut body = create(json!({"Name": "Northpeak"}));
    body["mode"] = json!("asynchronous");
    let answer = service
        .client
        .write("i", "Account", body)
        .await
        .expect(200)
        .json();
    answer["operationId"].as_str().unwrap().to_owned()
}

async fn a_token_is_minted_with_a_signed_assertion_and_used_for_many_writes(kind: Kind) {
    let provider = Provider::start().await;
    let (service, path) = started(kind, &provider).await;
    for _ in 0..3 {
        write(&service).await.expect(200);
    }
    let minted = provider.minted();
    assert_eq!(minted.len(), 1);
    assert_eq!(
        (minted[0].method.as_str(), minted[0].uri.as_str()),
        ("POST", "/services/oauth2/token")
    );
    assert_eq!(
        minted[0].field("grant_type"),
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    );
    let assertion = minted[0].field("assertion");
    let (text, signature) = assertion.rsplit_once('.').unwrap();
    let pem: String = KEY.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(pem).unwrap();
    let key = RsaKeyPair::from_pkcs8(&der).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref())
        .verify(text.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
        .expect("the provider can verify it");
    let claims = URL_SAFE_NO_PAD.decode(text.split_once('.').unwrap().1).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(
        (&claims["iss"], &claims["sub"]),
        (&json!("c1"), &json!("mira@northpeak.example"))
    );
    let writes = provider.writes();
    assert_eq!(writes.len(), 3);
    for write in &writes {
        assert_eq!(write.header("authorization"), "Bearer t0ken-number-1");
        assert_eq!(write.uri, "/services/data/v60.0/sobjects/Account");
    }
    // New credentials, new token.
    let patch = json!({"updateMask": ["customAuth"], "connection": {"customAuth": inputs()}});
    service.client.patch(&path, patch).await.expect(200);
    write(&service).await.expect(200);
    assert_eq!(provider.minted().len(), 2);
    assert_ne!(provider.minted()[1].field("assertion"), assertion);
}

async fn writes_at_the_same_time_mint_once(kind: Kind) {
    let provider = Provider::start().await;
    provider.state().token_delay = Duration::from_millis(300);
    let (service, _) = started(kind, &provider).await;
    let writes = (0..12).map(|_| write(&service));
    for answer in futures_util::future::join_all(writes).await {
        answer.expect(200);
    }
    assert_eq!((provider.minted().len(), provider.writes().len()), (1, 12));
    // And when the token ends under all of them.
    provider.revoke();
    let writes = (0..12).map(|_| write(&service));
    for answer in futures_util::future::join_all(writes).await {
        answer.expect(200);
    }
    assert_eq!(provider.minted().len(), 2);
}

async fn a_token_that_has_ended_is_replaced_once_and_the_write_sent_once_more(kind: Kind) {
    let provider = Provider::start().await;
    let (service, path) = started(kind, &provider).await;
    write(&service).await.expect(200);
    provider.revoke();
    let done = write(&service).await.expect(200).json();
    assert_eq!(done["result"]["recordId"], "001000000000001AAA");
    let tokens: Vec<String> = provider
        .writes()
        .iter()
        .map(|write| write.header("authorization").to_owned())
        .collect();
    assert_eq!(
        tokens,
        [
            "Bearer t0ken-number-1",
            "Bearer t0ken-number-1",
            "Bearer t0ken-number-2"
        ]
    );
    assert_eq!(provider.minted().len(), 2);
    let bodies: Vec<_> = provider.writes().into_iter().map(|write| write.body).collect();
    assert_eq!(bodies[1], bodies[2], "the same write");
    assert_eq!(service.client.get(&path).await.json()["status"], "working");
    // The same in the queue.
    provider.revoke();
    let operation = accept(&service).await;
    assert_eq!(service.client.ended(&operation).await["status"], "success");
    assert_eq!((provider.minted().len(), provider.writes().len()), (3, 5));
}

async fn a_new_token_that_is_refused_is_not_replaced_again(kind: Kind) {
    let provider = Provider::start().await;
    let (service, path) = started(kind, &provider).await;
    // A token that the provider itself does not take.
    let bad = || (200, json!({"access_token": "of-another-org"}));
    provider.state().token_answers.push_back(bad());
    write(&service).await.problem(424);
    assert_eq!((provider.minted().len(), provider.writes().len()), (1, 1));
    assert_eq!(
        service.client.get(&path).await.json()["status"],
        "bad_credentials"
    );

    let patch = json!({"updateMask": ["customAuth"], "connection": {"customAuth": inputs()}});
    service.client.patch(&path, patch).await.expect(200);
    write(&service).await.expect(200);
    provider.revoke();
    provider.state().token_answers.push_back(bad());
    write(&service).await.problem(424);
    // Before: one refused, one taken. Then one with the old token and one with the new one, and no more.
    assert_eq!((provider.minted().len(), provider.writes().len()), (3, 4));
}

async fn refused_credentials_hold_the_lane_until_they_are_replaced(kind: Kind) {
    let provider = Provider::start().await;
    let (service, path) = started(kind, &provider).await;
    let refusal =
        json!({"error": "invalid_grant", "error_description": "user hasn't approved this consumer"});
    // Some providers tell an error with status 200.
    let refusals = vec![(200, refusal.clone()); 9];
    provider.state().token_answers.extend(refusals);
    let operations = [accept(&service).await, accept(&service).await];
    let waiting = std::time::Instant::now();
    while service.client.get(&path).await.json()["status"] != "bad_credentials" {
        assert!(waiting.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for operation in &operations {
        let operation = service
            .client
            .get(&format!("/operations/{operation}"))
            .await
            .json();
        assert_eq!(operation["status"], "in_progress", "{operation}");
    }
    assert!(provider.writes().is_empty());
    let problem = write(&service).await.problem(424);
    assert!(problem["remedy"].is_string(), "{problem}");
    provider.state().token_answers.clear();
    let patch = json!({"updateMask": ["customAuth"], "connection": {"customAuth": inputs()}});
    service.client.patch(&path, patch).await.expect(200);
    for operation in &operations {
        assert_eq!(service.client.ended(operation).await["status"], "success");
    }
    assert_eq!(provider.writes().len(), 2);
    // A synchronous write is told what the provider said.
    provider.revoke();
    provider.state().token_answers.push_back((400, refusal));
    let problem = write(&service).await.problem(424);
    assert!(
        problem.to_string().contains("user hasn't approved this consumer"),
        "{problem}"
    );
}

async fn a_token_endpoint_that_fails_for_a_while_delays_writes_and_applies_none(kind: Kind) {
    let provider = Provider::start().await;
    let (service, path) = started(kind, &provider).await;
    let down = [
        (503, json!("down")),
        (200, json!("hello")),
        (500, json!({"error": "server_error"})),
    ];
    provider.state().token_answers.extend(down.clone());
    let operation = accept(&service).await;
    let done = service.client.ended(&operation).await;
    assert_eq!(done["status"], "success", "{done}");
    assert_eq!((provider.minted().len(), provider.writes().len()), (4, 1));
    // Synchronous: the app may simply send it again.
    provider.revoke();
    provider.state().token_answers.push_back((503, json!("down")));
    let problem = write(&service).await.problem(502);
    assert_eq!(problem["retryable"], true, "{problem}");
    provider
        .state()
        .token_answers
        .push_back((429, json!("slow down")));
    let answer = write(&service).await;
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(answer.problem(429)["retryable"], true);
    let taken = provider.writes().len();
    write(&service).await.expect(200);
    assert_eq!(provider.writes().len(), taken + 1);
    assert_eq!(service.client.get(&path).await.json()["status"], "working");
}

async fn a_preview_mints_nothing(kind: Kind) {
    let provider = Provider::start().await;
    let (service, _) = started(kind, &provider).await;
    let headers = previewed(&service, "Account", json!({"Name": "Northpeak"})).await;
    assert_eq!(headers["authorization"], "Bearer ***");
    assert!(provider.state().seen.is_empty());
}

async fn new_variables_mint_a_new_token(kind: Kind) {
    let provider = Provider::start().await;
    let (service, path) = started(kind, &provider).await;
    write(&service).await.expect(200);
    let patch = |workspace: &str| json!({"updateMask": ["providerWorkspaceRef"], "connection": {"providerWorkspaceRef": workspace}});
    let problem = service
        .client
        .patch(&path, patch("not a host/"))
        .await
        .problem(400);
    assert_eq!(
        problem["issues"][0]["name"], "connection.providerMetadata",
        "{problem}"
    );
    service.client.patch(&path, patch("other")).await.expect(200);
    write(&service).await.expect(200);
    assert_eq!(
        provider.minted().len(),
        2,
        "a token of one account is not sent to another"
    );
}

async fn tokens_and_assertions_are_never_shown(kind: Kind) {
    let provider = Provider::start().await;
    let (service, _) = started(kind, &provider).await;
    let mut told = Vec::new();
    // The token in the answer to a write, under a name that does not give it away.
    let repeated = json!([{"errorCode": "FIELD_INTEGRITY", "message": "you sent t0ken-number-1"}]);
    provider.state().answers.push_back((400, repeated));
    let answer = write(&service).await.expect(422);
    assert!(answer.body.contains("you sent ***"), "{}", answer.body);
    let operation = answer.json()["operationId"].as_str().unwrap().to_owned();
    told.push(answer.body);
    told.push(
        service
            .client
            .get(&format!("/operations/{operation}"))
            .await
            .expect(200)
            .body,
    );
    // The old token and the new one.
    provider.revoke();
    let repeated = json!([{"errorCode": "FIELD_INTEGRITY", "message": "t0ken-number-1, t0ken-number-2"}]);
    provider.state().answers.push_back((400, repeated));
    told.push(write(&service).await.expect(422).body);
    // A provider that refuses its own token and repeats it.
    provider.revoke();
    provider
        .state()
        .token_answers
        .push_back((200, json!({"access_token": "t0ken-of-nobody"})));
    told.push(write(&service).await.problem(424).to_string());
    for text in &told {
        for secret in ["t0ken", "eyJhbGciOi", "PRIVATE KEY"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
    assert_eq!(provider.minted().len(), 3);
    assert_eq!(
        service
            .client
            .get(&format!("/connections?groupRef={GROUP}"))
            .await
            .json()[0]["status"],
        "bad_credentials"
    );
}

async fn a_token_without_a_life_is_used_once(kind: Kind) {
    let provider = Provider::open().await;
    let (service, _) = started(kind, &provider).await;
    for text in ["first", "second"] {
        let token = json!({"access_token": text, "expires_in": "0"});
        provider.state().token_answers.push_back((200, token));
    }
    write(&service).await.expect(200);
    write(&service).await.expect(200);
    let writes = provider.writes();
    let tokens: Vec<&str> = writes.iter().map(|write| write.header("authorization")).collect();
    assert_eq!(tokens, ["Bearer first", "Bearer second"]);
}

async fn every_kind_of_grant_gets_a_token(kind: Kind) {
    let file = json!({"client_email": "robot@northpeak.example", "private_key": KEY}).to_string();
    let file = base64::engine::general_purpose::STANDARD.encode(file);
    for (name, object, more, grant, proof) in [
        (
            "googleWorkspaceDelegation",
            "events",
            json!({"providerMetadata": {"userEmail": "mira@northpeak.example"},
                   "customAuth": {"serviceAccountKey": file, "scopes": ["s1", "s2"]}}),
            "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion",
        ),
        (
            "netsuiteM2M",
            "customer",
            json!({"providerWorkspaceRef": "123",
                   "customAuth": {"clientId": "c", "certificateId": "k", "privateKey": KEY}}),
            "client_credentials",
            "client_assertion",
        ),
        (
            "microsoftAdminConsent",
            "users",
            json!({"providerMetadata": {"tenantId": "t1"}, "customAuth": {"clientId": "c", "clientSecret": "s"}}),
            "client_credentials",
            "client_secret",
        ),
    ] {
        let provider = Provider::start().await;
        let service = service(kind, &provider, name, object).await;
        connect(&service, name, more).await;
        service.client.write("i", object, create(json!({"a": 1}))).await;
        let minted = provider.minted().remove(0);
        assert_eq!(minted.field("grant_type"), grant, "{name}");
        assert!(!minted.field(proof).is_empty(), "{name}");
        assert_eq!(
            provider.writes()[0].header("authorization"),
            "Bearer t0ken-number-1",
            "{name}"
        );
    }
}

async fn a_customers_own_app_mints_tokens_that_are_kept_and_renewed(kind: Kind) {
    for (name, object, workspace) in [
        ("marketo", "leads", "123-ABC-456"),
        ("helpScoutMailbox", "customers", ""),
    ] {
        let provider = Provider::start().await;
        let service = service(kind, &provider, name, object).await;
        let client = &service.client;
        let own = json!({"clientId": "the-app", "clientSecret": "s3cr3t-of-the-app", "scopes": ["s1", "s2"]});
        let more = json!({"providerWorkspaceRef": workspace, "oauth2ClientCredentials": own});
        let path = connect(&service, name, more).await;
        let made = client.get(&path).await.expect(200);
        assert_eq!(made.json()["authScheme"], "oauth2/clientCredentials");
        assert!(!made.body.contains("s3cr3t"), "{}", made.body);
        for _ in 0..2 {
            client.write("i", object, create(json!({"a": 1}))).await;
        }
        let minted = provider.minted();
        assert_eq!(minted.len(), 1, "{name}: it is kept");
        for (field, value) in [
            ("grant_type", "client_credentials"),
            ("client_id", "the-app"),
            ("client_secret", "s3cr3t-of-the-app"),
            ("scope", "s1 s2"),
        ] {
            assert_eq!(minted[0].field(field), value, "{name}: {field}");
        }
        // It ends: another one is fetched, and the write sent once more.
        provider.revoke();
        client.write("i", object, create(json!({"a": 1}))).await;
        let tokens: Vec<String> = provider
            .writes()
            .iter()
            .map(|write| write.header("authorization").to_owned())
            .collect();
        let (old, new) = ("Bearer t0ken-number-1", "Bearer t0ken-number-2");
        assert_eq!(tokens, [old, old, old, new], "{name}");
        // New credentials, new token.
        let patch = json!({"updateMask": ["oauth2ClientCredentials"], "connection": {"oauth2ClientCredentials": {"clientId": "b", "clientSecret": "c"}}});
        client.patch(&path, patch).await.expect(200);
        client.write("i", object, create(json!({"a": 1}))).await;
        let last = provider.minted().pop().unwrap();
        assert_eq!(
            (last.field("client_id"), last.field("scope")),
            ("b".to_owned(), String::new()),
            "{name}"
        );
    }
    let service = Service::start(kind).await;
    for (provider, credentials, field) in [
        (
            "marketo",
            json!({"clientId": "a", "clientSecret": ""}),
            "oauth2ClientCredentials.clientSecret",
        ),
        (
            "hubspot",
            json!({"clientId": "a", "clientSecret": "b"}),
            "oauth2ClientCredentials",
        ),
    ] {
        let more = json!({"providerWorkspaceRef": "w", "oauth2ClientCredentials": credentials});
        let problem = service
            .client
            .post("/connections:generate", super::connection(provider, more))
            .await
            .problem(400);
        assert_eq!(problem["issues"][0]["name"], field, "{problem}");
    }
}

/// Whoever performs a write for the queue may have lost it while a token was fetched.
async fn a_write_is_sent_once_more_only_with_leave(kind: Kind) {
    let provider = Provider::start().await;
    let (service, _) = started(kind, &provider).await;
    write(&service).await.expect(200);
    let project = service.client.get("").await.json()["id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let writes = &service.app.writes;
    let route = writes.routes.find(project, "i", GROUP).await.unwrap();
    let plan = route.plan("Account").unwrap();
    let stored: StoredRequest = serde_json::from_str(r#"{"record":{"Name":"Northpeak"}}"#).unwrap();
    let record: serde_json::Map<String, Value> =
        serde_json::from_str(stored.record.as_ref().unwrap().get()).unwrap();
    for (still, reached) in [(true, 2), (false, 1)] {
        provider.revoke();
        let before = provider.writes().len();
        let (records, id) = (vec![record.clone()], uuid::Uuid::nil());
        let set = WriteSet::new(&route, &plan, Action::Create, records, false, &stored, None, id);
        let sent = async |_, _: &[usize]| Ok::<(), ()>(());
        let done = writes
            .call(&mut set.unwrap(), &[0], sent, || still)
            .await
            .unwrap();
        assert_eq!(provider.writes().len() - before, reached);
        match done.outcomes.into_iter().next().unwrap().1 {
            Outcome::Succeeded { .. } => assert!(still),
            // It may be sent by whoever has it now, and the credentials are as good as before.
            Outcome::Retry { error, .. } => assert!(!still && certainly_not_applied(&error)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_token_answer_says_where_the_account_is() {
    let catalog = Catalog::builtin();
    let connector = catalog.get("salesforceJWT").unwrap();
    let vars = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
    let workspace = vars("workspace", "acme");
    let moved = |url: &str, to: &str| connector.moved(url.to_owned(), &workspace, &vars("instance_url", to));
    let write = "https://acme.my.salesforce.com/services/data/v60.0/sobjects/Account?a=b";
    assert_eq!(
        moved(write, "https://na1.salesforce.com/").unwrap(),
        "https://na1.salesforce.com/services/data/v60.0/sobjects/Account?a=b"
    );
    for other in [
        "https://acme.my.salesforce.com.evil.example/x",
        "https://login.salesforce.com/x",
    ] {
        assert_eq!(moved(other, "https://na1.salesforce.com").unwrap(), other);
    }
    for bad in ["http://na1.example", "https://user:word@na1.example", "nonsense"] {
        assert!(moved(write, bad).is_err(), "{bad}");
    }
    assert_eq!(
        connector.moved(write.to_owned(), &workspace, &workspace).unwrap(),
        write
    );
    // What the connection itself says is older than the token.
    let mut both = workspace.clone();
    both.insert(
        "instance_url".to_owned(),
        "https://old.my.salesforce.com".to_owned(),
    );
    let found = vars("instance_url", "https://new.my.salesforce.com");
    let url = connector
        .moved("https://old.my.salesforce.com/x".to_owned(), &both, &found)
        .unwrap();
    assert_eq!(url, "https://new.my.salesforce.com/x");
}

#[test]
fn a_file_whose_token_cannot_be_fetched_is_refused() {
    let file = |mint: &str| {
        let text = format!(
            "provider: acme\ndisplay_name: Acme\nauth:\n  mint: {{token_url: \"https://id.example/token\", {mint}}}\nbase_url: https://api.example\nops: {{create: {{method: POST, path: /x}}}}\nresult: {{id: [id]}}\nopen: true\n"
        );
        parse("acme.yaml", &text, None)
            .map(drop)
            .map_err(|errors| errors[0].to_string())
    };
    let good =
        "grant: jwt_bearer, private_key: key.pem, claims: {iss: \"{id}\"}, inputs: [{name: key}, {name: id}]";
    file(good).unwrap();
    for (bad, told) in [
        ("grant: jwt_bearer", "mint.private_key is missing"),
        ("grant: jwt_bearer, private_key: key", "names `key`"),
        (
            "grant: client_credentials, inputs: [{name: clientId}]",
            "names `clientSecret`",
        ),
        (&good.replace("{id}", "{who}"), "names `who`"),
        (&good.replace("{id}", "{id"), "brace"),
        (&good.replace("iss:", "exp:"), "`exp` is added"),
        (&good.replace("grant", "algorithm: HS256, grant"), "algorithm"),
    ] {
        let error = file(bad).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
}
