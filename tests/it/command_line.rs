//! The commands that talk to a running server.

use serde_json::json;

use crate::harness::process::run;
use crate::harness::service::{GROUP, PLAIN};
use crate::harness::{Kind, Service};

/// Runs `amp-write` as a user of this service would; answers whether it succeeded, and what it printed.
async fn amp(service: &Service, args: &[&str]) -> (bool, String, String) {
    let env = [
        ("AMP_URL".to_owned(), service.client.url.clone()),
        ("AMP_PROJECT".to_owned(), service.client.project.clone()),
        ("AMP_API_KEY".to_owned(), service.client.key.clone()),
    ];
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let running = tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let env: Vec<(&str, &str)> = env
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        run(&args, &env)
    });
    let (status, out, err) = running.await.unwrap();
    (status.success(), out, err)
}

fn folder(manifest: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("amp.yaml"), manifest).unwrap();
    folder
}

fn path(folder: &tempfile::TempDir) -> &str {
    folder.path().to_str().unwrap()
}

#[tokio::test]
async fn deploy_says_what_became_of_each_integration() {
    let service = Service::empty(Kind::Sqlite).await;
    let first = folder(PLAIN);
    let (ok, out, err) = amp(&service, &["deploy", path(&first)]).await;
    assert!(ok, "{err}");
    assert_eq!(out.matches("created").count(), 2, "{out}");
    let changed = folder(&PLAIN.replace("{objectName: deals}", "{objectName: tickets}"));
    let (_, out, _) = amp(&service, &["deploy", path(&changed)]).await;
    assert!(out.contains("new revision") && out.contains("unchanged"), "{out}");
    let start = PLAIN.find("  - name: sf").unwrap();
    let only_hs = folder(&PLAIN[..start]);
    let (_, out, _) = amp(&service, &["deploy", path(&only_hs)]).await;
    assert!(out.contains("left as it is"), "{out}");
    let (_, out, _) = amp(&service, &["deploy", path(&only_hs), "--destructive", "--yes"]).await;
    assert!(out.contains("deleted, with its installations"), "{out}");
    let left = service.client.get("/integrations").await.expect(200).json();
    assert_eq!(left.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn deploy_points_at_the_lines_that_are_wrong_and_changes_nothing() {
    let service = Service::empty(Kind::Sqlite).await;
    let bad = folder(
        &PLAIN
            .replace("objectName: deals", "objectNam: deals")
            .replace("provider: salesforce", "provider: salesfarce"),
    );
    let (ok, _, err) = amp(&service, &["deploy", path(&bad)]).await;
    assert!(!ok);
    assert!(
        err.contains("objectName is missing") && err.contains("amp.yaml:6"),
        "{err}"
    );
    assert!(err.contains("salesfarce"), "{err}");
    assert!(
        service
            .client
            .get("/integrations")
            .await
            .expect(200)
            .json()
            .as_array()
            .unwrap()
            .is_empty()
    );
    let (ok, _, err) = amp(&service, &["deploy", "/no/such/folder"]).await;
    assert!(!ok && err.contains("/no/such/folder cannot be read"), "{err}");
}

#[tokio::test]
async fn deploy_prints_the_warnings_that_validate_prints() {
    let service = Service::empty(Kind::Sqlite).await;
    for (manifest, part) in [
        (
            PLAIN.replace("{objectName: deals}", "{objectName: deals, inheritMaping: true}"),
            "inheritMapping",
        ),
        (
            PLAIN.replace("{objectName: deals}", "{objectName: deals, inheritMapping: true}"),
            "nothing to inherit",
        ),
        (
            PLAIN.replace("name: sf", "name: sf\n    displayname_: x"),
            "displayName",
        ),
    ] {
        let files = folder(&manifest);
        let file = files.path().join("amp.yaml");
        let (ok, _, validated) = amp(&service, &["validate", file.to_str().unwrap()]).await;
        assert!(ok && validated.contains(part), "{validated}");
        for more in [&[][..], &["--dry-run"]] {
            let (ok, _, deployed) = amp(&service, &[&["deploy", path(&files)], more].concat()).await;
            assert!(ok, "{deployed}");
            assert_eq!(deployed, validated);
        }
    }
}

#[tokio::test]
async fn a_dry_run_shows_what_a_deploy_would_do_and_changes_nothing() {
    let service = Service::start(Kind::Sqlite).await;
    let before = service.client.get("/integrations").await.expect(200).body;
    let start = PLAIN.find("  - name: sf").unwrap();
    let other = format!(
        "{}  - name: second\n    provider: hubspot\n    write: {{objects: [{{objectName: contacts}}]}}\n",
        PLAIN[..start].replace("{objectName: deals}", "{objectName: tickets}")
    );
    let files = folder(&other);
    let (ok, out, err) = amp(&service, &["deploy", path(&files), "--dry-run"]).await;
    assert!(ok, "{err}");
    for (name, what) in [
        ("hs", "would get a new revision: 1 customer"),
        ("second", "would be created"),
        ("sf", "left as it is"),
    ] {
        let line = out
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default();
        assert!(line.contains(what), "{name}: {out}");
    }
    let (ok, out, _) = amp(&service, &["deploy", path(&files), "--dry-run", "--destructive"]).await;
    let line = out
        .lines()
        .find(|line| line.starts_with("sf"))
        .unwrap_or_default();
    assert!(
        ok && line.contains("would be deleted: 1 customer, 0 writes in the queue"),
        "{out}"
    );
    let same = folder(PLAIN);
    let (ok, out, _) = amp(&service, &["deploy", path(&same), "--dry-run", "--destructive"]).await;
    assert!(ok && out.matches("unchanged").count() == 2, "{out}");
    let bad = folder(&PLAIN.replace("provider: salesforce", "provider: salesfarce"));
    let (ok, _, err) = amp(&service, &["deploy", path(&bad), "--dry-run"]).await;
    assert!(
        !ok && err.contains("salesfarce") && err.contains("amp.yaml:8"),
        "{err}"
    );
    assert_eq!(service.client.get("/integrations").await.expect(200).body, before);
}

#[tokio::test]
async fn nothing_is_deleted_before_it_has_been_told_what_and_somebody_has_said_yes() {
    let service = Service::start(Kind::Sqlite).await;
    let accepted =
        json!({"groupRef": GROUP, "type": "create", "mode": "asynchronous", "record": {"Name": "Acme"}});
    let hold = service
        .sandbox
        .fault(amp_write::sandbox::FaultSpec::new(
            amp_write::sandbox::FaultKind::Hold,
        ))
        .unwrap();
    for _ in 0..3 {
        service
            .client
            .write("sf", "account", accepted.clone())
            .await
            .expect(200);
    }
    let start = PLAIN.find("  - name: sf").unwrap();
    let only_hs = folder(&PLAIN[..start]);
    let (ok, out, err) = amp(&service, &["deploy", path(&only_hs), "--destructive"]).await;
    assert!(
        !ok && err.contains("--yes") && err.contains("nothing was changed"),
        "{out}{err}"
    );
    assert!(
        err.contains("sf (salesforce): 1 customer, 3 writes in the queue"),
        "{err}"
    );
    let count = async || {
        service
            .client
            .get("/integrations")
            .await
            .expect(200)
            .json()
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(count().await, 2);
    // Where nothing goes, nothing is asked.
    let all = folder(PLAIN);
    let (ok, _, err) = amp(&service, &["deploy", path(&all), "--destructive"]).await;
    assert!(ok, "{err}");
    let (ok, out, err) = amp(&service, &["deploy", path(&only_hs), "--destructive", "--yes"]).await;
    assert!(
        ok && out.contains("deleted, with its installations"),
        "{out}{err}"
    );
    assert_eq!(count().await, 1);
    hold.release();
}

#[tokio::test]
async fn a_manifest_and_a_record_may_begin_with_a_byte_order_mark() {
    let service = Service::empty(Kind::Sqlite).await;
    let manifest = PLAIN.trim_start();
    assert!(manifest.starts_with("specVersion"));
    let files = folder(&format!("\u{feff}{manifest}"));
    let file = files.path().join("amp.yaml");
    let (ok, out, err) = amp(&service, &["validate", file.to_str().unwrap()]).await;
    assert!(ok && out.contains("is valid"), "{err}");
    let (ok, _, err) = amp(&service, &["deploy", path(&files)]).await;
    assert!(ok, "{err}");
    // The lines are those of the file.
    let bad = folder(&format!(
        "\u{feff}{}",
        manifest.replace("provider: salesforce", "provider: salesfarce")
    ));
    let (ok, _, err) = amp(&service, &["deploy", path(&bad)]).await;
    assert!(!ok && err.contains("amp.yaml:7"), "{err}");
}

#[tokio::test]
async fn write_previews_and_writes() {
    let service = Service::start(Kind::Sqlite).await;
    let record = r#"{"email": "cli@example.com", "emial": "x"}"#;
    let write = ["write", "hs", "contacts", "--group", GROUP, "--record", record];
    let (ok, out, err) = amp(&service, &[&write[..], &["--preview"]].concat()).await;
    assert!(ok, "{err}");
    for part in [
        "would send: POST",
        "authorization: Bearer ***",
        "passed_through",
        "unknown_field",
        "Nothing was sent",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert_eq!(service.created(), 0);
    let (ok, _, err) = amp(&service, &write).await;
    assert!(
        !ok && err.contains("error writing contacts: bad request"),
        "{err}"
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), r#"{"email": "cli@example.com"}"#).unwrap();
    let at = format!("@{}", file.path().display());
    let (ok, out, err) = amp(
        &service,
        &["write", "hs", "contacts", "--group", GROUP, "--record", &at],
    )
    .await;
    assert!(
        ok && out.contains("record ") && out.contains("operation "),
        "{out}{err}"
    );
    assert_eq!(service.created(), 1);
    // A list is one batch.
    let list = r#"[{"email": "one@example.com"}, {"no_such": 1}, {"email": "two@example.com"}]"#;
    let batch = ["write", "hs", "contacts", "--group", GROUP, "--record", list];
    let (ok, out, err) = amp(&service, &batch).await;
    assert!(ok, "{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[1].starts_with("record 1   failed"), "{out}");
    assert!(
        lines[3].starts_with("error      batch[1]: error writing contacts: "),
        "{out}"
    );
    let operation = lines[4].split_whitespace().last().unwrap();
    let (_, out, _) = amp(&service, &["operations", "show", operation]).await;
    assert!(
        out.contains("RECORD") && out.contains("Batch write completed (2 succeeded, 1 failed)"),
        "{out}"
    );
    // A key that stands twice reaches the server, which refuses it.
    let twice = [
        "write",
        "hs",
        "contacts",
        "--group",
        GROUP,
        "--record",
        r#"{"a": 1, "a": 2}"#,
    ];
    let (ok, _, err) = amp(&service, &twice).await;
    assert!(!ok && err.contains("appears twice"), "{err}");
}

#[tokio::test]
async fn what_cannot_be_reached_or_is_not_allowed_is_said_plainly() {
    let mut service = Service::empty(Kind::Sqlite).await;
    let files = folder(PLAIN);
    let (ok, _, err) = amp(&service, &["deploy", path(&files), "--url", "http://127.0.0.1:1"]).await;
    assert!(
        !ok && err.contains("could not be reached") && err.contains("--url"),
        "{err}"
    );
    let (ok, _, err) = amp(&service, &["deploy", path(&files), "--url", "nonsense"]).await;
    assert!(!ok && err.contains("not a URL"), "{err}");
    service.client.key = "s3cr3t-wrong".to_owned();
    let (ok, out, err) = amp(&service, &["deploy", path(&files)]).await;
    assert!(!ok && err.contains("(401)"), "{err}");
    assert!(!format!("{out}{err}").contains("s3cr3t"));
    let body = json!({"groupRef": GROUP});
    assert_eq!(service.client.post("/integrations", body).await.status, 401);
}
