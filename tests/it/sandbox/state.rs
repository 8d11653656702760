//! State: accounts kept apart, the journal, the ledger, seeds.

use std::path::PathBuf;

use amp_write::sandbox::{LedgerStatus, Options, Sandbox};
use http::Method;
use serde_json::{Value, json};

use super::{Client, contacts, sobject, start};

/// A file of its own that is gone afterwards.
struct Journal(tempfile::TempDir);

impl Journal {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("journal.jsonl")
    }

    async fn open(&self) -> Sandbox {
        start(Options {
            journal: Some(self.path()),
            ..Options::default()
        })
        .await
    }
}

async fn fill(sandbox: &Sandbox) -> (String, String) {
    let client = Client::new("acme");
    let path = "/accounts/salesforce/acme/objects/Account/fields";
    let field = json!({"name": "Ext_Id__c", "externalId": true, "unique": true});
    sandbox
        .control(Method::POST, path, &field)
        .await
        .expect("a field");
    let body = json!({"properties": {"email": "a@b.co", "annualrevenue": 0}})
        .to_string()
        .replace('0', "0.10");
    let url = contacts(sandbox);
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let contact = client.post(&url, &body).await.expect("an answer").json();
    let account = json!({"Name": "A", "Ext_Id__c": "E-1"});
    let account = client
        .post(&sobject(sandbox, "Account"), &account)
        .await
        .expect("an answer")
        .json();
    let id = |answer: &Value| answer["id"].as_str().expect("an id").to_owned();
    (id(&contact), id(&account))
}

async fn check(sandbox: &Sandbox, contact: &str, account: &str) {
    let client = Client::new("acme");
    let url = format!("{}/{contact}?properties=annualrevenue", contacts(sandbox));
    let read = client.get(&url).await.expect("an answer").json();
    assert_eq!(read["properties"]["annualrevenue"], json!("0.10"));
    let clash = client
        .post(&contacts(sandbox), &json!({"properties": {"email": "A@B.co"}}))
        .await;
    assert_eq!(clash.expect("an answer").status, 409, "the unique index is back");
    let upsert = client
        .send(
            "PATCH",
            &sobject(sandbox, "Account/Ext_Id__c/E-1"),
            Some(&json!({"Name": "B"})),
        )
        .await;
    assert_eq!(
        upsert.expect("an answer").json()["id"],
        json!(account),
        "fields and external ids are back"
    );
    let fresh = client
        .post(&contacts(sandbox), &json!({"properties": {"email": "new@b.co"}}))
        .await;
    assert_ne!(
        fresh.expect("an answer").json()["id"],
        json!(contact),
        "ids are not given twice"
    );
}

#[tokio::test]
async fn state_and_ledger_come_back_from_the_journal() {
    let journal = Journal::new();
    let sandbox = journal.open().await;
    let (contact, account) = fill(&sandbox).await;
    let before = sandbox.ledger();
    sandbox.shutdown().await;
    let sandbox = journal.open().await;
    assert_eq!(sandbox.ledger(), before);
    check(&sandbox, &contact, &account).await;
    let ledger = sandbox.ledger();
    let orders: Vec<u64> = ledger.iter().flat_map(|e| &e.changes).map(|c| c.order).collect();
    assert!(orders.is_sorted_by(|a, b| a < b), "{orders:?}");
    assert!(ledger.is_sorted_by(|a, b| a.sequence < b.sequence));
}

#[tokio::test]
async fn a_torn_last_line_is_passed_over() {
    let journal = Journal::new();
    let sandbox = journal.open().await;
    let (contact, account) = fill(&sandbox).await;
    sandbox.shutdown().await;
    let mut text = std::fs::read_to_string(journal.path()).expect("a journal");
    text.push_str("{\"kind\":\"record\",\"val");
    std::fs::write(journal.path(), text).expect("written");
    let sandbox = journal.open().await;
    check(&sandbox, &contact, &account).await;
    sandbox.shutdown().await;
    check_again(&journal).await;
}

async fn check_again(journal: &Journal) {
    let sandbox = journal.open().await;
    assert!(
        !sandbox.ledger().is_empty(),
        "what came after the torn line is readable too"
    );
}

#[tokio::test]
async fn a_broken_line_in_the_middle_is_an_error_that_names_it() {
    let journal = Journal::new();
    std::fs::write(journal.path(), "{\"kind\":\"x\",\"value\":1}\nnonsense\n{}\n").expect("written");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let options = Options {
        journal: Some(journal.path()),
        ..Options::default()
    };
    let error = amp_write::sandbox::start(listener, options)
        .expect_err("no start")
        .to_string();
    assert!(error.contains("line 2"), "{error}");
}

#[tokio::test]
async fn revoked_and_rotated_tokens_stay_so_after_a_restart() {
    let journal = Journal::new();
    let sandbox = journal.open().await;
    let grant = json!({"provider": "salesforce", "account": "acme", "refresh_token": "r1", "rotate": true});
    sandbox
        .control(Method::POST, "/grants", &grant)
        .await
        .expect("a grant");
    let refresh = |sandbox: &Sandbox, token: &str| {
        let url = format!("{}/services/oauth2/token", sandbox.salesforce_url());
        let form = format!("grant_type=refresh_token&client_id=c&refresh_token={token}");
        async move { Client::new("acme").form(&url, &form).await.expect("an answer") }
    };
    let first = refresh(&sandbox, "r1").await.json();
    let second = first["refresh_token"].as_str().expect("rotated").to_owned();
    sandbox.shutdown().await;
    let sandbox = journal.open().await;
    let again = refresh(&sandbox, &second).await;
    assert_eq!(again.status, 200, "the new token is good");
    assert_eq!(
        refresh(&sandbox, "r1").await.status,
        400,
        "the old one is used up"
    );
}

#[tokio::test]
async fn accounts_see_only_their_own_records() {
    let sandbox = start(Options::default()).await;
    let body = json!({"properties": {"email": "a@b.co"}});
    for account in ["one", "two"] {
        let answer = Client::new(account)
            .post(&contacts(&sandbox), &body)
            .await
            .expect("an answer");
        assert_eq!(answer.status, 201, "{account}");
    }
    let ledger = sandbox.ledger_since(0, Some("two"));
    assert_eq!((ledger.len(), ledger[0].sequence), (1, 2));
}

#[tokio::test]
async fn the_ledger_keeps_what_was_received_and_hides_the_token() {
    let sandbox = start(Options::default()).await;
    let made = json!({"properties": {"email": "a@b.co"}});
    let made = Client::new("acme").post(&contacts(&sandbox), &made).await;
    assert_eq!(made.expect("an answer").status, 201);
    let body = "{ \"properties\": {\"email\":\"a@b.co\",  \"phone\": 12345678901234567890} }";
    let request = super::http()
        .patch(format!("{}/a%40b.co?idProperty=%65mail", contacts(&sandbox)))
        .bearer_auth("test-acme")
        .header("content-type", "application/json")
        .header("x-mark", "kept")
        .body(body);
    assert_eq!(super::finish(request).await.expect("an answer").status, 200);
    let entry = sandbox.ledger().remove(1);
    assert_eq!(
        (entry.body.as_str(), entry.path.as_str()),
        (body, "/crm/v3/objects/contacts/a%40b.co?idProperty=%65mail")
    );
    assert_eq!(entry.status, LedgerStatus::Answered(200));
    let header = |name: &str| {
        entry
            .headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    };
    assert_eq!(
        (header("x-mark"), header("authorization")),
        (Some("kept"), Some("[redacted]"))
    );
    assert_eq!(entry.changes[0].values["phone"], json!("12345678901234567890"));
}

#[tokio::test]
async fn the_ledger_is_read_and_cleared_over_http() {
    let sandbox = start(Options::default()).await;
    let client = Client::new("acme");
    for i in 0..3 {
        let body = json!({"properties": {"email": format!("n{i}@b.co")}});
        client.post(&contacts(&sandbox), &body).await.expect("an answer");
    }
    let url = format!("{}/_sandbox/ledger", sandbox.url());
    let read = client
        .get(&format!("{url}?since=1&account=acme"))
        .await
        .expect("an answer")
        .json();
    let sequences: Vec<&Value> = read
        .as_array()
        .expect("a list")
        .iter()
        .map(|e| &e["sequence"])
        .collect();
    assert_eq!(sequences, [&json!(2), &json!(3)]);
    assert_eq!(
        client.send("DELETE", &url, None).await.expect("an answer").status,
        204
    );
    assert_eq!(client.get(&url).await.expect("an answer").json(), json!([]));
    client.get(&contacts(&sandbox)).await.expect("an answer");
    assert_eq!(sandbox.ledger()[0].sequence, 4, "numbers go on");
    assert_eq!(
        client
            .get(&format!("{url}?since=x"))
            .await
            .expect("an answer")
            .status,
        400
    );
}

#[tokio::test]
async fn the_same_seed_gives_the_same_ids() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let sandbox = start(Options {
            seed,
            ..Options::default()
        })
        .await;
        let client = Client::new("acme");
        let made = client
            .post(&sobject(&sandbox, "Account"), &json!({"Name": "A"}))
            .await
            .expect("an answer");
        let refused = client
            .post(&contacts(&sandbox), &json!({"properties": {"no": 1}}))
            .await
            .expect("an answer");
        runs.push((made.json()["id"].clone(), refused.json()["correlationId"].clone()));
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0].1, runs[2].1);
}

#[tokio::test]
async fn a_lenient_account_makes_what_it_lacks() {
    let sandbox = start(Options::default()).await;
    let client = Client::new("acme");
    for provider in ["hubspot", "salesforce"] {
        let path = format!("/accounts/{provider}/acme");
        sandbox
            .control(Method::PATCH, &path, &json!({"lenient": true}))
            .await
            .expect("set");
    }
    let body = json!({"properties": {"favcolor": "teal"}});
    assert_eq!(
        client
            .post(&contacts(&sandbox), &body)
            .await
            .expect("an answer")
            .status,
        201
    );
    let url = contacts(&sandbox).replace("contacts", "spaceships");
    assert_eq!(client.post(&url, &body).await.expect("an answer").status, 201);
    let body = json!({"Name": "A", "Colour__c": "teal", "Score__c": 1.50});
    let made = client
        .post(&sobject(&sandbox, "Wombat__c"), &body)
        .await
        .expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text);
    let upsert = client
        .send(
            "PATCH",
            &sobject(&sandbox, "Wombat__c/Key__c/k-1"),
            Some(&json!({"Name": "B"})),
        )
        .await;
    assert_eq!(upsert.expect("an answer").status, 201);
    let strict = Client::new("other")
        .post(&contacts(&sandbox), &json!({"properties": {"favcolor": "x"}}))
        .await;
    assert_eq!(
        strict.expect("an answer").status,
        400,
        "other accounts stay strict"
    );
}

#[tokio::test]
async fn concurrent_creates_of_one_email_make_one_record() {
    let sandbox = start(Options::default()).await;
    let client = Client::new("acme");
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let (client, url) = (client.clone(), contacts(&sandbox));
            tokio::spawn(async move {
                let body = json!({"properties": {"email": "a@b.co"}});
                client.post(&url, &body).await.expect("an answer").status
            })
        })
        .collect();
    let mut made = 0;
    for call in calls {
        let status = call.await.expect("joined");
        assert!(matches!(status, 201 | 409), "{status}");
        made += usize::from(status == 201);
    }
    assert_eq!(made, 1);
}
