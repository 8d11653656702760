//! One attempt at one queue item: what may be said before it is performed ([`super::turn`]), and what follows when it could
//! not be performed.

use std::time::{Duration, Instant};

use super::conclude::finish;
use super::item::{Attempted, Holder, Unsent, left};
use crate::store::{AttemptState, Claimed, EndState, Ending, NewAttempt, StoreError};
use crate::writes::Writes;
use crate::writes::request::StoredRequest;
use crate::writes::set::Shape;

/// How long an item waits that has not left because the store does not say whether that was noted.
const UNDECIDED_WAIT: Duration = Duration::from_millis(200);
/// How long an item waits whose performing panicked.
const PANIC_WAIT: Duration = Duration::from_secs(30);

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
    // What cannot be recorded is not sent, also where it might be repeated.
    if let Some(why) = writes.health.why_down() {
        return Err(StoreError::down(why).into());
    }
    // What an earlier write to the record has sent may still take effect: this one must not go before it.
    if let Some(until) = item.straggles_until.filter(|_| !holder.overdue) {
        let delay = until.since(item.store_now).saturating_sub(claimed_at.elapsed());
        if !delay.is_zero() {
            let ending = Ending::Retry {
                delay,
                attempt: item.attempt,
            };
            return Ok(Attempted::without_call(ending, "straggler"));
        }
    }
    let attempted = match super::turn::perform(writes, item, claimed_at, base, holder).await {
        Err(Unsent::Undecided(never_left)) => unsent(item, *never_left),
        performed => performed?,
    };
    if let Ending::Finish(result) = &attempted.ending {
        let route = writes
            .routes
            .find_pinned(item.project_id, item.config_id, item.revision_id, item.lane_id)
            .await;
        let provider = route.as_ref().map_or("none", |route| route.connector.provider());
        let labels = [
            provider,
            item.action.as_str(),
            result.state.as_str(),
            attempted.class,
        ];
        writes.metrics.operations_ended.increment(&labels);
    }
    Ok(attempted)
}

/// What follows when it is not known whether the store has noted the write as about to leave: it has not left. That is noted,
/// so that nobody takes it for one that has, and it comes again.
fn unsent(item: &Claimed, never_left: NewAttempt) -> Attempted {
    let ending = Ending::Retry {
        delay: UNDECIDED_WAIT,
        attempt: item.attempt,
    };
    Attempted {
        attempt: Some(never_left),
        freed: (StoredRequest::shape_of(&item.request) == Shape::Batch).then(Vec::new),
        ..Attempted::without_call(ending, "unsent")
    }
}

/// What follows when performing panicked: it comes again later, and ends at its deadline like everything else. What had left
/// by then is in doubt.
pub(super) fn after_panic(item: &Claimed, claimed_at: Instant, departed: Option<NewAttempt>) -> Attempted {
    let text = "an internal error; the server's log says more under this operation";
    let left = left(item, claimed_at);
    let ending = if left.is_zero() {
        // Of a batch some records may have been written before.
        let is_batch = StoredRequest::shape_of(&item.request) == Shape::Batch;
        let unknown = departed.is_some() || item.in_doubt_since.is_some() || is_batch;
        let state = if unknown {
            EndState::NeedsReview
        } else {
            EndState::Failed
        };
        finish(state, &item.object, text, item.attempt)
    } else {
        Ending::Retry {
            delay: PANIC_WAIT.min(left),
            attempt: item.attempt + 1,
        }
    };
    let attempt = departed.map(|row| NewAttempt {
        state: AttemptState::Unanswered,
        class: Some("internal".to_owned()),
        message: Some(text.to_owned()),
        ..row
    });
    Attempted {
        attempt,
        ..Attempted::without_call(ending, "internal")
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock::Time;

    fn item(left: Duration, in_doubt_since: Option<Time>) -> Claimed {
        let now = Time::from_micros(1_000_000_000);
        Claimed {
            shard: 0,
            lane_id: Uuid::nil(),
            run_at: now,
            operation_id: Uuid::nil(),
            project_id: Uuid::nil(),
            seq: 1,
            record_key: None,
            behind: false,
            attempt: 2,
            provider: Some("hubspot".to_owned()),
            installation_id: Uuid::nil(),
            config_id: Uuid::nil(),
            revision_id: Uuid::nil(),
            object: "companies".to_owned(),
            action: crate::action::Action::Update.into(),
            request: "{}".to_owned(),
            accept_time: Time::from_micros(0),
            deadline: Some(now.after(left)),
            held_from: None,
            held_until: None,
            in_doubt_since,
            straggles_until: None,
            store_now: now,
        }
    }

    fn row() -> NewAttempt {
        NewAttempt::sent(
            Uuid::from_u128(7),
            Uuid::nil(),
            Uuid::nil(),
            3,
            Time::from_micros(5),
        )
    }

    fn state(attempted: &Attempted) -> Option<EndState> {
        match &attempted.ending {
            Ending::Finish(result) => Some(result.state),
            Ending::Retry { .. } => None,
        }
    }

    #[test]
    fn what_had_left_when_performing_panicked_is_in_doubt() {
        let hour = Duration::from_secs(3_600);
        let attempted = after_panic(&item(hour, None), Instant::now(), Some(row()));
        assert_eq!(state(&attempted), None, "it is tried again");
        let kept = attempted.attempt.expect("an attempt is kept");
        assert_eq!((kept.id, kept.state), (row().id, AttemptState::Unanswered));
        let attempted = after_panic(&item(hour, None), Instant::now(), None);
        assert!(attempted.attempt.is_none(), "nothing had left");
    }

    #[test]
    fn a_panic_waits_until_the_deadline_and_no_longer() {
        let near = Duration::from_secs(3);
        let attempted = after_panic(&item(near, None), Instant::now(), None);
        let Ending::Retry { delay, attempt } = attempted.ending else {
            panic!("the deadline has not come")
        };
        assert!(delay <= near && delay > Duration::from_secs(1), "{delay:?}");
        assert_eq!(attempt, 3);
        let ends = |since, departed| {
            state(&after_panic(
                &item(Duration::ZERO, since),
                Instant::now(),
                departed,
            ))
        };
        assert_eq!(ends(None, None), Some(EndState::Failed), "it never left");
        assert_eq!(ends(None, Some(row())), Some(EndState::NeedsReview));
        assert_eq!(
            ends(Some(Time::from_micros(1)), None),
            Some(EndState::NeedsReview)
        );
    }
}
