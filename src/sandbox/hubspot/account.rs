//! The state of one HubSpot account.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::defaults;
use super::schema::{ObjectType, Property, property};
use crate::sandbox::journal::Line;

/// What can be set for one HubSpot account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HubSpotSettings {
    /// The portal id, as in `hub_id` and in record URLs.
    pub hub_id: u64,
    /// Whether unknown properties and objects are made on first use instead of refused.
    pub lenient: bool,
    /// Calls per ten seconds, as told in the headers.
    pub burst: u64,
    /// Calls per day of a private app; no daily limit when absent.
    pub daily: Option<u64>,
    /// Searches per second.
    pub search: u64,
    /// Whether the limits are enforced, or only told.
    pub enforce_limits: bool,
    /// Scopes that the account's subscription cannot give to any app.
    pub missing_scopes: Vec<String>,
}

impl Default for HubSpotSettings {
    fn default() -> Self {
        Self {
            hub_id: 4_400_123,
            lenient: false,
            burst: 110,
            daily: None,
            search: 5,
            enforce_limits: false,
            missing_scopes: Vec::new(),
        }
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub id: u64,
    pub properties: BTreeMap<String, String>,
    pub created_ms: i64,
    pub updated_ms: i64,
    pub archived_ms: Option<i64>,
    /// The record it was merged into.
    pub merged_into: Option<u64>,
}

/// One direction of an association: type id from a record to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Link {
    pub from_type: String,
    pub from: u64,
    pub to_type: String,
    pub to: u64,
    pub category: String,
    pub type_id: u64,
}

/// The records of one object type, with an index per unique property.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub records: BTreeMap<u64, Record>,
    unique: HashMap<String, HashMap<String, u64>>,
}

impl Table {
    /// The live record that holds this value of a unique property.
    pub fn holder(&self, property: &str, value: &str) -> Option<u64> {
        self.unique.get(property)?.get(&key(value)).copied()
    }

    fn index(&mut self, object: &ObjectType, id: u64) {
        let Some(record) = self.records.get(&id) else {
            return;
        };
        if record.archived_ms.is_some() || record.merged_into.is_some() {
            return;
        }
        for name in object.properties.values().filter(|p| p.unique).map(|p| &p.name) {
            if let Some(value) = record.properties.get(name).filter(|v| !v.is_empty()) {
                self.unique
                    .entry(name.clone())
                    .or_default()
                    .insert(key(value), id);
            }
        }
    }

    fn unindex(&mut self, id: u64) {
        let Some(record) = self.records.get(&id) else {
            return;
        };
        for (name, index) in &mut self.unique {
            if let Some(value) = record.properties.get(name)
                && index.get(&key(value)) == Some(&id)
            {
                index.remove(&key(value));
            }
        }
    }
}

/// Unique values compare without regard to case.
fn key(value: &str) -> String {
    value.to_lowercase()
}

#[derive(Debug)]
pub(crate) struct Account {
    pub name: String,
    pub settings: HubSpotSettings,
    pub types: BTreeMap<String, ObjectType>,
    pub tables: HashMap<String, Table>,
    pub links: BTreeSet<Link>,
    pub rng: fastrand::Rng,
    /// Calls made in the present ten seconds, day and second of searches: (window, calls).
    pub burst_used: (i64, u64),
    pub daily_used: (i64, u64),
    pub search_used: (i64, u64),
    next_id: u64,
    queued_ids: HashMap<String, VecDeque<u64>>,
    /// Whether changes are kept for the journal.
    journaled: bool,
    dirty: Vec<Line>,
}

impl Account {
    pub fn new(name: &str, seed: u64, journaled: bool) -> Self {
        Self {
            name: name.to_owned(),
            settings: HubSpotSettings::default(),
            types: defaults::defaults(),
            tables: HashMap::new(),
            links: BTreeSet::new(),
            rng: fastrand::Rng::with_seed(seed),
            burst_used: (0, 0),
            daily_used: (0, 0),
            search_used: (0, 0),
            next_id: 50_000_001,
            queued_ids: HashMap::new(),
            journaled,
            dirty: Vec::new(),
        }
    }

    /// The object type of a path segment: name, singular, type id, or a custom object's short name.
    pub fn resolve(&self, word: &str) -> Option<&ObjectType> {
        if let Some(object) = self.types.get(word) {
            return Some(object);
        }
        self.types.values().find(|t| {
            t.name.eq_ignore_ascii_case(word)
                || t.type_id == word
                || t.singular.eq_ignore_ascii_case(word)
                || t.type_id.starts_with("2-")
                    && t.name.split_once('_').is_some_and(|(_, short)| short == word)
        })
    }

    /// The number of the next custom object type, which none of those there has.
    pub fn type_number(&self) -> usize {
        let taken = |number: &usize| {
            let id = ObjectType::custom_id(*number);
            self.types.values().any(|t| t.type_id == id)
        };
        (self.types.len()..)
            .find(|number| !taken(number))
            .unwrap_or_default()
    }

    /// Adds or changes an object type.
    pub fn put_type(&mut self, mut object: ObjectType) {
        object.complete(self.type_number());
        let name = object.name.clone();
        self.types.insert(name.clone(), object);
        self.reindex(&name);
        self.keep_meta();
    }

    /// Adds or replaces a property; false when there is no such object.
    pub fn put_property(&mut self, object: &str, mut property: Property) -> bool {
        let Some(name) = self.resolve(object).map(|t| t.name.clone()) else {
            return false;
        };
        if let Some(object) = self.types.get_mut(&name) {
            // What replaces one of HubSpot's own stays HubSpot's.
            if let Some(old) = object.properties.get(&property.name) {
                property.hubspot_defined |= old.hubspot_defined;
                if property.label.is_empty() {
                    property.label.clone_from(&old.label);
                }
            }
            property.complete(&object.first_group());
            object.properties.insert(property.name.clone(), property);
        }
        self.reindex(&name);
        self.keep_meta();
        true
    }

    /// Removes an object type and whatever records it had.
    pub fn drop_type(&mut self, name: &str) {
        self.types.remove(name);
        self.tables.remove(name);
        self.keep_meta();
    }

    /// Makes the object type and properties a lenient account lacks.
    pub fn make_lenient(&mut self, object: &str, names: &[String]) {
        if self.resolve(object).is_none() {
            self.put_type(ObjectType::named(object));
        }
        let Some(name) = self.resolve(object).map(|t| t.name.clone()) else {
            return;
        };
        let Some(object) = self.types.get_mut(&name) else {
            return;
        };
        let before = object.properties.len();
        let group = object.first_group();
        for wanted in names {
            object.properties.entry(wanted.clone()).or_insert_with(|| {
                let mut made = property(wanted, "string", false);
                made.complete(&group);
                made
            });
        }
        if object.properties.len() > before {
            self.keep_meta();
        }
    }

    fn reindex(&mut self, object: &str) {
        let Some(kind) = self.types.get(object) else {
            return;
        };
        if let Some(table) = self.tables.get_mut(object) {
            table.unique.clear();
            let ids: Vec<u64> = table.records.keys().copied().collect();
            for id in ids {
                table.index(kind, id);
            }
        }
    }

    /// The ids the next new records of this object get, before generated ones.
    pub fn queue_ids(&mut self, object: &str, ids: impl IntoIterator<Item = u64>) {
        self.queued_ids.entry(object.to_owned()).or_default().extend(ids);
    }

    /// The id the next new record of this object will get.
    pub fn peek_id(&self, object: &str) -> u64 {
        self.queued_ids
            .get(object)
            .and_then(|q| q.front().copied())
            .unwrap_or(self.next_id)
    }

    /// Takes the next id.
    pub fn take_id(&mut self, object: &str) -> u64 {
        if let Some(id) = self.queued_ids.get_mut(object).and_then(VecDeque::pop_front) {
            return id;
        }
        self.next_id += 1;
        self.next_id - 1
    }

    pub fn table(&self, object: &str) -> Option<&Table> {
        self.tables.get(object)
    }

    pub fn record(&self, object: &str, id: u64) -> Option<&Record> {
        self.tables.get(object)?.records.get(&id)
    }

    /// The live record of this id; a merged-away id gives the surviving record.
    pub fn live(&self, object: &str, id: u64) -> Option<&Record> {
        let mut record = self.record(object, id)?;
        while let Some(winner) = record.merged_into {
            record = self.record(object, winner)?;
        }
        record.archived_ms.is_none().then_some(record)
    }

    /// Stores a record, new or changed, and marks it for the journal.
    pub fn put_record(&mut self, object: &str, record: Record) {
        self.keep("record", |_| json!({"object": object, "record": record}));
        self.place(object, record);
    }

    fn place(&mut self, object: &str, record: Record) {
        let id = record.id;
        let table = self.tables.entry(object.to_owned()).or_default();
        table.unindex(id);
        table.records.insert(id, record);
        if let Some(kind) = self.types.get(object) {
            table.index(kind, id);
        }
        if id >= self.next_id && id < 10_000_000_000 {
            self.next_id = id + 1;
        }
    }

    pub fn put_link(&mut self, link: Link) -> bool {
        let new = self.links.insert(link.clone());
        if new {
            self.keep("link", |_| json!(link));
        }
        new
    }

    pub fn drop_link(&mut self, link: &Link) -> bool {
        let gone = self.links.remove(link);
        if gone {
            self.keep("unlink", |_| json!(link));
        }
        gone
    }

    /// Marks settings and object types for the journal.
    pub fn keep_meta(&mut self) {
        self.keep(
            "meta",
            |account| json!({"settings": account.settings, "types": account.types}),
        );
    }

    fn keep(&mut self, kind: &str, value: impl FnOnce(&Self) -> Value) {
        if self.journaled {
            let line = Line::hubspot(&self.name, kind, value(self));
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
            settings: HubSpotSettings,
            types: BTreeMap<String, ObjectType>,
        }
        match kind {
            "record" => {
                let kept: Kept = serde_json::from_str(text)?;
                self.place(&kept.object, kept.record);
            }
            "link" => {
                self.links.insert(serde_json::from_str(text)?);
            }
            "unlink" => {
                self.links.remove(&serde_json::from_str::<Link>(text)?);
            }
            "meta" => {
                let meta: Meta = serde_json::from_str(text)?;
                self.settings = meta.settings;
                self.types = meta.types;
                // A journal of before groups and labels.
                self.types.values_mut().for_each(|t| t.complete(0));
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
