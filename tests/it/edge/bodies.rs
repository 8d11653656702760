//! Bodies: those that do not arrive, those that are too large before they are sent, and those in an encoding.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;

use super::Raw;
use crate::harness::service::{GROUP, PLAIN, start_sandbox, tuning};
use crate::harness::{Kind, Service};
use amp_write::settings::TuningArgs;

async fn service(change: impl FnOnce(&mut TuningArgs)) -> Service {
    let sandbox = start_sandbox().await;
    let mut tuning = tuning(&sandbox);
    change(&mut tuning);
    let service = Service::with(Kind::Sqlite, sandbox, tuning).await;
    service.set_up(PLAIN).await;
    service
}

/// The head of a write, without the line that ends it.
fn head(service: &Service, version: &str, more: &str) -> String {
    let (path, key) = (
        service.client.path("/integrations/hs/objects/contacts"),
        &service.client.key,
    );
    format!(
        "POST {path} HTTP/{version}\r\nHost: x\r\nX-Api-Key: {key}\r\nContent-Type: application/json\r\n{more}"
    )
}

fn body(email: &str) -> String {
    json!({"groupRef": GROUP, "type": "create", "record": {"email": email}}).to_string()
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_408_and_the_connection_closed() {
    let service = service(|tuning| tuning.read_timeout_seconds = 1).await;
    let body = body("slow@x.example");
    let (length, half) = (body.len(), &body[..20]);
    for sent in [
        head(&service, "1.1", &format!("Content-Length: {length}\r\n\r\n")),
        head(
            &service,
            "1.1",
            &format!("Content-Length: {length}\r\n\r\n{half}"),
        ),
        head(
            &service,
            "1.0",
            &format!("Content-Length: {length}\r\n\r\n{half}"),
        ),
        head(
            &service,
            "1.1",
            "Transfer-Encoding: chunked\r\n\r\n14\r\n01234567890123456789\r\n",
        ),
        head(
            &service,
            "1.1",
            &format!("Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n"),
        ),
    ] {
        let mut raw = Raw::connect(&service.client.url).await;
        raw.send(&sent).await;
        let answer = raw.read_to_end().await;
        let answer = answer.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
        let (head, problem) = answer.split_once("\r\n\r\n").expect("an answer");
        assert!(head.contains(" 408 Request Timeout"), "{sent}: {answer}");
        assert!(head.to_lowercase().contains("connection: close"), "{answer}");
        assert!(head.contains("application/problem+json"), "{answer}");
        assert!(
            problem.contains("AMP_READ_TIMEOUT_SECONDS") && problem.contains("too-slow"),
            "{answer}"
        );
    }
    assert_eq!(service.created(), 0);
}

#[tokio::test]
async fn a_slow_but_steady_body_is_read_within_its_whole_time() {
    let service = service(|tuning| {
        tuning.read_timeout_seconds = 1;
        tuning.body_timeout_seconds = 4;
    })
    .await;
    let body = body("steady@x.example");
    let announced = head(
        &service,
        "1.1",
        &format!("Content-Length: {}\r\n\r\n", body.len()),
    );
    // In five parts, which together take longer than one pause may.
    let mut raw = Raw::connect(&service.client.url).await;
    raw.send(&announced).await;
    let started = Instant::now();
    for part in body.as_bytes().chunks(body.len() / 4) {
        assert!(raw.is_open_for(Duration::from_millis(300)).await);
        raw.send(part).await;
    }
    assert!(started.elapsed() > Duration::from_secs(1));
    raw.read_until("\"success\":true").await;
    // Byte by byte, without an end.
    let mut raw = Raw::connect(&service.client.url).await;
    raw.send(head(&service, "1.1", "Content-Length: 1000\r\n\r\n"))
        .await;
    let mut sent = 0;
    while raw.0.try_write(b" ").is_ok() && sent < 100 {
        sent += 1;
        if !raw.readable_within(Duration::from_millis(200)).await {
            continue;
        }
        break;
    }
    let answer = raw.read_to_end().await;
    assert!(
        answer.contains(" 408 ") && answer.contains("AMP_BODY_TIMEOUT_SECONDS"),
        "{answer}"
    );
    assert_eq!(service.created(), 1);
}

impl Raw {
    async fn readable_within(&self, time: Duration) -> bool {
        tokio::time::timeout(time, self.0.readable()).await.is_ok()
    }
}

#[tokio::test]
async fn who_asks_before_it_sends_too_much_is_told_so_at_once() {
    let service = service(|tuning| tuning.max_body_bytes = 2_000).await;
    for (more, status) in [
        ("Content-Length: 2001", "413"),
        ("Content-Length: 99999999999999999999999", "400"),
        ("Content-Length: 18446744073709551000", "413"),
        ("Content-Length: 10\r\nContent-Encoding: gzip", "415"),
    ] {
        let mut raw = Raw::connect(&service.client.url).await;
        raw.send(head(
            &service,
            "1.1",
            &format!("{more}\r\nExpect: 100-continue\r\n\r\n"),
        ))
        .await;
        let answer = raw.read_to_end().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{more}: {answer}"
        );
        assert!(
            answer.to_lowercase().contains("connection: close"),
            "{more}: {answer}"
        );
    }
    // One that fits gets its go-ahead.
    let body = body("asked@x.example");
    let mut raw = Raw::connect(&service.client.url).await;
    let more = format!("Content-Length: {}\r\nExpect: 100-continue\r\n\r\n", body.len());
    raw.send(head(&service, "1.1", &more)).await;
    raw.read_until("HTTP/1.1 100 Continue\r\n\r\n").await;
    raw.send(&body).await;
    raw.read_until("\"success\":true").await;
}

#[tokio::test]
async fn a_wait_and_a_watch_outlast_the_limits_of_silence() {
    let service = service(|tuning| {
        tuning.read_timeout_seconds = 1;
        tuning.idle_timeout_seconds = 1;
    })
    .await;
    let hold = service
        .sandbox
        .fault(amp_write::sandbox::FaultSpec::new(
            amp_write::sandbox::FaultKind::Hold,
        ))
        .expect("a good fault");
    let body =
        json!({"groupRef": GROUP, "type": "create", "mode": "asynchronous", "record": {"name": "Acme"}});
    let answer = service
        .client
        .write("hs", "companies", body)
        .await
        .expect(200)
        .json();
    let id = answer["operationId"].as_str().expect("an id").to_owned();
    hold.wait_hits(1).await;
    let mut watch = Raw::connect(&service.client.url).await;
    let (path, key) = (service.client.path("/operations:watch"), &service.client.key);
    watch
        .send(format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {key}\r\n\r\n"
        ))
        .await;
    watch.read_until("text/event-stream").await;
    let started = Instant::now();
    let waited = service
        .client
        .get(&format!("/operations/{id}?wait=3"))
        .await
        .expect(200);
    assert!(started.elapsed() >= Duration::from_secs(3));
    assert_eq!(waited.json()["status"], "in_progress");
    hold.release();
    watch.read_until(&id).await;
}

#[tokio::test]
async fn an_encoded_body_is_415_wherever_there_is_one() {
    let service = service(|_| {}).await;
    let api = service
        .client
        .send(
            service
                .client
                .http
                .get(format!("{}/openapi.json", service.client.url)),
        )
        .await;
    let api = api.expect(200).json();
    let mut tried = 0;
    for (path, methods) in api["paths"].as_object().expect("paths") {
        for (method, endpoint) in methods.as_object().expect("methods") {
            if endpoint["requestBody"].is_null() {
                continue;
            }
            let path = match path.contains("/uploads/") {
                true => {
                    let answer = service.client.request(Method::GET, "/v1/generate-upload-url");
                    let url = service.client.send(answer).await.expect(200).json()["url"].clone();
                    url.as_str()
                        .expect("a URL")
                        .trim_start_matches(&service.client.url)
                        .to_owned()
                }
                false => path.clone(),
            };
            let filled = regex_lite::Regex::new(r"\{[^}]*\}").expect("a pattern");
            let path = path.replace("{project}", &service.client.project);
            let path = filled
                .replace_all(&path, "019a0000-0000-7000-8000-000000000000")
                .into_owned();
            let method: Method = method.to_uppercase().parse().expect("a method");
            for encoding in ["gzip", "br", "identity, gzip", "GZIP", "x-gzip", "deflate"] {
                let request = service.client.request(method.clone(), &path);
                let request = request.header("content-encoding", encoding).body("{}");
                let answer = service.client.send(request).await;
                assert_eq!(answer.header("accept-encoding"), "identity", "{method} {path}");
                let problem = answer.problem(415);
                assert!(
                    problem["detail"].to_string().contains("Content-Encoding"),
                    "{problem}"
                );
                assert_eq!(problem["issues"][0]["in"], "header");
                assert_eq!(problem["issues"][0]["name"], "Content-Encoding");
            }
            tried += 1;
        }
    }
    assert!(tried >= 12, "{tried}");
    let path = service.client.path("/integrations/hs/objects/contacts");
    let write = |encodings: &[&str], body: String| {
        let mut request = service.client.request(Method::POST, &path);
        for encoding in encodings {
            request = request.header("content-encoding", *encoding);
        }
        request.body(body)
    };
    // JSON that is only labelled so, and an encoding in a second header.
    for encodings in [&["gzip"][..], &["identity", "gzip"], &["\u{fc}"]] {
        service
            .client
            .send(write(encodings, body("label@x.example")))
            .await
            .problem(415);
    }
    assert_eq!(service.created(), 0);
    for (number, encodings) in [&["identity"][..], &["Identity"], &[""], &["identity, identity"]]
        .iter()
        .enumerate()
    {
        let body = body(&format!("plain{number}@x.example"));
        service.client.send(write(encodings, body)).await.expect(200);
    }
    assert_eq!(service.created(), 4);
}

/// What clients send that is unusual and right, or unusual and wrong.
#[tokio::test]
async fn unusual_requests_are_answered_as_ever() {
    let service = service(|_| {}).await;
    let url = service.client.url.clone();
    let mut number = 0;
    let mut fresh = || {
        number += 1;
        body(&format!("odd{number}@x.example"))
    };
    let one = fresh();
    let chunked = format!("{:x}\r\n{one}\r\n0\r\n\r\n", one.len());
    let (two, three, four) = (fresh(), fresh(), fresh());
    let absolute = head(
        &service,
        "1.1",
        &format!("Content-Length: {}\r\n\r\n{three}", three.len()),
    );
    let absolute = absolute.replace("POST /", &format!("POST {url}/"));
    for (request, status) in [
        (
            head(
                &service,
                "1.1",
                &format!("Transfer-Encoding: chunked\r\n\r\n{chunked}"),
            ),
            200,
        ),
        (
            head(
                &service,
                "1.0",
                &format!("Content-Length: {}\r\n\r\n{two}", two.len()),
            ),
            200,
        ),
        (absolute, 200),
        (
            head(
                &service,
                "1.1",
                &format!("Content-Length: 5\r\nContent-Length: 6\r\n\r\n{four}"),
            ),
            400,
        ),
    ] {
        let mut raw = Raw::connect(&url).await;
        raw.send(&request).await;
        let answer = raw.read_until("\r\n\r\n").await;
        assert!(answer.contains(&format!(" {status} ")), "{request}\n{answer}");
    }
    assert_eq!(service.created(), 3);
}

#[tokio::test]
async fn only_who_may_upload_can_keep_the_server_waiting_for_a_body() {
    let service = service(|_| {}).await;
    let mut raw = Raw::connect(&service.client.url).await;
    raw.send("PUT /v1/uploads/made-up HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        .await;
    assert!(raw.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 403 "));
    let path = service.client.path("/integrations/hs/objects/contacts");
    let mut raw = Raw::connect(&service.client.url).await;
    raw.send(format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    ))
    .await;
    assert!(raw.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 401 "));
}
