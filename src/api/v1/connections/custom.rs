//! `customAuth`: the inputs that a provider's connector asks for.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::problem::Problem;
use crate::outbound::Credentials;
use crate::vault::Secret;

/// Values by the names of inputs: texts, or lists of texts such as scopes. They do not print.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct CustomAuth(Map<String, Value>);

impl fmt::Debug for CustomAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl CustomAuth {
    /// The credentials: a list is joined with blanks, an object is its JSON, and what is empty is left out. `field` is where
    /// the block stands.
    pub(super) fn read(self, field: &str) -> Result<Credentials, Problem> {
        let mut values = std::collections::BTreeMap::new();
        for (name, value) in self.0 {
            let field = || format!("{field}.{}", name.chars().take(100).collect::<String>());
            let text =
                text(value).ok_or_else(|| Problem::invalid(field(), "must be a text, or a list of texts"))?;
            if !text.trim().is_empty() {
                values.insert(name, Secret::new(text));
            }
        }
        Ok(Credentials::Custom { values })
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            Some(texts?.join(" "))
        }
        // A key file that was not put into quotes.
        Value::Object(_) => Some(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Vec<(String, String)>, Problem> {
        let custom: CustomAuth = serde_json::from_value(value).expect("an object");
        assert_eq!(format!("{custom:?}"), "***");
        let Credentials::Custom { values } = custom.read("customAuth")? else {
            panic!("other credentials");
        };
        let exposed = values
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().to_owned()));
        Ok(exposed.collect())
    }

    #[test]
    fn texts_lists_and_objects_become_texts_and_what_is_empty_is_left_out() {
        let given = json!({
            "a": "x\ny", "b": ["s1", "s2"], "c": {"k": "v"}, "d": 7, "e": null, "f": " ", "g": [], "h": "",
        });
        let pairs: Vec<(String, String)> = [("a", "x\ny"), ("b", "s1 s2"), ("c", r#"{"k":"v"}"#), ("d", "7")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        assert_eq!(read(given).expect("read"), pairs);
    }

    #[test]
    fn what_is_no_text_is_refused_by_its_name() {
        for bad in [json!({"key": [1]}), json!({"key": [["a"]]})] {
            let problem = read(bad).expect_err("refused");
            assert!(
                format!("{problem:?}").contains("\"customAuth.key\""),
                "{problem:?}"
            );
        }
    }
}
