//! The request half of a plan.

use std::collections::HashSet;
use std::sync::Arc;

use super::merge::{merge_op, merge_result};
use super::{Problem, op_allows};
use crate::action::Action;
use crate::connectors::declarative::body::Body;
use crate::connectors::declarative::definition::{
    BodyDef, Encode, ObjectDef, OpDef, OpSwitch, OpsDef, QueryDef, ResultDef,
};
use crate::connectors::declarative::escape::{is_header_name, is_header_value};
use crate::connectors::declarative::ordered::Ordered;
use crate::connectors::declarative::plan::{
    Idempotency, Names, Plan, Query, QueryValue, RepeatId, RequestPlan, When,
};
use crate::connectors::declarative::template::Template;
use crate::connectors::declarative::text::{Source, Text};

pub(super) struct Compiler<'p> {
    pub(super) problems: &'p mut Vec<Problem>,
    pub(super) prefix: String,
    pub(super) base_url: String,
    pub(super) base_url_variable: Option<String>,
    pub(super) headers: Ordered<String>,
    pub(super) slashes: bool,
    pub(super) vars: HashSet<String>,
}

impl Compiler<'_> {
    pub(super) fn problem(&mut self, path: &str, message: impl Into<String>) {
        let problem = Problem {
            path: format!("{}{path}", self.prefix),
            message: message.into(),
        };
        // A default that is wrong is wrong for every object: say it once.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    pub(super) fn take<T>(&mut self, path: &str, read: Result<T, String>) -> Option<T> {
        read.map_err(|why| self.problem(path, why)).ok()
    }

    pub(super) fn text(&mut self, path: &str, text: &str) -> Text {
        let parsed = self
            .take(path, Text::parse(text))
            .unwrap_or_else(|| Text::literal(""));
        let unknown: Vec<String> = parsed
            .sources()
            .filter_map(|source| match source {
                Source::Conn(name) if !self.vars.contains(name) => Some(name.clone()),
                _ => None,
            })
            .collect();
        for name in unknown {
            self.problem(
                path,
                format!("`{{conn.{name}}}` names a variable that `connection` does not have"),
            );
        }
        parsed
    }

    /// The plan of an object (or of all, without a name) for an action; `None` when it does not have the action.
    pub(super) fn plan(
        &mut self,
        ops: &OpsDef,
        result: &ResultDef,
        object: Option<&str>,
        def: &ObjectDef,
        action: Action,
        listed: bool,
    ) -> Option<Plan> {
        let base = match ops.get(action) {
            Some(OpSwitch::On(op)) => Some(op.as_ref().clone()),
            _ => None,
        };
        let own = match def.get(action) {
            Some(OpSwitch::Off) => return None,
            Some(OpSwitch::On(op)) => Some(op.as_ref()),
            None => None,
        };
        // An object's own entry opens the action for it, whatever the lists say.
        if own.is_none() {
            let base = base.as_ref()?;
            if object.is_some_and(|o| !op_allows(base, o)) || (!listed && base.only.is_some()) {
                return None;
            }
        }
        let path = match object {
            Some(object) => format!("objects.{object}.{action}"),
            None => format!("ops.{action}"),
        };
        let mut op = base.unwrap_or_default();
        if action != Action::Delete && def.body.is_some() {
            op.body.clone_from(&def.body);
        }
        op.encode = def.encode.or(op.encode);
        op.result = Some(merge_result(&op.result.unwrap_or_default(), def.result.as_ref()));
        if let Some(own) = own {
            op = merge_op(&op, own);
        }
        op.result = Some(merge_result(result, op.result.as_ref()));
        let names = self.names(def);
        let mut request = self.op(&path, &op, &names, action, listed)?;
        let variants = op
            .variants
            .iter()
            .flatten()
            .enumerate()
            .filter_map(|(i, variant)| {
                let path = format!("{path}.variants.{i}");
                let op = merge_op(&op, &variant.op);
                let request = self.op(&path, &op, &names, action, listed)?;
                Some((When::of(&variant.when), Arc::new(request)))
            });
        request.variants = variants.collect();
        Some(Plan {
            names: Arc::new(names),
            request: Arc::new(request),
        })
    }

    /// What an object is called where.
    pub(super) fn names(&mut self, def: &ObjectDef) -> Names {
        Names {
            resource: def.resource.as_ref().map(|text| self.text("resource", text)),
            key: def.key.as_ref().map(|text| self.text("key", text)),
        }
    }

    pub(super) fn op(
        &mut self,
        path: &str,
        op: &OpDef,
        names: &Names,
        action: Action,
        listed: bool,
    ) -> Option<RequestPlan> {
        let at = |what: &str| format!("{path}.{what}");
        let method = op.method.as_deref().unwrap_or("");
        let Ok(method) = method.parse::<http::Method>() else {
            self.problem(&at("method"), format!("`{method}` is no HTTP method"));
            return None;
        };
        if op.path.is_none() {
            self.problem(&at("path"), "is missing");
        }
        let url_path = self.text(&at("path"), op.path.as_deref().unwrap_or_default());
        // What follows from a path that cannot be read is not told a second time.
        let path_reads = op.path.as_deref().is_some_and(|path| Text::parse(path).is_ok());
        if path_reads
            && url_path
                .leading_literal()
                .is_none_or(|start| !start.starts_with('/'))
            && op.path.as_deref() != Some("")
        {
            self.problem(&at("path"), "has to start with `/`");
        }
        let base = op.base_url.clone().unwrap_or_else(|| self.base_url.clone());
        let base_url = self.base(&at("base_url"), &base);
        let query = self.query(&at("query"), &op.query);
        let headers = self.headers.merged(&op.headers);
        let headers = self.headers(&at("headers"), &headers);
        let encode = op.encode.unwrap_or(if op.document.is_some() {
            Encode::Graphql
        } else {
            Encode::Json
        });
        let popped = popped(&url_path, names.resource.as_ref(), &query, &headers);
        let body = self.body(&at("body"), op, encode, action, &popped);
        let lookup = op
            .lookup
            .as_ref()
            .and_then(|lookup| self.lookup(&at("lookup"), lookup));
        let idempotency =
            op.idempotency_key
                .as_ref()
                .and_then(|key| match (&key.header, &key.body, &key.query) {
                    (Some(header), None, None) => Some(Idempotency::Header(header.clone())),
                    (None, Some(_), None) => Some(Idempotency::Body),
                    (None, None, Some(parameter)) => Some(Idempotency::Query(parameter.clone())),
                    _ => {
                        self.problem(
                            &at("idempotency_key"),
                            "takes one of `header`, `body` and `query`",
                        );
                        None
                    }
                });
        let repeat_id = self.repeat_id(&at("repeat_id"), op.repeat_id.as_ref());
        let sends_id = url_path.sources().any(|s| matches!(s, Source::Id))
            || query.iter().any(|(_, q)| match &q.value {
                QueryValue::Text(text) => text.sources().any(|s| matches!(s, Source::Id)),
                QueryValue::RecordKeys(_) => false,
            })
            || body.as_ref().is_some_and(Body::carries_id)
            || (body.is_some() && !repeat_id.is_empty());
        if action != Action::Create && path_reads && !sends_id && op.id_in_record != Some(true) {
            self.problem(
                path,
                "the request does not carry the record id, so it would act on the wrong record or make a new one; put \
                 `{id}` into the path, the query or the body, say with `repeat_id` which key of the record repeats it, or say \
                 `id_in_record: true` where other keys name it",
            );
        }
        let result = self.result(&at("result"), op.result.as_ref().unwrap_or(&ResultDef::default()));
        Some(RequestPlan {
            listed,
            slashes: self.slashes,
            method,
            base_url,
            base_url_variable: self.base_url_variable.clone().filter(|_| op.base_url.is_none()),
            path: url_path,
            query,
            headers,
            content_type: op
                .content_type
                .clone()
                .unwrap_or_else(|| default_content_type(encode).to_owned()),
            encode,
            body,
            needs_id: action != Action::Create,
            repeat_id,
            repeat_safe: op.repeat_safe.unwrap_or(action != Action::Create),
            idempotency,
            lookup,
            variants: Vec::new(),
            result,
        })
    }

    fn repeat_id(&mut self, path: &str, def: Option<&Ordered<String>>) -> Vec<RepeatId> {
        let mut all = Vec::new();
        for (key, value) in def.into_iter().flat_map(Ordered::iter) {
            let integer = match value.as_str() {
                "$id" => false,
                "$id:int" => true,
                _ => {
                    self.problem(&format!("{path}.{key}"), "has to be `$id` or `$id:int`");
                    continue;
                }
            };
            let key = self.text(path, key);
            all.push(RepeatId { key, integer });
        }
        all
    }

    pub(super) fn base(&mut self, path: &str, base: &str) -> Text {
        let text = self.text(path, base);
        let starts = text.leading_literal();
        let whole_variable = starts.is_none() && text.sources().count() == 1 && base.ends_with('}');
        if !whole_variable && !starts.is_some_and(|s| s.starts_with("https://")) {
            self.problem(
                path,
                "has to start with `https://`, or be one variable that holds a URL",
            );
        }
        text
    }

    pub(super) fn query(&mut self, path: &str, def: &Ordered<QueryDef>) -> Vec<(Text, Query)> {
        let mut all = Vec::new();
        for (name, def) in def.iter() {
            let at = format!("{path}.{name}");
            let value = match (&def.value, &def.record_keys) {
                (Some(text), None) => QueryValue::Text(self.text(&at, text)),
                (None, Some(keys)) => QueryValue::RecordKeys(keys.clone()),
                _ => {
                    self.problem(&at, "takes either `value` or `record_keys`");
                    continue;
                }
            };
            let query = Query {
                value,
                when: def.when.as_ref().map(When::of),
                optional: def.optional,
            };
            all.push((self.text(&at, name), query));
        }
        all
    }

    pub(super) fn headers(&mut self, path: &str, def: &Ordered<String>) -> Vec<(String, Text)> {
        let mut all = Vec::new();
        for (name, value) in def.iter() {
            let at = format!("{path}.{name}");
            let text = self.text(&at, value);
            if !is_header_name(name) || text.as_literal().is_some_and(|v| !is_header_value(v)) {
                self.problem(&at, "is not a header");
            }
            if ["content-type", "authorization", "host", "content-length"]
                .contains(&name.to_ascii_lowercase().as_str())
            {
                self.problem(&at, "is set elsewhere: use `content_type` or `auth`");
            }
            all.push((name.to_owned(), text));
        }
        all
    }

    pub(super) fn body(
        &mut self,
        path: &str,
        op: &OpDef,
        encode: Encode,
        action: Action,
        popped: &[String],
    ) -> Option<Body> {
        let mut def = match (&op.body, action) {
            (None, Action::Delete) if op.document.is_none() => return None,
            (None, _) => BodyDef::default(),
            (Some(def), _) => def.clone(),
        };
        if def.none {
            return None;
        }
        match (&op.document, encode) {
            (Some(document), Encode::Graphql) => {
                // The document is fixed text: values reach the provider as variables only.
                let variables = op
                    .variables
                    .clone()
                    .unwrap_or_else(|| serde_json::json!({"input": "$record"}));
                let document = document.replace('{', "{{").replace('}', "}}");
                def.template = Some(serde_json::json!({"query": document, "variables": variables}));
            }
            (None, Encode::Graphql) => self.problem(path, "GraphQL needs a `document`"),
            (Some(_), _) => self.problem(path, "`document` needs `encode: graphql`"),
            (None, _) => {}
        }
        let compiled = Body::compile(&def, popped);
        let mut body = self.take(path, compiled)?;
        if let Some(key) = op.idempotency_key.as_ref().and_then(|k| k.body.as_ref())
            && def.template.is_none()
        {
            body.add_default(key, Template::IdempotencyKey);
        }
        Some(body)
    }
}

fn popped(
    path: &Text,
    resource: Option<&Text>,
    query: &[(Text, Query)],
    headers: &[(String, Text)],
) -> Vec<String> {
    let in_query = query.iter().filter_map(|(_, q)| match &q.value {
        QueryValue::Text(text) => Some(text),
        QueryValue::RecordKeys(_) => None,
    });
    let texts = std::iter::once(path)
        .chain(resource)
        .chain(in_query)
        .chain(headers.iter().map(|(_, text)| text));
    let pops = texts.flat_map(Text::sources).filter_map(|source| match source {
        Source::Pop(key) => Some(key.clone()),
        _ => None,
    });
    pops.collect()
}

const fn default_content_type(encode: Encode) -> &'static str {
    match encode {
        Encode::Json | Encode::Graphql => "application/json",
        Encode::Form | Encode::FormFlat => "application/x-www-form-urlencoded",
    }
}
