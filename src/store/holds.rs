//! Writes that failed and hold the later writes to their record: what both stores do about them, and the statements that read
//! the same on both.

use uuid::Uuid;

use super::EndState;
use super::model::row;

row! {
    /// An item that has left the queue.
    pub struct LeftItem {
        /// Which one of those that were asked to leave; it counts as the statement does.
        pub position: i64,
        /// Its project.
        pub project_id: Uuid,
        /// Its lane.
        pub lane_id: Uuid,
        /// Its operation.
        pub operation_id: Uuid,
        /// Its record.
        pub record_key: Option<i64>,
        /// Its place in the order of acceptance.
        pub seq: i64,
        /// Whether it holds its record when it fails.
        pub holds: bool,
    }
}

/// What the end of an item means for its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Later writes to it are held.
    Holds {
        /// The record.
        record_key: i64,
    },
    /// If it repeats a write that holds its record, that ends.
    Ends,
}

impl LeftItem {
    /// What follows when it ends in this state; most often nothing.
    pub fn effect(&self, state: EndState) -> Option<Effect> {
        let record_key = self.record_key.filter(|_| self.holds)?;
        match state {
            EndState::Failed | EndState::NeedsReview => Some(Effect::Holds { record_key }),
            EndState::Succeeded => Some(Effect::Ends),
            EndState::Cancelled => None,
        }
    }
}

/// The hold of operation $2 of project $1 ends, with those of all that repeat it or that it repeats.
pub(super) const END_HOLD: &str = "DELETE FROM record_holds WHERE (lane_id, record_key, seq) IN (
         SELECT f.lane_id, f.record_key, f.seq FROM record_holds f WHERE f.project_id = $1 AND f.operation_id = $2)";

/// All holds of a record end: the record of operation $2 of project $1, which holds it or waits.
pub(super) const RELEASE_RECORD: &str = "DELETE FROM record_holds WHERE (lane_id, record_key) IN (
         SELECT f.lane_id, f.record_key FROM record_holds f WHERE f.project_id = $1 AND f.operation_id = $2
         UNION
         SELECT q.lane_id, q.record_key FROM queue_items q WHERE q.project_id = $1 AND q.operation_id = $2)
     RETURNING lane_id";

/// Holds of project $1 end whose connection, or whose installation, is gone.
pub(super) const DROP_ORPHANED: &str = "DELETE FROM record_holds AS h WHERE h.project_id = $1
       AND (NOT EXISTS (SELECT 1 FROM connections c WHERE c.project_id = h.project_id AND c.id = h.lane_id)
            OR NOT EXISTS (SELECT 1 FROM operations o
                           JOIN installations i ON i.project_id = o.project_id AND i.id = o.installation_id
                           WHERE o.project_id = h.project_id AND o.id = h.operation_id))";

/// Holds end whose operation is older than $1 and behind which nothing waits: nothing keeps the operation any more.
pub(super) const EXPIRE_HOLDS: &str = "DELETE FROM record_holds AS h WHERE h.operation_id < $1
       AND NOT EXISTS (SELECT 1 FROM queue_items q
                       WHERE q.lane_id = h.lane_id AND q.record_key = h.record_key AND q.seq > h.seq)
       AND NOT EXISTS (SELECT 1 FROM queue_records q
                       WHERE q.lane_id = h.lane_id AND q.record_key = h.record_key AND q.seq > h.seq)";

/// Whether something that is queued, or holds a record, is older than $1 and may need its config and revision.
pub(super) const NEEDS_DEFINITIONS: &str = "SELECT EXISTS (SELECT 1 FROM queue_items WHERE operation_id < $1)
         OR EXISTS (SELECT 1 FROM record_holds WHERE operation_id < $1)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_item_that_holds_a_record_has_an_effect_on_it() {
        let item = |holds, record_key| LeftItem {
            position: 1,
            project_id: Uuid::nil(),
            lane_id: Uuid::nil(),
            operation_id: Uuid::nil(),
            record_key,
            seq: 1,
            holds,
        };
        let holding = item(true, Some(7));
        for state in [EndState::Failed, EndState::NeedsReview] {
            assert_eq!(holding.effect(state), Some(Effect::Holds { record_key: 7 }));
            assert_eq!(item(false, Some(7)).effect(state), None);
            assert_eq!(item(true, None).effect(state), None);
        }
        assert_eq!(holding.effect(EndState::Succeeded), Some(Effect::Ends));
        assert_eq!(holding.effect(EndState::Cancelled), None);
    }
}
