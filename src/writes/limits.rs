//! How much a lane may do: what its connector file says, and what its installations say instead.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use super::Writes;
use crate::connectors::Limits;
use crate::manifest::ConfigLimits;
use crate::store::{LaneConfig, StoreError};

/// What the installations of each lane say.
pub type Asked = HashMap<Uuid, ConfigLimits>;

impl Writes {
    /// What the installations of these lanes say of their limits; lanes of which none says anything are left out.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn limits_asked(&self, lanes: &[Uuid]) -> Result<Asked, StoreError> {
        self.metrics.cache_misses.increment(&["limits"]);
        Ok(asked(&self.store().list_lane_configs(lanes).await?))
    }
}

/// What these configs say, lane by lane. Where installations share a connection, the lowest counts.
#[must_use]
pub fn asked(configs: &[LaneConfig]) -> Asked {
    let mut lanes = Asked::new();
    for config in configs {
        // What was stored before limits were checked says nothing.
        let content: Value = serde_json::from_str(&config.content).unwrap_or_default();
        let limits = ConfigLimits::parse(&content).unwrap_or_default();
        if limits != ConfigLimits::default() {
            let known = lanes.entry(config.lane_id).or_default();
            *known = known.lowest(limits);
        }
    }
    lanes
}

/// The limits in force: what is asked for, higher or lower, in place of what the file says. `None` when there is none.
#[must_use]
pub fn in_force(of_file: Option<Limits>, asked: Option<ConfigLimits>) -> Option<Limits> {
    let Some(asked) = asked else { return of_file };
    let base = of_file.unwrap_or(Limits {
        concurrency: u32::MAX,
        requests: None,
        per_millis: 1_000,
        batch: 1,
    });
    Some(Limits {
        concurrency: asked.concurrency.unwrap_or(base.concurrency),
        requests: asked.rate.map(|rate| rate.requests).or(base.requests),
        per_millis: asked.rate.map_or(base.per_millis, |rate| rate.per_millis),
        ..base
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(lane: u128, content: &str) -> LaneConfig {
        LaneConfig {
            lane_id: Uuid::from_u128(lane),
            content: content.to_owned(),
        }
    }

    #[test]
    fn the_lowest_of_a_shared_connection_counts_and_what_cannot_be_read_says_nothing() {
        let found = asked(&[
            config(1, r#"{"write":{"limits":{"concurrency":7}}}"#),
            config(1, r#"{"write":{"limits":{"concurrency":2}}}"#),
            config(1, r#"{"write":{"limits":{}}}"#),
            config(2, r#"{"write":{"limits":"none"}}"#),
            config(3, "no JSON"),
        ]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[&Uuid::from_u128(1)].concurrency, Some(2));
    }

    #[test]
    fn what_is_asked_for_stands_in_for_the_file_both_ways() {
        let file = Limits {
            concurrency: 4,
            requests: Some(100),
            per_millis: 10_000,
            batch: 50,
        };
        let asked = |text: &str| {
            let content = serde_json::from_str(text).expect("JSON");
            Some(ConfigLimits::parse(&content).expect("good limits"))
        };
        assert_eq!(in_force(Some(file), None), Some(file));
        assert_eq!(in_force(None, None), None);
        let more = in_force(Some(file), asked(r#"{"write":{"limits":{"concurrency":9}}}"#));
        assert_eq!(
            more,
            Some(Limits {
                concurrency: 9,
                ..file
            })
        );
        let slow = asked(r#"{"write":{"limits":{"requests":1,"perSeconds":60}}}"#);
        let slow = in_force(None, slow).expect("limits");
        assert_eq!(
            (slow.requests, slow.per_millis, slow.concurrency),
            (Some(1), 60_000, u32::MAX)
        );
    }
}
