//! What all parts of one sandbox share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde_json::Value;
use tokio::sync::watch;

use super::clock::Clock;
use super::echo::Echo;
use super::faults::Engine;
use super::journal::{Journal, JournalError, Kept, Line};
use super::ledger::{ChangeCounter, Ledger, LedgerEntry, LedgerStatus};
use super::lock;
use super::message::{Provider, Reply};
use super::tokens::{TokenEvent, TokenUse, Tokens};
use super::{Options, hubspot, salesforce};

type Shared<T> = Arc<Mutex<T>>;

#[derive(Debug)]
pub(crate) struct Core {
    pub url: String,
    pub seed: u64,
    pub lenient: bool,
    pub enforce_limits: bool,
    pub clock: Clock,
    pub counter: ChangeCounter,
    pub ledger: Ledger,
    pub faults: Engine,
    pub tokens: Tokens,
    pub echo: Mutex<Echo>,
    hubspot: RwLock<HashMap<String, Shared<hubspot::Account>>>,
    salesforce: RwLock<HashMap<String, Shared<salesforce::Account>>>,
    /// Whether changes are kept; true also while the journal is still read.
    journaled: bool,
    journal: Option<Journal>,
    /// Turns true when the sandbox shuts down: waiting requests end.
    pub closing: watch::Sender<bool>,
}

impl Core {
    pub fn new(url: String, options: &Options) -> Result<Self, JournalError> {
        let mut core = Self {
            url,
            seed: options.seed,
            lenient: options.lenient,
            enforce_limits: options.enforce_limits,
            clock: Clock::default(),
            counter: ChangeCounter::default(),
            ledger: Ledger::default(),
            faults: Engine::new(options.seed),
            tokens: Tokens::new(options.verify_tokens, options.seed),
            echo: Mutex::default(),
            hubspot: RwLock::default(),
            salesforce: RwLock::default(),
            journaled: options.journal.is_some(),
            journal: None,
            closing: watch::Sender::new(false),
        };
        for fault in &options.faults {
            core.faults.add(fault.clone());
        }
        if let Some(path) = &options.journal {
            core.journal = Some(Journal::open(path, |line| core.replay(&line))?);
        }
        Ok(core)
    }

    fn replay(&self, line: &Kept) -> Result<(), serde_json::Error> {
        let text = line.value.get();
        match (line.provider, &line.account, line.kind.as_str()) {
            (Some(Provider::HubSpot), Some(account), kind) => {
                lock(&self.hubspot(account)).replay(kind, text)?
            }
            (Some(Provider::Salesforce), Some(account), kind) => {
                lock(&self.salesforce(account)).replay(kind, text)?;
            }
            (_, _, "token_use") => self.tokens.uses.restore(serde_json::from_str(text)?),
            (_, _, "token_uses_cleared") => self.tokens.uses.clear(),
            (_, _, "entry") => {
                let entry: LedgerEntry = serde_json::from_str(text)?;
                for change in &entry.changes {
                    self.counter.raise_to(change.order);
                }
                self.ledger.restore(entry);
            }
            (_, _, "ledger_cleared") => self.ledger.clear(),
            (_, _, kind) => {
                if let Some(event) = TokenEvent::read(kind, text)? {
                    self.tokens.restore(event);
                }
            }
        }
        Ok(())
    }

    /// A number from the sandbox's seed and these words.
    fn seed_of(&self, provider: Provider, account: &str) -> u64 {
        hashed(self.seed, provider, account)
    }

    /// The HubSpot account of that name, made when absent.
    pub fn hubspot(&self, name: &str) -> Shared<hubspot::Account> {
        open(&self.hubspot, name, || {
            let seed = self.seed_of(Provider::HubSpot, name);
            let mut account = hubspot::Account::new(name, seed, self.journaled);
            account.settings.hub_id = hubspot::hub_id(hashed(0, Provider::HubSpot, name));
            account.settings.lenient = self.lenient;
            account.settings.enforce_limits = self.enforce_limits;
            account
        })
    }

    /// The Salesforce account of that name, made when absent.
    pub fn salesforce(&self, name: &str) -> Shared<salesforce::Account> {
        open(&self.salesforce, name, || {
            let seed = self.seed_of(Provider::Salesforce, name);
            let mut account = salesforce::Account::new(name, seed, self.journaled);
            account.settings.org_id = salesforce::org_id(hashed(0, Provider::Salesforce, name));
            account.settings.lenient = self.lenient;
            account.settings.enforce_limits = self.enforce_limits;
            account
        })
    }

    /// The names of the accounts that exist.
    pub fn account_names(&self, provider: Provider) -> Vec<String> {
        let mut names: Vec<String> = match provider {
            Provider::HubSpot => read(&self.hubspot).keys().cloned().collect(),
            Provider::Salesforce => read(&self.salesforce).keys().cloned().collect(),
            Provider::Echo => Vec::new(),
        };
        names.sort();
        names
    }

    /// Forgets everything: accounts, tokens, faults, scripts, ledger, clock and journal.
    pub fn reset(&self) {
        self.hubspot
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.salesforce
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.tokens.clear();
        self.faults.clear();
        self.ledger.clear();
        *lock(&self.echo) = Echo::default();
        self.clock.run();
        if let Some(journal) = &self.journal
            && let Err(error) = journal.clear()
        {
            tracing::error!(%error, "the journal could not be emptied");
        }
    }

    /// Keeps lines in the journal, when there is one.
    pub fn keep(&self, lines: &[Line]) -> std::io::Result<()> {
        self.journal.as_ref().map_or(Ok(()), |j| j.append(lines))
    }

    /// Keeps token changes in the journal.
    pub fn keep_tokens(&self, events: Vec<TokenEvent>) -> std::io::Result<()> {
        if !self.journaled {
            return Ok(());
        }
        let line = |event: &TokenEvent| Line::global(event.kind(), event.value());
        self.keep(&events.iter().map(line).collect::<Vec<_>>())
    }

    /// Forgets which tokens were presented.
    pub fn clear_uses(&self) -> std::io::Result<()> {
        self.tokens.uses.clear();
        self.keep(&[Line::global("token_uses_cleared", Value::Null)])
    }

    /// Notes in the ledger of tokens what the client saw.
    pub fn note_use_status(&self, sequence: u64, status: LedgerStatus) {
        self.keep_use(self.tokens.uses.update(sequence, |entry| entry.status = status));
    }

    /// Notes in the ledger of tokens that the client got the whole answer.
    pub fn note_delivery(&self, sequence: u64) {
        self.keep_use(self.tokens.uses.deliver(sequence));
    }

    fn keep_use(&self, entry: Option<TokenUse>) {
        let Some(entry) = entry.filter(|_| self.journaled) else {
            return;
        };
        let line = Line::global("token_use", serde_json::to_value(entry).unwrap_or(Value::Null));
        if let Err(error) = self.keep(&[line]) {
            tracing::error!(%error, "the journal could not be written");
        }
    }

    /// Forgets the ledger; sequence numbers go on.
    pub fn clear_ledger(&self) -> std::io::Result<()> {
        self.ledger.clear();
        self.keep(&[Line::global("ledger_cleared", Value::Null)])
    }

    /// Notes in the ledger what a request changed, before its answer is decided.
    pub fn note_changes(&self, sequence: u64, reply: &mut Reply) {
        let changes = std::mem::take(&mut reply.changes);
        if !changes.is_empty() {
            self.note(sequence, |e| e.changes = changes);
        }
    }

    /// Notes in the ledger what the client saw.
    pub fn note_status(&self, sequence: u64, status: LedgerStatus) {
        self.note(sequence, |e| e.status = status);
    }

    /// Notes in the ledger what a request changed and that this is its answer.
    pub fn note_reply(&self, sequence: u64, reply: &mut Reply) {
        let changes = std::mem::take(&mut reply.changes);
        let status = LedgerStatus::Answered(reply.status);
        self.note(sequence, |e| {
            e.changes = changes;
            e.status = status;
        });
    }

    fn note(&self, sequence: u64, change: impl FnOnce(&mut LedgerEntry)) {
        let entry = self.ledger.update(sequence, |e| {
            change(e);
            self.journaled.then(|| e.clone())
        });
        self.keep_entry(entry.flatten());
    }

    fn keep_entry(&self, entry: Option<LedgerEntry>) {
        let Some(entry) = entry else { return };
        let line = Line::global("entry", serde_json::to_value(entry).unwrap_or(Value::Null));
        if let Err(error) = self.keep(&[line]) {
            tracing::error!(%error, "the journal could not be written");
        }
    }
}

/// A number from these words: FNV-1a, stable over runs and machines, unlike the standard hasher.
fn hashed(seed: u64, provider: Provider, account: &str) -> u64 {
    let bytes = provider.as_str().bytes().chain(account.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325 ^ seed, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn read<T>(map: &RwLock<HashMap<String, T>>) -> std::sync::RwLockReadGuard<'_, HashMap<String, T>> {
    map.read().unwrap_or_else(PoisonError::into_inner)
}

fn open<T>(map: &RwLock<HashMap<String, Shared<T>>>, name: &str, make: impl FnOnce() -> T) -> Shared<T> {
    if let Some(found) = read(map).get(name) {
        return Arc::clone(found);
    }
    let mut map = map.write().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(
        map.entry(name.to_owned())
            .or_insert_with(|| Arc::new(Mutex::new(make()))),
    )
}
