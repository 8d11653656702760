//! Idempotency keys: a request that is repeated gets its first answer, and the provider gets the write once.
//!
//! A key is claimed by the commit that stores its operation. An asynchronous write is accepted by that commit. A synchronous one
//! is stored, with its place in the queue, right before it is sent: should this process die, the queue finds out what became of
//! it and finishes it, as it does for its own. Until then, and while it runs, a repeated request is told to wait.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::set::run::{Run, longest};
use super::set::{Note, NoteState, Performed, Shape, WriteSet, notes_text, read_notes};
use super::{RECORD_PATIENCE, WriteError, Writes, Written};
use crate::clock::Time;
use crate::connectors::{ErrorClass, Outcome, ProviderError};
use crate::store::{
    AcceptOperation, Accepted, EndState, Finish, FinishOperation, IdempotencyUse, Mode, NewAnswer,
    NewAttempt, NewIdempotencyKey, NewOperation, NewResult, Performing, StoreError,
};
use crate::vault::sha256;

/// The longest key, in characters.
pub const MAX_KEY: usize = 255;
/// How much longer than the provider may take a synchronous write is left to its own process.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// How long the queue tries to find out what became of a synchronous write, once its process has gone.
pub(super) const RECOVERY: Duration = Duration::from_secs(600);
/// The largest answer that is kept whole, in bytes; of a larger one `data` is left out.
const MAX_ANSWER: usize = 256 << 10;

/// Checks a key: 1 to 255 visible ASCII characters.
#[must_use]
pub fn is_valid_key(key: &str) -> bool {
    (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A key with the fingerprint of what was asked for: the project, the path and the body.
#[must_use]
pub fn key_of(
    key: String,
    project_id: Uuid,
    integration: &str,
    object: &str,
    body: &[u8],
) -> NewIdempotencyKey {
    // Each part ends with its length, so that no two requests look alike when they are joined.
    let integration = integration.to_lowercase();
    let mut text = Vec::with_capacity(body.len() + integration.len() + object.len() + 64);
    for part in [
        project_id.as_bytes(),
        integration.as_bytes(),
        object.as_bytes(),
        body,
    ] {
        text.extend_from_slice(part);
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
    }
    NewIdempotencyKey {
        key,
        fingerprint: sha256(&text),
    }
}

/// What is kept of a synchronous write's end: enough to give the same answer again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kept {
    Succeeded {
        record_id: Option<String>,
        data: Option<Value>,
    },
    Rejected {
        class: ErrorClass,
        message: String,
        raw: Option<String>,
    },
    Batch {
        ends: Vec<Note>,
        data: Vec<Option<Value>>,
    },
}

impl Kept {
    fn new(performed: &Performed) -> Option<Self> {
        match (performed.shape, &performed.whole) {
            (Shape::Single, Some((Outcome::Succeeded { record_id, data }, _))) => Some(Self::Succeeded {
                record_id: record_id.clone(),
                data: data.clone(),
            }),
            // A refusal of the provider, not of this service.
            (Shape::Single, Some((Outcome::Rejected(error), _))) if performed.sent => Some(Self::Rejected {
                class: error.class,
                message: error.told(usize::MAX),
                raw: performed.raw.clone(),
            }),
            (Shape::Batch, None) => Some(Self::Batch {
                ends: performed.ends.clone(),
                data: performed.data.clone(),
            }),
            _ => None,
        }
    }

    fn text(self) -> Option<String> {
        let text = serde_json::to_string(&self).ok()?;
        if text.len() <= MAX_ANSWER {
            return Some(text);
        }
        let smaller = match self {
            Self::Succeeded { record_id, .. } => Self::Succeeded {
                record_id,
                data: None,
            },
            Self::Rejected { class, message, .. } => Self::Rejected {
                class,
                message,
                raw: None,
            },
            Self::Batch { ends, .. } => Self::Batch {
                ends,
                data: Vec::new(),
            },
        };
        serde_json::to_string(&smaller).ok()
    }

    /// What a repeated request is told.
    fn performed(self, now: Time) -> Performed {
        match self {
            Self::Succeeded { record_id, data } => {
                Performed::replayed(Outcome::Succeeded { record_id, data }, None, now)
            }
            Self::Rejected { class, message, raw } => {
                Performed::replayed(Outcome::Rejected(plain(class, message)), raw, now)
            }
            Self::Batch { ends, data } => Performed::replayed_batch(ends, data),
        }
    }
}

fn plain(class: ErrorClass, message: String) -> ProviderError {
    ProviderError {
        class,
        code: None,
        message,
        status: 0,
        existing_id: None,
    }
}

/// The answer to a request whose key has been used.
fn first_answer(found: IdempotencyUse, now: Time) -> Result<Option<Written>, WriteError> {
    let written = |answered| {
        Ok(Some(Written {
            replayed: true,
            batch_index: found.batch_index.and_then(|index| usize::try_from(index).ok()),
            ..Written::new(found.operation_id, answered)
        }))
    };
    if found.released == Some(true) {
        return Ok(None);
    }
    if found.mode == Mode::Asynchronous {
        return written(None);
    }
    let kept = found
        .answer
        .as_deref()
        .and_then(|text| serde_json::from_str::<Kept>(text).ok());
    if let Some(kept) = kept {
        return written(Some(kept.performed(now)));
    }
    // Its process did not live to answer: the queue has ended it, or will.
    let errors: Vec<String> = found
        .errors
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    match found.state {
        None => Err(WriteError::KeyInUse {
            operation_id: Some(found.operation_id),
        }),
        Some(EndState::Succeeded | EndState::Failed) if found.records.is_some() => {
            let ends = read_notes(found.records.as_deref());
            written(Some(Performed::replayed_batch(ends, Vec::new())))
        }
        Some(EndState::Succeeded) => {
            let record_id = found.record_id.clone();
            let outcome = Outcome::Succeeded {
                record_id,
                data: None,
            };
            written(Some(Performed::replayed(outcome, None, now)))
        }
        Some(EndState::NeedsReview) => Err(WriteError::OutcomeUnknown {
            operation_id: found.operation_id,
            errors,
        }),
        Some(_) => Err(WriteError::Ended {
            operation_id: found.operation_id,
            errors,
        }),
    }
}

impl Writes {
    /// The first answer to a request with this key; `None` when the key is free.
    ///
    /// # Errors
    /// When the key was used for another request, when the first one still runs, when its outcome is not known, or when the
    /// store fails.
    pub(super) async fn answer_again(
        &self,
        project_id: Uuid,
        key: &NewIdempotencyKey,
    ) -> Result<Option<Written>, WriteError> {
        let found = self
            .store
            .find_idempotency_key(project_id, &key.key)
            .await
            .map_err(WriteError::Store)?;
        match found {
            Some(found) if found.released != Some(true) && found.fingerprint != key.fingerprint => {
                Err(WriteError::KeyReused {
                    operation_id: found.operation_id,
                })
            }
            Some(found) => first_answer(found, self.now()),
            None => Ok(None),
        }
    }

    /// Performs a synchronous write that carries a key: its operation is stored, with its place in the queue, right before
    /// its first call leaves. Answers until when it is this process's own; `None` when nothing of it is stored, because it
    /// failed before it was sent: then the key is not used up.
    pub(super) async fn run_once(
        &self,
        set: &mut WriteSet<'_>,
        operation: &NewOperation,
        key: NewIdempotencyKey,
    ) -> Result<(Run, Option<Time>), WriteError> {
        let (operation_id, project_id) = (operation.id, operation.project_id);
        let shape = set.shape;
        let hold = longest(shape, self.outbound.timeout()) + GRACE;
        let (record_key, record_keys) = set.record_keys();
        let count = set.jobs.len();
        let accept = AcceptOperation {
            record_key,
            record_keys,
            holds: false,
            operation: operation.clone(),
            deadline: hold + RECOVERY,
            key: Some(key),
            performing: None,
            gather: None,
        };
        let begin = async |accept: AcceptOperation, sent: Option<Time>| {
            // Also of what may be repeated: should a repetition be refused, nobody knows what became of this one. Which calls
            // of a batch had left nobody knows after a crash: all of its records are in doubt then.
            let carried = || {
                (0..count)
                    .map(|index| Note::new(index, NoteState::Sent))
                    .collect::<Vec<_>>()
            };
            let sent = sent.map(|time| NewAttempt {
                records: (shape == Shape::Batch).then(|| notes_text(&carried())),
                ..NewAttempt::sent(operation_id, project_id, operation_id, 1, time)
            });
            let performing = Some(Performing { hold, sent });
            self.claim_before_sending(AcceptOperation { performing, ..accept }, hold)
                .await
        };
        let mut begun = None;
        let mut first = Some(accept);
        let run = self
            .run(set, &operation.object, (project_id, operation_id), async |sent| {
                if let Some(accept) = first.take() {
                    begun = Some(begin(accept, Some(sent)).await?);
                }
                Ok::<(), WriteError>(())
            })
            .await?;
        if let Some(accept) = first
            && run.is_done_unsent()
        {
            // There was nothing to send, and that is its answer from now on.
            begun = Some(begin(accept, None).await?);
        }
        Ok((run, begun))
    }

    /// Stores a synchronous write with its key right before it leaves. Answers until when it is this process's own.
    async fn claim_before_sending(
        &self,
        accept: AcceptOperation,
        hold: Duration,
    ) -> Result<Time, WriteError> {
        let began = Instant::now();
        match self.accept.submit(accept.clone()).await {
            Ok(Accepted::At(time)) => Ok(time.after(hold)),
            // Nobody gathers synchronous writes.
            Ok(Accepted::KeyTaken | Accepted::Gathered(_)) => {
                Err(WriteError::KeyInUse { operation_id: None })
            }
            Err(StoreError::Undecided(_)) => self.begun_after_all(&accept, began).await,
            Err(error) => Err(WriteError::Store(error)),
        }
    }

    /// Stores the end of a synchronous write with a key; its answer, where it has one, is kept for the key.
    pub(super) async fn finish_once(
        &self,
        operation: &NewOperation,
        run_at: Time,
        attempts: Vec<NewAttempt>,
        end: Option<(NewResult, &Performed)>,
        has_record: bool,
    ) -> Stored {
        let ending = match end {
            // The queue looks for what may have been made, and goes on with the rest; the same key gets what it finds.
            None => Finish::HandOver,
            Some((result, performed)) => {
                let answer = Kept::new(performed).and_then(Kept::text);
                Finish::Result(result, answer.map_or(NewAnswer::Release, NewAnswer::Keep))
            }
        };
        let finish = FinishOperation {
            project_id: operation.project_id,
            lane_id: operation.connection_id,
            operation_id: operation.id,
            run_at,
            attempts,
            ending,
        };
        self.store_end(finish, has_record).await
    }

    /// `has_record` tells that others may wait for it.
    async fn store_end(&self, finish: FinishOperation, has_record: bool) -> Stored {
        let (lane_id, operation_id) = (finish.lane_id, finish.operation_id);
        let handed_over = matches!(finish.ending, Finish::HandOver);
        match self.finish_patiently(finish).await {
            Ok(true) if handed_over => {
                self.new_work.changed(lane_id);
                Stored::HandedOver
            }
            Ok(true) => {
                // Writes to the same record may have waited for this one.
                if has_record {
                    self.new_work.changed(lane_id);
                }
                self.finished.ended([operation_id]);
                Stored::Yes
            }
            Ok(false) => {
                tracing::warn!(operation.id = %operation_id, "the queue has taken a synchronous write over: its outcome is kept as an attempt only");
                Stored::Failed
            }
            Err(error) => {
                tracing::error!(operation.id = %operation_id, error = &error as &dyn std::error::Error,
                    "the outcome of a synchronous write could not be stored; the queue will find out");
                Stored::Failed
            }
        }
    }

    /// As for a write without a key: what the provider said must not be lost for a short outage of the store.
    async fn finish_patiently(&self, finish: FinishOperation) -> Result<bool, StoreError> {
        let deadline = tokio::time::Instant::now() + RECORD_PATIENCE;
        let mut wait = Duration::from_millis(50);
        let mut failed_before = false;
        loop {
            match self.finish.submit(finish.clone()).await {
                Err(error) if error.is_transient() && tokio::time::Instant::now() + wait < deadline => {
                    failed_before = true;
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                // A commit whose answer was lost may have happened: then its result is there.
                Ok(false) if failed_before && matches!(finish.ending, Finish::Result(..)) => {
                    return self.has_ended(&finish).await;
                }
                Err(error @ StoreError::Undecided(_)) if matches!(finish.ending, Finish::Result(..)) => {
                    return match self.has_ended(&finish).await {
                        Ok(true) => Ok(true),
                        _ => Err(error),
                    };
                }
                result => return result,
            }
        }
    }
}

impl Writes {
    async fn has_ended(&self, finish: &FinishOperation) -> Result<bool, StoreError> {
        let found = self
            .store
            .get_operation(finish.project_id, finish.operation_id)
            .await?;
        Ok(found.is_some_and(|operation| operation.state.is_some()))
    }
}

/// What has been stored of a synchronous write.
#[derive(Debug)]
pub(super) enum Stored {
    /// Its end.
    Yes,
    /// That the queue must find out.
    HandedOver,
    /// Not its end.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_1_to_255_visible_ascii_characters() {
        for good in ["k", "order-7/line:3", "\"quoted\"", &"k".repeat(255)] {
            assert!(is_valid_key(good), "{good}");
        }
        for bad in ["", "a b", "tab\t", "é", "\u{7f}", &"k".repeat(256)] {
            assert!(!is_valid_key(bad), "{bad}");
        }
    }

    #[test]
    fn a_fingerprint_differs_with_each_part_of_a_request() {
        let of = |project: u128, integration: &str, object: &str, body: &str| {
            key_of(
                "k".to_owned(),
                Uuid::from_u128(project),
                integration,
                object,
                body.as_bytes(),
            )
            .fingerprint
        };
        let first = of(1, "hs", "contacts", "{}");
        assert_eq!(first, of(1, "HS", "contacts", "{}"), "names have no case");
        for other in [
            of(2, "hs", "contacts", "{}"),
            of(1, "sf", "contacts", "{}"),
            of(1, "hs", "companies", "{}"),
            of(1, "hs", "contacts", "{ }"),
            of(1, "h", "scontacts", "{}"),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn an_answer_that_is_too_large_is_kept_without_its_data() {
        let kept = Kept::Succeeded {
            record_id: Some("7".to_owned()),
            data: Some(Value::String("x".repeat(MAX_ANSWER))),
        };
        let text = kept.text().expect("JSON");
        assert!(text.len() < 100, "{}", text.len());
        assert!(matches!(
            serde_json::from_str(&text),
            Ok(Kept::Succeeded {
                record_id: Some(_),
                data: None
            })
        ));
    }

    #[test]
    fn numbers_of_an_answer_keep_their_digits_and_keys_their_order() {
        let data = r#"{"z":0.10,"a":12345678901234567890,"m":{"b":1,"a":[1.50]}}"#;
        let kept = Kept::Succeeded {
            record_id: None,
            data: serde_json::from_str(data).ok(),
        };
        let text = kept.text().expect("JSON");
        let kept = serde_json::from_str::<Kept>(&text).expect("readable");
        let performed = kept.performed(Time::from_micros(0));
        let Some((
            Outcome::Succeeded {
                data: Some(again), ..
            },
            _,
        )) = performed.whole
        else {
            panic!("a success")
        };
        assert_eq!(again.to_string(), data);
    }
}
