//! `amp-write write`

use std::io::Read as _;

use clap::{Args, ValueEnum};
use http::Method;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::remote::{Remote, RemoteArgs, written_out};
use crate::manifest::without_bom;

/// The largest record that is read from a file, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// What to write.
#[derive(Debug, Args)]
pub(super) struct WriteArgs {
    /// The integration, by name or id
    integration: String,

    /// The object, as the manifest names it
    object: String,

    /// The customer
    #[arg(long, value_name = "GROUP_REF")]
    group: String,

    /// What to do
    #[arg(long = "type", default_value = "create", value_enum)]
    action: ActionArg,

    /// The record as JSON, or a list of records to write as one batch; `@FILE` reads a file, `@-` standard input
    #[arg(long, value_name = "JSON")]
    record: String,

    /// Show what would be sent and why, and send nothing
    #[arg(long)]
    preview: bool,

    /// Accept it for the queue instead of waiting for the provider
    #[arg(long = "async")]
    asynchronous: bool,

    /// Refuse the record when a field of it would be dropped
    #[arg(long)]
    strict: bool,

    /// Print the server's answer as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ActionArg {
    Create,
    Update,
    Delete,
}

pub(super) async fn run(args: WriteArgs) -> Result<(), String> {
    let records = read_records(&args.record)?;
    let action = match args.action {
        ActionArg::Create => "create",
        ActionArg::Update => "update",
        ActionArg::Delete => "delete",
    };
    let mode = if args.asynchronous {
        "asynchronous"
    } else {
        "synchronous"
    };
    // The record goes as it was given, letter for letter.
    let body = Body {
        group_ref: &args.group,
        r#type: action,
        mode,
        strict: args.strict,
        record: match &records {
            Given::One(record) => Some(record),
            Given::Batch(_) => None,
        },
        batch: match &records {
            Given::One(_) => None,
            Given::Batch(items) => Some(items),
        },
    };
    // Made of texts and of JSON that was read: it cannot fail.
    let body = serde_json::to_string(&body).unwrap_or_default();
    let remote = Remote::new(args.remote)?;
    let mut path = remote.path(&["integrations", &args.integration, "objects", &args.object]);
    if args.preview {
        path.push_str("?preview=true");
    }
    let answered = remote.call(Method::POST, &path, Some(body)).await?;
    if args.json {
        println!("{}", pretty(&answered.body));
    }
    match answered.status {
        200 if args.json => Ok(()),
        200 if args.preview => {
            print!("{}", shown(&answered.body));
            Ok(())
        }
        200 => {
            let text = |pointer: &str| answered.body.pointer(pointer).and_then(Value::as_str);
            if let Some(id) = text("/result/recordId") {
                println!("record     {id}");
            }
            print!("{}", of_batch(&answered.body));
            println!("operation  {}", text("/operationId").unwrap_or_default());
            if let Some(warnings) = answered.header("amp-warnings") {
                println!("warnings   {warnings}");
            }
            Ok(())
        }
        422 => {
            let errors = answered.body.get("errors").and_then(Value::as_array);
            let lines: Vec<&str> = errors
                .into_iter()
                .flatten()
                .filter_map(|error| error.get("message")?.as_str())
                .collect();
            if lines.is_empty() {
                return Err(written_out(&answered.body));
            }
            let operation = answered
                .body
                .get("operationId")
                .and_then(Value::as_str)
                .unwrap_or_default();
            Err(format!("{} (operation {operation})", lines.join("\n  ")))
        }
        _ => Err(written_out(&answered.body)),
    }
}

/// The body of a write.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    group_ref: &'a str,
    r#type: &'a str,
    mode: &'a str,
    strict: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<&'a [Item]>,
}

/// A record of a batch.
#[derive(Serialize)]
struct Item {
    record: Box<RawValue>,
}

/// What was given to write.
enum Given {
    One(Box<RawValue>),
    Batch(Vec<Item>),
}

/// A line for each record of a batch.
fn of_batch(answer: &Value) -> String {
    let results = answer.get("results").and_then(Value::as_array);
    let mut out = String::new();
    for (index, result) in results.into_iter().flatten().enumerate() {
        let id = result.get("recordId").and_then(Value::as_str);
        let state = match result.get("success").and_then(Value::as_bool) {
            Some(true) => id.unwrap_or("written; the provider does not say its id"),
            _ => "failed",
        };
        out.push_str(&format!("record {index:<3} {state}\n"));
    }
    let errors = answer.get("errors").and_then(Value::as_array);
    for message in errors
        .into_iter()
        .flatten()
        .filter_map(|error| error.get("message")?.as_str())
    {
        out.push_str(&format!("error      {message}\n"));
    }
    out
}

fn read_records(text: &str) -> Result<Given, String> {
    let text = match text.strip_prefix('@') {
        None => text.to_owned(),
        Some("-") => {
            let mut text = String::new();
            std::io::stdin()
                .take(MAX_BYTES)
                .read_to_string(&mut text)
                .map_err(|error| format!("standard input cannot be read: {error}"))?;
            text
        }
        Some(file) => {
            let mut text = String::new();
            std::fs::File::open(file)
                .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
                .map_err(|error| format!("{file} cannot be read: {error}"))?;
            text
        }
    };
    let record: Box<RawValue> =
        serde_json::from_str(without_bom(&text)).map_err(|error| format!("--record is not JSON: {error}"))?;
    if record.get().starts_with('{') {
        return Ok(Given::One(record));
    }
    match serde_json::from_str::<Vec<Box<RawValue>>>(record.get()) {
        Ok(records) if records.iter().all(|record| record.get().starts_with('{')) => Ok(Given::Batch(
            records.into_iter().map(|record| Item { record }).collect(),
        )),
        _ => Err(
            "--record must be a JSON object, such as '{\"email\": \"a@example.com\"}', or a list of such objects"
                .to_owned(),
        ),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// A preview as text: the requests, a line for each field, what is wrong.
fn shown(preview: &Value) -> String {
    let text = |value: &Value, key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let list = |key: &str| {
        preview
            .get(key)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let mut out = String::new();
    let line = |out: &mut String, text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    for request in list("requests") {
        let purpose = if text(&request, "purpose") == "read" {
            "read (made)"
        } else {
            "would send"
        };
        line(
            &mut out,
            &format!(
                "{purpose}: {} {}",
                text(&request, "method"),
                text(&request, "url")
            ),
        );
        let headers = request.get("headers").and_then(Value::as_object);
        for (name, value) in headers.into_iter().flatten() {
            line(
                &mut out,
                &format!("  {name}: {}", value.as_str().unwrap_or_default()),
            );
        }
        let body = text(&request, "body");
        if !body.is_empty() {
            // For people; `--json` has the exact text.
            let body = serde_json::from_str::<Map<String, Value>>(&body)
                .map_or(body, |map| pretty(&Value::Object(map)));
            for body_line in body.lines() {
                line(&mut out, &format!("  {body_line}"));
            }
        }
        line(&mut out, "");
    }
    let rows: Vec<[String; 3]> = list("trace")
        .iter()
        .map(|entry| {
            let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
            [
                format!("{}{}", place(entry), or_dash(text(entry, "source"))),
                or_dash(text(entry, "target")),
                text(entry, "decision"),
            ]
        })
        .collect();
    line(
        &mut out,
        &table(
            ["FIELD", &text(preview, "provider").to_uppercase(), "DECISION"],
            &rows,
        ),
    );
    let findings: Vec<[String; 3]> = list("findings")
        .iter()
        .map(|finding| {
            [
                format!("{}{}", place(finding), text(finding, "field")),
                text(finding, "kind"),
                text(finding, "detail"),
            ]
        })
        .collect();
    if !findings.is_empty() {
        line(&mut out, &table(["FINDING", "KIND", "DETAIL"], &findings));
    }
    let why = text(preview, "findingsUnavailable");
    if !why.is_empty() {
        line(&mut out, &format!("The fields could not be checked: {why}"));
    }
    match text(preview, "verdict").as_str() {
        "nothing_to_send" => line(
            &mut out,
            "Nothing is left to write: the write would succeed without a request.",
        ),
        "fail" => line(
            &mut out,
            &format!("It would fail before it is sent: {}", text(preview, "error")),
        ),
        "refused" => line(
            &mut out,
            &format!("It would not be sent: {}", text(preview, "error")),
        ),
        "send_with_findings" => line(
            &mut out,
            "Nothing was sent: this was a preview. The provider will probably refuse it: see the findings.",
        ),
        _ => line(&mut out, "Nothing was sent: this was a preview."),
    }
    out
}

/// Of a batch: which record an entry is about.
fn place(entry: &Value) -> String {
    let record = entry.get("record").and_then(Value::as_u64);
    record.map_or_else(String::new, |index| format!("[{index}] "))
}

/// Columns, aligned.
fn table(head: [&str; 3], rows: &[[String; 3]]) -> String {
    let width = |column: usize| {
        let longest = rows
            .iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0);
        longest.max(head[column].chars().count())
    };
    let (first, second) = (width(0), width(1));
    let mut out = format!("{:first$}  {:second$}  {}\n", head[0], head[1], head[2]);
    for [a, b, c] in rows {
        out.push_str(&format!("{a:first$}  {b:second$}  {c}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_preview_reads_like_a_table() {
        let preview = json!({
            "verdict": "send", "provider": "hubspot",
            "requests": [{"purpose": "write", "method": "POST", "url": "https://x/y", "headers": {"authorization": "Bearer ***"}, "body": "{\"a\":1.50}"}],
            "trace": [{"source": "cell", "target": "mobilephone", "decision": "mapped"}, {"source": "x", "decision": "dropped_unmapped"},
                      {"target": "source", "decision": "defaulted"}],
            "findings": [{"field": "emial", "kind": "unknown_field", "detail": "contacts has no field emial"}],
        });
        insta::assert_snapshot!(shown(&preview), @r#"
        would send: POST https://x/y
          authorization: Bearer ***
          {
            "a": 1.50
          }

        FIELD  HUBSPOT      DECISION
        cell   mobilephone  mapped
        x      -            dropped_unmapped
        -      source       defaulted

        FINDING  KIND           DETAIL
        emial    unknown_field  contacts has no field emial

        Nothing was sent: this was a preview.
        "#);
    }
}
