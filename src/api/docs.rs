//! A page that shows the API's description to people. Plain HTML: it needs no script and nothing from elsewhere.

use std::fmt::Write as _;

use serde_json::Value;

use super::escape;

/// Renders the page once; it does not change while the process runs.
pub(super) fn page(openapi: &utoipa::openapi::OpenApi) -> String {
    let api = serde_json::to_value(openapi).unwrap_or_default();
    let mut html = String::from(HEAD);
    let mut tags: Vec<(String, String)> = Vec::new();
    for (path, methods) in api["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let tag = operation["tags"][0].as_str().unwrap_or("Other").to_owned();
            let entry = entry(path, method, operation);
            match tags.iter_mut().find(|(known, _)| *known == tag) {
                Some((_, text)) => text.push_str(&entry),
                None => tags.push((tag, entry)),
            }
        }
    }
    for (tag, entries) in tags {
        // Writing to a String cannot fail.
        let _ = write!(html, "<h2>{}</h2>{entries}", escape(&tag));
    }
    html.push_str("<h2>Shapes</h2>");
    for (name, schema) in api["components"]["schemas"].as_object().into_iter().flatten() {
        let _ = write!(html, "<h3 id=\"{0}\">{0}</h3>{1}", escape(name), shape(schema));
    }
    html.push_str("</body></html>");
    html
}

fn entry(path: &str, method: &str, operation: &Value) -> String {
    let mut html = format!(
        "<details><summary><b>{}</b> <code>{}</code> {}</summary>",
        escape(&method.to_uppercase()),
        escape(path),
        escape(operation["summary"].as_str().unwrap_or_default())
    );
    let _ = write!(
        html,
        "<p>{}</p>",
        escape(operation["description"].as_str().unwrap_or_default())
    );
    if let Some(parameters) = operation["parameters"].as_array() {
        html.push_str("<table>");
        for parameter in parameters {
            let _ = write!(
                html,
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
                escape(parameter["name"].as_str().unwrap_or_default()),
                escape(parameter["in"].as_str().unwrap_or_default()),
                escape(parameter["description"].as_str().unwrap_or_default())
            );
        }
        html.push_str("</table>");
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    if !body.is_null() {
        let _ = write!(html, "<p>Body: {}</p>", kind(body));
    }
    html.push_str("<table>");
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let schema = &response["content"]["application/json"]["schema"];
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(status),
            escape(response["description"].as_str().unwrap_or_default()),
            if schema.is_null() {
                String::new()
            } else {
                kind(schema)
            }
        );
    }
    html.push_str("</table></details>");
    html
}

fn shape(schema: &Value) -> String {
    let mut html = format!(
        "<p>{}</p><table>",
        escape(schema["description"].as_str().unwrap_or_default())
    );
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let _ = write!(
            html,
            "<tr><td><code>{}</code>{}</td><td>{}</td><td>{}</td></tr>",
            escape(name),
            if required.contains(&name.as_str()) {
                ""
            } else {
                " (optional)"
            },
            kind(property),
            escape(property["description"].as_str().unwrap_or_default())
        );
    }
    html.push_str("</table>");
    html
}

fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|reference| reference.rsplit('/').next())
    {
        return format!("<a href=\"#{0}\">{0}</a>", escape(name));
    }
    for choice in ["oneOf", "anyOf", "allOf"] {
        if let Some(found) = schema[choice]
            .as_array()
            .into_iter()
            .flatten()
            .find(|one| one["type"] != "null")
        {
            return kind(found);
        }
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("list of {}", kind(&schema["items"])),
        Value::String(name) => escape(name),
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| *name != "null")
            .map(escape)
            .collect::<Vec<_>>()
            .join(" or "),
        _ => "any".to_owned(),
    }
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>amp-write API</title><style>\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
code{font-size:90%}table{border-collapse:collapse;margin:.5rem 0}td{border-top:1px solid #ddd;padding:.2rem .8rem .2rem 0;vertical-align:top}\
details{border-top:1px solid #ddd;padding:.4rem 0}summary{cursor:pointer}h3{margin-bottom:0}</style></head><body>\
<h1>amp-write API</h1><p>Send the project's API key in the header <code>X-Api-Key</code>. \
The same as data: <a href=\"/openapi.json\">/openapi.json</a>.</p>";
