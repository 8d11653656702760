//! What a claim takes of the rows that it has looked at: the same rules for both stores, as a pure function.

use std::collections::HashSet;
use std::time::Duration;

use uuid::Uuid;

use super::rows::row;
use super::time::before;
use super::{Claimed, ExpireAsk, HoldReason, LaneAsk, LanePlace, LaneRead, MaybeKnown};
use crate::clock::Time;

/// A commit may become visible this much later than the time it carries: so far back is always read again.
pub const LATE_COMMIT: Duration = Duration::from_secs(10);

row! {
    /// A row of the queue without its request, and the state of its lane. Without an item when the lane has none.
    pub struct QueueRow of "queue_items" {
        /// Which ask it answers, from 1.
        pub position: i64,
        pub hold_reason: Option<MaybeKnown<HoldReason>>,
        pub paused_until: Option<Time>,
        pub store_now: Time,
        /// Of the item, like all that follows.
        pub run_at: Option<Time>,
        pub operation_id: Option<Uuid>,
        pub project_id: Option<Uuid>,
        /// Its place in the order of acceptance.
        pub seq: Option<i64>,
        pub record_key: Option<i64>,
        pub attempt: Option<i32>,
        /// An earlier item of the same record waits, or has failed and holds it.
        pub blocked: Option<bool>,
    }
}

/// An item that is to be read with its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub shard: i16,
    pub lane_id: Uuid,
    pub run_at: Time,
    pub operation_id: Uuid,
    pub project_id: Uuid,
    pub seq: i64,
    pub record_key: Option<i64>,
    pub attempt: i32,
    pub behind: bool,
}

impl Chosen {
    /// `None` for a row without an item.
    pub fn of(shard: i16, lane_id: Uuid, row: &QueueRow) -> Option<Self> {
        Some(Self {
            shard,
            lane_id,
            run_at: row.run_at?,
            operation_id: row.operation_id?,
            project_id: row.project_id?,
            seq: row.seq?,
            record_key: row.record_key,
            attempt: row.attempt?,
            behind: row.blocked.unwrap_or(false),
        })
    }
}

/// What is taken, and how far each lane was read. `looked` holds the rows of each ask in their order; `next` the next rows
/// of the records in `next_of`, one at most for each.
pub(super) fn pick(asks: &[LaneAsk], looked: &[QueueRow], next: &[QueueRow]) -> (Vec<Chosen>, Vec<LaneRead>) {
    let mut chosen = Vec::new();
    let mut lanes = Vec::with_capacity(asks.len());
    for (position, ask) in (1_i64..).zip(asks) {
        let of_ask = |rows: &'_ [QueueRow]| -> Vec<QueueRow> {
            rows.iter()
                .filter(|row| row.position == position)
                .cloned()
                .collect()
        };
        let rows = of_ask(looked);
        // Every ask has a row, be it one without an item.
        let Some(first) = rows.first() else { continue };
        let mut known: HashSet<Uuid> = ask.known.iter().copied().collect();
        let mut busy: HashSet<i64> = ask.busy.iter().copied().collect();
        let store_now = first.store_now;
        let mut read = LaneRead {
            lane_id: ask.lane_id,
            after: ask.after,
            more: false,
            next_due: None,
            blocked: false,
            hold_reason: first.hold_reason.clone(),
            paused_until: first.paused_until,
            store_now,
        };
        let mut room = ask.limit;
        for item in of_ask(next)
            .iter()
            .filter_map(|row| Chosen::of(ask.shard, ask.lane_id, row))
        {
            // One that waits for a later time is found when it is due; those behind it go on waiting.
            let due = item.run_at <= store_now;
            read.blocked = true;
            if due
                && !item.behind
                && item.record_key.is_some_and(|key| busy.insert(key))
                && known.insert(item.operation_id)
            {
                room = room.saturating_sub(1);
                chosen.push(item);
            }
        }
        let mut seen = 0;
        for item in rows
            .iter()
            .filter_map(|row| Chosen::of(ask.shard, ask.lane_id, row))
        {
            if item.run_at > store_now {
                read.next_due = Some(item.run_at);
                break;
            }
            if !known.contains(&item.operation_id) {
                if item.behind || item.record_key.is_some_and(|key| busy.contains(&key)) {
                    read.blocked = true;
                } else if room > 0 {
                    room -= 1;
                    busy.extend(item.record_key);
                    chosen.push(item.clone());
                } else {
                    read.more = true;
                    break;
                }
            }
            seen += 1;
            read.after = LanePlace {
                run_at: item.run_at,
                operation_id: item.operation_id,
            };
        }
        if read.next_due.is_none() && seen >= ask.scan {
            read.more = true;
        }
        if !read.more {
            // Everything due has been seen; what is committed late, with a time that lies back, will be, too.
            let late = before(store_now, LATE_COMMIT);
            read.after = read.after.min(LanePlace::before(late));
        }
        lanes.push(read);
    }
    (chosen, lanes)
}

/// The rows that were found past their deadline, each with its lane.
pub(super) fn expired(asks: &[ExpireAsk], looked: &[QueueRow]) -> Vec<Chosen> {
    looked
        .iter()
        .filter_map(|row| {
            let index = usize::try_from(row.position - 1).ok()?;
            let ask = asks.get(index)?;
            Chosen::of(ask.shard, ask.lane_id, row)
        })
        .collect()
}

/// Notes which of the chosen were not read because the requests before them were enough: they come next time.
pub(super) fn cut(chosen: &[Chosen], items: &[Claimed], lanes: &mut [LaneRead]) {
    let Some(last) = items.last() else { return };
    let enough = chosen
        .iter()
        .position(|item| item.operation_id == last.operation_id)
        .map_or(chosen.len(), |position| position + 1);
    for item in chosen.iter().skip(enough) {
        if let Some(lane) = lanes.iter_mut().find(|lane| lane.lane_id == item.lane_id) {
            lane.after = lane.after.min(LanePlace::before(item.run_at));
            lane.more = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_000;

    fn row(run_at: i64, id: u128, key: Option<i64>, blocked: bool) -> QueueRow {
        QueueRow {
            position: 1,
            hold_reason: None,
            paused_until: None,
            store_now: Time::from_micros(NOW),
            run_at: Some(Time::from_micros(run_at)),
            operation_id: Some(Uuid::from_u128(id)),
            project_id: Some(Uuid::nil()),
            seq: Some(run_at),
            record_key: key,
            attempt: Some(0),
            blocked: Some(blocked),
        }
    }

    fn ask(limit: usize, scan: i64) -> LaneAsk {
        LaneAsk {
            scan,
            ..LaneAsk::first(0, Uuid::from_u128(7), limit)
        }
    }

    fn ids(chosen: &[Chosen]) -> Vec<u128> {
        chosen.iter().map(|item| item.operation_id.as_u128()).collect()
    }

    #[test]
    fn the_mark_stays_back_for_late_commits_only_when_all_that_is_due_was_seen() {
        let rows = [row(10, 1, None, false), row(20, 2, None, false)];
        let (chosen, lanes) = pick(&[ask(1, 9)], &rows, &[]);
        assert_eq!(ids(&chosen), [1]);
        assert_eq!((lanes[0].more, lanes[0].after.run_at.as_micros()), (true, 10));
        let recent = [row(NOW - 5, 1, None, false), row(NOW + 5, 2, None, false)];
        let (chosen, lanes) = pick(&[ask(9, 9)], &recent, &[]);
        assert_eq!(ids(&chosen), [1]);
        assert!(!lanes[0].more);
        assert_eq!(lanes[0].next_due, Some(Time::from_micros(NOW + 5)));
        assert_eq!(lanes[0].after.run_at.as_micros(), NOW - 10_000_000);
    }

    #[test]
    fn blocked_items_are_passed_over_and_reading_goes_on_behind_them() {
        let rows: Vec<QueueRow> = (1..=4)
            .map(|n| row(n, u128::try_from(n).expect("small"), Some(5), true))
            .collect();
        let (chosen, lanes) = pick(&[ask(9, 4)], &rows, &[]);
        assert!(chosen.is_empty());
        assert!(lanes[0].more && lanes[0].blocked);
        assert_eq!(lanes[0].after.run_at.as_micros(), 4, "the next look begins there");
    }

    #[test]
    fn the_next_of_a_record_is_left_alone_while_one_of_it_is_in_memory() {
        let busy = LaneAsk {
            busy: vec![5],
            ..ask(9, 9)
        };
        let next = [row(3, 3, Some(5), false)];
        let (chosen, lanes) = pick(&[busy], &[row(9, 9, None, false)], &next);
        assert_eq!(ids(&chosen), [9]);
        assert!(lanes[0].blocked, "it is looked for again");
        let known = LaneAsk {
            known: vec![Uuid::from_u128(3)],
            ..ask(9, 9)
        };
        let (chosen, _) = pick(&[known], &[row(9, 9, None, false)], &next);
        assert_eq!(ids(&chosen), [9], "what is in memory is not taken twice");
    }

    #[test]
    fn one_item_of_a_record_at_a_time() {
        let rows = [row(1, 1, Some(5), false), row(2, 2, Some(6), false)];
        let busy = LaneAsk {
            busy: vec![5],
            ..ask(9, 9)
        };
        let (chosen, lanes) = pick(&[busy], &rows, &[]);
        assert_eq!(ids(&chosen), [2]);
        assert!(lanes[0].blocked);
        let next = [row(3, 3, Some(6), false)];
        let (chosen, _) = pick(&[ask(9, 9)], &rows, &next);
        assert_eq!(ids(&chosen), [3, 1], "the next of a record has the record");
        assert!(!chosen[0].behind);
        let held = [row(3, 3, Some(7), true)];
        let (chosen, lanes) = pick(&[ask(9, 9)], &rows, &held);
        assert_eq!(ids(&chosen), [1, 2], "the next of a record may be held");
        assert!(lanes[0].blocked);
    }
}
