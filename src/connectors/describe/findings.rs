//! What a description of an object says about a record, before the provider does.

use serde_json::{Map, Value};

use super::{DescribedObject, Field, ValueType};
use crate::action::Action;

/// Something that the provider will probably refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The provider's name of the field.
    pub field: String,
    /// What kind of thing.
    pub kind: FindingKind,
    /// What is wrong and what the field takes. It does not repeat the value.
    pub detail: String,
}

/// The kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// A create lacks a field that it must have.
    RequiredMissing,
    /// The object has no such field.
    UnknownField,
    /// The field cannot be written, or not by this action.
    ReadOnly,
    /// The value is of another type.
    WrongType,
    /// The value is none of those that the field takes.
    NotAnOption,
    /// The text is longer than the field takes.
    TooLong,
}

/// So many of a field's options are named in a detail.
const MOST_OPTIONS: usize = 10;

/// Compares a record, as the provider would get it, with what the provider says about the object.
#[must_use]
pub fn findings(object: &DescribedObject, record: &Map<String, Value>, action: Action) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, value) in record {
        // Salesforce names a record of another object by a relationship, with an object as the value.
        if object.any_case && matches!(value, Value::Object(_)) && object.field(name).is_none() {
            continue;
        }
        found.extend(of_field(object, name, value, action));
    }
    if action == Action::Create {
        let given = |field: &Field| {
            record.iter().any(|(name, value)| {
                let same = name == &field.name || object.any_case && name.eq_ignore_ascii_case(&field.name);
                same && !is_empty(value)
            })
        };
        let missing = object
            .fields
            .iter()
            .filter(|field| field.required == Some(true) && !given(field));
        found.extend(missing.map(|field| Finding {
            field: field.name.clone(),
            kind: FindingKind::RequiredMissing,
            detail: format!("{} must have {} on create", object.name, field.name),
        }));
    }
    found
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}

fn of_field(object: &DescribedObject, name: &str, value: &Value, action: Action) -> Option<Finding> {
    let finding = |kind, detail: String| {
        Some(Finding {
            field: name.to_owned(),
            kind,
            detail,
        })
    };
    let Some(field) = object.field(name) else {
        return finding(
            FindingKind::UnknownField,
            format!("{} has no field {name}", object.name),
        );
    };
    let (create, update) = (field.on_create, field.on_update);
    match action {
        Action::Create if !create && update => {
            return finding(
                FindingKind::ReadOnly,
                format!("{name} can be written on update only"),
            );
        }
        Action::Update if !update && create => {
            return finding(
                FindingKind::ReadOnly,
                format!("{name} can be written on create only"),
            );
        }
        _ if !create && !update => {
            return finding(FindingKind::ReadOnly, format!("{name} cannot be written"));
        }
        _ => {}
    }
    if is_empty(value) {
        return None;
    }
    let wrong = if object.typed {
        wrong_json(field.value_type, value)
    } else {
        wrong_text(field.value_type, value)
    };
    if let Some(wanted) = wrong {
        return finding(FindingKind::WrongType, format!("{name} takes {wanted}"));
    }
    if field.only_options && !takes(field, value) {
        let named: Vec<&str> = field
            .options
            .iter()
            .take(MOST_OPTIONS)
            .map(|(value, _)| value.as_str())
            .collect();
        let more = field.options.len().saturating_sub(MOST_OPTIONS);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        return finding(
            FindingKind::NotAnOption,
            format!("{name} takes only its options: {}{more}", named.join(", ")),
        );
    }
    if let (Some(most), Some(text)) = (field.max_length, value.as_str()) {
        let length = text.chars().count();
        if length > most {
            return finding(
                FindingKind::TooLong,
                format!("{name} takes {most} characters; this has {length}"),
            );
        }
    }
    None
}

/// The milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// What the field takes, in words, when the value is certainly something else.
const fn words(wanted: ValueType) -> &'static str {
    match wanted {
        ValueType::Boolean => "true or false",
        ValueType::Int => "a whole number",
        ValueType::Float => "a number",
        ValueType::Date => "a date such as 2026-11-23",
        ValueType::Datetime => "a time such as 2026-11-23T12:00:00Z",
        _ => "another type",
    }
}

/// A provider that carries every value as text (HubSpot): the text decides, whatever it was in JSON.
fn wrong_text(wanted: ValueType, value: &Value) -> Option<&'static str> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null => return None,
        Value::Array(_) | Value::Object(_) => return no_value(wanted, value),
    };
    let fits = match wanted {
        ValueType::Boolean => matches!(text.as_str(), "true" | "false"),
        ValueType::Int => {
            let digits = text.strip_prefix('-').unwrap_or(&text);
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        }
        ValueType::Float => is_number(&text),
        // A day, or a moment at midnight UTC, also in milliseconds since 1970.
        ValueType::Date => {
            let ms = text.parse::<i64>().ok();
            let ms = ms.or_else(|| Some(text.parse::<jiff::Timestamp>().ok()?.as_millisecond()));
            if ms.is_some_and(|ms| ms.rem_euclid(DAY_MS) != 0) {
                return Some(
                    "a date such as 2026-11-23; as a time, or as milliseconds since 1970, it must be midnight UTC",
                );
            }
            ms.is_some() || is_day(&text)
        }
        ValueType::Datetime => {
            text.parse::<i64>().is_ok() || text.parse::<jiff::Timestamp>().is_ok() || is_day(&text)
        }
        _ => true,
    };
    (!fits).then_some(words(wanted))
}

/// A provider that reads JSON by the field's type (Salesforce): texts are converted, other kinds must be the field's.
fn wrong_json(wanted: ValueType, value: &Value) -> Option<&'static str> {
    let fits = match (value, wanted) {
        (Value::Null, _) => true,
        (Value::Array(_) | Value::Object(_), _) => return no_value(wanted, value),
        (Value::Bool(_), ValueType::Int | ValueType::Float | ValueType::Date | ValueType::Datetime) => false,
        (Value::Number(_), ValueType::Boolean | ValueType::Date | ValueType::Datetime) => false,
        (Value::Number(number), ValueType::Int) => number
            .to_string()
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-'),
        (Value::String(text), ValueType::Int) => text.parse::<i64>().is_ok(),
        (Value::String(text), ValueType::Float) => text.parse::<f64>().is_ok_and(f64::is_finite),
        (Value::String(text), ValueType::Boolean) => matches!(text.as_str(), "true" | "false"),
        // What follows the day is passed over.
        (Value::String(text), ValueType::Date) => text.get(..10).is_some_and(is_day),
        (Value::String(text), ValueType::Datetime) => is_day(text) || is_moment(text),
        _ => true,
    };
    (!fits).then_some(words(wanted))
}

/// What the field takes in place of a list or an object.
fn no_value(wanted: ValueType, value: &Value) -> Option<&'static str> {
    match wanted {
        ValueType::Other | ValueType::Reference => None,
        ValueType::MultiSelect if value.is_array() => Some("its options as one text, separated by `;`"),
        _ => Some("one value, not a list or an object"),
    }
}

fn is_day(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

/// A time with its zone, as `Z`, `+01:00` or `+0100`.
fn is_moment(text: &str) -> bool {
    let zone = text.len().checked_sub(5).and_then(|at| text.split_at_checked(at));
    let colon = match zone {
        Some((start, zone)) if zone.is_ascii() && zone.starts_with(['+', '-']) && !zone.contains(':') => {
            format!("{start}{}:{}", &zone[..3], &zone[3..])
        }
        _ => text.to_owned(),
    };
    colon.parse::<jiff::Timestamp>().is_ok()
}

/// An optional sign, digits with an optional fraction, an optional exponent; nothing else stands in it.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.strip_prefix(['-', '+']).unwrap_or(exponent)),
        None => (unsigned, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    digits(fraction) && digits(exponent) && (digits(whole) || whole.is_empty() && mantissa.len() > 1)
}

/// Whether every value given is an option.
fn takes(field: &Field, value: &Value) -> bool {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let is_option = |text: &str| field.options.iter().any(|(option, _)| option == text);
    if field.value_type == ValueType::MultiSelect {
        // A leading `;` adds to what is there.
        return text.split(';').filter(|part| !part.is_empty()).all(is_option);
    }
    is_option(&text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object() -> DescribedObject {
        let field = |name: &str, value_type| Field {
            name: name.to_owned(),
            value_type,
            on_create: true,
            on_update: true,
            ..Field::default()
        };
        let options = vec![
            ("P1".to_owned(), "High".to_owned()),
            ("P2".to_owned(), "Low".to_owned()),
        ];
        DescribedObject {
            name: "things".to_owned(),
            fields: vec![
                Field {
                    required: Some(true),
                    ..field("name", ValueType::String)
                },
                Field {
                    max_length: Some(3),
                    ..field("code", ValueType::String)
                },
                Field {
                    on_create: false,
                    on_update: false,
                    ..field("made", ValueType::Datetime)
                },
                Field {
                    on_update: false,
                    ..field("kind", ValueType::String)
                },
                field("count", ValueType::Int),
                field("size", ValueType::Float),
                field("active", ValueType::Boolean),
                field("day", ValueType::Date),
                field("at", ValueType::Datetime),
                Field {
                    options: options.clone(),
                    only_options: true,
                    ..field("level", ValueType::SingleSelect)
                },
                Field {
                    options,
                    only_options: true,
                    ..field("levels", ValueType::MultiSelect)
                },
            ],
            ..DescribedObject::default()
        }
    }

    fn kinds(action: Action, record: Value) -> Vec<(String, FindingKind)> {
        let Value::Object(record) = record else {
            panic!("an object")
        };
        findings(&object(), &record, action)
            .into_iter()
            .map(|finding| (finding.field, finding.kind))
            .collect()
    }

    #[test]
    fn each_kind_is_found_and_what_fits_is_not() {
        use FindingKind as K;
        let one = |field: &str, kind| vec![(field.to_owned(), kind)];
        for (record, wanted) in [
            (json!({"nome": "x"}), one("nome", K::UnknownField)),
            (json!({"made": "2026-01-01T00:00:00Z"}), one("made", K::ReadOnly)),
            (json!({"kind": "x"}), one("kind", K::ReadOnly)),
            (json!({"code": "äöüß"}), one("code", K::TooLong)),
            (json!({"code": "äöü"}), vec![]),
            (json!({"count": "1.5"}), one("count", K::WrongType)),
            (json!({"count": "15"}), vec![]),
            (json!({"count": [1]}), one("count", K::WrongType)),
            (json!({"size": "big"}), one("size", K::WrongType)),
            (json!({"size": 1.50}), vec![]),
            (json!({"active": "yes"}), one("active", K::WrongType)),
            (json!({"active": "True"}), one("active", K::WrongType)),
            (json!({"active": "true"}), vec![]),
            (json!({"active": true}), vec![]),
            (json!({"size": "1."}), one("size", K::WrongType)),
            (json!({"size": ".5e-3"}), vec![]),
            (json!({"size": " 5"}), one("size", K::WrongType)),
            (json!({"size": "NaN"}), one("size", K::WrongType)),
            (json!({"day": 1_635_535_865}), one("day", K::WrongType)),
            (json!({"day": 1_790_035_200_000_i64}), vec![]),
            (json!({"day": "2026-01-01T00:00:00Z"}), vec![]),
            (json!({"day": "2026-01-01T09:30:00Z"}), one("day", K::WrongType)),
            (json!({"day": "2026-01-01T02:00:00+02:00"}), vec![]),
            (json!({"at": "2026-11-23"}), vec![]),
            (json!({"at": "2026-11-23T12:00:00"}), one("at", K::WrongType)),
            (json!({"levels": ";P1"}), vec![]),
            (json!({"levels": "P1; P2"}), one("levels", K::NotAnOption)),
            (json!({"day": "23.11.2026"}), one("day", K::WrongType)),
            (json!({"day": "2026-11-23"}), vec![]),
            (json!({"at": "2026-11-23T12:00:00Z"}), vec![]),
            (json!({"at": "soon"}), one("at", K::WrongType)),
            (json!({"level": "P3"}), one("level", K::NotAnOption)),
            (json!({"level": "P1"}), vec![]),
            (json!({"levels": "P1;P2"}), vec![]),
            (json!({"levels": "P1;P9"}), one("levels", K::NotAnOption)),
            (json!({"levels": ["P1"]}), one("levels", K::WrongType)),
            (json!({"level": "", "count": null}), vec![]),
        ] {
            assert_eq!(kinds(Action::Update, record.clone()), wanted, "{record}");
        }
    }

    #[test]
    fn where_json_is_read_by_type_a_value_of_another_kind_is_found() {
        let typed = DescribedObject {
            typed: true,
            ..object()
        };
        for (field, value, fits) in [
            ("count", json!("15"), true),
            ("count", json!(true), false),
            ("count", json!(1.0), false),
            ("size", json!("1."), true),
            ("size", json!("x"), false),
            ("active", json!(1), false),
            ("active", json!("true"), true),
            ("active", json!("True"), false),
            ("day", json!(20_261_123), false),
            ("day", json!("2026-11-23T09:30:00Z"), true),
            ("day", json!("23.11.2026"), false),
            ("at", json!(1_790_035_200_000_i64), false),
            ("at", json!("2026-11-23T12:00:00"), false),
            ("at", json!("2026-11-23T12:00:00.000+0000"), true),
            ("at", json!("2026-11-23"), true),
            ("code", json!(12), true),
        ] {
            let Value::Object(record) = json!({ field: value }) else {
                panic!("an object")
            };
            let found = findings(&typed, &record, Action::Update);
            assert_eq!(found.is_empty(), fits, "{record:?}: {found:?}");
        }
    }

    #[test]
    fn only_a_create_must_have_what_is_required() {
        assert_eq!(
            kinds(Action::Create, json!({"name": ""})),
            vec![("name".to_owned(), FindingKind::RequiredMissing)]
        );
        assert!(kinds(Action::Create, json!({"name": "x"})).is_empty());
        assert!(kinds(Action::Update, json!({})).is_empty());
    }

    #[test]
    fn a_detail_does_not_repeat_the_value() {
        let Value::Object(record) = json!({"count": "s3cr3t", "level": "s3cr3t", "code": "s3cr3t"}) else {
            panic!()
        };
        let found = findings(&object(), &record, Action::Update);
        assert_eq!(found.len(), 3);
        assert!(!format!("{found:?}").contains("s3cr3t"));
    }
}
