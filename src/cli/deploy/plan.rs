//! What a deploy would do, told before it is done.

use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;

/// One line for each integration.
pub(super) fn show(plan: &Value) {
    let all: Vec<&Value> = planned(plan).collect();
    let width = all
        .iter()
        .map(|one| text(one, "name").chars().count())
        .max()
        .unwrap_or(0);
    for one in all {
        let what = match text(one, "change") {
            "create" => "would be created",
            "update" => "would get a new revision",
            "unchanged" => "unchanged",
            "delete" => "would be deleted",
            "keep" => "not in the manifest, left as it is (delete it with --destructive)",
            other => other,
        };
        println!(
            "{:width$}  {:10}  {what}{}",
            text(one, "name"),
            text(one, "provider"),
            concerned(one)
        );
    }
}

/// Says what would be deleted and asks whether it is meant; where nobody can answer, it is not.
///
/// # Errors
/// Without a yes.
pub(super) fn confirm(plan: &Value) -> Result<(), String> {
    let deleted: Vec<&Value> = planned(plan)
        .filter(|one| text(one, "change") == "delete")
        .collect();
    if deleted.is_empty() {
        return Ok(());
    }
    eprintln!("These integrations are not in the manifest and will be deleted:");
    for one in &deleted {
        eprintln!(
            "  {} ({}){}",
            text(one, "name"),
            text(one, "provider"),
            concerned(one)
        );
    }
    eprintln!(
        "Their installations go with them, and the writes that wait for these end as failures. This cannot be undone."
    );
    if !std::io::stdin().is_terminal() {
        return Err(
            "nothing was changed: there is no terminal to ask at; repeat with --yes to delete them"
                .to_owned(),
        );
    }
    eprint!("Type yes to delete them: ");
    // Without the question there is no answer either.
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| format!("nothing was changed: the answer cannot be read: {error}"))?;
    match answer.trim() {
        "yes" => Ok(()),
        _ => Err("nothing was changed".to_owned()),
    }
}

fn planned(plan: &Value) -> impl Iterator<Item = &Value> {
    plan.get("integrations")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn text<'v>(one: &'v Value, key: &str) -> &'v str {
    one.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// `: 3 customers, 12 writes in the queue`, as far as there are any.
fn concerned(one: &Value) -> String {
    let number = |key: &str| one.get(key).and_then(Value::as_i64).unwrap_or_default();
    let counted = |count: i64, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let customers = counted(number("installations"), "customer", "customers");
    let queued = counted(
        number("queuedWrites"),
        "write in the queue",
        "writes in the queue",
    );
    match (
        text(one, "change"),
        number("installations"),
        number("queuedWrites"),
    ) {
        ("delete", ..) => format!(": {customers}, {queued}"),
        (_, 0, 0) => String::new(),
        (_, _, 0) => format!(": {customers}"),
        _ => format!(": {customers}, {queued}"),
    }
}
