//! HubSpot's checks of property values, in the words of its answers.

use serde_json::{Map, Value, json};

use super::schema::{ObjectType, Property};
use crate::sandbox::clock;

/// One refused value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    pub property: String,
    pub code: &'static str,
    pub message: String,
}

impl Problem {
    fn new(property: &str, code: &'static str, message: String) -> Self {
        Self {
            property: property.to_owned(),
            code,
            message,
        }
    }

    /// Whether `errors[]` names it. Recorded answers list these two in the message only, so a client
    /// must not take `errors[]` for the full list.
    fn is_listed(&self) -> bool {
        !matches!(self.code, "INVALID_DATE" | "CONFLICTING_UNIQUE_VALUE")
    }
}

/// A property's value as HubSpot keeps it: text. Numbers keep their digits. `Err` names the JSON kind
/// that is no value.
pub(crate) fn text(value: &Value) -> Result<String, &'static str> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Bool(b) => Ok(b.to_string()),
        Value::Number(n) => Ok(n.to_string()),
        Value::String(s) => Ok(s.clone()),
        Value::Array(_) => Err("Array"),
        Value::Object(_) => Err("Object"),
    }
}

/// Checks the values of one record, except for uniqueness.
pub(crate) fn check(object: &ObjectType, values: &[(String, String)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, value) in values {
        match object.properties.get(name) {
            None => problems.push(Problem::new(
                name,
                "PROPERTY_DOESNT_EXIST",
                format!("Property \"{name}\" does not exist"),
            )),
            Some(property) if property.read_only => problems.push(Problem::new(
                name,
                "READ_ONLY_VALUE",
                format!("\"{name}\" is a read only property; its value cannot be set."),
            )),
            Some(property) if !value.is_empty() => problems.extend(check_value(object, property, value)),
            Some(_) => {}
        }
    }
    problems
}

fn check_value(object: &ObjectType, property: &Property, value: &str) -> Option<Problem> {
    let name = &property.name;
    if object.type_id == "0-1" && name == "email" && !is_email(value) {
        return Some(Problem::new(
            name,
            "INVALID_EMAIL",
            format!("Email address {value} is invalid"),
        ));
    }
    match property.kind.as_str() {
        "number" if !is_number(value) => Some(Problem::new(
            name,
            "INVALID_LONG",
            format!("{value} was not a valid long."),
        )),
        "bool" if !matches!(value, "true" | "false") => Some(not_an_option(name, value, "true, false")),
        "enumeration" if !property.options.is_empty() => {
            let many = property.field_type == "checkbox";
            let parts: Vec<&str> = if many {
                value.split(';').filter(|p| !p.is_empty()).collect()
            } else {
                vec![value]
            };
            let bad = parts
                .into_iter()
                .find(|p| !property.options.iter().any(|o| o.value == *p))?;
            let options: Vec<&str> = property.options.iter().map(|o| o.value.as_str()).collect();
            Some(not_an_option(name, bad, &options.join(", ")))
        }
        "date" => check_date(name, value),
        "datetime"
            if value.parse::<i64>().is_err() && clock::parse_iso(value).is_none() && !is_day(value) =>
        {
            Some(Problem::new(
                name,
                "INVALID_DATE",
                format!("{value} was not a valid datetime."),
            ))
        }
        _ => None,
    }
}

/// A checked value as HubSpot keeps and answers it: a datetime in ISO 8601, whatever form it came in, and a date as
/// its day.
pub(super) fn kept(object: &ObjectType, name: &str, value: &str) -> String {
    let kind = object.properties.get(name).map_or("", |p| p.kind.as_str());
    match (kind, moment(value)) {
        ("datetime", Some(ms)) => clock::iso(ms),
        ("date", Some(ms)) => clock::iso(ms).chars().take(10).collect(),
        _ => value.to_owned(),
    }
}

/// The time a date or datetime stands for, in milliseconds since 1970; a day is its midnight (UTC).
pub(super) fn moment(value: &str) -> Option<i64> {
    if let Ok(ms) = value.parse::<i64>() {
        return Some(ms);
    }
    if is_day(value) {
        return clock::parse_iso(&format!("{value}T00:00:00Z"));
    }
    clock::parse_iso(value)
}

fn not_an_option(name: &str, value: &str, options: &str) -> Problem {
    Problem::new(
        name,
        "INVALID_OPTION",
        format!("{value} was not one of the allowed options: [{options}]"),
    )
}

fn check_date(name: &str, value: &str) -> Option<Problem> {
    let ms = match value.parse::<i64>() {
        Ok(ms) => ms,
        Err(_) if is_day(value) => return None,
        Err(_) => match clock::parse_iso(value) {
            Some(ms) => ms,
            None => {
                return Some(Problem::new(
                    name,
                    "INVALID_DATE",
                    format!("{value} was not a valid date."),
                ));
            }
        },
    };
    let of_day = ms.rem_euclid(86_400_000);
    if of_day == 0 {
        return None;
    }
    let (seconds, millis) = (of_day / 1000, of_day % 1000);
    let time = format!(
        "{:02}:{:02}:{:02}.{millis}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    Some(Problem::new(
        name,
        "INVALID_DATE",
        format!("{value} is at {time} UTC, not midnight!"),
    ))
}

fn is_day(value: &str) -> bool {
    value.parse::<jiff::civil::Date>().is_ok() && value.len() == 10
}

fn is_email(value: &str) -> bool {
    let Some((name, domain)) = value.rsplit_once('@') else {
        return false;
    };
    let clean = !value.chars().any(|c| c.is_whitespace() || c.is_control());
    clean
        && !name.is_empty()
        && !name.contains('@')
        && domain.contains('.')
        && domain.split('.').all(|l| !l.is_empty())
}

/// An optional sign, digits with an optional fraction, an optional exponent.
fn is_number(value: &str) -> bool {
    let unsigned = value.strip_prefix(['-', '+']).unwrap_or(value);
    let (mantissa, exponent) = unsigned
        .split_once(['e', 'E'])
        .map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let exponent_fits = exponent.is_none_or(|e| digits(e.strip_prefix(['-', '+']).unwrap_or(e)));
    (digits(whole) || whole.is_empty() && digits(fraction)) && (digits(fraction)) && exponent_fits
}

/// Administrators' rules: required properties that the record would be without.
pub(crate) fn missing(object: &ObjectType, values: &[(String, String)]) -> Vec<Problem> {
    let given = |name: &str| values.iter().any(|(n, v)| n == name && !v.is_empty());
    object
        .properties
        .values()
        .filter(|p| p.required && !given(&p.name))
        .map(|p| {
            Problem::new(
                &p.name,
                "MISSING_REQUIRED_PROPERTY",
                format!("{} is required", p.name),
            )
        })
        .collect()
}

/// Properties that the schema demands and the record would be without.
pub(super) fn unset<'a>(object: &'a ObjectType, values: &[(String, String)]) -> Vec<&'a str> {
    let given = |name: &String| values.iter().any(|(n, v)| n == name && !v.is_empty());
    let demanded = object.required_properties.iter();
    demanded.filter(|name| !given(name)).map(String::as_str).collect()
}

/// The text `Property values were not valid: […]` and the `errors[]` beside it.
///
/// The long form, with the portal's id and a localised text, is what a single create with one unknown
/// property gives; several problems, other problems and batches give the short form.
pub(crate) fn report(problems: &[Problem], hub_id: u64, in_batch: bool) -> (String, Vec<Value>) {
    let long = !in_batch && problems.len() == 1;
    let items: Vec<Value> = problems
        .iter()
        .map(|p| {
            let mut item = Map::new();
            item.insert("isValid".to_owned(), Value::Bool(false));
            item.insert("message".to_owned(), json!(p.message));
            item.insert("error".to_owned(), json!(p.code));
            item.insert("name".to_owned(), json!(p.property));
            if long && p.code == "PROPERTY_DOESNT_EXIST" {
                item.insert("localizedErrorMessage".to_owned(), json!(p.message));
                item.insert("portalId".to_owned(), json!(hub_id));
            }
            Value::Object(item)
        })
        .collect();
    let errors = problems
        .iter()
        .filter(|p| p.is_listed())
        .map(|p| json!({"message": p.message, "code": p.code, "context": {"propertyName": [p.property]}}))
        .collect();
    (
        format!("Property values were not valid: {}", Value::Array(items)),
        errors,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_thousands_separators() {
        for good in ["1", "-1.5", "1e5", "12345678901234567890", "0.10", ".5"] {
            assert!(is_number(good), "{good}");
        }
        for bad in ["1,200", "abc", "1.", "1e", "--1", "."] {
            assert!(!is_number(bad), "{bad}");
        }
    }

    #[test]
    fn times_are_kept_in_one_form() {
        let mut object = ObjectType::named("x");
        for (name, kind) in [("at", "datetime"), ("day", "date"), ("text", "string")] {
            let made = super::super::schema::property(name, kind, false);
            object.properties.insert(name.to_owned(), made);
        }
        for given in [
            "1790000000123",
            "2026-09-21T14:13:20.123Z",
            "2026-09-21T16:13:20.123+02:00",
        ] {
            assert_eq!(kept(&object, "at", given), "2026-09-21T14:13:20.123Z", "{given}");
        }
        assert_eq!(kept(&object, "at", "2026-09-21"), "2026-09-21T00:00:00.000Z");
        assert_eq!(kept(&object, "day", "1789948800000"), "2026-09-21");
        assert_eq!(kept(&object, "day", "2026-09-21"), "2026-09-21");
        assert_eq!(kept(&object, "text", "1790000000123"), "1790000000123");
        assert_eq!(kept(&object, "at", ""), "");
    }

    #[test]
    fn a_date_must_be_a_day_or_midnight() {
        assert!(check_date("d", "2026-10-05").is_none());
        assert!(check_date("d", "1790035200000").is_none());
        let problem = check_date("d", "1790000000123").unwrap();
        assert_eq!(
            problem.message,
            "1790000000123 is at 14:13:20.123 UTC, not midnight!"
        );
    }
}
