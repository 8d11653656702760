//! SOQL read into a [`Query`]: `SELECT a, b FROM X [WHERE f = 'x' [AND …]] [ORDER BY f [ASC|DESC] [NULLS FIRST|LAST]]
//! [LIMIT n] [OFFSET n]`. All else is a malformed query here, never passed over.

use super::errors::Fault;

/// The furthest `OFFSET` (Salesforce's SOQL reference).
const MAX_OFFSET: usize = 2_000;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

pub(super) fn malformed(what: impl Into<String>) -> Fault {
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

/// A value in a condition.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Null,
    /// In quotes.
    Text(String),
    /// Without: a number, `true`, `false`, a date or a datetime.
    Bare(String),
}

/// How a condition compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Is {
    Any,
    None,
    Less,
    AtMost,
    More,
    AtLeast,
}

#[derive(Debug)]
pub(super) struct Condition {
    pub field: String,
    pub is: Is,
    /// One, or for `IN` and `NOT IN` several.
    pub values: Vec<Literal>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub field: String,
    pub descending: bool,
    pub nulls_last: bool,
}

#[derive(Debug)]
pub(super) struct Query {
    /// Empty for `COUNT()`.
    pub fields: Vec<String>,
    pub object: String,
    pub conditions: Vec<Condition>,
    pub order: Vec<Order>,
    pub limit: usize,
    pub offset: usize,
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

/// Reads a query.
pub(super) fn parse(text: &str) -> Result<Query, Fault> {
    Parser {
        tokens: tokens(text)?.into_iter().peekable(),
    }
    .query()
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

    fn literal(&mut self) -> Result<Literal, Fault> {
        match self.tokens.next() {
            Some(Token::Text(text)) => Ok(Literal::Text(text)),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("null") => Ok(Literal::Null),
            Some(Token::Word(word)) if is_bare(&word) => Ok(Literal::Bare(word)),
            // `TODAY`, `LAST_N_DAYS:3`, a variable of Apex: never taken for a text.
            other => Err(unexpected(other)),
        }
    }

    fn list(&mut self) -> Result<Vec<Literal>, Fault> {
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
        Ok(values)
    }

    fn condition(&mut self) -> Result<Condition, Fault> {
        let field = self.word()?;
        if self.at("IN") {
            let values = self.list()?;
            return Ok(Condition {
                field,
                is: Is::Any,
                values,
            });
        }
        if self.at("NOT") {
            self.keyword("IN")?;
            let values = self.list()?;
            return Ok(Condition {
                field,
                is: Is::None,
                values,
            });
        }
        let is = match (self.mark('!'), self.mark('<'), self.mark('>'), self.mark('=')) {
            (false, false, false, true) => Is::Any,
            (true, false, false, true) | (false, true, true, false) => Is::None,
            (false, true, false, false) => Is::Less,
            (false, true, false, true) => Is::AtMost,
            (false, false, true, false) => Is::More,
            (false, false, true, true) => Is::AtLeast,
            _ => {
                return Err(malformed(format!(
                    "only =, !=, <, <=, >, >=, IN and NOT IN are simulated, after {field}"
                )));
            }
        };
        let value = self.literal()?;
        if value == Literal::Null && !matches!(is, Is::Any | Is::None) {
            return Err(malformed("unexpected token: 'null'"));
        }
        Ok(Condition {
            field,
            is,
            values: vec![value],
        })
    }

    fn order(&mut self) -> Result<Vec<Order>, Fault> {
        let mut found = Vec::new();
        loop {
            let field = self.word()?;
            let descending = !self.at("ASC") && self.at("DESC");
            let nulls_last = if self.at("NULLS") {
                let last = self.at("LAST");
                if !last {
                    self.keyword("FIRST")?;
                }
                last
            } else {
                false
            };
            found.push(Order {
                field,
                descending,
                nulls_last,
            });
            if !self.mark(',') {
                return Ok(found);
            }
        }
    }

    fn number(&mut self) -> Result<usize, Fault> {
        let word = self.word()?;
        word.parse()
            .map_err(|_| malformed(format!("unexpected token: '{word}'")))
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
        while !fields.is_empty() && self.mark(',') {
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
        let mut order = Vec::new();
        if !fields.is_empty() && self.at("ORDER") {
            self.keyword("BY")?;
            order = self.order()?;
        }
        let limit = if self.at("LIMIT") {
            self.number()?
        } else {
            usize::MAX
        };
        let offset = if self.at("OFFSET") { self.number()? } else { 0 };
        if offset > MAX_OFFSET {
            let message = format!("Maximum SOQL offset allowed is {MAX_OFFSET}");
            return Err(Fault::new(400, "NUMBER_OUTSIDE_VALID_RANGE", message));
        }
        match self.tokens.next() {
            None => Ok(Query {
                fields,
                object,
                conditions,
                order,
                limit,
                offset,
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

/// Whether a word can be a value: a number, a boolean, or it begins like a date.
fn is_bare(word: &str) -> bool {
    let boolean = word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false");
    let number =
        word.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) && word.parse::<f64>().is_ok();
    let date = word
        .get(..10)
        .is_some_and(|d| d.parse::<jiff::civil::Date>().is_ok());
    boolean || number || date
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simple_query_is_read() {
        let query =
            parse("SELECT Id, Name FROM Contact WHERE Email = 'o\\'neil@x.io' AND Title != null LIMIT 5")
                .unwrap();
        assert_eq!(query.fields, ["Id", "Name"]);
        assert_eq!(
            query.conditions[0].values,
            [Literal::Text("o'neil@x.io".to_owned())]
        );
        assert_eq!(query.conditions[1].is, Is::None);
        assert_eq!((query.limit, query.offset), (5, 0));
    }

    #[test]
    fn an_order_has_fields_directions_and_a_place_for_nulls() {
        let query = parse(
            "SELECT Id FROM X ORDER BY a, b DESC, c ASC NULLS LAST, d desc nulls first LIMIT 1 OFFSET 2",
        )
        .unwrap();
        let read: Vec<_> = query
            .order
            .iter()
            .map(|o| (o.field.as_str(), o.descending, o.nulls_last))
            .collect();
        assert_eq!(
            read,
            [
                ("a", false, false),
                ("b", true, false),
                ("c", false, true),
                ("d", true, false)
            ]
        );
        assert_eq!((query.limit, query.offset), (1, 2));
    }

    #[test]
    fn what_is_not_simulated_is_a_malformed_query() {
        for text in [
            "",
            "SELECT",
            "SELECT Id FROM X WHERE",
            "SELECT Id FROM X WHERE a LIKE 'b'",
            "SELECT Id FROM X WHERE a = b",
            "SELECT Id FROM X WHERE a = TODAY",
            "SELECT Id FROM X WHERE a > LAST_N_DAYS:3",
            "SELECT Id FROM X WHERE a < null",
            "SELECT Id FROM X WHERE a = 'b' OR c = 'd'",
            "SELECT Id FROM X WHERE (a = 'b')",
            "SELECT Id FROM X WHERE NOT a = 'b'",
            "SELECT Id FROM X ORDER a",
            "SELECT Id FROM X ORDER BY",
            "SELECT Id FROM X ORDER BY a UP",
            "SELECT Id FROM X ORDER BY a NULLS",
            "SELECT Id FROM X GROUP BY a",
            "SELECT Id FROM X LIMIT 1 FOR UPDATE",
            "SELECT Id FROM X OFFSET 1 LIMIT 1",
            "SELECT COUNT(Id) FROM X",
            "SELECT COUNT() FROM X ORDER BY a",
            "SELECT FIELDS(ALL) FROM X",
            "SELECT (SELECT Id FROM Contacts) FROM Account",
            "SELECT a b FROM X",
            "SELECT Id FROM X y",
            "SELECT Id FROM X '",
        ] {
            assert_eq!(&*parse(text).unwrap_err().code, "MALFORMED_QUERY", "{text}");
        }
    }
}
