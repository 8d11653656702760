//! SOQL, as far as a write service needs it: `SELECT a, b FROM X [WHERE f = 'x' [AND …]] [LIMIT n]`.

use serde_json::{Map, Value, json};

use super::account::{Account, Record, key};
use super::duplicates::attributes;
use super::errors::{Fault, JSON};
use super::ids;
use super::schema::Object;
use super::sobjects;
use super::{Call, Context, Outcome, object_of};
use crate::sandbox::message::{Reply, Request};

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

fn malformed(what: impl Into<String>) -> Fault {
    Fault::new(400, "MALFORMED_QUERY", what)
}

fn tokens(query: &str) -> Result<Vec<Token>, Fault> {
    let mut found = Vec::new();
    let mut chars = query.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '\'' => {
                let mut text = String::new();
                loop {
                    match chars.next() {
                        Some('\\') => match chars.next() {
                            Some('n') => text.push('\n'),
                            Some('r') => text.push('\r'),
                            Some('t') => text.push('\t'),
                            Some(c) => text.push(c),
                            None => return Err(malformed("unexpected end of a text")),
                        },
                        Some('\'') => break,
                        Some(c) => text.push(c),
                        None => return Err(malformed("unexpected end of a text")),
                    }
                }
                found.push(Token::Text(text));
            }
            ',' | '(' | ')' | '=' | '!' | '<' | '>' => found.push(Token::Mark(c)),
            c => {
                let mut word = c.to_string();
                while let Some(&next) = chars.peek() {
                    if next.is_whitespace() || ",()=!<>'".contains(next) {
                        break;
                    }
                    word.push(next);
                    chars.next();
                }
                found.push(Token::Word(word));
            }
        }
    }
    Ok(found)
}

#[derive(Debug)]
struct Condition {
    field: String,
    /// Any of these values; `None` stands for null.
    values: Vec<Option<Value>>,
    negated: bool,
}

#[derive(Debug)]
struct Query {
    fields: Vec<String>,
    object: String,
    conditions: Vec<Condition>,
    limit: usize,
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

impl Parser {
    fn word(&mut self) -> Result<String, Fault> {
        match self.tokens.next() {
            Some(Token::Word(word)) => Ok(word),
            other => Err(unexpected(other)),
        }
    }

    fn keyword(&mut self, wanted: &str) -> Result<(), Fault> {
        let word = self.word()?;
        if word.eq_ignore_ascii_case(wanted) {
            Ok(())
        } else {
            Err(malformed(format!("unexpected token: '{word}'")))
        }
    }

    fn at(&mut self, wanted: &str) -> bool {
        let here = matches!(self.tokens.peek(), Some(Token::Word(w)) if w.eq_ignore_ascii_case(wanted));
        if here {
            self.tokens.next();
        }
        here
    }

    fn mark(&mut self, wanted: char) -> bool {
        let here = self.tokens.peek() == Some(&Token::Mark(wanted));
        if here {
            self.tokens.next();
        }
        here
    }

    fn literal(&mut self) -> Result<Option<Value>, Fault> {
        match self.tokens.next() {
            Some(Token::Text(text)) => Ok(Some(Value::String(text))),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("null") => Ok(None),
            Some(Token::Word(word)) => Ok(Some(serde_json::from_str(&word).unwrap_or(Value::String(word)))),
            other => Err(unexpected(other)),
        }
    }

    fn condition(&mut self) -> Result<Condition, Fault> {
        let field = self.word()?;
        if self.at("IN") {
            if !self.mark('(') {
                return Err(malformed("unexpected token after IN"));
            }
            let mut values = vec![self.literal()?];
            while self.mark(',') {
                values.push(self.literal()?);
            }
            if !self.mark(')') {
                return Err(malformed("expecting ')'"));
            }
            return Ok(Condition {
                field,
                values,
                negated: false,
            });
        }
        let negated = self.mark('!');
        if !self.mark('=') {
            return Err(malformed(format!(
                "only =, != and IN are simulated, after {field}"
            )));
        }
        Ok(Condition {
            field,
            values: vec![self.literal()?],
            negated,
        })
    }

    fn query(&mut self) -> Result<Query, Fault> {
        self.keyword("SELECT")?;
        let mut fields = vec![self.word()?];
        if fields[0].eq_ignore_ascii_case("COUNT") && self.mark('(') {
            if !self.mark(')') {
                return Err(malformed("expecting ')'"));
            }
            fields = Vec::new();
        }
        while self.mark(',') {
            fields.push(self.word()?);
        }
        self.keyword("FROM")?;
        let object = self.word()?;
        let mut conditions = Vec::new();
        if self.at("WHERE") {
            conditions.push(self.condition()?);
            while self.at("AND") {
                conditions.push(self.condition()?);
            }
        }
        if self.at("ORDER") {
            self.keyword("BY")?;
            self.word()?;
            let _ = self.at("ASC") || self.at("DESC");
        }
        let mut limit = usize::MAX;
        if self.at("LIMIT") {
            let word = self.word()?;
            limit = word
                .parse()
                .map_err(|_| malformed(format!("unexpected token: '{word}'")))?;
        }
        match self.tokens.next() {
            None => Ok(Query {
                fields,
                object,
                conditions,
                limit,
            }),
            other => Err(unexpected(other)),
        }
    }
}

fn unexpected(token: Option<Token>) -> Fault {
    match token {
        Some(Token::Word(text) | Token::Text(text)) => malformed(format!("unexpected token: '{text}'")),
        Some(Token::Mark(mark)) => malformed(format!("unexpected token: '{mark}'")),
        None => malformed("unexpected end of the query"),
    }
}

/// `/query?q=…`; deleted records only with `queryAll`.
pub(super) fn query(
    account: &Account,
    request: &Request,
    all: bool,
    call: &Call<'_>,
    cx: &Context<'_>,
) -> Outcome {
    let text = request.query("q").unwrap_or_default();
    let query = Parser {
        tokens: tokens(&text)?.into_iter().peekable(),
    }
    .query()?;
    let object = object_of(account, &query.object).map_err(|_| {
        let message = format!("sObject type '{}' is not supported.", query.object);
        Fault::new(400, "INVALID_TYPE", message)
    })?;
    let named = query
        .fields
        .iter()
        .chain(query.conditions.iter().map(|c| &c.field));
    if let Some(unknown) = named.into_iter().find(|f| object.field(f).is_none()) {
        let message = format!("No such column '{unknown}' on entity '{}'.", object.name);
        return Err(Fault::new(400, "INVALID_FIELD", message));
    }
    let visible_until = cx.now_ms.saturating_sub(cx.mods.lag_ms());
    let fits = |r: &&Record| {
        (all || !r.deleted)
            && (cx.mods.lag_ms() == 0 || r.created_ms <= visible_until)
            && query.conditions.iter().all(|c| holds(&object, r, c))
    };
    let found: Vec<&Record> = candidates(account, &object, &query)
        .into_iter()
        .filter(fits)
        .take(query.limit)
        .collect();
    if query.fields.is_empty() {
        return Ok(Reply::json(
            200,
            JSON,
            &json!({"totalSize": found.len(), "done": true, "records": []}),
        ));
    }
    let records: Vec<Value> = found
        .iter()
        .map(|record| {
            let mut shown = Map::new();
            shown.insert(
                "attributes".to_owned(),
                attributes(&object, &record.id, call.version),
            );
            for field in query.fields.iter().filter_map(|f| object.field(f)) {
                shown.insert(field.name.clone(), sobjects::value(&object, record, field));
            }
            Value::Object(shown)
        })
        .collect();
    Ok(Reply::json(
        200,
        JSON,
        &json!({"totalSize": records.len(), "done": true, "records": records}),
    ))
}

/// The records to look at: by index when a condition allows, else all.
fn candidates<'a>(account: &'a Account, object: &Object, query: &Query) -> Vec<&'a Record> {
    let Some(table) = account.table(&object.name) else {
        return Vec::new();
    };
    for condition in query.conditions.iter().filter(|c| !c.negated) {
        let [Some(value)] = condition.values.as_slice() else {
            continue;
        };
        let Some(field) = object.field(&condition.field) else {
            continue;
        };
        if field.name == "Id" {
            return value
                .as_str()
                .and_then(|id| table.get(&ids::canonical(id)))
                .into_iter()
                .collect();
        }
        // Deleted records are not in the index, so it serves only for the live ones.
        if field.unique || field.external_id {
            return table.holders(&field.name, value);
        }
    }
    table.records.values().collect()
}

fn holds(object: &Object, record: &Record, condition: &Condition) -> bool {
    let Some(field) = object.field(&condition.field) else {
        return false;
    };
    let have = sobjects::value(object, record, field);
    let same = |wanted: &Option<Value>| match wanted {
        None => have.is_null(),
        Some(wanted) if field.kind == "reference" || field.kind == "id" => {
            let wanted = wanted.as_str().map(ids::canonical);
            wanted.is_some() && have.as_str().map(ids::canonical) == wanted
        }
        Some(wanted) => !have.is_null() && key(&have) == key(wanted),
    };
    condition.values.iter().any(same) != condition.negated
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Query, Fault> {
        Parser {
            tokens: tokens(text)?.into_iter().peekable(),
        }
        .query()
    }

    #[test]
    fn a_simple_query_is_read() {
        let query =
            parse("SELECT Id, Name FROM Contact WHERE Email = 'o\\'neil@x.io' AND Title != null LIMIT 5")
                .unwrap();
        assert_eq!(query.fields, ["Id", "Name"]);
        assert_eq!(
            query.conditions[0].values,
            [Some(Value::String("o'neil@x.io".to_owned()))]
        );
        assert!(query.conditions[1].negated);
        assert_eq!(query.limit, 5);
    }

    #[test]
    fn nonsense_is_a_malformed_query() {
        for text in [
            "",
            "SELECT",
            "SELECT Id FROM X WHERE",
            "SELECT Id FROM X WHERE a LIKE 'b'",
            "SELECT Id FROM X '",
        ] {
            assert_eq!(&*parse(text).unwrap_err().code, "MALFORMED_QUERY", "{text}");
        }
    }
}
