//! Writes that failed and hold the later writes to their record: what both stores do about them.

use uuid::Uuid;

use super::EndState;
use super::rows::row;

row! {
    /// An item that has left the queue.
    pub struct LeftItem of "queue_items" {
        /// Which one of those that were asked to leave; it counts as the statement does.
        pub position: i64,
        pub project_id: Uuid,
        pub lane_id: Uuid,
        pub operation_id: Uuid,
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
