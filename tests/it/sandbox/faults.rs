//! Each fault by name, over real HTTP.

use std::time::{Duration, Instant};

use amp_write::sandbox::{ChangeKind, FaultKind, FaultSpec, LedgerStatus, Options, Provider, Sandbox, Token};
use http::Method;
use serde_json::{Value, json};

use super::{Client, contacts, sobject, start};

async fn started() -> (Sandbox, Client) {
    (
        start(Options {
            seed: 7,
            ..Options::default()
        })
        .await,
        Client::new("acme"),
    )
}

fn contact(email: &str) -> Value {
    json!({"properties": {"email": email}})
}

fn account(name: &str) -> Value {
    json!({"Name": name})
}

/// How many records the ledger says were made.
fn created(sandbox: &Sandbox) -> usize {
    sandbox
        .ledger()
        .iter()
        .flat_map(|e| &e.changes)
        .filter(|c| c.kind == ChangeKind::Created)
        .count()
}

fn traced(emails: &[&str]) -> Value {
    let input =
        |(i, e): (usize, &&str)| json!({"properties": {"email": e}, "objectWriteTraceId": i.to_string()});
    json!({"inputs": emails.iter().enumerate().map(input).collect::<Vec<_>>()})
}

#[tokio::test]
async fn drop_after_commit_writes_and_closes_without_a_byte() {
    let (sandbox, client) = started().await;
    let fault = sandbox
        .fault(FaultSpec::new(FaultKind::DropAfterCommit).once())
        .expect("a fault");
    let url = contacts(&sandbox);
    client
        .post(&url, &contact("a@b.co"))
        .await
        .expect_err("the connection is closed");
    assert_eq!(fault.hits(), 1);
    let ledger = sandbox.ledger();
    assert_eq!(
        (ledger[0].status, ledger[0].changes.len()),
        (LedgerStatus::Dropped, 1)
    );
    assert_eq!(ledger[0].faults, ["drop_after_commit"]);
    let again = client.post(&url, &contact("a@b.co")).await.expect("an answer");
    assert_eq!(again.status, 409, "the first one took effect");
    assert_eq!(created(&sandbox), 1);
}

#[tokio::test]
async fn a_dropped_connection_sends_not_one_byte() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (sandbox, _) = started().await;
    sandbox
        .fault(FaultSpec::new(FaultKind::DropAfterCommit))
        .expect("a fault");
    let address = sandbox.url().replace("http://", "");
    let mut stream = tokio::net::TcpStream::connect(&address)
        .await
        .expect("a connection");
    let request = format!(
        "POST /hubspot/crm/v3/objects/contacts HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer test-acme\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn drop_before_commit_writes_nothing() {
    let (sandbox, client) = started().await;
    sandbox
        .fault(FaultSpec::new(FaultKind::DropBeforeCommit).once())
        .expect("a fault");
    client
        .post(&contacts(&sandbox), &contact("a@b.co"))
        .await
        .expect_err("the connection is closed");
    assert_eq!(created(&sandbox), 0);
    let again = client
        .post(&contacts(&sandbox), &contact("a@b.co"))
        .await
        .expect("an answer");
    assert_eq!(again.status, 201);
}

#[tokio::test]
async fn delay_keeps_the_answer_back() {
    let (sandbox, client) = started().await;
    let mut spec = FaultSpec::new(FaultKind::Delay).once();
    spec.delay_ms = Some(150);
    sandbox.fault(spec).expect("a fault");
    let begun = Instant::now();
    let answer = client
        .post(&contacts(&sandbox), &contact("a@b.co"))
        .await
        .expect("an answer");
    assert_eq!(answer.status, 201);
    assert!(begun.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn hold_before_the_commit_writes_only_when_released() {
    let (sandbox, client) = started().await;
    let fault = sandbox
        .fault(FaultSpec::new(FaultKind::Hold).once())
        .expect("a fault");
    let url = contacts(&sandbox);
    let call = tokio::spawn(async move { client.post(&url, &contact("a@b.co")).await });
    fault.wait_hits(1).await;
    assert_eq!(sandbox.ledger()[0].status, LedgerStatus::Pending);
    assert_eq!(created(&sandbox), 0);
    fault.release();
    assert_eq!(call.await.expect("joined").expect("an answer").status, 201);
    assert_eq!(created(&sandbox), 1);
}

#[tokio::test]
async fn hold_after_the_commit_has_written_when_it_is_hit() {
    let (sandbox, client) = started().await;
    let fault = sandbox
        .fault(FaultSpec::new(FaultKind::Hold).after_commit().once())
        .expect("a fault");
    let url = contacts(&sandbox);
    let call = tokio::spawn(async move { client.post(&url, &contact("a@b.co")).await });
    fault.wait_hits(1).await;
    assert_eq!(created(&sandbox), 1);
    assert!(!call.is_finished());
    let path = format!("/faults/{}:release", fault.id());
    sandbox
        .control(Method::POST, &path, &Value::Null)
        .await
        .expect("released");
    assert_eq!(call.await.expect("joined").expect("an answer").status, 201);
}

#[tokio::test]
async fn a_held_request_whose_client_left_is_still_written_when_released() {
    let (sandbox, client) = started().await;
    let fault = sandbox
        .fault(FaultSpec::new(FaultKind::Hold).once())
        .expect("a fault");
    let url = contacts(&sandbox);
    let call = tokio::spawn(async move { client.post(&url, &contact("late@b.co")).await });
    fault.wait_hits(1).await;
    call.abort();
    let _ = call.await;
    fault.release();
    let ledger = sandbox
        .wait_ledger(|l| l.iter().any(|e| e.status != LedgerStatus::Pending))
        .await;
    assert_eq!(ledger[0].changes.len(), 1);
}

#[tokio::test]
async fn rate_limit_gives_each_hubspot_policy() {
    let (sandbox, client) = started().await;
    for (policy, text) in [
        (
            "TEN_SECONDLY_ROLLING",
            "You have reached your ten_secondly_rolling limit.",
        ),
        ("SECONDLY", "You have reached your secondly limit."),
        ("DAILY", "You have reached your daily limit."),
    ] {
        let mut spec = FaultSpec::new(FaultKind::RateLimit).once();
        spec.policy = Some(policy.to_owned());
        sandbox.fault(spec).expect("a fault");
        let answer = client
            .post(&contacts(&sandbox), &contact("a@b.co"))
            .await
            .expect("an answer");
        assert_eq!(answer.status, 429);
        assert_eq!(
            (&answer.json()["policyName"], &answer.json()["message"]),
            (&json!(policy), &json!(text))
        );
        assert!(!answer.headers.contains_key("retry-after"));
    }
    assert_eq!(created(&sandbox), 0);
}

#[tokio::test]
async fn rate_limit_gives_each_salesforce_policy() {
    let (sandbox, client) = started().await;
    for (policy, text) in [
        ("TOTAL_REQUESTS", "TotalRequests Limit exceeded."),
        (
            "CONCURRENT_REQUESTS",
            "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
        ),
        ("CONCURRENT_LONG_TXN", "ConcurrentPerOrgLongTxn Limit exceeded."),
    ] {
        let mut spec = FaultSpec::new(FaultKind::RateLimit).once();
        spec.policy = Some(policy.to_owned());
        sandbox.fault(spec).expect("a fault");
        let answer = client
            .post(&sobject(&sandbox, "Account"), &account("A"))
            .await
            .expect("an answer");
        assert_eq!(answer.status, 403);
        assert_eq!(answer.json()[0]["message"], json!(text));
        assert_eq!(answer.json()[0]["errorCode"], json!("REQUEST_LIMIT_EXCEEDED"));
    }
}

#[tokio::test]
async fn server_error_is_an_html_page_before_or_after_the_commit() {
    let (sandbox, client) = started().await;
    for (spec, made) in [
        (FaultSpec::new(FaultKind::ServerError).once(), 0),
        (FaultSpec::new(FaultKind::ServerError).after_commit().once(), 1),
    ] {
        sandbox.fault(spec).expect("a fault");
        let answer = client
            .post(&sobject(&sandbox, "Account"), &account("A"))
            .await
            .expect("an answer");
        assert_eq!(answer.status, 502);
        assert!(answer.text.starts_with("<html>"), "{}", answer.text);
        assert_eq!(created(&sandbox), made);
    }
}

#[tokio::test]
async fn error_speaks_the_providers_own_form() {
    let (sandbox, client) = started().await;
    let mut spec = FaultSpec::new(FaultKind::Error);
    (spec.status, spec.code, spec.message) = (Some(400), Some("ODD".to_owned()), Some("odd".to_owned()));
    sandbox.fault(spec).expect("a fault");
    let hubspot = client
        .post(&contacts(&sandbox), &contact("a@b.co"))
        .await
        .expect("an answer");
    assert_eq!(
        (hubspot.status, &hubspot.json()["category"]),
        (400, &json!("ODD"))
    );
    let salesforce = client
        .post(&sobject(&sandbox, "Account"), &account("A"))
        .await
        .expect("an answer");
    assert_eq!(salesforce.json()[0]["errorCode"], json!("ODD"));
}

#[tokio::test]
async fn answer_is_sent_exactly() {
    let (sandbox, client) = started().await;
    let mut spec = FaultSpec::new(FaultKind::Answer);
    (spec.status, spec.body) = (Some(299), Some("precisely".to_owned()));
    spec.headers.insert("X-Mark".to_owned(), json!("yes"));
    sandbox.fault(spec).expect("a fault");
    let answer = client.get(&contacts(&sandbox)).await.expect("an answer");
    assert_eq!((answer.status, answer.text.as_str()), (299, "precisely"));
    assert_eq!(answer.headers["x-mark"], "yes");
}

#[tokio::test]
async fn migrating_answers_477_with_seconds_to_wait() {
    let (sandbox, client) = started().await;
    let mut spec = FaultSpec::new(FaultKind::Migrating);
    spec.retry_after = Some(5400);
    sandbox.fault(spec).expect("a fault");
    let answer = client
        .post(&contacts(&sandbox), &contact("a@b.co"))
        .await
        .expect("an answer");
    assert_eq!(answer.status, 477);
    assert_eq!(answer.headers["retry-after"], "5400");
}

#[tokio::test]
async fn row_lock_holds_a_record_n_times() {
    let (sandbox, client) = started().await;
    let made = client
        .post(&sobject(&sandbox, "Account"), &account("A"))
        .await
        .expect("an answer")
        .json();
    let url = sobject(
        &sandbox,
        &format!("Account/{}", made["id"].as_str().expect("an id")),
    );
    let fault = sandbox
        .fault(FaultSpec::new(FaultKind::RowLock).times(2))
        .expect("a fault");
    let mut statuses = Vec::new();
    for name in ["B", "C", "D"] {
        let answer = client
            .send("PATCH", &url, Some(&account(name)))
            .await
            .expect("an answer");
        if answer.status == 400 {
            assert_eq!(answer.json()[0]["errorCode"], json!("UNABLE_TO_LOCK_ROW"));
        }
        statuses.push(answer.status);
    }
    assert_eq!((statuses, fault.hits()), (vec![400, 400, 204], 2));
}

#[tokio::test]
async fn row_lock_of_one_record_leaves_others_alone() {
    let (sandbox, client) = started().await;
    let mut ids = Vec::new();
    for email in ["a@b.co", "b@b.co"] {
        let made = client
            .post(&contacts(&sandbox), &contact(email))
            .await
            .expect("an answer")
            .json();
        ids.push(made["id"].as_str().expect("an id").to_owned());
    }
    let mut spec = FaultSpec::new(FaultKind::RowLock);
    spec.record = Some(ids[0].clone());
    sandbox.fault(spec).expect("a fault");
    let mut statuses = Vec::new();
    for id in &ids {
        let url = format!("{}/{id}", contacts(&sandbox));
        let body = json!({"properties": {"city": "Graz"}});
        statuses.push(
            client
                .send("PATCH", &url, Some(&body))
                .await
                .expect("an answer")
                .status,
        );
    }
    assert_eq!(statuses, [423, 200]);
}

#[tokio::test]
async fn shuffle_results_leaves_no_result_in_its_place() {
    let (sandbox, client) = started().await;
    let url = format!("{}/batch/create", contacts(&sandbox));
    let emails = ["a@x.io", "b@x.io", "c@x.io", "d@x.io", "e@x.io"];
    let order = |answer: Value| -> Vec<String> {
        let results = answer["results"].as_array().expect("results").clone();
        results
            .iter()
            .map(|r| r["objectWriteTraceId"].as_str().expect("a trace id").to_owned())
            .collect()
    };
    let plain = order(
        client
            .post(&url, &traced(&emails))
            .await
            .expect("an answer")
            .json(),
    );
    assert_eq!(plain, ["4", "3", "2", "1", "0"]);
    sandbox.reset();
    sandbox
        .fault(FaultSpec::new(FaultKind::ShuffleResults))
        .expect("a fault");
    let shuffled = order(
        client
            .post(&url, &traced(&emails))
            .await
            .expect("an answer")
            .json(),
    );
    assert!(plain.iter().zip(&shuffled).all(|(a, b)| a != b), "{shuffled:?}");
}

#[tokio::test]
async fn drop_trace_ids_leaves_them_out_of_results() {
    let (sandbox, client) = started().await;
    sandbox
        .fault(FaultSpec::new(FaultKind::DropTraceIds))
        .expect("a fault");
    let url = format!("{}/batch/create", contacts(&sandbox));
    let answer = client
        .post(&url, &traced(&["a@x.io", "a@x.io"]))
        .await
        .expect("an answer")
        .json();
    assert_eq!(answer["results"][0].get("objectWriteTraceId"), None);
    assert_eq!(answer["errors"][0]["context"]["objectWriteTraceId"], json!(["1"]));
}

#[tokio::test]
async fn partial_fails_chosen_items_of_a_batch() {
    let (sandbox, client) = started().await;
    let mut spec = FaultSpec::new(FaultKind::Partial);
    (spec.items, spec.code) = (Some(vec![1]), Some("UNABLE_TO_LOCK_ROW".to_owned()));
    sandbox.fault(spec).expect("a fault");
    let url = format!("{}/batch/create", contacts(&sandbox));
    let answer = client
        .post(&url, &traced(&["a@x.io", "b@x.io", "c@x.io"]))
        .await
        .expect("an answer");
    assert_eq!((answer.status, &answer.json()["numErrors"]), (207, &json!(1)));
    assert_eq!(
        answer.json()["errors"][0]["context"]["objectWriteTraceId"],
        json!(["1"])
    );
    let record = |name: &str| json!({"attributes": {"type": "Account"}, "Name": name});
    let url = format!(
        "{}/services/data/v60.0/composite/sobjects",
        sandbox.salesforce_url()
    );
    let body = json!({"records": [record("A"), record("B")]});
    let answer = client.post(&url, &body).await.expect("an answer").json();
    assert_eq!(
        (&answer[0]["success"], &answer[1]["success"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(answer[1]["errors"][0]["statusCode"], json!("UNABLE_TO_LOCK_ROW"));
    assert_eq!(created(&sandbox), 3);
}

#[tokio::test]
async fn lag_search_does_not_see_new_records_until_time_has_passed() {
    let (sandbox, client) = started().await;
    sandbox
        .fault(FaultSpec::new(FaultKind::LagSearch))
        .expect("a fault");
    sandbox.clock().freeze(1_790_000_000_000);
    client
        .post(&contacts(&sandbox), &contact("a@b.co"))
        .await
        .expect("an answer");
    let url = format!("{}/search", contacts(&sandbox));
    let filter = json!({"propertyName": "email", "operator": "EQ", "value": "a@b.co"});
    let search = json!({"filterGroups": [{"filters": [filter]}]});
    assert_eq!(
        client.post(&url, &search).await.expect("an answer").json()["total"],
        json!(0)
    );
    let again = client
        .post(&contacts(&sandbox), &contact("a@b.co"))
        .await
        .expect("an answer");
    assert_eq!(again.status, 409, "the record itself is there at once");
    sandbox.clock().advance(30_000);
    assert_eq!(
        client.post(&url, &search).await.expect("an answer").json()["total"],
        json!(1)
    );
}

#[tokio::test]
async fn upsert_race_meets_the_other_clients_record() {
    let (sandbox, client) = started().await;
    let fields = json!({"name": "Ext_Id__c", "externalId": true, "unique": true});
    let path = "/accounts/salesforce/acme/objects/Account/fields";
    sandbox
        .control(Method::POST, path, &fields)
        .await
        .expect("a field");
    sandbox
        .fault(FaultSpec::new(FaultKind::UpsertRace).once())
        .expect("a fault");
    let url = sobject(&sandbox, "Account/Ext_Id__c/E-1");
    let first = client
        .send("PATCH", &url, Some(&account("A")))
        .await
        .expect("an answer");
    assert_eq!(
        (first.status, &first.json()[0]["errorCode"]),
        (400, &json!("DUPLICATE_VALUE"))
    );
    let second = client
        .send("PATCH", &url, Some(&account("A")))
        .await
        .expect("an answer");
    assert_eq!((second.status, &second.json()["created"]), (200, &json!(false)));
}

const REFRESH: &str = "grant_type=refresh_token&client_id=c&client_secret=s&refresh_token=";

#[tokio::test]
async fn rotate_refresh_token_revokes_the_grant_on_reuse() {
    let (sandbox, client) = started().await;
    sandbox
        .fault(FaultSpec::new(FaultKind::RotateRefreshToken).action("token"))
        .expect("a fault");
    let url = format!("{}/services/oauth2/token", sandbox.salesforce_url());
    let first = client
        .form(&url, &format!("{REFRESH}test-refresh-acme"))
        .await
        .expect("an answer")
        .json();
    let fresh = first["refresh_token"]
        .as_str()
        .expect("a new refresh token")
        .to_owned();
    let mut rotated = client.clone();
    rotated.token = first["access_token"]
        .as_str()
        .expect("an access token")
        .to_owned();
    let limits = format!("{}/services/data/v60.0/limits", sandbox.salesforce_url());
    assert_eq!(rotated.get(&limits).await.expect("an answer").status, 200);
    let reuse = client
        .form(&url, &format!("{REFRESH}test-refresh-acme"))
        .await
        .expect("an answer");
    assert_eq!(
        (reuse.status, &reuse.json()["error"]),
        (400, &json!("invalid_grant"))
    );
    let dead = client
        .form(&url, &format!("{REFRESH}{fresh}"))
        .await
        .expect("an answer");
    assert_eq!(dead.status, 400, "the whole grant is dead");
    assert_eq!(rotated.get(&limits).await.expect("an answer").status, 401);
}

#[tokio::test]
async fn change_instance_url_moves_the_org() {
    let (sandbox, client) = started().await;
    let url = format!("{}/services/oauth2/token", sandbox.salesforce_url());
    let mut spec = FaultSpec::new(FaultKind::ChangeInstanceUrl).once();
    spec.instance = Some("na2".to_owned());
    sandbox.fault(spec).expect("a fault");
    let answer = client
        .form(&url, &format!("{REFRESH}test-refresh-acme"))
        .await
        .expect("an answer")
        .json();
    let moved = answer["instance_url"].as_str().expect("an instance_url");
    assert_eq!(moved, format!("{}/~na2", sandbox.salesforce_url()));
    let path = "services/data/v60.0/sobjects/Account";
    let old = client
        .post(&format!("{}/{path}", sandbox.salesforce_url()), &account("A"))
        .await;
    assert_eq!(old.expect("an answer").status, 420);
    let new = client.post(&format!("{moved}/{path}"), &account("A")).await;
    assert_eq!(new.expect("an answer").status, 201);
}

#[tokio::test]
async fn expire_token_lasts_until_a_refresh() {
    let (sandbox, client) = started().await;
    sandbox
        .fault(
            FaultSpec::new(FaultKind::ExpireToken)
                .method("POST")
                .path("/crm/*")
                .once(),
        )
        .expect("a fault");
    for _ in 0..2 {
        let answer = client
            .post(&contacts(&sandbox), &contact("a@b.co"))
            .await
            .expect("an answer");
        assert_eq!(
            (answer.status, &answer.json()["category"]),
            (401, &json!("EXPIRED_AUTHENTICATION"))
        );
    }
    let url = format!("{}/oauth/v3/token", sandbox.hubspot_url());
    let fresh = client
        .form(&url, &format!("{REFRESH}test-refresh-acme"))
        .await
        .expect("an answer")
        .json();
    assert_eq!(
        fresh["refresh_token"],
        json!("test-refresh-acme"),
        "HubSpot does not rotate"
    );
    let mut again = client.clone();
    again.token = fresh["access_token"]
        .as_str()
        .expect("an access token")
        .to_owned();
    assert!(again.token.len() > 300);
    let answer = again
        .post(&contacts(&sandbox), &contact("a@b.co"))
        .await
        .expect("an answer");
    assert_eq!(answer.status, 201);
    sandbox.clock().advance(1_800_000);
    let late = again
        .post(&contacts(&sandbox), &contact("c@b.co"))
        .await
        .expect("an answer");
    assert_eq!(late.status, 401, "an issued token lives 1800 seconds");
}

#[tokio::test]
async fn revoke_grant_kills_access_and_refresh_tokens() {
    let (sandbox, client) = started().await;
    sandbox
        .fault(FaultSpec::new(FaultKind::RevokeGrant).once())
        .expect("a fault");
    let answer = client
        .post(&contacts(&sandbox), &contact("a@b.co"))
        .await
        .expect("an answer");
    assert_eq!(
        (answer.status, &answer.json()["category"]),
        (401, &json!("INVALID_AUTHENTICATION"))
    );
    let url = format!("{}/oauth/v3/token", sandbox.hubspot_url());
    let refused = client
        .form(&url, &format!("{REFRESH}test-refresh-acme"))
        .await
        .expect("an answer");
    assert_eq!(
        (refused.status, &refused.json()["status"]),
        (400, &json!("BAD_REFRESH_TOKEN"))
    );
    let other = Client::new("other")
        .post(&contacts(&sandbox), &contact("a@b.co"))
        .await
        .expect("an answer");
    assert_eq!(other.status, 201, "another account is untouched");
}

#[tokio::test]
async fn truncate_json_ends_in_the_middle() {
    let (sandbox, client) = started().await;
    sandbox
        .fault(FaultSpec::new(FaultKind::TruncateJson).once())
        .expect("a fault");
    let answer = client
        .post(&contacts(&sandbox), &contact("a@b.co"))
        .await
        .expect("an answer");
    assert_eq!(answer.status, 201);
    let error = serde_json::from_str::<Value>(&answer.text).expect_err("broken JSON");
    assert!(error.is_eof());
    let mut cut = FaultSpec::new(FaultKind::TruncateJson).once();
    cut.cut = true;
    sandbox.fault(cut).expect("a fault");
    client
        .post(&contacts(&sandbox), &contact("b@b.co"))
        .await
        .expect_err("the length is not reached");
    assert_eq!(created(&sandbox), 2);
}

#[tokio::test]
async fn huge_body_is_100_megabytes_of_json() {
    let (sandbox, client) = started().await;
    sandbox
        .fault(FaultSpec::new(FaultKind::HugeBody).once())
        .expect("a fault");
    let answer = client
        .post(&contacts(&sandbox), &contact("a@b.co"))
        .await
        .expect("an answer");
    assert_eq!(answer.text.len(), 100_000_000);
    assert!(answer.text.starts_with("{\"padding\":\"x") && answer.text.ends_with("x\"}"));
}

#[tokio::test]
async fn slow_drip_comes_in_pieces() {
    let (sandbox, client) = started().await;
    let mut spec = FaultSpec::new(FaultKind::SlowDrip).once();
    (spec.chunk_bytes, spec.delay_ms) = (Some(100), Some(20));
    sandbox.fault(spec).expect("a fault");
    let begun = Instant::now();
    let answer = client
        .post(&contacts(&sandbox), &contact("a@b.co"))
        .await
        .expect("an answer");
    assert_eq!(answer.json()["properties"]["email"], json!("a@b.co"));
    let pauses = u64::try_from(answer.text.len().div_ceil(100) - 1).expect("few");
    assert!(pauses >= 4 && begun.elapsed() >= Duration::from_millis(20 * pauses));
}

#[tokio::test]
async fn a_fault_acts_only_on_what_it_matches() {
    let (sandbox, client) = started().await;
    let spec = FaultSpec::new(FaultKind::ServerError);
    let spec = spec
        .provider(Provider::HubSpot)
        .account("acme")
        .object("contacts")
        .action("create")
        .skip(1)
        .times(1);
    let fault = sandbox.fault(spec).expect("a fault");
    let others = Client::new("other");
    assert_eq!(
        others
            .post(&contacts(&sandbox), &contact("1@b.co"))
            .await
            .expect("an answer")
            .status,
        201
    );
    let deals = contacts(&sandbox).replace("contacts", "deals");
    let deal = json!({"properties": {"dealname": "D"}});
    assert_eq!(client.post(&deals, &deal).await.expect("an answer").status, 201);
    assert_eq!(
        client.get(&contacts(&sandbox)).await.expect("an answer").status,
        200
    );
    let mut statuses = Vec::new();
    for i in 0..3 {
        let body = contact(&format!("n{i}@b.co"));
        statuses.push(
            client
                .post(&contacts(&sandbox), &body)
                .await
                .expect("an answer")
                .status,
        );
    }
    assert_eq!((statuses, fault.hits()), (vec![201, 502, 201], 1));
}

#[tokio::test]
async fn a_seeded_probability_repeats_itself() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (sandbox, client) = started().await;
        sandbox
            .fault(FaultSpec::new(FaultKind::ServerError).probability(0.5))
            .expect("a fault");
        let mut statuses = Vec::new();
        for i in 0..20 {
            let body = contact(&format!("n{i}@b.co"));
            statuses.push(
                client
                    .post(&contacts(&sandbox), &body)
                    .await
                    .expect("an answer")
                    .status,
            );
        }
        assert!(statuses.contains(&502) && statuses.contains(&201));
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn faults_are_controlled_over_http() {
    let (sandbox, client) = started().await;
    let url = format!("{}/_sandbox/faults", sandbox.url());
    let spec = json!({"fault": "hold", "match": {"method": "POST"}, "times": 1});
    let id = client.post(&url, &spec).await.expect("an answer").json()["id"].clone();
    let target = contacts(&sandbox);
    let caller = client.clone();
    let call = tokio::spawn(async move { caller.post(&target, &contact("a@b.co")).await });
    let waited = client
        .get(&format!("{url}/{id}?wait_hits=1"))
        .await
        .expect("an answer")
        .json();
    assert_eq!(waited["hits"], json!(1));
    client
        .post(&format!("{url}/{id}:release"), &Value::Null)
        .await
        .expect("an answer");
    assert_eq!(call.await.expect("joined").expect("an answer").status, 201);
    assert_eq!(
        client
            .send("DELETE", &format!("{url}/{id}"), None)
            .await
            .expect("an answer")
            .status,
        204
    );
    assert_eq!(client.get(&url).await.expect("an answer").json(), json!([]));
    for wrong in [
        json!({"fault": "nonsense"}),
        json!({"fault": "delay"}),
        json!({"fault": "hold", "typo": 1}),
    ] {
        assert_eq!(
            client.post(&url, &wrong).await.expect("an answer").status,
            400,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn shutdown_lets_go_what_is_held() {
    let (sandbox, client) = started().await;
    let fault = sandbox.fault(FaultSpec::new(FaultKind::Hold)).expect("a fault");
    let url = contacts(&sandbox);
    let call = tokio::spawn(async move { client.post(&url, &contact("a@b.co")).await });
    fault.wait_hits(1).await;
    sandbox.shutdown().await;
    call.await.expect("joined").expect_err("dropped");
    assert_eq!(sandbox.ledger()[0].status, LedgerStatus::Dropped);
}

#[tokio::test]
async fn a_registered_token_expires_by_the_sandboxs_clock() {
    let (sandbox, mut client) = started().await;
    sandbox.put_token(Token {
        token: "short".to_owned(),
        provider: Provider::Salesforce,
        account: "acme".to_owned(),
        expires_at_ms: Some(sandbox.clock().now_ms() + 60_000),
        scopes: None,
        revoked: false,
        grant: None,
    });
    client.token = "short".to_owned();
    let url = sobject(&sandbox, "Account");
    assert_eq!(
        client.post(&url, &account("A")).await.expect("an answer").status,
        201
    );
    sandbox.clock().advance(60_001);
    assert_eq!(
        client.post(&url, &account("A")).await.expect("an answer").status,
        401
    );
}

#[tokio::test]
async fn served_by_another_listener_a_drop_breaks_the_answer_off() {
    let (sandbox, client) = started().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let url = format!(
        "http://{}/hubspot/crm/v3/objects/contacts",
        listener.local_addr().expect("an address")
    );
    let routes = amp_write::sandbox::router(&sandbox);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    assert_eq!(
        client
            .post(&url, &contact("a@b.co"))
            .await
            .expect("an answer")
            .status,
        201
    );
    sandbox
        .fault(FaultSpec::new(FaultKind::DropAfterCommit))
        .expect("a fault");
    client
        .post(&url, &contact("b@b.co"))
        .await
        .expect_err("no whole answer");
    assert_eq!(created(&sandbox), 2);
}
