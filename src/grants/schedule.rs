//! When a grant is refreshed, and when it is tried again. Pure.

use std::time::Duration;

use uuid::Uuid;

use crate::clock::Time;

/// How often a grant whose tokens are not known to end is refreshed, so that it does not lapse.
const UNKNOWN_LIFE: Duration = Duration::from_secs(24 * 3600);
/// The first wait after a failure, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(3600));
/// So long before its end an access token is not used any more, or a fifth of its life when that is less.
const MARGIN: Duration = Duration::from_secs(60);

/// A place between 0 and 1 that is always the same for one connection: what is due together is spread by it.
fn place_of(connection_id: Uuid) -> f64 {
    let random = connection_id.as_u128() as u16;
    f64::from(random) / f64::from(u16::MAX)
}

/// When a grant is refreshed, counted from the moment at which its token was asked for: between 70 and 90 % of the life of the
/// access token, or of the refresh token when that lapses sooner.
#[must_use]
pub fn refresh_in(connection_id: Uuid, life: Option<Duration>, refresh_life: Option<Duration>) -> Duration {
    let life = life
        .unwrap_or(UNKNOWN_LIFE)
        .min(refresh_life.unwrap_or(Duration::MAX));
    life.mul_f64(0.7 + 0.2 * place_of(connection_id))
}

/// Whether a token is too close to its end to be sent. `life` is how long it was said to live.
#[must_use]
pub fn is_ending(expires: Time, life: Option<Duration>, now: Time) -> bool {
    let margin = MARGIN.min(life.map_or(MARGIN, |life| life / 5));
    now.after(margin) >= expires
}

/// How long nothing is tried after so many failures in a row, the last included. `jitter` is between 0 and 1.
#[must_use]
pub fn retry_in(failures: i32, jitter: f64) -> Duration {
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(0).min(16);
    let longest = RETRY.0.saturating_mul(1 << doublings).min(RETRY.1);
    longest.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids whose last bytes are spread, as those of connections are.
    fn id_of(number: u32) -> Uuid {
        Uuid::from_u128(u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835))
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn equal_lives_are_refreshed_spread_over_a_fifth_of_them_and_each_always_at_its_place() {
        let points: Vec<f64> = (0..1_000_u32)
            .map(id_of)
            .map(|id| {
                let point = refresh_in(id, Some(HOUR), None);
                assert_eq!(point, refresh_in(id, Some(HOUR), None));
                point.as_secs_f64() / HOUR.as_secs_f64()
            })
            .collect();
        assert!(points.iter().all(|point| (0.7..=0.9).contains(point)));
        // Each twentieth of the span has its share.
        for twentieth in 0..20 {
            let from = 0.7 + 0.01 * f64::from(twentieth);
            let there = points
                .iter()
                .filter(|point| (from..from + 0.01).contains(*point))
                .count();
            assert!(there > 20, "{there} of 1000 at {from}");
        }
    }

    #[test]
    fn a_refresh_token_that_lapses_sooner_decides() {
        let id = id_of(7);
        assert!(refresh_in(id, None, Some(HOUR)) < HOUR);
        assert!(refresh_in(id, Some(HOUR), Some(HOUR * 24)) < HOUR);
        assert!(refresh_in(id, None, None) < UNKNOWN_LIFE);
    }

    #[test]
    fn a_short_life_keeps_its_larger_part() {
        let at = |seconds: i64| Time::from_micros(seconds * 1_000_000);
        let life = |seconds| Some(Duration::from_secs(seconds));
        assert!(!is_ending(at(1_000), life(1_800), at(939)));
        assert!(is_ending(at(1_000), life(1_800), at(940)));
        assert!(!is_ending(at(1_000), life(10), at(997)));
        assert!(is_ending(at(1_000), life(10), at(998)));
        assert!(is_ending(at(1_000), None, at(2_000)));
    }

    #[test]
    fn failures_are_tried_again_after_half_a_minute_up_to_an_hour() {
        assert_eq!(retry_in(1, 1.0), Duration::from_secs(30));
        assert_eq!(retry_in(2, 1.0), Duration::from_secs(60));
        assert_eq!(retry_in(1, 0.0), Duration::from_secs(15));
        assert_eq!(retry_in(40, 1.0), Duration::from_secs(3600));
        assert_eq!(retry_in(i32::MAX, 1.0), Duration::from_secs(3600));
    }
}
