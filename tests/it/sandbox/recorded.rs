//! The requests a well-known connector sends, recorded elsewhere: the sandbox understands each of them.

use amp_write::sandbox::Options;
use serde_json::json;

use super::{Client, start};
use crate::harness::shared;

#[tokio::test]
async fn recorded_connector_requests_are_understood() {
    let Some(path) = shared::recorded("providers/requests.jsonl") else {
        return;
    };
    let sandbox = start(Options {
        lenient: true,
        ..Options::default()
    })
    .await;
    let client = Client::new("acme");
    let mut played = 0;
    for case in shared::rows(&path) {
        let request = &case["request"];
        let url = request["url"].as_str().unwrap_or_default();
        let target = [
            ("https://api.hubapi.com", sandbox.hubspot_url()),
            ("https://ws1.my.salesforce.com", sandbox.salesforce_url()),
        ];
        let Some(url) = target
            .iter()
            .find_map(|(theirs, ours)| Some(format!("{ours}{}", url.strip_prefix(theirs)?)))
        else {
            continue;
        };
        let body = request.get("body").filter(|b| !b.is_null());
        let method = request["method"].as_str().expect("a method");
        let answer = client.send(method, &url, body).await.expect("an answer");
        let text = &answer.text;
        played += 1;
        match case["op"].as_str() {
            // The one record is sent again and again: its email exists from the second time on. And it has
            // a name, which Salesforce composes for contacts and lets nobody write.
            Some("create") => {
                let composed = text.contains("Unable to create/update fields: Name.");
                assert!(
                    composed || matches!(answer.status, 201 | 409),
                    "{method} {url}: {text}"
                );
            }
            // The recorded id is "123", which no record has.
            _ => assert!(
                matches!(answer.status, 204 | 404),
                "{method} {url}: {} {text}",
                answer.status
            ),
        }
        assert_ne!(
            answer.json_or_null()["message"],
            json!("HTTP 405 Method Not Allowed"),
            "{method} {url}"
        );
    }
    assert!(played > 10, "only {played} requests were played");
}
