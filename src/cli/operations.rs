//! `amp-write operations`: follows and steers operations over HTTP, as an app would.

use std::io::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::vault::Secret;

/// The largest answer, and the longest line of a stream, in bytes.
const MAX_BYTES: usize = 64 << 20;
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(90);
/// The wait before a stream that broke is taken up again.
const RECONNECT: Duration = Duration::from_secs(1);
/// The longest text in a table, in characters.
const CELL: usize = 70;

/// What to do with operations.
#[derive(Debug, Args)]
pub(super) struct OperationsArgs {
    #[command(flatten)]
    server: ServerArgs,

    #[command(subcommand)]
    command: OperationsCommand,
}

#[derive(Debug, Args)]
struct ServerArgs {
    /// Where the server is
    #[arg(
        long,
        env = "AMP_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL",
        global = true
    )]
    url: String,

    /// The project's name or id
    #[arg(long, env = "AMP_PROJECT", value_name = "PROJECT", global = true)]
    project: Option<String>,

    /// A key of the project with the scope full
    #[arg(long, env = "AMP_API_KEY", value_name = "KEY", global = true)]
    api_key: Option<Secret>,

    /// Print JSON, as the server answers it
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum OperationsCommand {
    /// List operations, newest first
    List(ListArgs),
    /// Show an operation with its attempts
    Show(IdArgs),
    /// Print operations as they end; with an id, each change of that one until it ends
    Watch(WatchArgs),
    /// Cancel an asynchronous write that has not been sent
    Cancel(IdArgs),
    /// Let the later writes to a record run although an earlier one failed and holds them
    Release(IdArgs),
    /// Send the request of an operation again, as a new operation
    Replay(ReplayArgs),
    /// Say what became of a write that needs review
    Resolve(ResolveArgs),
}

#[derive(Debug, Args)]
struct FilterArgs {
    /// In this state: queued, succeeded, failed, cancelled or needs_review
    #[arg(long)]
    state: Option<String>,

    /// Of this object
    #[arg(long)]
    object: Option<String>,

    /// Of this customer
    #[arg(long, value_name = "REF")]
    group_ref: Option<String>,

    /// Of this integration
    #[arg(long)]
    integration: Option<String>,

    /// With this name of the app's
    #[arg(long, value_name = "REF")]
    client_ref: Option<String>,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,

    /// Only what failed and holds the later writes to its record
    #[arg(long)]
    holding: bool,

    /// Accepted at this time or later, RFC 3339
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// At most so many
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
}

#[derive(Debug, Args)]
struct IdArgs {
    /// The operation's id
    id: String,
}

#[derive(Debug, Args)]
struct WatchArgs {
    /// The operation's id; all of the project when absent
    id: Option<String>,

    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// The operation's id
    id: String,

    /// Whose rules apply
    #[arg(long, value_enum, default_value = "current")]
    mapping: MappingArg,

    /// Also when this may make a second record
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MappingArg {
    /// As they were when the operation was accepted
    Original,
    /// As they are now
    Current,
}

#[derive(Debug, Args)]
struct ResolveArgs {
    /// The operation's id
    id: String,

    /// What became of it
    #[arg(value_enum)]
    outcome: OutcomeArg,

    /// The provider's id of the record, for a create that succeeded
    #[arg(long, value_name = "ID")]
    record_id: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OutcomeArg {
    /// It was applied
    Succeeded,
    /// It was not applied
    Failed,
    /// It was not applied: send it again
    Retry,
}

pub(super) async fn run(args: OperationsArgs) -> Result<(), String> {
    let server = Server::new(&args.server)?;
    let json = args.server.json;
    match args.command {
        OperationsCommand::List(list_args) => list(&server, &list_args, json).await,
        OperationsCommand::Show(IdArgs { id }) => {
            let operation = server.get(&operation_path(&id)).await?;
            show(&operation, json)
        }
        OperationsCommand::Watch(watch_args) => watch(&server, &watch_args, json).await,
        OperationsCommand::Cancel(IdArgs { id }) => {
            let path = format!("{}:cancel", operation_path(&id));
            let operation = server.call(Method::POST, &path, None).await?;
            show(&operation, json)
        }
        OperationsCommand::Release(IdArgs { id }) => {
            let path = format!("{}:release", operation_path(&id));
            let operation = server.call(Method::POST, &path, None).await?;
            show(&operation, json)
        }
        OperationsCommand::Replay(ReplayArgs { id, mapping, force }) => {
            let mapping = match mapping {
                MappingArg::Original => "original",
                MappingArg::Current => "current",
            };
            let path = format!("{}:replay", operation_path(&id));
            let body = json!({"mapping": mapping, "force": force});
            let answer = server.call(Method::POST, &path, Some(body)).await?;
            if json {
                return print_json(&answer);
            }
            out(&format!(
                "accepted as {}\n",
                answer["operationId"].as_str().unwrap_or_default()
            ))
        }
        OperationsCommand::Resolve(ResolveArgs {
            id,
            outcome,
            record_id,
        }) => {
            let outcome = match outcome {
                OutcomeArg::Succeeded => "succeeded",
                OutcomeArg::Failed => "failed",
                OutcomeArg::Retry => "retry",
            };
            let mut body = json!({"outcome": outcome});
            if let Some(record_id) = record_id {
                body["recordId"] = Value::String(record_id);
            }
            let path = format!("{}:resolve", operation_path(&id));
            let operation = server.call(Method::POST, &path, Some(body)).await?;
            show(&operation, json)
        }
    }
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn operation_path(id: &str) -> String {
    format!("/operations/{}", escape(id))
}

/// The server, as a client sees it.
struct Server {
    http: reqwest::Client,
    base: String,
    key: Secret,
}

impl Server {
    #[expect(
        clippy::disallowed_methods,
        reason = "the command line calls the operator's own server, not a provider"
    )]
    fn new(args: &ServerArgs) -> Result<Self, String> {
        let project = args
            .project
            .as_deref()
            .ok_or("which project? Give --project or AMP_PROJECT")?;
        let key = args
            .api_key
            .clone()
            .ok_or("no API key: give --api-key or AMP_API_KEY")?;
        // Fails only when a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("amp-write/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .build()
            .map_err(|error| format!("the HTTP client cannot be built: {error}"))?;
        let base = format!(
            "{}/v1/projects/{}",
            args.url.trim_end_matches('/'),
            escape(project)
        );
        Ok(Self { http, base, key })
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base))
            .header("x-api-key", self.key.expose())
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        self.call(Method::GET, path, None).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, String> {
        let mut request = self.request(method, path).timeout(TIMEOUT);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let response = request.send().await.map_err(|error| unreachable(&error))?;
        read(response).await
    }
}

/// Reads an answer; one that is no success is an error that says why.
async fn read(mut response: reqwest::Response) -> Result<Value, String> {
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err("the answer is too large".to_owned());
        }
        body.extend_from_slice(&chunk);
    }
    let value: Value = serde_json::from_slice(&body)
        .map_err(|_| format!("the server answered {status} and no JSON: is it amp-write?"))?;
    if status.is_success() {
        return Ok(value);
    }
    let mut text = format!(
        "{}: {}",
        status.as_u16(),
        value["detail"].as_str().unwrap_or("refused")
    );
    if let Some(remedy) = value["remedy"].as_str() {
        text.push_str("\n  ");
        text.push_str(remedy);
    }
    Err(text)
}

fn unreachable(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    format!("the server cannot be reached: {innermost}. See --url")
}

/// Prints; a reader that has seen enough, as `head` does, is no error.
fn out(text: &str) -> Result<(), String> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| error.to_string()),
    }
}

fn print_json(value: &Value) -> Result<(), String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    out(&(text + "\n"))
}

fn query(filter: &FilterArgs) -> String {
    let mut query = String::new();
    for (name, value) in [
        ("state", &filter.state),
        ("object", &filter.object),
        ("groupRef", &filter.group_ref),
        ("integration", &filter.integration),
        ("clientRef", &filter.client_ref),
    ] {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={}", escape(value)));
        }
    }
    query
}

async fn list(server: &Server, args: &ListArgs, json: bool) -> Result<(), String> {
    let mut filter = query(&args.filter);
    if let Some(since) = &args.since {
        filter.push_str(&format!("&since={}", escape(since)));
    }
    if args.holding {
        filter.push_str("&holdsRecord=true");
    }
    let mut found: Vec<Value> = Vec::new();
    let mut token = String::new();
    while found.len() < args.limit {
        let size = (args.limit - found.len()).min(1_000);
        let page = server
            .get(&format!("/operations?pageSize={size}&pageToken={token}{filter}"))
            .await?;
        found.extend(page["results"].as_array().cloned().unwrap_or_default());
        match page["pagination"]["nextPageToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    if json {
        return print_json(&Value::Array(found));
    }
    if found.is_empty() {
        return out("no operations\n");
    }
    let rows: Vec<[String; 6]> = found.iter().map(row).collect();
    out(&table(
        ["ID", "STATE", "ACTION", "OBJECT", "ACCEPTED", "RESULT"],
        &rows,
    ))
}

fn text(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    // What a provider says must not steer the terminal.
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if clean.chars().count() <= CELL {
        return clean;
    }
    clean.chars().take(CELL - 1).chain(['…']).collect()
}

fn row(operation: &Value) -> [String; 6] {
    let meta = &operation["metadata"];
    [
        text(&operation["id"]),
        match meta["holdsRecord"] == true {
            true => format!("{}, holds its record", text(&meta["state"])),
            false => text(&meta["state"]),
        },
        text(&meta["action"]),
        text(&operation["resource"]),
        // To the second.
        text(&operation["createTime"])
            .chars()
            .take(19)
            .collect::<String>()
            + "Z",
        text(&operation["result"]),
    ]
}

/// Columns as wide as their widest cell.
fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(head.to_vec());
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

fn show(operation: &Value, json: bool) -> Result<(), String> {
    if json {
        return print_json(operation);
    }
    let meta = &operation["metadata"];
    let mut lines = String::new();
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push_str(&format!("{name:<14}{value}\n"));
        }
    };
    fact("id", text(&operation["id"]));
    let waiting = text(&meta["waitingOn"]);
    let state = text(&meta["state"]);
    fact(
        "state",
        if waiting.is_empty() {
            state
        } else {
            format!("{state}, waiting for: {}", waiting.replace('_', " "))
        },
    );
    fact("held behind", text(&meta["heldBy"]));
    if meta["holdsRecord"] == true {
        fact(
            "holds",
            "later writes to its record: replay, resolve or release it".to_owned(),
        );
    }
    fact("result", text(&operation["result"]));
    fact(
        "write",
        format!(
            "{} {} ({})",
            text(&meta["action"]),
            text(&operation["resource"]),
            text(&meta["mode"])
        ),
    );
    let records = meta["records"].as_array().map(Vec::as_slice).unwrap_or_default();
    if let [record] = records {
        fact("client ref", text(&record["clientRef"]));
        fact("record id", text(&record["recordId"]));
    }
    fact("accepted", text(&operation["createTime"]));
    fact("updated", text(&operation["updateTime"]));
    fact("next attempt", text(&meta["nextAttemptTime"]));
    fact("deadline", text(&meta["deadline"]));
    fact("replay of", text(&meta["replayOf"]));
    for replay in meta["replayedAs"].as_array().into_iter().flatten() {
        fact("replayed as", text(replay));
    }
    // Those of a batch stand beside its records.
    for error in meta["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|_| records.len() < 2)
    {
        fact("error", text(error));
    }
    if records.len() > 1 {
        lines.push('\n');
        let rows: Vec<[String; 5]> = records.iter().map(record_row).collect();
        lines.push_str(&table(["RECORD", "STATE", "ID", "CLIENT REF", "ERROR"], &rows));
    }
    let attempts: Vec<[String; 5]> = meta["attempts"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|attempt| {
            [
                text(&attempt["time"]),
                attempt["status"]
                    .as_i64()
                    .map_or_else(String::new, |status| status.to_string()),
                attempt["class"]
                    .as_str()
                    .map_or_else(|| text(&attempt["state"]), str::to_owned),
                attempt["latencyMs"]
                    .as_i64()
                    .map_or_else(String::new, |latency| format!("{latency} ms")),
                text(&attempt["message"]),
            ]
        })
        .collect();
    if !attempts.is_empty() {
        lines.push('\n');
        lines.push_str(&table(
            ["ATTEMPT", "STATUS", "CLASS", "LATENCY", "MESSAGE"],
            &attempts,
        ));
    }
    out(&lines)
}

/// A record of a batch.
fn record_row(record: &Value) -> [String; 5] {
    [
        record["index"]
            .as_u64()
            .map_or_else(String::new, |index| index.to_string()),
        text(&record["state"]),
        text(&record["recordId"]),
        text(&record["clientRef"]),
        text(&record["errors"][0]),
    ]
}

async fn watch(server: &Server, args: &WatchArgs, json: bool) -> Result<(), String> {
    let mut filter = query(&args.filter);
    if let Some(id) = &args.id {
        filter.push_str(&format!("&operationId={}", escape(id)));
    }
    let path = format!("/operations:watch?{}", filter.trim_start_matches('&'));
    let mut last_id: Option<String> = None;
    loop {
        let mut request = server.request(Method::GET, &path);
        if let Some(last_id) = &last_id {
            request = request.header("last-event-id", last_id);
        }
        match request.send().await {
            Ok(response) if response.status().is_success() => {
                let ended = follow(response, &mut last_id, args.id.is_some(), json).await?;
                if ended {
                    return Ok(());
                }
            }
            // A refusal says why; only a server that is not ready now is asked again.
            Ok(response) if response.status() != 503 || last_id.is_none() => {
                return read(response).await.map(drop);
            }
            Err(error) if last_id.is_none() => return Err(unreachable(&error)),
            Ok(_) | Err(_) => {}
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

/// Prints the events of a stream until it breaks. True when the one operation that is watched has ended.
async fn follow(
    mut response: reqwest::Response,
    last_id: &mut Option<String>,
    of_one: bool,
    json: bool,
) -> Result<bool, String> {
    let mut buffer: Vec<u8> = Vec::new();
    let mut is_operation = false;
    while let Ok(Some(chunk)) = response.chunk().await {
        buffer.extend_from_slice(&chunk);
        if buffer.len() > MAX_BYTES {
            return Err("a line of the stream is too long".to_owned());
        }
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            match line.trim_end().split_once(':') {
                Some(("id", id)) => *last_id = Some(id.trim().to_owned()),
                Some(("event", name)) => is_operation = name.trim() == "operation",
                Some(("data", data)) if is_operation => {
                    let operation: Value =
                        serde_json::from_str(data).map_err(|_| "an event holds no JSON".to_owned())?;
                    print_event(&operation, json)?;
                    if of_one && operation["status"] != "in_progress" {
                        return Ok(true);
                    }
                }
                _ => {}
            }
        }
    }
    Ok(false)
}

fn print_event(operation: &Value, json: bool) -> Result<(), String> {
    if json {
        return out(&format!("{operation}\n"));
    }
    let [id, state, action, object, ..] = row(operation);
    let waiting = text(&operation["metadata"]["waitingOn"]).replace('_', " ");
    let more = if waiting.is_empty() {
        text(&operation["result"])
    } else {
        format!("waiting for: {waiting}")
    };
    let time: String = text(&operation["updateTime"]).chars().take(19).collect();
    out(&format!(
        "{time}Z  {id}  {state:<12}  {action} {object}  {more}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up_and_a_providers_text_cannot_steer_the_terminal() {
        let operation = json!({"id": "7", "createTime": "2026-01-31T12:00:00.000000Z", "resource": "contacts",
            "result": "bad\u{1b}[2J\nthing", "metadata": {"state": "failed", "action": "create"}});
        let text = table(["A", "B", "C", "D", "E", "F"], &[row(&operation)]);
        assert_eq!(
            text,
            "A  B       C       D         E                     F\n\
             7  failed  create  contacts  2026-01-31T12:00:00Z  bad [2J thing\n"
        );
    }
}
