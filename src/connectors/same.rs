//! What a provider takes for the same name, the same record and no value.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::connector::Connector;
use super::declarative::definition::{IdForm, NamesDef};

impl Connector {
    /// Whether names of objects and fields that differ in nothing but case are one at this provider.
    #[must_use]
    pub const fn is_case_blind(&self) -> bool {
        self.module.names_rule.case_blind
    }

    /// The object and the id in the one spelling that stands for all: two writes are about one record where both are equal.
    #[must_use]
    pub fn canonical<'a>(&self, object: &'a str, id: &'a str) -> (Cow<'a, str>, Cow<'a, str>) {
        let object = if self.is_case_blind() {
            Cow::Owned(object.to_ascii_lowercase())
        } else {
            Cow::Borrowed(object)
        };
        (object, canonical_id(self.module.names_rule.ids, id))
    }
}

fn canonical_id(form: IdForm, id: &str) -> Cow<'_, str> {
    let id = id.trim();
    match form {
        IdForm::Exact => Cow::Borrowed(id),
        IdForm::Number if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) => {
            let number = id.trim_start_matches('0');
            Cow::Borrowed(if number.is_empty() { "0" } else { number })
        }
        IdForm::Number => Cow::Borrowed(id),
        IdForm::Salesforce => salesforce(id),
    }
}

/// The 15 characters whose case counts. The last 3 of a longer id say which of the 15 are capitals, so an id whose case was
/// lost on its way is whole again: <https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/field_types.htm>, ID.
pub(super) fn salesforce(id: &str) -> Cow<'_, str> {
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) || id.len() != 18 {
        return Cow::Borrowed(id);
    }
    let (short, suffix) = id.split_at(15);
    let mut whole = String::with_capacity(15);
    for (group, digit) in suffix.bytes().enumerate() {
        let capitals = match digit.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            digit @ b'0'..=b'5' => digit - b'0' + 26,
            // No suffix of an id.
            _ => return Cow::Borrowed(id),
        };
        for (place, character) in short[group * 5..group * 5 + 5].chars().enumerate() {
            whole.push(if capitals >> place & 1 == 1 {
                character.to_ascii_uppercase()
            } else {
                character.to_ascii_lowercase()
            });
        }
    }
    Cow::Owned(whole)
}

impl NamesDef {
    /// The record as this provider wants it: its names, and what empties a field. Only the fields themselves: what lies in
    /// them is theirs.
    #[must_use]
    pub fn written<'r>(&self, record: &'r Map<String, Value>) -> Cow<'r, Map<String, Value>> {
        let empties = self
            .null_as
            .as_ref()
            .filter(|_| record.values().any(Value::is_null));
        let renames = self.capitals && record.keys().any(|key| capitals(key) != *key);
        if empties.is_none() && !renames {
            return Cow::Borrowed(record);
        }
        let mut written = Map::with_capacity(record.len());
        for (key, value) in record {
            let value = match (value, empties) {
                (Value::Null, Some(text)) => Value::String(text.clone()),
                (value, _) => value.clone(),
            };
            // Two spellings of one name: the provider gets both as they are, and says which it cannot take.
            let name = Some(capitals(key)).filter(|name| renames && !record.contains_key(name));
            written.insert(name.unwrap_or_else(|| key.clone()), value);
        }
        Cow::Owned(written)
    }
}

/// `last_name` as `Last_Name`. `id`, names that begin with `$`, the ending `__s` of custom fields and all other letters stay as
/// they are: the rule of Ampersand's connector, `providers/zoho` of <https://github.com/amp-labs/connectors>.
fn capitals(name: &str) -> String {
    if name.eq_ignore_ascii_case("id") {
        return name.to_owned();
    }
    if let Some(start) = name.strip_suffix("__s") {
        return format!("{}__s", capitals(start));
    }
    let mut written = String::with_capacity(name.len());
    let mut begins = true;
    for character in name.chars() {
        written.push(if begins {
            character.to_ascii_uppercase()
        } else {
            character
        });
        begins = character == '_';
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salesforce_id_of_18_characters_is_its_15_with_their_case() {
        let short = "001D000000IqhSL";
        for same in ["001D000000IqhSLIAZ", "001d000000iqhsliaz", "001D000000IQHSLIAZ"] {
            assert_eq!(salesforce(same), short, "{same}");
        }
        assert_eq!(salesforce(short), short);
        assert_ne!(salesforce("001D000000IqhSl"), short, "the case of 15 counts");
        for other in [
            "001D000000IqhSLIA9",
            "001D000000IqhSLIA-",
            "001D000000IqhSLIA",
            "",
        ] {
            assert_eq!(salesforce(other), other, "no id of 18");
        }
    }

    #[test]
    fn zeros_before_a_number_do_not_count() {
        let number = |id| canonical_id(IdForm::Number, id).into_owned();
        assert_eq!(
            (number("007"), number("7"), number("0")),
            ("7".into(), "7".into(), "0".into())
        );
        assert_eq!(number("00"), "0");
        assert_eq!(number("a07"), "a07", "no number");
        assert_eq!(canonical_id(IdForm::Exact, "007"), "007");
    }

    #[test]
    fn names_get_their_capitals_and_keep_what_they_have() {
        for (name, wanted) in [
            ("last_name", "Last_Name"),
            ("Last_Name", "Last_Name"),
            ("company", "Company"),
            ("Annual_revenue", "Annual_Revenue"),
            ("id", "id"),
            ("plan_tier__s", "Plan_Tier__s"),
            ("$photo", "$photo"),
            ("customField1", "CustomField1"),
        ] {
            assert_eq!(capitals(name), wanted);
        }
    }

    #[test]
    fn null_becomes_what_empties_a_field_and_only_at_the_top() {
        let rule = NamesDef {
            null_as: Some(String::new()),
            ..NamesDef::default()
        };
        let record = serde_json::json!({"a": null, "b": {"c": null}, "d": 1.10});
        let record = record.as_object().expect("an object");
        let written = serde_json::to_string(rule.written(record).as_ref()).expect("text");
        assert_eq!(written, r#"{"a":"","b":{"c":null},"d":1.10}"#);
        assert!(matches!(NamesDef::default().written(record), Cow::Borrowed(_)));
    }
}
