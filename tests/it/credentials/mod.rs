//! Credentials of a provider's own kind: named inputs, minted tokens, AWS signatures; from `connections:generate` to what
//! reaches a provider.

mod aws;
mod custom;
mod logs;
mod mint;
mod provider;

use serde_json::{Value, json};

use crate::harness::service::{GROUP, start_sandbox, tuning};
use crate::harness::{Kind, Service};
use provider::Provider;

/// A key that was made for tests and opens nothing.
const KEY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/rsa_pkcs8.pem"));

/// A service that finds `name` at the test's own provider, with the integration `i` deployed for the object `object`.
async fn service(kind: Kind, provider: &Provider, name: &str, object: &str) -> Service {
    let sandbox = start_sandbox().await;
    let mut tuning = tuning(&sandbox);
    tuning.provider_urls.push((name.to_owned(), provider.url.clone()));
    let service = Service::with(kind, sandbox, tuning).await;
    let manifest = format!(
        "specVersion: 1.0.0\nintegrations:\n  - {{name: i, provider: {name}, write: {{objects: [{{objectName: {object}}}]}}}}\n"
    );
    service.deploy(&manifest).await;
    service
}

/// The body of a new connection of [`GROUP`].
fn connection(provider: &str, more: Value) -> Value {
    let mut body = json!({"provider": provider, "groupRef": GROUP, "consumerRef": "c"});
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    body
}

/// Connects and installs; answers the path of the connection.
async fn connect(service: &Service, provider: &str, more: Value) -> String {
    let made = service
        .client
        .post("/connections:generate", connection(provider, more))
        .await
        .expect(201)
        .json();
    service.install("i", GROUP, json!({"provider": provider})).await;
    format!("/connections/{}", made["id"].as_str().unwrap())
}

fn create(record: Value) -> Value {
    json!({"groupRef": GROUP, "type": "create", "record": record})
}

/// The headers of the first request that a preview shows.
async fn previewed(service: &Service, object: &str, record: Value) -> Value {
    let path = format!("/integrations/i/objects/{object}?preview=true");
    let shown = service
        .client
        .post(&path, create(record))
        .await
        .expect(200)
        .json();
    assert_eq!(shown["verdict"], "send", "{shown}");
    shown["requests"][0]["headers"].clone()
}
