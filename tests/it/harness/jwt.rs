//! An app's backend that signs JWTs for its customers' browsers.

use amp_write::clock::{Clock as _, SystemClock};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use super::{Client, Service};

/// A file of `tests/data/jwt/`: keys that were made for these tests and open nothing.
pub fn pem(name: &str) -> String {
    let path = format!("{}/tests/data/jwt/{name}.pem", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("a file")
}

/// Seconds since 1970.
pub fn now() -> i64 {
    SystemClock.now().as_micros() / 1_000_000
}

/// Signs with one of the private keys.
pub fn sign_with(private: &str, header: &Value, claims: &Value) -> String {
    let pem = pem(private);
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(body).expect("base64")).expect("a key");
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        text.as_bytes(),
        &mut signature,
    )
    .expect("signed");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Signs claims with the usual key, registered under `kid`.
pub fn sign(kid: &str, claims: &Value) -> String {
    sign_with("private", &json!({"alg": "RS256", "kid": kid}), claims)
}

/// Good claims.
pub fn claims(group: &str, consumer: &str) -> Value {
    json!({"groupRef": group, "consumerRef": consumer, "iat": now(), "exp": now() + 600})
}

/// Registers the usual key; answers its `kid`.
pub async fn register(client: &Client) -> String {
    let body = json!({"label": "browsers", "algorithm": "RS256", "publicKeyPem": pem("public")});
    let made = client.post("/jwt-keys", body).await.expect(201).json();
    made["kid"].as_str().expect("text").to_owned()
}

/// A browser of a person of a group.
pub fn browser(client: &Client, kid: &str, group: &str, consumer: &str) -> Client {
    client.with_key(format!("Bearer {}", sign(kid, &claims(group, consumer))))
}

/// Another project in the database of a service; its client has a key of the scope `full`.
pub async fn other_project(service: &Service) -> Client {
    let projects = &service.app.control.projects;
    let made = projects
        .create(&amp_write::control::Actor::Operator, "other", None)
        .await;
    let mut client = service.client.with_key(made.expect("a project").1);
    client.project = "other".to_owned();
    client
}

/// A `frontend` key.
pub async fn frontend(client: &Client) -> Client {
    let body = json!({"label": "browser", "scopes": ["frontend"]});
    let made = client
        .call(Method::POST, "/api-keys", body)
        .await
        .expect(201)
        .json();
    client.with_key(made["key"].as_str().expect("text"))
}
