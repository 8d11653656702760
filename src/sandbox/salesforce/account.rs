//! The state of one Salesforce org.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ids;
use super::schema::{self, Field, Object};
use super::settings::SalesforceSettings;
use crate::sandbox::journal::Line;

/// One record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub id: String,
    /// Order of creation.
    pub number: u64,
    /// Values by the field's own name; empty ones are left out.
    pub fields: Map<String, Value>,
    pub created_ms: i64,
    pub modified_ms: i64,
    pub deleted: bool,
    /// Whether the user may only read it.
    pub read_only: bool,
}

/// The records of one object, by order of creation, with an index per unique or external id field.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub records: BTreeMap<u64, Record>,
    by_id: HashMap<String, u64>,
    index: HashMap<String, HashMap<String, Vec<u64>>>,
}

impl Table {
    pub fn get(&self, id: &str) -> Option<&Record> {
        self.records.get(self.by_id.get(id)?)
    }

    /// Live records that hold this value of an indexed field, in order of creation.
    pub fn holders(&self, field: &str, value: &Value) -> Vec<&Record> {
        let found = self.index.get(field).and_then(|i| i.get(&key(value)));
        found
            .into_iter()
            .flatten()
            .filter_map(|n| self.records.get(n))
            .collect()
    }

    fn insert(&mut self, object: Option<&Object>, record: Record) {
        self.unindex(&record.id);
        let number = record.number;
        self.by_id.insert(record.id.clone(), number);
        if !record.deleted {
            for field in object
                .iter()
                .flat_map(|o| &o.fields)
                .filter(|f| f.unique || f.external_id)
            {
                if let Some(value) = record.fields.get(&field.name) {
                    let numbers = self
                        .index
                        .entry(field.name.clone())
                        .or_default()
                        .entry(key(value))
                        .or_default();
                    let at = numbers.partition_point(|n| *n < number);
                    numbers.insert(at, number);
                }
            }
        }
        self.records.insert(number, record);
    }

    fn unindex(&mut self, id: &str) {
        let Some(number) = self.by_id.get(id) else { return };
        let Some(record) = self.records.get(number) else {
            return;
        };
        for (name, index) in &mut self.index {
            if let Some(value) = record.fields.get(name)
                && let Some(numbers) = index.get_mut(&key(value))
            {
                numbers.retain(|n| n != number);
            }
        }
    }

    fn remove(&mut self, id: &str) {
        self.unindex(id);
        if let Some(number) = self.by_id.remove(id) {
            self.records.remove(&number);
        }
    }
}

/// What a query found, for its further pages.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    /// The object's own name.
    pub object: String,
    /// The fields asked for.
    pub fields: Vec<String>,
    /// The numbers of the records, in the order of the answer.
    pub rows: Vec<u64>,
    /// How many rows a page has.
    pub batch: usize,
}

/// How many queries may be open at once; a new one closes the oldest (Salesforce's limit per user).
const MAX_CURSORS: usize = 10;

/// Values compare without regard to case.
pub(crate) fn key(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_lowercase)
}

#[derive(Debug)]
pub(crate) struct Account {
    pub name: String,
    pub settings: SalesforceSettings,
    /// By lower-case name; shared, since each request looks into one while it changes the account.
    pub objects: BTreeMap<String, Arc<Object>>,
    /// By the object's own name.
    pub tables: HashMap<String, Table>,
    /// Calls in the present day: (day, calls).
    pub used: (i64, u64),
    /// When objects or fields changed last.
    pub schema_ms: i64,
    next_number: u64,
    queued_ids: HashMap<String, VecDeque<String>>,
    cursors: VecDeque<(String, Cursor)>,
    next_cursor: u64,
    seed: u64,
    journaled: bool,
    dirty: Vec<Line>,
    /// What to put back when an all-or-none collection fails: (object, id, the record before).
    undo: Option<Vec<(String, String, Option<Record>)>>,
}

impl Account {
    pub fn new(name: &str, seed: u64, journaled: bool) -> Self {
        Self {
            name: name.to_owned(),
            settings: SalesforceSettings::default(),
            objects: schema::defaults()
                .into_iter()
                .map(|(k, v)| (k, Arc::new(v)))
                .collect(),
            tables: HashMap::new(),
            used: (0, 0),
            schema_ms: 0,
            next_number: 1,
            queued_ids: HashMap::new(),
            cursors: VecDeque::new(),
            next_cursor: 1,
            seed,
            journaled,
            dirty: Vec::new(),
            undo: None,
        }
    }

    /// The object of that name, in any case.
    pub fn object(&self, name: &str) -> Option<&Arc<Object>> {
        self.objects.get(&name.to_ascii_lowercase())
    }

    /// The object whose ids begin so.
    pub fn object_of_id(&self, id: &str) -> Option<&Arc<Object>> {
        let prefix = id.get(..3)?;
        self.objects.values().find(|o| o.key_prefix == prefix)
    }

    /// Adds an object, or replaces its fields.
    pub fn put_object(&mut self, mut object: Object) {
        object.complete(self.objects.len());
        let name = object.name.clone();
        self.objects.insert(name.to_ascii_lowercase(), Arc::new(object));
        self.reindex(&name);
        self.keep_meta();
    }

    /// Adds or replaces a field; false when there is no such object.
    pub fn put_field(&mut self, object: &str, field: Field) -> bool {
        let Some(found) = self.objects.get_mut(&object.to_ascii_lowercase()) else {
            return false;
        };
        let found = Arc::make_mut(found);
        found.fields.retain(|f| !f.name.eq_ignore_ascii_case(&field.name));
        found.fields.push(field);
        found.complete(0);
        let name = found.name.clone();
        self.reindex(&name);
        self.keep_meta();
        true
    }

    /// Makes the object and the fields that a lenient org lacks.
    pub fn make_lenient(&mut self, object: &str, record: &Map<String, Value>) {
        if self.object(object).is_none() {
            self.put_object(Object {
                name: object.to_owned(),
                key_prefix: String::new(),
                fields: Vec::new(),
            });
        }
        let relationship = |o: &Object, name: &str| {
            o.fields
                .iter()
                .filter_map(Field::relationship)
                .any(|r| r.eq_ignore_ascii_case(name))
        };
        for (name, value) in record.iter().filter(|(n, _)| *n != "attributes") {
            let known = self
                .object(object)
                .is_some_and(|o| o.field(name).is_some() || relationship(o, name));
            if known {
                continue;
            }
            let kind = match value {
                Value::Bool(_) => "boolean",
                Value::Number(_) => "double",
                _ => "textarea",
            };
            self.put_field(object, Field::new(name, kind));
        }
    }

    /// Makes a field that a lenient org was asked to upsert by an external id.
    pub fn make_external_id(&mut self, object: &str, name: &str) {
        let Some(found) = self.object(object) else { return };
        let field = found
            .field(name)
            .cloned()
            .unwrap_or_else(|| Field::new(name, "string"));
        if !field.external_id && field.name.ends_with("__c") {
            self.put_field(
                object,
                Field {
                    external_id: true,
                    unique: true,
                    ..field
                },
            );
        }
    }

    fn reindex(&mut self, name: &str) {
        let object = self.objects.get(&name.to_ascii_lowercase());
        if let Some(table) = self.tables.get_mut(name) {
            table.index.clear();
            let records: Vec<Record> = table.records.values().cloned().collect();
            for record in records {
                table.insert(object.map(Arc::as_ref), record);
            }
        }
    }

    /// The ids the next new records of this object get, before generated ones.
    pub fn queue_ids(&mut self, object: &str, queued: impl IntoIterator<Item = String>) {
        self.queued_ids
            .entry(object.to_owned())
            .or_default()
            .extend(queued.into_iter().map(|i| ids::canonical(&i)));
    }

    /// Takes the next number and id.
    pub fn take_id(&mut self, object: &Object) -> (u64, String) {
        let number = self.next_number;
        self.next_number += 1;
        let queued = self
            .queued_ids
            .get_mut(&object.name)
            .and_then(VecDeque::pop_front);
        // The seed keeps ids of different orgs apart; 62^10 is far beyond the sum.
        let id = queued
            .unwrap_or_else(|| ids::generate(&object.key_prefix, self.seed % 100_000_000_000_000 + number));
        (number, id)
    }

    /// Keeps what a query found; the locator of its further pages. Not in the journal: a restart closes all queries.
    pub fn keep_cursor(&mut self, cursor: Cursor) -> String {
        let locator = ids::generate("01g", self.seed % 100_000_000_000_000 + self.next_cursor);
        self.next_cursor += 1;
        self.cursors.push_back((locator.clone(), cursor));
        if self.cursors.len() > MAX_CURSORS {
            self.cursors.pop_front();
        }
        locator
    }

    /// What the query of this locator found.
    pub fn cursor(&self, locator: &str) -> Option<&Cursor> {
        self.cursors.iter().find(|(l, _)| l == locator).map(|(_, c)| c)
    }

    pub fn table(&self, object: &str) -> Option<&Table> {
        self.tables.get(object)
    }

    /// The record of this id (18 characters), deleted or not.
    pub fn record(&self, object: &str, id: &str) -> Option<&Record> {
        self.tables.get(object)?.get(id)
    }

    /// Stores a record, new or changed.
    pub fn put_record(&mut self, object: &str, record: Record) {
        if self.undo.is_some() {
            let before = self.record(object, &record.id).cloned();
            if let Some(undo) = &mut self.undo {
                undo.push((object.to_owned(), record.id.clone(), before));
            }
        }
        self.keep("record", |_| json!({"object": object, "record": record}));
        self.place(object, record);
    }

    fn place(&mut self, object: &str, record: Record) {
        self.next_number = self.next_number.max(record.number + 1);
        let schema = self.objects.get(&object.to_ascii_lowercase());
        self.tables
            .entry(object.to_owned())
            .or_default()
            .insert(schema.map(Arc::as_ref), record);
    }

    /// Begins what can be taken back.
    pub fn begin(&mut self) {
        self.undo = Some(Vec::new());
    }

    /// Makes final what happened since `begin`.
    pub fn commit(&mut self) {
        self.undo = None;
    }

    /// Takes back what happened since `begin`.
    pub fn roll_back(&mut self) {
        for (object, id, before) in self.undo.take().unwrap_or_default().into_iter().rev() {
            let schema = self.objects.get(&object.to_ascii_lowercase());
            if let Some(table) = self.tables.get_mut(&object) {
                match before {
                    Some(record) => table.insert(schema.map(Arc::as_ref), record),
                    None => table.remove(&id),
                }
            }
        }
        self.dirty.retain(|line| line.kind != "record");
    }

    /// Marks settings and objects for the journal.
    pub fn keep_meta(&mut self) {
        self.keep("meta", |account| {
            let objects: BTreeMap<&String, &Object> =
                account.objects.iter().map(|(k, v)| (k, v.as_ref())).collect();
            json!({"settings": account.settings, "objects": objects})
        });
    }

    fn keep(&mut self, kind: &str, value: impl FnOnce(&Self) -> Value) {
        if self.journaled {
            let line = Line::salesforce(&self.name, kind, value(self));
            self.dirty.push(line);
        }
    }

    /// The journal lines of what changed since the last call.
    pub fn take_dirty(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.dirty)
    }

    /// Takes in one line of the journal.
    pub fn replay(&mut self, kind: &str, text: &str) -> Result<(), serde_json::Error> {
        #[derive(Deserialize)]
        struct Kept {
            object: String,
            record: Record,
        }
        #[derive(Deserialize)]
        struct Meta {
            settings: SalesforceSettings,
            objects: BTreeMap<String, Object>,
        }
        match kind {
            "record" => {
                let kept: Kept = serde_json::from_str(text)?;
                self.place(&kept.object, kept.record);
            }
            "meta" => {
                let meta: Meta = serde_json::from_str(text)?;
                self.settings = meta.settings;
                self.objects = meta.objects.into_iter().map(|(k, v)| (k, Arc::new(v))).collect();
                let names: Vec<String> = self.tables.keys().cloned().collect();
                for name in names {
                    self.reindex(&name);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
