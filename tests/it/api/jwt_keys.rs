//! The public keys that JWTs are verified with, as an SDK manages them.

use serde_json::{Value, json};

use crate::harness::jwt::{browser, frontend, other_project, pem, register};
use crate::harness::service::GROUP;
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    a_jwt_key_is_added_listed_changed_and_deleted,
    what_cannot_be_verified_with_is_refused_with_words,
    a_mask_says_what_changes_and_nothing_else_does,
    a_key_of_another_project_is_not_found,
);

async fn a_jwt_key_is_added_listed_changed_and_deleted(kind: Kind) {
    let service = Service::empty(kind).await;
    let client = &service.client;
    assert_eq!(client.get("/jwt-keys").await.expect(200).json(), json!([]));
    let body = json!({"label": "production", "algorithm": "RS256", "publicKeyPem": pem("public"), "more": 1});
    let made = client.post("/jwt-keys", body).await.expect(201).json();
    let kid = made["kid"].as_str().unwrap();
    assert_eq!(made, json!({"kid": kid}), "the contract's answer, and no more");
    let path = format!("/jwt-keys/{kid}");
    let key = client.get(&path).await.expect(200).json();
    let project = client.get("").await.json()["id"].clone();
    assert_eq!(
        key,
        json!({"id": kid, "projectId": project, "label": "production", "algorithm": "RSA",
            "publicKeyPem": pem("public"), "active": true, "createTime": key["createTime"], "updateTime": key["createTime"]})
    );
    let ann = browser(client, kid, GROUP, "ann");
    ann.get("/connections").await.expect(200);

    let off = json!({"updateMask": ["active"], "jwtKey": {"active": false}});
    let changed = client.patch(&path, off).await.expect(200).json();
    assert_eq!(changed["active"], false);
    assert_ne!(changed["updateTime"], key["updateTime"]);
    ann.get("/connections").await.problem(401);
    assert_eq!(
        client.get("/jwt-keys?active=true").await.expect(200).json(),
        json!([])
    );
    assert_eq!(client.get("/jwt-keys").await.expect(200).json(), json!([changed]));

    let on = json!({"updateMask": ["active", "name"], "jwtKey": {"active": true, "name": "again"}});
    assert_eq!(client.patch(&path, on).await.expect(200).json()["label"], "again");
    ann.get("/connections").await.expect(200);
    client.delete(&path).await.expect(204);
    ann.get("/connections").await.problem(401);
    for gone in [
        client.get(&path).await,
        client.delete(&path).await,
        client.get("/jwt-keys/x").await,
    ] {
        assert_eq!(gone.problem(404)["detail"], "JWT key not found.");
    }
}

async fn what_cannot_be_verified_with_is_refused_with_words(kind: Kind) {
    let service = Service::empty(kind).await;
    let client = &service.client;
    let good = json!({"label": "x", "algorithm": "RSA", "publicKeyPem": pem("public_pkcs1")});
    client.post("/jwt-keys", &good).await.expect(201);
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (body, place, part) in [
        (
            with("publicKeyPem", pem("private").into()),
            "publicKeyPem",
            "private key",
        ),
        (
            with("publicKeyPem", pem("certificate").into()),
            "publicKeyPem",
            "certificate",
        ),
        (
            with("publicKeyPem", pem("public_1024").into()),
            "publicKeyPem",
            "1024 bits",
        ),
        (
            with("publicKeyPem", pem("public_ec").into()),
            "publicKeyPem",
            "not an RSA key",
        ),
        (with("publicKeyPem", "".into()), "publicKeyPem", "PEM"),
        (with("publicKeyPem", 7.into()), "publicKeyPem", "type"),
        (with("algorithm", "HS256".into()), "algorithm", "RS256"),
        (with("algorithm", "none".into()), "algorithm", "RS256"),
        (with("label", " ".into()), "label", "characters"),
        (with("label", "x".repeat(256).into()), "label", "characters"),
        (with("label", "a\0b".into()), "label", "NUL"),
        (with("label", Value::Null), "label", "missing"),
    ] {
        let problem = client.post("/jwt-keys", &body).await.problem(400);
        assert_eq!(problem["issues"][0]["name"], place, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
        assert!(!problem.to_string().contains("MII"), "{problem}");
    }
    let kept = client.get("/jwt-keys").await.json();
    assert_eq!(kept.as_array().unwrap().len(), 1);
}

async fn a_mask_says_what_changes_and_nothing_else_does(kind: Kind) {
    let service = Service::empty(kind).await;
    let client = &service.client;
    let path = format!("/jwt-keys/{}", register(client).await);
    let before = client.get(&path).await.expect(200).json();
    for (mask, key, status) in [
        (
            json!(["publicKeyPem"]),
            json!({"publicKeyPem": pem("public_other")}),
            400,
        ),
        (json!(["active", "id"]), json!({"active": false, "id": "x"}), 400),
        (json!([]), json!({"active": false}), 400),
        (json!(["active"]), json!({}), 422),
        (json!(["label"]), json!({"active": false}), 422),
        (json!(["label"]), json!({"label": ""}), 400),
    ] {
        let body = json!({"updateMask": mask, "jwtKey": key});
        client.patch(&path, &body).await.problem(status);
        assert_eq!(client.get(&path).await.json(), before, "{body}");
    }
    let body = json!({"updateMask": ["label"], "jwtKey": {"label": "new", "active": false}});
    let changed = client.patch(&path, body).await.expect(200).json();
    assert_eq!(
        (&changed["label"], &changed["active"]),
        (&json!("new"), &json!(true))
    );
}

async fn a_key_of_another_project_is_not_found(kind: Kind) {
    let service = Service::empty(kind).await;
    let other = other_project(&service).await;
    let path = format!("/jwt-keys/{}", register(&other).await);
    let client = &service.client;
    let off = json!({"updateMask": ["active"], "jwtKey": {"active": false}});
    client.get(&path).await.problem(404);
    client.patch(&path, off).await.problem(404);
    client.delete(&path).await.problem(404);
    assert_eq!(client.get("/jwt-keys").await.json(), json!([]));
    assert_eq!(other.get(&path).await.expect(200).json()["active"], true);
    // Nor does a key that lies in browsers manage any.
    frontend(&other).await.delete(&path).await.problem(403);
    other.get(&path).await.expect(200);
}
