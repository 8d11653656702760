//! One attempt at one queue item, from the stored request to what follows.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::conclude::{LaneEffect, Situation, again, conclude, finish, gave_up, with_quota};
use super::shard::Shards;
use crate::action::Action;
use crate::clock::Time;
use crate::connectors::{ErrorClass, Outcome};
use crate::store::{AttemptState, BeginAttempt, Claimed, EndState, Ending, Lease, NewAttempt, StoreError};
use crate::writes::perform::{Job, Performed};
use crate::writes::request::StoredRequest;
use crate::writes::route::RouteError;
use crate::writes::{Found, Writes, may_repeat_blindly, read_stored};

/// How long an item waits that this process cannot use.
pub(super) const UNUSABLE_WAIT: Duration = Duration::from_secs(30);
/// How long an item waits whose performing panicked.
const PANIC_WAIT: Duration = Duration::from_secs(30);

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
    /// Of a batch: the keys of the records that have ended.
    pub freed: Option<Vec<i64>>,
    /// One word for the log.
    pub class: &'static str,
}

impl Attempted {
    pub fn without_call(ending: Ending, class: &'static str) -> Self {
        Self {
            ending,
            effect: LaneEffect::None,
            dead_credential: false,
            attempt: None,
            freed: None,
            class,
        }
    }
}

/// The time until the deadline. While the lane was held the clock stood still, for work that was accepted before.
pub(super) fn left(item: &Claimed, claimed_at: Instant) -> Duration {
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

/// Who performs an item.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holder<'a> {
    /// The worker's shards.
    pub shards: &'a Shards,
    /// The lease under which the item was claimed.
    pub lease: Lease,
    /// The id of the attempt.
    pub attempt_id: Uuid,
    /// True when the item is past its deadline: it is ended out of its turn, and not sent.
    pub overdue: bool,
}

/// Why nothing was sent and nothing follows: the item stays as it is.
#[derive(Debug)]
pub(super) enum Unsent {
    /// The store failed.
    Store(StoreError),
    /// Another worker has the shard by now.
    Lost,
    /// It was to be ended at its deadline, which has moved.
    NotYet,
}

impl From<StoreError> for Unsent {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Performs one item. `base` is the first wait of the backoff.
///
/// # Errors
/// [`Unsent`]: nothing was sent, the item stays as it is and comes again.
pub(super) async fn attempt(
    writes: &Writes,
    item: &Claimed,
    claimed_at: Instant,
    base: Duration,
    holder: &Holder<'_>,
) -> Result<Attempted, Unsent> {
    // Out of its turn it may only be ended.
    if holder.overdue && !left(item, claimed_at).is_zero() {
        return Err(Unsent::NotYet);
    }
    let mut attempted = if StoredRequest::is_batch(&item.request) {
        super::batch::perform(writes, item, claimed_at, base, holder).await?
    } else {
        perform(writes, item, claimed_at, base, holder).await?
    };
    // While an earlier request is in doubt, "failed" would say more than is known.
    if let (Ending::Finish(result), Some(_)) = (&mut attempted.ending, item.in_doubt_since)
        && result.records.is_none()
        && result.state == EndState::Failed
    {
        result.state = EndState::NeedsReview;
    }
    if let Ending::Finish(result) = &attempted.ending {
        let route = writes
            .routes
            .find_pinned(item.project_id, item.config_id, item.revision_id, item.lane_id)
            .await;
        let provider = route.as_ref().map_or("none", |route| route.connector.provider());
        let labels = [provider, &item.action, result.state.as_str(), attempted.class];
        writes.metrics.operations_ended.increment(&labels);
    }
    Ok(attempted)
}

/// What follows when performing panicked: it comes again later, and ends at its deadline like everything else.
pub(super) fn after_panic(item: &Claimed, claimed_at: Instant) -> Attempted {
    let ending = if left(item, claimed_at) > PANIC_WAIT {
        Ending::Retry {
            delay: PANIC_WAIT,
            attempt: item.attempt + 1,
        }
    } else {
        let text = "an internal error; the server's log says more under this operation".to_owned();
        finish(
            EndState::NeedsReview,
            &item.object,
            None,
            Some(text),
            item.attempt,
        )
    };
    Attempted::without_call(ending, "internal")
}

async fn perform(
    writes: &Writes,
    item: &Claimed,
    claimed_at: Instant,
    base: Duration,
    holder: &Holder<'_>,
) -> Result<Attempted, Unsent> {
    let object = item.object.as_str();
    let situation = |spent: i32, hint: Option<Duration>, can_resolve: bool| Situation {
        object,
        spent,
        left: left(item, claimed_at),
        base,
        jitter: fastrand::f64(),
        hint,
        can_resolve,
    };
    let failed = |message: String| {
        Attempted::without_call(
            finish(EndState::Failed, object, None, Some(message), item.attempt),
            "config",
        )
    };
    // What this process cannot use, another one or a later version may: it waits, until its deadline.
    let unusable = |message: String| {
        let ending = again(
            &situation(item.attempt.max(1), Some(UNUSABLE_WAIT), false),
            || {
                finish(
                    EndState::Failed,
                    object,
                    None,
                    Some(message.clone()),
                    item.attempt,
                )
            },
        );
        let effect = LaneEffect::Pause(UNUSABLE_WAIT);
        tracing::error!(operation.id = %item.operation_id, "a write cannot be performed by this process: {message}");
        Attempted {
            effect,
            ..Attempted::without_call(ending, "unusable")
        }
    };
    let (stored, record) = match read_stored(&item.request) {
        Ok(read) => read,
        Err(message) => return Ok(unusable(message)),
    };
    let Some(action) = Action::parse(&item.action) else {
        return Ok(unusable(format!(
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
        Err(RouteError::Store(error)) => return Err(error.into()),
        Err(error @ RouteError::Gone) => return Ok(failed(error.to_string())),
        Err(error) => return Ok(unusable(error.to_string())),
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
    job.repeated = item.attempt > 0 || item.in_doubt_since.is_some();
    let unsafe_to_repeat = job.is_unsafe_to_repeat();
    let can_resolve = may_repeat_blindly(&stored) || has_unique_value(&job);
    let number = item.attempt + 1;

    if let Some(since) = item
        .in_doubt_since
        .filter(|_| unsafe_to_repeat && !may_repeat_blindly(&stored))
    {
        match resolve(writes, &job, since, object, item.attempt).await {
            Resolved::Absent => {}
            Resolved::End(ending) => return Ok(Attempted::without_call(ending, "reconciled")),
            // The provider could not be asked: its answer is treated like one to a write, and the doubt remains.
            Resolved::Later(outcome) => {
                let current = writes.note_credentials(&route, &outcome).await;
                let hint = hint_of(&outcome, writes.now());
                let (ending, effect) = conclude(&outcome, &situation(number, hint, true));
                let dead_credential = matches!(outcome, Outcome::Unauthorized(_)) && current;
                return Ok(Attempted {
                    effect,
                    dead_credential,
                    ..Attempted::without_call(ending, "reconciling")
                });
            }
        }
    }
    if left(item, claimed_at).is_zero() {
        let ending = if item.attempt == 0 {
            let text = expired_text(writes, item).await?;
            finish(EndState::Failed, object, None, Some(text), 0)
        } else {
            gave_up(EndState::Failed, object, item.attempt, "see its attempts")
        };
        return Ok(Attempted::without_call(ending, "deadline"));
    }

    // By the store's clock, not by this node's: a record that the provider made is ours only when it is not older.
    let row = || NewAttempt {
        id: holder.attempt_id,
        project_id: item.project_id,
        operation_id: item.operation_id,
        number,
        state: AttemptState::Sent,
        start_time: item.store_now.after(claimed_at.elapsed()),
        status: None,
        class: None,
        message: None,
        latency_us: None,
        skipped: None,
        excerpt: None,
        records: None,
    };
    let may_send = || holder.shards.may_send(holder.lease);
    let performed: Performed = writes
        .perform(
            &mut job,
            async |_| {
                // Reading what comes before the write took its time, and a process can stand still: the last look.
                if !may_send() {
                    return Err(Unsent::Lost);
                }
                if !unsafe_to_repeat {
                    return Ok(());
                }
                // Durable before the request leaves: whoever finds this item after a crash knows that it may have been applied.
                let begin = BeginAttempt {
                    worker: holder.shards.worker,
                    lease: holder.lease,
                    attempt: row(),
                };
                if writes.begin_attempt(begin).await? {
                    Ok(())
                } else {
                    Err(Unsent::Lost)
                }
            },
            may_send,
        )
        .await?;
    let current = writes.note_performed(&route, &performed).await;
    let hint = hint_of(&performed.outcome, writes.now());
    let (mut ending, effect) = conclude(&performed.outcome, &situation(number, hint, can_resolve));
    let effect = with_quota(effect, performed.pause);
    let dead_credential = matches!(performed.outcome, Outcome::Unauthorized(_)) && current;
    // An earlier attempt that got no answer may be the very record that this one collides with.
    if let (Outcome::Rejected(error), Some(since)) = (&performed.outcome, item.in_doubt_since)
        && error.class == ErrorClass::Conflict
    {
        match resolve(writes, &job, since, object, number).await {
            Resolved::End(resolved) => ending = resolved,
            Resolved::Later(_) => ending = again(&situation(number, None, true), || ending.clone()),
            Resolved::Absent => {}
        }
    }
    let attempt = performed.is_worth_telling().then(|| {
        writes.attempt(
            holder.attempt_id,
            item.operation_id,
            item.project_id,
            number,
            &performed,
        )
    });
    Ok(Attempted {
        ending,
        effect,
        dead_credential,
        attempt,
        freed: None,
        class: performed.class(),
    })
}

/// Why a write that was never tried has ended at its deadline.
async fn expired_text(writes: &Writes, item: &Claimed) -> Result<String, StoreError> {
    if !item.behind {
        return Ok("the deadline passed before it could be tried".to_owned());
    }
    let live = writes
        .store()
        .get_live(item.project_id, item.operation_id)
        .await?;
    Ok(match live.and_then(|live| live.held_by) {
        Some(holder) => format!(
            "the deadline passed while it was held behind operation {holder}, an earlier write to the same record that failed; \
             replay, resolve or release that one, then replay this one"
        ),
        None => {
            "the deadline passed while an earlier write to the same record was still being tried".to_owned()
        }
    })
}

/// When the provider wants the next attempt, seen from `now`.
pub(super) fn hint_of(outcome: &Outcome, now: Time) -> Option<Duration> {
    match outcome {
        Outcome::Retry { after, .. } => after.map(|hint| hint.wait(now.to_timestamp())),
        _ => None,
    }
}

/// Whether the provider keeps a field of this record unique, so that its fate can be looked up.
pub(super) fn has_unique_value(job: &Job<'_>) -> bool {
    let text = |field: &String| job.applied.record.get(field).and_then(serde_json::Value::as_str);
    job.action == Action::Create
        && job
            .route
            .connector
            .unique_fields(job.plan.provider_object())
            .iter()
            .any(|field| text(field).is_some_and(|text| !text.is_empty()))
}

/// What became of a create in doubt.
enum Resolved {
    /// It is not there: it may be sent (again).
    Absent,
    /// The operation ends.
    End(Ending),
    /// The provider could not be asked; this is what it answered.
    Later(Outcome),
}

async fn resolve(writes: &Writes, job: &Job<'_>, since: Time, object: &str, spent: i32) -> Resolved {
    let review = |text: String| Resolved::End(finish(EndState::NeedsReview, object, None, Some(text), spent));
    match writes.look_for(job, since).await {
        Found::Absent => Resolved::Absent,
        Found::Ours { record_id } => {
            Resolved::End(finish(EndState::Succeeded, object, Some(record_id), None, spent))
        }
        Found::Candidate { record_id } => review(format!(
            "the create was sent and got no answer; record {record_id} has the same unique value, but may be somebody else's"
        )),
        Found::NoUniqueField => review(
            "the create was sent and got no answer; it may have been applied, and it is not sent again"
                .to_owned(),
        ),
        Found::NotNow { outcome } => Resolved::Later(*outcome),
    }
}
