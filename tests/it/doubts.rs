//! "Failed" means that the provider does not have it: what is said of writes of which a request was in doubt.

use std::time::Duration;

use amp_write::action::Action;
use amp_write::sandbox::{FaultKind, FaultSpec, Provider};
use amp_write::settings::TuningArgs;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::harness::client::PATIENCE;
use crate::harness::service::{GROUP, PLAIN, start_sandbox, tuning};
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    an_update_that_was_applied_and_then_refused_needs_review,
    records_of_a_batch_that_were_applied_and_then_refused_need_review,
    an_update_without_an_answer_until_its_deadline_needs_review,
    an_update_whose_only_request_is_lost_past_its_deadline_needs_review,
    a_create_that_may_be_repeated_and_is_then_refused_needs_review,
    a_create_that_collides_with_its_own_first_request_is_looked_up_again,
    records_in_doubt_that_cannot_be_asked_for_until_the_deadline_need_review,
    a_limit_after_an_unanswered_request_does_not_make_it_certain,
    a_write_whose_installation_goes_while_it_is_in_doubt_needs_review,
    an_attempt_of_a_change_without_an_answer_says_so,
    an_outcome_that_cannot_be_stored_at_first_is_stored_later,
    a_record_that_tells_no_time_of_its_making_is_never_ours,
    a_synchronous_change_whose_outcome_is_unknown_may_be_sent_again_and_a_create_not,
    a_doubt_outlives_the_wait_for_new_credentials,
    a_batch_that_waits_too_long_for_new_credentials_says_of_each_record_what_is_known,
);

const HOUR: Duration = Duration::from_secs(3_600);
/// Long enough for some attempts, short enough to wait for.
const SOON: Duration = Duration::from_millis(1_500);

/// The provider refuses the request for good.
fn refusal(action: &str) -> FaultSpec {
    FaultSpec {
        status: Some(400),
        code: Some("INVALID_FIELD".to_owned()),
        message: Some("no such option".to_owned()),
        ..FaultSpec::new(FaultKind::Error).action(action)
    }
}

/// It takes effect, and the answer is a 502.
fn applied_without_saying_so(action: &str) -> FaultSpec {
    FaultSpec::new(FaultKind::ServerError)
        .after_commit()
        .action(action)
        .once()
}

fn fault(service: &Service, spec: FaultSpec) -> amp_write::sandbox::FaultHandle {
    service.sandbox.fault(spec).expect("a good fault")
}

async fn made(service: &Service, integration: &str, object: &str, record: Value) -> String {
    let body = json!({"groupRef": GROUP, "type": "create", "record": record});
    let made = service
        .client
        .write(integration, object, body)
        .await
        .expect(200)
        .json();
    made["result"]["recordId"].as_str().expect("an id").to_owned()
}

async fn accept(service: &Service, integration: &str, object: &str, mut body: Value) -> String {
    body["groupRef"] = json!(GROUP);
    body["mode"] = json!("asynchronous");
    let answer = service
        .client
        .write(integration, object, body)
        .await
        .expect(200)
        .json();
    answer["operationId"].as_str().expect("an id").to_owned()
}

/// How each record ended.
fn states(operation: &Value) -> Vec<&str> {
    let records = operation["metadata"]["records"].as_array().expect("records");
    records
        .iter()
        .map(|record| record["state"].as_str().expect("a state"))
        .collect()
}

#[track_caller]
fn assert_in_doubt(operation: &Value) {
    assert_eq!(operation["metadata"]["state"], "needs_review", "{operation}");
    assert_eq!(operation["metadata"]["outcome"], "unknown");
    let errors = operation["metadata"]["errors"].to_string();
    assert!(errors.contains("may have been applied"), "{operation}");
}

async fn an_update_that_was_applied_and_then_refused_needs_review(kind: Kind) {
    for (integration, object, record, field) in [
        ("hs", "companies", json!({"name": "A"}), "city"),
        ("sf", "account", json!({"Name": "A"}), "Description"),
    ] {
        let service = Service::start(kind).await;
        let id = made(&service, integration, object, record).await;
        fault(&service, applied_without_saying_so("update"));
        fault(&service, refusal("update").skip(1));
        let body = json!({"type": "update", "record": {"id": id, field: "X"}});
        let operation = accept(&service, integration, object, body).await;
        let ended = service.client.ended(&operation).await;
        assert_in_doubt(&ended);
        let said = ended["result"].as_str().unwrap();
        assert!(said.contains("no such option"), "{said}");
        let attempts = ended["metadata"]["attempts"].as_array().unwrap();
        let seen: Vec<&str> = attempts.iter().map(|a| a["state"].as_str().unwrap()).collect();
        assert_eq!(seen, ["unanswered", "answered"]);
        // One that was refused at once has failed, and nothing more.
        let body = json!({"type": "update", "record": {"id": id, field: "Y"}});
        let operation = accept(&service, integration, object, body).await;
        let ended = service.client.ended(&operation).await;
        assert_eq!(ended["metadata"]["state"], "failed", "{ended}");
    }
}

async fn records_of_a_batch_that_were_applied_and_then_refused_need_review(kind: Kind) {
    for (integration, object, name, field) in [
        ("hs", "companies", "name", "city"),
        ("sf", "account", "Name", "Description"),
    ] {
        let service = Service::start(kind).await;
        let mut ids = Vec::new();
        for number in 0..2 {
            ids.push(made(&service, integration, object, json!({name: format!("A{number}")})).await);
        }
        fault(&service, applied_without_saying_so("update"));
        fault(&service, refusal("update").skip(1));
        let records = ids.iter().map(|id| json!({"record": {"id": id, field: "X"}}));
        let body = json!({"type": "update", "batch": records.collect::<Vec<_>>()});
        let operation = accept(&service, integration, object, body).await;
        let ended = service.client.ended(&operation).await;
        assert_in_doubt(&ended);
        assert_eq!(states(&ended), ["needs_review", "needs_review"]);
        assert_eq!(ended["metadata"]["attempts"][0]["state"], "unanswered");
    }
    // One record of it is refused, the other is written after all.
    let service = Service::start(kind).await;
    let ids = [
        made(&service, "sf", "account", json!({"Name": "A"})).await,
        made(&service, "sf", "account", json!({"Name": "B"})).await,
    ];
    fault(&service, applied_without_saying_so("update"));
    let partial = FaultSpec {
        items: Some(vec![1]),
        code: Some("STRING_TOO_LONG".to_owned()),
        ..FaultSpec::new(FaultKind::Partial).action("update").skip(1)
    };
    fault(&service, partial);
    let records = ids
        .iter()
        .map(|id| json!({"record": {"id": id, "Description": "X"}}));
    let body = json!({"type": "update", "batch": records.collect::<Vec<_>>()});
    let operation = accept(&service, "sf", "account", body).await;
    let ended = service.client.ended(&operation).await;
    assert_eq!(states(&ended), ["succeeded", "needs_review"], "{ended}");
}

async fn an_update_without_an_answer_until_its_deadline_needs_review(kind: Kind) {
    for lost in [FaultKind::DropAfterCommit, FaultKind::ServerError] {
        let service = Service::start(kind).await;
        let ids = [
            made(&service, "hs", "companies", json!({"name": "A"})).await,
            made(&service, "hs", "companies", json!({"name": "B"})).await,
        ];
        fault(&service, FaultSpec::new(lost).after_commit().action("update"));
        let record = |id: &str| json!({"record": {"id": id, "city": "X"}});
        for request in [
            record(&ids[0]),
            json!({"batch": [record(&ids[0]), record(&ids[1])]}),
        ] {
            let operation = service
                .accept_until("companies", Action::Update, &request, SOON)
                .await;
            let ended = service.client.ended(&operation).await;
            assert_in_doubt(&ended);
            let attempts = ended["metadata"]["attempts"].as_array().unwrap();
            assert!(
                attempts.iter().all(|attempt| attempt["state"] == "unanswered"),
                "{ended}"
            );
            let errors = ended["metadata"]["errors"].to_string();
            assert!(errors.contains("gave up at the deadline after"), "{errors}");
            assert!(!errors.contains("see its attempts"), "{errors}");
        }
    }
}

async fn an_update_whose_only_request_is_lost_past_its_deadline_needs_review(kind: Kind) {
    let service = Service::start(kind).await;
    let ids = [
        made(&service, "hs", "companies", json!({"name": "A"})).await,
        made(&service, "hs", "companies", json!({"name": "B"})).await,
    ];
    let slow = FaultSpec {
        delay_ms: Some(3_000),
        ..FaultSpec::new(FaultKind::Delay).action("update")
    };
    fault(&service, slow);
    fault(
        &service,
        FaultSpec::new(FaultKind::DropAfterCommit).action("update"),
    );
    let record = |id: &str| json!({"record": {"id": id, "city": "X"}});
    for request in [
        record(&ids[0]),
        json!({"batch": [record(&ids[0]), record(&ids[1])]}),
    ] {
        let operation = service
            .accept_until("companies", Action::Update, &request, SOON)
            .await;
        let ended = service.client.ended(&operation).await;
        assert_in_doubt(&ended);
        let attempts = ended["metadata"]["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 1, "{ended}");
    }
}

async fn a_create_that_may_be_repeated_and_is_then_refused_needs_review(kind: Kind) {
    let service = Service::start(kind).await;
    for request in [
        json!({"record": {"name": "A"}}),
        json!({"batch": [{"record": {"name": "B"}}, {"record": {"name": "C"}}]}),
    ] {
        service.sandbox.clear_faults();
        fault(
            &service,
            FaultSpec::new(FaultKind::DropAfterCommit).action("create").once(),
        );
        fault(&service, refusal("create").skip(1));
        let mut body = request;
        body["type"] = json!("create");
        body["onUnknown"] = json!("retry");
        let operation = accept(&service, "hs", "companies", body).await;
        let ended = service.client.ended(&operation).await;
        assert_in_doubt(&ended);
    }
    assert_eq!(service.created(), 3, "it is there");
}

async fn a_create_that_collides_with_its_own_first_request_is_looked_up_again(kind: Kind) {
    let contact = |name: &str| json!({"record": {"email": format!("{name}@example.com"), "firstname": name}});
    for (request, count) in [
        (contact("ada"), 1),
        (json!({"batch": [contact("ada"), contact("grace")]}), 2),
    ] {
        let service = Service::start(kind).await;
        fault(
            &service,
            FaultSpec::new(FaultKind::DropAfterCommit).action("create").once(),
        );
        // The provider's index is behind: the first look finds nothing.
        let behind = FaultSpec {
            status: Some(404),
            ..FaultSpec::new(FaultKind::Answer).method("GET").times(count)
        };
        fault(&service, behind);
        let mut body = request;
        body["type"] = json!("create");
        let operation = accept(&service, "hs", "contacts", body).await;
        let ended = service.client.ended(&operation).await;
        assert_eq!(ended["metadata"]["state"], "succeeded", "{ended}");
        let ids = service
            .sandbox
            .ledger()
            .into_iter()
            .flat_map(|entry| entry.changes)
            .map(|change| change.id);
        assert_eq!(
            ended["metadata"]["successfulRecordIds"],
            json!(ids.collect::<Vec<_>>()),
            "{ended}"
        );
        assert_eq!(service.created() as u64, count);
    }
}

async fn records_in_doubt_that_cannot_be_asked_for_until_the_deadline_need_review(kind: Kind) {
    let contact = |name: &str| json!({"record": {"email": format!("{name}@example.com")}});
    for (request, count) in [
        (contact("ada"), 1),
        (json!({"batch": [contact("ada"), contact("grace")]}), 2),
    ] {
        let service = Service::start(kind).await;
        fault(
            &service,
            FaultSpec::new(FaultKind::DropAfterCommit).action("create").once(),
        );
        fault(&service, FaultSpec::new(FaultKind::ServerError).method("GET"));
        let operation = service
            .accept_until("contacts", Action::Create, &request, SOON)
            .await;
        let ended = service.client.ended(&operation).await;
        assert_eq!(ended["metadata"]["state"], "needs_review", "{ended}");
        assert_eq!(states(&ended), vec!["needs_review"; count], "{ended}");
        assert_eq!(service.created(), count, "they are there");
        let posts = service
            .reached()
            .into_iter()
            .filter(|(method, ..)| method == "POST");
        assert_eq!(posts.count(), 1);
    }
}

async fn a_limit_after_an_unanswered_request_does_not_make_it_certain(kind: Kind) {
    for batch in [false, true] {
        let service = Service::start(kind).await;
        let ids = [
            made(&service, "hs", "companies", json!({"name": "A"})).await,
            made(&service, "hs", "companies", json!({"name": "B"})).await,
        ];
        fault(&service, applied_without_saying_so("update"));
        let limit = FaultSpec {
            retry_after: Some(7_200),
            ..FaultSpec::new(FaultKind::RateLimit).action("update").skip(1)
        };
        fault(&service, limit);
        let record = |id: &str| json!({"record": {"id": id, "city": "X"}});
        let request = if batch {
            json!({"batch": [record(&ids[0]), record(&ids[1])]})
        } else {
            record(&ids[0])
        };
        let operation = service
            .accept_until("companies", Action::Update, &request, HOUR)
            .await;
        let ended = service.client.ended(&operation).await;
        assert_in_doubt(&ended);
        let errors = ended["metadata"]["errors"].to_string();
        assert!(
            errors.contains("asks to wait longer than the deadline"),
            "{errors}"
        );
    }
}

async fn a_write_whose_installation_goes_while_it_is_in_doubt_needs_review(kind: Kind) {
    let service = Service::start(kind).await;
    let ids = [
        made(&service, "hs", "companies", json!({"name": "A"})).await,
        made(&service, "hs", "companies", json!({"name": "B"})).await,
    ];
    let lost = fault(
        &service,
        FaultSpec::new(FaultKind::ServerError)
            .after_commit()
            .action("update"),
    );
    let record = |id: &str| json!({"record": {"id": id, "city": "X"}});
    let mut single = record(&ids[0]);
    single["type"] = json!("update");
    let batch = json!({"type": "update", "batch": [record(&ids[0]), record(&ids[1])]});
    let operations = [
        accept(&service, "hs", "companies", single).await,
        accept(&service, "hs", "companies", batch).await,
    ];
    // Behind each other: the first one is enough, the batch waits for its record.
    let tried = |operation: &Value| operation["metadata"]["attempts"].is_array();
    lost.wait_hits(2).await;
    for operation in &operations[..1] {
        service.client.operation_until(operation, tried).await;
    }
    let list = service
        .client
        .get("/integrations/hs/installations")
        .await
        .expect(200)
        .json();
    let path = format!(
        "/integrations/hs/installations/{}",
        list[0]["id"].as_str().unwrap()
    );
    service.client.delete(&path).await.expect(204);
    let ended = service.client.ended(&operations[0]).await;
    assert_in_doubt(&ended);
    assert!(ended["result"].as_str().unwrap().contains("deleted"), "{ended}");
    // Whatever of the batch was tried is in doubt, too; what was not has failed.
    let ended = service.client.ended(&operations[1]).await;
    let was_tried = ended["metadata"]["attempts"].is_array();
    let state = if was_tried { "needs_review" } else { "failed" };
    assert_eq!(ended["metadata"]["state"], state, "{ended}");
}

async fn an_attempt_of_a_change_without_an_answer_says_so(kind: Kind) {
    let cut = FaultSpec {
        cut: true,
        ..FaultSpec::new(FaultKind::TruncateJson)
    };
    for lost in [
        FaultSpec::new(FaultKind::DropBeforeCommit),
        FaultSpec::new(FaultKind::DropAfterCommit),
        FaultSpec::new(FaultKind::ServerError),
        FaultSpec::new(FaultKind::TruncateJson),
        cut,
    ] {
        let service = Service::start(kind).await;
        let ids = [
            made(&service, "hs", "companies", json!({"name": "A"})).await,
            made(&service, "hs", "companies", json!({"name": "B"})).await,
            made(&service, "hs", "companies", json!({"name": "C"})).await,
        ];
        let record = |id: &str| json!({"record": {"id": id, "city": "X"}});
        let mut single = record(&ids[0]);
        single["type"] = json!("update");
        // Of other records: those wait while the first request may still take effect.
        let batch = json!({"type": "update", "batch": [record(&ids[1]), record(&ids[2])]});
        for body in [single, batch] {
            let name = lost.fault.name();
            fault(&service, lost.clone().action("update").once());
            let operation = accept(&service, "hs", "companies", body).await;
            let ended = service.client.ended(&operation).await;
            assert_eq!(ended["metadata"]["state"], "succeeded", "{name}: {ended}");
            let attempts = ended["metadata"]["attempts"].as_array().unwrap();
            let seen: Vec<&str> = attempts.iter().map(|a| a["state"].as_str().unwrap()).collect();
            assert_eq!(seen, ["unanswered", "answered"], "{name}");
            let logs = service
                .client
                .get(&format!("/operations/{operation}/logs"))
                .await
                .expect(200)
                .body;
            assert!(logs.contains("got no usable answer"), "{name}: {logs}");
        }
    }
}

/// Lets the store refuse every result, or no longer.
async fn refuse_results(service: &Service, refuse: bool) {
    let url = service.database_url();
    if url.starts_with("sqlite:") {
        let sql = if refuse {
            "CREATE TRIGGER away BEFORE INSERT ON operation_results BEGIN SELECT RAISE(ABORT, 'away'); END"
        } else {
            "DROP TRIGGER away"
        };
        let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
    } else {
        let sql = if refuse {
            "CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'away'; END $$;
             CREATE TRIGGER away BEFORE INSERT ON operation_results FOR EACH ROW EXECUTE FUNCTION away()"
        } else {
            "DROP FUNCTION away() CASCADE"
        };
        service
            .database
            .look()
            .await
            .execute(sqlx::raw_sql(sql))
            .await
            .unwrap();
    }
}

/// How many commits of outcomes were tried.
async fn settles(service: &Service) -> f64 {
    let request = service.client.http.get(format!("{}/metrics", service.client.url));
    let text = service.client.send(request).await.expect(200).body;
    let series = "amp_commit_members_count{kind=\"settle\"} ";
    text.lines()
        .find_map(|line| line.strip_prefix(series))
        .map_or(0.0, |value| value.parse().unwrap())
}

async fn an_outcome_that_cannot_be_stored_at_first_is_stored_later(kind: Kind) {
    let service = Service::start(kind).await;
    for (body, count) in [
        (json!({"type": "create", "record": {"name": "A"}}), 1),
        (
            json!({"type": "create", "batch": [{"record": {"name": "B"}}, {"record": {"name": "C"}}]}),
            2,
        ),
    ] {
        let (calls, made) = (service.reached().len(), service.created());
        let hold = fault(&service, FaultSpec::new(FaultKind::Hold).once());
        let operation = accept(&service, "hs", "companies", body).await;
        hold.wait_hits(1).await;
        refuse_results(&service, true).await;
        let before = settles(&service).await;
        hold.release();
        let started = std::time::Instant::now();
        while settles(&service).await < before + 2.0 {
            assert!(
                started.elapsed() < PATIENCE,
                "its outcome is not tried to be stored again"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        refuse_results(&service, false).await;
        let ended = service.client.ended(&operation).await;
        assert_eq!(ended["metadata"]["state"], "succeeded", "{ended}");
        assert_eq!(service.reached().len(), calls + 1, "it was sent once");
        assert_eq!(service.created(), made + count);
    }
}

async fn a_record_that_tells_no_time_of_its_making_is_never_ours(kind: Kind) {
    // The built-in file, without the place of the time.
    let folder = tempfile::tempdir().expect("a folder");
    let built_in = concat!(env!("CARGO_MANIFEST_DIR"), "/connectors/hubspot.yaml");
    let text = std::fs::read_to_string(built_in).expect("the built-in file");
    let without: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("created_at:"))
        .collect();
    assert!(without.len() < text.lines().count(), "the file tells it");
    std::fs::write(folder.path().join("hubspot.yaml"), without.join("\n")).expect("written");
    let sandbox = start_sandbox().await;
    let tuning = TuningArgs {
        connectors_dir: Some(folder.path().to_owned()),
        ..tuning(&sandbox)
    };
    let service = Service::with(kind, sandbox, tuning).await;
    service.set_up(PLAIN).await;
    let contact = |name: &str| json!({"record": {"email": format!("{name}@example.com")}});
    for request in [contact("ada"), json!({"batch": [contact("bob"), contact("eve")]})] {
        fault(
            &service,
            FaultSpec::new(FaultKind::DropAfterCommit)
                .provider(Provider::HubSpot)
                .action("create")
                .once(),
        );
        let mut body = request;
        body["type"] = json!("create");
        let operation = accept(&service, "hs", "contacts", body).await;
        let ended = service.client.ended(&operation).await;
        assert_eq!(ended["metadata"]["state"], "needs_review", "{ended}");
        let errors = ended["metadata"]["errors"].to_string();
        assert!(errors.contains("may be somebody else's"), "{errors}");
    }
    assert_eq!(service.created(), 3);
}

async fn a_synchronous_change_whose_outcome_is_unknown_may_be_sent_again_and_a_create_not(kind: Kind) {
    let service = Service::start(kind).await;
    let ids = [
        made(&service, "hs", "companies", json!({"name": "A"})).await,
        made(&service, "hs", "companies", json!({"name": "B"})).await,
    ];
    let record = |id: &str| json!({"record": {"id": id, "city": "X"}});
    let named = |kind: &str, mut body: Value| {
        body["type"] = json!(kind);
        body["groupRef"] = json!(GROUP);
        body
    };
    for lost in [
        FaultKind::DropBeforeCommit,
        FaultKind::DropAfterCommit,
        FaultKind::ServerError,
        FaultKind::TruncateJson,
    ] {
        for (body, retryable) in [
            (named("update", record(&ids[0])), true),
            (
                named("update", json!({"batch": [record(&ids[0]), record(&ids[1])]})),
                true,
            ),
            (named("create", json!({"record": {"name": "C"}})), false),
            (
                named(
                    "create",
                    json!({"batch": [{"record": {"name": "D"}}, {"record": {"name": "E"}}]}),
                ),
                false,
            ),
        ] {
            fault(&service, FaultSpec::new(lost).once());
            let answer = service.client.write("hs", "companies", body.clone()).await;
            let problem = answer.problem(502);
            assert_eq!(problem["retryable"], retryable, "{lost:?} {body}: {problem}");
            let remedy = problem["remedy"].as_str().unwrap();
            assert!(remedy.contains("not known whether"), "{remedy}");
            let id = problem["context"]["operationId"].as_str().unwrap();
            let ended = service.client.ended(id).await;
            assert_eq!(ended["metadata"]["state"], "needs_review", "{lost:?} {body}");
        }
    }
    // A delete is done at the latest when it is sent again.
    fault(&service, FaultSpec::new(FaultKind::DropBeforeCommit).once());
    let delete = named("delete", json!({"record": {"id": ids[1]}}));
    let answer = service.client.write("hs", "companies", delete.clone()).await;
    assert_eq!(answer.problem(502)["retryable"], true);
    service.client.write("hs", "companies", delete).await.expect(200);
}

async fn a_doubt_outlives_the_wait_for_new_credentials(kind: Kind) {
    let service = Service::start(kind).await;
    let id = made(&service, "hs", "companies", json!({"name": "A"})).await;
    fault(&service, applied_without_saying_so("update"));
    fault(
        &service,
        FaultSpec::new(FaultKind::RevokeGrant).action("update").skip(1),
    );
    let body = json!({"type": "update", "record": {"id": id, "city": "X"}});
    let operation = accept(&service, "hs", "companies", body).await;
    let held = |operation: &Value| operation["metadata"]["state"] == "held";
    service.client.operation_until(&operation, held).await;
    let started = std::time::Instant::now();
    while service.app.store.queue_depth().await.unwrap() > 0 {
        assert!(started.elapsed() < PATIENCE);
        service.app.writes.end_long_holds(Duration::ZERO).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_in_doubt(&service.client.ended(&operation).await);
}

async fn a_batch_that_waits_too_long_for_new_credentials_says_of_each_record_what_is_known(kind: Kind) {
    let service = Service::start(kind).await;
    let mut ids = Vec::new();
    for name in ["A", "B", "C"] {
        ids.push(made(&service, "sf", "account", json!({ "Name": name })).await);
    }
    // One is written, one is locked, of one the answer does not say.
    let locked = FaultSpec {
        record: Some(ids[1].clone()),
        ..FaultSpec::new(FaultKind::RowLock).once()
    };
    fault(&service, locked);
    let unclear = FaultSpec {
        items: Some(vec![2]),
        code: Some("UNKNOWN_EXCEPTION".to_owned()),
        ..FaultSpec::new(FaultKind::Partial).action("update").once()
    };
    fault(&service, unclear);
    fault(
        &service,
        FaultSpec::new(FaultKind::RevokeGrant).action("update").skip(1),
    );
    let records = ids
        .iter()
        .map(|id| json!({"record": {"id": id, "Description": "X"}}));
    let body = json!({"type": "update", "batch": records.collect::<Vec<_>>()});
    let operation = accept(&service, "sf", "account", body).await;
    let held = |operation: &Value| operation["metadata"]["state"] == "held";
    service.client.operation_until(&operation, held).await;
    let started = std::time::Instant::now();
    while service.app.store.queue_depth().await.unwrap() > 0 {
        assert!(started.elapsed() < PATIENCE);
        service.app.writes.end_long_holds(Duration::ZERO).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let ended = service.client.ended(&operation).await;
    assert_eq!(states(&ended), ["succeeded", "failed", "needs_review"], "{ended}");
    let errors = ended["metadata"]["errors"].to_string();
    assert!(
        errors.contains("has refused the customer's credentials since"),
        "{errors}"
    );
}
