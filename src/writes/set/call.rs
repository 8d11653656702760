//! One call to the provider, for some records of a write.

use std::time::{Duration, Instant};

use super::WriteSet;
use crate::clock::Time;
use crate::connectors::{
    BatchCommand, BatchItem, BatchOutcome, ErrorClass, Outcome, ProviderRequest, ProviderResponse,
    RetryClass, Step, quota_exhausted,
};
use crate::writes::Writes;
use crate::writes::job::Job;
use crate::writes::outcome::{clean, error, make_presentable, of_read, refused};

/// How much of a provider's answer is handed back to the app when a write is rejected, in bytes.
const RAW_RESPONSE_BYTES: usize = 16 << 10;
/// Requests that a connector may ask for before the write itself.
const MAX_LOOKUPS: usize = 4;

/// What one call came to.
#[derive(Debug)]
pub struct Turn {
    /// What became of each record that it was for.
    pub outcomes: Vec<(usize, Outcome)>,
    /// The fields that were left out of each because the provider had a value.
    pub(super) skipped: Vec<(usize, Vec<String>)>,
    /// Set when the provider took or refused the call as a whole: then all records that it carried have this outcome.
    pub(super) is_whole: bool,
    /// How many records it carried; for others the rules left nothing to write.
    pub(super) carried: usize,
    /// When the call left; absent when it never did.
    pub sent: Option<Time>,
    /// The provider's HTTP status; absent when there was no answer.
    pub status: Option<u16>,
    /// From sending until the answer, in microseconds.
    pub(super) latency_us: Option<i64>,
    /// When the outcome was known.
    pub answered_at: Time,
    /// The beginning of the provider's answer.
    pub raw: Option<String>,
    /// The version of the credentials that it was sent with, where it is not that of the route.
    pub(super) credentials_version: Option<i64>,
    /// A limit of this class is used up by now, whatever became of the write: nothing more should be sent for so long.
    pub pause: Option<(Duration, RetryClass)>,
}

/// What is to be sent for some records.
pub(in crate::writes) struct Ready {
    /// Those for which the rules leave nothing to write.
    pub done: Vec<usize>,
    /// Those of the call.
    pub carried: Vec<usize>,
    /// The call, or what the write comes to without one; `None` when there is nothing to send.
    pub request: Result<Option<ProviderRequest>, Outcome>,
}

impl Turn {
    /// A call that was not sent.
    fn unsent(outcomes: Vec<(usize, Outcome)>, now: Time) -> Self {
        Self {
            skipped: Vec::new(),
            is_whole: true,
            carried: outcomes.len(),
            outcomes,
            sent: None,
            status: None,
            latency_us: None,
            answered_at: now,
            raw: None,
            credentials_version: None,
            pause: None,
        }
    }

    /// The first outcome after which nothing more should be sent now: the provider refuses everything, or does not answer.
    #[must_use]
    pub(super) fn stop(&self) -> Option<&Outcome> {
        let is_stop = |outcome: &&Outcome| match outcome {
            Outcome::Unauthorized(_) => true,
            Outcome::Retry {
                class: RetryClass::RateLimited | RetryClass::Quota,
                ..
            } => true,
            Outcome::Retry { .. } | Outcome::Unknown(_) => self.is_whole,
            Outcome::Succeeded { .. } | Outcome::Rejected(_) => false,
        };
        self.outcomes.iter().map(|(_, outcome)| outcome).find(is_stop)
    }

    /// What it came to for a record; `None` for one that it was not for.
    #[must_use]
    pub fn outcome_of(&self, index: usize) -> Option<&Outcome> {
        self.outcomes
            .iter()
            .find_map(|(of, outcome)| (*of == index).then_some(outcome))
    }

    /// What it says about the credentials, and of which version of them: that they were refused, or else that the provider has
    /// taken something with them.
    #[must_use]
    pub fn of_credentials(&self, set: &WriteSet<'_>) -> Option<(&Outcome, i64)> {
        let version = self.credentials_version;
        let version = version.unwrap_or(set.route.connection.credentials_version);
        self.verdict(set).map(|outcome| (outcome, version))
    }

    fn verdict(&self, set: &WriteSet<'_>) -> Option<&Outcome> {
        let refused = |outcome: &&Outcome| matches!(outcome, Outcome::Unauthorized(_));
        let outcomes = || self.outcomes.iter().map(|(_, outcome)| outcome);
        outcomes().find(refused).or_else(|| {
            // A success without a request says nothing.
            let sent = |index: usize| set.jobs.get(index).is_some_and(|job| !job.is_empty_update());
            let taken = |(index, outcome): &&(usize, Outcome)| {
                matches!(outcome, Outcome::Succeeded { .. }) && sent(*index)
            };
            self.outcomes.iter().find(taken).map(|(_, outcome)| outcome)
        })
    }
}

impl WriteSet<'_> {
    /// The request of a call for these records, as far as it can be told without asking the provider.
    pub(in crate::writes) fn request(&self, chunk: &[usize]) -> Option<ProviderRequest> {
        let carried: Vec<usize> = chunk
            .iter()
            .copied()
            .filter(|index| !self.jobs[*index].is_empty_update())
            .collect();
        match self.prepare(&carried, &[]) {
            Ok(Some(Step::Send(request))) => Some(request),
            _ => None,
        }
    }

    /// The next request for these records: the call itself, or one that the connector needs before it.
    fn prepare(&self, carried: &[usize], looked_up: &[ProviderResponse]) -> Result<Option<Step>, Outcome> {
        let step = match carried {
            [] => return Ok(None),
            [index] => self
                .route
                .connector
                .prepare(&self.jobs[*index].command(), looked_up),
            carried => {
                let items = self.items(carried);
                self.route
                    .connector
                    .prepare_batch(&self.command(&items))
                    .map(Step::Send)
            }
        };
        step.map(Some)
            .map_err(|refusal| Outcome::Rejected(refused(&refusal)))
    }

    /// What an answer to the call of these records means.
    fn interpret(&self, carried: &[usize], response: &ProviderResponse, now: Time) -> BatchOutcome {
        let now = now.to_timestamp();
        if let [index] = carried {
            let job = &self.jobs[*index];
            let outcome = self.route.connector.interpret(&job.command(), response, now);
            return BatchOutcome::Whole(job.settle_delete(outcome));
        }
        let items = self.items(carried);
        self.route
            .connector
            .interpret_batch(&self.command(&items), response, now)
    }

    fn items(&self, carried: &[usize]) -> Vec<BatchItem<'_>> {
        carried.iter().map(|index| self.item(*index)).collect()
    }

    fn command<'b>(&'b self, items: &'b [BatchItem<'b>]) -> BatchCommand<'b> {
        BatchCommand {
            action: self.action,
            object: self.plan.provider_object(),
            items,
            headers: self.headers,
            vars: &self.route.connection.vars,
            all_or_none: self.all_or_none,
        }
    }
}

impl Writes {
    /// Everything that comes before the call for these records: the reads that rules or the connector ask for. `read` sees
    /// each of those requests before it is sent.
    pub(in crate::writes) async fn ready(
        &self,
        set: &mut WriteSet<'_>,
        chunk: &[usize],
        mut read: impl FnMut(&ProviderRequest),
    ) -> Ready {
        if let Err(outcome) = self.decide_if_empty(set, chunk, &mut read).await {
            return Ready {
                done: Vec::new(),
                carried: chunk.to_vec(),
                request: Err(outcome),
            };
        }
        let (done, carried): (Vec<usize>, Vec<usize>) = chunk
            .iter()
            .partition(|index| set.jobs[**index].is_empty_update());
        let request = self.prepared(set, &carried, read).await;
        Ready {
            done,
            carried,
            request,
        }
    }

    async fn prepared(
        &self,
        set: &WriteSet<'_>,
        carried: &[usize],
        mut read: impl FnMut(&ProviderRequest),
    ) -> Result<Option<ProviderRequest>, Outcome> {
        let mut looked_up = Vec::new();
        loop {
            let request = match set.prepare(carried, &looked_up)? {
                None => return Ok(None),
                Some(Step::Send(request)) => return Ok(Some(request)),
                Some(Step::Lookup(request)) => request,
            };
            let Some(job) = carried.first().map(|index| &set.jobs[*index]) else {
                return Ok(None);
            };
            if looked_up.len() >= MAX_LOOKUPS {
                let message = "the connector asks for more lookups than are allowed";
                return Err(Outcome::Rejected(error(ErrorClass::Config, message)));
            }
            read(&request);
            let response = self
                .send(set.route, request)
                .await
                .map_err(|failure| failure.before_write())?;
            let now = self.clock.now().to_timestamp();
            match set
                .route
                .connector
                .interpret_lookup(&job.command(), &response, now)
            {
                None => looked_up.push(response),
                Some(outcome) => return Err(of_read(outcome)),
            }
        }
    }

    /// Performs one call for these records: at most [`WriteSet::limit`] of them. `before_send` runs right before the call
    /// leaves, once everything else is done, with the records that it carries; when it fails nothing is sent. `still` is
    /// asked before a call that was refused with an old token leaves once more with a new one, which takes its time to fetch.
    ///
    /// # Errors
    /// Only what `before_send` fails with. Whatever the provider does is in the outcomes.
    pub async fn call<F, E>(
        &self,
        set: &mut WriteSet<'_>,
        chunk: &[usize],
        before_send: F,
        still: impl Fn() -> bool,
    ) -> Result<Turn, E>
    where
        F: AsyncFnOnce(Time, &[usize]) -> Result<(), E>,
    {
        let Ready {
            done,
            carried,
            request,
        } = self.ready(set, chunk, |_| {}).await;
        let skipped: Vec<(usize, Vec<String>)> = chunk
            .iter()
            .map(|index| (*index, std::mem::take(&mut set.jobs[*index].skipped)))
            .filter(|(_, fields)| !fields.is_empty())
            .collect();
        let mut turn = match request {
            Ok(Some(request)) => self.send_call(set, &carried, request, before_send, still).await?,
            Ok(None) => Turn::unsent(Vec::new(), self.clock.now()),
            Err(outcome) => self.never_left(set, &carried, outcome),
        };
        let nothing_to_write = |index: usize| (index, set.jobs[index].nothing_to_write());
        turn.outcomes.extend(done.into_iter().map(nothing_to_write));
        turn.skipped = skipped;
        Ok(turn)
    }

    fn never_left(&self, set: &WriteSet<'_>, carried: &[usize], mut outcome: Outcome) -> Turn {
        make_presentable(&mut outcome, &set.route.secret_texts());
        Turn::unsent(for_each(carried, &outcome), self.clock.now())
    }

    async fn send_call<F, E>(
        &self,
        set: &WriteSet<'_>,
        carried: &[usize],
        request: ProviderRequest,
        before_send: F,
        still: impl Fn() -> bool,
    ) -> Result<Turn, E>
    where
        F: AsyncFnOnce(Time, &[usize]) -> Result<(), E>,
    {
        // A token is there before the write is noted as sent: without one it certainly is not.
        let mut access = match self.access(&set.route.connector, &set.route.connection).await {
            Ok(access) => access,
            Err(failure) => return Ok(self.never_left(set, carried, failure.before_write())),
        };
        let sent = self.clock.now();
        before_send(sent, carried).await?;
        let started = Instant::now();
        let is_unauthorized = |response: &ProviderResponse| {
            let read = set.interpret(carried, response, self.clock.now());
            matches!(read, BatchOutcome::Whole(Outcome::Unauthorized(_)))
        };
        let answer = access.send_write(request, is_unauthorized, still).await;
        let latency_us = Some(i64::try_from(started.elapsed().as_micros()).unwrap_or(i64::MAX));
        let answered_at = self.clock.now();
        let credentials_version = access.credentials_version();
        let secrets = access.secret_texts();
        let (read, response) = match answer {
            Ok(response) => (set.interpret(carried, &response, answered_at), Some(response)),
            Err(failure) => (
                BatchOutcome::Whole(failure.of_write(set.is_unsafe_to_repeat())),
                None,
            ),
        };
        // What was refused on this side has not left.
        let left = response.is_some() || !matches!(read, BatchOutcome::Whole(Outcome::Rejected(_)));
        let (is_whole, mut outcomes) = match read {
            BatchOutcome::Whole(outcome) => (true, for_each(carried, &outcome)),
            BatchOutcome::Each(each) => (false, carried.iter().copied().zip(each).collect()),
        };
        for (index, outcome) in &mut outcomes {
            self.note_description(&set.jobs[*index], outcome);
            make_presentable(outcome, &secrets);
        }
        let now = answered_at.to_timestamp();
        Ok(Turn {
            outcomes,
            skipped: Vec::new(),
            is_whole,
            carried: carried.len(),
            sent: left.then_some(sent),
            status: response.as_ref().map(|response| response.status),
            latency_us,
            answered_at,
            credentials_version: Some(credentials_version),
            pause: response
                .as_ref()
                .and_then(|response| quota_exhausted(response, now))
                .map(|(hint, class)| (hint.wait(now), class)),
            raw: response.and_then(|response| beginning(&response, &secrets)),
        })
    }

    /// Reads the fields that are written only when the provider has no value, of all these records in one call where the
    /// provider can, and decides. When a read fails nothing is written: a value that may be there is never overwritten.
    async fn decide_if_empty(
        &self,
        set: &mut WriteSet<'_>,
        chunk: &[usize],
        read: &mut impl FnMut(&ProviderRequest),
    ) -> Result<(), Outcome> {
        let asking: Vec<usize> = chunk
            .iter()
            .copied()
            .filter(|index| !set.jobs[*index].applied.if_empty.is_empty())
            .collect();
        match (asking.as_slice(), chunk) {
            ([], _) => return Ok(()),
            ([index], [_]) => return self.decide_one(&mut set.jobs[*index], read).await,
            _ => {}
        }
        let connector = &set.route.connector;
        let vars = &set.route.connection.vars;
        let object = set.plan.provider_object();
        let mut fields: Vec<&str> = Vec::new();
        let mut ids: Vec<&str> = Vec::new();
        for index in &asking {
            let applied = &set.jobs[*index].applied;
            ids.push(applied.record_id.as_deref().unwrap_or_default());
            for field in &applied.if_empty {
                if !fields.contains(&field.name()) {
                    fields.push(field.name());
                }
            }
        }
        let Some(request) = connector.read_current_batch(object, &ids, &fields, vars) else {
            for index in asking {
                self.decide_one(&mut set.jobs[index], read).await?;
            }
            return Ok(());
        };
        read(&request);
        let response = self
            .send(set.route, request)
            .await
            .map_err(|failure| failure.before_write())?;
        let now = self.clock.now().to_timestamp();
        let current = connector
            .interpret_current_batch(object, &ids, &fields, vars, &response, now)
            .map_err(of_read)?;
        for index in asking {
            let job = &mut set.jobs[index];
            // Of a record that is not there the write itself says so.
            let values = job.applied.record_id.as_ref().and_then(|id| current.get(id));
            job.decide_filled(&values.cloned().unwrap_or_default());
        }
        Ok(())
    }

    /// The same of one record.
    async fn decide_one(
        &self,
        job: &mut Job<'_>,
        read: &mut impl FnMut(&ProviderRequest),
    ) -> Result<(), Outcome> {
        let connector = &job.route.connector;
        let vars = &job.route.connection.vars;
        let object = job.plan.provider_object();
        let id = job.applied.record_id.as_deref().unwrap_or_default();
        let fields: Vec<&str> = job
            .applied
            .if_empty
            .iter()
            .map(crate::mapping::IfEmptyField::name)
            .collect();
        let request = connector.read_current(object, id, &fields, vars).ok_or_else(|| {
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
        let now = self.clock.now().to_timestamp();
        let current = connector
            .interpret_current(object, id, &fields, vars, &response, now)
            .map_err(of_read)?;
        job.decide_filled(&current);
        Ok(())
    }
}

/// The same outcome for each of these records.
fn for_each(carried: &[usize], outcome: &Outcome) -> Vec<(usize, Outcome)> {
    carried.iter().map(|index| (*index, outcome.clone())).collect()
}

/// The beginning of an answer, without secrets.
fn beginning(response: &ProviderResponse, secrets: &[&str]) -> Option<String> {
    let raw = &response.body[..response.body.len().min(RAW_RESPONSE_BYTES)];
    let mut text = (!raw.is_empty()).then(|| String::from_utf8_lossy(raw).into_owned())?;
    clean(&mut text, secrets);
    Some(text)
}
