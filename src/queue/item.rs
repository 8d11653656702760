//! One attempt at one queue item, from the stored request to what follows.

use std::time::{Duration, Instant};

use super::conclude::{LaneEffect, Situation, again, conclude, finish, gave_up};
use crate::action::Action;
use crate::clock::Time;
use crate::connectors::{ErrorClass, Outcome};
use crate::store::{AttemptState, Claimed, EndState, Ending, NewAttempt, StoreError};
use crate::writes::perform::{Job, Performed};
use crate::writes::route::RouteError;
use crate::writes::{Found, Writes, may_repeat_blindly, read_stored};

/// What came of an attempt.
#[derive(Debug)]
pub(super) struct Attempted {
    /// What happens to the item.
    pub ending: Ending,
    /// What happens to the lane.
    pub effect: LaneEffect,
    /// True when the credentials are dead.
    pub dead_credential: bool,
    /// The row of the attempt.
    pub attempt: Option<NewAttempt>,
    /// One word for the log.
    pub class: &'static str,
}

impl Attempted {
    fn without_call(ending: Ending, class: &'static str) -> Self {
        Self {
            ending,
            effect: LaneEffect::None,
            dead_credential: false,
            attempt: None,
            class,
        }
    }
}

/// The action's word in the store.
fn action_of(word: &str) -> Option<Action> {
    [Action::Create, Action::Update, Action::Delete]
        .into_iter()
        .find(|action| action.as_str() == word)
}

/// The time until the deadline. While the lane was held the clock stood still, for work that was accepted before.
fn left(item: &Claimed, claimed_at: Instant) -> Duration {
    let Some(deadline) = item.deadline else {
        return Duration::ZERO;
    };
    let stood_still = match (item.held_from, item.held_until) {
        (Some(from), Some(until)) => until.since(from.max(item.accept_time)),
        _ => Duration::ZERO,
    };
    deadline
        .after(stood_still)
        .since(item.store_now)
        .saturating_sub(claimed_at.elapsed())
}

/// Performs one item. `base` is the first wait of the backoff.
///
/// # Errors
/// When the store fails before anything was sent: the item stays as it is and comes again.
pub(super) async fn attempt(
    writes: &Writes,
    item: &Claimed,
    claimed_at: Instant,
    base: Duration,
    attempt_id: uuid::Uuid,
) -> Result<Attempted, StoreError> {
    let object = item.object.as_str();
    let failed = |message: String| {
        Attempted::without_call(
            finish(EndState::Failed, object, None, Some(message), item.attempt),
            "config",
        )
    };
    let (stored, record) = match read_stored(&item.request) {
        Ok(read) => read,
        Err(message) => return Ok(failed(message)),
    };
    let Some(action) = action_of(&item.action) else {
        return Ok(failed(format!(
            "the stored action `{}` is unknown to this version",
            item.action
        )));
    };
    let route = match writes
        .routes
        .find_pinned(item.project_id, item.config_id, item.revision_id, item.lane_id)
        .await
    {
        Ok(route) => route,
        Err(RouteError::Store(error)) => return Err(error),
        Err(error) => return Ok(failed(error.to_string())),
    };
    let plan = match route.plan(object) {
        Ok(plan) => plan,
        Err(error) => return Ok(failed(error.to_string())),
    };
    let key = item.operation_id.to_string();
    let mut job = match Job::new(&route, &plan, action, record, false, &stored, key) {
        Ok(job) => job,
        Err(error) => return Ok(failed(error.to_string())),
    };
    let unsafe_to_repeat = job.is_unsafe_to_repeat();
    let can_resolve = may_repeat_blindly(&stored) || has_unique_value(&job);
    let situation = |spent: i32, hint: Option<Duration>| Situation {
        object,
        spent,
        left: left(item, claimed_at),
        base,
        jitter: fastrand::f64(),
        hint,
        can_resolve,
    };

    if let Some(since) = item
        .in_doubt_since
        .filter(|_| unsafe_to_repeat && !may_repeat_blindly(&stored))
        && let Some(ending) = resolve(writes, &job, since, &situation(item.attempt.max(1), None)).await
    {
        return Ok(Attempted::without_call(ending, "reconciled"));
    }
    if left(item, claimed_at).is_zero() {
        let ending = if item.attempt == 0 {
            let text = "the deadline passed before it could be tried".to_owned();
            finish(EndState::Failed, object, None, Some(text), 0)
        } else {
            gave_up(object, item.attempt, "see its attempts")
        };
        return Ok(Attempted::without_call(ending, "deadline"));
    }

    let number = item.attempt + 1;
    let row = |state: AttemptState, start_time: Time| NewAttempt {
        id: attempt_id,
        project_id: item.project_id,
        operation_id: item.operation_id,
        number,
        state,
        start_time,
        status: None,
        class: None,
        message: None,
        latency_us: None,
    };
    let performed: Performed = writes
        .perform(&mut job, async |sent| {
            // Durable before the request leaves: whoever finds this item after a crash knows that it may have been applied.
            if unsafe_to_repeat {
                writes.append_attempt(row(AttemptState::Sent, sent)).await
            } else {
                Ok(())
            }
        })
        .await?;
    let current = writes.note_credentials(&route, &performed.outcome).await;
    let now = writes.now();
    let hint = match &performed.outcome {
        Outcome::Retry { after, .. } => after.map(|hint| hint.wait(now.to_timestamp())),
        _ => None,
    };
    let (mut ending, effect) = conclude(&performed.outcome, &situation(number, hint));
    let dead_credential = matches!(performed.outcome, Outcome::Unauthorized(_)) && current;
    // An earlier attempt that got no answer may be the very record that this one collides with.
    if let (Outcome::Rejected(error), Some(since)) = (&performed.outcome, item.in_doubt_since)
        && error.class == ErrorClass::Conflict
        && let Some(resolved) = resolve(writes, &job, since, &situation(number, None)).await
    {
        ending = resolved;
    }
    let attempt = performed
        .sent
        .map(|_| writes.attempt(attempt_id, item.operation_id, item.project_id, number, &performed));
    Ok(Attempted {
        ending,
        effect,
        dead_credential,
        attempt,
        class: performed.class(),
    })
}

/// Whether the provider keeps a field of this record unique, so that its fate can be looked up.
fn has_unique_value(job: &Job<'_>) -> bool {
    job.action == Action::Create
        && job
            .route
            .connector
            .unique_fields(job.plan.provider_object())
            .iter()
            .any(|field| {
                job.applied
                    .record
                    .get(field)
                    .is_some_and(|value| value.as_str().is_some_and(|text| !text.is_empty()))
            })
}

/// What became of a create in doubt; `None` when it may be sent (again).
async fn resolve(writes: &Writes, job: &Job<'_>, since: Time, situation: &Situation<'_>) -> Option<Ending> {
    let object = situation.object;
    let review = |text: String| finish(EndState::NeedsReview, object, None, Some(text), situation.spent);
    match writes.look_for(job, since).await {
        Found::Absent => None,
        Found::Ours { record_id } => Some(finish(
            EndState::Succeeded,
            object,
            Some(record_id),
            None,
            situation.spent,
        )),
        Found::Candidate { record_id } => Some(review(format!(
            "the create was sent and got no answer; record {record_id} has the same unique value, but may be somebody else's"
        ))),
        Found::NoUniqueField => Some(review(
            "the create was sent and got no answer; it may have been applied, and it is not sent again"
                .to_owned(),
        )),
        Found::NotNow { message } => Some(again(situation, || {
            review(format!(
                "the create was sent and got no answer, and the provider could not be asked: {message}"
            ))
        })),
    }
}
