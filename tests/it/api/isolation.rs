//! Who may call what: every route, with every kind of credential.
//!
//! A route that is not in the table fails the test, so adding one means adding a row: its method, its path as in the router, who
//! may call it, and a body that works.

use std::collections::{BTreeMap, BTreeSet};

use amp_write::api::openapi;
use http::Method;
use serde_json::{Value, json};

use crate::harness::jwt::{browser, frontend, other_project, register};
use crate::harness::service::{GROUP, PLAIN};
use crate::harness::{Client, Kind, Service, on_both_stores};

on_both_stores!(every_route_answers_each_credential_as_the_table_says);

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Everybody: a credential makes no difference.
    Anyone,
    /// Every credential of the project, also those in browsers. What is there belongs to no customer, or is a list of what the
    /// credential may see (`confined.rs` looks at what is in them).
    Browsers,
    /// The same, but a JWT only for its own group: the row asks for something of [`GROUP`].
    Group,
    /// Keys of the scope `full`.
    Backend,
}

use Who::{Anyone, Backend, Browsers, Group};

/// A route.
struct Row {
    method: Method,
    /// As in the router; a query may follow. Names in braces are filled, see [`World::fill`].
    path: &'static str,
    who: Who,
    body: Value,
    /// What those who may are answered; 2xx when `None`.
    status: Option<u16>,
}

fn row(method: &str, path: &'static str, who: Who) -> Row {
    Row {
        method: method.parse().unwrap(),
        path,
        who,
        body: Value::Null,
        status: None,
    }
}

impl Row {
    /// A body; names in braces in its texts are filled, too.
    fn body(mut self, body: Value) -> Self {
        self.body = body;
        self
    }

    /// Who may is answered so, for want of something better to ask.
    const fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Its path as in the router, where keys of both kinds are `{key}`.
    fn template(&self) -> String {
        let path = self.path.split('?').next().unwrap();
        path.replace("{api-key}", "{key}").replace("{jwt-key}", "{key}")
    }
}

fn rows() -> Vec<Row> {
    let credentials = json!({"accessToken": {"token": "test-acme"}});
    let contacts =
        json!({"provider": "hubspot", "write": {"objects": {"contacts": {"objectName": "contacts"}}}});
    let of_json = json!({"name": "json", "provider": "hubspot", "latestRevision":
        {"specVersion": "1.0.0", "content": {"write": {"objects": [{"objectName": "contacts"}]}}}});
    let pem = crate::harness::jwt::pem("public_other");
    vec![
        row("GET", "/healthz", Anyone),
        row("GET", "/readyz", Anyone),
        row("GET", "/metrics", Anyone),
        row("GET", "/docs", Anyone),
        row("GET", "/openapi.json", Anyone),
        row("GET", "/v1/providers", Anyone),
        row("GET", "/v1/providers/{provider}", Anyone),
        // The URL is the credential.
        row("PUT", "/v1/uploads/{token}", Anyone),
        row("GET", "/v1/generate-upload-url", Backend),
        row("GET", "/v1/projects", Browsers),
        row("GET", "/v1/projects/{project}", Browsers),
        // Keys.
        row("GET", "/v1/projects/{project}/api-keys", Backend),
        row("POST", "/v1/projects/{project}/api-keys", Backend).body(json!({"label": "x"})),
        row("GET", "/v1/projects/{project}/api-keys/{api-key}", Backend),
        row("PATCH", "/v1/projects/{project}/api-keys/{api-key}", Backend)
            .body(json!({"updateMask": ["label"], "apiKey": {"label": "y"}})),
        row("DELETE", "/v1/projects/{project}/api-keys/{api-key}", Backend),
        row("GET", "/v1/projects/{project}/jwt-keys", Backend),
        row("POST", "/v1/projects/{project}/jwt-keys", Backend)
            .body(json!({"label": "x", "algorithm": "RS256", "publicKeyPem": pem})),
        row("GET", "/v1/projects/{project}/jwt-keys/{jwt-key}", Backend),
        row("PATCH", "/v1/projects/{project}/jwt-keys/{jwt-key}", Backend)
            .body(json!({"updateMask": ["label"], "jwtKey": {"label": "y"}})),
        row("DELETE", "/v1/projects/{project}/jwt-keys/{jwt-key}", Backend),
        // Connections.
        row("POST", "/v1/projects/{project}/connections:generate", Group).body(json!({"provider": "hubspot",
            "groupRef": GROUP, "consumerRef": "ann", "oauth2AuthorizationCode": credentials})),
        row("GET", "/v1/projects/{project}/connections", Browsers),
        row("GET", "/v1/projects/{project}/connections?groupRef=acme", Group),
        row("GET", "/v1/projects/{project}/connections/{connection}", Group),
        row("PATCH", "/v1/projects/{project}/connections/{connection}", Group)
            .body(json!({"updateMask": ["oauth2AuthorizationCode"], "connection": {"oauth2AuthorizationCode": credentials}})),
        row("DELETE", "/v1/projects/{project}/connections/{connection}", Group),
        row("PATCH", "/v1/projects/{project}/connections/{connection}:oauth-update", Group),
        row("POST", "/v1/oauth-connect", Group).body(json!({"projectIdOrName": "{project}", "provider": "hubspot",
            "groupRef": GROUP, "consumerRef": "ann"})),
        // The link, and the state with its cookie, are the credentials.
        row("GET", "/connect/{link}", Anyone),
        row("GET", "/callbacks/v1/oauth", Anyone),
        // Provider apps.
        row("GET", "/v1/projects/{project}/provider-apps", Backend),
        row("POST", "/v1/projects/{project}/provider-apps", Backend)
            .body(json!({"provider": "hubspot", "clientId": "c", "clientSecret": "s"})),
        row("GET", "/v1/projects/{project}/provider-apps/{app}", Backend),
        row("PATCH", "/v1/projects/{project}/provider-apps/{app}", Backend)
            .body(json!({"updateMask": ["externalRef"], "providerApp": {"externalRef": "x"}})),
        row("DELETE", "/v1/projects/{project}/provider-apps/{app}", Backend),
        // Integrations.
        row("GET", "/v1/projects/{project}/integrations", Browsers),
        row("POST", "/v1/projects/{project}/integrations", Backend).body(of_json),
        row("PUT", "/v1/projects/{project}/integrations:batch", Backend).body(json!({"sourceYaml": PLAIN})),
        row("POST", "/v1/projects/{project}/integrations:plan", Backend).body(json!({"sourceYaml": PLAIN})),
        row("GET", "/v1/projects/{project}/integrations/{integration}", Browsers),
        row("POST", "/v1/projects/{project}/integrations/{integration}/revisions", Backend).body(json!({"sourceYaml": PLAIN})),
        row("GET", "/v1/projects/{project}/integrations/{integration}/revisions/{revision}?connectionId={connection}", Group),
        row("DELETE", "/v1/projects/{project}/integrations/{integration}", Backend),
        // Installations.
        row("GET", "/v1/projects/{project}/installations", Browsers),
        row("GET", "/v1/projects/{project}/installations?groupRef=acme", Group),
        row("GET", "/v1/projects/{project}/integrations/{integration}/installations", Browsers),
        row("GET", "/v1/projects/{project}/integrations/{integration}/installations?groupRef=acme", Group),
        // There is one already.
        row("POST", "/v1/projects/{project}/integrations/{integration}/installations", Group)
            .body(json!({"groupRef": GROUP, "config": {"content": contacts}}))
            .status(409),
        row("GET", "/v1/projects/{project}/integrations/{integration}/installations/{installation}", Group),
        row("PATCH", "/v1/projects/{project}/integrations/{integration}/installations/{installation}", Group)
            .body(json!({"updateMask": ["config.content.write.objects"], "installation": {"config": {"content": contacts}}})),
        row("DELETE", "/v1/projects/{project}/integrations/{integration}/installations/{installation}", Group),
        row("PATCH", "/v1/projects/{project}/integrations/{integration}/objects/{object}/config-content", Group)
            .body(json!({"groupRef": GROUP, "action": "write", "changes": [{"op": "add", "path": "/objectName", "value": "contacts"}]})),
        row("PATCH", "/v1/projects/{project}/integrations/{integration}/objects/{object}/config-content", Group)
            .body(json!({"installationId": "{installation}", "action": "write",
                "changes": [{"op": "add", "path": "/objectName", "value": "contacts"}]})),
        // What an account says about its objects.
        row("GET", "/v1/projects/{project}/integrations/{integration}/objects/{object}/metadata?groupRef=acme", Group),
        row("GET", "/v1/projects/{project}/providers/{provider}/objects/{object}/metadata?groupRef=acme", Group),
        // Writes and what became of them.
        row("POST", "/v1/projects/{project}/integrations/{integration}/objects/{object}", Backend)
            .body(json!({"groupRef": GROUP, "type": "create", "record": {"firstname": "a"}})),
        row("POST", "/v1/projects/{project}/integrations/{integration}/objects/{object}?preview=true", Backend)
            .body(json!({"groupRef": GROUP, "type": "create", "record": {"firstname": "a"}})),
        row("GET", "/v1/projects/{project}/operations", Backend),
        row("GET", "/v1/projects/{project}/operations:watch?operationId={operation}", Backend),
        row("GET", "/v1/projects/{project}/operations/{operation}", Backend),
        row("GET", "/v1/projects/{project}/operations/{operation}/logs", Backend),
        row("GET", "/v1/projects/{project}/integrations/{integration}/installations/{installation}/operations", Backend),
        row("POST", "/v1/projects/{project}/integrations/{integration}/operations:replay", Backend).body(json!({"dryRun": true})),
        row("POST", "/v1/projects/{project}/operations/{operation}", Backend).status(405),
        row("POST", "/v1/projects/{project}/operations/{operation}:cancel", Backend).status(409),
        row("POST", "/v1/projects/{project}/operations/{operation}:release", Backend).status(409),
        row("POST", "/v1/projects/{project}/operations/{operation}:resolve", Backend)
            .body(json!({"outcome": "failed"}))
            .status(409),
        row("POST", "/v1/projects/{project}/operations/{operation}:replay", Backend).body(json!({"force": true})),
    ]
}

/// Every route: those of the description, and the paths that stand beside it in the router.
fn routes() -> BTreeSet<(String, String)> {
    let document = serde_json::to_value(openapi()).unwrap();
    let mut routes = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            if ["get", "put", "post", "patch", "delete", "head", "options"].contains(&method.as_str()) {
                routes.insert((method.to_uppercase(), path.clone()));
            }
        }
    }
    let source = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/api/router.rs"));
    for place in source.split(".route(").skip(1) {
        let mut parts = place.split('"');
        let path = parts.nth(1).unwrap_or_default();
        let after = parts.next().unwrap_or_default();
        for method in ["get", "put", "post", "patch", "delete", "any"] {
            // The first method after the path is the route's; more of them would stand in the same call.
            let call = after.split(".route").next().unwrap_or_default();
            if call
                .trim_start_matches([',', ' ', '\n'])
                .starts_with(&format!("{method}("))
            {
                routes.insert((method.to_uppercase(), path.to_owned()));
            }
        }
    }
    routes
}

#[test]
fn every_route_is_in_the_table() {
    let known: BTreeSet<(String, String)> = rows()
        .iter()
        .map(|row| (row.method.to_string(), row.template()))
        .collect();
    let routes = routes();
    assert!(routes.len() > 45, "the routes are not found: {routes:?}");
    let missing: Vec<_> = routes.difference(&known).collect();
    assert!(missing.is_empty(), "no row says who may call {missing:?}");
    let gone: Vec<_> = known.difference(&routes).collect();
    assert!(gone.is_empty(), "not served any more: {gone:?}");
}

#[test]
fn the_description_says_which_credential_each_route_takes() {
    let document = serde_json::to_value(openapi()).unwrap();
    for row in rows() {
        let operation = &document["paths"][row.template()][row.method.as_str().to_lowercase()];
        if operation.is_null() {
            continue;
        }
        let security = match &operation["security"] {
            Value::Null => &document["security"],
            own => own,
        };
        let both = json!([{"apiKey": []}, {"jwt": []}]);
        let expected = match row.who {
            // Health has none of its own to name.
            Anyone if row.template().starts_with("/v1/") => json!([{}]),
            Anyone => continue,
            Browsers | Group => both,
            Backend => json!([{"apiKey": []}]),
        };
        assert_eq!(*security, expected, "{} {}", row.method, row.path);
    }
}

/// A project with something of everything for [`GROUP`], and everybody who may ask for it.
struct World {
    service: Service,
    values: BTreeMap<&'static str, String>,
}

fn id(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no id: {value}"))
        .to_owned()
}

impl World {
    async fn new(kind: Kind) -> Self {
        let service = crate::oauth::service(kind).await;
        let values = BTreeMap::from([
            ("project", service.client.project.clone()),
            ("integration", "hs".to_owned()),
            ("object", "contacts".to_owned()),
            ("provider", "hubspot".to_owned()),
            ("token", "x".to_owned()),
            ("link", "x".to_owned()),
        ]);
        Self { service, values }
    }

    /// Makes again what the last request may have taken away.
    async fn prepare(&mut self, row: &Row) {
        let (service, client) = (&self.service, &self.service.client);
        let deployed = service.deploy(PLAIN).await;
        let revision = format!("{}:hydrate", id(&deployed[0]["latestRevision"]["id"]));
        self.values.insert("revision", revision);
        let installations = format!("/integrations/hs/installations?groupRef={GROUP}");
        let mut installed = client.get(&installations).await.expect(200).json();
        if installed[0].is_null() {
            service.connect(GROUP, "hubspot", "test-acme").await;
            let content = json!({"provider": "hubspot", "write": {"objects": {"contacts": {"objectName": "contacts"}}}});
            service.install("hs", GROUP, content).await;
            installed = client.get(&installations).await.expect(200).json();
        }
        self.values.insert("installation", id(&installed[0]["id"]));
        if row.path.contains("{connection}") {
            let made = service.connect(GROUP, "hubspot", "test-acme").await;
            self.values.insert("connection", id(&made["id"]));
        }
        if row.path.contains("{operation}") {
            let body = json!({"groupRef": GROUP, "type": "create", "record": {"firstname": "a"}});
            let written = client.write("hs", "contacts", body).await.expect(200).json();
            self.values.insert("operation", id(&written["operationId"]));
        }
        if row.path.contains("{api-key}") {
            let made = client
                .post("/api-keys", json!({"label": "spare"}))
                .await
                .expect(201)
                .json();
            self.values.insert("api-key", id(&made["id"]));
        }
        if row.path.contains("{app}") {
            let app = json!({"provider": "hubspot", "clientId": "spare", "clientSecret": "s"});
            let made = client.post("/provider-apps", app).await.expect(201).json();
            self.values.insert("app", id(&made["id"]));
        }
        if row.path.contains("{jwt-key}") {
            self.values.insert("jwt-key", register(client).await);
        }
    }

    fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.values {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }

    async fn ask(&self, client: &Client, row: &Row) -> u16 {
        let request = client.request(row.method.clone(), &self.fill(row.path));
        let body = match &row.body {
            Value::Null => String::new(),
            body => self.fill(&body.to_string()),
        };
        client.send(request.body(body)).await.status
    }
}

async fn every_route_answers_each_credential_as_the_table_says(kind: Kind) {
    let mut world = World::new(kind).await;
    let client = world.service.client.clone();
    let kid = register(&client).await;
    let foreign = other_project(&world.service).await;
    let foreign_kid = register(&foreign).await;
    let nobody = client.with_key("");
    let others = [
        ("another project's key", foreign.clone()),
        (
            "another project's JWT",
            browser(&client, &foreign_kid, GROUP, "ann"),
        ),
        ("another group's JWT", browser(&client, &kid, "globex", "ann")),
        ("its own JWT", browser(&client, &kid, GROUP, "ann")),
        ("a frontend key", frontend(&client).await),
        ("a full key", client.clone()),
    ];
    let mut wrong = Vec::new();
    for row in rows() {
        world.prepare(&row).await;
        let without = world.ask(&nobody, &row).await;
        if row.who != Anyone && without != 401 {
            wrong.push(format!(
                "{} {}: {without} without a credential",
                row.method, row.path
            ));
        }
        for (name, client) in &others {
            world.prepare(&row).await;
            let in_project = row.path.contains("{project}") || row.body.to_string().contains("{project}");
            let refusal = match (*name, row.who) {
                (_, Anyone) => None,
                ("another project's JWT", _) if in_project => Some(401),
                ("another project's key", _) if in_project => Some(403),
                ("another group's JWT", Group | Backend)
                | ("its own JWT" | "a frontend key" | "another project's JWT", Backend) => Some(403),
                _ => None,
            };
            let status = world.ask(client, &row).await;
            let is_right = match (refusal, row.who, row.status) {
                (Some(refusal), ..) => status == refusal,
                (None, Anyone, _) => status == without,
                (None, _, Some(expected)) => status == expected,
                (None, _, None) => (200..300).contains(&status),
            };
            if !is_right {
                wrong.push(format!("{} {}: {status} with {name}", row.method, row.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
