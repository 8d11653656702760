//! Where the one HTTP client goes, and where it does not, seen from the sockets.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use amp_write::outbound::{GuardError, Outbound, OutboundOptions, SendError, WireRequest};
use amp_write::settings::TuningArgs;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::service::{GROUP, PLAIN, start_sandbox, tuning};
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    a_connection_of_another_provider_does_not_reach_the_operators_address,
    a_write_that_is_redirected_fails_and_is_not_repeated_elsewhere,
    a_header_that_would_make_another_request_of_it_is_refused,
    an_address_that_is_not_the_vendors_is_no_connection,
);

fn outbound(trusted: &[(&str, String)]) -> Outbound {
    let trusted = trusted.iter();
    Outbound::new(OutboundOptions {
        timeout: Duration::from_secs(10),
        max_response_bytes: 1 << 20,
        trusted_urls: trusted
            .map(|(p, url)| ((*p).to_owned(), url.clone()))
            .collect::<BTreeMap<_, _>>(),
    })
    .expect("a client")
}

fn post(provider: &str, url: String) -> WireRequest {
    WireRequest {
        provider: provider.to_owned(),
        method: http::Method::POST,
        url,
        headers: http::HeaderMap::new(),
        body: Some(b"{}".to_vec()),
    }
}

/// A socket that notes whether anybody came.
struct Witness(TcpListener);

impl Witness {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("set");
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().expect("an address").port()
    }

    /// A connection is made by the kernel before anybody accepts it, so what was tried is here by now.
    fn saw_nobody(&self) {
        let came = self.0.accept();
        assert!(
            came.as_ref()
                .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
            "{came:?}"
        );
    }
}

#[tokio::test]
async fn what_leads_to_this_machine_is_refused_and_sees_no_connection() {
    let witness = Witness::listen();
    let port = witness.port();
    // Also where another provider's address, or another port, is the operator's own.
    let trusted = [
        ("hubspot", format!("https://127.0.0.1:{port}/hubspot")),
        ("salesforce", format!("https://localhost:{port}")),
        ("odoo", "http://127.0.0.1:1/odoo".to_owned()),
    ];
    for outbound in [outbound(&[]), outbound(&trusted)] {
        for host in [
            "localhost",
            "127.0.0.1",
            "127.1",
            "[::1]",
            "0.0.0.0",
            "[::ffff:127.0.0.1]",
        ] {
            for provider in ["odoo", "kaseyaVSAX"] {
                let url = format!("https://{host}:{port}/crm");
                let sent = outbound.send(post(provider, url.clone())).await;
                let refused = matches!(&sent, Err(SendError::Refused(GuardError::Internal(_))));
                assert!(refused, "{url}: {sent:?}");
                let checked = outbound.check(provider, &url).await;
                assert!(
                    matches!(checked, Err(GuardError::Internal(_))),
                    "{url}: {checked:?}"
                );
            }
        }
    }
    witness.saw_nobody();
}

#[tokio::test]
async fn a_url_is_checked_without_being_called() {
    let witness = Witness::listen();
    let port = witness.port();
    let outbound = outbound(&[("hubspot", format!("http://127.0.0.1:{port}/hubspot"))]);
    let own = format!("http://127.0.0.1:{port}/hubspot/crm");
    assert_eq!(outbound.check("hubspot", &own).await, Ok(()));
    assert_eq!(outbound.check("hubspot", "https://8.8.8.8/").await, Ok(()));
    // It cannot be reached, which is another matter.
    assert_eq!(outbound.check("hubspot", "https://nobody.invalid/").await, Ok(()));
    for (provider, url) in [
        ("salesforce", own.as_str()),
        ("hubspot", "http://8.8.8.8/"),
        ("hubspot", "https://169.254.169.254/latest/meta-data"),
        ("hubspot", "nonsense"),
    ] {
        assert!(outbound.check(provider, url).await.is_err(), "{provider} {url}");
    }
    witness.saw_nobody();
}

/// Answers one request with this head, and says whether more arrived on the same connection.
async fn answer_once(listener: &tokio::net::TcpListener, head: &str) {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut seen = Vec::new();
    let mut piece = [0; 1024];
    while !seen.ends_with(b"{}") {
        let read = stream.read(&mut piece).await.expect("a request");
        assert!(read > 0, "the request ended early");
        seen.extend_from_slice(&piece[..read]);
    }
    stream.write_all(head.as_bytes()).await.expect("answered");
    let mut rest = Vec::new();
    stream.shutdown().await.expect("closed");
    stream
        .read_to_end(&mut rest)
        .await
        .expect("the other side closes");
    assert!(rest.is_empty(), "a second request");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_nothing_goes_to_its_location() {
    let elsewhere = Witness::listen();
    for status in [301, 302, 303, 307, 308] {
        for own_location in [false, true] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
                .await
                .expect("a port");
            let own = format!("http://{}", listener.local_addr().expect("an address"));
            let outbound = outbound(&[("hubspot", own.clone())]);
            let location = match own_location {
                true => format!("{own}/again"),
                false => format!("http://127.0.0.1:{}/elsewhere", elsewhere.port()),
            };
            let head = format!(
                "HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let (answer, ()) = tokio::join!(
                outbound.send(post("hubspot", format!("{own}/crm"))),
                answer_once(&listener, &head)
            );
            assert_eq!(answer.expect("an answer").status, status);
            Witness(listener.into_std().expect("a socket")).saw_nobody();
        }
    }
    elsewhere.saw_nobody();
}

/// A service whose HubSpot is at this URL.
async fn with_hubspot_at(kind: Kind, url: String) -> Service {
    let sandbox = start_sandbox().await;
    let tuning = TuningArgs {
        provider_urls: vec![("hubspot".to_owned(), url)],
        ..tuning(&sandbox)
    };
    Service::with(kind, sandbox, tuning).await
}

async fn a_connection_of_another_provider_does_not_reach_the_operators_address(kind: Kind) {
    const KASEYA: &str = "specVersion: 1.0.0\nintegrations:\n  - name: vsa\n    provider: kaseyaVSAX\n    write: {objects: [{objectName: contacts}]}\n";
    let (witness, beside) = (Witness::listen(), Witness::listen());
    for host in ["127.0.0.1", "localhost"] {
        let service = with_hubspot_at(kind, format!("http://{host}:{}/hubspot", witness.port())).await;
        service.deploy(KASEYA).await;
        for (number, port) in [witness.port(), beside.port()].into_iter().enumerate() {
            let group = format!("g{number}");
            let connection = json!({
                "provider": "kaseyaVSAX", "groupRef": group, "consumerRef": "c",
                "providerWorkspaceRef": format!("{host}:{port}"),
                "basicAuth": {"username": "u", "password": "p"}
            });
            service
                .client
                .post("/connections:generate", connection)
                .await
                .expect(201);
            service
                .install("vsa", &group, json!({"provider": "kaseyaVSAX"}))
                .await;
            let write = json!({"groupRef": group, "type": "create", "record": {"name": "Northpeak"}});
            let answer = service.client.write("vsa", "contacts", write).await.expect(422);
            assert!(answer.body.contains("internal address"), "{}", answer.body);
        }
    }
    witness.saw_nobody();
    beside.saw_nobody();
}

async fn a_write_that_is_redirected_fails_and_is_not_repeated_elsewhere(kind: Kind) {
    let elsewhere = Witness::listen();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let own = format!("http://{}", listener.local_addr().expect("an address"));
    let location = format!("http://127.0.0.1:{}/elsewhere", elsewhere.port());
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let answers = axum::Router::new().fallback(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let head = [("location", location.clone())];
        async move { (http::StatusCode::TEMPORARY_REDIRECT, head) }
    });
    tokio::spawn(async move { axum::serve(listener, answers).await });
    let service = with_hubspot_at(kind, own).await;
    service.deploy(PLAIN).await;
    service.connect(GROUP, "hubspot", "test-acme").await;
    service.install("hs", GROUP, json!({"provider": "hubspot"})).await;
    let write = json!({"groupRef": GROUP, "type": "create", "record": {"name": "Acme"}});
    let answer = service.client.write("hs", "companies", write).await;
    assert!(answer.status >= 400, "{}: {}", answer.status, answer.body);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    elsewhere.saw_nobody();
}

async fn a_header_that_would_make_another_request_of_it_is_refused(kind: Kind) {
    let service = Service::start(kind).await;
    for name in [
        "X-HTTP-Method-Override",
        "x-http-method",
        "X-Method-Override",
        "X_HTTP_Method_Override",
        "X-Original-URL",
        "X-Forwarded-For",
    ] {
        for (mode, query) in [
            ("synchronous", ""),
            ("asynchronous", ""),
            ("synchronous", "?preview=true"),
        ] {
            let one = json!({"groupRef": GROUP, "type": "create", "mode": mode, "record": {"LastName": "Lee"},
                "headers": [{"key": name, "value": "DELETE"}]});
            let batch = json!({"groupRef": GROUP, "type": "create", "mode": mode,
                "batch": [{"record": {"LastName": "Lee"}}, {"record": {"LastName": "May"}}],
                "headers": [{"key": name, "value": "DELETE"}]});
            for body in [one, batch] {
                let answer = service.client.write("sf", &format!("contact{query}"), body).await;
                let problem = answer.problem(400);
                assert!(problem["detail"].to_string().contains(name), "{problem}");
            }
        }
    }
    assert_eq!(service.reached(), []);
}

async fn an_address_that_is_not_the_vendors_is_no_connection(kind: Kind) {
    let service = Service::empty(kind).await;
    for (provider, name, value) in [
        ("salesforce", "instance_url", "https://evil.example"),
        (
            "salesforceJWT",
            "instance_url",
            "https://acme.my.salesforce.com.evil.example",
        ),
        ("gong", "api_base_url_for_customer", "https://gong.evil.example"),
        ("zoho", "zoho_api_domain", "www.zohoapis.evil.com"),
        ("talkdesk", "api_domain", "api.evil.example"),
        (
            "netsuiteM2M",
            "scriptURL",
            "https://evil.example/app/site/hosting/restlet.nl",
        ),
    ] {
        let connection = json!({
            "provider": provider, "groupRef": GROUP, "consumerRef": "c", "providerWorkspaceRef": "acme",
            "providerMetadata": {name: {"value": value, "source": "input"}},
            "oauth2AuthorizationCode": {"accessToken": {"token": "t"}}
        });
        let problem = service
            .client
            .post("/connections:generate", connection)
            .await
            .problem(400);
        let detail = problem["detail"].to_string();
        assert!(
            detail.contains(name) && detail.contains("has to match"),
            "{problem}"
        );
    }
}
