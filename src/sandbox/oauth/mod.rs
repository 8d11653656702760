//! OAuth as all simulated providers have it: the consent page, and what token calls have in common. What each answers
//! in its own words is in `hubspot/oauth.rs` and `salesforce/oauth.rs`.

mod asked;
mod consent;
mod page;
mod scopes;

pub(crate) use self::consent::{account_chosen, authorize};
use super::message::{Request, field};

/// The client's credentials of a token call.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    pub id: String,
    pub secret: Option<String>,
}

impl Credentials {
    /// Reads them from the form.
    pub fn of_form(form: &[(String, String)]) -> Self {
        let given = |name| field(form, name).filter(|v| !v.is_empty()).map(str::to_owned);
        Self {
            id: given("client_id").unwrap_or_default(),
            secret: given("client_secret"),
        }
    }

    /// Reads them from the form, or from a `Basic` header (Salesforce takes both).
    pub fn of_form_or_header(request: &Request, form: &[(String, String)]) -> Self {
        let of_form = Self::of_form(form);
        if !of_form.id.is_empty() {
            return of_form;
        }
        let basic = request.header("authorization").and_then(|v| {
            let (scheme, value) = v.split_once(' ')?;
            scheme.eq_ignore_ascii_case("basic").then_some(value.trim())
        });
        let read = |text: &str| {
            use base64::Engine;
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            let (id, secret) = text.split_once(':')?;
            // RFC 6749 §2.3.1: both are encoded like a form's values.
            let decoded = |part: &str| super::message::pairs(&format!("v={part}")).pop().map(|(_, v)| v);
            Some(Self {
                id: decoded(id)?,
                secret: decoded(secret).filter(|s| !s.is_empty()),
            })
        };
        basic.and_then(read).unwrap_or_default()
    }
}
