//! `amp-write connectors`: see, check and try the connector files. Sends nothing.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use crate::action::Action;
use crate::connectors::declarative::examples;
use crate::connectors::verify::{Variables, Verdict, describe, verify};
use crate::connectors::{Catalog, Command, Connector, ProviderRequest, Scheme, Step, parse};

/// See, check and try the connector files. Nothing is sent to a provider.
#[derive(Debug, Args)]
pub struct ConnectorsArgs {
    /// A folder with connector files that add to the built-in ones or override them.
    #[arg(long, env = "AMP_CONNECTORS_DIR", global = true)]
    connectors_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: ConnectorsCommand,
}

#[derive(Debug, Subcommand)]
enum ConnectorsCommand {
    /// List all providers and what each can do.
    List {
        /// As a table in Markdown, for the documentation.
        #[arg(long)]
        markdown: bool,
    },
    /// Show what a provider's connector can do and needs.
    Show {
        /// The provider, such as `hubspot`.
        provider: String,
    },
    /// Check files, and run their examples.
    Check {
        /// Connector files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Print the exact request of a write, without credentials. Sends nothing.
    Try(TryArgs),
    /// Run recorded writes, one JSON object per line, and print each difference.
    Verify {
        /// The recorded writes.
        file: PathBuf,
        /// The connection variables behind them: `{"default": {...}, "overrides": {"provider": {...}}}`.
        #[arg(long)]
        connection: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct TryArgs {
    /// The provider.
    provider: String,
    /// create, update or delete.
    #[arg(value_parser = action)]
    action: Action,
    /// The provider's name of the object.
    object: String,
    /// The record as a JSON object.
    #[arg(long, default_value = "{}")]
    record: String,
    /// The record id, for update and delete.
    #[arg(long)]
    id: Option<String>,
    /// The module, when it is not the default one.
    #[arg(long)]
    module: Option<String>,
    /// A variable of the connection, as NAME=VALUE. May be repeated.
    #[arg(long = "var", value_parser = pair)]
    vars: Vec<(String, String)>,
    /// A header of the caller, as NAME=VALUE. May be repeated.
    #[arg(long = "header", value_parser = pair)]
    headers: Vec<(String, String)>,
    /// The associations as a JSON array.
    #[arg(long, default_value = "[]")]
    associations: String,
    /// A key for repeating safely.
    #[arg(long)]
    idempotency_key: Option<String>,
}

fn action(text: &str) -> Result<Action, String> {
    serde_json::from_value(Value::from(text)).map_err(|_| "has to be create, update or delete".to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("has to be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs the subcommand and writes to `out`. `now` is the time that recorded answers arrive at. The answer
/// says whether all was well: with `false` the process should end with status 1.
///
/// # Errors
/// When `out` cannot be written to.
pub fn run(args: &ConnectorsArgs, out: &mut dyn Write, now: jiff::Timestamp) -> io::Result<bool> {
    // A file of the folder that is broken is told first; the others still work.
    let (catalog, errors) = Catalog::builtin().reload(args.connectors_dir.as_deref(), &BTreeMap::new());
    for error in &errors {
        writeln!(out, "{error}")?;
    }
    let done = match &args.command {
        ConnectorsCommand::List { markdown: true } => markdown(&catalog, out),
        ConnectorsCommand::List { markdown: false } => list(&catalog, out),
        ConnectorsCommand::Show { provider } => show(&catalog, provider, out),
        ConnectorsCommand::Check { files } => check(files, out),
        ConnectorsCommand::Try(args) => attempt(&catalog, args, out),
        ConnectorsCommand::Verify { file, connection } => {
            verify_file(&catalog, file, connection.as_deref(), out, now)
        }
    }?;
    Ok(done && errors.is_empty())
}

fn list(catalog: &Catalog, out: &mut dyn Write) -> io::Result<bool> {
    for provider in catalog.providers() {
        let can = words(|action| provider.supports(action));
        let modules: Vec<&str> = provider.modules.iter().filter_map(|c| c.module()).collect();
        let modules = if modules.is_empty() {
            String::new()
        } else {
            format!("  modules: {}", modules.join(", "))
        };
        let file = provider
            .file
            .map(|f| format!("  from {}", f.display()))
            .unwrap_or_default();
        writeln!(
            out,
            "{:<28} {can:<22} {}{modules}{file}",
            provider.provider, provider.display_name
        )?;
    }
    Ok(true)
}

/// The table of `docs/providers.md`.
fn markdown(catalog: &Catalog, out: &mut dyn Write) -> io::Result<bool> {
    writeln!(out, "# Providers\n")?;
    writeln!(
        out,
        "Made by `amp-write connectors list --markdown`; do not edit. Objects: the number that the file names,"
    )?;
    writeln!(out, "and `any` where others may be written too.\n")?;
    writeln!(
        out,
        "| provider | name | module | create | update | delete | objects | credential | needs |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    for provider in catalog.providers() {
        for c in &provider.modules {
            let yes = |action| if c.supports_action(action) { "yes" } else { "" };
            let name = match c.docs() {
                Some(docs) => format!("[{}]({docs})", c.display_name()),
                None => c.display_name().to_owned(),
            };
            let needs: Vec<&str> = c
                .variables()
                .iter()
                .filter(|v| v.default.is_none())
                .map(|v| v.name.as_str())
                .collect();
            writeln!(
                out,
                "| {} | {name} | {} | {} | {} | {} | {} | {} | {} |",
                provider.provider,
                c.module().unwrap_or(""),
                yes(Action::Create),
                yes(Action::Update),
                yes(Action::Delete),
                objects(c),
                c.auth().kind(),
                needs.join(", "),
            )?;
        }
    }
    Ok(true)
}

fn objects(c: &Connector) -> String {
    match (c.objects().len(), c.is_open()) {
        (0, true) => "any".to_owned(),
        (n, true) => format!("any ({n} named)"),
        (n, false) => n.to_string(),
    }
}

fn show(catalog: &Catalog, provider: &str, out: &mut dyn Write) -> io::Result<bool> {
    let connectors = catalog.modules(provider);
    let Some(first) = connectors.first() else {
        writeln!(
            out,
            "there is no provider `{provider}`; `amp-write connectors list` names all"
        )?;
        return Ok(false);
    };
    writeln!(out, "{} ({provider})", first.display_name())?;
    for (what, text) in [("docs", first.docs()), ("notes", first.notes())] {
        if let Some(text) = text {
            writeln!(out, "{what}: {}", text.trim())?;
        }
    }
    writeln!(out, "credential: {}", first.auth().kind())?;
    for input in first.auth().inputs() {
        let optional = if input.optional { " (optional)" } else { "" };
        let text = input.description.as_deref().or(input.display_name.as_deref());
        writeln!(
            out,
            "input {}{optional}: {}",
            input.name,
            text.unwrap_or_default()
        )?;
    }
    for variable in first.variables() {
        let default = variable
            .default
            .as_ref()
            .map(|d| format!(" (default `{d}`)"))
            .unwrap_or_default();
        let text = variable.description.as_deref().unwrap_or_default();
        writeln!(out, "variable {}{default}: {text}", variable.name)?;
    }
    for discovery in first.found_only() {
        let text = discovery.description.as_deref().unwrap_or_default();
        writeln!(out, "found out after authorisation: {}: {text}", discovery.name)?;
    }
    for c in &connectors {
        match c.module() {
            Some(module) => writeln!(out, "\nmodule {module}: {}", c.base_url())?,
            None => writeln!(out, "\nbase URL: {}", c.base_url())?,
        }
        if c.passes_headers() {
            writeln!(out, "  passes the caller's headers on")?;
        }
        if c.takes_associations() {
            writeln!(out, "  takes associations")?;
        }
        if c.is_open() {
            let can = words(|action| c.supports(action, "any other object"));
            writeln!(out, "  {:<44} {can}", "(any object)")?;
        }
        for object in c.objects() {
            writeln!(
                out,
                "  {object:<44} {}",
                words(|action| c.supports(action, object))
            )?;
        }
    }
    Ok(true)
}

fn check(files: &[PathBuf], out: &mut dyn Write) -> io::Result<bool> {
    let mut well = true;
    for file in files {
        let name = file.display().to_string();
        let parsed = match std::fs::read_to_string(file) {
            Ok(text) => parse(&name, &text, None),
            Err(why) => {
                writeln!(out, "{name}: {why}")?;
                well = false;
                continue;
            }
        };
        match parsed {
            Err(errors) => {
                well = false;
                for error in errors {
                    writeln!(out, "{error}")?;
                }
            }
            Ok(parsed) => {
                let mut bad = 0;
                for example in &parsed.examples {
                    let found = match parsed.module(example.module.as_deref()) {
                        Some(connector) => examples::run(connector, example),
                        None => vec!["there is no such module".to_owned()],
                    };
                    bad += usize::from(!found.is_empty());
                    for difference in found {
                        writeln!(out, "{name}: example \"{}\": {difference}", example.name)?;
                    }
                }
                let missing = parsed.without_example();
                for action in &missing {
                    writeln!(
                        out,
                        "{name} at examples: there is no example of {action}; add one, with the request that has to come out"
                    )?;
                }
                well &= bad == 0 && missing.is_empty();
                writeln!(out, "{name}: {} examples, {bad} wrong", parsed.examples.len())?;
            }
        }
    }
    Ok(well)
}

fn attempt(catalog: &Catalog, args: &TryArgs, out: &mut dyn Write) -> io::Result<bool> {
    let Some(connector) = catalog.get_module(&args.provider, args.module.as_deref()) else {
        writeln!(
            out,
            "there is no such provider or module; `amp-write connectors list` names all"
        )?;
        return Ok(false);
    };
    let record: Map<String, Value> = match serde_json::from_str(&args.record) {
        Ok(record) => record,
        Err(why) => {
            writeln!(out, "--record is not a JSON object: {why}")?;
            return Ok(false);
        }
    };
    let associations: Vec<Value> = match serde_json::from_str(&args.associations) {
        Ok(associations) => associations,
        Err(why) => {
            writeln!(out, "--associations is not a JSON array: {why}")?;
            return Ok(false);
        }
    };
    let vars: BTreeMap<String, String> = args.vars.iter().cloned().collect();
    for problem in connector.check_variables(&vars) {
        writeln!(out, "note: {problem}; give it with --var NAME=VALUE")?;
    }
    let command = Command {
        action: args.action,
        object: &args.object,
        record_id: args.id.as_deref(),
        record: &record,
        associations: &associations,
        headers: &args.headers,
        vars: &vars,
        idempotency_key: args.idempotency_key.as_deref(),
        repeated: false,
    };
    match connector.prepare(&command, &[]) {
        Ok(Step::Send(request)) => print_request(&connector, &request, out)?,
        Ok(Step::Lookup(request)) => {
            writeln!(
                out,
                "first this is read, and the write is made with its answer:\n"
            )?;
            print_request(&connector, &request, out)?;
        }
        Err(refusal) => {
            writeln!(out, "refused: {}", refusal.message)?;
            return Ok(false);
        }
    }
    Ok(true)
}

fn print_request(connector: &Connector, request: &ProviderRequest, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{} {}", request.method, request.url)?;
    let url = url::Url::parse(&request.url).ok();
    let host = url.as_ref().and_then(url::Url::host_str).unwrap_or_default();
    for attach in connector
        .auth()
        .attach
        .iter()
        .filter(|attach| attach.applies_to(host))
    {
        writeln!(
            out,
            "{}: {} ({})",
            attach.name,
            attach.value,
            attach.place.as_str()
        )?;
    }
    if matches!(connector.auth().scheme, Scheme::AwsSigV4(_)) {
        writeln!(out, "Authorization: AWS4-HMAC-SHA256 … (signed when it is sent)")?;
    }
    for (name, value) in &request.headers {
        writeln!(out, "{name}: {value}")?;
    }
    if let Some(content_type) = &request.content_type {
        writeln!(out, "Content-Type: {content_type}")?;
    }
    if let Some(body) = &request.body {
        writeln!(out, "\n{}", String::from_utf8_lossy(body))?;
    }
    Ok(())
}

fn verify_file(
    catalog: &Catalog,
    file: &std::path::Path,
    connection: Option<&std::path::Path>,
    out: &mut dyn Write,
    now: jiff::Timestamp,
) -> io::Result<bool> {
    let variables = match connection.map(std::fs::read_to_string) {
        None => Variables::default(),
        Some(read) => match read
            .map_err(|e| e.to_string())
            .and_then(|t| serde_json::from_str::<Value>(&t).map_err(|e| e.to_string()))
        {
            Ok(document) => Variables::from_json(&document),
            Err(why) => {
                writeln!(out, "--connection: {why}")?;
                return Ok(false);
            }
        },
    };
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(why) => {
            writeln!(out, "{}: {why}", file.display())?;
            return Ok(false);
        }
    };
    let (mut matched, mut differ, mut refused) = (0, 0, 0);
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let row: Value = match serde_json::from_str(line) {
            Ok(row) => row,
            Err(why) => {
                writeln!(out, "line {}: {why}", number + 1)?;
                differ += 1;
                continue;
            }
        };
        match verify(catalog, &variables, &row, now) {
            Verdict::Matched => matched += 1,
            Verdict::RefusedAsExpected => refused += 1,
            Verdict::NotAWrite => {}
            Verdict::Differs(why) => {
                let (provider, case) = describe(&row);
                writeln!(out, "line {}: {provider} {case}: {why}", number + 1)?;
                differ += 1;
            }
        }
    }
    writeln!(
        out,
        "{matched} matched, {differ} differ, {refused} refused as expected"
    )?;
    Ok(differ == 0)
}

/// The actions that fit, joined with blanks.
fn words(fits: impl Fn(Action) -> bool) -> String {
    let all = [Action::Create, Action::Update, Action::Delete];
    let words: Vec<&str> = all.into_iter().filter(|a| fits(*a)).map(Action::as_str).collect();
    words.join(" ")
}
