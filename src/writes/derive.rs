//! What an operation did to its record, derived again: from the request as received, and the revision and config that
//! were in force. These never change, so neither does the answer.

use super::perform::Job;
use super::route::RouteError;
use super::{Writes, read_stored};
use crate::action::Action;
use crate::connectors::Step;
use crate::mapping::TraceEntry;
use crate::outbound::{ShownRequest, show};
use crate::store::{Operation, StoreError};

/// What was done to a record, and the request that came of it.
#[derive(Debug)]
pub struct Derived {
    /// What was decided for each field.
    pub trace: Vec<TraceEntry>,
    /// The request to the provider; `None` when nothing was left to send, or when it depends on what the provider answered to
    /// a read.
    pub request: Option<ShownRequest>,
}

impl Writes {
    /// Derives the trace of an operation. `skipped` are the fields that `ifEmpty` left out when it was sent. `None` when
    /// something that it needs is gone: its payload, its config, or the connection.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn derive(
        &self,
        operation: &Operation,
        skipped: &[String],
    ) -> Result<Option<Derived>, StoreError> {
        let Some(text) = self.store.get_request(operation.project_id, operation.id).await? else {
            return Ok(None);
        };
        let (Ok((stored, record)), Some(action)) = (read_stored(&text), Action::parse(&operation.action))
        else {
            return Ok(None);
        };
        let found = self
            .routes
            .find_pinned(
                operation.project_id,
                operation.config_id,
                operation.revision_id,
                operation.connection_id,
            )
            .await;
        let route = match found {
            Ok(route) => route,
            Err(RouteError::Store(error)) => return Err(error),
            Err(_) => return Ok(None),
        };
        let Ok(plan) = route.plan(&operation.object) else {
            return Ok(None);
        };
        let Ok(mut job) = Job::new(
            &route,
            &plan,
            action,
            record,
            false,
            &stored,
            operation.id.to_string(),
        ) else {
            return Ok(None);
        };
        job.leave_out(skipped);
        let (connector, connection) = (&route.connector, &route.connection);
        let request = match connector.prepare(&job.command(), &[]) {
            Ok(Step::Send(request)) if !job.is_empty_update() => {
                show(connector, &connection.credentials, &connection.vars, request).ok()
            }
            _ => None,
        };
        Ok(Some(Derived {
            trace: job.applied.trace,
            request,
        }))
    }
}
