//! No id, object name, record value or header of a caller reaches another place than its own.

use std::collections::BTreeMap;
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

/// Keys that some connector takes out of the record into its path.
const KEYS: [&str; 6] = ["employee_id", "job_id", "jobId", "contactId", "messageId", "name"];

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

fn prepare(c: &Connector, action: Action, object: &str, id: &str, value: &str) -> Option<ProviderRequest> {
    let record: Map<String, Value> = KEYS.iter().map(|key| ((*key).to_owned(), json!(value))).collect();
    let vars = vars();
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
    let looked_up = ProviderResponse {
        status: 200,
        headers: Vec::new(),
        body: b"{}".to_vec(),
        truncated: false,
    };
    match c.prepare(&command, &[looked_up]) {
        Ok(Step::Send(request) | Step::Lookup(request)) => Some(request),
        Err(_) => None,
    }
}

/// Host, number of segments, names of parameters, names of headers.
type Shape = (String, usize, Vec<String>, Vec<String>);

fn shape(request: &ProviderRequest) -> Shape {
    // Split by hand: a URL parser would fold `..` away and hide what is to be seen.
    let rest = request.url.strip_prefix("https://").expect("always https");
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = before.split_once('/').unwrap_or((before, ""));
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
        assert!(!value.contains(['\r', '\n']), "{value:?}");
        name.clone()
    });
    (host.to_owned(), path.split('/').count(), names, headers.collect())
}

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
            let Some(plain) = prepare(connector, action, name, "1", "1") else { continue };
            if let Some(request) = prepare(connector, action, name, &id, &value) {
                prop_assert_eq!(shape(&plain), shape(&request), "{} {} {}", connector.provider(), action, name);
            }
        }
    }

    #[test]
    fn object_names_that_are_not_listed_stay_in_their_place(
        at in any::<prop::sample::Index>(),
        object in hostile(),
    ) {
        let connector = at.get(CONNECTORS.as_slice());
        for action in ACTIONS {
            let Some(plain) = prepare(connector, action, "things", "1", "1") else { continue };
            if connector.objects().contains(&object) {
                continue;
            }
            if let Some(request) = prepare(connector, action, &object, "1", "1") {
                let (mut expected, found) = (shape(&plain), shape(&request));
                // Some files say that names may span segments.
                if found.1 != expected.1 {
                    expected.1 += object.matches('/').count();
                }
                prop_assert_eq!(expected, found, "{} {} {:?}", connector.provider(), action, object);
            }
        }
    }
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
