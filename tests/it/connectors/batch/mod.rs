//! Batches: what is sent, and that each record gets its own outcome and no other's.

mod hubspot;
mod hubspot_errors;
mod prepared;
mod random;
mod reads;
mod recorded;
mod salesforce;
mod simulated;

use std::collections::BTreeMap;
use std::sync::Arc;

use amp_write::action::Action;
use amp_write::connectors::{
    BatchCommand, BatchItem, BatchOutcome, Catalog, Connector, Outcome, ProviderError, ProviderRequest,
    ProviderResponse, Refusal,
};
use serde_json::{Map, Value};

/// A batch with everything it borrows. Trace ids are `t0`, `t1`, …
pub struct Batch {
    pub connector: Arc<Connector>,
    pub action: Action,
    pub object: String,
    pub ids: Vec<Option<String>>,
    pub records: Vec<Map<String, Value>>,
    pub associations: Vec<Vec<Value>>,
    pub traces: Vec<String>,
    pub headers: Vec<(String, String)>,
    pub vars: BTreeMap<String, String>,
    pub all_or_none: bool,
}

/// A create of these records.
pub fn create(provider: &str, object: &str, records: &[Value]) -> Batch {
    Batch {
        connector: Catalog::builtin().get(provider).unwrap(),
        action: Action::Create,
        object: object.into(),
        ids: vec![None; records.len()],
        records: records.iter().map(|r| r.as_object().unwrap().clone()).collect(),
        associations: vec![Vec::new(); records.len()],
        traces: (0..records.len()).map(|at| format!("t{at}")).collect(),
        headers: Vec::new(),
        vars: BTreeMap::from([("workspace".into(), "acme".into())]),
        all_or_none: false,
    }
}

/// An update of these records by their ids.
pub fn update(provider: &str, object: &str, records: &[(&str, Value)]) -> Batch {
    let plain: Vec<Value> = records.iter().map(|(_, record)| record.clone()).collect();
    Batch {
        action: Action::Update,
        ids: records.iter().map(|(id, _)| Some((*id).to_owned())).collect(),
        ..create(provider, object, &plain)
    }
}

impl Batch {
    pub fn all_or_none(self) -> Self {
        Self {
            all_or_none: true,
            ..self
        }
    }

    fn with<T>(&self, run: impl FnOnce(&BatchCommand<'_>) -> T) -> T {
        let items: Vec<BatchItem<'_>> = (0..self.records.len())
            .map(|at| BatchItem {
                trace_id: &self.traces[at],
                record_id: self.ids[at].as_deref(),
                record: &self.records[at],
                associations: &self.associations[at],
            })
            .collect();
        run(&BatchCommand {
            action: self.action,
            object: &self.object,
            items: &items,
            headers: &self.headers,
            vars: &self.vars,
            all_or_none: self.all_or_none,
        })
    }

    pub fn prepare(&self) -> Result<ProviderRequest, Refusal> {
        self.with(|command| self.connector.prepare_batch(command))
    }

    pub fn interpret(&self, status: u16, body: &[u8]) -> BatchOutcome {
        let response = ProviderResponse {
            status,
            headers: Vec::new(),
            body: body.to_vec(),
            truncated: false,
        };
        self.read(&response)
    }

    pub fn read(&self, response: &ProviderResponse) -> BatchOutcome {
        self.with(|command| self.connector.interpret_batch(command, response, now()))
    }

    /// The outcomes in words, see [`word`]; `whole …` for one of the call.
    pub fn words(&self, status: u16, body: &Value) -> Vec<String> {
        words(&self.interpret(status, body.to_string().as_bytes()))
    }
}

pub fn now() -> jiff::Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

pub fn words(outcome: &BatchOutcome) -> Vec<String> {
    match outcome {
        BatchOutcome::Each(all) => all.iter().map(word).collect(),
        BatchOutcome::Whole(one) => vec![format!("whole {}", word(one))],
    }
}

/// `ok ID`, `rejected CLASS CODE`, `retry CLASS`, `unauthorized`, `unknown`.
pub fn word(outcome: &Outcome) -> String {
    let code = |error: &ProviderError| error.code.clone().unwrap_or_else(|| "-".into());
    match outcome {
        Outcome::Succeeded { record_id, .. } => format!("ok {}", record_id.as_deref().unwrap_or("-")),
        Outcome::Rejected(error) => format!("rejected {} {}", error.class.as_str(), code(error)),
        Outcome::Retry { class, .. } => format!("retry {}", class.as_str()),
        Outcome::Unauthorized(_) => "unauthorized".into(),
        Outcome::Unknown(_) => "unknown".into(),
    }
}

/// The error of an outcome.
pub fn error(outcome: &Outcome) -> &ProviderError {
    match outcome {
        Outcome::Rejected(error)
        | Outcome::Unauthorized(error)
        | Outcome::Unknown(error)
        | Outcome::Retry { error, .. } => error,
        Outcome::Succeeded { .. } => panic!("a success: {outcome:?}"),
    }
}

pub fn body(request: &ProviderRequest) -> Value {
    serde_json::from_slice(request.body.as_deref().unwrap()).unwrap()
}
