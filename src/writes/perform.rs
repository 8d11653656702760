//! One write, from the mapped record to what the provider says: the part that synchronous and asynchronous writes share.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::request::StoredRequest;
use super::route::Route;
use super::{Writes, reconcile};
use crate::action::Action;
use crate::clock::Time;
use crate::connectors::{
    Command, ErrorClass, Outcome, ProviderError, ProviderRequest, ProviderResponse, Refusal, RefusalKind,
    RetryClass, Step, quota_exhausted,
};
use crate::mapping::{Applied, ApplyError, ApplyOptions, Decision, Plan, TraceEntry};
use crate::store::AttemptState;

/// How much of a provider's answer is handed back to the app when a write is rejected, in bytes.
pub(super) const RAW_RESPONSE_BYTES: usize = 16 << 10;
/// Steps that a connector may ask for before the write itself.
const MAX_LOOKUPS: usize = 4;

/// A write that is ready to be performed.
#[derive(Debug)]
pub struct Job<'a> {
    /// The way.
    pub route: &'a Route,
    /// The compiled rules.
    pub plan: &'a Plan,
    /// What to do.
    pub action: Action,
    /// The mapped record.
    pub applied: Applied,
    /// Links to other records.
    pub associations: &'a [Value],
    /// Headers to pass through.
    pub headers: &'a [(String, String)],
    /// The same on every attempt: the operation's id.
    pub idempotency_key: String,
    /// An earlier request of this operation may have been applied.
    pub repeated: bool,
    /// The fields that `ifEmpty` has left out, once that is decided.
    pub(super) skipped: Vec<String>,
}

/// What happened.
#[derive(Debug)]
pub struct Performed {
    /// What the provider said, or what its silence means.
    pub outcome: Outcome,
    /// When the write itself left; absent when it never did.
    pub sent: Option<Time>,
    /// The provider's HTTP status; absent when there was no answer.
    pub status: Option<u16>,
    /// From sending until the answer, in microseconds.
    pub latency_us: Option<i64>,
    /// When the outcome was known.
    pub answered_at: Time,
    /// The beginning of the provider's answer.
    pub raw: Option<String>,
    /// A limit of this class is used up by now, whatever became of this write: nothing more should be sent for so long.
    pub pause: Option<(Duration, RetryClass)>,
    /// The fields that were left out because the provider had a value.
    pub skipped: Vec<String>,
}

impl Performed {
    /// Whether an attempt is kept of it: something left, or was left out for a reason that only the provider knows.
    #[must_use]
    pub fn is_worth_telling(&self) -> bool {
        self.sent.is_some() || !self.skipped.is_empty()
    }

    /// What a repeated request is told.
    pub(super) const fn replayed(outcome: Outcome, raw: Option<String>, answered_at: Time) -> Self {
        Self {
            outcome,
            sent: None,
            status: None,
            latency_us: None,
            answered_at,
            raw,
            pause: None,
            skipped: Vec::new(),
        }
    }

    /// See [`make_presentable`].
    pub(super) fn make_presentable(&mut self, secrets: &[&str]) {
        make_presentable(&mut self.outcome, secrets);
        self.raw.iter_mut().for_each(|text| clean(text, secrets));
    }

    /// The class of the outcome in one word, for attempts and logs.
    #[must_use]
    pub fn class(&self) -> &'static str {
        class_of(&self.outcome)
    }

    /// The state of an attempt that ended so: without an answer that says what became of it, it stays in doubt.
    #[must_use]
    pub fn attempt_state(&self) -> AttemptState {
        if may_have_been_applied(&self.outcome) {
            AttemptState::Unanswered
        } else {
            AttemptState::Answered
        }
    }
}

/// The class of an outcome in one word, for attempts and logs.
pub(super) const fn class_of(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded { .. } => "success",
        Outcome::Unknown(_) => "outcome_unknown",
        Outcome::Retry {
            class: RetryClass::Transient,
            error,
            ..
        } => match error.class {
            ErrorClass::Server => "server",
            ErrorClass::Unknown => "outcome_unknown",
            _ => "transient",
        },
        Outcome::Retry { class, .. } => class.as_str(),
        Outcome::Rejected(error) | Outcome::Unauthorized(error) => error.class.as_str(),
    }
}

pub(super) fn clean(text: &mut String, secrets: &[&str]) {
    for secret in secrets {
        if text.contains(secret) {
            *text = text.replace(secret, "***");
        }
    }
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
}

/// Takes out what must not be shown or cannot be kept: secrets that a provider repeats, and NUL characters.
pub(super) fn make_presentable(outcome: &mut Outcome, secrets: &[&str]) {
    match outcome {
        Outcome::Succeeded { record_id, .. } => {
            record_id.iter_mut().for_each(|text| clean(text, secrets));
        }
        Outcome::Rejected(error)
        | Outcome::Unauthorized(error)
        | Outcome::Unknown(error)
        | Outcome::Retry { error, .. } => {
            let ProviderError {
                code,
                message,
                existing_id,
                ..
            } = error;
            for text in [Some(message), code.as_mut(), existing_id.as_mut()]
                .into_iter()
                .flatten()
            {
                clean(text, secrets);
            }
        }
    }
}

/// Whether the write that ended so may have been applied, and nobody knows: it left, and no usable answer came.
#[must_use]
pub const fn may_have_been_applied(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Unknown(_) => true,
        Outcome::Retry { error, .. } => !certainly_not_applied(error),
        Outcome::Succeeded { .. } | Outcome::Rejected(_) | Outcome::Unauthorized(_) => false,
    }
}

/// Whether an error leaves no doubt that the provider did nothing.
#[must_use]
pub const fn certainly_not_applied(error: &ProviderError) -> bool {
    !matches!(error.class, ErrorClass::Server | ErrorClass::Unknown)
}

pub(super) fn error(class: ErrorClass, message: impl Into<String>) -> ProviderError {
    ProviderError {
        class,
        code: None,
        message: message.into(),
        status: 0,
        existing_id: None,
    }
}

impl<'a> Job<'a> {
    /// Applies the rules to a record.
    ///
    /// # Errors
    /// When the record cannot be written as it is.
    pub fn new(
        route: &'a Route,
        plan: &'a Plan,
        action: Action,
        record: Map<String, Value>,
        strict: bool,
        stored: &'a StoredRequest,
        idempotency_key: String,
    ) -> Result<Self, ApplyError> {
        let links = &stored.associations;
        Self::with(
            route,
            plan,
            action,
            record,
            strict,
            (links, &stored.headers),
            idempotency_key,
        )
    }

    /// As [`Job::new`], for a record with these associations and headers.
    ///
    /// # Errors
    /// When the record cannot be written as it is.
    pub(super) fn with(
        route: &'a Route,
        plan: &'a Plan,
        action: Action,
        record: Map<String, Value>,
        strict: bool,
        (associations, headers): (&'a [Value], &'a [(String, String)]),
        idempotency_key: String,
    ) -> Result<Self, ApplyError> {
        let applied = plan.apply(record, action, ApplyOptions { strict })?;
        let mut job = Self {
            route,
            plan,
            action,
            applied,
            associations,
            headers,
            idempotency_key,
            repeated: false,
            skipped: Vec::new(),
        };
        job.tell_nothing_sent();
        Ok(job)
    }

    /// An update of which nothing is left succeeds without a request, be the record there or not: that is told.
    fn tell_nothing_sent(&mut self) {
        let told = |entry: &TraceEntry| entry.decision == Decision::NothingSent;
        if self.is_empty_update() && !self.applied.trace.iter().any(told) {
            self.applied.trace.push(TraceEntry {
                source: None,
                target: None,
                decision: Decision::NothingSent,
                sent_as: None,
            });
        }
    }

    /// Leaves out what `ifEmpty` left out when it was sent.
    pub(super) fn leave_out(&mut self, skipped: &[String]) {
        let applied = std::mem::take(&mut self.applied);
        self.applied = applied.decide_filled(skipped);
        self.tell_nothing_sent();
    }

    pub(super) fn command(&self) -> Command<'_> {
        Command {
            action: self.action,
            object: self.plan.provider_object(),
            record_id: self.applied.record_id.as_deref(),
            record: &self.applied.record,
            associations: self.associations,
            headers: self.headers,
            vars: &self.route.connection.vars,
            idempotency_key: Some(&self.idempotency_key),
            repeated: self.repeated,
        }
    }

    /// Whether the rules left nothing to write: then the provider is not asked.
    #[must_use]
    pub fn is_empty_update(&self) -> bool {
        self.action == Action::Update && self.applied.record.is_empty()
    }

    /// Says before anything is stored or sent whether the connector can make a request of it.
    ///
    /// # Errors
    /// The connector's refusal.
    pub fn check(&self) -> Result<(), Refusal> {
        self.route.connector.prepare(&self.command(), &[]).map(drop)
    }

    /// Whether repeating it can make a second record.
    #[must_use]
    pub fn is_unsafe_to_repeat(&self) -> bool {
        !self
            .route
            .connector
            .repeat_safe(self.action, self.plan.provider_object())
    }
}

impl Writes {
    /// Everything that comes before the write itself: the reads that rules or the connector ask for. `read` sees each of
    /// those requests before it is sent.
    ///
    /// # Errors
    /// What the write comes to without being sent: there is nothing to write, or something before it failed.
    pub(super) async fn ready(
        &self,
        job: &mut Job<'_>,
        mut read: impl FnMut(&ProviderRequest),
    ) -> Result<ProviderRequest, Box<Performed>> {
        if !job.applied.if_empty.is_empty()
            && let Err(outcome) = self.decide_if_empty(job, &mut read).await
        {
            return Err(self.unsent(outcome));
        }
        if job.is_empty_update() {
            let record_id = job.applied.record_id.clone();
            return Err(self.unsent(Outcome::Succeeded {
                record_id,
                data: None,
            }));
        }
        let mut looked_up = Vec::new();
        loop {
            match job.route.connector.prepare(&job.command(), &looked_up) {
                Ok(Step::Send(request)) => return Ok(request),
                Ok(Step::Lookup(_)) if looked_up.len() >= MAX_LOOKUPS => {
                    let message = "the connector asks for more lookups than are allowed";
                    return Err(self.unsent(Outcome::Rejected(error(ErrorClass::Config, message))));
                }
                Ok(Step::Lookup(request)) => {
                    read(&request);
                    match self.send(job.route, request).await {
                        Ok(response) => {
                            let now = self.clock.now();
                            match job.route.connector.interpret_lookup(
                                &job.command(),
                                &response,
                                now.to_timestamp(),
                            ) {
                                None => looked_up.push(response),
                                Some(outcome) => return Err(self.unsent(of_read(outcome))),
                            }
                        }
                        Err(failure) => return Err(self.unsent(failure.before_write())),
                    }
                }
                Err(refusal) => return Err(self.unsent(Outcome::Rejected(refused(&refusal)))),
            }
        }
    }

    pub(super) fn unsent(&self, outcome: Outcome) -> Box<Performed> {
        Box::new(Performed {
            outcome,
            sent: None,
            status: None,
            latency_us: None,
            answered_at: self.clock.now(),
            raw: None,
            pause: None,
            skipped: Vec::new(),
        })
    }

    /// Performs a write. `before_send` runs right before the write itself leaves, once everything else is done; when it
    /// fails nothing is sent. `still` is asked before a write that was refused with an old token leaves once more with a new
    /// one, which takes its time to fetch.
    ///
    /// # Errors
    /// Only what `before_send` fails with. Whatever the provider does is in the outcome.
    pub async fn perform<F, E>(
        &self,
        job: &mut Job<'_>,
        before_send: F,
        still: impl Fn() -> bool,
    ) -> Result<Performed, E>
    where
        F: AsyncFnOnce(Time) -> Result<(), E>,
    {
        let request = match self.ready(job, |_| {}).await {
            Ok(request) => request,
            Err(unsent) => return Ok(never_left(job, unsent)),
        };
        // A token is there before the write is noted as sent: without one it certainly is not.
        let mut access = match self.access(&job.route.connector, &job.route.connection).await {
            Ok(access) => access,
            Err(failure) => return Ok(never_left(job, self.unsent(failure.before_write()))),
        };
        let sent = self.clock.now();
        before_send(sent).await?;
        let started = Instant::now();
        let is_unauthorized = |response: &ProviderResponse| self.is_unauthorized(job, response);
        let answer = access.send_write(request, is_unauthorized, still).await;
        let latency_us = Some(i64::try_from(started.elapsed().as_micros()).unwrap_or(i64::MAX));
        let answered_at = self.clock.now();
        let mut performed = match answer {
            Ok(response) => {
                let outcome =
                    job.route
                        .connector
                        .interpret(&job.command(), &response, answered_at.to_timestamp());
                let now = answered_at.to_timestamp();
                let pause = quota_exhausted(&response, now).map(|(hint, class)| (hint.wait(now), class));
                let raw = &response.body[..response.body.len().min(RAW_RESPONSE_BYTES)];
                Performed {
                    outcome: settle_delete(job, outcome),
                    sent: Some(sent),
                    status: Some(response.status),
                    latency_us,
                    answered_at,
                    skipped: std::mem::take(&mut job.skipped),
                    raw: (!raw.is_empty()).then(|| String::from_utf8_lossy(raw).into_owned()),
                    pause,
                }
            }
            Err(failure) => {
                let outcome = failure.of_write(job.is_unsafe_to_repeat());
                // What was refused on this side has not left.
                let sent = (!matches!(outcome, Outcome::Rejected(_))).then_some(sent);
                Performed {
                    outcome,
                    sent,
                    status: None,
                    latency_us,
                    answered_at,
                    raw: None,
                    skipped: std::mem::take(&mut job.skipped),
                    pause: None,
                }
            }
        };
        self.note_description(job, &performed.outcome);
        performed.make_presentable(&access.secret_texts());
        Ok(performed)
    }

    fn is_unauthorized(&self, job: &Job<'_>, response: &ProviderResponse) -> bool {
        let now = self.clock.now().to_timestamp();
        let outcome = job.route.connector.interpret(&job.command(), response, now);
        matches!(outcome, Outcome::Unauthorized(_))
    }

    /// Reads the fields that are written only when the provider has no value, and decides. When the read fails, so does the
    /// write: a value that may be there is never overwritten.
    pub(super) async fn decide_if_empty(
        &self,
        job: &mut Job<'_>,
        read: &mut impl FnMut(&ProviderRequest),
    ) -> Result<(), Outcome> {
        let connector = &job.route.connector;
        let object = job.plan.provider_object();
        let id = job.applied.record_id.clone().unwrap_or_default();
        let fields: Vec<&str> = job
            .applied
            .if_empty
            .iter()
            .map(crate::mapping::IfEmptyField::name)
            .collect();
        let request = connector
            .read_current(object, &id, &fields, &job.route.connection.vars)
            .ok_or_else(|| {
                let message = format!(
                    "writeOnUpdate: ifEmpty needs the current values, and {} cannot be asked for them",
                    connector.provider()
                );
                Outcome::Rejected(error(ErrorClass::Config, message))
            })?;
        read(&request);
        let response = self
            .send(job.route, request)
            .await
            .map_err(|failure| failure.before_write())?;
        let current = connector.interpret_current(
            object,
            &id,
            &fields,
            &job.route.connection.vars,
            &response,
            self.clock.now().to_timestamp(),
        );
        let current = current.map_err(of_read)?;
        job.skipped = job.applied.filled(&current);
        job.leave_out(&job.skipped.clone());
        Ok(())
    }

    /// See [`reconcile`].
    pub(super) async fn reconcile(&self, job: &Job<'_>, sent_since: Time) -> reconcile::Found {
        reconcile::look(self, job, sent_since).await
    }
}

/// A write that came to its end without being sent.
fn never_left(job: &mut Job<'_>, mut unsent: Box<Performed>) -> Performed {
    unsent.make_presentable(&job.route.secret_texts());
    unsent.skipped = std::mem::take(&mut job.skipped);
    *unsent
}

/// A delete names no record afterwards; and when there was none, the message says which.
fn settle_delete(job: &Job<'_>, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Rejected(mut error)
            if job.action == Action::Delete && error.class == ErrorClass::NotFound =>
        {
            let id = job.applied.record_id.as_deref().unwrap_or_default();
            error.message = format!("The record with ID {id} was not found: {}", error.message);
            Outcome::Rejected(error)
        }
        Outcome::Succeeded { data, .. } if job.action == Action::Delete => Outcome::Succeeded {
            record_id: None,
            data,
        },
        other => other,
    }
}

/// What the outcome of a read means for the write that it comes before: whatever went wrong, the write was not sent.
pub(super) fn of_read(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Retry { error, class, after } if !certainly_not_applied(&error) => Outcome::Retry {
            error: ProviderError {
                class: ErrorClass::Transient,
                ..error
            },
            class,
            after,
        },
        other => other,
    }
}

/// A refusal of the connector as the error of an outcome.
pub(super) fn refused(refusal: &Refusal) -> ProviderError {
    let class = match refusal.kind {
        RefusalKind::InvalidVariable | RefusalKind::LookupFailed => ErrorClass::Config,
        _ => ErrorClass::Validation,
    };
    error(class, refusal.message.clone())
}
