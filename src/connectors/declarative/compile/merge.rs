//! Defaults and what is put over them.

use crate::action::Action;
use crate::connectors::declarative::definition::{ErrorsDef, OpDef, OpSwitch, OpsDef, ResultDef};

pub(super) fn merge_ops(file: &OpsDef, own: &OpsDef) -> OpsDef {
    let merge = |action| match (file.get(action), own.get(action)) {
        (Some(OpSwitch::On(base)), Some(OpSwitch::On(over))) => {
            Some(OpSwitch::On(Box::new(merge_op(base, over))))
        }
        (base, over) => over.or(base).cloned(),
    };
    OpsDef {
        create: merge(Action::Create),
        update: merge(Action::Update),
        delete: merge(Action::Delete),
    }
}

pub(super) fn merge_op(base: &OpDef, over: &OpDef) -> OpDef {
    OpDef {
        method: over.method.clone().or_else(|| base.method.clone()),
        path: over.path.clone().or_else(|| base.path.clone()),
        base_url: over.base_url.clone().or_else(|| base.base_url.clone()),
        query: base.query.merged(&over.query),
        headers: base.headers.merged(&over.headers),
        content_type: over.content_type.clone().or_else(|| base.content_type.clone()),
        encode: over.encode.or(base.encode),
        body: over.body.clone().or_else(|| base.body.clone()),
        document: over.document.clone().or_else(|| base.document.clone()),
        variables: over.variables.clone().or_else(|| base.variables.clone()),
        result: Some(merge_result(
            &base.result.clone().unwrap_or_default(),
            over.result.as_ref(),
        )),
        only: over.only.clone().or_else(|| base.only.clone()),
        except: over.except.clone().or_else(|| base.except.clone()),
        idempotency_key: over
            .idempotency_key
            .clone()
            .or_else(|| base.idempotency_key.clone()),
        repeat_safe: over.repeat_safe.or(base.repeat_safe),
        id_in_record: over.id_in_record.or(base.id_in_record),
        repeat_id: over.repeat_id.clone().or_else(|| base.repeat_id.clone()),
        lookup: over.lookup.clone().or_else(|| base.lookup.clone()),
        variants: over.variants.clone().or_else(|| base.variants.clone()),
    }
}

pub(super) fn merge_result(base: &ResultDef, over: Option<&ResultDef>) -> ResultDef {
    let Some(over) = over else { return base.clone() };
    ResultDef {
        ok: over.ok.clone().or_else(|| base.ok.clone()),
        id: over.id.clone().or_else(|| base.id.clone()),
        id_prefer_request: over.id_prefer_request.or(base.id_prefer_request),
        id_required: over.id_required.or(base.id_required),
        data: over.data.clone().or_else(|| base.data.clone()),
        empty: over.empty.or(base.empty),
        text: over.text.or(base.text),
    }
}

pub(super) fn merge_errors(base: &ErrorsDef, over: &ErrorsDef) -> ErrorsDef {
    fn pick<T: Clone>(over: &[T], base: &[T]) -> Vec<T> {
        if over.is_empty() {
            base.to_vec()
        } else {
            over.to_vec()
        }
    }
    ErrorsDef {
        code: pick(&over.code, &base.code),
        message: pick(&over.message, &base.message),
        status: pick(&over.status, &base.status),
        existing_id: pick(&over.existing_id, &base.existing_id),
        classify: pick(&over.classify, &base.classify),
        remedies: pick(&over.remedies, &base.remedies),
    }
}
