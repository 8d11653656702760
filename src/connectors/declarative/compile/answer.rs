//! The answer half of a plan, and the reads around it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::request::Compiler;
use crate::connectors::declarative::definition::{
    ClassifyDef, Encode, ErrorsDef, IdDef, LookupDef, PredicateDef, QueryDef, ReadsDef, ResultDef,
};
use crate::connectors::declarative::json_path::JsonPath;
use crate::connectors::declarative::ordered::Ordered;
use crate::connectors::declarative::plan::{
    Classify, ErrorPlan, IdPlace, IdSource, Lookup, PathText, Plan, Predicate, Remedy, Rename, RequestPlan,
    ResultPlan, Test, When,
};
use crate::connectors::declarative::read_plan::{Current, Describe, Read, Reads, Unique};

impl Compiler<'_> {
    pub(super) fn lookup(&mut self, path: &str, def: &LookupDef) -> Option<Lookup> {
        let rename = match &def.rename {
            None => None,
            Some(rename) => {
                let mut read = |text: &str| self.take(&format!("{path}.rename"), JsonPath::parse(text));
                Some(Rename {
                    list: read(&rename.list)?,
                    name: read(&rename.name)?,
                    id: read(&rename.id)?,
                    into: rename.into.clone(),
                })
            }
        };
        Some(Lookup {
            path: self.text(&format!("{path}.path"), &def.path),
            query: self.query(&format!("{path}.query"), &def.query),
            when: def.when.as_ref().map(When::of),
            rename,
        })
    }

    pub(super) fn result(&mut self, path: &str, def: &ResultDef) -> ResultPlan {
        let ok = def
            .ok
            .iter()
            .flatten()
            .filter_map(|p| self.predicate(&format!("{path}.ok"), p))
            .collect();
        let id = def
            .id
            .iter()
            .flatten()
            .filter_map(|i| self.id(&format!("{path}.id"), i))
            .collect();
        let data = def.data.iter().flatten();
        let data = data
            .filter_map(|p| self.take(&format!("{path}.data"), PathText::parse(p)))
            .collect();
        ResultPlan {
            ok,
            id,
            id_prefer_request: def.id_prefer_request.unwrap_or(false),
            id_required: def.id_required.unwrap_or(false),
            data,
            empty: def.empty,
            text: def.text,
        }
    }

    pub(super) fn predicate(&mut self, path: &str, def: &PredicateDef) -> Option<Predicate> {
        let test = match (&def.equals, &def.one_of, def.empty, def.present) {
            (Some(value), None, None, None) => Test::OneOf(vec![value.clone()]),
            (None, Some(values), None, None) => Test::OneOf(values.clone()),
            (None, None, Some(true), None) => Test::Empty,
            (None, None, None, Some(true)) => Test::Present,
            _ => {
                self.problem(
                    path,
                    "takes exactly one of `equals`, `one_of`, `empty: true`, `present: true`",
                );
                return None;
            }
        };
        Some(Predicate {
            path: self.take(path, PathText::parse(&def.path))?,
            test,
        })
    }

    pub(super) fn id(&mut self, path: &str, def: &IdDef) -> Option<IdPlace> {
        let source = match (&def.path, &def.header) {
            (Some(text), None) => IdSource::Body(self.take(path, PathText::parse(text))?),
            (None, Some(header)) => IdSource::Header(header.to_ascii_lowercase()),
            _ => {
                self.problem(path, "takes either `path` or `header`");
                return None;
            }
        };
        let pattern = match &def.pattern {
            None => None,
            Some(pattern) => {
                let compiled = regex_lite::Regex::new(pattern).map_err(|why| format!("`{pattern}`: {why}"));
                Some(self.take(path, compiled)?)
            }
        };
        Some(IdPlace { source, pattern })
    }

    pub(super) fn errors(&mut self, def: &ErrorsDef) -> ErrorPlan {
        let mut paths = |what: &str, texts: &[String]| -> Vec<JsonPath> {
            let at = format!("errors.{what}");
            texts
                .iter()
                .filter_map(|text| self.take(&at, JsonPath::parse(text)))
                .collect()
        };
        let code = paths("code", &def.code);
        let message = paths("message", &def.message);
        let status = paths("status", &def.status);
        let existing_id = def
            .existing_id
            .iter()
            .filter_map(|i| self.id("errors.existing_id", i))
            .collect();
        let classify = def
            .classify
            .iter()
            .enumerate()
            .map(|(i, c)| self.classify(i, c))
            .collect();
        let remedies = def.remedies.iter().map(|remedy| Remedy {
            code: remedy.code.clone(),
            when: self.predicates("errors.remedies", &remedy.when),
            text: remedy.text.clone(),
        });
        let remedies = remedies.collect();
        ErrorPlan {
            code,
            message,
            status,
            existing_id,
            classify,
            remedies,
        }
    }

    fn predicates(&mut self, path: &str, defs: &[PredicateDef]) -> Vec<Predicate> {
        defs.iter().filter_map(|def| self.predicate(path, def)).collect()
    }

    pub(super) fn classify(&mut self, i: usize, def: &ClassifyDef) -> Classify {
        if def.status.is_empty() && def.code.is_empty() && def.message.is_empty() {
            self.problem(
                &format!("errors.classify.{i}"),
                "needs a `status`, a `code` or a `message`",
            );
        }
        Classify {
            status: def.status.clone(),
            code: def.code.clone(),
            message: def.message.clone(),
            on: def.on.clone(),
            class: def.class,
            wait_seconds: def.wait_seconds,
        }
    }

    pub(super) fn reads(&mut self, def: &ReadsDef) -> Option<Reads> {
        let base = self.base_url.clone();
        let base_url = self.base("base_url", &base);
        let headers = self.headers.clone();
        let headers = self.headers("headers", &headers);
        let mut read = |path: &str, text: &str, query: &Ordered<QueryDef>| Read {
            plan: Plan {
                names: Arc::default(),
                request: Arc::new(RequestPlan {
                    listed: false,
                    slashes: false,
                    method: http::Method::GET,
                    base_url: base_url.clone(),
                    base_url_variable: self.base_url_variable.clone(),
                    path: self.text(&format!("{path}.path"), text),
                    query: self.query(&format!("{path}.query"), query),
                    headers: headers.clone(),
                    content_type: String::new(),
                    encode: Encode::Json,
                    body: None,
                    needs_id: false,
                    repeat_id: Vec::new(),
                    idempotency: None,
                    repeat_safe: true,
                    lookup: None,
                    variants: Vec::new(),
                    result: ResultPlan::default(),
                }),
            },
        };
        let current = def
            .current
            .as_ref()
            .map(|c| (read("reads.current", &c.path, &c.query), c));
        let unique = def
            .unique
            .as_ref()
            .map(|u| (read("reads.unique", &u.path, &u.query), u));
        let describe = def.describe.as_ref().map(|d| Describe {
            form: d.form,
            main: read("reads.describe", &d.path, &Ordered::default()),
            also: d
                .also
                .as_ref()
                .map(|also| read("reads.describe.also", also, &Ordered::default())),
        });
        let not_found = def
            .not_found
            .as_ref()
            .map(|defs| self.predicates("reads.not_found", defs));
        let ids = def.current.iter().flat_map(|current| &current.id);
        let ids: Vec<IdPlace> = ids.filter_map(|id| self.id("reads.current.id", id)).collect();
        if def.current.is_some() && ids.is_empty() {
            self.problem(
                "reads.current.id",
                "names no place; it says where the answer has the id of the record",
            );
        }
        let none = def.unique.as_ref().map_or(&[][..], |unique| &unique.none);
        let none = self.predicates("reads.unique.none", none);
        let mut path = |text: &str| self.take("reads", JsonPath::parse(text));
        let current = match current {
            None => None,
            Some((read, c)) => Some(Current {
                read,
                id: ids,
                fields: path(&c.fields)?,
                absent_is_empty: c.absent_is_empty,
            }),
        };
        let unique = match unique {
            None => None,
            Some((read, u)) => Some(Unique {
                read,
                list: u
                    .list
                    .as_deref()
                    .map(&mut path)
                    .map_or(Some(None), |p| p.map(Some))?,
                none,
                id: path(&u.id)?,
                created_at: u
                    .created_at
                    .as_deref()
                    .map(&mut path)
                    .map_or(Some(None), |p| p.map(Some))?,
                fields: path(&u.fields)?,
                objects: u
                    .objects
                    .iter()
                    .map(|(k, v)| (k.to_owned(), v.clone()))
                    .collect::<BTreeMap<_, _>>(),
            }),
        };
        Some(Reads {
            not_found,
            current,
            unique,
            describe,
        })
    }
}
