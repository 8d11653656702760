//! Refreshing: once over all nodes, stored before it is used, and survived.

use std::sync::Arc;

use amp_write::sandbox::{FaultKind, FaultSpec, Provider};
use serde_json::json;

use super::*;
use crate::harness::on_both_stores;

on_both_stores!(
    an_ended_token_is_refreshed_once_and_the_write_arrives,
    a_token_answer_that_is_lost_is_asked_for_again_with_the_same_token,
    a_lost_answer_without_grace_ends_in_the_right_words,
    an_app_that_is_refused_holds_what_waits_and_blames_no_customer,
    a_new_secret_may_be_set_before_the_provider_knows_it,
    a_failing_token_endpoint_delays_and_kills_nothing,
);

/// All access tokens that were given until now have ended.
pub async fn end_tokens(service: &Service) {
    let body = json!({"advance_ms": 3 * 3600 * 1000});
    service
        .sandbox
        .control(http::Method::POST, "/clock", &body)
        .await
        .expect("the clock");
}

async fn an_ended_token_is_refreshed_once_and_the_write_arrives(kind: Kind) {
    for rotate in [false, true] {
        let service = service_with(kind, |app| app.rotate = rotate, |_| {}).await;
        for provider in [Provider::HubSpot, Provider::Salesforce] {
            let id = installed(&service, provider).await;
            write(&service, provider, 0).await.expect(200);
            for round in 1..4 {
                end_tokens(&service).await;
                write(&service, provider, round).await.expect(200);
                let accepted = accept(&service, provider, 10 + round).await;
                assert_eq!(service.client.ended(&accepted).await["status"], "success");
            }
            assert_eq!(status(&service, &id).await, "working");
        }
        assert_eq!(refreshes(&service.sandbox).len(), 6);
        assert_eq!(service.sandbox.token_audit(), []);
    }
}

#[tokio::test]
async fn two_hundred_writes_over_three_nodes_refresh_once() {
    let service = service_with(Kind::Postgres, |app| app.rotate = true, |_| {}).await;
    installed(&service, Provider::Salesforce).await;
    write(&service, Provider::Salesforce, 0).await.expect(200);
    let (two, three) = (service.another().await, service.another().await);
    for client in [&two.client, &three.client] {
        let body = json!({"groupRef": GROUP, "type": "create", "record": {"LastName": "warm"}});
        client.write("sf", "contact", body).await.expect(200);
    }
    end_tokens(&service).await;
    // The answer takes longer than anybody would wait for a lock.
    let mut slow = FaultSpec::new(FaultKind::Delay).action("token");
    slow.delay_ms = Some(1_500);
    service.sandbox.fault(slow).expect("a fault");
    let clients = [service.client.clone(), two.client.clone(), three.client.clone()];
    let writes = (0..200_usize).map(|n| {
        let client = clients[n % 3].clone();
        tokio::spawn(async move {
            let mode = if n % 4 == 0 { "asynchronous" } else { "synchronous" };
            let body = json!({"groupRef": GROUP, "type": "create", "mode": mode, "record": {"LastName": format!("N{n}")}});
            let answer = client.write("sf", "contact", body).await.expect(200).json();
            if mode == "asynchronous" {
                let ended = client.ended(answer["operationId"].as_str().unwrap()).await;
                assert_eq!(ended["status"], "success", "{ended}");
            }
        })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.expect("it succeeds");
    }
    assert_eq!(refreshes(&service.sandbox).len(), 1);
    assert_eq!(service.sandbox.token_audit(), []);
}

async fn a_token_answer_that_is_lost_is_asked_for_again_with_the_same_token(kind: Kind) {
    let service = service(kind).await;
    let id = installed(&service, Provider::Salesforce).await;
    end_tokens(&service).await;
    let mut fault = FaultSpec::new(FaultKind::RotateThenDrop).action("token").times(1);
    fault.seconds = Some(30);
    service.sandbox.fault(fault).expect("a fault");
    write(&service, Provider::Salesforce, 1).await.expect(200);
    let uses = refreshes(&service.sandbox);
    assert_eq!(uses.len(), 2);
    assert_eq!(uses[0].token, uses[1].token);
    assert_eq!(status(&service, &id).await, "working");
}

async fn a_lost_answer_without_grace_ends_in_the_right_words(kind: Kind) {
    let service = service(kind).await;
    let id = installed(&service, Provider::Salesforce).await;
    end_tokens(&service).await;
    let fault = FaultSpec::new(FaultKind::RotateThenDrop).action("token").times(1);
    service.sandbox.fault(fault).expect("a fault");
    let failed = write(&service, Provider::Salesforce, 1).await.problem(424);
    assert!(failed.to_string().contains("was lost"), "{failed}");
    assert_eq!(status(&service, &id).await, "bad_credentials");
}

async fn an_app_that_is_refused_holds_what_waits_and_blames_no_customer(kind: Kind) {
    let service = service(kind).await;
    let id = installed(&service, Provider::HubSpot).await;
    write(&service, Provider::HubSpot, 0).await.expect(200);
    end_tokens(&service).await;
    // Somebody has changed the secret at the provider.
    super::register(&service.sandbox, Provider::HubSpot, &|app| {
        app.client_secret = "secret-2".to_owned()
    });
    let failed = write(&service, Provider::HubSpot, 1).await;
    assert!(failed.status == 502 || failed.status == 503, "{}", failed.body);
    assert!(failed.body.contains("provider app"), "{}", failed.body);
    let waiting = accept(&service, Provider::HubSpot, 2).await;
    assert_eq!(status(&service, &id).await, "working");
    let apps = service.client.get("/provider-apps").await.expect(200).json();
    let app = apps
        .as_array()
        .unwrap()
        .iter()
        .find(|app| app["provider"] == "hubspot")
        .unwrap();
    assert!(app["fault"].is_string(), "{app}");

    let patch = json!({"updateMask": ["clientSecret"], "providerApp": {"clientSecret": "secret-2"}});
    let path = format!("/provider-apps/{}", app["id"].as_str().unwrap());
    let changed = service.client.patch(&path, patch).await.expect(200).json();
    assert!(changed.get("fault").is_none(), "{changed}");
    assert_eq!(service.client.ended(&waiting).await["status"], "success");
}

async fn a_new_secret_may_be_set_before_the_provider_knows_it(kind: Kind) {
    let service = service(kind).await;
    installed(&service, Provider::HubSpot).await;
    let apps = service.client.get("/provider-apps").await.expect(200).json();
    let app = apps
        .as_array()
        .unwrap()
        .iter()
        .find(|app| app["provider"] == "hubspot")
        .unwrap();
    let patch = json!({"updateMask": ["clientSecret"], "providerApp": {"clientSecret": "secret-2"}});
    let path = format!("/provider-apps/{}", app["id"].as_str().unwrap());
    service.client.patch(&path, patch).await.expect(200);
    end_tokens(&service).await;
    write(&service, Provider::HubSpot, 1).await.expect(200);
    super::register(&service.sandbox, Provider::HubSpot, &|app| {
        app.client_secret = "secret-2".to_owned()
    });
    end_tokens(&service).await;
    write(&service, Provider::HubSpot, 2).await.expect(200);
}

async fn a_failing_token_endpoint_delays_and_kills_nothing(kind: Kind) {
    let service = service(kind).await;
    let id = installed(&service, Provider::HubSpot).await;
    end_tokens(&service).await;
    service
        .sandbox
        .fault(FaultSpec::new(FaultKind::ServerError).action("token").times(3))
        .expect("a fault");
    write(&service, Provider::HubSpot, 1).await.expect(200);
    assert_eq!(refreshes(&service.sandbox).len(), 4);
    assert_eq!(status(&service, &id).await, "working");
}

#[tokio::test]
async fn what_is_due_is_refreshed_before_anybody_needs_it() {
    let service = service(Kind::Sqlite).await;
    for n in 0..20 {
        connect(&service, Provider::HubSpot, &format!("g{n}"), "acme").await;
    }
    assert!(refreshes(&service.sandbox).is_empty());
    service
        .database
        .execute("UPDATE grants SET refresh_time = refresh_time - 2000000000")
        .await;
    let sandbox = Arc::new(service.sandbox.clone());
    while refreshes(&sandbox).len() < 20 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(refreshes(&service.sandbox).len(), 20);
}

#[tokio::test]
async fn a_process_that_dies_while_it_refreshes_is_replaced_when_its_lease_ends() {
    let service = service_with(Kind::Postgres, |app| app.rotate = true, |_| {}).await;
    let id = installed(&service, Provider::Salesforce).await;
    end_tokens(&service).await;
    // As a process leaves it that dies right after it has announced its refresh.
    service
        .database
        .execute(&format!(
            "UPDATE grants SET owner = '{}', epoch = epoch + 1, owner_until = now() + interval '2 seconds', sent_time = now() WHERE connection_id = '{id}'",
            uuid::Uuid::from_u128(7)
        ))
        .await;
    write(&service, Provider::Salesforce, 1).await.expect(200);
    assert_eq!(refreshes(&service.sandbox).len(), 1);
}
