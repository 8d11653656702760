//! The auditor on ledgers of real traffic.

use amp_write::sandbox::audit::{Acknowledged, Report, audit};
use amp_write::sandbox::{FaultKind, FaultSpec, Options, Sandbox};
use serde_json::{Map, Value, json};

use super::{Client, contacts, sobject, start};

fn operation(name: &str, object: &str, action: &str, values: Value, order: u64) -> Acknowledged {
    Acknowledged {
        operation: name.to_owned(),
        object: object.to_owned(),
        action: action.to_owned(),
        values: values.as_object().cloned().unwrap_or_else(Map::new),
        order,
        ..Acknowledged::default()
    }
}

async fn company(sandbox: &Sandbox, client: &Client, name: &str) -> Option<String> {
    let url = contacts(sandbox).replace("contacts", "companies");
    let answer = client
        .post(&url, &json!({"properties": {"name": name}}))
        .await
        .ok()?;
    answer.json()["id"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_blind_repeat_after_a_lost_answer_is_doubled() {
    let sandbox = start(Options::default()).await;
    let client = Client::new("acme");
    sandbox
        .fault(FaultSpec::new(FaultKind::DropAfterCommit).once())
        .expect("a fault");
    assert_eq!(company(&sandbox, &client, "Northpeak").await, None);
    company(&sandbox, &client, "Northpeak")
        .await
        .expect("the repeat succeeds");
    let told = [operation(
        "op-1",
        "companies",
        "create",
        json!({"name": "Northpeak"}),
        1,
    )];
    let report = audit(&sandbox.ledger(), &told);
    assert_eq!(
        report,
        Report {
            doubled: vec!["op-1".to_owned()],
            ..Report::default()
        }
    );
}

#[tokio::test]
async fn an_acknowledged_write_that_never_arrived_is_missing() {
    let sandbox = start(Options::default()).await;
    let client = Client::new("acme");
    company(&sandbox, &client, "Northpeak").await.expect("made");
    let told = [
        operation("op-1", "companies", "create", json!({"name": "Northpeak"}), 1),
        operation("op-2", "companies", "create", json!({"name": "Kestrel"}), 2),
    ];
    let report = audit(&sandbox.ledger(), &told);
    assert_eq!(
        report,
        Report {
            missing: vec!["op-2".to_owned()],
            ..Report::default()
        }
    );
}

#[tokio::test]
async fn a_record_nobody_asked_for_is_unexpected() {
    let sandbox = start(Options::default()).await;
    let id = company(&sandbox, &Client::new("acme"), "Northpeak")
        .await
        .expect("made");
    let report = audit(&sandbox.ledger(), &[]);
    assert_eq!(report.unexpected, [format!("companies/{id}")]);
}

/// Updates the record with these titles and audits against the order t1, t2, t3.
async fn updates(titles: &[&str]) -> Report {
    let sandbox = start(Options::default()).await;
    let client = Client::new("acme");
    let made = client
        .post(&sobject(&sandbox, "contact"), &json!({"LastName": "A"}))
        .await
        .expect("an answer")
        .json();
    let id = made["id"].as_str().expect("an id");
    let url = sobject(&sandbox, &format!("Contact/{id}"));
    for title in titles {
        client
            .send("PATCH", &url, Some(&json!({"Title": title})))
            .await
            .expect("an answer");
    }
    let mut told = vec![operation(
        "op-0",
        "contact",
        "create",
        json!({"LastName": "A"}),
        0,
    )];
    for (order, title) in [(1, "t1"), (2, "t2"), (3, "t3")] {
        let update = operation(
            &format!("op-{order}"),
            "contact",
            "update",
            json!({"Title": title}),
            order,
        );
        told.push(Acknowledged {
            id: Some(id.to_owned()),
            ..update
        });
    }
    audit(&sandbox.ledger(), &told)
}

#[tokio::test]
async fn updates_in_the_order_of_acceptance_are_sound() {
    assert!(updates(&["t1", "t2", "t3"]).await.is_sound());
    assert!(
        updates(&["t1", "t2", "t2", "t3"]).await.is_sound(),
        "an update repeated at once does no harm"
    );
}

#[tokio::test]
async fn updates_that_overtake_are_out_of_order() {
    assert_eq!(updates(&["t2", "t1", "t3"]).await.out_of_order, ["op-1"]);
    assert_eq!(
        updates(&["t1", "t2", "t1", "t3"]).await.out_of_order,
        ["op-1"],
        "a late repeat undoes a later one"
    );
}

#[tokio::test]
async fn the_auditor_answers_over_http() {
    let sandbox = start(Options::default()).await;
    let client = Client::new("acme");
    let told = json!([{"operation": "op-1", "object": "companies", "action": "create",
                       "values": {"name": "Northpeak"}, "order": 1}]);
    let url = format!("{}/_sandbox/audit", sandbox.url());
    let report = client.post(&url, &told).await.expect("an answer").json();
    assert_eq!(
        report,
        json!({"missing": ["op-1"], "doubled": [], "out_of_order": [], "unexpected": []})
    );
}

#[tokio::test]
async fn a_write_that_landed_in_another_account_is_missing_and_unexpected() {
    let sandbox = start(Options::default()).await;
    let id = company(&sandbox, &Client::new("beta"), "Northpeak")
        .await
        .expect("made");
    let told = |account: &str| {
        let create = operation("op-1", "companies", "create", json!({"name": "Northpeak"}), 1);
        [Acknowledged {
            account: Some(account.to_owned()),
            ..create
        }]
    };
    assert_eq!(
        audit(&sandbox.ledger(), &told("acme")),
        Report {
            missing: vec!["op-1".to_owned()],
            unexpected: vec![format!("companies/{id}")],
            ..Report::default()
        }
    );
    assert!(audit(&sandbox.ledger(), &told("beta")).is_sound());
}

#[tokio::test]
async fn an_update_of_another_record_object_or_value_is_missing() {
    let sandbox = start(Options::default()).await;
    let client = Client::new("acme");
    let made = client
        .post(&sobject(&sandbox, "contact"), &json!({"LastName": "A"}))
        .await
        .expect("an answer")
        .json();
    let id = made["id"].as_str().expect("an id").to_owned();
    let url = sobject(&sandbox, &format!("Contact/{id}"));
    client
        .send("PATCH", &url, Some(&json!({"Title": "t1"})))
        .await
        .expect("an answer");
    let create = operation("made", "contact", "create", json!({"LastName": "A"}), 0);
    let update = |id: &str, object: &str, values: Value| Acknowledged {
        id: Some(id.to_owned()),
        ..operation("op-1", object, "update", values, 1)
    };
    let right = update(&id, "contact", json!({"Title": "t1"}));
    assert!(audit(&sandbox.ledger(), &[create.clone(), right]).is_sound());
    for wrong in [
        update("003000000000000AAA", "contact", json!({"Title": "t1"})),
        update(&id, "lead", json!({"Title": "t1"})),
        update(&id, "contact", json!({"Title": "t2"})),
        update(&id, "contact", json!({"Title": "t1", "Department": "d"})),
    ] {
        let report = audit(&sandbox.ledger(), &[create.clone(), wrong.clone()]);
        assert_eq!(report.missing, ["op-1"], "{wrong:?}");
    }
}

#[tokio::test]
async fn a_delete_that_was_not_done_is_missing() {
    let sandbox = start(Options::default()).await;
    let client = Client::new("acme");
    let id = company(&sandbox, &client, "Northpeak").await.expect("made");
    let told = [
        operation("made", "companies", "create", json!({"name": "Northpeak"}), 0),
        Acknowledged {
            id: Some(id.clone()),
            ..operation("op-1", "companies", "delete", json!({}), 1)
        },
    ];
    assert_eq!(audit(&sandbox.ledger(), &told).missing, ["op-1"]);
    let url = format!("{}/{id}", contacts(&sandbox).replace("contacts", "companies"));
    client.send("DELETE", &url, None).await.expect("an answer");
    assert!(audit(&sandbox.ledger(), &told).is_sound());
}
