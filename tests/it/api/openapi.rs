//! The description of the API is generated, and every change of it is seen.

use amp_write::api::openapi;

use crate::harness::{Kind, Service};

#[test]
fn the_description_of_the_api_is_what_was_reviewed() {
    insta::assert_snapshot!("openapi", openapi().to_pretty_json().expect("JSON"));
}

#[tokio::test]
async fn the_description_and_a_page_for_people_are_served() {
    let service = Service::empty(Kind::Sqlite).await;
    let client = &service.client;
    let json = client
        .send(client.http.get(format!("{}/openapi.json", client.url)))
        .await
        .expect(200);
    assert_eq!(json.header("content-type"), "application/json");
    assert_eq!(json.body, openapi().to_pretty_json().expect("JSON"));
    let page = client
        .send(client.http.get(format!("{}/docs", client.url)))
        .await
        .expect(200);
    assert!(page.header("content-type").starts_with("text/html"));
    for path in json.json()["paths"].as_object().expect("paths").keys() {
        assert!(page.body.contains(path.as_str()), "{path} is not on the page");
    }
    assert!(
        !page.body.contains("<script"),
        "the page needs nothing from elsewhere"
    );
}

#[tokio::test]
async fn health_and_readiness_are_told_without_a_key() {
    let service = Service::empty(Kind::Sqlite).await;
    let client = &service.client;
    let get = async |path: &str| {
        client
            .send(client.http.get(format!("{}{path}", client.url)))
            .await
    };
    assert_eq!(get("/healthz").await.expect(200).json()["status"], "ok");
    assert_eq!(get("/readyz").await.expect(200).json()["store"], "sqlite");
    service.app.store.close().await;
    assert_eq!(
        get("/healthz").await.expect(200).json()["status"],
        "ok",
        "alive, whatever the database does"
    );
    assert_eq!(get("/readyz").await.problem(503)["retryable"], true);
}
