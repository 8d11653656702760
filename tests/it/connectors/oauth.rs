//! What the built-in files say about consent and tokens.

use std::collections::BTreeMap;
use std::sync::Arc;

use amp_write::connectors::{Catalog, Connector, ProviderResponse, Revokes, parse};
use amp_write::outbound::oauth::{
    AccountId, ClientApp, Granted, Life, account_of, authorize_url, callback_vars, exchange, grant_life,
    read_who, refresh, revoke, revokes, uses_pkce, who,
};
use amp_write::vault::Secret;

fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn get(provider: &str) -> Arc<Connector> {
    Catalog::builtin().get(provider).unwrap()
}

/// The connectors whose customers agree in a browser, one per provider.
fn consented() -> Vec<Arc<Connector>> {
    let catalog = Catalog::builtin();
    let names = catalog.providers().into_iter().map(|summary| summary.provider);
    let all = names.filter_map(|name| catalog.get(&name));
    all.filter(|c| c.auth().oauth2().is_some_and(|oauth2| oauth2.grant.has_consent()))
        .collect()
}

fn examples(connector: &Connector) -> BTreeMap<String, String> {
    let variables = connector.variables().iter();
    variables
        .filter_map(|v| Some((v.name.clone(), v.example.clone()?)))
        .collect()
}

fn app() -> ClientApp {
    ClientApp {
        client_id: "the-client".to_owned(),
        client_secret: Some(secret("MARK-secret")),
        scopes: vec!["one".to_owned(), "two".to_owned()],
        optional_scopes: Vec::new(),
        params: BTreeMap::new(),
        auth_params: BTreeMap::new(),
    }
}

const BACK: &str = "https://us.example/callbacks/v1/oauth";

fn authorize(connector: &Connector, vars: &BTreeMap<String, String>) -> url::Url {
    let verifier = secret("MARK-verifier");
    let url = authorize_url(
        connector,
        &app(),
        vars,
        BACK,
        &secret("the-state"),
        Some(&verifier),
    );
    url::Url::parse(&url.unwrap_or_else(|why| panic!("{}: {why}", connector.provider()))).unwrap()
}

fn parameter(url: &url::Url, name: &str) -> Option<String> {
    let mut pairs = url.query_pairs();
    pairs
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

fn granted(found: BTreeMap<String, String>) -> Granted {
    Granted {
        access_token: secret("t0ken"),
        life: Life::Unknown,
        refresh_token: None,
        refresh_life: None,
        grant_life: None,
        scopes: None,
        found,
        account: None,
        warnings: Vec::new(),
    }
}

fn response(body: &serde_json::Value) -> ProviderResponse {
    ProviderResponse {
        status: 200,
        headers: Vec::new(),
        body: body.to_string().into_bytes(),
        truncated: false,
    }
}

#[test]
fn every_provider_with_consent_can_be_asked_and_no_secret_gets_into_a_url() {
    let all = consented();
    assert!(all.len() >= 70, "{}", all.len());
    for connector in &all {
        let (name, vars) = (connector.provider(), examples(connector));
        let url = authorize(connector, &vars);
        for (parameter_name, wanted) in [
            ("client_id", "the-client"),
            ("state", "the-state"),
            ("redirect_uri", BACK),
        ] {
            assert_eq!(
                parameter(&url, parameter_name).as_deref(),
                Some(wanted),
                "{name}: {url}"
            );
        }
        assert_eq!(
            parameter(&url, "response_type").as_deref(),
            Some("code"),
            "{name}"
        );
        let challenge = parameter(&url, "code_challenge");
        assert_eq!(challenge.is_some(), uses_pkce(connector), "{name}");
        let token = secret("MARK-token");
        let verifier = secret("MARK-verifier");
        let asked = [
            Some(
                exchange(
                    connector,
                    &app(),
                    &vars,
                    BACK,
                    &secret("MARK-code"),
                    Some(&verifier),
                )
                .unwrap(),
            ),
            Some(refresh(connector, &app(), &vars, &token).unwrap()),
            revoke(connector, &app(), &vars, &token).unwrap(),
        ];
        assert_eq!(asked[2].is_some(), revokes(connector).is_some(), "{name}");
        for request in asked.into_iter().flatten() {
            assert!(
                request.wire.url.starts_with("https://"),
                "{name}: {}",
                request.wire.url
            );
            assert!(!request.wire.url.contains("MARK"), "{name}: {}", request.wire.url);
            assert!(!request.secrets.is_empty(), "{name}");
            for (header, value) in &request.wire.headers {
                let secret = value.to_str().unwrap().contains("MARK") || header == "authorization";
                assert!(!secret || value.is_sensitive(), "{name}: {header}");
            }
        }
        assert!(!url.as_str().contains("MARK"), "{name}");
    }
}

/// Days on which providers change what they take, and what the files say instead.
#[test]
fn what_providers_end_is_not_used_any_more() {
    // HubSpot: every path under /oauth/v1 answers errors from 2027-02-16 on.
    let hubspot = get("hubspot");
    let none = BTreeMap::new();
    let text = Catalog::builtin().builtin_text("hubspot").unwrap().to_owned();
    assert!(!text.contains("hubapi.com/oauth/v1"));
    let request = refresh(&hubspot, &app(), &none, &secret("r3fresh")).unwrap();
    assert_eq!(request.wire.url, "https://api.hubapi.com/oauth/2026-03/token");
    let form = String::from_utf8(request.wire.body.unwrap()).unwrap();
    assert_eq!(
        form,
        "grant_type=refresh_token&refresh_token=r3fresh&client_id=the-client&client_secret=MARK-secret"
    );
    let request = revoke(&hubspot, &app(), &none, &secret("r3fresh"))
        .unwrap()
        .unwrap();
    assert_eq!(
        request.wire.url,
        "https://api.hubapi.com/oauth/2026-03/token/revoke"
    );
    // Zendesk: the answer has a lifetime only when the request asks for one.
    let zendesk = get("zendeskSupport");
    let vars = examples(&zendesk);
    for request in [
        refresh(&zendesk, &app(), &vars, &secret("r")).unwrap(),
        exchange(&zendesk, &app(), &vars, BACK, &secret("c"), None).unwrap(),
    ] {
        let form = String::from_utf8(request.wire.body.unwrap()).unwrap();
        assert!(
            form.contains("&expires_in=86400") && form.contains("&refresh_token_expires_in=7689600"),
            "{form}"
        );
    }
    // Shopify: from 2027-01-01 on public apps get no tokens that do not end.
    let shopify = get("shopify");
    let request = exchange(&shopify, &app(), &examples(&shopify), BACK, &secret("c"), None).unwrap();
    assert!(
        String::from_utf8(request.wire.body.unwrap())
            .unwrap()
            .contains("&expiring=1")
    );
    // Intuit: a grant ends after five years, whatever is refreshed.
    let days = |days: u64| std::time::Duration::from_secs(days * 86_400);
    assert_eq!(grant_life(&get("quickbooks")), Some(days(1_825)));
}

#[test]
fn what_a_refresh_token_needs_is_asked_for() {
    let none = BTreeMap::new();
    let google = authorize(&get("google"), &none);
    assert_eq!(parameter(&google, "access_type").as_deref(), Some("offline"));
    assert_eq!(parameter(&google, "prompt").as_deref(), Some("consent"));
    for (provider, scope) in [
        ("salesforce", "one two refresh_token"),
        ("microsoft", "one two offline_access"),
        ("atlassian", "one two offline_access"),
        ("xero", "one two offline_access"),
        ("gorgias", "one two offline"),
        ("slack", "one,two"),
        ("zoho", "one,two"),
        ("linear", "one,two"),
        ("shopify", "one,two"),
        ("pinterest", "one,two"),
        ("hubspot", "one two"),
    ] {
        let connector = get(provider);
        let url = authorize(&connector, &examples(&connector));
        assert_eq!(parameter(&url, "scope").as_deref(), Some(scope), "{provider}");
    }
    // With it, customers whose users may not agree themselves could not connect.
    for provider in ["microsoft", "dynamicsCRM", "dynamicsBusinessCentral"] {
        let connector = get(provider);
        assert_eq!(
            parameter(&authorize(&connector, &examples(&connector)), "prompt"),
            None,
            "{provider}"
        );
    }
    let dynamics = get("dynamicsCRM");
    let short = ClientApp {
        scopes: vec!["user_impersonation".to_owned()],
        ..app()
    };
    let vars = vars(&[("workspace", "acme"), ("region", "crm4")]);
    let url = authorize_url(&dynamics, &short, &vars, BACK, &secret("s"), None).unwrap();
    let url = url::Url::parse(&url).unwrap();
    let scope = "https://acme.api.crm4.dynamics.com/user_impersonation offline_access";
    assert_eq!(parameter(&url, "scope").as_deref(), Some(scope));
}

#[test]
fn salesforce_is_authorised_without_a_domain_in_a_sandbox_or_at_a_domain() {
    let salesforce = get("salesforce");
    for (given, host) in [
        (vars(&[]), "login.salesforce.com"),
        (
            vars(&[("loginHost", "test.salesforce.com")]),
            "test.salesforce.com",
        ),
        (vars(&[("workspace", "acme")]), "acme.my.salesforce.com"),
        (
            vars(&[("workspace", "acme--t.sandbox")]),
            "acme--t.sandbox.my.salesforce.com",
        ),
    ] {
        assert_eq!(
            salesforce.check_variables_to_authorise(&given),
            Vec::<String>::new()
        );
        let url = authorize(&salesforce, &given);
        assert_eq!(
            (url.host_str(), url.path()),
            (Some(host), "/services/oauth2/authorize")
        );
        let refreshed = refresh(&salesforce, &app(), &given, &secret("r"))
            .unwrap()
            .wire
            .url;
        assert_eq!(refreshed, format!("https://{host}/services/oauth2/token"));
        let revoked = revoke(&salesforce, &app(), &given, &secret("r"))
            .unwrap()
            .unwrap()
            .wire
            .url;
        assert_eq!(revoked, format!("https://{host}/services/oauth2/revoke"));
    }
    for evil in [
        "evil.example",
        "login.salesforce.com.evil.example",
        "evil.example/login.salesforce.com",
    ] {
        assert!(
            !salesforce
                .check_variables_to_authorise(&vars(&[("loginHost", evil)]))
                .is_empty(),
            "{evil}"
        );
    }
    // The domain is needed by who brings a token, unless an earlier answer has told the address.
    assert_eq!(salesforce.check_variables(&vars(&[])).len(), 1);
    let told = vars(&[("instance_url", "https://acme.my.salesforce.com")]);
    assert_eq!(salesforce.check_variables(&told), Vec::<String>::new());
    let health = salesforce.health(&told).unwrap().unwrap().url;
    assert_eq!(health, "https://acme.my.salesforce.com/services/oauth2/userinfo");
}

#[test]
fn what_a_customers_browser_brings_back_becomes_a_variable_only_as_the_file_says() {
    let zoho = get("zoho");
    let back = |pairs: &[(&str, &str)]| callback_vars(&zoho, &vars(pairs));
    let europe = back(&[
        ("accounts-server", "https://accounts.zoho.eu"),
        ("location", "eu"),
        ("code", "c"),
        ("state", "s"),
    ]);
    let wanted = vars(&[
        ("zoho_token_domain", "accounts.zoho.eu"),
        ("zoho_desk_domain", "desk.zoho.eu"),
        ("zoho_mail_domain", "mail.zoho.eu"),
    ]);
    assert_eq!(europe, wanted);
    let canada = back(&[("accounts-server", "https://accounts.zohocloud.ca/")]);
    assert_eq!(canada["zoho_token_domain"], "accounts.zohocloud.ca");
    for evil in [
        "https://accounts.zoho.com.evil.example",
        "https://evil.example",
        "http://accounts.zoho.eu",
        "https://accounts.zoho.eu@evil.example",
        "https://accounts.zoho.eu/x",
        "",
    ] {
        assert_eq!(back(&[("accounts-server", evil)]), vars(&[]), "{evil}");
    }
    let request = exchange(&zoho, &app(), &europe, BACK, &secret("c"), None).unwrap();
    assert_eq!(request.wire.url, "https://accounts.zoho.eu/oauth/v2/token");

    let quickbooks = get("quickbooks");
    assert_eq!(quickbooks.check_variables(&vars(&[])).len(), 1);
    assert_eq!(
        quickbooks.check_variables_to_authorise(&vars(&[])),
        Vec::<String>::new()
    );
    let told = callback_vars(
        &quickbooks,
        &vars(&[("realmId", "9130357992"), ("workspace", "1")]),
    );
    assert_eq!(told, vars(&[("workspace", "9130357992")]));
    assert_eq!(
        callback_vars(&quickbooks, &vars(&[("realmId", "1/../2")])),
        vars(&[])
    );
    let account = account_of(&quickbooks, &told).unwrap();
    assert_eq!(account.id, "9130357992");

    let shopify = get("shopify");
    assert_eq!(
        callback_vars(&shopify, &vars(&[("shop", "acme.myshopify.com")])),
        vars(&[("workspace", "acme")])
    );
    assert_eq!(
        callback_vars(&shopify, &vars(&[("shop", "acme.evil.example")])),
        vars(&[])
    );
}

#[test]
fn the_account_and_what_only_the_provider_knows_are_asked_for_with_the_new_token() {
    let atlassian = get("atlassian");
    let acme = vars(&[("workspace", "Acme")]);
    assert_eq!(atlassian.missing_found(&acme).collect::<Vec<_>>(), ["cloudId"]);
    let asked = who(&atlassian, &acme, &granted(vars(&[]))).unwrap();
    assert_eq!(
        asked.url,
        "https://api.atlassian.com/oauth/token/accessible-resources"
    );
    // The user is a member of two sites: the one that was named counts.
    let sites = serde_json::json!([
        {"id": "c-1", "url": "https://other.atlassian.net", "name": "other"},
        {"id": "c-2", "url": "https://acme.atlassian.net", "name": "acme"},
    ]);
    let (account, found) = read_who(&atlassian, &acme, &response(&sites));
    assert_eq!(found, vars(&[("cloudId", "c-2")]));
    assert_eq!(
        account,
        Some(AccountId {
            id: "c-2".to_owned(),
            name: None
        })
    );
    let (account, found) = read_who(&atlassian, &vars(&[("workspace", "nobody")]), &response(&sites));
    assert_eq!((account, found), (None, vars(&[])));

    let xero = get("xero");
    let tenants = serde_json::json!([{"tenantId": "t-1", "tenantName": "Acme Ltd"}]);
    let (account, found) = read_who(&xero, &vars(&[]), &response(&tenants));
    assert_eq!(found, vars(&[("tenantId", "t-1")]));
    assert_eq!(
        account,
        Some(AccountId {
            id: "t-1".to_owned(),
            name: Some("Acme Ltd".to_owned())
        })
    );

    let zoho = get("zoho");
    let found = vars(&[("zoho_mail_domain", "mail.zoho.eu")]);
    assert_eq!(
        who(&zoho, &vars(&[]), &granted(found)).unwrap().url,
        "https://mail.zoho.eu/api/accounts"
    );
    // An answer that says no says nothing about the account.
    let mut no = response(&serde_json::json!({"data": [{"accountId": "7"}]}));
    no.status = 403;
    assert_eq!(read_who(&zoho, &vars(&[]), &no), (None, vars(&[])));
    assert!(who(&get("hubspot"), &vars(&[]), &granted(vars(&[]))).is_none());
}

#[test]
fn every_account_is_named_or_the_file_has_no_way_to() {
    let silent: Vec<String> = consented()
        .iter()
        .filter(|c| c.auth().oauth2().unwrap().account.is_none())
        .map(|c| c.provider().to_owned())
        .collect();
    // Providers whose documentation names no account in the token answer and no plain call that tells it.
    let known = [
        "acuityScheduling",
        "bentley",
        "bitbucket",
        "campaignMonitor",
        "constantContact",
        "dropboxSign",
        "getResponse",
        "groove",
        "jobber",
        "klaviyo",
        "lever",
        "leverSandbox",
        "linear",
        "outreach",
        "phoneBurner",
        "podium",
        "sageIntacct",
        "sellsy",
        "zoho",
        "zoomInfo",
    ];
    assert_eq!(silent, known);
}

#[test]
fn an_operators_address_stands_in_for_consent_and_token_urls() {
    let bases = BTreeMap::from([("hubspot".to_owned(), "http://127.0.0.1:9090/hubspot".to_owned())]);
    let catalog = Catalog::load(None, &bases).unwrap();
    let hubspot = catalog.get("hubspot").unwrap();
    let none = BTreeMap::new();
    let url = authorize(&hubspot, &none);
    assert!(
        url.as_str()
            .starts_with("http://127.0.0.1:9090/hubspot/oauth/authorize?response_type=code&"),
        "{url}"
    );
    let token = secret("t");
    for (request, path) in [
        (refresh(&hubspot, &app(), &none, &token).unwrap(), "/token"),
        (
            revoke(&hubspot, &app(), &none, &token).unwrap().unwrap(),
            "/token/revoke",
        ),
    ] {
        assert_eq!(
            request.wire.url,
            format!("http://127.0.0.1:9090/hubspot/oauth/2026-03{path}")
        );
        assert_eq!(request.wire.provider, "hubspot");
    }
    let sign = get("dropboxSign");
    let url = refresh(&sign, &app(), &none, &token).unwrap().wire.url;
    assert_eq!(url, "https://app.hellosign.com/oauth/token?refresh");
    assert_eq!(revokes(&get("slack")), Some(Revokes::AccessToken));
}

#[test]
fn a_mistake_about_consent_is_told_before_a_customer_meets_it() {
    let file = |connection: &str, oauth2: &str| {
        format!(
            "provider: acme\ndisplay_name: Acme\nconnection: {{{connection}}}\nauth:\n  oauth2: {{token_url: \"https://id.acme.example/token\", \
             {oauth2}}}\nbase_url: https://api.acme.example\nbase_url_variable: home\nops: {{create: {{method: POST, path: /x}}}}\n\
             result: {{id: [id]}}\nopen: true\n"
        )
    };
    let home = "discover: [{name: home, token_field: home, pattern: \"https://[a-z]+[.]acme[.]example\"}]";
    let code = "grant: authorization_code, auth_url: \"https://id.acme.example/authorize\"";
    let good = file(home, code);
    assert!(parse("acme.yaml", &good, None).is_ok());
    for (connection, oauth2, path, said) in [
        (
            home,
            "grant: client_credentials, account: {id: hub}".to_owned(),
            "auth.oauth2.account",
            "has no effect",
        ),
        (
            home,
            "grant: client_credentials, revoke: {url: \"https://id.acme.example/revoke\"}".to_owned(),
            "auth.oauth2.revoke",
            "has no effect",
        ),
        (
            home,
            "grant: authorization_code".to_owned(),
            "auth.oauth2.auth_url",
            "is missing",
        ),
        (
            home,
            format!("{code}, revoke: {{url: []}}"),
            "auth.oauth2.revoke.url",
            "is empty",
        ),
        (
            home,
            format!("{code}, revoke: {{url: \"http://id.acme.example/revoke\"}}"),
            "auth.oauth2.revoke.url",
            "no https URL",
        ),
        (
            home,
            format!("{code}, revoke: {{url: \"https://id.acme.example/r\", param: \"\"}}"),
            "auth.oauth2.revoke.param",
            "no token is sent",
        ),
        (
            home,
            format!("{code}, account: {{name: x}}"),
            "auth.oauth2.account",
            "neither",
        ),
        (
            home,
            format!("{code}, account: {{id: x, variable: home}}"),
            "auth.oauth2.account",
            "both",
        ),
        (
            home,
            format!("{code}, account: {{variable: nobody}}"),
            "auth.oauth2.account.variable",
            "no variable `nobody`",
        ),
        (
            home,
            format!("{code}, account: {{id: x, match: \"[a-z]+\"}}"),
            "auth.oauth2.account.match",
            "no group",
        ),
        (
            home,
            format!("{code}, refresh_url: \"https://{{conn.where}}.acme.example\""),
            "auth.oauth2.refresh_url",
            "no variable `where`",
        ),
        (
            home,
            format!("{code}, auth_params: {{state: x}}"),
            "auth.oauth2.auth_params.state",
            "leave it out",
        ),
        (
            home,
            format!("{code}, token_params: {{x: \"{{nobody}}\"}}"),
            "auth.oauth2.token_params.x",
            "neither a variable",
        ),
        (
            home,
            format!("{code}, instance_url_field: elsewhere"),
            "auth.oauth2.instance_url_field",
            "it is lost",
        ),
        (
            "discover: [{name: home, token_field: home}]",
            code.to_owned(),
            "connection.discover[0]",
            "needs a `pattern`",
        ),
        (
            "vars: {a: {unless: b}}, discover: [{name: home}]",
            code.to_owned(),
            "connection.vars.a.unless",
            "no variable `b`",
        ),
        (
            "discover: [{name: home, get: \"https://a.example\", path: x, pattern: x}, {name: b, get: \"https://b.example\", path: x}]",
            code.to_owned(),
            "connection.discover",
            "one call",
        ),
        (
            "discover: [{name: home, callback: x, pattern: x}]",
            "grant: client_credentials".to_owned(),
            "connection.discover[0]",
            "nobody comes back",
        ),
    ] {
        let errors = parse("acme.yaml", &file(connection, &oauth2), None).expect_err(said);
        let told = errors
            .iter()
            .any(|error| error.path == path && error.message.contains(said));
        assert!(told, "{said}: {errors:?}");
    }
}
