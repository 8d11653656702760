//! What the provider says about an object of one connection, asked for and remembered for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use uuid::Uuid;

use super::job::Job;
use super::route::ConnectionUse;
use super::{Writes, error_of, rejection};
use crate::connectors::{Connector, DescribedObject, ErrorClass, Outcome, findings};

/// How long a description counts as recent: customers add fields while they map them.
const RECENT: Duration = Duration::from_secs(300);
/// Descriptions kept in memory. A large one (a Salesforce object with 800 fields) takes about 300 KB.
const CAPACITY: usize = 256;

/// How recent a description must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// One from memory will do, up to five minutes old.
    Recent,
    /// Ask the provider.
    Now,
}

/// A description, and how old it is.
#[derive(Debug, Clone)]
pub struct Described {
    /// The object.
    pub object: Arc<DescribedObject>,
    /// The time since the provider said so.
    pub age: Duration,
}

/// Why there is no description.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// The connector has no way to ask.
    #[error("{provider} cannot be asked for the fields of `{object}` by this server")]
    Unsupported {
        /// The provider.
        provider: String,
        /// The object.
        object: String,
    },
    /// The provider did not answer with a description.
    #[error("{message}")]
    Failed {
        /// For people.
        message: String,
        /// What it answered: never a success.
        outcome: Box<Outcome>,
    },
}

/// Connection, version of its credentials, module, object.
type Key = (Uuid, i64, Option<String>, String);

fn key(connector: &Connector, connection: &ConnectionUse, object: &str) -> Key {
    (
        connection.id,
        connection.credentials_version,
        connector.module().map(str::to_owned),
        object.to_owned(),
    )
}

/// Descriptions in memory.
#[derive(Debug)]
pub(super) struct Descriptions(Cache<Key, (Instant, Arc<DescribedObject>)>);

impl Descriptions {
    pub fn new() -> Self {
        Self(Cache::new(CAPACITY))
    }
}

impl Writes {
    /// Forgets what is remembered of an object when the provider's answer to a write contradicts it, or may: a refusal of what
    /// looked good, or a success of what did not.
    pub(super) fn note_description(&self, job: &Job<'_>, outcome: &Outcome) {
        let (connector, connection) = (&job.route.connector, &job.route.connection);
        let key = key(connector, connection, job.plan.provider_object());
        let contradicts = match outcome {
            Outcome::Rejected(error) => matches!(error.class, ErrorClass::Validation),
            Outcome::Succeeded { .. } => self.descriptions.0.get(&key).is_some_and(|(_, described)| {
                !findings(&described, &job.applied.record, job.action).is_empty()
            }),
            _ => false,
        };
        if contradicts {
            self.descriptions.0.remove(&key);
        }
    }

    /// Describes an object of a connection.
    ///
    /// # Errors
    /// See [`DescribeError`].
    pub async fn describe(
        &self,
        connector: &Connector,
        connection: &ConnectionUse,
        object: &str,
        known: Known,
    ) -> Result<Described, DescribeError> {
        let key = key(connector, connection, object);
        if known == Known::Recent
            && let Some((at, object)) = self.descriptions.0.get(&key)
            && at.elapsed() < RECENT
        {
            let age = at.elapsed();
            return Ok(Described { object, age });
        }
        let failed = |outcome: Outcome| {
            let message = error_of(&outcome).map_or_else(
                || "the provider's description cannot be read".to_owned(),
                |error| rejection(object, error).replacen("error writing", "error describing", 1),
            );
            DescribeError::Failed {
                message,
                outcome: Box::new(outcome),
            }
        };
        let mut requests = connector.describe(object, &connection.vars).into_iter();
        let Some(main) = requests.next() else {
            return Err(DescribeError::Unsupported {
                provider: connector.provider().to_owned(),
                object: object.to_owned(),
            });
        };
        let main = self
            .send_for(connector, connection, main)
            .await
            .map_err(|failure| failed(failure.before_write()))?;
        let also = match requests.next() {
            // It only adds: without it less is known.
            Some(request) => self.send_for(connector, connection, request).await.ok(),
            None => None,
        };
        let now = self.clock.now().to_timestamp();
        let described = connector
            .interpret_description(object, &connection.vars, &main, also.as_ref(), now)
            .map_err(|mut outcome| {
                let secrets = connection.credentials.secret_texts(connector.auth());
                super::outcome::make_presentable(&mut outcome, &secrets);
                failed(outcome)
            })?;
        let object = Arc::new(described);
        self.descriptions
            .0
            .insert(key, (Instant::now(), Arc::clone(&object)));
        Ok(Described {
            object,
            age: Duration::ZERO,
        })
    }
}
