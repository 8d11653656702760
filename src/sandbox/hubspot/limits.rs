//! HubSpot's call limits: ten seconds, day, searches per second, and the headers that tell of them.

use super::Account;
use crate::sandbox::message::Reply;

/// Counts a call; `Err` names the policy that refuses it. A refused call does not count.
pub(super) fn count(account: &mut Account, search: bool, now_ms: i64) -> Result<(), &'static str> {
    let settings = &account.settings;
    let (burst, daily, searches) = (settings.burst, settings.daily, settings.search);
    let enforced = settings.enforce_limits;
    let used = |slot: &mut (i64, u64), window_ms: i64| {
        let window = now_ms.div_euclid(window_ms);
        if slot.0 != window {
            *slot = (window, 0);
        }
        slot.1
    };
    let day = used(&mut account.daily_used, 86_400_000);
    if enforced && daily.is_some_and(|limit| day >= limit) {
        return Err("DAILY");
    }
    if search {
        if used(&mut account.search_used, 1_000) >= searches && enforced {
            return Err("SECONDLY");
        }
        account.search_used.1 += 1;
    } else {
        if used(&mut account.burst_used, 10_000) >= burst && enforced {
            return Err("TEN_SECONDLY_ROLLING");
        }
        account.burst_used.1 += 1;
    }
    account.daily_used.1 += 1;
    Ok(())
}

/// Adds the limit headers; searches have none.
pub(super) fn headers(account: &Account, search: bool, refused_by: Option<&str>, reply: Reply) -> Reply {
    if search {
        return reply;
    }
    let settings = &account.settings;
    // Where limits are only told, a client that heeds the headers must not stop: half stays.
    let floor = if settings.enforce_limits {
        0
    } else {
        settings.burst / 2
    };
    let left = match refused_by {
        Some("TEN_SECONDLY_ROLLING") => 0,
        _ => settings.burst.saturating_sub(account.burst_used.1).max(floor),
    };
    let mut reply = reply
        .with_header("X-HubSpot-RateLimit-Max", settings.burst.to_string())
        .with_header("X-HubSpot-RateLimit-Remaining", left.to_string())
        .with_header("X-HubSpot-RateLimit-Interval-Milliseconds", "10000");
    if let Some(daily) = settings.daily {
        let left = daily.saturating_sub(account.daily_used.1);
        reply = reply
            .with_header("X-HubSpot-RateLimit-Daily", daily.to_string())
            .with_header("X-HubSpot-RateLimit-Daily-Remaining", left.to_string());
    }
    reply
}
