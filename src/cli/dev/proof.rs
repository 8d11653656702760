//! Three writes, each shown as the app sent it, as the provider got it, and as it was answered.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::demo::{Demo, DemoIntegration};
use crate::cli::remote::SERVER;
use crate::outbound::{Outbound, OutboundOptions, WireRequest};
use crate::sandbox::Sandbox;

/// How long an asynchronous write may take before the proof has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The app's side: it talks to the service as a user's backend would.
struct AppSide<'a> {
    demo: &'a Demo,
    http: Outbound,
}

/// Proves the service and prints how to go on.
pub(super) async fn show(demo: &Demo, sandbox: &Sandbox, folder: &Path) -> Result<(), String> {
    let http = Outbound::new(OutboundOptions {
        timeout: Duration::from_secs(30),
        max_response_bytes: 1 << 20,
        trusted_urls: [(SERVER.to_owned(), demo.url.clone())].into(),
    })?;
    let app = AppSide { demo, http };
    let find = |provider: &str| {
        demo.integrations
            .iter()
            .find(|integration| integration.provider == provider)
    };
    let (Some(hubspot), Some(salesforce)) = (find("hubspot"), find("salesforce")) else {
        println!(
            "The manifest has no integration for both hubspot and salesforce, so the three example writes are left out."
        );
        print_facts(demo, folder);
        return Ok(());
    };
    println!();
    println!("amp-write is up. Three writes to prove it, against simulated providers on this machine:");

    let number = sandbox.ledger().len();
    let email = format!("ada.{number}@example.com");
    let create = json!({
        "groupRef": hubspot.group_ref, "type": "create",
        "record": { "email": email, "firstname": "Ada", "phone": "+44 20 7946 0000" }
    });
    let answer = app
        .write("1. a synchronous create", hubspot, "contacts", &create, sandbox)
        .await?;
    let id = answer["result"]["recordId"]
        .as_str()
        .ok_or("the create answered no recordId")?
        .to_owned();

    let update = json!({
        "groupRef": hubspot.group_ref, "type": "update",
        "record": { "id": id, "lastname": "Lovelace" }
    });
    app.write("2. a synchronous update", hubspot, "contacts", &update, sandbox)
        .await?;

    let create = json!({
        "groupRef": salesforce.group_ref, "type": "create", "mode": "asynchronous",
        "record": { "LastName": "Hopper", "Company": "Navy" }
    });
    let before = sandbox.ledger().len();
    let answer = app
        .write(
            "3. an asynchronous create, polled until it is done",
            salesforce,
            "lead",
            &create,
            sandbox,
        )
        .await?;
    let operation = answer["operationId"]
        .as_str()
        .ok_or("the write answered no operationId")?;
    let path = format!("/v1/projects/{}/operations/{operation}", demo.project);
    let done = app.poll(&path).await?;
    print_provider_side(sandbox, before);
    println!("   answer   GET {path}");
    println!("            {}", pretty(&done));
    if done["status"] != "success" {
        return Err(format!(
            "the asynchronous write ended as {}: {}",
            done["status"], done["result"]
        ));
    }
    print_facts(demo, folder);
    print_curl(demo, hubspot, salesforce);
    Ok(())
}

impl AppSide<'_> {
    async fn call(
        &self,
        method: http::Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value), String> {
        let mut headers = http::HeaderMap::new();
        headers.insert(
            "x-api-key",
            self.demo
                .api_key
                .parse()
                .map_err(|_| "the API key is no header value")?,
        );
        headers.insert("content-type", http::HeaderValue::from_static("application/json"));
        let request = WireRequest {
            provider: SERVER.to_owned(),
            method,
            url: format!("{}{path}", self.demo.url),
            headers,
            body: body.map(|body| body.to_string().into_bytes()),
        };
        let response = self.http.send(request).await.map_err(|error| error.to_string())?;
        Ok((
            response.status,
            serde_json::from_slice(&response.body).unwrap_or_default(),
        ))
    }

    async fn write(
        &self,
        title: &str,
        integration: &DemoIntegration,
        object: &str,
        body: &Value,
        sandbox: &Sandbox,
    ) -> Result<Value, String> {
        let path = format!(
            "/v1/projects/{}/integrations/{}/objects/{object}",
            self.demo.project, integration.name
        );
        let before = sandbox.ledger().len();
        let (status, answer) = self.call(http::Method::POST, &path, Some(body)).await?;
        println!();
        println!("{title}");
        println!("   app      POST {path}");
        println!("            {body}");
        if body["mode"] != "asynchronous" {
            print_provider_side(sandbox, before);
        }
        println!("   answer   {status} {}", pretty(&answer));
        if status == 200 {
            Ok(answer)
        } else {
            Err(format!("{title} was answered with {status}: {answer}"))
        }
    }

    async fn poll(&self, path: &str) -> Result<Value, String> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let (status, answer) = self.call(http::Method::GET, path, None).await?;
            if status != 200 {
                return Err(format!(
                    "polling the operation was answered with {status}: {answer}"
                ));
            }
            if answer["status"] != "in_progress" {
                return Ok(answer);
            }
            if tokio::time::Instant::now() > deadline {
                return Err(format!(
                    "the operation is not done after {} s",
                    PATIENCE.as_secs()
                ));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// What reached the provider since.
fn print_provider_side(sandbox: &Sandbox, since: usize) {
    for entry in sandbox.ledger().into_iter().skip(since) {
        println!("   provider {} {}", entry.method, entry.path);
        if !entry.body.is_empty() {
            println!("            {}", entry.body);
        }
    }
}

fn pretty(value: &Value) -> String {
    value.to_string()
}

fn print_facts(demo: &Demo, folder: &Path) {
    println!();
    println!(
        "API        {}          (description: {}/docs)",
        demo.url, demo.url
    );
    println!("API key    {}", demo.api_key);
    println!("project    {}", demo.project);
    for integration in &demo.integrations {
        println!(
            "           {} → {}, installed for group {}",
            integration.name, integration.provider, integration.group_ref
        );
    }
    println!(
        "sandbox    {}/_sandbox/ledger shows every request that reached a provider",
        demo.sandbox_url
    );
    println!("facts      {}", folder.join("demo.json").display());
}

fn print_curl(demo: &Demo, hubspot: &DemoIntegration, salesforce: &DemoIntegration) {
    let line = |integration: &DemoIntegration, object: &str, body: Value| {
        println!();
        println!(
            "curl -sS {}/v1/projects/{}/integrations/{}/objects/{object} \\\n  -H 'X-Api-Key: {}' -H 'Content-Type: application/json' \\\n  -d '{body}'",
            demo.url, demo.project, integration.name, demo.api_key
        );
    };
    println!();
    println!("Try it yourself:");
    line(
        hubspot,
        "companies",
        json!({"groupRef": hubspot.group_ref, "type": "create", "record": {"name": "Analytical Engines", "numberofemployees": 3}}),
    );
    line(
        salesforce,
        "contact",
        json!({"groupRef": salesforce.group_ref, "type": "create", "mode": "asynchronous", "record": {"LastName": "Lamarr", "Email": "hedy@example.com"}}),
    );
    println!();
    println!(
        "curl -sS '{}/v1/projects/{}/integrations/{}/installations/{}/operations?pageSize=5' -H 'X-Api-Key: {}'",
        demo.url, demo.project, salesforce.name, salesforce.installation_id, demo.api_key
    );
    println!();
    println!("Connect a customer of your own: this prints a link, which a browser on this machine opens:");
    println!();
    println!(
        "curl -sS {}/v1/oauth-connect -H 'X-Api-Key: {}' -H 'Content-Type: application/json' \\\n  -d '{}'",
        demo.url,
        demo.api_key,
        json!({"projectIdOrName": demo.project, "provider": "hubspot", "groupRef": "new-customer", "consumerRef": "new-user"})
    );
    println!();
    println!("Once they have agreed, install for them and write:");
    println!();
    println!(
        "curl -sS {}/v1/projects/{}/integrations/{}/installations -H 'X-Api-Key: {}' -H 'Content-Type: application/json' \\\n  -d '{}'",
        demo.url,
        demo.project,
        hubspot.name,
        demo.api_key,
        json!({"groupRef": "new-customer", "config": {"content": {"provider": "hubspot"}}})
    );
    line(
        hubspot,
        "contacts",
        json!({"groupRef": "new-customer", "type": "create", "record": {"email": "grace@example.com"}}),
    );
    println!();
    println!("Ctrl-C stops it. The next start finds its data again.");
}
