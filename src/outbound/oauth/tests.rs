//! What is seen of token endpoints elsewhere, a table for each kind of answer.

use super::*;
use crate::clock::Time;
use crate::connectors::{Catalog, ProviderResponse, parse};

const NOW: Time = Time::from_micros(1_700_000_000_000_000);

/// A connector whose OAuth 2 has these further lines.
fn acme(more: &str) -> Connector {
    let lines: String = more.lines().map(|line| format!("    {line}\n")).collect();
    let file = format!(
        "provider: acme\ndisplay_name: Acme\nauth:\n  oauth2:\n    grant: authorization_code\n    \
         auth_url: https://id.acme.example/authorize\n    token_url: https://id.acme.example/token\n{lines}\
         base_url: https://api.acme.example\nops: {{create: {{method: POST, path: /x}}}}\nresult: {{id: [id]}}\n\
         open: true\n"
    );
    let parsed = parse("acme.yaml", &file, None).expect("a file");
    let connector = parsed.connectors.into_iter().next().expect("one");
    std::sync::Arc::into_inner(connector).expect("the only one")
}

fn response(status: u16, body: &str) -> ProviderResponse {
    ProviderResponse {
        status,
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
        truncated: false,
    }
}

fn answer(connector: &Connector, status: u16, body: &str) -> Result<Granted, GrantFault> {
    let secrets = [Secret::new("the-s3cret".to_owned())];
    read(connector, &secrets, &response(status, body), NOW)
}

/// What is read of a 200 with these fields beside the token.
fn with(connector: &Connector, fields: &str) -> Granted {
    let body = format!(r#"{{"access_token":"t0ken"{fields}}}"#);
    answer(connector, 200, &body).unwrap_or_else(|why| panic!("{fields}: {why:?}"))
}

fn kind(connector: &Connector, status: u16, body: &str) -> FaultKind {
    answer(connector, status, body).expect_err(body).kind
}

fn passing(class: RetryClass) -> FaultKind {
    FaultKind::Passing { class, after: None }
}

#[test]
fn an_error_with_status_200_is_an_error() {
    let acme = acme("");
    for (body, wanted) in [
        (
            r#"{"error":"bad_refresh_token","error_description":"expired"}"#,
            FaultKind::Dead,
        ),
        (
            r#"{"access_token":"t0ken","error":"invalid_grant"}"#,
            FaultKind::Dead,
        ),
        (r#"{"ok":false,"error":"invalid_refresh_token"}"#, FaultKind::Dead),
        (r#"{"ok":false,"access_token":"t0ken"}"#, FaultKind::Refused),
        (
            r#"{"success":false,"message":"no","access_token":"t0ken"}"#,
            FaultKind::Refused,
        ),
        (r#"{"error":"incorrect_client_credentials"}"#, FaultKind::App),
        (
            "error=bad_refresh_token&error_description=expired",
            FaultKind::Dead,
        ),
    ] {
        assert_eq!(kind(&acme, 200, body), wanted, "{body}");
    }
    // These say that all is well.
    for fields in [
        r#","error":null"#,
        r#","error":false"#,
        r#","ok":true"#,
        r#","status":"ok","code":0"#,
    ] {
        assert_eq!(with(&acme, fields).access_token.expose(), "t0ken", "{fields}");
    }
}

#[test]
fn an_answer_without_a_token_and_without_an_error_passes_and_tells_only_its_keys() {
    let acme = acme("");
    for body in [
        "{}",
        "",
        "[]",
        "null",
        r#"{"accessToken":"t0ken-under-another-name"}"#,
        r#"{"access_token":""}"#,
    ] {
        let fault = answer(&acme, 200, body).expect_err(body);
        assert_eq!(fault.kind, passing(RetryClass::Transient), "{body}");
        assert!(!fault.said.contains("t0ken"), "{}", fault.said);
    }
    let fault = answer(&acme, 200, r#"{"accessToken":"t0ken","expires":7}"#).expect_err("no token");
    assert!(fault.said.contains("accessToken, expires"), "{}", fault.said);
}

#[test]
fn a_lifetime_is_read_in_the_forms_that_providers_write_or_is_unknown() {
    let seconds = acme("expires_in: 1234");
    let thousandths = acme("answer: {expires_unit: milliseconds}");
    let told = |seconds| Life::Told(Duration::from_secs(seconds));
    for (connector, given, wanted) in [
        (&seconds, "3600", told(3_600)),
        (&seconds, "\"3600\"", told(3_600)),
        (&seconds, "\" 3600 \"", told(3_600)),
        (&seconds, "3599.5", Life::Told(Duration::from_millis(3_599_500))),
        (&seconds, "0", told(0)),
        (&seconds, "31536000", told(31_536_000)),
        (&thousandths, "3600000", told(3_600)),
        (&seconds, "-1", Life::Unknown),
        (&seconds, "3600000000", Life::Unknown),
        (&seconds, "1e400", Life::Unknown),
        (&seconds, "\"soon\"", Life::Unknown),
        (&seconds, "\"NaN\"", Life::Unknown),
        (&seconds, "true", Life::Unknown),
    ] {
        let granted = with(connector, &format!(r#","expires_in":{given}"#));
        assert_eq!(granted.life, wanted, "{given}");
        assert_eq!(
            granted.warnings.is_empty(),
            wanted != Life::Unknown,
            "{given}: {:?}",
            granted.warnings
        );
    }
    for fields in ["", r#","expires_in":null"#, r#","expires_in":"""#] {
        let granted = with(&seconds, fields);
        assert_eq!(
            (granted.life, granted.warnings),
            (Life::Unknown, Vec::new()),
            "{fields}"
        );
    }
    assert_eq!(
        Life::Unknown.or_default(&seconds),
        Some(Duration::from_secs(1_234))
    );
    assert_eq!(told(7).or_default(&seconds), Some(Duration::from_secs(7)));
    assert_eq!(Life::Unknown.or_default(&thousandths), None);
}

#[test]
fn the_end_of_a_token_may_be_told_as_a_time() {
    let acme = acme("answer: {expires_at: expires_at}");
    // NOW is 2023-11-14T22:13:20Z.
    for (given, wanted) in [
        ("\"2023-11-14T23:13:20Z\"", Life::Told(Duration::from_secs(3_600))),
        ("1700003600", Life::Told(Duration::from_secs(3_600))),
        ("1700003600000", Life::Told(Duration::from_secs(3_600))),
        ("\"2023-11-14T20:13:20Z\"", Life::Unknown),
        ("\"tomorrow\"", Life::Unknown),
    ] {
        assert_eq!(
            with(&acme, &format!(r#","expires_at":{given}"#)).life,
            wanted,
            "{given}"
        );
    }
}

#[test]
fn a_refresh_token_that_is_absent_null_or_empty_keeps_the_old_one() {
    let acme = acme("rotation: stable");
    for fields in ["", r#","refresh_token":null"#, r#","refresh_token":"""#] {
        let granted = with(&acme, fields);
        assert!(
            granted.refresh_token.is_none() && granted.warnings.is_empty(),
            "{fields}"
        );
    }
    // What comes is taken, whatever the file says of rotation.
    let new = with(&acme, r#","refresh_token":"n3w""#).refresh_token;
    assert_eq!(new, Some(Secret::new("n3w".to_owned())));
    for odd in ["7", "\"a\\nb\"", "\"  \"", "{}"] {
        let granted = with(&acme, &format!(r#","refresh_token":{odd}"#));
        assert!(
            granted.refresh_token.is_none() && granted.warnings.len() == 1,
            "{odd}"
        );
    }
}

#[test]
fn the_lives_of_refresh_token_and_grant_are_told_or_supposed() {
    let days = |days: u64| Some(Duration::from_secs(days * 86_400));
    let acme = acme("refresh_days: 30\ngrant_days: 365\nanswer: {grant_expires_in: hard}");
    assert_eq!(with(&acme, "").refresh_life, days(30));
    assert_eq!(
        with(&acme, r#","refresh_token_expires_in":86400"#).refresh_life,
        days(1)
    );
    assert_eq!(
        with(&acme, r#","refresh_token_expires_in":-1"#).refresh_life,
        days(30)
    );
    assert_eq!(with(&acme, r#","hard":"172800""#).grant_life, days(2));
    assert_eq!((with(&acme, "").grant_life, grant_life(&acme)), (None, days(365)));
}

#[test]
fn a_token_deeper_in_the_answer_is_found_with_what_belongs_to_it() {
    let slack = Catalog::builtin().get("slack").expect("built in");
    let both = r#"{"ok":true,"access_token":"xoxb","expires_in":43200,"refresh_token":"xoxe-bot","scope":"chat:write,im:write",
        "team":{"id":"T1","name":"Acme"},"authed_user":{"id":"U1","access_token":"xoxp","expires_in":600,"refresh_token":"xoxe-user"}}"#;
    let granted = answer(&slack, 200, both).expect("granted");
    assert_eq!(granted.access_token.expose(), "xoxb");
    assert_eq!(granted.refresh_token, Some(Secret::new("xoxe-bot".to_owned())));
    // The one that ends first counts.
    assert_eq!(granted.life, Life::Told(Duration::from_secs(600)));
    assert_eq!(
        granted.scopes,
        Some(vec!["chat:write".to_owned(), "im:write".to_owned()])
    );
    let account = granted.account.expect("an account");
    assert_eq!(
        (account.id.as_str(), account.name.as_deref()),
        ("T1", Some("Acme"))
    );
    let user = r#"{"ok":true,"access_token":null,"team":{"id":"T1"},"authed_user":{"access_token":"xoxp","scope":"search:read","refresh_token":"xoxe-user"}}"#;
    let granted = answer(&slack, 200, user).expect("granted");
    assert_eq!(granted.access_token.expose(), "xoxp");
    assert_eq!(granted.refresh_token, Some(Secret::new("xoxe-user".to_owned())));
    assert_eq!(
        (granted.life, granted.scopes),
        (Life::Unknown, Some(vec!["search:read".to_owned()]))
    );
}

#[test]
fn long_tokens_are_taken_up_to_64_kib_and_what_no_header_carries_is_not() {
    let acme = acme("");
    for bytes in [4_097, 16 << 10, MAX_TOKEN_BYTES] {
        let token = "x".repeat(bytes);
        let body = format!(r#"{{"access_token":"{token}","refresh_token":"{token}"}}"#);
        let granted = answer(&acme, 200, &body).expect("granted");
        assert_eq!(granted.access_token.expose().len(), bytes);
        assert_eq!(
            granted.refresh_token.map(|token| token.expose().len()),
            Some(bytes)
        );
    }
    let long = "x".repeat(MAX_TOKEN_BYTES + 1);
    for bad in [long.as_str(), "a b", "a\\r\\nX-Evil: 1", "tök"] {
        let body = format!(r#"{{"access_token":"{bad}"}}"#);
        assert_eq!(kind(&acme, 200, &body), passing(RetryClass::Transient));
    }
    let endless = format!(
        r#"{{"access_token":"t0ken","x":"{}"}}"#,
        "x".repeat(MAX_ANSWER_BYTES)
    );
    assert_eq!(kind(&acme, 200, &endless), passing(RetryClass::Transient));
}

#[test]
fn an_answer_is_read_by_what_is_in_it_not_by_its_content_type() {
    let acme = acme("");
    let form = "access_token=t0%2Bken&expires_in=3600&scope=repo%2Cgist&refresh_token=r3&token_type=bearer\n";
    let granted = answer(&acme, 200, form).expect("granted");
    assert_eq!(granted.access_token.expose(), "t0+ken");
    assert_eq!(granted.life, Life::Told(Duration::from_secs(3_600)));
    assert_eq!(granted.refresh_token, Some(Secret::new("r3".to_owned())));
    assert_eq!(granted.scopes, Some(vec!["repo".to_owned(), "gist".to_owned()]));
    let mut odd = response(200, r#"{"access_token":"t0ken"}"#);
    odd.headers
        .push(("content-type".to_owned(), "text/html".to_owned()));
    assert!(read(&acme, &[], &odd, NOW).is_ok());
    for no_form in ["hello", "a=b&c=d", "<a href=\"?access_token=t0ken&x=y\">"] {
        assert_eq!(
            kind(&acme, 200, no_form),
            passing(RetryClass::Transient),
            "{no_form}"
        );
    }
}

#[test]
fn a_page_in_the_place_of_an_answer_passes_and_is_told_in_500_characters_without_our_secrets() {
    let acme = acme("");
    let page = format!(
        "<html>\n<b>Bad\tgateway</b> the-s3cret {}</html>",
        "x".repeat(9_000)
    );
    for status in [400, 403, 404, 502] {
        let fault = answer(&acme, status, &page).expect_err("a page");
        assert_eq!(fault.kind, passing(RetryClass::Transient), "{status}");
        let (said, code) = (fault.said, fault.code);
        assert!(
            said.contains("<b>Bad gateway</b> *** xxx") && said.chars().count() < 560,
            "{said}"
        );
        assert!(
            !said.contains("s3cret") && !said.contains('\n') && code.is_none(),
            "{said}"
        );
    }
    let unsupported = answer(&acme, 415, "Unsupported content type").expect_err("no token");
    assert!(
        unsupported.said.contains("Unsupported content type"),
        "{}",
        unsupported.said
    );
}

#[test]
fn errors_are_told_apart_by_their_codes() {
    let acme = acme("");
    for (status, body, wanted) in [
        (
            400,
            r#"{"error":"invalid_grant","error_description":"expired access/refresh token"}"#,
            FaultKind::Dead,
        ),
        (400, r#"{"error":"app_not_found"}"#, FaultKind::Dead),
        (400, r#"{"error":"unauthorized_client"}"#, FaultKind::Dead),
        (
            400,
            r#"{"status":"BAD_REFRESH_TOKEN","message":"missing or unknown refresh token"}"#,
            FaultKind::Dead,
        ),
        (
            400,
            r#"{"errors":[{"code":"invalid_grant","title":"no"}]}"#,
            FaultKind::Dead,
        ),
        (401, r#"{"error":"invalid_client"}"#, FaultKind::App),
        (400, r#"{"error":"redirect_uri_mismatch"}"#, FaultKind::App),
        (400, r#"{"error":"invalid_scope"}"#, FaultKind::Refused),
        (
            400,
            r#"{"error":{"code":"bad_key","message":"no such key"}}"#,
            FaultKind::Refused,
        ),
        (401, "", FaultKind::Refused),
        (400, "{}", FaultKind::Refused),
        (
            400,
            r#"{"error":"access_denied","error_description":"Rate limit exceeded: access_token not expired"}"#,
            FaultKind::StillValid,
        ),
        (
            400,
            r#"{"error":"invalid_grant","error_description":"login rate exceeded"}"#,
            passing(RetryClass::RateLimited),
        ),
        (429, "", passing(RetryClass::RateLimited)),
        (400, r#"{"error":"slow_down"}"#, passing(RetryClass::RateLimited)),
        (
            400,
            r#"{"error":"temporarily_unavailable"}"#,
            passing(RetryClass::Transient),
        ),
        (
            500,
            r#"{"error":"invalid_grant"}"#,
            passing(RetryClass::Transient),
        ),
        (503, "", passing(RetryClass::Transient)),
        (302, "", passing(RetryClass::Transient)),
    ] {
        let fault = answer(&acme, status, body).expect_err(body);
        // How long a limit lasts is a guess where nobody says it.
        let kind = match fault.kind {
            FaultKind::Passing { class, .. } => passing(class),
            other => other,
        };
        assert_eq!(kind, wanted, "{status} {body}");
        assert_eq!(
            (fault.status, fault.is_passing()),
            (status, matches!(wanted, FaultKind::Passing { .. }))
        );
    }
    let mut limited = response(429, "");
    limited.headers.push(("retry-after".to_owned(), "7".to_owned()));
    let fault = read(&acme, &[], &limited, NOW).expect_err("limited");
    let after = Some(RetryHint::After(Duration::from_secs(7)));
    assert_eq!(
        fault.kind,
        FaultKind::Passing {
            class: RetryClass::RateLimited,
            after
        }
    );
}

#[test]
fn a_file_maps_what_its_provider_says_before_the_usual_rules() {
    let acme = acme(
        "answer:\n  faults:\n    - {code: [E17], as: dead}\n    - {code: [invalid_client], message: [closed], as: dead}\n    \
         - {message: [too soon], status: [400], as: still_valid}\n    - {code: [invalid_grant], message: [busy], as: transient}",
    );
    for (status, body, wanted) in [
        (400, r#"{"error":"e17"}"#, FaultKind::Dead),
        (
            400,
            r#"{"error":"invalid_client","error_description":"Account CLOSED."}"#,
            FaultKind::Dead,
        ),
        (
            400,
            r#"{"error":"invalid_client","error_description":"wrong"}"#,
            FaultKind::App,
        ),
        (
            400,
            r#"{"error":"x","error_description":"Too soon."}"#,
            FaultKind::StillValid,
        ),
        (
            403,
            r#"{"error":"x","error_description":"Too soon."}"#,
            FaultKind::Refused,
        ),
        (
            400,
            r#"{"error":"invalid_grant","error_description":"busy"}"#,
            passing(RetryClass::Transient),
        ),
    ] {
        assert_eq!(kind(&acme, status, body), wanted, "{body}");
    }
}

#[test]
fn what_is_told_of_an_error_hides_what_we_sent() {
    let text = r#"{"error":"invalid_grant","error_description":"the-s3cret is\n bad"}"#;
    let fault = answer(&acme(""), 400, text).expect_err("refused");
    assert_eq!(fault.said, "invalid_grant: *** is  bad");
    assert_eq!(fault.code.as_deref(), Some("invalid_grant"));
    let code = answer(&acme(""), 400, r#"{"error":"the-s3cret"}"#).expect_err("refused");
    assert_eq!((code.said.as_str(), code.code.as_deref()), ("***", Some("***")));
}

#[test]
fn an_address_that_is_not_the_providers_spoils_the_whole_answer() {
    let salesforce = Catalog::builtin().get("salesforce").expect("built in");
    for good in [
        "https://acme.my.salesforce.com",
        "https://acme--test.sandbox.my.salesforce.com/",
        "https://na1.salesforce.com",
        "https://acme.my.salesforce.mil",
    ] {
        let granted = with(&salesforce, &format!(r#","instance_url":"{good}""#));
        assert_eq!(granted.found.get("instance_url").map(String::as_str), Some(good));
    }
    for evil in [
        "https://evil.example",
        "https://salesforce.com.evil.example",
        "https://evilsalesforce.com",
        "http://acme.my.salesforce.com",
        "https://acme.my.salesforce.com@evil.example",
        "https://evil.example/?x=.my.salesforce.com",
        "https://acme.my.salesforce.com:8443",
        "https://acme.my.salesforce.com\\n.evil.example",
    ] {
        let body = format!(r#"{{"access_token":"t0ken","instance_url":"{evil}"}}"#);
        assert_eq!(kind(&salesforce, 200, &body), FaultKind::Hostile, "{evil}");
    }
}

#[test]
fn what_lies_at_the_operators_own_address_is_trusted_and_nothing_else() {
    let bases = BTreeMap::from([(
        "salesforce".to_owned(),
        "http://127.0.0.1:9090/salesforce".to_owned(),
    )]);
    let catalog = Catalog::load(None, &bases).expect("loaded");
    let salesforce = catalog.get("salesforce").expect("built in");
    let moved = with(
        &salesforce,
        r#","instance_url":"http://127.0.0.1:9090/salesforce/na2""#,
    )
    .found;
    for bad in [
        "http://127.0.0.1:9091/salesforce",
        "http://127.0.0.2:9090",
        "http://a@127.0.0.1:9090/",
        "https://evil.example",
    ] {
        let body = format!(r#"{{"access_token":"t0ken","instance_url":"{bad}"}}"#);
        assert_eq!(kind(&salesforce, 200, &body), FaultKind::Hostile, "{bad}");
    }
    let vars = BTreeMap::new();
    let health = salesforce.health(&moved).expect("a URL").expect("one").url;
    assert_eq!(
        health,
        "http://127.0.0.1:9090/salesforce/na2/services/oauth2/userinfo"
    );
    let wire = refresh(&salesforce, &app(), &vars, &Secret::new("r".to_owned()))
        .expect("made")
        .wire;
    assert_eq!(wire.url, "http://127.0.0.1:9090/salesforce/services/oauth2/token");
    // The real address of an account stays behind the operator's.
    let real = with(&salesforce, r#","instance_url":"https://acme.my.salesforce.com""#).found;
    let health = salesforce.health(&real).expect("a URL").expect("one").url;
    assert_eq!(
        health,
        "http://127.0.0.1:9090/salesforce/services/oauth2/userinfo"
    );
}

#[test]
fn an_account_is_named_by_the_answer_or_by_a_token_in_it() {
    let catalog = Catalog::builtin();
    let claims = |text: &str| {
        use base64::Engine as _;
        let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        format!("e30.{}.c2ln", engine.encode(text))
    };
    let tenant = claims(r#"{"tid":"tenant-1","preferred_username":"mira@x.example"}"#);
    for (provider, fields, id, name) in [
        ("hubspot", r#","hub_id":123456"#.to_owned(), "123456", None),
        (
            "salesforce",
            r#","id":"https://login.salesforce.com/id/00Dx0000000BV7zEAG/005x00000012Q9P""#.to_owned(),
            "00Dx0000000BV7zEAG",
            None,
        ),
        (
            "microsoft",
            format!(r#","id_token":"{tenant}""#),
            "tenant-1",
            Some("mira@x.example"),
        ),
        (
            "keap",
            r#","scope":"full|ab123.infusionsoft.com""#.to_owned(),
            "ab123.infusionsoft.com",
            None,
        ),
        (
            "asana",
            r#","data":{"id":4673218951,"gid":"4673218951","email":"mira@x.example"}"#.to_owned(),
            "4673218951",
            Some("mira@x.example"),
        ),
    ] {
        let connector = catalog.get(provider).expect("built in");
        let account = with(&connector, &fields).account;
        let wanted = AccountId {
            id: id.to_owned(),
            name: name.map(str::to_owned),
        };
        assert_eq!(account, Some(wanted), "{provider}");
    }
    for (provider, fields) in [
        ("hubspot", ""),
        ("salesforce", r#","id":"https://login.salesforce.com/""#),
        ("microsoft", r#","id_token":"no.t0ken""#),
    ] {
        let connector = catalog.get(provider).expect("built in");
        assert_eq!(with(&connector, fields).account, None, "{provider}");
    }
}

fn app() -> ClientApp {
    ClientApp {
        client_id: "c 1".to_owned(),
        client_secret: Some(Secret::new("the-s3cret".to_owned())),
        scopes: vec!["a".to_owned(), "b".to_owned()],
        optional_scopes: vec!["c".to_owned()],
        params: BTreeMap::new(),
        auth_params: BTreeMap::new(),
    }
}

fn body(request: TokenRequest) -> String {
    String::from_utf8(request.wire.body.unwrap_or_default()).expect("text")
}

#[test]
fn a_client_proves_itself_as_the_file_says_and_sends_no_empty_secret() {
    let token = Secret::new("r&1".to_owned());
    let none = BTreeMap::new();
    let ask = |connector: &Connector, app: &ClientApp| refresh(connector, app, &none, &token).expect("made");
    let (form, json, basic) = (acme(""), acme("token_body: json"), acme("client_auth: basic"));
    let request = ask(&form, &app());
    assert_eq!(
        request.wire.headers["content-type"],
        "application/x-www-form-urlencoded"
    );
    assert_eq!(
        body(request),
        "grant_type=refresh_token&refresh_token=r%261&client_id=c+1&client_secret=the-s3cret"
    );
    let request = ask(&json, &app());
    assert_eq!(request.wire.headers["content-type"], "application/json");
    assert_eq!(
        body(request),
        r#"{"grant_type":"refresh_token","refresh_token":"r&1","client_id":"c 1","client_secret":"the-s3cret"}"#
    );
    let request = ask(&basic, &app());
    assert_eq!(
        request.wire.headers["authorization"],
        "Basic YyAxOnRoZS1zM2NyZXQ="
    );
    assert!(request.wire.headers["authorization"].is_sensitive());
    // The pair may be repeated as it was sent, or as it is.
    assert_eq!(request.secrets.len(), 3);
    assert_eq!(body(request), "grant_type=refresh_token&refresh_token=r%261");
    for secret in [None, Some(Secret::new(String::new()))] {
        let public = ClientApp {
            client_secret: secret,
            ..app()
        };
        for connector in [&form, &basic] {
            let request = ask(connector, &public);
            assert!(!request.wire.headers.contains_key("authorization"));
            assert_eq!(request.secrets.len(), 1);
            assert_eq!(
                body(request),
                "grant_type=refresh_token&refresh_token=r%261&client_id=c+1"
            );
        }
    }
    assert!(!format!("{:?}", ask(&form, &app())).contains("s3cret"));
    // One way for a code, another for a refresh token.
    let mixed = acme("refresh_client_auth: basic");
    assert!(ask(&mixed, &app()).wire.headers.contains_key("authorization"));
    let code = exchange(&mixed, &app(), &none, "https://us.example/cb", &token, None).expect("made");
    assert!(!code.wire.headers.contains_key("authorization"));
    assert_eq!(
        body(code),
        "grant_type=authorization_code&code=r%261&redirect_uri=https%3A%2F%2Fus.example%2Fcb&client_id=c+1&client_secret=the-s3cret"
    );
}

#[test]
fn a_code_is_bound_to_whoever_asked_for_it() {
    // The example of RFC 7636, appendix B.
    let random = [
        116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212, 37, 77, 105,
        214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121,
    ];
    let verifier = new_verifier(random);
    assert_eq!(verifier.expose(), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let (with, without) = (acme("pkce: true"), acme(""));
    assert!(uses_pkce(&with) && !uses_pkce(&without));
    let none = BTreeMap::new();
    let state = Secret::new("st4te".to_owned());
    let url = |c: &Connector| {
        authorize_url(c, &app(), &none, "https://us.example/cb", &state, Some(&verifier)).expect("a URL")
    };
    assert_eq!(
        url(&with),
        "https://id.acme.example/authorize?response_type=code&client_id=c%201&redirect_uri=https%3A%2F%2Fus.example%2Fcb\
         &scope=a%20b%20c&state=st4te&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
    );
    assert!(!url(&without).contains("code_challenge"));
    let code = Secret::new("k0de".to_owned());
    let exchanged = |c: &Connector| {
        body(exchange(c, &app(), &none, "https://us.example/cb", &code, Some(&verifier)).expect("made"))
    };
    assert!(exchanged(&with).contains("code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
    assert!(!exchanged(&without).contains("code_verifier"));
}

#[test]
fn scopes_and_parameters_are_those_of_the_app_or_of_the_file() {
    let none = BTreeMap::new();
    let state = Secret::new("s".to_owned());
    let url = |c: &Connector, app: &ClientApp| {
        authorize_url(c, app, &none, "https://us.example/cb", &state, None).expect("a URL")
    };
    let scope = |c: &Connector, app: &ClientApp, name: &str| {
        let url = url::Url::parse(&url(c, app)).expect("a URL");
        url.query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    let plain = ClientApp {
        scopes: Vec::new(),
        optional_scopes: Vec::new(),
        ..app()
    };
    let some = |text: &str| Some(text.to_owned());
    let file = acme(
        "scopes: [x, y]\nscopes_added: [offline]\nscope_separator: \",\"\noptional_scope_param: optional_scope",
    );
    assert_eq!(scope(&file, &plain, "scope"), some("x,y,offline"));
    assert_eq!(scope(&file, &app(), "scope"), some("a,b,offline"));
    assert_eq!(scope(&file, &app(), "optional_scope"), some("c"));
    assert_eq!(scope(&file, &plain, "optional_scope"), None);
    // A scope for refresh tokens alone would narrow what the app is registered for.
    let added = acme("scopes_added: [offline]");
    assert_eq!(scope(&added, &plain, "scope"), None);
    let named = ClientApp {
        scopes: vec!["offline".to_owned(), "a".to_owned()],
        ..plain.clone()
    };
    assert_eq!(scope(&added, &named, "scope"), some("offline a"));
    let params = acme(
        "auth_params: {access_type: offline, prompt: \"{app.prompt}\"}\nscope_names: {a: \"https://x/a\"}",
    );
    assert_eq!(scope(&params, &plain, "access_type"), some("offline"));
    assert_eq!(scope(&params, &plain, "prompt"), None);
    let asking = ClientApp {
        params: BTreeMap::from([("prompt".to_owned(), "login".to_owned())]),
        auth_params: BTreeMap::new(),
        ..app()
    };
    assert_eq!(scope(&params, &asking, "prompt"), some("login"));
    assert_eq!(scope(&params, &asking, "scope"), some("https://x/a b c"));
}

#[test]
fn a_grant_is_given_back_as_the_file_says() {
    let none = BTreeMap::new();
    let token = Secret::new("t0ken".to_owned());
    let ask = |c: &Connector| revoke(c, &app(), &none, &token).expect("made");
    assert!(ask(&acme("")).is_none() && revokes(&acme("")).is_none());
    let plain = acme("revoke: {url: https://id.acme.example/revoke, shared: true}");
    assert!(revokes_others(&plain) && !revokes_others(&acme("")));
    let request = ask(&plain).expect("a request");
    assert_eq!(
        body(request),
        "token=t0ken&client_id=c+1&client_secret=the-s3cret"
    );
    let bearer = acme(
        "revoke: {url: https://id.acme.example/me, method: DELETE, sends: access_token, param: \"\", auth: bearer}",
    );
    let request = ask(&bearer).expect("a request");
    assert_eq!(
        (request.wire.method.as_str(), &request.wire.body),
        ("DELETE", &None)
    );
    assert_eq!(request.wire.headers["authorization"], "Bearer t0ken");
    assert!(
        request.wire.headers["authorization"].is_sensitive()
            && !request.wire.headers.contains_key("content-type")
    );
    let github = Catalog::builtin().get("github").expect("built in");
    let request = ask(&github).expect("a request");
    assert_eq!(
        request.wire.url,
        "https://api.github.com/applications/c%201/token"
    );
    assert_eq!(
        request.wire.headers["authorization"],
        "Basic YyAxOnRoZS1zM2NyZXQ="
    );
    assert_eq!(body(request), r#"{"access_token":"t0ken"}"#);
    let square = Catalog::builtin().get("square").expect("built in");
    let request = ask(&square).expect("a request");
    assert_eq!(request.wire.headers["authorization"], "Client the-s3cret");
    assert_eq!(body(request), r#"{"access_token":"t0ken","client_id":"c 1"}"#);
}
