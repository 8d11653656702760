//! Which JWTs are accepted. What each part of one must be is beside the code that verifies it; here is what a client sees.

use serde_json::{Value, json};

use crate::harness::jwt::{browser, claims, now, other_project, register, sign, sign_with};
use crate::harness::service::GROUP;
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    a_jwt_opens_the_project_of_its_key,
    a_jwt_that_is_not_accepted_is_401_and_says_why,
    an_unknown_key_is_answered_like_a_bad_signature,
    a_key_and_a_jwt_at_once_are_refused,
);

async fn a_jwt_opens_the_project_of_its_key(kind: Kind) {
    let service = Service::empty(kind).await;
    let client = &service.client;
    let kid = register(client).await;
    let ann = browser(client, &kid, GROUP, "ann");
    let own = ann.get("").await.expect(200).json();
    assert_eq!(own["name"], "test");
    // By the id of the project as by its name, and where no path names one by the key alone.
    let mut by_id = ann.clone();
    by_id.project = own["id"].as_str().unwrap().to_owned();
    by_id.get("/connections").await.expect(200);
    let listed = ann.send(ann.request(http::Method::GET, "/v1/projects")).await;
    assert_eq!(listed.expect(200).json(), json!([own]));
    // The scheme is a word in any case.
    let token = ann.key.strip_prefix("Bearer ").unwrap();
    let url = format!("{}{}", client.url, client.path("/connections"));
    let request = client
        .http
        .get(&url)
        .header("authorization", format!("bearer {token}"));
    client.send(request).await.expect(200);
}

async fn a_jwt_that_is_not_accepted_is_401_and_says_why(kind: Kind) {
    let service = Service::empty(kind).await;
    let client = &service.client;
    let kid = register(client).await;
    let with = |name: &str, value: Value| {
        let mut claims = claims(GROUP, "ann");
        claims[name] = value;
        sign(&kid, &claims)
    };
    let good = claims(GROUP, "ann");
    let header = |alg: &str| json!({"alg": alg, "kid": kid});
    let long = sign(
        &kid,
        &json!({"groupRef": GROUP, "consumerRef": "ann", "more": "x".repeat(9_000)}),
    );
    for (token, part) in [
        (with("exp", (now() - 61).into()), "exp"),
        (with("exp", (now() + 700).into()), "600 seconds"),
        (with("iat", (now() + 120).into()), "iat"),
        (with("nbf", (now() + 120).into()), "nbf"),
        (with("groupRef", Value::Null), "groupRef"),
        (with("consumerRef", Value::Null), "consumerRef"),
        (with("groupRef", "".into()), "groupRef"),
        (sign_with("private", &header("HS256"), &good), "RS256"),
        (sign_with("private", &header("none"), &good), "RS256"),
        (sign_with("private", &json!({"alg": "RS256"}), &good), "kid"),
        (sign_with("private_other", &header("RS256"), &good), "not signed"),
        (long, "4096"),
        ("x.y.z".to_owned(), "header"),
        ("amp_something".to_owned(), "three parts"),
        (String::new(), "three parts"),
        (format!("{} x", sign(&kid, &good)), "base64"),
    ] {
        let answer = client
            .with_key(format!("Bearer {token}"))
            .get("/connections")
            .await;
        let problem = answer.problem(401);
        let told = problem["detail"].as_str().unwrap();
        assert!(told.contains(part), "{part}: {problem}");
        assert!(problem["remedy"].is_string(), "{problem}");
    }
    // Another scheme is no credential of ours.
    let url = format!("{}{}", client.url, client.path("/connections"));
    let basic = client.http.get(&url).header("authorization", "Basic YTpi");
    client.send(basic).await.problem(401);
}

async fn an_unknown_key_is_answered_like_a_bad_signature(kind: Kind) {
    let service = Service::empty(kind).await;
    let client = &service.client;
    let kid = register(client).await;
    let other = other_project(&service).await;
    let foreign = register(&other).await;
    let good = claims(GROUP, "ann");
    let header = |kid: &str| json!({"alg": "RS256", "kid": kid});
    let mut told = Vec::new();
    for token in [
        sign_with("private_other", &header(&kid), &good),
        sign(&service.app.clock.new_id().to_string(), &good),
        sign("no-id", &good),
        // Signed well, with a key of another project.
        sign(&foreign, &good),
    ] {
        let answer = client
            .with_key(format!("Bearer {token}"))
            .get("/connections")
            .await;
        let mut problem = answer.problem(401);
        for field in ["time", "requestId"] {
            problem[field] = Value::Null;
        }
        told.push(problem);
    }
    assert!(told.iter().all(|problem| *problem == told[0]), "{told:#?}");
    let elsewhere = other.with_key(format!("Bearer {}", sign(&foreign, &good)));
    elsewhere.get("/connections").await.expect(200);
    let mut nowhere = elsewhere.clone();
    nowhere.project = "no-such-project".to_owned();
    nowhere.get("/connections").await.problem(401);
}

async fn a_key_and_a_jwt_at_once_are_refused(kind: Kind) {
    let service = Service::empty(kind).await;
    let client = &service.client;
    let kid = register(client).await;
    let bearer = browser(client, &kid, GROUP, "ann").key;
    let url = format!("{}{}", client.url, client.path("/connections"));
    let get = || client.http.get(&url);
    let both = get()
        .header("x-api-key", &client.key)
        .header("authorization", &bearer);
    let problem = client.send(both).await.problem(400);
    assert!(
        problem["detail"].as_str().unwrap().contains("one of the two"),
        "{problem}"
    );
    let twice = get()
        .header("authorization", &bearer)
        .header("authorization", &bearer);
    client.send(twice).await.problem(400);
    // What a proxy in between may have been given does not matter.
    let proxied = get()
        .header("x-api-key", &client.key)
        .header("authorization", "Basic YTpi");
    client.send(proxied).await.expect(200);
}
