//! Each way in which a token endpoint has been seen to answer: it ends in success, or in the right words.

use amp_write::sandbox::{Provider, token_faults};

use super::refresh::end_tokens;
use super::*;

/// What a write comes to that finds its token ended, and the fault in the way of a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It arrives.
    Written,
    /// The customer has to connect again, and is told so.
    Dead,
    /// It is tried again later; the connection lives on.
    Later,
    /// The write itself is refused for want of a permission.
    Forbidden,
}

/// The end of each fault of the token endpoint.
fn end_of(fault: &str, provider: Provider) -> End {
    match fault {
        "rotate, then drop" | "200 with error" | "app not installed" => End::Dead,
        "200 empty" | "429 with Retry-After" | "HTML 502" | "invalid_client" => End::Later,
        // It has a permission less than before.
        "scope narrowed at refresh" => End::Forbidden,
        // Only Salesforce has such addresses.
        "hostile instance_url" if provider == Provider::Salesforce => End::Later,
        _ => End::Written,
    }
}

async fn try_all(kind: Kind, provider: Provider) {
    for (name, mut spec) in token_faults() {
        if serde_json::to_value(&spec).expect("JSON")["match"]["action"] == "authorize" {
            // Those of the consent page stand beside the other ends of a callback.
            continue;
        }
        let service = service_with(kind, |_| {}, |tuning| tuning.provider_timeout_seconds = 20).await;
        let id = installed(&service, provider).await;
        write(&service, provider, 0).await.expect(200);
        end_tokens(&service).await;
        if name == "rotate, then drop" {
            spec.times = Some(1);
        }
        let handle = service.sandbox.fault(spec).expect("a fault");
        let answer = write(&service, provider, 1).await;
        let end = match answer.status {
            200 => End::Written,
            424 => End::Dead,
            422 => End::Forbidden,
            429 | 502 | 503 => End::Later,
            other => panic!("{name}: {other} {}", answer.body),
        };
        assert_eq!(
            end,
            end_of(name, provider),
            "{name} at {provider:?}: {}",
            answer.body
        );
        let expected = if end == End::Dead {
            "bad_credentials"
        } else {
            "working"
        };
        assert_eq!(status(&service, &id).await, expected, "{name}");
        if end == End::Written {
            write(&service, provider, 2).await.expect(200);
        }
        assert_eq!(service.sandbox.token_audit(), [], "{name}");
        drop(handle);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hubspots_faults_end_in_success_or_in_the_right_words() {
    try_all(Kind::Sqlite, Provider::HubSpot).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn salesforces_faults_end_in_success_or_in_the_right_words() {
    try_all(Kind::Postgres, Provider::Salesforce).await;
}
