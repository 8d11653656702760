//! A write shown instead of done: the same way to the same request, which is then not sent.

use std::time::Duration;

use uuid::Uuid;

use super::explain::Traced;
use super::fields::{Described, Known};
use super::job::Job;
use super::outcome::make_presentable;
use super::request::WriteRequest;
use super::route::Route;
use super::set::{Shape, WriteSet, each_once};
use super::{WriteError, Writes, check_supported, error_of, rejection};
use crate::action::Action;
use crate::connectors::{Finding, ProviderRequest, findings};
use crate::mapping::{Plan, TraceEntry};
use crate::outbound::{ShownRequest, show};

/// What the provider's own description of the object says about the records, each with its place in a batch; `Err` says why
/// there is none.
pub type Findings = Result<Vec<(Option<usize>, Finding)>, String>;

/// What a write would do.
#[derive(Debug)]
pub struct Preview {
    /// The provider.
    pub provider: String,
    /// The provider's name of the object.
    pub provider_object: String,
    /// The record that would be changed or deleted.
    pub record_id: Option<String>,
    /// What would come of it on this side.
    pub verdict: Verdict,
    /// The requests in order: reads, which have been made, and the write, which has not.
    pub requests: Vec<PreviewRequest>,
    /// What was decided for each field.
    pub trace: Vec<Traced>,
    /// What the provider says against the records.
    pub findings: Findings,
    /// How old that description is.
    pub described_ago: Option<Duration>,
}

impl Preview {
    /// What was decided, each decision once: for warnings.
    #[must_use]
    pub fn decisions(&self) -> Vec<TraceEntry> {
        each_once(self.trace.iter().map(|traced| &traced.entry))
    }
}

/// What would come of a write before the provider has its say.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The last request would be sent.
    Send,
    /// The rules leave nothing to write: the write succeeds without a request.
    NothingToSend,
    /// It would fail before it is sent.
    Fail(String),
    /// It would not be sent: its address is not one that this server calls.
    Refused(String),
}

/// One request.
#[derive(Debug)]
pub struct PreviewRequest {
    /// Whether it is the write itself, or a read that comes before it.
    pub is_write: bool,
    /// The request, without its secrets.
    pub request: ShownRequest,
}

impl Writes {
    /// Shows what a write would do. Nothing is stored and nothing is written; reads that the write would make are made.
    ///
    /// # Errors
    /// As [`Writes::write`] before it stores or sends.
    pub async fn preview(
        &self,
        project_id: Uuid,
        integration: &str,
        object: &str,
        request: WriteRequest,
        known: Known,
    ) -> Result<Preview, WriteError> {
        let route = self
            .routes
            .find(project_id, integration, &request.group_ref)
            .await?;
        let plan = route.plan_of_new(object)?;
        check_supported(&route, &plan, object, request.action, &request.stored)?;
        let mut set = WriteSet::new(
            &route,
            &plan,
            request.action,
            request.records,
            request.strict,
            &request.stored,
            request.client_ref.as_deref(),
            self.clock.new_id(),
        )?;
        set.check()?;
        Ok(self.preview_set(&mut set, object, known).await)
    }

    /// Each call in its order, as if the provider took them all.
    async fn preview_set(&self, set: &mut WriteSet<'_>, object: &str, known: Known) -> Preview {
        let route = set.route;
        let mut requests = Vec::new();
        let mut verdict = Verdict::NothingToSend;
        let all: Vec<usize> = (0..set.jobs.len()).collect();
        for chunk in all.chunks(set.limit()) {
            let ready = self
                .ready(set, chunk, |read| requests.push((false, read.clone())))
                .await;
            match ready.request {
                Ok(Some(request)) => {
                    requests.push((true, request));
                    verdict = Verdict::Send;
                }
                Ok(None) => {}
                Err(mut outcome) => {
                    make_presentable(&mut outcome, &route.secret_texts());
                    let text = error_of(&outcome).map_or_else(String::new, |error| rejection(object, error));
                    verdict = Verdict::Fail(text);
                    break;
                }
            }
        }
        let requests = self.shown(route, object, requests, &mut verdict).await;
        let place = |index| (set.shape == Shape::Batch).then_some(index);
        let jobs: Vec<(Option<usize>, &Job<'_>)> = set
            .jobs
            .iter()
            .enumerate()
            .map(|(index, job)| (place(index), job))
            .collect();
        let (findings, described_ago) = match set.action {
            Action::Delete => (Ok(Vec::new()), None),
            action => self.findings(route, set.plan, action, &jobs, known).await,
        };
        Preview {
            provider: route.connector.provider().to_owned(),
            provider_object: set.plan.provider_object().to_owned(),
            record_id: match (set.shape, set.jobs.first()) {
                (Shape::Single, Some(job)) => job.applied.record_id.clone(),
                _ => None,
            },
            verdict,
            requests,
            trace: Traced::take(set),
            findings,
            described_ago,
        }
    }

    /// What the provider's own description of the object says about the records, and how old it is. What a remembered
    /// description has against them may be over by now: before it is told, the provider is asked once more.
    async fn findings(
        &self,
        route: &Route,
        plan: &Plan,
        action: Action,
        jobs: &[(Option<usize>, &Job<'_>)],
        known: Known,
    ) -> (Findings, Option<Duration>) {
        let describe = async |known| {
            let object = plan.provider_object();
            self.describe(&route.connector, &route.connection, object, known)
                .await
        };
        let against = |described: &Described| -> Vec<(Option<usize>, Finding)> {
            let of = |(place, job): &(Option<usize>, &Job<'_>)| {
                let (place, found) = (*place, findings(&described.object, &job.applied.record, action));
                found.into_iter().map(move |finding| (place, finding))
            };
            jobs.iter().flat_map(of).collect()
        };
        let mut described = match describe(known).await {
            Ok(described) => described,
            Err(error) => return (Err(error.to_string()), None),
        };
        let mut found = against(&described);
        if !found.is_empty()
            && !described.age.is_zero()
            && let Ok(fresh) = describe(Known::Now).await
        {
            found = against(&fresh);
            described = fresh;
        }
        (Ok(found), Some(described.age))
    }

    /// The requests without their secrets; none, and another verdict, when the credentials do not fit. Another verdict, too, when
    /// one leads where this server sends nothing.
    async fn shown(
        &self,
        route: &Route,
        object: &str,
        requests: Vec<(bool, ProviderRequest)>,
        verdict: &mut Verdict,
    ) -> Vec<PreviewRequest> {
        let (connector, connection) = (&route.connector, &route.connection);
        let mut shown = Vec::with_capacity(requests.len());
        for (is_write, request) in requests {
            match show(connector, &connection.credentials, &connection.vars, request) {
                Ok(request) => shown.push(PreviewRequest { is_write, request }),
                Err(error) => {
                    *verdict = Verdict::Fail(format!("error writing {object}: configuration: {error}"));
                    return Vec::new();
                }
            }
        }
        // Requests of one preview go to one place, but for what a connector looks up elsewhere.
        let mut checked = std::collections::HashSet::new();
        for PreviewRequest { request, .. } in &shown {
            let origin = url::Url::parse(&request.url).map(|url| url.origin().ascii_serialization());
            if origin.is_ok_and(|origin| !checked.insert(origin)) {
                continue;
            }
            if let Err(refused) = self.outbound.check(connector.provider(), &request.url).await {
                *verdict = Verdict::Refused(format!("error writing {object}: configuration: {refused}"));
                break;
            }
        }
        shown
    }
}
