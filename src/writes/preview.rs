//! A write shown instead of done: the same way to the same request, which is then not sent.

use uuid::Uuid;

use super::fields::Known;
use super::perform::Job;
use super::request::WriteRequest;
use super::{WriteError, Writes, check_supported, error_of, rejection};
use crate::action::Action;
use crate::connectors::{Finding, Outcome, ProviderRequest, findings};
use crate::mapping::TraceEntry;
use crate::outbound::{ShownRequest, show};

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
    pub trace: Vec<TraceEntry>,
    /// What the provider's own description of the object says about the record; `Err` says why there is none.
    pub findings: Result<Vec<Finding>, String>,
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
    ) -> Result<Preview, WriteError> {
        let route = self
            .routes
            .find(project_id, integration, &request.group_ref)
            .await?;
        let plan = route.plan(object)?;
        check_supported(&route, &plan, object, request.action, &request.stored)?;
        let mut job = Job::new(
            &route,
            &plan,
            request.action,
            request.record,
            request.strict,
            &request.stored,
            self.clock.new_id().to_string(),
        )?;
        if !job.is_empty_update() {
            job.check()?;
        }
        let mut requests = Vec::new();
        let ready = self
            .ready(&mut job, |read| requests.push((false, read.clone())))
            .await;
        let mut verdict = match ready {
            Ok(write) => {
                requests.push((true, write));
                Verdict::Send
            }
            Err(mut unsent) => {
                unsent.make_presentable(&route.secret_texts());
                match &unsent.outcome {
                    Outcome::Succeeded { .. } => Verdict::NothingToSend,
                    other => Verdict::Fail(
                        error_of(other).map_or_else(String::new, |error| rejection(object, error)),
                    ),
                }
            }
        };
        let shown = |(is_write, request): (bool, ProviderRequest)| {
            let connection = &route.connection;
            let request = show(
                &route.connector,
                &connection.credentials,
                &connection.vars,
                request,
            )?;
            Ok::<_, crate::outbound::CredentialError>(PreviewRequest { is_write, request })
        };
        let requests = match requests.into_iter().map(shown).collect() {
            Ok(requests) => requests,
            Err(error) => {
                verdict = Verdict::Fail(format!("error writing {object}: configuration: {error}"));
                Vec::new()
            }
        };
        let findings = if request.action == Action::Delete {
            Ok(Vec::new())
        } else {
            match self
                .describe(
                    &route.connector,
                    &route.connection,
                    plan.provider_object(),
                    Known::Recent,
                )
                .await
            {
                Ok(described) => Ok(findings(&described.object, &job.applied.record, request.action)),
                Err(error) => Err(error.to_string()),
            }
        };
        Ok(Preview {
            provider: route.connector.provider().to_owned(),
            provider_object: plan.provider_object().to_owned(),
            record_id: job.applied.record_id,
            verdict,
            requests,
            trace: job.applied.trace,
            findings,
        })
    }
}
