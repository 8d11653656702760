//! What a customer's account says about its objects, and the ways to deploy.

use std::io::Write as _;

use http::Method;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use crate::harness::service::{GROUP, PLAIN};
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    fields_are_read_from_the_account_by_either_name,
    fields_are_remembered_until_asked_again,
    what_the_account_does_not_say_is_a_clear_problem,
    a_revision_is_hydrated_with_the_account_s_fields,
    a_manifest_is_uploaded_as_a_zip_and_deployed,
    only_a_manifest_at_the_top_of_a_zip_is_deployed,
    an_upload_url_is_good_for_its_own_content_only,
    no_url_but_our_own_is_read,
    an_integration_is_made_from_json,
    a_revision_of_one_integration_leaves_the_others_alone,
);

const MAPPED: &str = r"
specVersion: 1.0.0
integrations:
  - name: hs
    provider: hubspot
    read:
      objects:
        - objectName: contacts
          mapToName: people
          destination: d
          schedule: '0 * * * *'
          requiredFields: [{fieldName: mobilephone, mapToName: cell}]
          optionalFields: [{mapToName: notes}]
        - {objectName: martians, destination: d, schedule: '0 * * * *'}
    write: {objects: [{objectName: contacts, inheritMapping: true}, {objectName: companies}]}
  - name: sf
    provider: salesforce
    write: {objects: [{objectName: Contact}]}
";

async fn field_reads(service: &Service) -> usize {
    let reached = service.reached();
    reached
        .iter()
        .filter(|(_, path, _)| path.contains("/properties/") || path.ends_with("/describe"))
        .count()
}

async fn mapped(kind: Kind) -> Service {
    let service = Service::empty(kind).await;
    service.set_up(MAPPED).await;
    service
}

async fn fields_are_read_from_the_account_by_either_name(kind: Kind) {
    let service = mapped(kind).await;
    for object in ["people", "contacts"] {
        let path = format!("/integrations/hs/objects/{object}/metadata?groupRef={GROUP}");
        let answer = service.client.get(&path).await.expect(200).json();
        assert_eq!(answer["name"], "contacts");
        assert_eq!(answer["mappedObjectName"], "people");
        let stage = &answer["fields"]["lifecyclestage"];
        assert_eq!(stage["fieldName"], "lifecyclestage");
        assert_eq!(stage["valueType"], "singleSelect");
        assert_eq!(stage["readOnly"], false);
        assert!(
            stage["values"]
                .as_array()
                .unwrap()
                .iter()
                .any(|value| value["value"] == "lead")
        );
        assert_eq!(answer["fields"]["hs_object_id"]["readOnly"], true);
        let writable = service
            .client
            .get(&format!("{path}&excludeReadOnly=true"))
            .await
            .expect(200)
            .json();
        assert!(writable["fields"].get("hs_object_id").is_none());
        assert!(writable["fields"].get("email").is_some());
        assert!(!answer.to_string().contains("null"), "{answer}");
    }
    let path = format!("/providers/salesforce/objects/Contact/metadata?groupRef={GROUP}");
    let answer = service.client.get(&path).await.expect(200).json();
    assert_eq!(answer["displayName"], "Contact");
    assert_eq!(answer["fields"]["lastname"]["isRequired"], true);
    assert_eq!(answer["fields"]["accountid"]["valueType"], "reference");
    assert_eq!(answer["fields"]["accountid"]["referenceTo"], json!(["Account"]));
    assert_eq!(answer["fields"]["id"]["readOnly"], true);
}

async fn fields_are_remembered_until_asked_again(kind: Kind) {
    let service = mapped(kind).await;
    let path = format!("/integrations/sf/objects/Contact/metadata?groupRef={GROUP}");
    let first = service.client.get(&path).await.expect(200);
    assert_eq!(first.header("age"), "0");
    service.client.get(&path).await.expect(200);
    assert_eq!(field_reads(&service).await, 1);
    let request = service.client.request(Method::GET, &service.client.path(&path));
    service
        .client
        .send(request.header("cache-control", "no-cache"))
        .await
        .expect(200);
    assert_eq!(field_reads(&service).await, 2);
    // Another customer's account is another one.
    service.connect("other", "salesforce", "test-other").await;
    let other = "/providers/salesforce/objects/Contact/metadata?groupRef=other";
    service.client.get(other).await.expect(200);
    assert_eq!(field_reads(&service).await, 3);
}

async fn what_the_account_does_not_say_is_a_clear_problem(kind: Kind) {
    let service = mapped(kind).await;
    let get = async |rest: &str, status: u16| service.client.get(rest).await.problem(status);
    get("/integrations/hs/objects/people/metadata", 400).await;
    get("/integrations/hs/objects/people/metadata?groupRef=nobody", 404).await;
    let unknown = get(
        &format!("/integrations/hs/objects/martians/metadata?groupRef={GROUP}"),
        404,
    )
    .await;
    assert!(
        unknown["detail"]
            .as_str()
            .unwrap()
            .starts_with("error describing martians"),
        "{unknown}"
    );
    get(
        "/providers/hubspot/objects/contacts/metadata?groupRef=nobody",
        404,
    )
    .await;
    service.connect("dead", "hubspot", "not-a-token").await;
    get("/providers/hubspot/objects/contacts/metadata?groupRef=dead", 424).await;
    let body = json!({"provider": "stripe", "groupRef": "money", "consumerRef": "c", "apiKey": "sk_1"});
    let made = service.client.post("/connections:generate", body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let refused = get("/providers/stripe/objects/customers/metadata?groupRef=money", 400).await;
    assert!(refused["remedy"].as_str().unwrap().contains("HubSpot"));
}

async fn a_revision_is_hydrated_with_the_account_s_fields(kind: Kind) {
    let service = mapped(kind).await;
    let integration = service.client.get("/integrations/hs").await.expect(200).json();
    let revision = integration["latestRevision"]["id"].as_str().unwrap();
    let connections = service
        .client
        .get("/connections?provider=hubspot")
        .await
        .expect(200)
        .json();
    let connection = connections[0]["id"].as_str().unwrap();
    let path = format!("/integrations/hs/revisions/{revision}:hydrate?connectionId={connection}");
    let hydrated = service.client.get(&path).await.expect(200).json();
    assert_eq!(hydrated["id"], revision);
    assert_eq!(hydrated["specVersion"], "1.0.0");
    let contacts = &hydrated["content"]["read"]["objects"][0];
    assert_eq!(contacts["objectName"], "contacts");
    assert!(contacts["displayName"].is_string());
    assert_eq!(contacts["schedule"], "0 * * * *");
    assert_eq!(contacts["allFieldsMetadata"]["email"]["fieldName"], "email");
    assert_eq!(contacts["requiredFields"][0]["mapToName"], "cell");
    assert!(contacts["requiredFields"][0]["displayName"].is_string());
    assert_eq!(contacts["optionalFields"][0], json!({"mapToName": "notes"}));
    // What is wrong with one object is told there, and does not spoil the rest.
    let martians = &hydrated["content"]["read"]["objects"][1];
    assert!(
        martians["error"].as_str().unwrap().contains("martians"),
        "{martians}"
    );
    assert!(martians.get("allFieldsMetadata").is_none());
    assert!(hydrated["content"]["write"]["objects"][1]["displayName"].is_string());
    let wrong = format!("/integrations/sf/revisions/{revision}:hydrate?connectionId={connection}");
    service.client.get(&wrong).await.problem(404);
    let no_connection = format!("/integrations/hs/revisions/{revision}:hydrate");
    service.client.get(&no_connection).await.problem(400);
    service
        .client
        .get(&format!("/integrations/hs/revisions/{revision}"))
        .await
        .problem(404);
}

fn zipped(manifest: &str) -> Vec<u8> {
    zip_of(&[("amp.yaml", manifest)])
}

fn zip_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        writer
            .start_file(*name, zip::write::SimpleFileOptions::default())
            .unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn md5(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(Md5::digest(bytes))
}

async fn upload_url(service: &Service, md5: &str) -> Value {
    let md5 = percent_encoding::utf8_percent_encode(md5, percent_encoding::NON_ALPHANUMERIC);
    let path = format!("/v1/generate-upload-url?md5={md5}");
    service
        .client
        .send(service.client.request(Method::GET, &path))
        .await
        .expect(200)
        .json()
}

async fn put(service: &Service, url: &str, content: &[u8]) -> u16 {
    // As a signed URL is used: without any key.
    let request = service.client.http.put(url).header("content-md5", md5(content));
    let request = request
        .header("content-type", "application/zip")
        .body(content.to_vec());
    service.client.send(request).await.status
}

async fn a_manifest_is_uploaded_as_a_zip_and_deployed(kind: Kind) {
    let service = Service::empty(kind).await;
    let zip = zipped(PLAIN);
    let place = upload_url(&service, &md5(&zip)).await;
    assert_eq!(put(&service, place["url"].as_str().unwrap(), &zip).await, 200);
    let url = format!(
        "gs://{}/{}",
        place["bucket"].as_str().unwrap(),
        place["path"].as_str().unwrap()
    );
    let deployed = service
        .client
        .put("/integrations:batch", json!({"sourceZipUrl": url}))
        .await
        .expect(200)
        .json();
    assert_eq!(deployed[0]["name"], "hs");
    let again = service
        .client
        .put("/integrations:batch", json!({"sourceZipUrl": url}))
        .await
        .expect(200)
        .json();
    assert_eq!(
        again[0]["latestRevision"]["id"],
        deployed[0]["latestRevision"]["id"]
    );
}

async fn only_a_manifest_at_the_top_of_a_zip_is_deployed(kind: Kind) {
    let service = Service::empty(kind).await;
    let deploy = async |zip: Vec<u8>| {
        let place = upload_url(&service, &md5(&zip)).await;
        assert_eq!(put(&service, place["url"].as_str().unwrap(), &zip).await, 200);
        let text = |key: &str| place[key].as_str().unwrap().to_owned();
        let url = format!("gs://{}/{}", text("bucket"), text("path"));
        service
            .client
            .put("/integrations:batch", json!({"sourceZipUrl": url}))
            .await
    };
    for name in [
        "../amp.yaml",
        "sub/amp.yaml",
        "a/b/amp.yaml",
        "/amp.yaml",
        "__MACOSX/amp.yaml",
    ] {
        let problem = deploy(zip_of(&[(name, PLAIN), ("README", "x")]))
            .await
            .problem(400);
        assert_eq!(problem["issues"][0]["name"], "sourceZipUrl");
        let detail = problem["issues"][0]["detail"].as_str().unwrap();
        assert!(detail.contains("at the top of the zip"), "{name}: {detail}");
    }
    assert_eq!(
        service.client.get("/integrations").await.expect(200).json(),
        json!([])
    );
    // As macOS makes it; others of the name beside it do not count; and a byte order mark does not matter.
    let marked = format!("\u{feff}{}", PLAIN.trim_start());
    for files in [
        &[("amp.yaml", PLAIN), ("__MACOSX/._amp.yaml", "x")][..],
        &[
            ("sub/amp.yaml", "a: 1"),
            ("../amp.yaml", "b: 2"),
            ("amp.yaml", PLAIN),
        ],
        &[("amp.yaml", &marked)],
    ] {
        let deployed = deploy(zip_of(files)).await.expect(200).json();
        assert_eq!(deployed[0]["name"], "hs");
    }
}

async fn an_upload_url_is_good_for_its_own_content_only(kind: Kind) {
    let service = Service::empty(kind).await;
    let (zip, other) = (zipped(PLAIN), zipped(MAPPED));
    let place = upload_url(&service, &md5(&zip)).await;
    let url = place["url"].as_str().unwrap();
    assert_eq!(put(&service, url, &other).await, 400);
    assert_eq!(put(&service, &format!("{url}x"), &zip).await, 403);
    assert_eq!(
        put(&service, &format!("{}AAAA", &url[..url.len() - 4]), &zip).await,
        403
    );
    let named = format!(
        "gs://{}/{}",
        place["bucket"].as_str().unwrap(),
        place["path"].as_str().unwrap()
    );
    let missing = service
        .client
        .put("/integrations:batch", json!({"sourceZipUrl": named}))
        .await
        .problem(400);
    assert!(
        missing["issues"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("not there"),
        "{missing}"
    );
    let bad = service
        .client
        .request(Method::GET, "/v1/generate-upload-url?md5=nonsense");
    service.client.send(bad).await.problem(400);
}

async fn no_url_but_our_own_is_read(kind: Kind) {
    let service = Service::empty(kind).await;
    let place = upload_url(&service, "").await;
    for url in [
        format!(
            "{}/hubspot/crm/v3/objects/contacts",
            service.sandbox.hubspot_url()
        ),
        "gs://other-bucket/x.zip".to_owned(),
        format!(
            "gs://{}/{}/x.zip",
            place["bucket"].as_str().unwrap(),
            service.app.clock.new_id()
        ),
        format!("gs://{}/../x.zip", place["bucket"].as_str().unwrap()),
    ] {
        let refused = service
            .client
            .put("/integrations:batch", json!({"sourceZipUrl": url}))
            .await
            .problem(400);
        assert_eq!(refused["issues"][0]["name"], "sourceZipUrl");
    }
    assert_eq!(service.reached().len(), 0);
    for both in [
        json!({}),
        json!({"sourceYaml": PLAIN, "sourceZipUrl": "gs://a/b"}),
    ] {
        service.client.put("/integrations:batch", both).await.problem(400);
    }
}

async fn an_integration_is_made_from_json(kind: Kind) {
    let service = Service::empty(kind).await;
    let body = |name: &str, object: Value| {
        json!({"name": name, "provider": "hubspot", "latestRevision": {"specVersion": "1.0.0",
            "content": {"name": name, "provider": "hubspot", "write": {"objects": [object]}}}})
    };
    let good = body("hs", json!({"objectName": "contacts"}));
    let made = service
        .client
        .post("/integrations", &good)
        .await
        .expect(201)
        .json();
    assert_eq!(
        made["latestRevision"]["content"]["write"]["objects"][0]["objectName"],
        "contacts"
    );
    service.client.post("/integrations", &good).await.problem(409);
    service
        .client
        .post("/integrations", body("other", json!({})))
        .await
        .problem(422);
    let mut two_names = body("third", json!({"objectName": "contacts"}));
    two_names["name"] = json!("fourth");
    service.client.post("/integrations", two_names).await.problem(400);
}

async fn a_revision_of_one_integration_leaves_the_others_alone(kind: Kind) {
    let service = Service::empty(kind).await;
    let before = service.deploy(PLAIN).await;
    let changed = PLAIN
        .replace("{objectName: deals}", "{objectName: tickets}")
        .replace("{objectName: lead}", "{objectName: case}");
    let revision = service
        .client
        .post("/integrations/hs/revisions", json!({"sourceYaml": changed}))
        .await
        .expect(201)
        .json();
    assert_ne!(revision["id"], before[0]["latestRevision"]["id"]);
    assert_eq!(
        revision["content"]["write"]["objects"][2]["objectName"],
        "tickets"
    );
    let other = service.client.get("/integrations/sf").await.expect(200).json();
    assert_eq!(other["latestRevision"]["id"], before[1]["latestRevision"]["id"]);
    service
        .client
        .post("/integrations/nope/revisions", json!({"sourceYaml": changed}))
        .await
        .problem(404);
    let renamed = PLAIN.replace("name: hs", "name: hs2");
    service
        .client
        .post("/integrations/hs/revisions", json!({"sourceYaml": renamed}))
        .await
        .problem(422);
}
