//! What is done beside the requests: the queue is counted, holds are told of, and those that last too long end.

use std::time::Duration;

use super::set::{self, Progress, Shape};
use super::{IN_DOUBT, Writes, error_list, read_stored, summary};
use crate::metrics::{Standing, seconds};
use crate::store::{EndState, LaneBacklog, LongHeld, NewResult, StoreError, StoreHealth};

/// Items ended in one transaction.
const BATCH: i64 = 500;

impl Writes {
    /// Counts the queue anew, for the limits and for the metrics.
    ///
    /// # Errors
    /// When the store fails; then the old figures stay.
    pub async fn survey(&self) -> Result<(), StoreError> {
        let lanes = self.backlog.refresh(self.store()).await?;
        let health = self.store().health().await?;
        self.metrics.set_standing(standing(&lanes, health));
        Ok(())
    }

    /// Tells of the holds that nobody has been told of: each once, by one of all processes.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn tell_new_holds(&self) -> Result<(), StoreError> {
        for hold in self.store().take_new_holds().await? {
            // A notification of `connection.error` belongs here, too.
            tracing::warn!(
                project.id = %hold.project_id, connection.id = %hold.lane_id, reason = hold.reason.as_str(), since = %hold.since,
                "the provider refuses a customer's credentials: the connection's writes wait until it is reconnected"
            );
        }
        Ok(())
    }

    /// Ends writes that have waited for working credentials for longer than `limit`. Answers how many.
    ///
    /// # Errors
    /// When the store fails; what has not ended is tried again by the next run.
    pub async fn end_long_holds(&self, limit: Duration) -> Result<usize, StoreError> {
        let mut total = 0;
        loop {
            let found = self.store().long_held(limit, BATCH).await?;
            if found.is_empty() {
                return Ok(total);
            }
            let mut ends: Vec<(LongHeld, NewResult)> = Vec::with_capacity(found.len());
            for item in found {
                let result = self.end_of_held(&item).await?;
                ends.push((item, result));
            }
            let ended = self.store().end_long_held(&ends).await?;
            let mut count = 0;
            for ((item, result), _) in ends.iter().zip(&ended).filter(|(_, ended)| **ended) {
                count += 1;
                self.backlog.add(item.project_id, item.lane_id, -1);
                let provider = item.provider.as_deref().unwrap_or("none");
                self.metrics.operations_ended.increment(&[
                    provider,
                    item.action.as_str(),
                    result.state.as_str(),
                    "hold_expired",
                ]);
            }
            if count == 0 {
                // All of them were reconnected meanwhile.
                return Ok(total);
            }
            total += count;
            tracing::warn!(
                operations = count,
                "writes ended because the credentials that they waited for did not come in time"
            );
        }
    }

    /// How an item ends that has waited for too long: of a batch of which some records were tried, each for itself.
    async fn end_of_held(&self, item: &LongHeld) -> Result<NewResult, StoreError> {
        if !item.has_records {
            return Ok(result_of(item));
        }
        let (project_id, operation_id) = (item.project_id, item.operation_id);
        let accepting = self.store().get_accepting(project_id, operation_id).await?;
        let Some(Ok((_, records))) = accepting.map(|accepting| read_stored(&accepting.request)) else {
            return Ok(result_of(item));
        };
        let attempts = self.store().list_attempts(project_id, operation_id).await?;
        let mut progress = Progress::of(records.len(), &attempts);
        progress.end_open(|index, record| record.failure(index, why(item)));
        Ok(set::result_of(
            Shape::Batch,
            &item.object,
            &progress,
            item.attempt,
        ))
    }
}

fn why(item: &LongHeld) -> String {
    format!(
        "the provider has refused the customer's credentials since {}, and the longest time to wait for new ones is over; \
         have the customer reconnect, then replay this write or send it again",
        item.since
    )
}

fn result_of(item: &LongHeld) -> NewResult {
    let mut text = why(item);
    let state = if item.in_doubt {
        text = format!("{text}; but {IN_DOUBT}");
        EndState::NeedsReview
    } else {
        EndState::Failed
    };
    NewResult {
        state,
        summary: summary(&item.object, Some(&text)),
        record_id: None,
        errors: error_list(&[text]),
        attempts: item.attempt,
        records: None,
    }
}

fn standing(lanes: &[LaneBacklog], health: StoreHealth) -> Standing {
    let mut standing = Standing {
        lanes: i64::try_from(lanes.len()).unwrap_or(i64::MAX),
        lanes_held: health.lanes_held,
        lanes_paused: health.lanes_paused,
        records_held: health.records_held,
        shards_free: health.shards_free,
        long_transactions: health.long_transactions,
        ..Standing::default()
    };
    for lane in lanes {
        // The id of an operation begins with the time at which it was accepted.
        let accepted = lane.oldest.get_timestamp().map_or(lane.store_now, |time| {
            let (seconds, nanos) = time.to_unix();
            let micros = i64::try_from(seconds)
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000_000);
            crate::clock::Time::from_micros(micros.saturating_add(i64::from(nanos / 1_000)))
        });
        let age = seconds(lane.store_now.since(accepted));
        if lane.held {
            standing.held += lane.items;
            standing.oldest_held = standing.oldest_held.max(age);
        } else {
            standing.waiting += lane.items;
            standing.oldest_waiting = standing.oldest_waiting.max(age);
            standing.overdue = standing.overdue.max(seconds(lane.store_now.since(lane.run_at)));
        }
    }
    standing
}
