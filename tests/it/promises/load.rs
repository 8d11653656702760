//! Apps that write without pause, and remember what they were told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::Client;
use crate::harness::cluster::{Addresses, Cluster};

/// The manifest of the loads.
pub const MANIFEST: &str = r"
specVersion: 1.0.0
integrations:
  - name: hs
    provider: hubspot
    write: {objects: [{objectName: contacts}, {objectName: companies}]}
  - name: sf
    provider: salesforce
    write: {objects: [{objectName: Account}, {objectName: Lead}]}
";

/// What the app knows of a write that it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It was accepted: 200 to an asynchronous write.
    Accepted,
    /// It was done: 200 to a synchronous write.
    Done,
    /// It was refused, or there was no answer: it may have happened or not, but not twice.
    Nothing,
}

/// A write that an app sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Names it in reports.
    pub name: String,
    pub told: Told,
    /// The operation, when the app was told.
    pub operation: Option<String>,
    /// Its place in the request, when that was a batch.
    pub place: usize,
    pub account: String,
    pub object: &'static str,
    pub action: &'static str,
    /// The record of an update.
    pub record: Option<String>,
    /// What only this write writes.
    pub mark: Map<String, Value>,
    /// Its place among the writes to its record.
    pub order: u64,
    /// The provider keeps its value unique, so that it can be looked up: doubt is always resolved.
    pub keyed: bool,
}

/// A record that is updated again and again.
#[derive(Debug, Clone)]
struct Target {
    group: String,
    integration: &'static str,
    object: &'static str,
    field: &'static str,
    id: String,
    /// A second record, which is written together with the first in batches.
    other: String,
}

/// How the apps write.
#[derive(Debug, Clone)]
pub struct Options {
    pub groups: Vec<String>,
    /// Apps that make records, each with one request at a time.
    pub creators: usize,
    /// The longest pause between two writes of one app, in milliseconds.
    pub pause_ms: u64,
    /// So many writes an app has waiting at most, before it waits for them.
    pub backlog: usize,
    /// Let some creates be synchronous.
    pub synchronous: bool,
    /// What the app allows after an unknown outcome.
    pub on_unknown: &'static str,
}

impl Options {
    pub fn new(groups: usize) -> Self {
        Self {
            groups: (0..groups).map(|number| format!("group-{number}")).collect(),
            creators: 4,
            pause_ms: 40,
            backlog: usize::MAX,
            synchronous: true,
            on_unknown: "review",
        }
    }
}

struct Shared {
    client: Client,
    addresses: Addresses,
    options: Options,
    sent: Mutex<Vec<Sent>>,
    number: AtomicU64,
    told: AtomicUsize,
    told_more: Notify,
    stop: CancellationToken,
}

/// Apps that write until [`Load::end`].
pub struct Load {
    shared: Arc<Shared>,
    apps: JoinSet<()>,
}

impl Load {
    /// Makes the groups' installations and the records to update, then starts the apps.
    pub async fn start(cluster: &Cluster, options: Options, seed: u64) -> Self {
        cluster.set_up(MANIFEST, &options.groups).await;
        Self::start_prepared(cluster, options, seed).await
    }

    /// As [`Load::start`], with the groups' installations there.
    pub async fn start_prepared(cluster: &Cluster, options: Options, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            client: cluster.template(),
            addresses: cluster.addresses.clone(),
            sent: Mutex::default(),
            number: AtomicU64::new(0),
            told: AtomicUsize::new(0),
            told_more: Notify::new(),
            stop: CancellationToken::new(),
            options,
        });
        let mut apps = JoinSet::new();
        let mut rng = fastrand::Rng::with_seed(seed);
        for group in &shared.options.groups {
            for (integration, object, name, field) in [
                ("hs", "companies", "name", "city"),
                ("sf", "Account", "Name", "Description"),
            ] {
                let mut ids = Vec::new();
                for which in ["target", "other target"] {
                    let text = format!("{which} of {group}");
                    ids.push(
                        cluster
                            .create(integration, object, group, json!({name: text}))
                            .await,
                    );
                    shared.remember(Sent {
                        name: format!("{object} {text}"),
                        told: Told::Done,
                        operation: None,
                        place: 0,
                        account: group.clone(),
                        object,
                        action: "create",
                        record: None,
                        mark: json!({name: text}).as_object().cloned().expect("an object"),
                        order: 0,
                        keyed: false,
                    });
                }
                let target = Target {
                    group: group.clone(),
                    integration,
                    object,
                    field,
                    other: ids.pop().expect("two"),
                    id: ids.pop().expect("two"),
                };
                apps.spawn(Arc::clone(&shared).update(target, rng.fork()));
            }
        }
        for _ in 0..shared.options.creators {
            apps.spawn(Arc::clone(&shared).create(rng.fork()));
        }
        Self { shared, apps }
    }

    /// How many writes the apps were told about.
    pub fn told(&self) -> usize {
        self.shared.told.load(Ordering::SeqCst)
    }

    /// Waits until the apps were told of that many writes in all.
    pub async fn wait_told(&self, wanted: usize) {
        let patience = crate::harness::client::PATIENCE;
        tokio::time::timeout(patience, async {
            loop {
                let more = self.shared.told_more.notified();
                if self.told() >= wanted {
                    return;
                }
                more.await;
            }
        })
        .await
        .expect("the apps get on");
    }

    /// Lets every app end its present request, and answers everything that was sent.
    pub async fn end(mut self) -> Vec<Sent> {
        self.shared.stop.cancel();
        while let Some(ended) = self.apps.join_next().await {
            ended.expect("an app does not panic");
        }
        std::mem::take(&mut *self.shared.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    fn remember(&self, sent: Sent) {
        self.sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sent);
    }

    /// Updates one record, one request after the other: the order in which they are answered is the order of acceptance.
    async fn update(self: Arc<Self>, target: Target, mut rng: fastrand::Rng) {
        let mut order = 1;
        let mut waiting = VecDeque::new();
        while self.pause(&mut rng).await && self.room(&mut waiting, &mut rng).await {
            let mark = json!({ target.field: format!("{} {order}", target.group) });
            let record = |id: &str| {
                let mut record = mark.clone();
                record["id"] = json!(id);
                record
            };
            let mut body = json!({"groupRef": target.group, "type": "update", "mode": "asynchronous"});
            let mut records = vec![target.id.as_str()];
            if rng.u8(..4) == 0 {
                records.push(&target.other);
                body["batch"] = records.iter().map(|id| json!({ "record": record(id) })).collect();
            } else {
                body["record"] = record(&target.id);
            }
            let sent = records.iter().enumerate().map(|(place, id)| Sent {
                name: format!("{} {} {place} update {order}", target.group, target.object),
                told: Told::Nothing,
                operation: None,
                place,
                account: target.group.clone(),
                object: target.object,
                action: "update",
                record: Some((*id).to_owned()),
                mark: mark.as_object().cloned().expect("an object"),
                order,
                keyed: true,
            });
            let sent = sent.collect();
            let told = self.send(target.integration, target.object, body, sent, &mut rng);
            waiting.extend(told.await);
            order += 1;
        }
    }

    /// Makes records: contacts, which HubSpot keeps unique by their email, and others that nobody can look up.
    async fn create(self: Arc<Self>, mut rng: fastrand::Rng) {
        let mut waiting = VecDeque::new();
        while self.pause(&mut rng).await && self.room(&mut waiting, &mut rng).await {
            let group = rng.choice(&self.options.groups).expect("a group").clone();
            let (integration, object, field, keyed) = match rng.u8(..4) {
                0 | 1 => ("hs", "contacts", "email", true),
                2 => ("hs", "companies", "name", false),
                _ => ("sf", "Lead", "LastName", false),
            };
            // Now and then several in one request.
            let is_batch = rng.u8(..5) == 0;
            let count = if is_batch { rng.usize(2..6) } else { 1 };
            let values: Vec<String> = (0..count)
                .map(|_| {
                    let number = self.number.fetch_add(1, Ordering::SeqCst);
                    let end = if keyed { "@example.com" } else { "" };
                    format!("n{number}{end}")
                })
                .collect();
            let record = |value: &String| {
                let mut record = json!({ field: value });
                if object == "Lead" {
                    record["Company"] = json!("Northpeak");
                }
                record
            };
            let synchronous = self.options.synchronous && rng.u8(..8) == 0;
            let mode = if synchronous {
                "synchronous"
            } else {
                "asynchronous"
            };
            let mut body = json!({"groupRef": group, "type": "create", "mode": mode, "onUnknown": self.options.on_unknown});
            if is_batch {
                body["batch"] = values
                    .iter()
                    .map(|value| json!({ "record": record(value) }))
                    .collect();
            } else {
                body["record"] = record(&values[0]);
            }
            let sent = values.iter().enumerate().map(|(place, value)| Sent {
                name: format!("{object} {value}"),
                told: Told::Nothing,
                operation: None,
                place,
                account: group.clone(),
                object,
                action: "create",
                record: None,
                mark: json!({ field: value }).as_object().cloned().expect("an object"),
                order: 0,
                keyed,
            });
            let sent = sent.collect();
            waiting.extend(self.send(integration, object, body, sent, &mut rng).await);
        }
    }

    /// Waits a moment; false when the load ends.
    async fn pause(&self, rng: &mut fastrand::Rng) -> bool {
        let pause = Duration::from_millis(rng.u64(0..=self.options.pause_ms));
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    /// Waits until no more than the backlog of an app's operations have not ended; false when the load ends.
    async fn room(&self, waiting: &mut VecDeque<String>, rng: &mut fastrand::Rng) -> bool {
        while waiting.len() >= self.options.backlog {
            if self.stop.is_cancelled() {
                return false;
            }
            if self.has_ended(&waiting[0], rng).await {
                waiting.pop_front();
            } else {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        true
    }

    /// Whether an operation is known to have ended: nobody may serve just now.
    async fn has_ended(&self, operation: &str, rng: &mut fastrand::Rng) -> bool {
        let Some(client) = self.client(rng) else {
            return false;
        };
        let path = client.path(&format!("/operations/{operation}"));
        let asked = client.try_send(client.request(http::Method::GET, &path)).await;
        asked.is_ok_and(|answer| answer.status == 200 && answer.json()["status"] != "in_progress")
    }

    /// A client of a node that serves.
    fn client(&self, rng: &mut fastrand::Rng) -> Option<Client> {
        Some(Client {
            url: self.addresses.any(rng.usize(..))?,
            ..self.client.clone()
        })
    }

    /// Sends a write, and answers its operation when the app is told of one.
    async fn send(
        &self,
        integration: &str,
        object: &str,
        body: Value,
        mut sent: Vec<Sent>,
        rng: &mut fastrand::Rng,
    ) -> Option<String> {
        // Nobody serves just now: this write was never sent.
        let client = self.client(rng)?;
        let path = client.path(&format!("/integrations/{integration}/objects/{object}"));
        let request = client
            .request(http::Method::POST, &path)
            .header("content-type", "application/json")
            .body(body.to_string());
        if let Ok(answer) = client.try_send(request).await
            && answer.status == 200
        {
            let answer = answer.json();
            for sent in &mut sent {
                sent.operation = answer["operationId"].as_str().map(str::to_owned);
                sent.told = match (&answer["results"][sent.place]["success"], &body["mode"]) {
                    (Value::Bool(false), _) => Told::Nothing,
                    (_, mode) if mode == "synchronous" => Told::Done,
                    _ => Told::Accepted,
                };
            }
            self.told.fetch_add(1, Ordering::SeqCst);
        }
        let operation = sent.first().and_then(|sent| sent.operation.clone());
        for sent in sent {
            self.remember(sent);
        }
        self.told_more.notify_waiters();
        operation
    }
}
