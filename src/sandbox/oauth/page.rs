//! The consent page and its errors: plain HTML without any outside resource.

use super::asked::Asked;
use crate::sandbox::message::{Provider, Reply};

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem}\
                     fieldset{border:1px solid #999;margin:1rem 0}label{display:block}button{font:inherit;padding:.3rem 1rem}";

/// Text as HTML shows it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn html(status: u16, title: &str, body: &str) -> Reply {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\n<body>\n{body}\n\
         </body></html>\n",
        escaped(title)
    );
    Reply::text(status, "text/html; charset=utf-8", page)
        .with_header(
            "Content-Security-Policy",
            "default-src 'none'; style-src 'unsafe-inline'",
        )
        .with_header("X-Frame-Options", "DENY")
        .with_header("Cache-Control", "no-store")
}

const fn name(provider: Provider) -> &'static str {
    match provider {
        Provider::HubSpot => "HubSpot",
        Provider::Salesforce => "Salesforce",
        Provider::Echo => "Echo",
    }
}

/// The provider's own error page.
pub(super) fn error(provider: Provider, status: u16, text: &str) -> Reply {
    let title = format!("Simulated {}: error", name(provider));
    let body = format!(
        "<h1>{}</h1>\n<p id=\"error\">{}</p>",
        escaped(&title),
        escaped(text)
    );
    html(status, &title, &body)
}

/// The question to the customer; `problem` is what was wrong with the answer before.
pub(super) fn question(
    provider: Provider,
    asked: &Asked,
    accounts: &[String],
    problem: Option<&str>,
) -> Reply {
    let title = format!("Simulated {}: allow access?", name(provider));
    let items = |scopes: &[String], note: &str| -> String {
        let item = |s: &String| format!("<li><code>{}</code>{note}</li>\n", escaped(s));
        scopes.iter().map(item).collect()
    };
    let choice = |(at, account): (usize, &String)| {
        let checked = if at == 0 { " checked" } else { "" };
        let account = escaped(account);
        format!(
            "<label><input type=\"radio\" name=\"account\" value=\"{account}\"{checked}> {account}</label>\n"
        )
    };
    let choices: String = accounts.iter().enumerate().map(choice).collect();
    let granted = [asked.scopes.as_slice(), asked.optional.as_slice()]
        .concat()
        .join(" ");
    let problem = problem.map_or_else(String::new, |p| {
        format!("<p id=\"problem\"><strong>{}</strong></p>\n", escaped(p))
    });
    let body = format!(
        "<h1>{title}</h1>\n{problem}<p><strong id=\"app\">{app}</strong> asks for access to an account:</p>\n\
         <ul id=\"scopes\">\n{required}{optional}</ul>\n<form method=\"post\">\n<fieldset><legend>Account</legend>\n{choices}\
         <label>a new one: <input name=\"new_account\" autocomplete=\"off\" maxlength=\"100\"></label></fieldset>\n\
         <label>Scopes to allow: <input name=\"scopes\" size=\"50\" value=\"{granted}\"></label>\n\
         <p><button name=\"decision\" value=\"allow\">Allow</button> \
         <button name=\"decision\" value=\"deny\">Deny</button></p>\n</form>\n\
         <p>The browser then goes to <code>{uri}</code>. This is a sandbox: nobody's real account is touched.</p>",
        title = escaped(&title),
        app = escaped(asked.app.shown()),
        required = items(&asked.scopes, ""),
        optional = items(&asked.optional, " (optional)"),
        granted = escaped(&granted),
        uri = escaped(&asked.back.uri),
    );
    html(if problem.is_empty() { 200 } else { 400 }, &title, &body)
}
