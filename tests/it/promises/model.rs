//! Random interleavings of workers on the real store, against a simple model of what must be.
//!
//! Three workers lease, claim, begin, send, settle, stall and die in any order; leases are stolen under their hands. A model
//! provider counts what took effect. Checked all the time: what a claim gives, who may begin, whose settle takes effect, what
//! is in doubt. Checked at the end: nothing lost, doubled or out of order. The same check catches a store without a fence.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use amp_write::action::Action;
use amp_write::clock::{Clock as _, SystemClock, Time};
use amp_write::store::{
    AcceptOperation, AttemptState, BeginAttempt, Claimed, EndState, Ending, KeyScope, LaneAsk, Lease,
    NewApiKey, NewAttempt, NewConfig, NewConnection, NewInstallation, NewIntegration, NewOperation,
    NewProject, NewResult, SHARDS, Settle, SharedStore, shard_of,
};
use amp_write::vault::sha256;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};
use uuid::Uuid;

use super::seed;
use crate::harness::{Database, Kind};

const WORKERS: usize = 3;
const LANES: usize = 2;
/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);
/// Over before the next step.
const SHORT: Duration = Duration::from_millis(1);

/// What the provider does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provider {
    Applies,
    Refuses,
    AppliesInSilence,
    LosesIt,
}

#[derive(Debug, Clone)]
enum Step {
    /// A create (no key), or an update of the record with this key, which may hold it when it fails.
    Accept {
        lane: usize,
        key: Option<i64>,
        holds: bool,
    },
    /// Renews and takes leases. A short one runs out before the next step.
    Lease { worker: usize, short: bool },
    /// Gives its shards back.
    Retire { worker: usize },
    /// Its memory is gone; a new one takes its place.
    Die { worker: usize },
    /// Reads the lanes of the shards that it believes to hold.
    Claim { worker: usize },
    /// Sends something of what it has read.
    Send {
        worker: usize,
        pick: usize,
        provider: Provider,
    },
    /// Settles something of what it has sent. What was not done comes again at once, in an hour, or never.
    Settle {
        worker: usize,
        pick: usize,
        again: Option<bool>,
    },
    /// The lane's credentials die, or live again.
    Hold { lane: usize, held: bool },
    /// Somebody releases the record of one of the operations.
    Release { pick: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (worker, pick) = (0..WORKERS, 0..8_usize);
    let provider = prop_oneof![
        4 => Just(Provider::Applies),
        1 => Just(Provider::Refuses),
        1 => Just(Provider::AppliesInSilence),
        1 => Just(Provider::LosesIt),
    ];
    let again = prop_oneof![4 => Just(Some(true)), 1 => Just(Some(false)), 2 => Just(None)];
    let step = prop_oneof![
        4 => (0..LANES, proptest::option::of(0..3_i64), any::<bool>())
            .prop_map(|(lane, key, holds)| Step::Accept { lane, key, holds }),
        4 => (worker.clone(), any::<bool>()).prop_map(|(worker, short)| Step::Lease { worker, short }),
        1 => worker.clone().prop_map(|worker| Step::Retire { worker }),
        1 => worker.clone().prop_map(|worker| Step::Die { worker }),
        5 => worker.clone().prop_map(|worker| Step::Claim { worker }),
        6 => (worker.clone(), pick.clone(), provider).prop_map(|(worker, pick, provider)| Step::Send { worker, pick, provider }),
        5 => (worker, pick, again).prop_map(|(worker, pick, again)| Step::Settle { worker, pick, again }),
        1 => (0..LANES, any::<bool>()).prop_map(|(lane, held)| Step::Hold { lane, held }),
        1 => (0..40_usize).prop_map(|pick| Step::Release { pick }),
    ];
    proptest::collection::vec(step, 1..80)
}

/// What is checked, and whether the workers forge the fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// Everything, with the store as it is.
    All,
    /// Everything, but each begin and settle names whoever holds the shard by now: as if there were no fence.
    Forged,
    /// The same, and only what the provider and the app see is checked.
    ForgedSeenFromOutside,
}

/// An item that must be in the queue.
#[derive(Debug, Clone)]
struct Live {
    lane: usize,
    key: Option<i64>,
    /// Later ones of its record are held when it fails.
    holds: bool,
    /// Grows each time it is put off.
    version: u32,
    /// Put off for an hour.
    late: bool,
}

/// An item in a worker's memory.
#[derive(Debug, Clone)]
struct Read {
    claimed: Claimed,
    lease: Lease,
    lane: usize,
    key: Option<i64>,
    version: u32,
    attempt: Uuid,
    /// What the provider did; nothing while it was not sent.
    sent: Option<Provider>,
    /// An earlier request is in doubt: it is not sent again, but ends in review.
    review: bool,
}

#[derive(Debug)]
struct Worker {
    id: Uuid,
    leases: HashMap<i16, Lease>,
    memory: Vec<Read>,
}

impl Worker {
    fn new() -> Self {
        Self {
            id: Uuid::new_v4(),
            leases: HashMap::new(),
            memory: Vec::new(),
        }
    }
}

/// Who has a shard.
#[derive(Debug, Clone, Copy, Default)]
struct Owner {
    worker: Option<Uuid>,
    epoch: i64,
    long: bool,
}

/// One run: the store, and what the model says of it.
struct Run<'a> {
    store: &'a SharedStore,
    kind: Kind,
    rules: Rules,
    project: Uuid,
    integration: (Uuid, Uuid),
    lanes: Vec<(Uuid, Uuid, Uuid)>,
    held: [bool; LANES],
    workers: Vec<Worker>,
    owners: Vec<Owner>,
    /// In accepted order.
    accepted: Vec<Uuid>,
    /// The lane and record of each update, by its number.
    records: HashMap<usize, (usize, i64)>,
    live: BTreeMap<usize, Live>,
    /// What has failed and holds its record: its number, lane and record.
    holding: Vec<(usize, (usize, i64))>,
    /// Begun and not known to be without effect.
    doubts: HashMap<Uuid, HashSet<Uuid>>,
    results: HashMap<Uuid, EndState>,
    /// What took effect at the provider, in order.
    effects: Vec<Uuid>,
}

type Check = Result<(), TestCaseError>;

fn fail<T>(text: String) -> Result<T, TestCaseError> {
    Err(TestCaseError::fail(text))
}

impl<'a> Run<'a> {
    async fn new(store: &'a SharedStore, kind: Kind, rules: Rules, owners: Vec<Owner>) -> Self {
        let name = format!("p{}", Uuid::new_v4().simple());
        let project = NewProject {
            id: Uuid::new_v4(),
            name: name.clone(),
            app_name: "App".to_owned(),
            org_id: Uuid::new_v4(),
        };
        let key = NewApiKey {
            id: Uuid::new_v4(),
            key_hash: sha256(name.as_bytes()),
            masked: "amp_…".to_owned(),
            label: "key".to_owned(),
            scopes: KeyScope::Full.into(),
            expire_time: None,
        };
        let project = store.create_project(&project, &key).await.expect("a project").id;
        let integration = NewIntegration {
            id: Uuid::new_v4(),
            revision_id: Uuid::new_v4(),
            name: "hs".to_owned(),
            provider: "hubspot".to_owned(),
            spec_version: "1.0.0".to_owned(),
            content: "{}".to_owned(),
        };
        let integration = store
            .deploy(project, &[integration], false)
            .await
            .expect("deployed")
            .remove(0);
        let mut lanes = Vec::new();
        for lane in 0..LANES {
            let connection = NewConnection {
                id: Uuid::new_v4(),
                provider: "hubspot".to_owned(),
                group_ref: format!("g{lane}"),
                group_name: None,
                consumer_ref: "person".to_owned(),
                consumer_name: None,
                provider_workspace_ref: None,
                provider_metadata: None,
                auth_scheme: "apiKey".to_owned(),
                credentials: vec![1],
                grant: None,
            };
            let connection = store
                .create_connection(project, &connection)
                .await
                .expect("a connection")
                .id;
            let installation = NewInstallation {
                id: Uuid::new_v4(),
                integration_id: integration.id,
                connection_id: connection,
                group_ref: format!("g{lane}"),
                created_by: "test".to_owned(),
                config: NewConfig {
                    id: Uuid::new_v4(),
                    revision_id: integration.revision_id,
                    content: "{}".to_owned(),
                    created_by: "test".to_owned(),
                },
            };
            let installation = store
                .create_installation(project, &installation)
                .await
                .expect("an installation");
            lanes.push((connection, installation.id, installation.config_id));
        }
        Self {
            store,
            kind,
            rules,
            project,
            integration: (integration.id, integration.revision_id),
            lanes,
            held: [false; LANES],
            workers: (0..WORKERS).map(|_| Worker::new()).collect(),
            owners,
            accepted: Vec::new(),
            records: HashMap::new(),
            live: BTreeMap::new(),
            holding: Vec::new(),
            doubts: HashMap::new(),
            results: HashMap::new(),
            effects: Vec::new(),
        }
    }

    fn checks_inside(&self) -> bool {
        self.rules != Rules::ForgedSeenFromOutside
    }

    async fn step(&mut self, step: &Step) -> Check {
        match *step {
            Step::Accept { lane, key, holds } => self.accept(lane, key, holds).await,
            Step::Release { pick } => self.release(pick).await?,
            Step::Lease { worker, short } => self.lease(worker, if short { SHORT } else { LONG }).await?,
            Step::Retire { worker } => self.retire(worker).await,
            Step::Die { worker } => {
                let dead = std::mem::replace(&mut self.workers[worker], Worker::new());
                // Its leases run out: others need not wait for an hour here.
                self.expire(dead.id).await;
            }
            Step::Claim { worker } => self.claim(worker).await?,
            Step::Send {
                worker,
                pick,
                provider,
            } => self.send(worker, pick, provider).await?,
            Step::Settle { worker, pick, again } => self.settle(worker, pick, again).await?,
            Step::Hold { lane, held } => {
                self.store
                    .set_connection_works(self.project, self.lanes[lane].0, 1, !held)
                    .await
                    .expect("noted");
                self.held[lane] = held;
            }
        }
        Ok(())
    }

    async fn release(&mut self, pick: usize) -> Check {
        let Some(id) = self.accepted.get(pick % self.accepted.len().max(1)).copied() else {
            return Ok(());
        };
        let number = self.number(id);
        let record = self.records.get(&number).copied();
        let names_it =
            self.live.contains_key(&number) || self.holding.iter().any(|(holder, _)| *holder == number);
        let of_record = |held: &(usize, (usize, i64))| names_it && Some(held.1) == record;
        let expected = self.holding.iter().any(of_record);
        let released = self
            .store
            .release_record(self.project, id)
            .await
            .expect("released");
        if released.is_some() != expected {
            return fail(format!("releasing the record of {number} answered {released:?}"));
        }
        self.holding.retain(|held| !of_record(held));
        Ok(())
    }

    async fn accept(&mut self, lane: usize, key: Option<i64>, holds: bool) {
        let id = SystemClock.new_id();
        let (connection, installation, config) = self.lanes[lane];
        let accept = AcceptOperation {
            operation: NewOperation {
                id,
                project_id: self.project,
                integration_id: self.integration.0,
                installation_id: installation,
                config_id: config,
                revision_id: self.integration.1,
                connection_id: connection,
                object: "contacts".to_owned(),
                action: if key.is_none() {
                    Action::Create
                } else {
                    Action::Update
                },
                request: "{}".to_owned(),
                client_ref: None,
                replay_of: None,
            },
            record_key: key,
            holds,
            deadline: LONG,
            key: None,
            performing: None,
            gather: None,
            record_keys: Vec::new(),
        };
        self.store.accept_operations(&[accept]).await.expect("accepted");
        let live = Live {
            lane,
            key,
            holds,
            version: 0,
            late: false,
        };
        if let Some(key) = key {
            self.records.insert(self.accepted.len(), (lane, key));
        }
        self.live.insert(self.accepted.len(), live);
        self.accepted.push(id);
    }

    async fn lease(&mut self, worker: usize, lease: Duration) -> Check {
        // Whatever short lease there is has run out.
        tokio::time::sleep(2 * SHORT).await;
        let id = self.workers[worker].id;
        let leases = self
            .store
            .lease_shards(id, lease, Duration::ZERO)
            .await
            .expect("leased");
        let held: HashMap<i16, Lease> = leases.held.iter().map(|lease| (lease.shard, *lease)).collect();
        for shard in 0..SHARDS {
            let owner = &mut self.owners[usize::try_from(shard).expect("small")];
            match (held.get(&shard), owner.worker == Some(id)) {
                (Some(lease), true) if lease.epoch != owner.epoch => {
                    return fail(format!("renewing shard {shard} changed its epoch"));
                }
                (Some(lease), false) if lease.epoch <= owner.epoch => {
                    return fail(format!("shard {shard} changed its owner and not its epoch"));
                }
                (Some(_), false) if self.kind == Kind::Postgres && owner.worker.is_some() && owner.long => {
                    return fail(format!("shard {shard} was taken from a worker whose lease runs"));
                }
                (None, true) => return fail(format!("shard {shard} was lost to nobody")),
                _ => {}
            }
            if let Some(taken) = held.get(&shard) {
                *owner = Owner {
                    worker: Some(id),
                    epoch: taken.epoch,
                    long: lease == LONG,
                };
            }
        }
        self.workers[worker].leases = held;
        Ok(())
    }

    async fn retire(&mut self, worker: usize) {
        let id = self.workers[worker].id;
        self.store.retire_worker(id).await.expect("retired");
        self.workers[worker].leases.clear();
        self.forget(id);
    }

    /// The leases of a dead worker have run out. The store knows it as a worker that has retired.
    async fn expire(&mut self, id: Uuid) {
        self.store.retire_worker(id).await.expect("retired");
        self.forget(id);
    }

    fn forget(&mut self, id: Uuid) {
        for owner in self.owners.iter_mut().filter(|owner| owner.worker == Some(id)) {
            owner.worker = None;
        }
    }

    fn lane_of(&self, id: Uuid) -> Option<usize> {
        self.lanes.iter().position(|(connection, ..)| *connection == id)
    }

    async fn claim(&mut self, worker: usize) -> Check {
        let shards: Vec<i16> = self.workers[worker].leases.keys().copied().collect();
        let due = self.store.due_lanes(&shards).await.expect("read");
        let in_flight: Vec<Uuid> = self.workers[worker]
            .memory
            .iter()
            .map(|read| read.claimed.operation_id)
            .collect();
        let mut asks = Vec::new();
        for found in &due {
            let Some(lane) = self.lane_of(found.lane_id) else {
                continue;
            };
            if found.hold_reason.is_some() != self.held[lane] {
                return fail(format!("lane {lane}: held is said to be {:?}", found.hold_reason));
            }
            if found.hold_reason.is_none() {
                let in_memory = || {
                    let memory = self.workers[worker].memory.iter();
                    memory.filter(|read| read.lane == lane)
                };
                asks.push(LaneAsk {
                    known: in_memory().map(|read| read.claimed.operation_id).collect(),
                    busy: in_memory().filter_map(|read| read.key).collect(),
                    ..LaneAsk::first(found.shard, found.lane_id, 100)
                });
            }
        }
        let claimed = self.store.claim(&asks, 1 << 20).await.expect("claimed").items;
        let mut expected: HashSet<Uuid> = HashSet::new();
        for (number, item) in &self.live {
            let shard = shard_of(self.lanes[item.lane].0);
            let same_record =
                |other: &Live| other.lane == item.lane && other.key == item.key && item.key.is_some();
            let blocked = self.live.iter().any(|(other, live)| {
                same_record(live) && (other < number || in_flight.contains(&self.accepted[*other]))
            });
            // What a worker remembers of a record keeps the record busy for it, also when another has ended it meanwhile.
            let remembered = self.workers[worker]
                .memory
                .iter()
                .any(|read| read.lane == item.lane && read.key == item.key && item.key.is_some());
            let held = item.key.is_some_and(|key| {
                let mut holders = self.holding.iter();
                holders.any(|(holder, record)| holder < number && *record == (item.lane, key))
            });
            let blocked = blocked || remembered || held;
            let id = self.accepted[*number];
            if shards.contains(&shard)
                && !self.held[item.lane]
                && !item.late
                && !blocked
                && !in_flight.contains(&id)
            {
                expected.insert(id);
            }
        }
        let given: HashSet<Uuid> = claimed.iter().map(|item| item.operation_id).collect();
        if given != expected || given.len() != claimed.len() {
            return fail(format!(
                "a claim gave {:?} instead of {:?}",
                self.numbers(&given),
                self.numbers(&expected)
            ));
        }
        for claimed in claimed {
            let doubt = self
                .doubts
                .get(&claimed.operation_id)
                .is_some_and(|attempts| !attempts.is_empty());
            if claimed.in_doubt_since.is_some() != doubt && self.checks_inside() {
                return fail(format!(
                    "an item in doubt is said not to be, or the reverse: {claimed:?}"
                ));
            }
            let number = self.number(claimed.operation_id);
            let live = &self.live[&number];
            let lease = self.workers[worker].leases[&claimed.shard];
            let read = Read {
                lease,
                lane: live.lane,
                key: live.key,
                version: live.version,
                attempt: SystemClock.new_id(),
                sent: None,
                review: live.key.is_none() && claimed.in_doubt_since.is_some(),
                claimed,
            };
            self.workers[worker].memory.push(read);
        }
        Ok(())
    }

    fn number(&self, id: Uuid) -> usize {
        self.accepted
            .iter()
            .position(|accepted| *accepted == id)
            .expect("it was accepted")
    }

    fn numbers(&self, ids: &HashSet<Uuid>) -> Vec<usize> {
        let mut numbers: Vec<usize> = ids.iter().map(|id| self.number(*id)).collect();
        numbers.sort_unstable();
        numbers
    }

    fn holds(&self, worker: usize, lease: Lease) -> bool {
        let owner = self.owners[usize::try_from(lease.shard).expect("small")];
        owner.worker == Some(self.workers[worker].id) && owner.epoch == lease.epoch
    }

    /// The worker and lease that a begin or settle names.
    fn named(&self, worker: usize, lease: Lease) -> (Uuid, Lease) {
        let owner = self.owners[usize::try_from(lease.shard).expect("small")];
        match (self.rules, owner.worker) {
            (Rules::All, _) | (_, None) => (self.workers[worker].id, lease),
            (_, Some(id)) => (
                id,
                Lease {
                    epoch: owner.epoch,
                    ..lease
                },
            ),
        }
    }

    async fn send(&mut self, worker: usize, pick: usize, provider: Provider) -> Check {
        let waiting: Vec<usize> = (0..self.workers[worker].memory.len())
            .filter(|at| self.workers[worker].memory[*at].sent.is_none())
            .collect();
        let Some(&at) = waiting.get(pick % waiting.len().max(1)) else {
            return Ok(());
        };
        let read = self.workers[worker].memory[at].clone();
        let id = read.claimed.operation_id;
        let holds = self.holds(worker, read.lease);
        if read.review {
            // Nothing is sent; a silent provider stands for it.
            self.workers[worker].memory[at].sent = Some(Provider::LosesIt);
            return Ok(());
        }
        if read.key.is_none() {
            let (named, lease) = self.named(worker, read.lease);
            let begin = BeginAttempt {
                worker: named,
                lease,
                attempt: self.attempt(&read, AttemptState::Sent, None),
            };
            let may = self.store.begin_attempts(&[begin]).await.expect("begun")[0];
            if self.checks_inside() && may != holds {
                return fail(format!(
                    "a begin was answered with {may}, and the shard is held: {holds}"
                ));
            }
            if !may {
                self.workers[worker].memory.remove(at);
                return Ok(());
            }
            self.doubts.entry(id).or_default().insert(read.attempt);
        } else if !holds && self.rules == Rules::All {
            // What may be repeated is sent without a word to the store: here the worker's own clock is the fence.
            self.workers[worker].memory.remove(at);
            return Ok(());
        }
        if matches!(provider, Provider::Applies | Provider::AppliesInSilence) {
            self.effects.push(id);
        }
        self.workers[worker].memory[at].sent = Some(provider);
        Ok(())
    }

    fn attempt(&self, read: &Read, state: AttemptState, class: Option<&str>) -> NewAttempt {
        NewAttempt {
            id: read.attempt,
            project_id: self.project,
            operation_id: read.claimed.operation_id,
            number: read.claimed.attempt + 1,
            state,
            start_time: Time::from_micros(1_700_000_000_000_000),
            status: None,
            class: class.map(str::to_owned),
            message: None,
            latency_us: None,
            skipped: None,
            excerpt: None,
            records: None,
        }
    }

    async fn settle(&mut self, worker: usize, pick: usize, again: Option<bool>) -> Check {
        let sent: Vec<usize> = (0..self.workers[worker].memory.len())
            .filter(|at| self.workers[worker].memory[*at].sent.is_some())
            .collect();
        let Some(&at) = sent.get(pick % sent.len().max(1)) else {
            return Ok(());
        };
        let read = self.workers[worker].memory.remove(at);
        let id = read.claimed.operation_id;
        let provider = read.sent.expect("it was sent");
        let finish = |state: EndState| {
            Ending::Finish(NewResult {
                state,
                summary: "done".to_owned(),
                record_id: None,
                errors: "[]".to_owned(),
                attempts: 1,
                records: None,
            })
        };
        let retry = |soon: bool| Ending::Retry {
            delay: if soon { Duration::ZERO } else { LONG },
            attempt: read.claimed.attempt + 1,
        };
        // As the real worker concludes: what was done is done, what was refused may come again, and silence is doubt.
        let (state, class, ending) = match provider {
            Provider::Applies => (AttemptState::Answered, "success", finish(EndState::Succeeded)),
            Provider::Refuses => {
                let ending = again.map_or_else(|| finish(EndState::Failed), retry);
                (AttemptState::Answered, "transient", ending)
            }
            Provider::AppliesInSilence | Provider::LosesIt => {
                let ending = match again {
                    Some(soon) if !read.review => retry(soon),
                    _ => finish(EndState::NeedsReview),
                };
                (AttemptState::Unanswered, "outcome_unknown", ending)
            }
        };
        let (named, lease) = self.named(worker, read.lease);
        let settle = Settle {
            worker: named,
            lease,
            lane_id: self.lanes[read.lane].0,
            run_at: read.claimed.run_at,
            operation_id: id,
            project_id: self.project,
            attempt: (!read.review).then(|| self.attempt(&read, state, Some(class))),
            ending: ending.clone(),
            freed: None,
            stragglers: None,
        };
        let took = self.store.settle(&[settle]).await.expect("settled")[0];
        if !read.review && state == AttemptState::Answered && class != "success" {
            self.doubts.entry(id).or_default().remove(&read.attempt);
        }
        if !read.review && state == AttemptState::Unanswered {
            // Also where no row was written before the sending.
            self.doubts.entry(id).or_default().insert(read.attempt);
        }
        let number = self.number(id);
        let current = self
            .live
            .get(&number)
            .is_some_and(|live| live.version == read.version);
        let expected = current && self.holds(worker, read.lease);
        if self.checks_inside() && took != expected {
            return fail(format!(
                "a settle took effect: {took}, but the item is as it was claimed: {current}, and the shard is held: {}",
                self.holds(worker, read.lease)
            ));
        }
        if !took {
            return Ok(());
        }
        match ending {
            Ending::Finish(result) => {
                let ended = self.live.remove(&number);
                if let Some(Live {
                    lane,
                    key: Some(key),
                    holds: true,
                    ..
                }) = ended
                    && matches!(result.state, EndState::Failed | EndState::NeedsReview)
                {
                    self.holding.push((number, (lane, key)));
                }
                if self.results.insert(id, result.state).is_some() {
                    return fail(format!("operation {number} ended twice"));
                }
            }
            Ending::Retry { delay, .. } => {
                if let Some(live) = self.live.get_mut(&number) {
                    live.version += 1;
                    live.late = !delay.is_zero();
                }
            }
        }
        Ok(())
    }

    /// All steps; then one worker after all others does what is left to do, and everything must be as it was promised.
    async fn all(&mut self, steps: &[Step]) -> Check {
        for step in steps {
            self.step(step).await?;
        }
        for lane in 0..LANES {
            self.step(&Step::Hold { lane, held: false }).await?;
        }
        for worker in 0..WORKERS {
            self.step(&Step::Die { worker }).await?;
        }
        for pick in 0..self.accepted.len() {
            self.step(&Step::Release { pick }).await?;
        }
        loop {
            self.lease(0, LONG).await?;
            self.claim(0).await?;
            if self.workers[0].memory.is_empty() {
                break;
            }
            while !self.workers[0].memory.is_empty() {
                self.send(0, 0, Provider::Applies).await?;
                self.settle(0, 0, None).await?;
            }
        }
        self.check().await
    }

    async fn check(&self) -> Check {
        for (number, id) in self.accepted.iter().enumerate() {
            let operation = self.store.get_operation(self.project, *id).await.expect("read");
            let Some(operation) = operation else {
                return fail(format!("lost: operation {number} is gone"));
            };
            let wanted = self.results.get(id).map(|state| state.as_str().to_owned());
            if operation.state.map(|state| state.as_str().to_owned()) != wanted {
                return fail(format!(
                    "operation {number} is {:?}, not {wanted:?}",
                    operation.state
                ));
            }
            // What is left waits for its hour, or behind an earlier write to its record that does.
            if wanted.is_none() {
                let waits = self.live.get(&number).is_some_and(|item| {
                    item.late
                        || self.live.range(..number).any(|(_, other)| {
                            item.key.is_some() && other.lane == item.lane && other.key == item.key
                        })
                });
                if !waits {
                    return fail(format!("lost: operation {number} never ends"));
                }
            }
            let done = self.effects.iter().filter(|effect| *effect == id).count();
            let create = operation.action == Action::Create;
            if create && done > 1 {
                return fail(format!("doubled: create {number} took effect {done} times"));
            }
            if wanted.as_deref() == Some("succeeded") && done == 0 {
                return fail(format!(
                    "lost: operation {number} succeeded and never took effect"
                ));
            }
            if wanted.as_deref() == Some("failed") && create && done > 0 {
                return fail(format!("create {number} failed and took effect"));
            }
        }
        self.check_order()
    }

    fn check_order(&self) -> Check {
        let mut latest: HashMap<(usize, i64), usize> = HashMap::new();
        for effect in &self.effects {
            let number = self.number(*effect);
            let Some(record) = self.records.get(&number) else {
                continue;
            };
            let latest = latest.entry(*record).or_insert(number);
            if number < *latest {
                return fail(format!(
                    "out of order: update {number} took effect after update {latest} of the same record"
                ));
            }
            *latest = number;
        }
        Ok(())
    }
}

/// Runs random interleavings on one database; the failure of the first that fails, made as small as it gets.
fn runs(kind: Kind, rules: Rules, cases: u32, title: &str) -> Result<(), TestError<Vec<Step>>> {
    let mut bytes = [0_u8; 32];
    bytes[..8].copy_from_slice(&seed(title).to_le_bytes());
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        // Each is a run; a store without a fence needs to be caught, not understood.
        max_shrink_iters: if rules == Rules::All { 500 } else { 40 },
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let (database, store) = runtime.block_on(async {
        let database = Database::create(kind).await;
        let store = database.store().await;
        (database, store)
    });
    let result = runner.run(&steps(), |steps| {
        runtime.block_on(async {
            let owners = orphans(&store).await;
            let mut run = Run::new(&store, kind, rules, owners).await;
            let ended = run.all(&steps).await;
            // Also after a failure, so that the next case begins in order.
            for worker in &run.workers {
                store.retire_worker(worker.id).await.expect("retired");
            }
            ended
        })
    });
    runtime.block_on(store.close());
    drop(store);
    drop(database);
    result
}

/// Takes every shard from whoever has it and gives it back: what the model begins with.
async fn orphans(store: &SharedStore) -> Vec<Owner> {
    let mut owners = vec![Owner::default(); usize::try_from(SHARDS).expect("small")];
    let taker = Uuid::new_v4();
    let leases = store
        .lease_shards(taker, SHORT, Duration::ZERO)
        .await
        .expect("leased");
    store.retire_worker(taker).await.expect("retired");
    for lease in leases.held {
        owners[usize::try_from(lease.shard).expect("small")].epoch = lease.epoch;
    }
    owners
}

/// Why it failed.
fn reason(result: Result<(), TestError<Vec<Step>>>) -> String {
    match result {
        Err(TestError::Fail(reason, steps)) => {
            println!("found with {} steps: {reason}\n{steps:?}", steps.len());
            reason.message().to_owned()
        }
        other => panic!("a store without a fence is not found out: {other:?}"),
    }
}

#[test]
fn no_interleaving_of_workers_on_sqlite_loses_doubles_or_reorders() {
    runs(Kind::Sqlite, Rules::All, 150, "interleavings on SQLite").unwrap();
}

#[test]
fn no_interleaving_of_workers_on_postgres_loses_doubles_or_reorders() {
    runs(Kind::Postgres, Rules::All, 60, "interleavings on Postgres").unwrap();
}

#[test]
fn without_a_fence_the_same_check_finds_a_stale_worker_that_takes_effect() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let reason = reason(runs(kind, Rules::Forged, 300, "interleavings without a fence"));
        assert!(
            reason.contains("a begin was answered with true")
                || reason.contains("a settle took effect: true"),
            "{reason}"
        );
    }
}

#[test]
fn without_a_fence_the_harm_is_seen_from_outside() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let title = "interleavings without a fence, seen from outside";
        let reason = reason(runs(kind, Rules::ForgedSeenFromOutside, 600, title));
        assert!(
            ["doubled", "out of order", "took effect"]
                .iter()
                .any(|harm| reason.contains(harm)),
            "{reason}"
        );
    }
}
