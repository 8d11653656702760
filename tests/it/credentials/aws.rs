//! AWS signatures, as the receiver checks them.

use amp_write::clock::Time;
use amp_write::connectors::Catalog;
use amp_write::outbound::{Credentials, attach};
use amp_write::vault::Secret;
use serde_json::json;

use super::provider::Seen;
use super::{Provider, connect, create, previewed, service};
use crate::harness::{Kind, on_both_stores};

on_both_stores!(requests_to_aws_arrive_with_a_good_signature,);

const ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the signature of a request to `/` has to be, computed from what arrived.
fn signature(seen: &Seen, service: &str) -> String {
    let names = seen
        .header("authorization")
        .split("SignedHeaders=")
        .nth(1)
        .unwrap();
    let names = names.split(',').next().unwrap();
    let lines: String = names
        .split(';')
        .map(|name| format!("{name}:{}\n", seen.header(name)))
        .collect();
    let sha = |text: &str| hex(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()));
    let request = format!("{}\n/\n\n{lines}\n{names}\n{}", seen.method, sha(&seen.body));
    let time = seen.header("x-amz-date");
    let day = &time[..8];
    let scope = format!("{day}/eu-west-1/{service}/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha(&request));
    let mac = |key: &[u8], text: &str| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
        ring::hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
    };
    let key = ["eu-west-1", service, "aws4_request"]
        .iter()
        .fold(mac(format!("AWS4{SECRET}").as_bytes(), day), |key, part| {
            mac(&key, part)
        });
    format!(
        "AWS4-HMAC-SHA256 Credential={ID}/{scope}, SignedHeaders={names}, Signature={}",
        hex(mac(&key, &text))
    )
}

async fn requests_to_aws_arrive_with_a_good_signature(kind: Kind) {
    let provider = Provider::open().await;
    let service = service(kind, &provider, "aws", "Applications").await;
    let more = json!({
        "providerMetadata": {"region": "eu-west-1", "identityStoreId": "d-1", "instanceARN": "arn:aws:sso:::instance/i"},
        "customAuth": {"access_key_id": ID, "secret_access_key": SECRET, "session_token": "s3ssion-token"},
    });
    connect(&service, "aws", more).await;
    let headers = previewed(&service, "Applications", json!({"Name": "Portal"})).await;
    assert_eq!(headers["authorization"], "AWS4-HMAC-SHA256 ***");
    assert_eq!(
        (&headers["x-amz-date"], &headers["x-amz-security-token"]),
        (&json!("***"), &json!("***"))
    );
    for secret in [ID, SECRET, "s3ssion"] {
        assert!(!headers.to_string().contains(secret), "{headers}");
    }
    provider
        .state()
        .answers
        .push_back((200, json!({"ApplicationArn": "arn:aws:sso::1:application/a"})));
    let done = service
        .client
        .write("i", "Applications", create(json!({"Name": "Portal"})))
        .await
        .expect(200)
        .json();
    assert_eq!(done["result"]["recordId"], "arn:aws:sso::1:application/a");
    let seen = provider.writes().pop().unwrap();
    assert_eq!(seen.header("authorization"), signature(&seen, "sso"));
    for name in [
        "content-type",
        "host",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-target",
    ] {
        assert!(
            seen.header("authorization").contains(name),
            "{name} is not signed"
        );
    }
    assert_eq!(seen.header("x-amz-security-token"), "s3ssion-token");
    let sent: Time = service.app.clock.now();
    let day = sent.to_string()[..10].replace('-', "");
    assert!(
        seen.header("x-amz-date").starts_with(&day),
        "{}",
        seen.header("x-amz-date")
    );
}

#[test]
fn each_host_is_signed_for_its_own_service_and_region() {
    let catalog = Catalog::builtin();
    let aws = catalog.get("aws").unwrap();
    let vars = [("region".to_owned(), "eu-west-1".to_owned())].into();
    let custom = |pairs: [(&str, &str); 2]| Credentials::Custom {
        values: pairs
            .map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned())))
            .into(),
    };
    let basic = Credentials::Basic {
        username: ID.to_owned(),
        password: Secret::new(SECRET.to_owned()),
    };
    for credentials in [
        custom([("access_key_id", ID), ("secret_access_key", SECRET)]),
        basic,
    ] {
        for (host, service) in [("sso", "sso"), ("identitystore", "identitystore")] {
            let request = amp_write::connectors::ProviderRequest {
                method: http::Method::POST,
                url: format!("https://{host}.eu-west-1.amazonaws.com"),
                headers: Vec::new(),
                content_type: None,
                body: None,
            };
            let wire = attach(
                &aws,
                &credentials,
                &vars,
                Time::from_micros(1_440_938_160_000_000),
                request,
            )
            .unwrap();
            let signed = wire.headers["authorization"].to_str().unwrap();
            let start =
                format!("AWS4-HMAC-SHA256 Credential={ID}/20150830/eu-west-1/{service}/aws4_request, ");
            assert!(signed.starts_with(&start), "{signed}");
        }
    }
}
