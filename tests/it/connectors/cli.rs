//! `amp-write connectors`.

use std::io::Write;

use amp_write::cli::connectors::{ConnectorsArgs, run};
use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: ConnectorsArgs,
}

fn call(words: &[&str]) -> (bool, String) {
    let words = std::iter::once("connectors").chain(words.iter().copied());
    let cli = Cli::try_parse_from(words).unwrap();
    let mut out = Vec::new();
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let well = run(&cli.args, &mut out, now).unwrap();
    (well, String::from_utf8(out).unwrap())
}

#[test]
fn list_and_show_say_what_each_provider_can_do() {
    let (well, text) = call(&["list"]);
    assert!(well && text.lines().count() >= 139, "{text}");
    assert!(text.contains("hubspot") && text.contains("create update delete"));
    let (well, text) = call(&["show", "salesforce"]);
    assert!(
        well && text.contains("variable workspace") && text.contains("module account-engagement"),
        "{text}"
    );
    let (well, text) = call(&["show", "nobody"]);
    assert!(!well && text.contains("there is no provider `nobody`"), "{text}");
}

#[test]
fn try_prints_the_exact_request_without_a_secret() {
    let (well, text) = call(&[
        "try",
        "hubspot",
        "create",
        "contacts",
        "--record",
        r#"{"email":"a@b.co","n":1.50}"#,
    ]);
    assert!(well, "{text}");
    assert!(
        text.starts_with("POST https://api.hubapi.com/crm/v3/objects/contacts\n"),
        "{text}"
    );
    assert!(text.contains("Authorization: Bearer {access_token}"), "{text}");
    assert!(
        text.ends_with("{\"properties\":{\"email\":\"a@b.co\",\"n\":1.50}}\n"),
        "{text}"
    );
    let (well, text) = call(&[
        "try",
        "salesforce",
        "update",
        "Contact",
        "--var",
        "workspace=acme",
    ]);
    assert!(!well && text.contains("needs a record id"), "{text}");
    let (well, text) = call(&["try", "hubspot", "create", "contacts", "--record", "nonsense"]);
    assert!(!well && text.contains("not a JSON object"), "{text}");
}

#[test]
fn check_runs_the_examples_and_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("acme.yaml");
    let file = "provider: acme\ndisplay_name: Acme\nauth: {none: true}\nbase_url: https://api.acme.example\n\
                ops:\n  create: {method: POST, path: \"/v1/{object}\"}\nopen: true\nexamples:\n\
                - {name: one, action: create, object: a, record: {b: 1},\n   \
                request: {method: POST, url: \"https://api.acme.example/v1/a\", body: {b: 1}}}\n";
    std::fs::write(&path, file).unwrap();
    let (well, text) = call(&["check", path.to_str().unwrap()]);
    assert!(well && text.contains("1 examples, 0 wrong"), "{text}");
    // A byte order mark may stand first, and the lines stay those of the file.
    std::fs::write(&path, format!("\u{feff}{file}")).unwrap();
    let (well, text) = call(&["check", path.to_str().unwrap()]);
    assert!(well && text.contains("1 examples, 0 wrong"), "{text}");
    std::fs::write(
        &path,
        format!(
            "\u{feff}{}",
            file.replace("method: POST, path", "method: \"P T\", path")
        ),
    )
    .unwrap();
    let (well, text) = call(&["check", path.to_str().unwrap()]);
    assert!(!well && text.contains(":6 at ops.create.method"), "{text}");
    // Every action is to be shown.
    let more = file.replace(
        "  create:",
        "  delete: {method: DELETE, path: \"/v1/{object}/{id}\"}\n  create:",
    );
    std::fs::write(&path, &more).unwrap();
    let (well, text) = call(&["check", path.to_str().unwrap()]);
    assert!(
        !well && text.contains("there is no example of delete; add one"),
        "{text}"
    );
    // All problems are told at once, with line and path.
    let broken = more
        .replace("/v1/{object}/{id}", "/v1/{objekt}")
        .replace("method: POST", "method: \"P T\"");
    std::fs::write(&path, &broken).unwrap();
    let (well, text) = call(&["check", path.to_str().unwrap()]);
    assert!(!well, "{text}");
    for part in [
        ":6 at ops.delete.path: `/v1/{objekt}`: unknown place",
        ":7 at ops.create.method: `P T`",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert_eq!(text.lines().count(), 2, "nothing is told twice:\n{text}");
    // So are keys and types, which stop the reader.
    let broken = file
        .replace("open: true", "opne: true")
        .replace("method: POST", "method: [POST]");
    std::fs::write(&path, &broken).unwrap();
    let (well, text) = call(&["check", path.to_str().unwrap()]);
    assert!(!well, "{text}");
    for part in [
        ":6 at ops.create.method: `[\"POST\"]` has to be one of `GET`,",
        ":7 at opne: `opne` is not a key here; there are `provider`,",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    std::fs::write(&path, file.replace("/v1/{object}", "/v2/{object}")).unwrap();
    let (well, text) = call(&["check", path.to_str().unwrap()]);
    assert!(
        !well && text.contains("should be `https://api.acme.example/v1/a`"),
        "{text}"
    );
    let (well, text) = call(&["check", "/nonexistent/x.yaml"]);
    assert!(!well && text.contains("x.yaml"), "{text}");
}

#[test]
fn verify_counts_and_prints_each_difference() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(
        file,
        r#"{{"provider":"hubspot","module":"crm","op":"create","object":"deals","record":{{"a":1}},"request":{{"method":"POST","url":"https://api.hubapi.com/crm/v3/objects/deals","content_type":"application/json","body":{{"properties":{{"a":1}}}}}}}}"#
    )
    .unwrap();
    writeln!(
        file,
        r#"{{"provider":"pylon","module":null,"op":"delete","object":"tags","id":"1","refused":true}}"#
    )
    .unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let (well, text) = call(&["verify", &path]);
    assert!(well, "{text}");
    assert_eq!(text, "1 matched, 0 differ, 1 refused as expected\n");
    writeln!(
        file,
        r#"{{"provider":"hubspot","op":"delete","object":"deals","id":"1","refused":true}}"#
    )
    .unwrap();
    let (well, text) = call(&["verify", &path]);
    assert!(
        !well && text.contains("line 3: hubspot delete deals: sent DELETE"),
        "{text}"
    );
}

#[test]
fn the_table_of_providers_in_the_documentation_is_current() {
    let (_, text) = call(&["list", "--markdown"]);
    let written = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/providers.md")).unwrap();
    assert_eq!(
        text, written,
        "run: amp-write connectors list --markdown > docs/providers.md"
    );
}

#[test]
fn credentials_of_a_providers_own_kind_are_described_and_not_asked_for() {
    let (well, text) = call(&["show", "aws"]);
    assert!(
        well && text.contains("input secret_access_key: ")
            && text.contains("input session_token (optional): "),
        "{text}"
    );
    let mut words = vec!["try", "aws", "create", "Users", "--record", "{}"];
    words.extend(["--var", "region=eu-west-1", "--var", "identityStoreId=d-1"]);
    words.extend(["--var", "instanceARN=arn:aws:sso:::instance/i"]);
    let (well, text) = call(&words);
    assert!(
        well && text.contains("\nAuthorization: AWS4-HMAC-SHA256 "),
        "{text}"
    );
    let mut words = vec!["try", "salesforceJWT", "create", "Account"];
    words.extend(["--var", "workspace=acme"]);
    let (well, text) = call(&words);
    assert!(
        well && text.contains("\nAuthorization: Bearer {access_token}"),
        "{text}"
    );
}
