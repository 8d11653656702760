//! From a file to plans: defaults merged, everything checked, nothing left to parse later.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::body::{Body, Template};
use super::definition::{
    BodyDef, ClassifyDef, Encode, ErrorsDef, File, IdDef, LookupDef, ObjectDef, OpDef, OpSwitch, OpsDef,
    PredicateDef, QueryDef, ReadsDef, ResultDef, Settings,
};
use super::escape::{is_header_name, is_header_value};
use super::json_path::JsonPath;
use super::ordered::Ordered;
use super::plan::{
    Classify, ErrorPlan, IdPlace, IdSource, Idempotency, Lookup, PathText, Plan, Predicate, Query,
    QueryValue, Rename, ResultPlan, Test, When,
};
use super::text::{Source, Text};
use crate::action::Action;
use crate::connectors::contract::Limits;
use crate::connectors::reads::Reads;

/// A problem in a file: the path of keys, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Keys joined with dots; empty for the file as a whole.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// The plans of one object, by action.
pub type Plans = [Option<Plan>; 3];

/// One module of a provider, compiled.
#[derive(Debug)]
pub struct Compiled {
    /// The module's name for people, when it has one.
    pub display_name: Option<String>,
    /// Plans of objects with settings of their own.
    pub objects: HashMap<String, Plans>,
    /// Objects that are listed and follow the defaults, with the actions they have.
    pub listed: HashMap<String, [bool; 3]>,
    /// The names of all listed objects, in the order of the file.
    pub names: Vec<String>,
    /// Plans of listed objects without settings of their own.
    pub listed_plans: Plans,
    /// Plans of objects that are not listed.
    pub open_plans: Plans,
    /// Whether objects that are not listed may be written.
    pub open: bool,
    /// Names that may not be written.
    pub deny: HashSet<String>,
    /// Actions on which the caller's headers are passed on.
    pub headers_passthrough: Vec<Action>,
    /// Actions that take associations.
    pub associations: Vec<Action>,
    /// What errors mean.
    pub errors: ErrorPlan,
    /// Reads.
    pub reads: Option<Reads>,
}

impl Compiled {
    /// The plan for an object and an action.
    #[must_use]
    pub fn plan(&self, action: Action, object: &str) -> Option<&Plan> {
        let at = index(action);
        if let Some(plans) = self.objects.get(object) {
            return plans[at].as_ref();
        }
        if let Some(actions) = self.listed.get(object) {
            return self.listed_plans[at].as_ref().filter(|_| actions[at]);
        }
        self.open_plans[at]
            .as_ref()
            .filter(|_| self.open && !self.deny.contains(object))
    }

    /// Whether the object can be written at all.
    #[must_use]
    pub fn knows(&self, object: &str) -> bool {
        ACTIONS.iter().any(|action| self.plan(*action, object).is_some())
    }
}

/// The actions in the order of [`Plans`].
pub const ACTIONS: [Action; 3] = [Action::Create, Action::Update, Action::Delete];

/// The place of an action in [`Plans`].
#[must_use]
pub const fn index(action: Action) -> usize {
    match action {
        Action::Create => 0,
        Action::Update => 1,
        Action::Delete => 2,
    }
}

/// Compiles one module: the file's settings with the module's put over them.
pub fn compile(file: &File, module: Option<(&str, &Settings)>, problems: &mut Vec<Problem>) -> Compiled {
    let (name, own) = module.map_or((None, None), |(name, own)| (Some(name), Some(own)));
    let none = Settings::default();
    let own = own.unwrap_or(&none);
    let prefix = name.map(|n| format!("modules.{n}.")).unwrap_or_default();
    let mut cx = Compiler {
        problems,
        prefix,
        base_url: own
            .base_url
            .clone()
            .or_else(|| file.base_url.clone())
            .unwrap_or_default(),
        base_url_variable: own
            .base_url_variable
            .clone()
            .or_else(|| file.base_url_variable.clone()),
        headers: file.headers.merged(&own.headers),
        slashes: own.slashes.or(file.slashes).unwrap_or(false),
        vars: known_vars(file),
    };
    let ops = merge_ops(&file.ops, &own.ops);
    let result = merge_result(&file.result, Some(&own.result));
    let objects = file.objects.merged(&own.objects);
    let open = own.open.or(file.open);
    if cx.base_url.is_empty() {
        cx.problem("base_url", "is missing");
    }
    let open = open.unwrap_or_else(|| {
        if objects.0.is_empty() {
            return true;
        }
        cx.problem(
            "open",
            "is missing: say whether objects that are not listed may be written",
        );
        false
    });

    let names = listed_names(&objects, &ops);
    for name in &names {
        if !name_fits(name) {
            cx.problem(
                &format!("objects.{name}"),
                "the name does not fit into a URL path",
            );
        }
    }
    let plain = ObjectDef::default();
    let mut plans_of = |object: Option<&str>, def: &ObjectDef, listed: bool| -> Plans {
        ACTIONS.map(|action| cx.plan(&ops, &result, object, def, action, listed))
    };
    let open_plans = if open {
        plans_of(None, &plain, false)
    } else {
        [None, None, None]
    };
    let listed_plans = plans_of(None, &plain, true);
    let mut compiled_objects = HashMap::new();
    let mut listed = HashMap::new();
    for name in &names {
        match objects.get(name) {
            Some(Some(def)) => {
                compiled_objects.insert(name.clone(), plans_of(Some(name), def, true));
            }
            _ => {
                listed.insert(name.clone(), ACTIONS.map(|action| allowed(&ops, action, name)));
            }
        }
    }
    let deny = if own.deny.is_empty() {
        &file.deny
    } else {
        &own.deny
    };
    let errors = cx.errors(&merge_errors(&file.errors, &own.errors));
    let reads = own
        .reads
        .as_ref()
        .or(file.reads.as_ref())
        .and_then(|reads| cx.reads(reads));
    let pick = |own: &[Action], file: &[Action]| {
        if own.is_empty() {
            file.to_vec()
        } else {
            own.to_vec()
        }
    };
    Compiled {
        display_name: own.display_name.clone(),
        objects: compiled_objects,
        listed,
        names,
        listed_plans,
        open_plans,
        open,
        deny: deny.iter().cloned().collect(),
        headers_passthrough: pick(&own.headers_passthrough, &file.headers_passthrough),
        associations: pick(&own.associations, &file.associations),
        errors,
        reads,
    }
}

/// The limits of a file, with the defaults for what it does not say.
#[must_use]
pub fn limits(file: &File) -> Limits {
    let def = &file.limits;
    Limits {
        concurrency: def.concurrency.unwrap_or(4),
        requests: def.requests,
        per_millis: def.per_seconds.map_or(1000, |s| (s * 1000.0) as u64),
        batch: def.batch.unwrap_or(1),
    }
}

fn known_vars(file: &File) -> HashSet<String> {
    let asked = file.connection.vars.iter().map(|(name, _)| name.to_owned());
    asked
        .chain(file.connection.discover.iter().map(|d| d.name.clone()))
        .collect()
}

/// Every object that the file names: in `objects` and in the `only` lists of the actions.
fn listed_names(objects: &Ordered<Option<ObjectDef>>, ops: &OpsDef) -> Vec<String> {
    let mut names: Vec<String> = objects.iter().map(|(name, _)| name.to_owned()).collect();
    let mut seen: HashSet<String> = names.iter().cloned().collect();
    for action in ACTIONS {
        if let Some(OpSwitch::On(op)) = ops.get(action) {
            let more = op
                .only
                .iter()
                .flatten()
                .filter(|name| seen.insert((*name).clone()));
            names.extend(more.cloned());
        }
    }
    names
}

fn allowed(ops: &OpsDef, action: Action, object: &str) -> bool {
    match ops.get(action) {
        Some(OpSwitch::On(op)) => op_allows(op, object),
        _ => false,
    }
}

fn op_allows(op: &OpDef, object: &str) -> bool {
    op.only
        .as_ref()
        .is_none_or(|only| only.iter().any(|o| o == object))
        && !op
            .except
            .as_ref()
            .is_some_and(|except| except.iter().any(|o| o == object))
}

/// A listed name goes into URLs as it is.
fn name_fits(name: &str) -> bool {
    !name.is_empty()
        && name
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~/:@$!*+,;=()'".contains(&b))
}

fn merge_ops(file: &OpsDef, own: &OpsDef) -> OpsDef {
    let merge = |action| match (file.get(action), own.get(action)) {
        (Some(OpSwitch::On(base)), Some(OpSwitch::On(over))) => {
            Some(OpSwitch::On(Box::new(merge_op(base, over))))
        }
        (base, over) => over.or(base).cloned(),
    };
    OpsDef {
        create: merge(Action::Create),
        update: merge(Action::Update),
        delete: merge(Action::Delete),
    }
}

fn merge_op(base: &OpDef, over: &OpDef) -> OpDef {
    OpDef {
        method: over.method.clone().or_else(|| base.method.clone()),
        path: over.path.clone().or_else(|| base.path.clone()),
        base_url: over.base_url.clone().or_else(|| base.base_url.clone()),
        query: base.query.merged(&over.query),
        headers: base.headers.merged(&over.headers),
        content_type: over.content_type.clone().or_else(|| base.content_type.clone()),
        encode: over.encode.or(base.encode),
        body: over.body.clone().or_else(|| base.body.clone()),
        document: over.document.clone().or_else(|| base.document.clone()),
        variables: over.variables.clone().or_else(|| base.variables.clone()),
        result: Some(merge_result(
            &base.result.clone().unwrap_or_default(),
            over.result.as_ref(),
        )),
        only: over.only.clone().or_else(|| base.only.clone()),
        except: over.except.clone().or_else(|| base.except.clone()),
        idempotency_key: over
            .idempotency_key
            .clone()
            .or_else(|| base.idempotency_key.clone()),
        repeat_safe: over.repeat_safe.or(base.repeat_safe),
        id_in_record: over.id_in_record.or(base.id_in_record),
        lookup: over.lookup.clone().or_else(|| base.lookup.clone()),
        variants: over.variants.clone().or_else(|| base.variants.clone()),
    }
}

fn merge_result(base: &ResultDef, over: Option<&ResultDef>) -> ResultDef {
    let Some(over) = over else { return base.clone() };
    ResultDef {
        ok: over.ok.clone().or_else(|| base.ok.clone()),
        id: over.id.clone().or_else(|| base.id.clone()),
        id_prefer_request: over.id_prefer_request.or(base.id_prefer_request),
        id_required: over.id_required.or(base.id_required),
        data: over.data.clone().or_else(|| base.data.clone()),
        empty: over.empty.or(base.empty),
        text: over.text.or(base.text),
    }
}

fn merge_errors(base: &ErrorsDef, over: &ErrorsDef) -> ErrorsDef {
    fn pick<T: Clone>(over: &[T], base: &[T]) -> Vec<T> {
        if over.is_empty() {
            base.to_vec()
        } else {
            over.to_vec()
        }
    }
    ErrorsDef {
        code: pick(&over.code, &base.code),
        message: pick(&over.message, &base.message),
        status: pick(&over.status, &base.status),
        existing_id: pick(&over.existing_id, &base.existing_id),
        classify: pick(&over.classify, &base.classify),
    }
}

struct Compiler<'p> {
    problems: &'p mut Vec<Problem>,
    prefix: String,
    base_url: String,
    base_url_variable: Option<String>,
    headers: Ordered<String>,
    slashes: bool,
    vars: HashSet<String>,
}

impl Compiler<'_> {
    fn problem(&mut self, path: &str, message: impl Into<String>) {
        let problem = Problem {
            path: format!("{}{path}", self.prefix),
            message: message.into(),
        };
        // A default that is wrong is wrong for every object: say it once.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn take<T>(&mut self, path: &str, read: Result<T, String>) -> Option<T> {
        read.map_err(|why| self.problem(path, why)).ok()
    }

    fn text(&mut self, path: &str, text: &str) -> Text {
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
    fn plan(
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
        let plan = self.op(&path, &op, def, action, listed)?;
        let variants = op
            .variants
            .iter()
            .flatten()
            .enumerate()
            .filter_map(|(i, variant)| {
                let path = format!("{path}.variants.{i}");
                let op = merge_op(&op, &variant.op);
                Some((When::of(&variant.when), self.op(&path, &op, def, action, listed)?))
            });
        Some(Plan {
            variants: variants.collect(),
            ..plan
        })
    }

    fn op(&mut self, path: &str, op: &OpDef, def: &ObjectDef, action: Action, listed: bool) -> Option<Plan> {
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
        if url_path
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
        let popped = popped(&url_path, &query, &headers);
        let body = self.body(&at("body"), op, encode, action, &popped);
        let lookup = op
            .lookup
            .as_ref()
            .and_then(|lookup| self.lookup(&at("lookup"), lookup));
        let idempotency = op
            .idempotency_key
            .as_ref()
            .and_then(|key| match (&key.header, &key.body) {
                (Some(header), None) => Some(Idempotency::Header(header.clone())),
                (None, Some(_)) => Some(Idempotency::Body),
                _ => {
                    self.problem(&at("idempotency_key"), "takes either `header` or `body`");
                    None
                }
            });
        let sends_id = url_path.sources().any(|s| matches!(s, Source::Id))
            || query.iter().any(|(_, q)| match &q.value {
                QueryValue::Text(text) => text.sources().any(|s| matches!(s, Source::Id)),
                QueryValue::RecordKeys(_) => false,
            })
            || body.as_ref().is_some_and(Body::carries_id)
            || lookup.as_ref().is_some_and(|l| l.native.is_some());
        if action != Action::Create && !sends_id && op.id_in_record != Some(true) {
            self.problem(
                path,
                "the request does not carry the record id, so it would act on the wrong record or make a new one; put \
                 `{id}` into the path, the query or the body, or say `id_in_record: true` where other keys name it",
            );
        }
        let result = self.result(&at("result"), op.result.as_ref().unwrap_or(&ResultDef::default()));
        Some(Plan {
            resource: def.resource.as_ref().map(|text| self.text("resource", text)),
            key: def.key.as_ref().map(|text| self.text("key", text)),
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
            repeat_safe: op.repeat_safe.unwrap_or(action != Action::Create),
            idempotency,
            lookup,
            variants: Vec::new(),
            result,
        })
    }

    fn base(&mut self, path: &str, base: &str) -> Text {
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

    fn query(&mut self, path: &str, def: &Ordered<QueryDef>) -> Vec<(Text, Query)> {
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

    fn headers(&mut self, path: &str, def: &Ordered<String>) -> Vec<(String, Text)> {
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

    fn body(
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

    fn lookup(&mut self, path: &str, def: &LookupDef) -> Option<Lookup> {
        let native = match def.native.as_deref() {
            None => None,
            Some(name) => {
                let found = crate::connectors::native::body(name)
                    .ok_or_else(|| format!("unknown native code `{name}`"));
                Some(self.take(path, found)?)
            }
        };
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
            native,
        })
    }

    fn result(&mut self, path: &str, def: &ResultDef) -> ResultPlan {
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

    fn predicate(&mut self, path: &str, def: &PredicateDef) -> Option<Predicate> {
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

    fn id(&mut self, path: &str, def: &IdDef) -> Option<IdPlace> {
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

    fn errors(&mut self, def: &ErrorsDef) -> ErrorPlan {
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
        ErrorPlan {
            code,
            message,
            status,
            existing_id,
            classify,
        }
    }

    fn classify(&mut self, i: usize, def: &ClassifyDef) -> Classify {
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

    fn reads(&mut self, def: &ReadsDef) -> Option<Reads> {
        let base = self.base_url.clone();
        let base_url = self.base("base_url", &base);
        let headers = self.headers.clone();
        let headers = self.headers("headers", &headers);
        let mut read = |path: &str, text: &str, query: &Ordered<QueryDef>| crate::connectors::reads::Read {
            plan: Plan {
                resource: None,
                key: None,
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
                idempotency: None,
                repeat_safe: true,
                lookup: None,
                variants: Vec::new(),
                result: ResultPlan::default(),
            },
        };
        let current = def
            .current
            .as_ref()
            .map(|c| (read("reads.current", &c.path, &c.query), c.fields.clone()));
        let unique = def
            .unique
            .as_ref()
            .map(|u| (read("reads.unique", &u.path, &u.query), u));
        let mut path = |text: &str| self.take("reads", JsonPath::parse(text));
        let current = match current {
            None => None,
            Some((read, fields)) => Some((read, path(&fields)?)),
        };
        let unique = match unique {
            None => None,
            Some((read, u)) => Some(crate::connectors::reads::Unique {
                read,
                list: u
                    .list
                    .as_deref()
                    .map(&mut path)
                    .map_or(Some(None), |p| p.map(Some))?,
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
        Some(Reads { current, unique })
    }
}

fn popped(path: &Text, query: &[(Text, Query)], headers: &[(String, Text)]) -> Vec<String> {
    let in_query = query.iter().filter_map(|(_, q)| match &q.value {
        QueryValue::Text(text) => Some(text),
        QueryValue::RecordKeys(_) => None,
    });
    let texts = std::iter::once(path)
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
