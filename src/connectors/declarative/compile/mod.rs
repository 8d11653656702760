//! From a file to plans: defaults merged, everything checked, nothing left to parse later.

mod answer;
mod merge;
mod request;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use self::merge::{merge_errors, merge_ops, merge_result};
use self::request::Compiler;
use super::batch_plan::Batch;
use super::definition::{File, ObjectDef, OpDef, OpSwitch, OpsDef, RecordsDef, Settings};
use super::ordered::Ordered;
use super::plan::{ErrorPlan, Plan};
use super::read_plan::Reads;
use super::text::{Source, Text};
use crate::action::Action;
use crate::connectors::contract::Limits;
use crate::record_rules::RecordRules;

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
    /// Which names and ids mean one thing.
    pub records: Arc<RecordRules>,
    /// Reads.
    pub reads: Option<Reads>,
    /// Batch calls.
    pub batch: Option<Batch>,
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

    /// Whether any request has this variable of the connection in it.
    #[must_use]
    pub fn needs_variable(&self, name: &str) -> bool {
        let shared = self.listed_plans.iter().chain(&self.open_plans);
        let all = shared.chain(self.objects.values().flatten());
        all.flatten().any(|plan| plan.needs_variable(name))
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
    let open_plans = ACTIONS.map(|action| {
        open.then(|| cx.plan(&ops, &result, None, &plain, action, false))
            .flatten()
    });
    // Defaults that no object follows need not be complete.
    let defs: HashMap<&str, &Option<ObjectDef>> = objects.iter().collect();
    let is_plain = |name: &String| !matches!(defs.get(name.as_str()), Some(Some(def)) if !def.is_name_only());
    let plainly = ACTIONS.map(|action| names.iter().any(|n| is_plain(n) && allowed(&ops, action, n)));
    let listed_plans = ACTIONS.map(|action| {
        plainly[index(action)]
            .then(|| cx.plan(&ops, &result, None, &plain, action, true))
            .flatten()
    });
    let mut compiled_objects = HashMap::new();
    let mut listed = HashMap::new();
    for name in &names {
        match defs.get(name.as_str()) {
            Some(Some(def)) if *def != plain => {
                // An object that only has names of its own shares the defaults: most objects of large files.
                let plans = match named(&mut cx, &listed_plans, def) {
                    Some(plans) => ACTIONS.map(|action| {
                        plans[index(action)]
                            .clone()
                            .filter(|_| allowed(&ops, action, name))
                    }),
                    None => ACTIONS.map(|action| cx.plan(&ops, &result, Some(name), def, action, true)),
                };
                compiled_objects.insert(name.clone(), plans);
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
    let records = own.records.as_ref().or(file.records.as_ref());
    let records = Arc::new(records.map(RecordsDef::rules).unwrap_or_default());
    let native = own.native.batch.or(file.native.batch);
    let batch = native.map(|form| Batch::of(form, |path| cx.text("native.batch", path)));
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
        records,
        reads,
        batch,
    }
}

/// The default plans with the names of an object in them; `None` when more than names differ.
fn named(cx: &mut Compiler<'_>, defaults: &Plans, def: &ObjectDef) -> Option<Plans> {
    if !def.is_name_only() {
        return None;
    }
    let names = cx.names(def);
    // What a name takes out of the record has to be left out of the body.
    if names
        .resource
        .iter()
        .flat_map(Text::sources)
        .any(|source| matches!(source, Source::Pop(_) | Source::Id))
    {
        return None;
    }
    let names = Arc::new(names);
    let rename = |plan: &Option<Plan>| {
        plan.as_ref().map(|plan| Plan {
            names: Arc::clone(&names),
            request: Arc::clone(&plan.request),
        })
    };
    Some([rename(&defaults[0]), rename(&defaults[1]), rename(&defaults[2])])
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

pub(super) fn allowed(ops: &OpsDef, action: Action, object: &str) -> bool {
    match ops.get(action) {
        Some(OpSwitch::On(op)) => op_allows(op, object),
        _ => false,
    }
}

pub(super) fn op_allows(op: &OpDef, object: &str) -> bool {
    op.only
        .as_ref()
        .is_none_or(|only| only.iter().any(|o| o == object))
        && !op
            .except
            .as_ref()
            .is_some_and(|except| except.iter().any(|o| o == object))
}

/// A listed name goes into URLs with its slashes.
fn name_fits(name: &str) -> bool {
    name.split('/')
        .all(|part| !part.is_empty() && part != "." && part != ".." && !part.chars().any(char::is_control))
}
