//! What one record is to a provider: which names mean one field or object, which ids mean one record, and how an empty
//! value is written. A connector file states it; everything that compares names or ids asks here.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// The rules of one provider. The default is what most providers do: names and ids are what they are spelled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordRules {
    /// Which names mean one field.
    pub names: Names,
    /// Which ids mean one record.
    pub ids: Ids,
    /// The text that empties a field where `null` does not.
    pub null_as: Option<String>,
    /// Names that the provider has for one object, such as `contacts`, `contact` and `0-1`.
    pub same_objects: Vec<Vec<String>>,
}

/// Which names of fields mean one field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Names {
    /// Only equal ones.
    #[default]
    Exact,
    /// Those that differ in the case of ASCII letters only, at any depth; names of objects too. They are sent as given.
    AnyCase,
    /// Names are capitalised, `Last_Name`. One without any capital is sent so; every other one is taken to be right. Only
    /// at the top of a record. Names of objects are the same in any case.
    Capitalised {
        /// Names whose capitals do not follow the rule, such as `SIC_Code`.
        irregular: Vec<String>,
    },
}

/// Which ids mean one record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ids {
    /// Only equal ones.
    #[default]
    Exact,
    /// Salesforce's: 15 characters whose case counts, or 18 whose last three repeat the case of the others.
    Salesforce,
    /// Whole numbers: leading zeros do not count.
    Decimal,
    /// GUIDs: neither case nor braces count.
    Guid,
}

impl Names {
    /// Whether names that differ in case are one name.
    #[must_use]
    pub const fn any_case(&self) -> bool {
        matches!(self, Self::AnyCase)
    }

    /// Whether a name is nothing but its spelling.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        matches!(self, Self::Exact)
    }

    /// The same text for all names that mean one field. `top`: the name stands at the top of the record.
    #[must_use]
    pub fn fold<'n>(&self, name: &'n str, top: bool) -> Cow<'n, str> {
        match self {
            Self::AnyCase if name.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                Cow::Owned(name.to_ascii_lowercase())
            }
            Self::Capitalised { irregular } if top => capitalised(name, irregular),
            _ => Cow::Borrowed(name),
        }
    }

    /// The name as it is sent. `top` as in [`Names::fold`].
    #[must_use]
    pub fn sent<'n>(&self, name: &'n str, top: bool) -> Cow<'n, str> {
        match self {
            Self::Capitalised { irregular } if top => capitalised(name, irregular),
            _ => Cow::Borrowed(name),
        }
    }
}

/// `last_name` as `Last_Name`. What has a capital stays, and so does what starts with no letter (`$currency_symbol`) and
/// `id`. The `s` of a name that ends in `__s` is small.
fn capitalised<'n>(name: &'n str, irregular: &[String]) -> Cow<'n, str> {
    let starts_small = name.starts_with(|first: char| first.is_ascii_lowercase());
    if !starts_small || name == "id" || name.chars().any(char::is_uppercase) {
        return Cow::Borrowed(name);
    }
    if let Some(known) = irregular.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        return Cow::Owned(known.clone());
    }
    let (words, rest) = name
        .strip_suffix("__s")
        .map_or((name, ""), |words| (words, "__s"));
    let mut out = String::with_capacity(name.len());
    let mut at_start = true;
    for letter in words.chars() {
        out.push(if at_start {
            letter.to_ascii_uppercase()
        } else {
            letter
        });
        at_start = letter == '_';
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The key of a map that is this name. With `any_case` one that differs in case will do, after the exact one.
#[must_use]
pub fn find_key<'m>(map: &'m Map<String, Value>, name: &str, any_case: bool) -> Option<&'m String> {
    match map.get_key_value(name) {
        Some((key, _)) => Some(key),
        None if any_case => map.keys().find(|key| key.eq_ignore_ascii_case(name)),
        None => None,
    }
}

impl Ids {
    /// The same text for all ids that mean one record.
    #[must_use]
    pub fn canonical(self, id: &str) -> Cow<'_, str> {
        match self {
            Self::Exact => Cow::Borrowed(id),
            Self::Salesforce => salesforce(id),
            Self::Decimal => {
                let is_number = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
                let digits = id.trim_start_matches('0');
                Cow::Borrowed(match (is_number, digits.is_empty()) {
                    (false, _) => id,
                    (true, true) => "0",
                    (true, false) => digits,
                })
            }
            Self::Guid => {
                let bare = id.strip_prefix('{').and_then(|id| id.strip_suffix('}'));
                let bare = bare.unwrap_or(id);
                if is_guid(bare) {
                    Cow::Owned(bare.to_ascii_lowercase())
                } else {
                    Cow::Borrowed(id)
                }
            }
        }
    }
}

/// The first 15 characters. Of 18 the last three say which of them are capitals, five to a character (Salesforce Object
/// Reference, "ID Field Type": the long form may come in any case), so a long id whose case was lost is read by them.
fn salesforce(id: &str) -> Cow<'_, str> {
    if id.len() != 18 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Cow::Borrowed(id);
    }
    let (short, suffix) = id.split_at(15);
    let mut restored = String::with_capacity(15);
    for (five, check) in short.as_bytes().chunks(5).zip(suffix.bytes()) {
        let bits = match check.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            digit @ b'0'..=b'5' => digit - b'0' + 26,
            // No suffix: Salesforce has no such id.
            _ => return Cow::Borrowed(id),
        };
        for (at, byte) in five.iter().enumerate() {
            let capital = (bits >> at) & 1 == 1;
            if capital && byte.is_ascii_digit() {
                return Cow::Borrowed(id);
            }
            restored.push(char::from(if capital {
                byte.to_ascii_uppercase()
            } else {
                byte.to_ascii_lowercase()
            }));
        }
    }
    if restored == short {
        Cow::Borrowed(short)
    } else {
        Cow::Owned(restored)
    }
}

fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

impl RecordRules {
    /// The same text for all names that mean one object.
    #[must_use]
    pub fn object<'n>(&'n self, object: &'n str) -> Cow<'n, str> {
        let is_it = |name: &String| name.eq_ignore_ascii_case(object);
        let first = self
            .same_objects
            .iter()
            .find(|names| names.iter().any(is_it))
            .and_then(|names| names.first());
        match first {
            Some(first) => Cow::Borrowed(first.as_str()),
            None if self.names.is_exact() => Cow::Borrowed(object),
            None => Cow::Owned(object.to_ascii_lowercase()),
        }
    }

    /// Whether two names mean one object.
    #[must_use]
    pub fn is_same_object(&self, a: &str, b: &str) -> bool {
        a == b || self.object(a) == self.object(b)
    }

    /// A record as it is sent: names as the provider writes them, `null` as the text that empties a field. Values inside
    /// of lists and objects stay as they are.
    #[must_use]
    pub fn as_sent<'r>(&self, record: &'r Map<String, Value>) -> Cow<'r, Map<String, Value>> {
        let renames = |name: &String| matches!(self.names.sent(name, true), Cow::Owned(_));
        let null_as = self.null_as.as_deref();
        let changes = null_as.is_some() && record.values().any(Value::is_null)
            || matches!(self.names, Names::Capitalised { .. }) && record.keys().any(renames);
        if !changes {
            return Cow::Borrowed(record);
        }
        let mut out = Map::with_capacity(record.len());
        for (name, value) in record {
            let value = match null_as {
                Some(text) if value.is_null() => Value::from(text),
                _ => value.clone(),
            };
            let sent = self.names.sent(name, true);
            // Two names for one place are refused before; of those that come here all the same, none is lost.
            if record.contains_key(sent.as_ref()) {
                out.insert(name.clone(), value);
            } else {
                out.insert(sent.into_owned(), value);
            }
        }
        Cow::Owned(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(ids: Ids, a: &str, b: &str) -> bool {
        ids.canonical(a) == ids.canonical(b)
    }

    #[test]
    fn a_long_salesforce_id_is_its_short_one_in_any_case() {
        let ids = Ids::Salesforce;
        assert_eq!(ids.canonical("003Hs00002AbCdEIAV"), "003Hs00002AbCdE");
        assert_eq!(ids.canonical("003hs00002abcdeiav"), "003Hs00002AbCdE");
        assert_eq!(ids.canonical("003HS00002ABCDEIAV"), "003Hs00002AbCdE");
        assert_eq!(ids.canonical("001000000000001AAA"), "001000000000001");
    }

    #[test]
    fn a_short_salesforce_id_keeps_its_case() {
        assert!(!one(Ids::Salesforce, "003Hs00002AbCdE", "003Hs00002AbCde"));
        assert!(!one(Ids::Salesforce, "003Hs00002AbCdEIAV", "003Hs00002AbCdeIAF"));
    }

    #[test]
    fn what_is_no_salesforce_id_is_only_itself() {
        for id in [
            "",
            "7",
            "003Hs00002AbCdEI!V",
            "003Hs00002AbCdE999",
            "00399990000000055Z",
            "äöüäöüäöü",
        ] {
            assert_eq!(Ids::Salesforce.canonical(id), id);
        }
    }

    #[test]
    fn leading_zeros_do_not_count_in_a_number_only() {
        assert!(one(Ids::Decimal, "007", "7"));
        assert!(one(Ids::Decimal, "000", "0"));
        assert!(!one(Ids::Decimal, "70", "7"));
        assert!(!one(Ids::Decimal, "0x7", "x7"));
        assert_eq!(Ids::Decimal.canonical(""), "");
    }

    #[test]
    fn neither_case_nor_braces_count_in_a_guid() {
        let (a, b) = (
            "{A1B2C3D4-0000-4000-8000-00000000000F}",
            "a1b2c3d4-0000-4000-8000-00000000000f",
        );
        assert!(one(Ids::Guid, a, b));
        assert!(!one(Ids::Guid, "Key", "key"));
    }

    #[test]
    fn small_names_are_capitalised_and_right_ones_stay() {
        let names = Names::Capitalised {
            irregular: vec!["SIC_Code".to_owned(), "All_day".to_owned()],
        };
        for (given, sent) in [
            ("last_name", "Last_Name"),
            ("company", "Company"),
            ("sic_code", "SIC_Code"),
            ("all_day", "All_day"),
            ("location__s", "Location__s"),
            ("line_2", "Line_2"),
            ("Lead_score", "Lead_score"),
            ("MyField", "MyField"),
            ("id", "id"),
            ("$approval", "$approval"),
            ("", ""),
        ] {
            assert_eq!(names.sent(given, true), sent);
            assert_eq!(names.sent(sent, true), sent);
            assert_eq!(names.sent(given, false), given);
        }
    }
}
