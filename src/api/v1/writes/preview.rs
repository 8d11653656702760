//! The answer to `?preview=true`.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::connectors::{self, FindingKind};
use crate::mapping::warnings;
use crate::outbound::ShownRequest;
use crate::writes::explain::Traced;
use crate::writes::preview::{self, Verdict};
use crate::writes::request::Mode;

/// What a write would do. Nothing was stored and nothing was written.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviewResponse {
    /// Always true.
    pub preview: bool,
    /// `send`: the last request would be sent. `send_with_findings`: it would, and the provider will probably refuse it; see
    /// `findings`. `nothing_to_send`: the rules leave nothing to write, so the write succeeds without a request. `fail`: it would
    /// fail before it is sent; see `error`. `refused`: its address is not one that this server calls; see `error`.
    pub verdict: &'static str,
    /// Why it would fail or is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// `create`, `update` or `delete`.
    pub action: &'static str,
    /// `synchronous` or `asynchronous`.
    pub mode: &'static str,
    /// The provider.
    pub provider: String,
    /// The object as the app names it.
    pub object: String,
    /// The object as the provider names it.
    pub provider_object: String,
    /// The record that would be changed or deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_id: Option<String>,
    /// The requests in order: reads, which have been made, and the write, which has not.
    pub requests: Vec<PreviewRequest>,
    /// What was decided for each field.
    pub trace: Vec<TraceEntry>,
    /// How many more decisions there are than `trace` shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_left_out: Option<usize>,
    /// What the header `Amp-Warnings` of the write would say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What the provider's own description of the object says against the record. Absent when there is no description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<Vec<Finding>>,
    /// How many more findings there are than `findings` shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings_left_out: Option<usize>,
    /// The age of that description, in seconds; also in the header `Age`. With `Cache-Control: no-cache` it is asked for anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings_age_seconds: Option<u64>,
    /// Why there are no findings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings_unavailable: Option<String>,
}

/// A request to the provider, without its secrets.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewRequest {
    /// `read` or `write`.
    pub purpose: &'static str,
    /// The request.
    #[serde(flatten)]
    pub request: OutboundRequest,
}

/// A request as it leaves; each secret is `***`.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutboundRequest {
    /// The HTTP method.
    pub method: String,
    /// The absolute URL.
    pub url: String,
    /// The headers that connector and app set.
    pub headers: BTreeMap<String, String>,
    /// The exact body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

impl From<ShownRequest> for OutboundRequest {
    fn from(request: ShownRequest) -> Self {
        Self {
            method: request.method,
            url: request.url,
            headers: request.headers.into_iter().collect(),
            body: request.body,
        }
    }
}

/// What was decided for one field.
#[derive(Debug, Serialize, ToSchema)]
pub struct TraceEntry {
    /// Of a batch: the record's place in it, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<usize>,
    /// The app's name; absent when the request did not have the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The provider's name; absent when the field leads nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `mapped`, `passed_through`, `defaulted`, `dropped_unmapped`, …: see docs/mapping.md.
    pub decision: &'static str,
    /// What leaves in the place of `null`, at a provider where another value empties a field; else absent.
    #[serde(rename = "sentAs", skip_serializing_if = "Option::is_none")]
    pub sent_as: Option<String>,
}

impl From<Traced> for TraceEntry {
    fn from(Traced { record, entry }: Traced) -> Self {
        Self {
            record,
            source: entry.source,
            target: entry.target,
            decision: entry.decision.as_str(),
            sent_as: entry.sent_as,
        }
    }
}

/// Something that the provider will probably refuse.
#[derive(Debug, Serialize, ToSchema)]
pub struct Finding {
    /// Of a batch: the record's place in it, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<usize>,
    /// The provider's name of the field.
    pub field: String,
    /// `required_missing`, `unknown_field`, `read_only`, `wrong_type`, `not_an_option` or `too_long`.
    pub kind: &'static str,
    /// What is wrong and what the field takes.
    pub detail: String,
}

impl From<(Option<usize>, connectors::Finding)> for Finding {
    fn from((record, finding): (Option<usize>, connectors::Finding)) -> Self {
        Self {
            record,
            field: finding.field,
            kind: match finding.kind {
                FindingKind::RequiredMissing => "required_missing",
                FindingKind::UnknownField => "unknown_field",
                FindingKind::ReadOnly => "read_only",
                FindingKind::WrongType => "wrong_type",
                FindingKind::NotAnOption => "not_an_option",
                FindingKind::TooLong => "too_long",
            },
            detail: finding.detail,
        }
    }
}

/// So many decisions, and so many findings, one answer shows: a record with very many fields must not make a far larger answer.
const MOST_ENTRIES: usize = 1000;

/// The first of the entries, and how many more there are.
pub(in crate::api::v1) fn cut<T, U: From<T>>(entries: Vec<T>) -> (Vec<U>, Option<usize>) {
    let more = entries.len().saturating_sub(MOST_ENTRIES);
    let shown = entries.into_iter().take(MOST_ENTRIES).map(U::from).collect();
    (shown, (more > 0).then_some(more))
}

impl PreviewResponse {
    /// The answer for a preview.
    pub(super) fn new(
        object: String,
        action: crate::action::Action,
        mode: Mode,
        preview: preview::Preview,
    ) -> Self {
        let warnings = warnings(&preview.decisions());
        let has_findings = preview.findings.as_ref().is_ok_and(|found| !found.is_empty());
        let (verdict, error) = match preview.verdict {
            Verdict::Send if has_findings => ("send_with_findings", None),
            Verdict::Send => ("send", None),
            Verdict::Refused(error) => ("refused", Some(error)),
            Verdict::NothingToSend => ("nothing_to_send", None),
            Verdict::Fail(error) => ("fail", Some(error)),
        };
        let (findings, findings_unavailable) = match preview.findings {
            Ok(findings) => (Some(findings), None),
            Err(why) => (None, Some(why)),
        };
        let (findings, findings_left_out) = findings.map_or((None, None), |findings| {
            let (shown, left_out) = cut(findings);
            (Some(shown), left_out)
        });
        let (trace, trace_left_out) = cut(preview.trace);
        Self {
            preview: true,
            verdict,
            error,
            action: action.as_str(),
            mode: mode.as_str(),
            provider: preview.provider,
            object,
            provider_object: preview.provider_object,
            record_id: preview.record_id,
            requests: preview
                .requests
                .into_iter()
                .map(|request| PreviewRequest {
                    purpose: if request.is_write { "write" } else { "read" },
                    request: request.request.into(),
                })
                .collect(),
            warnings,
            trace,
            trace_left_out,
            findings,
            findings_left_out,
            findings_age_seconds: preview.described_ago.map(|age| age.as_secs()),
            findings_unavailable,
        }
    }
}
