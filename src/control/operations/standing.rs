//! Where an operation stands that has not ended, and what it waits for: a pure function.

use uuid::Uuid;

use crate::clock::Time;
use crate::store::{Attempt, AttemptState, Live, MaybeKnown, Mode, Operation, PauseReason};

/// Where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// `accumulating`, `queued`, `waiting`, `held` or `running`.
    pub state: &'static str,
    /// What it waits for.
    pub waiting_on: Option<&'static str>,
    /// The write that failed and holds it.
    pub held_by: Option<Uuid>,
    /// When it may be sent next.
    pub next_attempt_time: Option<Time>,
    /// The deadline with the time for which its clock has stood still, when that is other than what was stored.
    pub deadline: Option<Time>,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            state: "queued",
            waiting_on: None,
            held_by: None,
            next_attempt_time: None,
            deadline: None,
        }
    }
}

/// By its attempts, oldest first.
pub(super) fn of(operation: &Operation, live: &Live, attempts: &[Attempt]) -> Standing {
    let last = last_of(attempts);
    let is_held = live.hold_reason.is_some();
    let held_until = if is_held {
        Some(live.store_now)
    } else {
        live.held_until
    };
    let stood_still = match (live.held_from, held_until) {
        (Some(from), Some(until)) => until.since(from.max(operation.accept_time)),
        _ => std::time::Duration::ZERO,
    };
    let standing = Standing {
        held_by: live.held_by,
        deadline: operation
            .deadline
            .filter(|_| !stood_still.is_zero())
            .map(|deadline| deadline.after(stood_still)),
        ..Standing::default()
    };
    // Its request has left, or whoever accepted it performs it.
    let at_the_provider = last.is_some_and(|attempt| attempt.state == AttemptState::Sent)
        || (operation.mode == Mode::Synchronous && live.run_at > live.store_now);
    if at_the_provider {
        return Standing {
            state: "running",
            ..standing
        };
    }
    if is_held {
        return Standing {
            state: "held",
            waiting_on: Some("authorization"),
            ..standing
        };
    }
    if live.gathering {
        return Standing {
            state: "accumulating",
            waiting_on: Some("batch_window"),
            next_attempt_time: Some(live.run_at),
            ..standing
        };
    }
    if live.held_by.is_some() {
        return Standing {
            state: "held",
            waiting_on: Some("failure"),
            ..standing
        };
    }
    if live.behind {
        return Standing {
            state: "waiting",
            waiting_on: Some("earlier_write"),
            ..standing
        };
    }
    let put_off = Some(live.run_at).filter(|time| *time > live.store_now);
    let paused = live.paused_until.filter(|time| *time > live.store_now);
    if put_off.is_none() && paused.is_none() {
        return Standing {
            waiting_on: Some("turn"),
            ..standing
        };
    }
    let own = || match last.and_then(|attempt| attempt.class.as_deref()) {
        Some("quota") => "quota",
        Some("rate_limited") => "rate_limit",
        Some("auth") => "authorization",
        _ => "backoff",
    };
    // Another write of this lane may have met a limit.
    let why = if paused > put_off {
        match live.pause_reason.as_ref().and_then(MaybeKnown::known) {
            Some(reason) => reason.as_str(),
            None => PauseReason::RateLimit.as_str(),
        }
    } else {
        own()
    };
    Standing {
        state: "waiting",
        waiting_on: Some(why),
        next_attempt_time: paused.max(put_off),
        ..standing
    }
}

/// What the last request came to: of its rows the one that says most.
fn last_of(attempts: &[Attempt]) -> Option<&Attempt> {
    let is_new = |index: &usize| {
        let id = attempts[*index].id;
        !attempts[..*index].iter().any(|earlier| earlier.id == id)
    };
    let first = (0..attempts.len()).rev().find(is_new)?;
    let mut rows = attempts[first..]
        .iter()
        .filter(|row| row.id == attempts[first].id);
    let answered = rows.clone().rfind(|row| row.state != AttemptState::Sent);
    answered.or_else(|| rows.next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::HoldReason;

    fn operation(mode: Mode) -> Operation {
        let id = uuid::Uuid::nil();
        Operation {
            id,
            project_id: id,
            integration_id: id,
            installation_id: id,
            config_id: id,
            revision_id: id,
            connection_id: id,
            object: "contacts".to_owned(),
            action: crate::action::Action::Create,
            mode,
            client_ref: None,
            replay_of: None,
            accept_time: at(0),
            deadline: Some(at(100)),
            state: None,
            summary: None,
            record_id: None,
            errors: None,
            records: None,
            attempts: None,
            finish_time: None,
            holds_record: false,
        }
    }

    fn at(seconds: i64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    fn live() -> Live {
        Live {
            run_at: at(0),
            attempt: 0,
            hold_reason: None,
            held_from: None,
            held_until: None,
            paused_until: None,
            pause_reason: None,
            behind: false,
            held_by: None,
            gathering: false,
            store_now: at(10),
        }
    }

    fn attempt(state: AttemptState, class: Option<&str>) -> Attempt {
        Attempt {
            id: uuid::Uuid::nil(),
            operation_id: uuid::Uuid::nil(),
            project_id: uuid::Uuid::nil(),
            number: 1,
            start_time: at(1),
            state,
            status: None,
            class: class.map(str::to_owned),
            message: None,
            latency_us: None,
            skipped: None,
            excerpt: None,
            records: None,
        }
    }

    fn seen(live: &Live, last: Option<&Attempt>) -> (&'static str, Option<&'static str>, Option<Time>) {
        let attempts: Vec<Attempt> = last.into_iter().cloned().collect();
        let standing = of(&operation(Mode::Asynchronous), live, &attempts);
        (standing.state, standing.waiting_on, standing.next_attempt_time)
    }

    #[test]
    fn each_reason_to_wait_has_its_word() {
        assert_eq!(seen(&live(), None), ("queued", Some("turn"), None));
        assert_eq!(
            seen(&live(), Some(&attempt(AttemptState::Sent, None))),
            ("running", None, None)
        );
        let behind = Live {
            behind: true,
            ..live()
        };
        assert_eq!(seen(&behind, None), ("waiting", Some("earlier_write"), None));
        let by_a_failure = Live {
            held_by: Some(uuid::Uuid::from_u128(7)),
            ..behind
        };
        assert_eq!(seen(&by_a_failure, None), ("held", Some("failure"), None));
        let later = Live {
            run_at: at(20),
            ..live()
        };
        let limited = attempt(AttemptState::Answered, Some("rate_limited"));
        assert_eq!(
            seen(&later, Some(&limited)),
            ("waiting", Some("rate_limit"), Some(at(20)))
        );
        let failed = attempt(AttemptState::Answered, Some("server"));
        assert_eq!(
            seen(&later, Some(&failed)),
            ("waiting", Some("backoff"), Some(at(20)))
        );
        let paused = Live {
            paused_until: Some(at(30)),
            ..live()
        };
        assert_eq!(
            seen(&paused, None),
            ("waiting", Some("rate_limit"), Some(at(30))),
            "another write's limit"
        );
        for reason in [PauseReason::Quota, PauseReason::Backoff] {
            let paused = Live {
                pause_reason: Some(reason.into()),
                ..paused.clone()
            };
            assert_eq!(
                seen(&paused, Some(&limited)),
                ("waiting", Some(reason.as_str()), Some(at(30))),
                "what the lane waits for now"
            );
        }
        let over = Live {
            paused_until: Some(at(9)),
            ..live()
        };
        assert_eq!(seen(&over, None), ("queued", Some("turn"), None));
        let held = Live {
            hold_reason: Some(HoldReason::Authorization.into()),
            held_from: Some(at(4)),
            gathering: true,
            ..live()
        };
        assert_eq!(seen(&held, None), ("held", Some("authorization"), None));
        let gathering = Live {
            gathering: true,
            ..later
        };
        assert_eq!(
            seen(&gathering, None),
            ("accumulating", Some("batch_window"), Some(at(20)))
        );
    }

    #[test]
    fn a_hold_moves_the_deadline_and_a_synchronous_write_runs() {
        let held = Live {
            hold_reason: Some(HoldReason::Authorization.into()),
            held_from: Some(at(4)),
            ..live()
        };
        assert_eq!(
            of(&operation(Mode::Asynchronous), &held, &[]).deadline,
            Some(at(106)),
            "held since 4, now 10"
        );
        assert_eq!(of(&operation(Mode::Asynchronous), &live(), &[]).deadline, None);
        let ours = Live {
            run_at: at(50),
            ..live()
        };
        assert_eq!(of(&operation(Mode::Synchronous), &ours, &[]).state, "running");
    }
}
