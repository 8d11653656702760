//! No id, object name, record value or header of a caller reaches another place than its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use amp_write::action::Action;
use amp_write::connectors::{
    Catalog, Command, Connector, ProviderRequest, ProviderResponse, RefusalKind, Step,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

static CONNECTORS: LazyLock<Vec<Arc<Connector>>> = LazyLock::new(|| {
    Catalog::builtin()
        .providers()
        .into_iter()
        .flat_map(|p| p.modules)
        .collect()
});

const ACTIONS: [Action; 3] = [Action::Create, Action::Update, Action::Delete];

/// The paths of keys that each provider's file takes out of records: `{record.a.b}`, `{pop.c}`, `$record.d`.
static KEYS: LazyLock<BTreeMap<String, Vec<String>>> = LazyLock::new(|| {
    let place = regex_lite::Regex::new(r"[{$](?:record|pop)\.([A-Za-z0-9_.-]+)").unwrap();
    let catalog = Catalog::builtin();
    let keys = |name: &str| {
        let text = catalog.builtin_text(name).unwrap();
        let all = place.captures_iter(text).map(|found| found[1].to_owned());
        all.chain(["name".to_owned()]).collect::<BTreeSet<_>>()
    };
    let of = |name: &str| (name.to_owned(), keys(name).into_iter().collect());
    catalog.names().map(of).collect()
});

/// A record that has a value at each of the places that the provider's file looks at.
fn record(provider: &str, value: &str) -> Map<String, Value> {
    let mut record = Map::new();
    for path in &KEYS[provider] {
        let mut keys: Vec<&str> = path.split('.').collect();
        let last = keys.pop().unwrap();
        let mut at = &mut record;
        for key in keys {
            let inner = at.entry(key).or_insert_with(|| json!({}));
            if !inner.is_object() {
                *inner = json!({});
            }
            at = inner.as_object_mut().unwrap();
        }
        if !at.get(last).is_some_and(Value::is_object) {
            at.insert(last.to_owned(), json!(value));
        }
    }
    record
}

fn vars() -> BTreeMap<String, String> {
    let names = [
        "workspace",
        "region",
        "accountId",
        "accountKey",
        "adAccountId",
        "agencySlug",
        "bbApiSubscriptionKey",
        "businessUnitId",
        "clientId",
        "cloudId",
        "company",
        "companyId",
        "company_id",
        "deployId",
        "environmentName",
        "identityStoreId",
        "instanceARN",
        "locationId",
        "organizationId",
        "project_id",
        "scriptId",
        "tenantId",
        "userEmail",
        "whatsappAccountId",
        "whatsappPhoneNumberId",
        "zohoMailAccountId",
    ];
    let mut vars: BTreeMap<String, String> =
        names.iter().map(|n| ((*n).to_owned(), "v1".to_owned())).collect();
    vars.insert(
        "api_base_url_for_customer".into(),
        "https://api.example.com".into(),
    );
    vars.insert("scriptURL".into(), "https://api.example.com/x?script=1".into());
    vars
}

/// The requests of a write: the read that comes first, where there is one, and the write itself.
fn requests(c: &Connector, command: &Command<'_>) -> Vec<ProviderRequest> {
    let looked_up = ProviderResponse {
        status: 200,
        headers: Vec::new(),
        body: b"{}".to_vec(),
        truncated: false,
    };
    match c.prepare(command, &[]) {
        Ok(Step::Send(request)) => vec![request],
        Ok(Step::Lookup(first)) => match c.prepare(command, &[looked_up]) {
            Ok(Step::Send(request) | Step::Lookup(request)) => vec![first, request],
            Err(_) => vec![first],
        },
        Err(_) => Vec::new(),
    }
}

fn prepare(c: &Connector, action: Action, object: &str, id: &str, value: &str) -> Vec<ProviderRequest> {
    let (record, vars) = (record(c.provider(), value), vars());
    let command = Command {
        action,
        object,
        record_id: Some(id),
        record: &record,
        associations: &[],
        headers: &[],
        vars: &vars,
        idempotency_key: Some("k"),
        repeated: false,
    };
    requests(c, &command)
}

/// Method, host, number of segments, names of parameters, names of headers.
type Shape = (String, String, usize, Vec<String>, Vec<String>);

fn shape(request: &ProviderRequest) -> Shape {
    // Split by hand: a URL parser would fold `..` away and hide what is to be seen.
    let rest = request.url.strip_prefix("https://").expect("always https");
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = before.split_once('/').unwrap_or((before, ""));
    let host_fits = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    assert!(host.bytes().all(host_fits), "{}", request.url);
    assert!(
        path.split('/').all(|segment| segment != ".." && segment != "."),
        "{}",
        request.url
    );
    assert!(
        request
            .url
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'#' && b != b'\\'),
        "{}",
        request.url
    );
    let names = query
        .split('&')
        .map(|pair| pair.split('=').next().unwrap_or_default().to_owned())
        .collect();
    let headers = request.headers.iter().map(|(name, value)| {
        assert!(!value.chars().any(char::is_control), "{value:?}");
        name.clone()
    });
    (
        request.method.to_string(),
        host.to_owned(),
        path.split('/').count(),
        names,
        headers.collect(),
    )
}

fn shapes(requests: &[ProviderRequest]) -> Vec<Shape> {
    requests.iter().map(shape).collect()
}

/// What somebody would try who wants to get out of a place.
const TRICKS: [&str; 14] = [
    "..",
    ".",
    "%2e%2e",
    "%2F",
    "../../admin",
    "a/b?x=1&y=2#z",
    "a&b=c",
    "50%",
    "@evil.example",
    "https://evil.example/",
    "x\r\nAuthorization: y",
    "a\\b;c:d",
    "\u{0}é\u{2028}",
    "'\"`{id}{conn.workspace}$id",
];

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[./?#&=%@:\\\\;a\r\n é\u{0}-]{0,12}",
        Just("..".to_owned()),
        Just("%2e%2e".to_owned()),
        Just("../../admin".to_owned()),
        Just("a/b?x=1&y=2#z".to_owned()),
        Just("50%".to_owned()),
        Just("https://evil.example".to_owned()),
        Just("x\r\nAuthorization: y".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ids_and_values_stay_in_their_place(
        at in any::<prop::sample::Index>(),
        object in any::<prop::sample::Index>(),
        id in hostile(),
        value in hostile(),
    ) {
        let connector = at.get(CONNECTORS.as_slice());
        let names = connector.objects();
        let name = if names.is_empty() { "things" } else { object.get(names).as_str() };
        for action in ACTIONS {
            let plain = prepare(connector, action, name, "1", "1");
            let tricky = prepare(connector, action, name, &id, &value);
            // A refusal leaves fewer requests; what is made has its place.
            prop_assert_eq!(&shapes(&plain)[..tricky.len()], shapes(&tricky), "{} {} {}", connector.provider(), action, name);
        }
    }

    #[test]
    fn object_names_that_are_not_listed_stay_in_their_place(
        at in any::<prop::sample::Index>(),
        object in hostile(),
    ) {
        let connector = at.get(CONNECTORS.as_slice());
        for action in ACTIONS {
            if connector.objects().contains(&object) {
                continue;
            }
            let plain = prepare(connector, action, "things", "1", "1");
            for (plain, tricky) in plain.iter().zip(prepare(connector, action, &object, "1", "1")) {
                let (mut expected, found) = (shape(plain), shape(&tricky));
                // Some files say that names may span segments.
                if found.2 != expected.2 {
                    expected.2 += object.matches('/').count();
                }
                prop_assert_eq!(expected, found, "{} {} {:?}", connector.provider(), action, object);
            }
        }
    }
}

#[test]
fn no_trick_gets_out_of_its_place_in_any_request_of_any_file() {
    let (mut tried, mut refused) = (0, 0);
    for connector in CONNECTORS.iter() {
        let mut names: Vec<&str> = connector.objects().iter().map(String::as_str).collect();
        if connector.is_open() {
            names.push("things");
        }
        for name in names {
            for action in ACTIONS
                .into_iter()
                .filter(|action| connector.supports(*action, name))
            {
                let plain = shapes(&prepare(connector, action, name, "1", "1"));
                let what = format!("{} {action} {name}", connector.provider());
                assert!(!plain.is_empty(), "{what} cannot be tried");
                // In the id, in the values, in both.
                for (id, value) in TRICKS
                    .iter()
                    .flat_map(|trick| [(*trick, "1"), ("1", *trick), (*trick, *trick)])
                {
                    let made = prepare(connector, action, name, id, value);
                    assert_eq!(
                        shapes(&made),
                        plain[..made.len()],
                        "{what} with {id:?} and {value:?}"
                    );
                    tried += 1;
                    refused += usize::from(made.is_empty());
                }
            }
        }
    }
    assert!(
        tried > 100_000 && refused < tried / 2,
        "{refused} of {tried} were refused"
    );
}

#[test]
fn the_examples_of_the_files_keep_their_shape_with_any_value() {
    let catalog = Catalog::builtin();
    let mut tried = 0;
    for name in catalog.names() {
        for example in catalog.examples(name) {
            let connector = catalog.get_module(name, example.module.as_deref()).unwrap();
            let vars: BTreeMap<String, String> = example
                .vars
                .iter()
                .map(|(k, v)| (k.to_owned(), v.clone()))
                .collect();
            let make = |id: Option<&str>, record: &Map<String, Value>| {
                let command = Command {
                    action: example.action,
                    object: &example.object,
                    record_id: id,
                    record,
                    associations: &[],
                    headers: &[],
                    vars: &vars,
                    idempotency_key: example.idempotency_key.as_deref(),
                    repeated: false,
                };
                shapes(&requests(&connector, &command))
            };
            let plain = make(example.id.as_deref(), &example.record);
            for trick in TRICKS {
                let id = example.id.as_ref().map(|_| trick);
                let made = make(id, &example.record);
                assert_eq!(
                    made,
                    plain[..made.len().min(plain.len())],
                    "{name}: {} with id {trick:?}",
                    example.name
                );
                for key in example.record.keys() {
                    let mut record = example.record.clone();
                    record[key] = json!(trick);
                    let made = make(example.id.as_deref(), &record);
                    let same = made == plain[..made.len().min(plain.len())];
                    // A value may choose between the requests that the file has; it never makes one of its own.
                    let chosen = || made.iter().all(|m| plain.iter().all(|p| m.1 == p.1));
                    assert!(
                        same || chosen(),
                        "{name}: {} with {key} {trick:?}: {made:?}",
                        example.name
                    );
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 5_000, "only {tried}");
}

#[test]
fn the_keys_of_a_record_make_no_parameter_of_their_own() {
    let vars = vars();
    for connector in CONNECTORS.iter() {
        let names: Vec<&str> = connector.objects().iter().map(String::as_str).collect();
        for name in names.into_iter().chain(["things"]) {
            for action in ACTIONS {
                let make = |key: &str| {
                    let mut record = record(connector.provider(), "1");
                    record.insert(key.to_owned(), json!("v"));
                    let command = Command {
                        action,
                        object: name,
                        record_id: Some("1"),
                        record: &record,
                        associations: &[],
                        headers: &[],
                        vars: &vars,
                        idempotency_key: None,
                        repeated: false,
                    };
                    let all = shapes(&requests(connector, &command));
                    all.into_iter()
                        .map(|(method, host, segments, names, headers)| {
                            (method, host, segments, names.len(), headers)
                        })
                        .collect::<Vec<_>>()
                };
                let plain = make("plainkey");
                for trick in ["a&b=c", "x=1", "a#b", "../..", "x\r\ny", "é?"] {
                    let made = make(trick);
                    assert_eq!(
                        made,
                        plain[..made.len()],
                        "{} {action} {name} {trick:?}",
                        connector.provider()
                    );
                }
            }
        }
    }
}

#[test]
fn the_variables_of_any_connection_stay_in_their_place() {
    let mut tried = 0;
    for connector in CONNECTORS.iter() {
        let names: Vec<&str> = connector.objects().iter().map(String::as_str).collect();
        let found = connector.discoveries().iter().map(|d| d.name.as_str());
        let variables: Vec<&str> = connector
            .variables()
            .iter()
            .map(|v| v.name.as_str())
            .chain(found)
            .collect();
        for variable in variables {
            // A variable that is a whole address names the host itself.
            if connector.base_url() == format!("{{conn.{variable}}}")
                || ["scriptURL", "instance_url"].contains(&variable)
            {
                continue;
            }
            for name in names.iter().copied().chain(["things"]).take(40) {
                for action in ACTIONS {
                    let record = record(connector.provider(), "1");
                    let make = |value: &str| {
                        let mut vars = vars();
                        vars.insert(variable.to_owned(), value.to_owned());
                        let command = Command {
                            action,
                            object: name,
                            record_id: Some("1"),
                            record: &record,
                            associations: &[],
                            headers: &[],
                            vars: &vars,
                            idempotency_key: None,
                            repeated: false,
                        };
                        let all = shapes(&requests(connector, &command));
                        // The host may be the variable's to choose, within what a host is.
                        all.into_iter()
                            .map(|(method, _, segments, names, headers)| (method, segments, names, headers))
                            .collect::<Vec<_>>()
                    };
                    let plain = make("v1");
                    for trick in TRICKS {
                        let made = make(trick);
                        assert_eq!(
                            made,
                            plain[..made.len()],
                            "{} {action} {name} {variable}={trick:?}",
                            connector.provider()
                        );
                        tried += 1;
                    }
                }
            }
        }
    }
    assert!(tried > 1_000, "only {tried}");
}

#[test]
fn variables_of_a_connection_cannot_change_the_host() {
    let connector = Catalog::builtin().get("salesforce").unwrap();
    let record = Map::new();
    for (name, value) in [
        ("workspace", "evil.example/"),
        ("workspace", "a@evil.example"),
        ("workspace", "evil.example#"),
        ("workspace", "a?b"),
        ("workspace", ""),
        ("instance_url", "http://acme.my.salesforce.com"),
        ("instance_url", "https://user:secret@evil.example"),
        ("instance_url", "https://evil.example/#"),
        ("instance_url", "nonsense"),
    ] {
        let mut vars = BTreeMap::from([("workspace".to_owned(), "acme".to_owned())]);
        vars.insert(name.to_owned(), value.to_owned());
        let command = Command {
            action: Action::Create,
            object: "Account",
            record_id: None,
            record: &record,
            associations: &[],
            headers: &[],
            vars: &vars,
            idempotency_key: None,
            repeated: false,
        };
        let refused = connector.prepare(&command, &[]).unwrap_err();
        assert_eq!(refused.kind, RefusalKind::InvalidVariable, "{name}={value}");
    }
}

/// Hosts that a customer may run: any public one is good.
const SELF_HOSTED: [(&str, &str); 3] = [
    ("kaseyaVSAX", "workspace"),
    ("loxo", "workspace"),
    ("odoo", "workspace"),
];

/// The variables of this connector that end the host of an address, or are the address.
fn whole_hosts(connector: &Connector) -> BTreeSet<String> {
    let own = regex_lite::Regex::new(
        r"^(?:https://)?(?:[^/{}]*(?:\{conn\.[a-zA-Z_]+\}\.)*)\{conn\.([A-Za-z_]+)\}(?:[/:?]|$)",
    )
    .unwrap();
    let text = Catalog::builtin()
        .builtin_text(connector.provider())
        .unwrap()
        .to_owned();
    let urls = regex_lite::Regex::new(r#"(?:https://|base_url: ")[^\s"']*"#).unwrap();
    let found = urls.find_iter(&text).filter_map(|url| {
        let url = url.as_str().trim_start_matches("base_url: \"");
        own.captures(url).map(|place| place[1].to_owned())
    });
    let discovered = connector.discoveries().iter().map(|d| d.name.clone());
    let discovered = discovered.filter(|name| text.contains(&format!("base_url_variable: {name}")));
    found.chain(discovered).collect()
}

#[test]
fn a_variable_that_is_a_whole_host_leads_to_the_vendor() {
    let mut pinned = BTreeSet::new();
    for connector in CONNECTORS.iter() {
        let provider = connector.provider();
        for name in whole_hosts(connector) {
            if SELF_HOSTED.contains(&(provider, name.as_str())) {
                continue;
            }
            for bad in [
                "evil.example",
                "https://evil.example",
                "https://evil.example/x.gong.io",
                "https://gong.io.evil.example",
                "https://evilgong.io",
                "https://evilsalesforce.com",
                "https://acme.my.salesforce.com.evil.example",
                "https://acme.my.salesforce.com@evil.example",
                "https://acme.my.salesforce.com:8443",
                "https://evil.example/?.salesforce.com",
                "https://evil.example/restlet.nl?x=.netsuite.com/",
                "http://acme.my.salesforce.com",
                "www.zohoapis.evil.com",
                "desk.zoho.evil.com",
                "mail.zohoevil.com",
                "accounts.zoho.com.evil.example",
                "api.evil.example",
                "apievil.example",
                "127.0.0.1",
                "https://169.254.169.254/",
            ] {
                let told = connector.check_variables(&BTreeMap::from([(name.clone(), bad.to_owned())]));
                let told = told
                    .iter()
                    .any(|text| text.contains(&format!("`{name}` has to match")));
                assert!(told, "{provider} {name}={bad}");
            }
            pinned.insert((provider.to_owned(), name));
        }
    }
    let pinned: Vec<_> = pinned.iter().map(|(p, n)| (p.as_str(), n.as_str())).collect();
    assert_eq!(
        pinned,
        [
            ("gong", "api_base_url_for_customer"),
            ("netsuiteM2M", "scriptURL"),
            ("salesforce", "instance_url"),
            ("salesforce", "loginHost"),
            ("salesforceJWT", "instance_url"),
            ("talkdesk", "api_domain"),
            ("talkdesk", "token_domain"),
            ("zoho", "zoho_api_domain"),
            ("zoho", "zoho_desk_domain"),
            ("zoho", "zoho_mail_domain"),
            ("zoho", "zoho_token_domain"),
        ]
    );
    for (provider, name, good) in [
        (
            "gong",
            "api_base_url_for_customer",
            "https://us-12345.api.gong.io",
        ),
        ("gong", "api_base_url_for_customer", "https://api.gong.io/"),
        ("salesforce", "instance_url", "https://acme.my.salesforce.com"),
        (
            "salesforce",
            "instance_url",
            "https://acme--dev.sandbox.my.salesforce.com",
        ),
        ("salesforce", "instance_url", "https://na139.salesforce.com/"),
        ("salesforceJWT", "instance_url", "https://acme.my.salesforce.mil"),
        (
            "netsuiteM2M",
            "scriptURL",
            "https://1234567.restlets.api.netsuite.com/app/site/hosting/restlet.nl?script=77&deploy=1",
        ),
        ("talkdesk", "api_domain", "api.talkdeskapp.eu"),
        ("talkdesk", "token_domain", "talkdeskidca.com"),
        ("zoho", "zoho_api_domain", "www.zohoapis.com.au"),
        ("zoho", "zoho_desk_domain", "desk.zohocloud.ca"),
        ("odoo", "workspace", "erp.northpeak.example:8069"),
    ] {
        let connector = Catalog::builtin().get(provider).unwrap();
        let told = connector.check_variables(&BTreeMap::from([(name.to_owned(), good.to_owned())]));
        assert!(
            !told.iter().any(|text| text.contains("has to match")),
            "{provider} {good}: {told:?}"
        );
    }
}

#[test]
fn headers_that_belong_to_the_connection_are_refused() {
    let catalog = Catalog::builtin();
    let (record, vars) = (Map::new(), vars());
    for (provider, name, value) in [
        ("salesforce", "Authorization", "x"),
        ("salesforce", "host", "evil.example"),
        ("salesforce", "Content-Length", "1"),
        ("salesforce", "Transfer-Encoding", "chunked"),
        ("salesforce", "Connection", "close"),
        ("salesforce", "content-type", "text/plain"),
        ("salesforce", "Accept", "text/plain"),
        ("salesforce", "X-A", "b\r\nAuthorization: c"),
        ("salesforce", "X A", "b"),
        ("salesforce", "", "b"),
        ("salesforce", "X-HTTP-Method-Override", "DELETE"),
        ("salesforce", "x-http-method", "DELETE"),
        ("salesforce", "X-Method-Override", "PUT"),
        ("salesforceJWT", "X_HTTP_METHOD_OVERRIDE", "DELETE"),
        ("salesforce", "Transfer_Encoding", "chunked"),
        (
            "salesforce",
            "X-Original-URL",
            "/services/data/v60.0/sobjects/User/1",
        ),
        ("salesforce", "X-Rewrite-URL", "/admin"),
        ("salesforce", "X-Forwarded-Host", "evil.example"),
        ("salesforce", "X-Forwarded-For", "127.0.0.1"),
        ("salesforce", "Forwarded", "for=127.0.0.1"),
        ("salesforce", "X-Real-IP", "127.0.0.1"),
        // HubSpot takes no headers at all.
        ("hubspot", "X-A", "b"),
    ] {
        let headers = [(name.to_owned(), value.to_owned())];
        let command = Command {
            action: Action::Create,
            object: "Account",
            record_id: None,
            record: &record,
            associations: &[],
            headers: &headers,
            vars: &vars,
            idempotency_key: None,
            repeated: false,
        };
        let refused = catalog.get(provider).unwrap().prepare(&command, &[]).unwrap_err();
        assert_eq!(
            refused.kind,
            RefusalKind::InvalidHeader,
            "{provider} {name}: {value}"
        );
    }
}
